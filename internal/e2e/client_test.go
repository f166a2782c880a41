package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// client speaks to a server as an administrator.
type client struct {
	t    *testing.T
	base string
	http *http.Client
}

func newClient(t *testing.T, base string) *client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{t, base, &http.Client{Transport: transport, Timeout: patience}}
}

// reply is an answer that was read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// send sends a request to a path below the server's address. The error is that
// of a connection that broke, which some tests provoke.
func (c *client) send(method, path string, header http.Header, body io.Reader) (*reply, error) {
	request, err := http.NewRequest(method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+adminKey)
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return &reply{response.StatusCode, response.Header, content}, err
}

// try calls the API; in is marshalled, unless it is a string, which is sent as
// it is.
func (c *client) try(method, path string, in any) (*reply, error) {
	var body io.Reader
	switch in := in.(type) {
	case nil:
	case string:
		body = strings.NewReader(in)
	default:
		text, err := json.Marshal(in)
		if err != nil {
			c.t.Errorf("%s %s: %v", method, path, err)
		}
		body = bytes.NewReader(text)
	}
	return c.send(method, "/api/v1"+path, nil, body)
}

// call is try for a connection that must not break.
func (c *client) call(method, path string, in any) *reply {
	c.t.Helper()
	r, err := c.try(method, path, in)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// want calls the API and decodes the answer, which has to have the status.
func (c *client) want(status int, method, path string, in, out any) {
	c.t.Helper()
	r := c.call(method, path, in)
	if r.status != status {
		c.t.Fatalf("%s %s: %d %s, want %d", method, path, r.status, r.body, status)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(r.body, out); err != nil {
		c.t.Fatalf("%s %s: %v in %s", method, path, err, r.body)
	}
}

// object is a JSON object to send.
type object = map[string]any

// created is what is needed of a record that was made.
type created struct {
	ID  string `json:"id"`
	URL string `json:"url"`
}

// application makes an application and returns its id.
func (c *client) application(name string) string {
	c.t.Helper()
	var app created
	c.want(201, "POST", "/app", object{"name": name}, &app)
	return app.ID
}

// endpoint makes an endpoint and returns its id; more may hold any property.
func (c *client) endpoint(app, url string, more object) string {
	c.t.Helper()
	in := object{"url": url}
	for name, value := range more {
		in[name] = value
	}
	var endpoint created
	c.want(201, "POST", "/app/"+app+"/endpoint", in, &endpoint)
	return endpoint.ID
}

// publish has a message accepted and returns its id.
func (c *client) publish(app, eventType string, payload any) string {
	c.t.Helper()
	var message created
	c.want(202, "POST", "/app/"+app+"/msg", object{"eventType": eventType, "payload": payload}, &message)
	return message.ID
}

// attempt is one of the history.
type attempt struct {
	ID                 string  `json:"id"`
	EndpointID         string  `json:"endpointId"`
	MsgID              string  `json:"msgId"`
	URL                string  `json:"url"`
	Response           string  `json:"response"`
	ResponseStatusCode int     `json:"responseStatusCode"`
	Status             int     `json:"status"`
	TriggerType        int     `json:"triggerType"`
	Number             int     `json:"number"`
	Failure            *string `json:"failure"`
	State              string  `json:"state"`
	Reason             *string `json:"reason"`
	Timings            struct {
		DNS       int64 `json:"dns"`
		Connect   int64 `json:"connect"`
		TLS       int64 `json:"tls"`
		FirstByte int64 `json:"firstByte"`
		Total     int64 `json:"total"`
	} `json:"timings"`
}

// attempts lists what was tried for a message, the first first.
func (c *client) attempts(app, message string) []attempt {
	c.t.Helper()
	var all []attempt
	for iterator := ""; ; {
		var page struct {
			Data     []attempt `json:"data"`
			Iterator string    `json:"iterator"`
			Done     bool      `json:"done"`
		}
		c.want(200, "GET", "/app/"+app+"/attempt/msg/"+message+"?limit=250&order=ascending&iterator="+iterator, nil, &page)
		all, iterator = append(all, page.Data...), page.Iterator
		if page.Done {
			return all
		}
	}
}

// destination is what became of a message at an endpoint.
type destination struct {
	ID          string  `json:"id"`
	Status      int     `json:"status"`
	State       string  `json:"state"`
	Reason      *string `json:"reason"`
	NextAttempt *string `json:"nextAttempt"`
}

// states tells for each endpoint of a message the delivery's state.
func (c *client) states(app, message string) map[string]string {
	c.t.Helper()
	var list struct{ Data []destination }
	c.want(200, "GET", "/app/"+app+"/msg/"+message+"/endpoint?limit=250", nil, &list)
	states := map[string]string{}
	for _, d := range list.Data {
		states[d.ID] = d.State
	}
	return states
}

// metrics reads /metrics: samples by name and labels as written.
func (c *client) metrics() (map[string]float64, error) {
	r, err := c.send("GET", "/metrics", nil, nil)
	if err != nil {
		return nil, err
	}
	samples := map[string]float64{}
	for line := range strings.Lines(string(r.body)) {
		series, value, ok := cutLast(strings.TrimSpace(line))
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		if samples[series], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, err
		}
	}
	return samples, nil
}

// cutLast cuts at the last space.
func cutLast(line string) (before, after string, ok bool) {
	i := strings.LastIndexByte(line, ' ')
	if i < 0 {
		return line, "", false
	}
	return line[:i], line[i+1:], true
}

// idOf is the id of a record, "" for anything else.
func idOf(body []byte) string {
	var record created
	if json.Unmarshal(body, &record) != nil {
		return ""
	}
	return record.ID
}

package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"testing"
	"time"
)

// httpCall is an operation that no library has, called by hand.
type httpCall struct {
	path   string
	status int
}

// driveHTTP calls what no library has.
func driveHTTP(t *testing.T, r *recorder, receiver string) {
	c := newClient(t, r.URL)
	app := c.application("HTTP")
	endpoint := c.endpoint(app, receiver+"/ok", nil)
	message := c.publish(app, "http.paid", object{})
	publisher := c.key(app, "publish-only")
	in := "/app/" + app
	for _, call := range []httpCall{
		{"/health/ping", 204},
		{"/openapi.json", 200},
		{"/limits", 200},
		{in + "/stats?bucket=1h", 200},
		{in + "/stats?bucket=1s", 422},
		{in + "/msg/" + message + "/explain", 200},
		{in + "/msg/nothing/explain", 404},
		{in + "/msg/" + message + "/attempt", 200},
		{in + "/msg/" + message + "/attempt?limit=251", 422},
		{in + "/msg/" + message + "/endpoint/" + endpoint + "/attempt", 200},
		{in + "/msg/" + message + "/endpoint/nothing/attempt", 404},
		{"/tail?app_id=nothing", 404},
	} {
		c.want(call.status, "GET", call.path, nil, nil)
	}
	r403, err := c.send("GET", "/api/v1/limits", http.Header{"Authorization": {"Bearer " + publisher}}, nil)
	if err != nil || r403.status != 403 {
		t.Errorf("limits with a key that may only publish: %+v, %v", r403, err)
	}
	c.hearOf(app)
}

// key makes one and returns its token.
func (c *client) key(app, scope string) string {
	c.t.Helper()
	var key struct{ Token string }
	c.want(201, "POST", "/key", object{"name": scope, "scope": scope, "application": app}, &key)
	return key.Token
}

// hearOf listens to the tail until it tells of a message.
func (c *client) hearOf(app string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/api/v1/tail?app_id="+app, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+adminKey)
	answer, err := c.http.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	// The answer is there once the server listens for events.
	message := c.publish(app, "http.told", object{"at": time.Now()})
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if bytes.Contains(lines.Bytes(), []byte(message)) {
			return
		}
	}
	c.t.Error("the tail ended without the message")
}

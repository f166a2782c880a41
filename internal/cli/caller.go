package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	// apiPrefix is where a server has its API.
	apiPrefix = "/api/v1"
	// callTimeout bounds one call, and maxAnswer what is read of its answer in
	// bytes: more than a page of any list.
	callTimeout = 30 * time.Second
	maxAnswer   = 32 << 20
)

// caller calls the API of one server with one key. It follows no redirect: a
// key goes to the server that it was given for.
type caller struct {
	url, key string
	client   *http.Client
}

// newCaller takes a server's address without the API's prefix.
func newCaller(url, key string) *caller {
	return &caller{url: strings.TrimRight(url, "/"), key: key, client: &http.Client{
		Timeout:       callTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// callError is an answer that is not 2xx.
type callError struct {
	// Call is the method and path.
	Call   string
	Status int
	// Detail is the answer's own words.
	Detail string
}

// Error is one line.
func (e *callError) Error() string {
	return fmt.Sprintf("%s: %d %s: %s", e.Call, e.Status, http.StatusText(e.Status), e.Detail)
}

// statusOf is the status of a call that was refused; 0 for any other error.
func statusOf(err error) int {
	if refused, ok := errors.AsType[*callError](err); ok {
		return refused.Status
	}
	return 0
}

// call sends in, unless it is nil, and reads the answer into out, unless it is
// nil. What is not 2xx is a *callError.
func (c *caller) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+apiPrefix+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	status, text, err := send(c.client, req)
	if err != nil {
		return err
	}
	if status/100 != 2 {
		return &callError{Call: method + " " + apiPrefix + path, Status: status, Detail: detailOf(text)}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s %s%s: not an answer of Postern's: %w", method, apiPrefix, path, err)
	}
	return nil
}

// send makes an exchange and reads its answer whole.
func send(client *http.Client, req *http.Request) (status int, body []byte, err error) {
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return res.StatusCode, body, err
}

// detailOf is what an error's body says: a sentence, or a list of fields that
// are wrong.
func detailOf(body []byte) string {
	var answer struct {
		Detail json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Detail == nil {
		return "not an answer of Postern's"
	}
	var sentence string
	if json.Unmarshal(answer.Detail, &sentence) == nil {
		return sentence
	}
	var faults []struct {
		Loc []string `json:"loc"`
		Msg string   `json:"msg"`
	}
	if json.Unmarshal(answer.Detail, &faults) != nil {
		return "not an answer of Postern's"
	}
	parts := make([]string, len(faults))
	for i, fault := range faults {
		parts[i] = strings.Join(fault.Loc, ".") + ": " + fault.Msg
	}
	return strings.Join(parts, "; ")
}

package e2e_test

import "testing"

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
	in := "/app/" + app
	for _, call := range []httpCall{
		{"/health/ping", 204},
		{"/openapi.json", 200},
		{in + "/msg/" + message + "/attempt", 200},
		{in + "/msg/" + message + "/attempt?limit=251", 422},
		{in + "/msg/" + message + "/endpoint/" + endpoint + "/attempt", 200},
		{in + "/msg/" + message + "/endpoint/nothing/attempt", 404},
	} {
		c.want(call.status, "GET", call.path, nil, nil)
	}
	// What backs itself up is a store in a folder.
	r.divert(t, "/api/v1/backup", serve(t, "file:"+t.TempDir()+"/store").base)
	c.want(201, "POST", "/backup", object{"directory": "conformance"}, nil)
	c.want(409, "POST", "/backup", object{"directory": "conformance"}, nil)
}

package cli

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// serving answers every request with handle.
func serving(t *testing.T, handle http.HandlerFunc) *caller {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return newCaller(server.URL+"/", "the-key")
}

func TestCallSendsKeyAndBody(t *testing.T) {
	var method, path, authorization, contentType string
	c := serving(t, func(w http.ResponseWriter, r *http.Request) {
		method, path = r.Method, r.URL.RequestURI()
		authorization, contentType = r.Header.Get("Authorization"), r.Header.Get("Content-Type")
		_, _ = w.Write([]byte(`{"id":"x"}`))
	})
	var out struct{ ID string }
	if err := c.call(t.Context(), http.MethodPost, "/app?a=b", map[string]string{"name": "n"}, &out); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join([]string{method, path, authorization, contentType, out.ID}, " "),
		"POST /api/v1/app?a=b Bearer the-key application/json x"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := c.call(t.Context(), http.MethodGet, "/app", nil, nil); err != nil || contentType != "" {
		t.Errorf("without a body: %v, content type %q", err, contentType)
	}
}

func TestCallRefused(t *testing.T) {
	tests := map[string]struct {
		status     int
		body, want string
	}{
		"a sentence":    {409, `{"code":"conflict","detail":"It is there"}`, "GET /api/v1/x: 409 Conflict: It is there"},
		"faults":        {422, `{"detail":[{"loc":["body","url"],"msg":"is private"},{"loc":["body","uid"],"msg":"is long"}]}`, "GET /api/v1/x: 422 Unprocessable Entity: body.url: is private; body.uid: is long"},
		"a page":        {502, "<html>", "GET /api/v1/x: 502 Bad Gateway: not an answer of Postern's"},
		"another shape": {500, `{"detail":17}`, "GET /api/v1/x: 500 Internal Server Error: not an answer of Postern's"},
		"nothing":       {404, "", "GET /api/v1/x: 404 Not Found: not an answer of Postern's"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := serving(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			})
			err := c.call(t.Context(), http.MethodGet, "/x", nil, nil)
			if err == nil || err.Error() != tt.want || statusOf(err) != tt.status {
				t.Errorf("got %v (%d), want %s", err, statusOf(err), tt.want)
			}
		})
	}
}

// A key is not carried to where a redirect leads.
func TestCallFollowsNoRedirect(t *testing.T) {
	calls := 0
	c := serving(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	if err := c.call(t.Context(), http.MethodGet, "/x", nil, nil); statusOf(err) != http.StatusTemporaryRedirect || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestCallOfSomethingElse(t *testing.T) {
	c := serving(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })
	var out struct{}
	err := c.call(t.Context(), http.MethodGet, "/x", nil, &out)
	if err == nil || !strings.Contains(err.Error(), "not an answer of Postern's") || statusOf(err) != 0 {
		t.Errorf("got %v", err)
	}
}

func TestLocalURL(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080", "0.0.0.0:80": "http://127.0.0.1:80", ":80": "http://127.0.0.1:80",
		"[::]:80": "http://127.0.0.1:80", "[::1]:80": "http://[::1]:80", "localhost:80": "http://localhost:80", "odd": "http://odd",
	} {
		if got := localURL(listen); got != want {
			t.Errorf("localURL(%q) = %q, want %q", listen, got, want)
		}
	}
}

// The example of GitHub's documentation.
// https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation
func TestGitHubSignature(t *testing.T) {
	const want = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
	if got := githubSignature("It's a Secret to Everybody", []byte("Hello, World!")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

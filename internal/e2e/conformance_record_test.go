package e2e_test

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// exchange is a request that went through a recorder, and its answer.
type exchange struct {
	agent, method, path string
	status              int
	// media is the answer's type without parameters, body the whole of it; nil
	// of a stream.
	media string
	body  []byte
}

// recorder is a proxy in front of a server that keeps what passes.
type recorder struct {
	*httptest.Server
	mu  sync.Mutex
	log []exchange
	// elsewhere are paths that another server is asked for, by its address.
	elsewhere map[string]*url.URL
}

// newRecorder starts one; it is closed at the test's end.
func newRecorder(t *testing.T, base string) *recorder {
	t.Helper()
	target, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	r.Server = httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			if other := r.other(p.In.URL.Path); other != nil {
				p.SetURL(other)
				return
			}
			p.SetURL(target)
		},
		ModifyResponse: r.note,
	})
	t.Cleanup(r.Close)
	return r
}

// divert has a path served by another server.
func (r *recorder) divert(t *testing.T, path, base string) {
	t.Helper()
	other, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.elsewhere = map[string]*url.URL{path: other}
}

func (r *recorder) other(path string) *url.URL {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.elsewhere[path]
}

// note keeps an answer before it goes on.
func (r *recorder) note(answer *http.Response) error {
	e := exchange{
		agent: answer.Request.UserAgent(), method: answer.Request.Method, path: answer.Request.URL.Path, status: answer.StatusCode,
	}
	if typed := answer.Header.Get("Content-Type"); typed != "" {
		var err error
		if e.media, _, err = mime.ParseMediaType(typed); err != nil {
			return err
		}
	}
	if e.media != "text/event-stream" {
		var err error
		if e.body, err = io.ReadAll(answer.Body); err != nil {
			return err
		}
		answer.Body = io.NopCloser(bytes.NewReader(e.body))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, e)
	return nil
}

// exchanges are those so far.
func (r *recorder) exchanges() []exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.log)
}

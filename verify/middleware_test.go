package verify_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/verify"
)

// echo answers with the event type and the body that reach it.
func echo() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		event, ok := verify.EventFrom(r.Context())
		body, err := io.ReadAll(r.Body)
		if !ok || err != nil || r.ContentLength != int64(len(body)) {
			http.Error(w, "no event, or a broken body", http.StatusInternalServerError)
			return
		}
		io.WriteString(w, event.Type+" "+string(body))
	})
}

func githubRequest(body, signature string) *http.Request {
	r := httptest.NewRequest("POST", "/hooks?x=1", strings.NewReader(body))
	r.Header.Set("X-GitHub-Event", "push")
	if signature != "" {
		r.Header.Set("X-Hub-Signature-256", signature)
	}
	return r
}

func TestMiddleware(t *testing.T) {
	v := newVerifier(t, "github", verify.Config{Secrets: []string{secret}})
	var refusals []error
	handler := verify.Middleware(v, verify.Options{
		MaxBody:   64,
		OnRefusal: func(_ *http.Request, err error) { refusals = append(refusals, err) },
	})(echo())
	serve := func(r *http.Request) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}

	if w := serve(githubRequest(payload, "sha256="+digest)); w.Code != 200 || w.Body.String() != "push "+payload {
		t.Errorf("a good request: %d %s", w.Code, w.Body)
	}
	var answers []string
	for _, signature := range []string{"", "x", "sha256=" + strings.Repeat("00", 32)} {
		w := serve(githubRequest(payload, signature))
		if w.Code != http.StatusUnauthorized || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("signature %q: %d %v", signature, w.Code, w.Header())
		}
		answers = append(answers, w.Body.String())
	}
	const answer = `{"code":"unauthorized","detail":"The request could not be verified."}` + "\n"
	if diff := cmp.Diff([]string{answer, answer, answer}, answers); diff != "" {
		t.Errorf("answers tell failures apart (-want +got):\n%s", diff)
	}
	if len(refusals) != 3 || reasonOf(t, refusals[0]) != verify.ReasonSignatureMissing || reasonOf(t, refusals[2]) != verify.ReasonSignatureMismatch {
		t.Errorf("refusals: %v", refusals)
	}
}

func TestMiddlewareBoundsTheBody(t *testing.T) {
	v := newVerifier(t, "none", verify.Config{})
	handler := verify.Middleware(v, verify.Options{MaxBody: 10})(echo())
	for name, tc := range map[string]struct {
		body   io.Reader
		status int
	}{
		"at the cap":             {strings.NewReader("0123456789"), http.StatusOK},
		"over it":                {strings.NewReader("0123456789x"), http.StatusRequestEntityTooLarge},
		"over it without length": {io.MultiReader(strings.NewReader("0123456789"), strings.NewReader("x")), http.StatusRequestEntityTooLarge},
		"broken off":             {io.MultiReader(strings.NewReader("01"), failing{}), http.StatusBadRequest},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("POST", "/", tc.body))
		if w.Code != tc.status {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// TestMiddlewareURL: a signed URL is the public one, whatever the request says
// and whatever the mux has made of it; and without one nothing is accepted.
func TestMiddlewareURL(t *testing.T) {
	v := newVerifier(t, "hmac", verify.Config{Secrets: []string{secret}, Settings: map[string]string{
		"header": "X-Sig", "template": "{url}{body}"}})
	request := func() *http.Request {
		r := httptest.NewRequest("POST", "/in/a%2Fb?z=1&a=2", strings.NewReader(payload))
		r.Header.Set("X-Sig", hex.EncodeToString(mac(sha256.New, secret, "https://hooks.example.com/in/a%2Fb?z=1&a=2"+payload)))
		return r
	}
	for publicURL, want := range map[string]int{"https://hooks.example.com": 200, "http://hooks.example.com": 401, "": 401} {
		handler := http.StripPrefix("/in", verify.Middleware(v, verify.Options{PublicURL: publicURL, Now: func() time.Time { return now() }})(echo()))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, request())
		if w.Code != want {
			t.Errorf("%q: %d, want %d", publicURL, w.Code, want)
		}
	}
}

func TestEventFromOutside(t *testing.T) {
	if _, ok := verify.EventFrom(t.Context()); ok {
		t.Error("a context without an event has one")
	}
}

// Handshakes are answered in front of the handler, which never sees them.
func TestMiddlewareHandshakes(t *testing.T) {
	metaConfig := verify.Config{Secrets: []string{secret}, Settings: map[string]string{"verify_token": "meatyhamhock"}}
	notionBody := `{"verification_token":"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}`
	var delivered verify.Delivered
	keep := func(_ *http.Request, result verify.Result) error {
		delivered = *result.Store
		return nil
	}
	for name, c := range map[string]struct {
		provider          string
		config            verify.Config
		onHandshake       func(*http.Request, verify.Result) error
		method, url, body string
		status            int
		answer            string
	}{
		"echo":            {"meta", metaConfig, nil, "GET", "/h?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meatyhamhock", "", 200, "1158201444"},
		"echo, forged":    {"meta", metaConfig, nil, "GET", "/h?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=x", "", 403, ""},
		"probe":           {"trello", verify.Config{Secrets: []string{secret}}, nil, "HEAD", "/h", "", 200, ""},
		"secret":          {"notion", verify.Config{}, keep, "POST", "/h", notionBody, 200, ""},
		"secret, nobody":  {"notion", verify.Config{}, nil, "POST", "/h", notionBody, 503, ""},
		"secret, not now": {"notion", verify.Config{}, func(*http.Request, verify.Result) error { return io.EOF }, "POST", "/h", notionBody, 503, ""},
		"no handshake":    {"github", verify.Config{Secrets: []string{secret}}, nil, "GET", "/h", "", 401, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var refusal error
			handler := verify.Middleware(newVerifier(t, c.provider, c.config), verify.Options{
				PublicURL: "https://hooks.example.com", OnHandshake: c.onHandshake,
				OnRefusal: func(_ *http.Request, err error) { refusal = err },
			})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was reached") }))
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest(c.method, c.url, strings.NewReader(c.body)))
			if w.Code != c.status || (c.status != 200) != (refusal != nil) || w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%d %v %s, refusal %v; want %d", w.Code, w.Header(), w.Body, refusal, c.status)
			}
			if c.status == 200 && strings.TrimSpace(w.Body.String()) != c.answer {
				t.Errorf("the answer is %q, want %q", w.Body, c.answer)
			}
			if name == "secret, not now" && !errors.Is(refusal, io.EOF) {
				t.Errorf("the refusal is %v, want what OnHandshake said", refusal)
			}
		})
	}
	if want := (verify.Delivered{Setting: "stored_secret", Secret: "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}); delivered != want {
		t.Errorf("%+v was kept, want %+v", delivered, want)
	}
}

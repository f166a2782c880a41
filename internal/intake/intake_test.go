package intake_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/intake"
	"github.com/postern-dev/postern/internal/keyring"
)

const (
	token  = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
	secret = "It's a Secret to Everybody"
	public = "https://hooks.example.com"
)

// world is what intake needs of the rest, kept in memory.
type world struct {
	t       testing.TB
	box     *keyring.Box
	config  intake.Config
	logs    *lockedBuffer
	handler http.Handler

	mu         sync.Mutex
	sources    map[[32]byte]*postern.Source
	published  []postern.Publish
	declared   []string
	refused    []*postern.Refusal
	reasons    []string
	duplicates int
	// now, 0 for the real time; fail and keepFail are what Publish and Refuse
	// return.
	now            time.Time
	fail, keepFail error
}

// newWorld has one source, as change makes it of a GitHub source.
func newWorld(t testing.TB, change func(*postern.Source, *intake.Config)) *world {
	t.Helper()
	w := &world{t: t, box: keyring.New().For("source"), logs: &lockedBuffer{}, sources: map[[32]byte]*postern.Source{}}
	w.config = intake.Config{
		Sources: w, Secrets: w.box, Publisher: w, Refusals: w, EventTypes: w,
		IDs:       &postern.IDSource{Now: time.Now, Random: rand.Reader},
		PublicURL: public, Now: w.clock, Logger: slog.New(slog.NewTextHandler(w.logs, nil)),
		Duplicate: func() { w.mu.Lock(); defer w.mu.Unlock(); w.duplicates++ },
		Refused:   func(reason string) { w.mu.Lock(); defer w.mu.Unlock(); w.reasons = append(w.reasons, reason) },
	}
	s := &postern.Source{
		ID: newID[postern.SourceID](t), Application: 7, Name: "test", Provider: "github",
		TokenHash: sha256.Sum256([]byte(token)), Secrets: w.seal(secret),
	}
	if change != nil {
		change(s, &w.config)
	}
	w.sources[s.TokenHash] = s
	w.handler = intake.New(w.config)
	return w
}

func (w *world) seal(secrets ...string) []postern.Sealed {
	w.t.Helper()
	var all []postern.Sealed
	for _, plain := range secrets {
		sealed, err := w.box.Seal([]byte(plain))
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, sealed)
	}
	return all
}

// replace changes the source as the catalogue does: by another record.
func (w *world) replace(change func(*postern.Source)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := *w.sources[sha256.Sum256([]byte(token))]
	change(&s)
	w.sources[s.TokenHash] = &s
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now.IsZero() {
		return time.Now()
	}
	return w.now
}

func (w *world) SourceByTokenHash(hash [32]byte) *postern.Source {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sources[hash]
}

func (w *world) Publish(_ context.Context, in postern.Publish) (*postern.Message, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return nil, false, w.fail
	}
	w.published = append(w.published, in)
	return &postern.Message{ID: postern.NewMessageID(time.Now(), 0, uint64(len(w.published)), 1)}, false, nil
}

func (w *world) Refuse(_ context.Context, r *postern.Refusal) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = append(w.refused, r)
	return w.keepFail
}

func (w *world) DeclareEventType(_ context.Context, name, description string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.declared = append(w.declared, name+": "+description)
	return nil
}

// send hands a request to the handler without a network.
func (w *world) send(r *http.Request) (*http.Response, string) {
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	return recorder.Result(), recorder.Body.String()
}

func newID[K ~[20]byte](t testing.TB) K {
	t.Helper()
	id, err := (&postern.IDSource{Now: time.Now, Random: rand.Reader}).Next()
	if err != nil {
		t.Fatal(err)
	}
	return K(id)
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// push is a request as GitHub sends it.
func push(target, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-GitHub-Event", "push")
	r.Header.Set("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
	r.Header.Set("X-Hub-Signature-256", "sha256="+mac(secret, body))
	return r
}

func mac(key, text string) string {
	h := hmac.New(sha256.New, []byte(key))
	io.WriteString(h, text)
	return hex.EncodeToString(h.Sum(nil))
}

// wantError checks status and shape of a refusal.
func wantError(t *testing.T, res *http.Response, body string, status int, code string) {
	t.Helper()
	var got map[string]string
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%d, body %q: %v", res.StatusCode, body, err)
	}
	if res.StatusCode != status || got["code"] != code || got["detail"] == "" || len(got) != 2 {
		t.Errorf("answered %d %v, want %d with code %q and a detail", res.StatusCode, got, status, code)
	}
	if res.Header.Get("Content-Type") != "application/json" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", res.Header)
	}
}

func TestVerifiedRequestIsPublishedAsItCame(t *testing.T) {
	w := newWorld(t, func(s *postern.Source, _ *intake.Config) { s.EventTypePrefix = "github." })
	server := httptest.NewServer(w.handler)
	defer server.Close()
	body := "{\"ref\" : \"refs/heads/m\u00e4in\"}\r\n\x00\xff"
	r := push(server.URL+"/in/"+token+"?a=b%20c&&d", body)
	r.RequestURI = ""
	r.Header["X-Twice"] = []string{"1 ", "2"}
	res, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusAccepted || len(res.Cookies()) > 0 {
		t.Fatalf("answered %d %s", res.StatusCode, answer)
	}
	var out map[string]string
	if err := json.Unmarshal(answer, &out); err != nil || len(out) != 1 {
		t.Fatalf("answered %s", answer)
	}
	if _, err := postern.ParseMessageID(out["id"]); err != nil {
		t.Error(err)
	}
	if len(w.published) != 1 {
		t.Fatalf("published %d messages", len(w.published))
	}
	got := w.published[0]
	source := w.SourceByTokenHash(sha256.Sum256([]byte(token)))
	want := postern.Publish{
		Application: 7, Source: source.ID, EventType: "github.push", ProviderEventType: "push",
		ContentType: "application/json", Payload: []byte(body),
		Request: &postern.InboundRequest{
			Method: "POST", Path: "/in/***", Query: "a=b%20c&&d", RemoteAddr: "127.0.0.1",
			URL: public + "/in/***?a=b%20c&&d",
			Headers: []postern.Header{
				{Name: "Accept-Encoding", Value: "gzip"}, {Name: "Content-Length", Value: strconv.Itoa(len(body))},
				{Name: "Content-Type", Value: "application/json"}, {Name: "User-Agent", Value: "Go-http-client/1.1"},
				{Name: "X-Github-Delivery", Value: "72d3162e-cc78-11e3-81ab-4c9367dc0958"},
				{Name: "X-Github-Event", Value: "push"}, {Name: "X-Hub-Signature-256", Value: "sha256=" + mac(secret, body)},
				{Name: "X-Twice", Value: "1"}, {Name: "X-Twice", Value: "2"},
			},
		},
		Duplicate: got.Duplicate,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"github.push: Sent by GitHub"}, w.declared); diff != "" {
		t.Errorf("declared (-want +got):\n%s", diff)
	}
}

func TestProviderNameBecomesEventType(t *testing.T) {
	long := strings.Repeat("x", 250)
	for _, tt := range []struct{ prefix, name, eventType, kept string }{
		{"", "orders/create", "orders.create", "orders/create"},
		{"shop.", "orders/créate", "shop.orders.cr.ate", "orders/créate"},
		{"shop.", "", "github.event", ""},
		{"", strings.Repeat("x", 300), "github.event", ""},
		{strings.Repeat("p", 100), long, "github.event", long},
	} {
		w := newWorld(t, func(s *postern.Source, _ *intake.Config) { s.EventTypePrefix = tt.prefix })
		r := push("/in/"+token, "{}")
		r.Header["X-Github-Event"] = []string{tt.name}
		if res, body := w.send(r); res.StatusCode != http.StatusAccepted {
			t.Fatalf("answered %d %s", res.StatusCode, body)
		}
		if got := w.published[0]; got.EventType != tt.eventType || got.ProviderEventType != tt.kept {
			t.Errorf("%q with prefix %q became %q (%q)", tt.name, tt.prefix, got.EventType, got.ProviderEventType)
		}
	}
}

func TestAnswerOfTheSource(t *testing.T) {
	for _, tt := range []struct {
		answer, status int
		body           bool
	}{{0, 202, true}, {200, 200, true}, {204, 204, false}} {
		w := newWorld(t, func(s *postern.Source, _ *intake.Config) { s.Answer = tt.answer })
		res, body := w.send(push("/in/"+token, "{}"))
		if res.StatusCode != tt.status || strings.HasPrefix(body, `{"id":"msg_`) != tt.body || (body != "") != tt.body {
			t.Errorf("answer %d: %d %q", tt.answer, res.StatusCode, body)
		}
	}
}

func TestUnknownPathsAreNotFound(t *testing.T) {
	w := newWorld(t, nil)
	for _, path := range []string{
		"/in/", "/in", "/in/" + token + "/", "/in/" + token + "/x", "/in//" + token, "//in/" + token, "/in/%30" + token[1:],
		"/in/" + strings.ToLower(token), "/in/" + strings.Repeat("x", 5000), "/in/../in/" + token, "/in/" + token + "%2F", "/in/%00",
	} {
		res, body := w.send(push(path, "{}"))
		wantError(t, res, body, http.StatusNotFound, "not_found")
		if res.Header.Get("Location") != "" {
			t.Errorf("%s is redirected", path)
		}
	}
	if len(w.published)+len(w.refused) > 0 {
		t.Error("something was stored")
	}
}

func TestMethods(t *testing.T) {
	w := newWorld(t, nil)
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "CONNECT", "post"} {
		r := push("/in/"+token, "{}")
		r.Method = method
		res, body := w.send(r)
		wantError(t, res, body, http.StatusMethodNotAllowed, "method_not_allowed")
		if allow := res.Header.Get("Allow"); allow != "POST" {
			t.Errorf("%s: Allow %q", method, allow)
		}
	}
	w.replace(func(s *postern.Source) { s.Methods = []string{"PUT"} })
	r := push("/in/"+token, "{}")
	r.Method = "PUT"
	if res, body := w.send(r); res.StatusCode != http.StatusAccepted || w.published[0].Request.Method != "PUT" {
		t.Errorf("a method that the source names: %d %s", res.StatusCode, body)
	}
	r = push("/in/"+token, "{}")
	r.Method = "GET"
	if res, _ := w.send(r); res.Header.Get("Allow") != "POST, PUT" {
		t.Errorf("Allow %q", res.Header.Get("Allow"))
	}
}

func TestPausedSourceAsksToRetry(t *testing.T) {
	w := newWorld(t, func(s *postern.Source, _ *intake.Config) { s.Paused = true })
	res, body := w.send(push("/in/"+token, "{}"))
	wantError(t, res, body, http.StatusServiceUnavailable, "unavailable")
	if res.Header.Get("Retry-After") != "60" || len(w.published) > 0 {
		t.Errorf("Retry-After %q, %d published", res.Header.Get("Retry-After"), len(w.published))
	}
	w.replace(func(s *postern.Source) { s.Paused = false })
	if res, body := w.send(push("/in/"+token, "{}")); res.StatusCode != http.StatusAccepted {
		t.Errorf("resumed: %d %s", res.StatusCode, body)
	}
}

func TestOverloadIsRefusedBeforeTheBodyIsRead(t *testing.T) {
	var asked int64
	w := newWorld(t, func(_ *postern.Source, c *intake.Config) {
		c.Admit = func(size int64) error { asked = size; return postern.ErrUnavailable }
	})
	r := push("/in/"+token, "{}")
	r.Body = unreadable{t}
	res, body := w.send(r)
	wantError(t, res, body, http.StatusServiceUnavailable, "unavailable")
	if asked != 2 || res.Header.Get("Retry-After") != "1" {
		t.Errorf("asked for %d, Retry-After %q", asked, res.Header.Get("Retry-After"))
	}
}

type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) { u.t.Error("the body was read"); return 0, io.EOF }
func (unreadable) Close() error               { return nil }

func TestFailuresOfThePublisher(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		code   string
		logged bool
	}{
		{postern.ErrUnavailable, 503, "unavailable", false},
		{postern.ErrRateLimited, 503, "unavailable", false},
		{postern.ErrNotFound, 404, "not_found", false}, // its application went
		{postern.ErrTooLarge, 413, "payload_too_large", false},
		{postern.ErrInvalid, 500, "internal", true},
		{io.ErrUnexpectedEOF, 500, "internal", true},
	} {
		w := newWorld(t, nil)
		w.fail = tt.err
		res, body := w.send(push("/in/"+token, "{}"))
		wantError(t, res, body, tt.status, tt.code)
		if logged := w.logs.Len() > 0; logged != tt.logged {
			t.Errorf("%v: logged %v", tt.err, logged)
		}
		if (tt.status == 503) != (res.Header.Get("Retry-After") != "") {
			t.Errorf("%v: Retry-After %q", tt.err, res.Header.Get("Retry-After"))
		}
	}
}

func TestUnusableSourceIsOursToMend(t *testing.T) {
	w := newWorld(t, func(s *postern.Source, _ *intake.Config) { s.Secrets = nil })
	for range 3 {
		res, body := w.send(push("/in/"+token, "{}"))
		wantError(t, res, body, http.StatusInternalServerError, "internal")
	}
	if n := strings.Count(w.logs.String(), "source cannot be used"); n != 1 {
		t.Errorf("logged %d times, want once: %s", n, w.logs.String())
	}
	for _, broken := range []func(*postern.Source){
		func(s *postern.Source) { s.Provider = "no_such" },
		func(s *postern.Source) { s.Secrets = []postern.Sealed{[]byte("not sealed")} },
	} {
		w.replace(broken)
		res, body := w.send(push("/in/"+token, "{}"))
		wantError(t, res, body, http.StatusInternalServerError, "internal")
	}
	w.replace(func(s *postern.Source) { s.Provider, s.Secrets = "github", w.seal(secret) })
	if res, body := w.send(push("/in/"+token, "{}")); res.StatusCode != http.StatusAccepted {
		t.Errorf("mended: %d %s", res.StatusCode, body)
	}
	if strings.Contains(w.logs.String(), token) {
		t.Error("the token is in the log")
	}
}

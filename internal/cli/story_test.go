package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/postern-dev/postern/internal/config"
	"github.com/postern-dev/postern/sign"
)

// tellStory runs the story on a server of its own, after change.
func tellStory(t *testing.T, change func(*story)) (*story, error) {
	t.Helper()
	settings, err := config.Load(config.Input{Preset: map[string]string{
		"listen": "127.0.0.1:0", "store": "memory:", "admin-key": "k", "egress-allow": loopback, "retry-schedule": "1s", "log-level": "error",
	}})
	if err != nil {
		t.Fatal(err)
	}
	p := (&Program{}).withDefaults()
	s, err := openServer(t.Context(), settings, "test", p.newLogger(settings))
	if err != nil {
		t.Fatal(err)
	}
	st := newStory(newCaller(s.url(), "k"), &narrator{out: io.Discard}, &demoReport{})
	change(st)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var told error
	if err := s.run(ctx, func(ctx context.Context) error {
		defer cancel()
		told = p.withReceiver(ctx, st)
		return nil
	}); err != nil {
		t.Errorf("the server: %v", err)
	}
	return st, told
}

// What the receiver took for right is so for the official library.
func TestStoryIsSignedForEverybody(t *testing.T) {
	st, err := tellStory(t, func(*story) {})
	if err != nil {
		t.Fatal(err)
	}
	if len(st.received) != 3 {
		t.Fatalf("%d deliveries", len(st.received))
	}
	for _, a := range st.received {
		key := (*st.receiver.keys.Load())[a.Path]
		official, err := standardwebhooks.NewWebhook(strings.TrimPrefix(key.Reveal(), "whsec_"))
		if err != nil {
			t.Fatal(err)
		}
		if err := official.Verify(a.Body, a.Header); err != nil {
			t.Errorf("%s: %v", a.Path, err)
		}
		if err := official.Verify(append(a.Body, '!'), a.Header); err == nil {
			t.Errorf("%s: the library takes anything", a.Path)
		}
	}
}

// A step that does not come out as it should ends the story with what was
// expected.
func TestStoryFails(t *testing.T) {
	tests := map[string]struct {
		change func(*story)
		want   string
	}{
		"a wrong key": {func(st *story) { st.api.key = "other" }, "401 Unauthorized"},
		"an endpoint that does not fail": {func(st *story) { st.receiver.answer = func(*arrival) int { return 200 } },
			"expected 200 from steady, and 500 then 200 from shaky, got [200] and [200]"},
		"an endpoint that does not recover": {func(st *story) {
			st.receiver.answer = func(*arrival) int { return 500 } // steady may be tried again first
		}, "expected 3, got one more to"},
		"another message": {func(st *story) {
			arrived := st.receiver.arrived
			st.receiver.arrived = func(a *arrival) { a.Header.Set("Webhook-Id", "msg_other"); arrived(a) }
		}, "the delivered message is: expected msg_"},
		"other bytes": {func(st *story) {
			arrived := st.receiver.arrived
			st.receiver.arrived = func(a *arrival) { a.Body = nil; arrived(a) }
		}, "the delivered bytes are: expected {"},
		"a wrong signature": {func(st *story) {
			arrived := st.receiver.arrived
			st.receiver.arrived = func(a *arrival) { a.Signature = sign.ErrHeaderMissing; arrived(a) }
		}, "expected a right signature: sign: header is missing"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := tellStory(t, tt.change); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// The receiver answers 401 to what it cannot verify, whatever the answer else.
func TestReceiver(t *testing.T) {
	key := sign.GenerateSymmetric()
	now := time.Now()
	var seen []*arrival
	r := &receiver{answer: func(*arrival) int { return http.StatusNoContent }, arrived: func(a *arrival) { seen = append(seen, a) }}
	signed := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/x", strings.NewReader("{}"))
	signed.Header = officialHeader(t, key, now, "{}")
	bare := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/x", strings.NewReader("{}"))
	post := func(req *http.Request) int {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)
		return w.Code
	}
	if code := post(bare); code != http.StatusUnauthorized {
		t.Errorf("without keys: %d", code)
	}
	r.use(map[string]sign.Key{"/x": key})
	if code := post(signed); code != http.StatusNoContent || seen[len(seen)-1].Signature != nil || seen[len(seen)-1].MessageID() != "msg_1" {
		t.Errorf("signed: %d, %v", code, seen[len(seen)-1].Signature)
	}
	if code := post(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", http.NoBody)); code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", code)
	}
	if code := post(httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/x", strings.NewReader(strings.Repeat("x", maxDelivery+1)))); code != http.StatusBadRequest {
		t.Errorf("too large: %d", code)
	}
	if len(seen) != 2 {
		t.Errorf("%d arrivals, want the two that were read", len(seen))
	}
}

// officialHeader signs with the official library.
func officialHeader(t *testing.T, key sign.Key, now time.Time, body string) http.Header {
	t.Helper()
	official, err := standardwebhooks.NewWebhook(strings.TrimPrefix(key.Reveal(), "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := official.Sign("msg_1", now, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	h.Set("Webhook-Id", "msg_1")
	h.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	h.Set("Webhook-Signature", signature)
	return h
}

func TestExcerpt(t *testing.T) {
	for _, tt := range []struct{ payload, want string }{
		{"", ""}, {"short", "short"}, {"0123456789", "0123456789"}, {"0123456789a", "0123456789..."},
		{"a\x1b[2J\nb", "a.[2J.b"}, {"012345678é", "012345678...."}, {"é\u202e\x9b", "é.."},
	} {
		if got := excerpt([]byte(tt.payload), 10); got != tt.want {
			t.Errorf("excerpt(%q) = %q, want %q", tt.payload, got, tt.want)
		}
	}
}

// A browser is led here under another name with the key that everybody knows,
// or a page that it shows asks here by itself.
func TestDemoAPIIsForThisMachine(t *testing.T) {
	rest := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	h := demoHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }), rest)
	for _, tt := range []struct {
		host, path, origin string
		want               int
	}{
		{"127.0.0.1:8080", "/api/v1/app", "", http.StatusTeapot}, {"localhost", "/api/v1/app", "", http.StatusTeapot},
		{"[::1]:8080", "/api/v1/app", "", http.StatusTeapot}, {"[::1]", "/api/v1/app", "", http.StatusTeapot},
		{"evil.example:8080", "/api/v1/app", "", http.StatusForbidden}, {"", "/api/v1/app", "", http.StatusForbidden},
		{"127.0.0.1.evil.example", "/api/v1/app", "", http.StatusForbidden}, {"10.0.0.1", "/api/v1/app", "", http.StatusForbidden},
		{"tunnel.example", "/in/token", "", http.StatusTeapot}, {"127.0.0.1", demoPath, "", http.StatusOK},
		{"127.0.0.1:8080", "/api/v1/app", "http://127.0.0.1:8080", http.StatusTeapot}, {"localhost", "/api/v1/app", "http://localhost:3000", http.StatusTeapot},
		{"127.0.0.1:8080", "/api/v1/app", "https://evil.example", http.StatusForbidden}, {"127.0.0.1:8080", "/api/v1/app", "null", http.StatusForbidden},
		{"127.0.0.1:8080", "/api/v1/app", "http://127.0.0.1.evil.example", http.StatusForbidden}, {"127.0.0.1", "/in/token", "https://evil.example", http.StatusTeapot},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, tt.path, http.NoBody)
		r.Host = tt.host
		r.Header.Set("Origin", tt.origin)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("%s at %q from %q: %d, want %d", tt.path, tt.host, tt.origin, w.Code, tt.want)
		}
		if w.Code != http.StatusForbidden {
			continue
		}
		var told struct{ Code, Detail string }
		kind, err := w.Header().Get("Content-Type"), json.Unmarshal(w.Body.Bytes(), &told)
		if err != nil || kind != "application/json" || told.Code != "insufficient access" || told.Detail == "" {
			t.Errorf("%s at %q from %q: %s %+v, %v", tt.path, tt.host, tt.origin, kind, told, err)
		}
	}
}

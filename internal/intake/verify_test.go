package intake_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/intake"
)

// The example of docs.github.com, "Validating webhook deliveries".
func TestGitHubsDocumentedSignature(t *testing.T) {
	w := newWorld(t, nil)
	r := push("/in/"+token, "Hello, World!")
	r.Header.Set("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
	if res, body := w.send(r); res.StatusCode != http.StatusAccepted {
		t.Errorf("answered %d %s", res.StatusCode, body)
	}
}

func TestWhatDoesNotVerifyIsARefusal(t *testing.T) {
	signature := "sha256=" + mac(secret, "{}")
	var answers []string
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
		reason string
	}{
		{"tampered body", func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", "sha256="+mac(secret, "{ }")) }, "signature_mismatch"},
		{"another secret", func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", "sha256="+mac("other", "{}")) }, "signature_mismatch"},
		{"none", func(r *http.Request) { r.Header.Del("X-Hub-Signature-256") }, "signature_missing"},
		{"empty", func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", "") }, "signature_missing"},
		{"cut", func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", signature[:40]) }, "signature_malformed"},
		{"twice", func(r *http.Request) { r.Header.Add("X-Hub-Signature-256", signature) }, "duplicate_header"},
	} {
		w := newWorld(t, nil)
		r := push("/in/"+token+"?q=1", "{}")
		tt.change(r)
		res, body := w.send(r)
		wantError(t, res, body, http.StatusUnauthorized, "authentication_failed")
		answers = append(answers, body)
		if len(w.published) > 0 || len(w.refused) != 1 || len(w.reasons) != 1 || w.reasons[0] != tt.reason {
			t.Fatalf("%s: %d published, %d refused, counted %v", tt.name, len(w.published), len(w.refused), w.reasons)
		}
		got := w.refused[0]
		if got.ID.IsZero() || got.Source.IsZero() || got.Reason != tt.reason || got.Detail == "" || string(got.Body) != "{}" || got.BodyTruncated {
			t.Errorf("%s: refused as %+v", tt.name, got)
		}
		if got.ContentType != "application/json" || got.Request.Path != "/in/***" || got.Request.Query != "q=1" || len(got.Request.Headers) < 3 {
			t.Errorf("%s: request %+v", tt.name, got.Request)
		}
		if strings.Contains(got.Detail, mac(secret, "{}")) {
			t.Errorf("%s: the detail tells the right signature: %s", tt.name, got.Detail)
		}
	}
	for _, answer := range answers {
		if answer != answers[0] {
			t.Errorf("answers differ: %s, %s", answer, answers[0])
		}
	}
}

func TestRefusalThatIsNotKeptIsStillRefused(t *testing.T) {
	w := newWorld(t, nil)
	w.keepFail = errors.New("disk on fire")
	r := push("/in/"+token, "{}")
	r.Header.Del("X-Hub-Signature-256")
	res, body := w.send(r)
	wantError(t, res, body, http.StatusUnauthorized, "authentication_failed")
	if !strings.Contains(w.logs.String(), "disk on fire") {
		t.Error("nothing is logged")
	}
}

func TestRefusedBodyIsBounded(t *testing.T) {
	w := newWorld(t, nil)
	body := strings.Repeat("x", intake.MaxRefusedBody+1)
	for n, truncated := range map[int]bool{intake.MaxRefusedBody: false, intake.MaxRefusedBody + 1: true} {
		w.refused = nil
		r := push("/in/"+token, body[:n])
		r.Header.Del("X-Hub-Signature-256")
		w.send(r)
		if got := w.refused[0]; len(got.Body) != intake.MaxRefusedBody || got.BodyTruncated != truncated {
			t.Errorf("%d bytes: kept %d, truncated %v", n, len(got.Body), got.BodyTruncated)
		}
	}
}

// A flood of forged requests is counted and not written.
func TestFloodOfRefusalsIsNotKept(t *testing.T) {
	w := newWorld(t, nil)
	w.now = time.Unix(1_700_000_000, 0)
	forge := func(n int) {
		for range n {
			r := push("/in/"+token, "{}")
			r.Header.Del("X-Hub-Signature-256")
			if res, _ := w.send(r); res.StatusCode != http.StatusUnauthorized {
				t.Fatalf("answered %d", res.StatusCode)
			}
		}
	}
	forge(300)
	if len(w.refused) != 100 || len(w.reasons) != 300 {
		t.Errorf("kept %d, counted %d; want 100 and 300", len(w.refused), len(w.reasons))
	}
	w.now = w.now.Add(100 * time.Millisecond)
	w.replace(func(s *postern.Source) { s.Name = "renamed" }) // gives no new burst
	forge(50)
	if len(w.refused) != 110 {
		t.Errorf("kept %d after a tenth of a second, want 110", len(w.refused))
	}
	if res, _ := w.send(push("/in/"+token, "{}")); res.StatusCode != http.StatusAccepted {
		t.Errorf("a good request in the flood: %d", res.StatusCode)
	}
}

// What could be the matter is looked for in fewer of them: that costs more.
func TestFloodOfRefusalsIsNotDiagnosed(t *testing.T) {
	w := newWorld(t, nil)
	w.now = time.Unix(1_700_000_000, 0)
	forge := func(n int) (diagnosed int) {
		w.refused = nil
		for range n {
			r := push("/in/"+token, "{}\n")
			r.Header.Set("X-Hub-Signature-256", "sha256="+mac(secret, "{}"))
			w.send(r)
		}
		for _, r := range w.refused {
			if strings.Contains(r.Detail, "line break") {
				diagnosed++
			}
		}
		return diagnosed
	}
	if got := forge(100); len(w.refused) != 100 || got != 32 {
		t.Errorf("kept %d, diagnosed %d; want 100 and 32", len(w.refused), got)
	}
	w.now = w.now.Add(time.Second)
	w.replace(func(s *postern.Source) { s.Name = "renamed" }) // gives no new burst
	if got := forge(100); len(w.refused) != 100 || got != 5 {
		t.Errorf("kept %d, diagnosed %d a second later; want 100 and 5", len(w.refused), got)
	}
}

func TestOtherProviders(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	now := time.Now()
	stamp := strconv.FormatInt(now.Unix(), 10)
	standard := func(id, stamp, body string) string {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(id + "." + stamp + "." + body))
		return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
	}
	for _, tt := range []struct {
		name      string
		source    func(w *world, s *postern.Source)
		request   func(r *http.Request)
		status    int
		eventType string
		dedupes   bool
	}{
		{
			"standard webhooks", func(w *world, s *postern.Source) {
				s.Provider, s.Secrets = "standard_webhooks", w.seal("whsec_"+base64.StdEncoding.EncodeToString(key))
			}, func(r *http.Request) {
				r.Header.Set("Webhook-Id", "msg_1")
				r.Header.Set("Webhook-Timestamp", stamp)
				r.Header.Set("Webhook-Signature", "v1,AAAA "+standard("msg_1", stamp, `{"type":"a.b"}`))
			}, 202, "a.b", true,
		},
		{
			"standard webhooks, stale", func(w *world, s *postern.Source) {
				s.Provider, s.Secrets = "standard-webhooks", w.seal("whsec_"+base64.StdEncoding.EncodeToString(key))
			}, func(r *http.Request) {
				old := strconv.FormatInt(now.Add(-time.Hour).Unix(), 10)
				r.Header.Set("Webhook-Id", "msg_1")
				r.Header.Set("Webhook-Timestamp", old)
				r.Header.Set("Webhook-Signature", standard("msg_1", old, `{"type":"a.b"}`))
			}, 401, "", false,
		},
		{
			"hmac over the public url", func(w *world, s *postern.Source) {
				s.Provider = "hmac"
				s.Config = map[string]string{"header": "X-Sig", "template": "{method} {url} {body}", "event_type": "json:type"}
			}, func(r *http.Request) {
				r.Host = "evil.example"
				r.Header.Set("X-Forwarded-Host", "evil.example")
				r.Header.Set("X-Sig", mac(secret, "POST "+public+"/in/"+token+"?x=%2F "+`{"type":"a.b"}`))
			}, 202, "a.b", false,
		},
		{
			"none", func(_ *world, s *postern.Source) {
				s.Provider, s.Secrets = "none", nil
				s.Config = map[string]string{"delivery_id": "json:type"}
			}, func(*http.Request) {}, 202, "none.event", true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.replace(func(s *postern.Source) { tt.source(w, s) })
			r := httptest.NewRequest(http.MethodPost, "/in/"+token+"?x=%2F", strings.NewReader(`{"type":"a.b"}`))
			tt.request(r)
			res, body := w.send(r)
			if res.StatusCode != tt.status {
				t.Fatalf("answered %d %s; refused for %v", res.StatusCode, body, w.reasons)
			}
			if tt.status != 202 {
				return
			}
			got := w.published[0]
			if got.EventType != tt.eventType || got.ContentType != "" || (got.Duplicate != postern.DuplicateKey{}) != tt.dedupes {
				t.Errorf("published %+v", got)
			}
		})
	}
}

func TestURLIsNotTakenFromTheRequest(t *testing.T) {
	w := newWorld(t, func(s *postern.Source, c *intake.Config) {
		c.PublicURL = ""
		s.Provider, s.Config = "hmac", map[string]string{"header": "X-Sig", "template": "{url}{body}"}
	})
	r := httptest.NewRequest(http.MethodPost, "http://own.example/in/"+token, strings.NewReader("{}"))
	r.Header.Set("X-Sig", mac(secret, "http://own.example/in/"+token+"{}"))
	if res, _ := w.send(r); res.StatusCode != http.StatusUnauthorized || w.reasons[0] != "url_missing" {
		t.Errorf("answered %d, %v", res.StatusCode, w.reasons)
	}
}

func TestClientAddress(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	for _, tt := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"192.0.2.1:5", []string{"198.51.100.1"}, "192.0.2.1"}, // a stranger's word
		{"10.0.0.1:5", nil, "10.0.0.1"},
		{"10.0.0.1:5", []string{"198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1:5", []string{"1.1.1.1, 198.51.100.1, 10.0.0.9"}, "198.51.100.1"},
		{"10.0.0.1:5", []string{"1.1.1.1", "198.51.100.1", "10.0.0.9"}, "198.51.100.1"},
		{"10.0.0.1:5", []string{"198.51.100.1:443"}, "198.51.100.1"},
		{"10.0.0.1:5", []string{"198.51.100.1, garbage, 10.0.0.9"}, "10.0.0.9"},
		{"10.0.0.1:5", []string{"198.51.100.1,"}, "10.0.0.1"},
		{"10.0.0.1:5", []string{"10.0.0.2"}, "10.0.0.2"},
		{"[::ffff:10.0.0.1]:5", []string{"[2001:db8::1]:80", "2001:db8::2"}, "2001:db8::1"},
		{"[2001:db8::1%eth0]:5", []string{"2001:dead::1"}, "2001:dead::1"},
		{"@", []string{"198.51.100.1"}, "@"},
	} {
		w := newWorld(t, func(_ *postern.Source, c *intake.Config) { c.TrustedProxies = trusted })
		r := push("/in/"+token, "{}")
		r.RemoteAddr, r.Header["X-Forwarded-For"] = tt.peer, tt.forwarded
		w.send(r)
		if got := w.published[0].Request.RemoteAddr; got != tt.want {
			t.Errorf("from %s by way of %q: %s, want %s", tt.peer, tt.forwarded, got, tt.want)
		}
	}
}

// Whatever a request to a GitHub source looks like: no panic, and 2xx only
// for the right signature over the very bytes.
func FuzzGitHubRequest(f *testing.F) {
	f.Add("POST", token, "a=b", "sha256="+mac(secret, "{}"), "push", "1", []byte("{}"), int64(2))
	f.Add("POST", token, "", "sha256="+mac(secret, "{}"), "push", "1", []byte("{ }"), int64(-1))
	f.Add("POST", token, "", "sha256=", "", "", []byte(nil), int64(0))
	f.Add("POST", token, "%zz", "sha1=00", "\x00", "\xff", []byte("\xff"), int64(1<<40))
	f.Add("GET", token+"/", "", "", "", "", []byte("x"), int64(1))
	w := newWorld(f, func(_ *postern.Source, c *intake.Config) { c.Logger = nil })
	f.Fuzz(func(t *testing.T, method, path, query, signature, event, delivery string, body []byte, length int64) {
		w.mu.Lock()
		w.published, w.refused, w.reasons, w.declared = nil, nil, nil, nil
		w.mu.Unlock()
		r := httptest.NewRequest(http.MethodPost, "/in/x", bytes.NewReader(body))
		r.Method, r.ContentLength = method, length
		r.URL.Path, r.URL.RawQuery = "/in/"+path, query
		r.Header["X-Hub-Signature-256"] = []string{signature}
		r.Header["X-Github-Event"] = []string{event}
		r.Header["X-Github-Delivery"] = []string{delivery}
		res, answer := w.send(r)
		sent := body
		if length == 0 {
			sent = nil
		}
		right := method == http.MethodPost && path == token && strings.EqualFold(signature, "sha256="+mac(secret, string(sent)))
		if accepted := res.StatusCode < 300; accepted && !right || accepted != (len(w.published) == 1) {
			t.Fatalf("answered %d %s, %d published", res.StatusCode, answer, len(w.published))
		}
		if res.StatusCode >= 300 && res.StatusCode < 400 || strings.Contains(answer, token) {
			t.Fatalf("answered %d %s", res.StatusCode, answer)
		}
	})
}

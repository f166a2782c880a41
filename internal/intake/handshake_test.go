package intake_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/intake"
	"github.com/postern-dev/postern/verify"
)

// keeper stands for the catalogue: it keeps the first secret of a source.
type keeper struct {
	w    *world
	fail error
}

func (k keeper) StoreSecret(_ context.Context, s *postern.Source, setting, secret string) error {
	if k.fail != nil {
		return k.fail
	}
	conflict := false
	k.w.replace(func(now *postern.Source) {
		if conflict = now.SealedConfig[setting] != nil; conflict {
			return
		}
		now.SealedConfig = map[string]postern.Sealed{setting: k.w.seal(secret)[0]}
	})
	if conflict {
		return &postern.Error{Kind: postern.Conflict}
	}
	return nil
}

// fetched notes what was to be fetched.
type fetched struct {
	urls []string
	fail error
}

func (f *fetched) Fetch(_ context.Context, url string) ([]byte, error) {
	f.urls = append(f.urls, url)
	return nil, f.fail
}

// greeting is a request that is no event, and its answer.
type greeting struct {
	name, provider string
	secrets        []string
	config         map[string]string
	method, query  string
	header         map[string]string
	body           string
	status         int
	answer         string
	headers        map[string]string
}

func (g greeting) world(t *testing.T, change func(*intake.Config)) *world {
	return newWorld(t, func(s *postern.Source, c *intake.Config) {
		s.Provider, s.Config, s.Secrets = g.provider, g.config, nil
		box := c.Secrets.(interface {
			Seal(plain []byte) (postern.Sealed, error)
		})
		for _, plain := range g.secrets {
			sealed, err := box.Seal([]byte(plain))
			if err != nil {
				t.Fatal(err)
			}
			s.Secrets = append(s.Secrets, sealed)
		}
		if change != nil {
			change(c)
		}
	})
}

func (g greeting) request() *http.Request {
	target := "/in/" + token
	if g.query != "" {
		target += "?" + g.query
	}
	r := httptest.NewRequest(g.method, target, strings.NewReader(g.body))
	for name, value := range g.header {
		r.Header.Set(name, value)
	}
	return r
}

// greetings has each kind of handshake once, over HTTP; package verify has every
// provider's.
func greetings() []greeting {
	xero := `{"events":[],"firstEventSequence":0}`
	ping := `{"type":"url_verification","challenge":"3eZbrw1a"}`
	one := []string{secret}
	return []greeting{
		{name: "echo", provider: "meta", secrets: one, config: map[string]string{"verify_token": "tok"}, method: "GET",
			query: "hub.mode=subscribe&hub.verify_token=tok&hub.challenge=1158201444", status: 200, answer: "1158201444", headers: map[string]string{"Content-Type": "text/plain"}},
		{name: "echo signed", provider: "slack", secrets: one, method: "POST", body: ping,
			header: map[string]string{"X-Slack-Request-Timestamp": "1760000000", "X-Slack-Signature": "v0=" + mac(secret, "v0:1760000000:"+ping)},
			status: 200, answer: "3eZbrw1a"},
		{name: "compute", provider: "x", secrets: one, method: "GET", query: "crc_token=abc", status: 200,
			answer: `{"response_token":"sha256=` + b64mac(secret, "abc") + `"}`, headers: map[string]string{"Content-Type": "application/json"}},
		{name: "compute over the address", provider: "ebay", secrets: []string{publicKey}, config: map[string]string{"verification_token": "vt"}, method: "GET", query: "challenge_code=cc", status: 200,
			answer: `{"challengeResponse":"` + hexSum("ccvt"+public+"/in/"+token) + `"}`},
		{name: "fixed", provider: "xero", secrets: one, method: "POST", body: xero, header: map[string]string{"X-Xero-Signature": b64mac(secret, xero)}, status: 200},
		{name: "probe", provider: "trello", secrets: one, method: "HEAD", status: 200},
		{name: "consent", provider: "cloudevents", secrets: one, config: map[string]string{"allowed_origins": "a.example"}, method: "OPTIONS",
			header: map[string]string{"WebHook-Request-Origin": "a.example", "WebHook-Request-Callback": "https://evil.example/callback"},
			status: 200, headers: map[string]string{"Webhook-Allowed-Origin": "a.example", "Webhook-Allowed-Rate": "*"}},
		{name: "store", provider: "asana", method: "POST", header: map[string]string{"X-Hook-Secret": "b537207f20cb"}, status: 200, headers: map[string]string{"X-Hook-Secret": "b537207f20cb"}},
	}
}

func TestHandshakes(t *testing.T) {
	for _, g := range greetings() {
		t.Run(g.name, func(t *testing.T) {
			var kinds []string
			fetches := &fetched{}
			var kept keeper
			w := g.world(t, func(c *intake.Config) {
				c.Handshake = func(kind string) { kinds = append(kinds, kind) }
				c.Fetch, c.Delivered = fetches, &kept
			})
			kept.w, w.now = w, time.Unix(1760000000, 0)
			res, body := w.send(g.request())
			if res.StatusCode != g.status || body != g.answer {
				t.Errorf("answered %d %q, want %d %q", res.StatusCode, body, g.status, g.answer)
			}
			for name, value := range g.headers {
				if got := res.Header.Get(name); got != value {
					t.Errorf("%s is %q, want %q", name, got, value)
				}
			}
			if res.Header.Get("X-Content-Type-Options") != "nosniff" || res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v", res.Header)
			}
			if len(w.published)+len(w.refused) > 0 || len(kinds) != 1 || len(fetches.urls) > 0 {
				t.Errorf("%d published, %d refused, counted as %q, fetched %q", len(w.published), len(w.refused), kinds, fetches.urls)
			}
			if strings.Contains(w.logs.String(), token) || strings.Contains(w.logs.String(), secret) {
				t.Errorf("the log tells: %s", w.logs)
			}
		})
	}
}

// TestHandshakeAbuse: what is not right is refused, kept for the owner, and
// answered without a word of what was sent.
func TestHandshakeAbuse(t *testing.T) {
	config := map[string]string{"verify_token": "tok"}
	for _, g := range []greeting{
		{name: "HTML", provider: "meta", secrets: []string{secret}, config: config, method: "GET", query: "hub.mode=subscribe&hub.verify_token=tok&hub.challenge=%3Cscript%3E", status: 403},
		{name: "long", provider: "meta", secrets: []string{secret}, config: config, method: "GET", query: "hub.mode=subscribe&hub.verify_token=tok&hub.challenge=" + strings.Repeat("1", 600), status: 403},
		{name: "a foreign origin", provider: "cloudevents", secrets: []string{secret}, config: map[string]string{"allowed_origins": "a.example"}, method: "OPTIONS",
			header: map[string]string{"WebHook-Request-Origin": "a.example.evil.example"}, status: 403},
		{name: "an oracle", provider: "x", secrets: []string{secret}, method: "GET", query: "crc_token=%7B%22a%22%3A1%7D", status: 403},
		{name: "what an oracle said", provider: "x", secrets: []string{secret}, method: "POST", body: "abc", header: map[string]string{"X-Twitter-Webhooks-Signature": "sha256=" + b64mac(secret, "abc")}, status: 401},
		{name: "unsigned", provider: "slack", secrets: []string{secret}, method: "POST", body: `{"type":"url_verification","challenge":"a"}`, status: 401},
		{name: "another status", provider: "fitbit", secrets: []string{secret}, config: map[string]string{"verification_code": "c"}, method: "GET", query: "verify=d", status: 404},
		{name: "a secret beside the owner's", provider: "asana", secrets: []string{secret}, method: "POST", header: map[string]string{"X-Hook-Secret": "other"}, status: 403},
	} {
		t.Run(g.name, func(t *testing.T) {
			w := g.world(t, nil)
			res, body := w.send(g.request())
			wantError(t, res, body, g.status, "authentication_failed")
			if !strings.Contains(body, "The request could not be verified") || len(w.published) > 0 || len(w.refused) != 1 || w.refused[0].Detail == "" {
				t.Errorf("body %s, %d published, refused %v", body, len(w.published), w.refused)
			}
		})
	}
}

// TestDeliveredSecretIsKeptOnce, before the answer, and verifies what follows.
func TestDeliveredSecretIsKeptOnce(t *testing.T) {
	kept := &keeper{}
	w := greeting{provider: "asana"}.world(t, func(c *intake.Config) { c.Delivered = kept })
	kept.w = w
	shake := func(secret string) (*http.Response, string) {
		return w.send(greeting{method: "POST", header: map[string]string{"X-Hook-Secret": secret}}.request())
	}
	event := func(secret string) int {
		body := `{"events":[{"action":"changed"}]}`
		res, _ := w.send(greeting{method: "POST", body: body, header: map[string]string{"X-Hook-Signature": mac(secret, body)}}.request())
		return res.StatusCode
	}
	kept.fail = errors.New("the disk is full")
	if res, _ := shake("first"); res.StatusCode != 500 || res.Header.Get("X-Hook-Secret") != "" {
		t.Errorf("answered %d %v before the secret was kept", res.StatusCode, res.Header)
	}
	kept.fail = nil
	for _, step := range []struct {
		secret string
		status int
	}{{"first", 200}, {"first", 200}, {"second", 403}} {
		if res, body := shake(step.secret); res.StatusCode != step.status || strings.Contains(body, step.secret) {
			t.Errorf("%s: answered %d %s, want %d", step.secret, res.StatusCode, body, step.status)
		}
	}
	kept.fail = &postern.Error{Kind: postern.Conflict} // two at once
	w.replace(func(s *postern.Source) { s.SealedConfig = nil })
	if res, _ := shake("third"); res.StatusCode != 403 {
		t.Errorf("the slower of two: answered %d", res.StatusCode)
	}
	w.replace(func(s *postern.Source) {
		s.SealedConfig = map[string]postern.Sealed{"stored_secret": w.seal("first")[0]}
	})
	if got := event("first"); got/100 != 2 {
		t.Errorf("an event signed with it: %d", got)
	}
	if got := event("second"); got != 401 {
		t.Errorf("an event signed with another: %d", got)
	}
}

// TestConfirmation fetches before it answers, and what it fetches is no secret
// of a log.
func TestConfirmation(t *testing.T) {
	fetches := &fetched{}
	own := `{"id":"topics","name":"Topics","status":"generic","schemes":[{"kind":"hmac","hash":"sha256","key":{"form":"utf8"},
		"signature":{"from":["header:X-Sig"],"encoding":"hex"},"template":"{body}"}],
		"handshakes":[{"kind":"confirm","if":["json:Type=SubscriptionConfirmation"],"signed":true,"challenge":"json:SubscribeURL","hosts":["sns\\.example\\.com"],"answer":{"status":200}}]}`
	w := greeting{provider: "topics", secrets: []string{secret}}.world(t, func(c *intake.Config) { c.Fetch, c.Providers = fetches, catalogueOf(t, own) })
	confirm := func(url string) int {
		body := `{"Type":"SubscriptionConfirmation","SubscribeURL":"` + url + `"}`
		res, _ := w.send(greeting{method: "POST", body: body, header: map[string]string{"X-Sig": mac(secret, body)}}.request())
		return res.StatusCode
	}
	const good = "https://sns.example.com/?Action=ConfirmSubscription&Token=51b2ff3edb475b7d91550e0ab6edf0c1de2a34e6ebaf6"
	if got := confirm(good); got != 200 {
		t.Errorf("answered %d", got)
	}
	for _, bad := range []string{
		"http://sns.example.com/", "https://sns.example.com.evil.example/", "https://u@sns.example.com/", "https://sns.example.com:8443/",
		"https://evil.example/sns.example.com", "https://sns.example.com/#a", "file:///etc/passwd", "",
	} {
		if got := confirm(bad); got != 403 {
			t.Errorf("%s: answered %d", bad, got)
		}
	}
	if diff := cmp.Diff([]string{good}, fetches.urls); diff != "" {
		t.Error(diff)
	}
	fetches.fail = errors.New("answered 500")
	if got := confirm(good); got != 503 {
		t.Errorf("not confirmed, and answered %d", got)
	}
	if strings.Contains(w.logs.String(), "51b2ff3edb") || len(w.published) > 0 {
		t.Errorf("published %d, logged %s", len(w.published), w.logs)
	}
}

func TestMethodsOfHandshakes(t *testing.T) {
	for provider, want := range map[string]string{"github": "POST", "meta": "POST, GET", "mailchimp": "POST, GET, HEAD", "cloudevents": "POST, OPTIONS"} {
		w := greeting{provider: provider, secrets: []string{secret}}.world(t, nil)
		res, body := w.send(greeting{method: "DELETE"}.request())
		wantError(t, res, body, 405, "method_not_allowed")
		if got := res.Header.Get("Allow"); got != want {
			t.Errorf("%s allows %q, want %q", provider, got, want)
		}
	}
}

// TestMethodsOfHandshakesAreNoneOfEvents: who only greets with GET cannot send an
// event with it, even where nothing, or a token in the address, is all that counts.
func TestMethodsOfHandshakesAreNoneOfEvents(t *testing.T) {
	for _, g := range []greeting{
		{provider: "strava", method: "GET"},
		{provider: "azure_event_grid", secrets: []string{secret}, method: "OPTIONS", query: "token=" + url.QueryEscape(secret)},
	} {
		w := g.world(t, nil)
		res, body := w.send(g.request())
		wantError(t, res, body, 405, "method_not_allowed")
		if len(w.published) > 0 {
			t.Errorf("%s: published", g.provider)
		}
	}
}

// TestBodilessMethods: the body of a greeting is not read, however large it says
// it is.
func TestBodilessMethods(t *testing.T) {
	w := greeting{provider: "mailchimp", secrets: []string{secret}}.world(t, func(c *intake.Config) { c.MaxBody = 10 })
	r := greeting{method: "GET", body: strings.Repeat("x", 100)}.request()
	if res, _ := w.send(r); res.StatusCode != 200 {
		t.Errorf("answered %d", res.StatusCode)
	}
	if rest, err := r.Body.Read(make([]byte, 1)); rest != 1 || err != nil {
		t.Errorf("the body was read: %d, %v", rest, err)
	}
}

// TestAnswers: the source's own words, then the provider's, then ours.
func TestAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		provider          string
		change            func(*postern.Source)
		status            int
		contentType, body string // "id" for a message's
	}{
		"ours":                  {"github", nil, 202, "application/json", "id"},
		"the source's status":   {"github", func(s *postern.Source) { s.Answer = 200 }, 200, "application/json", "id"},
		"without a body":        {"github", func(s *postern.Source) { s.Answer = 204 }, 204, "", ""},
		"the source's words":    {"github", func(s *postern.Source) { s.AnswerBody = "ok" }, 202, "text/plain", "ok"},
		"the source's XML":      {"github", func(s *postern.Source) { s.Answer, s.AnswerBody, s.AnswerContentType = 200, "<Response/>", "text/xml" }, 200, "text/xml", "<Response/>"},
		"the provider's":        {"words", nil, 200, "text/plain", "[accepted]"},
		"and another's status":  {"words", func(s *postern.Source) { s.Answer = 201 }, 201, "text/plain", "[accepted]"},
		"and the source's":      {"words", func(s *postern.Source) { s.AnswerBody = "ok" }, 200, "text/plain", "ok"},
		"the provider's status": {"mute", nil, 200, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			own := func(id, answer string) string {
				return `{"id":"` + id + `","name":"Own","status":"generic","schemes":[{"kind":"hmac","hash":"sha256","key":{"form":"utf8"},
					"signature":{"from":["header:X-Hub-Signature-256"],"prefix":"sha256=","encoding":"hex"},"template":"{body}"}],"answer":` + answer + `}`
			}
			w := newWorld(t, func(s *postern.Source, c *intake.Config) {
				s.Provider = test.provider
				c.Providers = catalogueOf(t, own("words", `{"status":200,"contentType":"text/plain","body":"[accepted]"}`), own("mute", `{"status":200}`))
				if test.change != nil {
					test.change(s)
				}
			})
			res, body := w.send(push("/in/"+token, `{"a":1}`))
			if test.body == "id" {
				var out map[string]string
				if err := json.Unmarshal([]byte(body), &out); err != nil || out["id"] == "" {
					t.Errorf("body %q", body)
				}
				test.body = body
			}
			if res.StatusCode != test.status || body != test.body || res.Header.Get("Content-Type") != test.contentType {
				t.Errorf("answered %d %q %q", res.StatusCode, res.Header.Get("Content-Type"), body)
			}
			if body != "" && res.Header.Get("Content-Security-Policy") == "" {
				t.Errorf("a browser would show it: %v", res.Header)
			}
		})
	}
}

// TestBatch: each event of a request is a message with its own bytes, and a key
// of its own to recognise it by.
func TestBatch(t *testing.T) {
	w := greeting{provider: "cloudevents", config: map[string]string{"authorization": "none"}}.world(t, nil)
	first := `{"specversion":"1.0","id":"1","source":"/s","type":"a.b", "data":{"n":1.0}}`
	second := `{"specversion":"1.0","id":"2","source":"/s","type":"a.c"}`
	r := greeting{method: "POST", body: "[" + first + " , " + second + "]", header: map[string]string{"Content-Type": "application/cloudevents-batch+json"}}.request()
	res, body := w.send(r)
	var out struct{ IDs []string }
	if err := json.Unmarshal([]byte(body), &out); err != nil || res.StatusCode != 202 || len(out.IDs) != 2 {
		t.Fatalf("answered %d %s", res.StatusCode, body)
	}
	var got []string
	for _, in := range w.published {
		got = append(got, in.EventType+" "+in.ContentType+" "+string(in.Payload))
	}
	want := []string{"a.b application/cloudevents+json " + first, "a.c application/cloudevents+json " + second}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if w.published[0].Duplicate.Digest == w.published[1].Duplicate.Digest || w.published[0].Duplicate.Window == 0 {
		t.Error("the two cannot be told apart")
	}
	res, body = w.send(greeting{method: "POST", body: "[]", header: map[string]string{"Content-Type": "application/cloudevents-batch+json"}}.request())
	if res.StatusCode != 202 || body != "{\"ids\":[]}\n" || len(w.published) != 2 {
		t.Errorf("an empty batch: %d %s", res.StatusCode, body)
	}
}

// TestEventTypesOfASource: a name that the source gives a type to has that, the
// others what the provider calls them.
func TestEventTypesOfASource(t *testing.T) {
	w := newWorld(t, func(s *postern.Source, _ *intake.Config) {
		s.EventTypePrefix, s.EventTypes = "github.", map[string]string{"push": "code.changed"}
	})
	w.send(push("/in/"+token, `{"a":1}`))
	other := push("/in/"+token, `{"a":2}`)
	other.Header.Set("X-GitHub-Event", "ping")
	w.send(other)
	var got []string
	for _, in := range w.published {
		got = append(got, in.EventType+" "+in.ProviderEventType)
	}
	if !slices.Equal(got, []string{"code.changed push", "github.ping ping"}) {
		t.Errorf("types %q", got)
	}
}

// TestSingleUseToken: it is the key whatever else a request says, since the rest
// may not be signed; another token is another event.
func TestSingleUseToken(t *testing.T) {
	own := `{"id":"once","name":"Once","status":"generic","unsigned":"The body.","schemes":[{"kind":"hmac","hash":"sha256","key":{"form":"utf8"},
		"signature":{"from":["json:signature"],"encoding":"hex"},"template":"{json:token}","unsignedBody":true}],"deliveryId":["json:id"],"replay":["json:token"]}`
	w := greeting{provider: "once", secrets: []string{secret}}.world(t, func(c *intake.Config) { c.Providers = catalogueOf(t, own) })
	for _, body := range []string{
		`{"token":"t1","id":"1","signature":"` + mac(secret, "t1") + `"}`,
		`{"token":"t1","id":"2","signature":"` + mac(secret, "t1") + `","forged":true}`,
		`{"token":"t2","id":"1","signature":"` + mac(secret, "t2") + `"}`,
	} {
		if res, answer := w.send(greeting{method: "POST", body: body}.request()); res.StatusCode != 202 {
			t.Fatalf("answered %d %s", res.StatusCode, answer)
		}
	}
	keys := make([][16]byte, len(w.published))
	for i, in := range w.published {
		keys[i] = in.Duplicate.Digest
	}
	if len(keys) != 3 || keys[0] != keys[1] || keys[0] == keys[2] || keys[0] == [16]byte{} {
		t.Errorf("keys %x", keys)
	}
}

// TestRefusalsAreDiagnosed: what is kept says what its owner can do.
func TestRefusalsAreDiagnosed(t *testing.T) {
	w := newWorld(t, nil)
	w.replace(func(s *postern.Source) { s.Previous = w.seal("the old one")[0] })
	pretty := "{\n \"a\": 1\n}"
	for _, test := range []struct{ key, signed, body, want string }{
		{"the old one", pretty, pretty, "previous secret"},
		{secret, `{"a":1}`, pretty, "compacted"},
		{"another one", pretty, pretty, "no signature in"},
	} {
		r := push("/in/"+token, test.body)
		r.Header.Set("X-Hub-Signature-256", "sha256="+mac(test.key, test.signed))
		res, body := w.send(r)
		wantError(t, res, body, 401, "authentication_failed")
		kept := w.refused[len(w.refused)-1]
		if !strings.Contains(kept.Detail, test.want) || kept.Reason != "signature_mismatch" || strings.Contains(kept.Detail, test.key) {
			t.Errorf("kept with %q, want %q in it", kept.Detail, test.want)
		}
	}
	if len(w.published) > 0 {
		t.Error("the previous secret verifies")
	}
}

func b64mac(key, text string) string {
	raw, _ := hex.DecodeString(mac(key, text)) // mac writes hex
	return base64.StdEncoding.EncodeToString(raw)
}

func hexSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// catalogueOf has definitions of our own beside the built-in ones.
func catalogueOf(t *testing.T, texts ...string) *verify.Catalogue {
	t.Helper()
	defs := make([]verify.Definition, len(texts))
	for i, text := range texts {
		var err error
		if defs[i], err = verify.ParseDefinition([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := verify.NewCatalogue(defs...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// publicKey is of nobody: its private half was thrown away.
const publicKey = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE0AlrMqo6vlVlWukjt1OyB/qM9XWe
FVw9IylrPAd9CA5OYulhdeZUXHDqC5BlOy2/mBs0yE61GG3KLoAAbk+Hzw==
-----END PUBLIC KEY-----
`

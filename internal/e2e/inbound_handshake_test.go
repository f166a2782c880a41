package e2e_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// shakeSecret is that of every source that does not say otherwise.
const shakeSecret = "8b1f4c5e6d7a"

// shake is one handshake as a provider asks for it, or an abuse of one.
type shake struct {
	name, provider string
	secrets        []string // nil for shakeSecret
	config         object

	method, query string // GET and "" unless said
	header        map[string]string
	body          string

	status int
	// answer is its body, "{url}" in it the source's address; answers, where it
	// depends on that, makes it.
	answer  string
	answers func(url string) string
	headers map[string]string // that must be among the answer's
	// event: the request is a message besides. reason is why it is refused.
	event  bool
	reason string
}

// signer knows how the providers of the table sign, at one time.
type signer struct {
	at  string // unix seconds
	key ed25519.PrivateKey
	// pem is a public key, for providers whose secret that is.
	pem string
}

func newSigner(t *testing.T) signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return signer{
		at: strconv.FormatInt(time.Now().Unix(), 10), key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)),
		pem: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
	}
}

func (s signer) slack(secret, body string) map[string]string {
	return map[string]string{"X-Slack-Request-Timestamp": s.at, "X-Slack-Signature": "v0=" + hexMAC(secret, "v0:"+s.at+":"+body)}
}

func (s signer) zoom(secret, body string) map[string]string {
	return map[string]string{"X-Zm-Request-Timestamp": s.at, "X-Zm-Signature": "v0=" + hexMAC(secret, "v0:"+s.at+":"+body)}
}

func (s signer) twitch(secret, body string) map[string]string {
	seconds, _ := strconv.ParseInt(s.at, 10, 64) // it was formatted from one
	at := time.Unix(seconds, 0).UTC().Format(time.RFC3339Nano)
	return map[string]string{
		"Twitch-Eventsub-Message-Id": "e76c6bd4", "Twitch-Eventsub-Message-Timestamp": at, "Twitch-Eventsub-Message-Type": "webhook_callback_verification",
		"Twitch-Eventsub-Message-Signature": "sha256=" + hexMAC(secret, "e76c6bd4"+at+body),
	}
}

func (s signer) discord(body string) map[string]string {
	return map[string]string{"X-Signature-Timestamp": s.at, "X-Signature-Ed25519": hex.EncodeToString(ed25519.Sign(s.key, []byte(s.at+body)))}
}

func (s signer) public() string {
	public, _ := s.key.Public().(ed25519.PublicKey)
	return hex.EncodeToString(public)
}

// echoes are the rows of handshakes that echo.
func (s signer) echoes() []shake {
	slack := `{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}`
	twitch := `{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{"id":"f1c2a387"}}`
	none := []string{}
	return []shake{
		// A query value on GET.
		{provider: "meta", config: object{"verify_token": "t0ken"}, query: "hub.mode=subscribe&hub.verify_token=t0ken&hub.challenge=1158201444", status: 200, answer: "1158201444"},
		{provider: "websub", query: "hub.mode=subscribe&hub.topic=https%3A%2F%2Fx.example%2Ffeed&hub.challenge=abc", status: 200, answer: "abc"},
		{provider: "dropbox", query: "challenge=abc_-1", status: 200, answer: "abc_-1"},
		{provider: "nylas", query: "challenge=abc", status: 200, answer: "abc"},
		{provider: "adobe_io", secrets: none, query: "challenge=8ec8d794-e0ab-42df-9017-e3dada8e84f7", status: 200, answer: "8ec8d794-e0ab-42df-9017-e3dada8e84f7"},
		{provider: "strava", secrets: none, config: object{"verify_token": "STRAVA"}, query: "hub.verify_token=STRAVA&hub.challenge=15f7d1a9&hub.mode=subscribe", status: 200, answer: `{"hub.challenge":"15f7d1a9"}`},
		// A query value on POST.
		{provider: "microsoft_graph", method: "POST", query: "validationToken=Validation%3A+Testing+client+application+reachability+Request-Id%3A+0d4d", status: 200,
			answer: "Validation: Testing client application reachability Request-Id: 0d4d", headers: map[string]string{"Content-Type": "text/plain"}},
		// A header.
		{provider: "asana", secrets: none, method: "POST", header: map[string]string{"X-Hook-Secret": "b537207f20cb"}, status: 200, headers: map[string]string{"X-Hook-Secret": "b537207f20cb"}},
		{provider: "okta", header: map[string]string{"X-Okta-Verification-Challenge": "my_challenge"}, status: 200, answer: `{"verification":"my_challenge"}`},
		{provider: "worldline", header: map[string]string{"X-GCS-Webhooks-Endpoint-Verification": "e4b3"}, status: 200, answer: "e4b3"},
		{provider: "ringcentral", method: "POST", header: map[string]string{"Validation-Token": "cf31"}, status: 200, headers: map[string]string{"Validation-Token": "cf31"}},
		{provider: "smartsheet", method: "POST", header: map[string]string{"Smartsheet-Hook-Challenge": "d78d"}, body: `{"challenge":"d78d","webhookId":1}`, status: 200,
			headers: map[string]string{"Smartsheet-Hook-Response": "d78d"}, answer: `{"smartsheetHookResponse":"d78d"}`},
		{name: "GET", provider: "adobe_sign", config: object{"client_id": "CBJ"}, header: map[string]string{"X-AdobeSign-ClientId": "CBJ"}, status: 200,
			headers: map[string]string{"X-AdobeSign-ClientId": "CBJ"}, answer: `{"xAdobeSignClientId":"CBJ"}`},
		{name: "POST", provider: "adobe_sign", secrets: []string{"CBJ"}, method: "POST", header: map[string]string{"X-AdobeSign-ClientId": "CBJ"}, body: `{"event":"AGREEMENT_CREATED"}`,
			status: 200, headers: map[string]string{"X-AdobeSign-ClientId": "CBJ"}, answer: `{"xAdobeSignClientId":"CBJ"}`, event: true},
		// A JSON field.
		{provider: "slack", method: "POST", body: slack, header: s.slack(shakeSecret, slack), status: 200, answer: "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"},
		{provider: "monday", method: "POST", body: `{"challenge":"3eZbrw1aBm2rZ"}`, status: 200, answer: `{"challenge":"3eZbrw1aBm2rZ"}`},
		{provider: "twitch", secrets: []string{"s3cre77890ab"}, method: "POST", body: twitch, header: s.twitch("s3cre77890ab", twitch), status: 200, answer: "pogchamp-kappa-360noscope-vohiyo"},
		{provider: "azure_event_grid", method: "POST", status: 200, answer: `{"validationResponse":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}`,
			body: `[{"id":"2d1781af","topic":"t","subject":"","data":{"validationCode":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6"},"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent"}]`},
	}
}

// computed are the rows that answer with a computation, a fixed text or nothing
// but a status, and those that consent or keep a secret.
func (s signer) computed() []shake {
	zoom := `{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680}`
	xero := `{"events":[],"lastEventSequence":0,"firstEventSequence":0,"entropy":"S0m3r4Nd0mt3xt"}`
	ebay := func(url string) string {
		sum := sha256.Sum256([]byte("a8628072" + "71745723-d031-455c" + url))
		return `{"challengeResponse":"` + hex.EncodeToString(sum[:]) + `"}`
	}
	private := sha1.Sum([]byte("privatekey"))
	braintree := "publickey|" + hex.EncodeToString(digest(sha1.New, string(private[:]), "20f9f8ed05f77439fe955c977e4c8a53"))
	none := []string{}
	return []shake{
		{provider: "zoom", method: "POST", body: zoom, header: s.zoom(shakeSecret, zoom), status: 200,
			answer: `{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":"` + hexMAC(shakeSecret, "qgg8vlvZRS6UYooatFL8Aw") + `"}`},
		{provider: "x", query: "crc_token=MmJjZjM5&nonce=1", status: 200, answer: `{"response_token":"sha256=` + base64MAC(shakeSecret, "MmJjZjM5") + `"}`},
		{name: "our address", provider: "ebay", secrets: []string{s.pem}, config: object{"verification_token": "71745723-d031-455c"}, query: "challenge_code=a8628072", status: 200, answers: ebay},
		{name: "another address", provider: "ebay", secrets: []string{s.pem}, config: object{"verification_token": "71745723-d031-455c", "endpoint": "https://www.example.com/webhook"},
			query: "challenge_code=a8628072", status: 200, answer: ebay("https://www.example.com/webhook")},
		{provider: "linkedin", query: "challengeCode=890e4665-4dfe-4ab1-b689-ed553bceeed0", status: 200,
			answer: `{"challengeCode":"890e4665-4dfe-4ab1-b689-ed553bceeed0","challengeResponse":"` + hexMAC(shakeSecret, "890e4665-4dfe-4ab1-b689-ed553bceeed0") + `"}`},
		{provider: "braintree", secrets: none, config: object{"public_key": "publickey", "private_key": "privatekey"}, query: "bt_challenge=20f9f8ed05f77439fe955c977e4c8a53", status: 200, answer: braintree},
		// Fixed answers.
		{name: "interaction", provider: "discord", secrets: []string{s.public()}, method: "POST", body: `{"type":1}`, header: s.discord(`{"type":1}`), status: 200, answer: `{"type":1}`},
		{name: "webhook", provider: "discord", secrets: []string{s.public()}, method: "POST", body: `{"type":0}`, header: s.discord(`{"type":0}`), status: 204},
		{provider: "xero", method: "POST", body: xero, header: map[string]string{"X-Xero-Signature": base64MAC(shakeSecret, xero)}, status: 200},
		{provider: "fitbit", config: object{"verification_code": "c0de"}, query: "verify=c0de", status: 204},
		// Probes.
		{provider: "trello", method: "HEAD", status: 200},
		{provider: "intercom", method: "HEAD", status: 200},
		{provider: "surveymonkey", method: "HEAD", status: 200},
		{provider: "mandrill", method: "HEAD", status: 200},
		{provider: "mailchimp", status: 200},
		// Consent.
		{provider: "cloudevents", method: "OPTIONS", config: object{"allowed_origins": "a.example, eventemitter.example.com", "allowed_rate": "120"},
			header: map[string]string{"WebHook-Request-Origin": "eventemitter.example.com", "WebHook-Request-Rate": "300"}, status: 200,
			headers: map[string]string{"WebHook-Allowed-Origin": "eventemitter.example.com", "WebHook-Allowed-Rate": "120", "Allow": "POST"}},
		{name: "consent", provider: "azure_event_grid", method: "OPTIONS", config: object{"allowed_origins": "*"}, header: map[string]string{"WebHook-Request-Origin": "eventgrid.azure.net"},
			status: 200, headers: map[string]string{"WebHook-Allowed-Origin": "eventgrid.azure.net", "WebHook-Allowed-Rate": "*"}},
		// Secrets, which TestDeliveredSecrets goes on with.
		{provider: "notion", secrets: none, method: "POST", body: `{"verification_token":"secret_tMrlL1qK5vuQAh1b6cZG"}`, status: 200},
		{provider: "gusto", secrets: none, method: "POST", body: `{"verification_token":"abc","webhook_subscription_uuid":"u"}`, status: 200},
	}
}

// abuses are what must not be answered.
func (s signer) abuses() []shake {
	const refused = "handshake_refused"
	meta := func(name, query string) shake {
		return shake{name: name, provider: "meta", config: object{"verify_token": "t0ken"}, query: query, status: 403, reason: refused}
	}
	zoom := func(name, token string) shake {
		body := `{"event":"endpoint.url_validation","payload":{"plainToken":"` + token + `"}}`
		return shake{name: name, provider: "zoom", method: "POST", body: body, header: s.zoom(shakeSecret, body), status: 403, reason: refused}
	}
	origin := func(name, allowed, origin string) shake {
		return shake{name: name, provider: "cloudevents", method: "OPTIONS", config: object{"allowed_origins": allowed}, header: map[string]string{"WebHook-Request-Origin": origin}, status: 403, reason: refused}
	}
	right := "hub.mode=subscribe&hub.verify_token=t0ken&hub.challenge="
	ping := s.discord(`{"type":1}`)
	ping["X-Signature-Timestamp"] = "1" + s.at[1:]
	ping["X-Signature-Ed25519"] = strings.Repeat("ab", ed25519.SignatureSize)
	xero := `{"events":[],"firstEventSequence":0}`
	return []shake{
		meta("HTML", right+"%3Cscript%3Ealert(1)%3C/script%3E"),
		meta("long", right+strings.Repeat("1", 513)),
		meta("line breaks", right+"1%0d%0aX:1"),
		meta("another token", "hub.mode=subscribe&hub.verify_token=other&hub.challenge=1"),
		meta("no token", "hub.mode=subscribe&hub.challenge=1"),
		meta("two tokens", "hub.mode=subscribe&hub.verify_token=t0ken&hub.verify_token=x&hub.challenge=1"),
		meta("another mode", "hub.mode=unsubscribe&hub.verify_token=t0ken&hub.challenge=1"),
		{name: "no token set", provider: "meta", query: "hub.mode=subscribe&hub.verify_token=&hub.challenge=1", status: 403, reason: refused},
		{name: "another token", provider: "strava", secrets: []string{}, config: object{"verify_token": "STRAVA"}, query: "hub.verify_token=other&hub.challenge=1&hub.mode=subscribe", status: 403, reason: refused},
		{name: "HTML", provider: "dropbox", query: "challenge=%3Cb%3E", status: 403, reason: refused},
		{name: "HTML", provider: "okta", header: map[string]string{"X-Okta-Verification-Challenge": "<b>"}, status: 403, reason: refused},
		{name: "HTML", provider: "monday", method: "POST", body: `{"challenge":"\u003cb\u003e"}`, status: 403, reason: refused},
		{name: "HTML", provider: "microsoft_graph", method: "POST", query: "validationToken=%3Cimg+src%3Dx%3E", status: 403, reason: refused},
		{name: "long", provider: "microsoft_graph", method: "POST", query: "validationToken=" + strings.Repeat("a", 1001), status: 403, reason: refused},
		{name: "another client", provider: "adobe_sign", config: object{"client_id": "CBJ"}, header: map[string]string{"X-AdobeSign-ClientId": "other"}, status: 403, reason: refused},
		{name: "another code", provider: "fitbit", config: object{"verification_code": "c0de"}, query: "verify=guess", status: 404, reason: refused},
		origin("foreign", "a.example", "b.example"),
		origin("begins alike", "eventemitter.example.com", "eventemitter.example.com.evil.example"),
		origin("none allowed", "", "a.example"),
		origin("HTML", "*", "<b>"),

		// Unsigned, or wrongly, where signed is demanded.
		{name: "unsigned", provider: "slack", method: "POST", body: `{"type":"url_verification","challenge":"a"}`, status: 401, reason: "signature_missing"},
		{name: "wrongly signed", provider: "slack", method: "POST", body: `{"type":"url_verification","challenge":"a"}`, header: s.slack("other", `{"type":"url_verification","challenge":"a"}`), status: 401, reason: "signature_mismatch"},
		{name: "wrongly signed", provider: "twitch", secrets: []string{"s3cre77890ab"}, method: "POST", body: `{"challenge":"a"}`, header: s.twitch("other67890ab", `{"challenge":"a"}`), status: 401, reason: "signature_mismatch"},
		{name: "unsigned", provider: "zoom", method: "POST", body: `{"event":"endpoint.url_validation","payload":{"plainToken":"a"}}`, status: 401, reason: "signature_missing"},
		{name: "wrongly signed", provider: "discord", secrets: []string{s.public()}, method: "POST", body: `{"type":1}`, header: ping, status: 401, reason: "signature_mismatch"},
		{name: "wrongly signed", provider: "xero", method: "POST", body: xero, header: map[string]string{"X-Xero-Signature": base64MAC("other", xero)}, status: 401, reason: "signature_mismatch"},

		// Oracles: what a challenge is answered with must not sign a message.
		zoom("signed text", "v0:1760000000:{}"),
		zoom("long", strings.Repeat("a", 129)),
		zoom("empty", ""),
		{name: "a message", provider: "x", query: "crc_token=%7B%22for_user_id%22%3A%221%22%7D", status: 403, reason: refused},
		{name: "what a challenge got", provider: "x", method: "POST", body: "MmJjZjM5", header: map[string]string{"X-Twitter-Webhooks-Signature": "sha256=" + base64MAC(shakeSecret, "MmJjZjM5")}, status: 401, reason: "signature_mismatch"},
		{name: "a message", provider: "linkedin", query: "challengeCode=%7B%22a%22%3A1%7D", status: 403, reason: refused},
		{name: "long", provider: "linkedin", query: "challengeCode=" + strings.Repeat("a", 129), status: 403, reason: refused},
		{name: "a payload", provider: "braintree", secrets: []string{"publickey:privatekey"}, query: "bt_challenge=PG5vdGlmaWNhdGlvbj4=", status: 403, reason: refused},
		{name: "no token set", provider: "ebay", secrets: []string{s.pem}, query: "challenge_code=a", status: 403, reason: refused},
		{name: "an address", provider: "ebay", secrets: []string{s.pem}, config: object{"verification_token": "v"}, query: "challenge_code=a%2F..%2Fb", status: 403, reason: refused},

		// A one-time secret that the owner's own stands against.
		{name: "beside the owner's", provider: "asana", method: "POST", header: map[string]string{"X-Hook-Secret": "other"}, status: 403, reason: refused},
		{name: "beside the owner's", provider: "notion", method: "POST", body: `{"verification_token":"other"}`, status: 403, reason: refused},
		{name: "beside the owner's", provider: "gusto", method: "POST", body: `{"verification_token":"other"}`, status: 403, reason: refused},
		{name: "HTML", provider: "asana", secrets: []string{}, method: "POST", header: map[string]string{"X-Hook-Secret": "<b>"}, status: 403, reason: refused},
		{name: "white space", provider: "notion", secrets: []string{}, method: "POST", body: `{"verification_token":" a b "}`, status: 403, reason: refused},
	}
}

// ask has a source of its own for the shake, and sends it.
func (g shake) ask(t *testing.T, s *server) (*inlet, *reply) {
	t.Helper()
	if g.secrets == nil {
		g.secrets = []string{shakeSecret}
	}
	if g.method == "" {
		g.method = http.MethodGet
	}
	if g.query != "" {
		g.query = "?" + g.query
	}
	in := s.inlet(t, g.provider, object{"secrets": g.secrets, "config": g.config})
	header := http.Header{}
	for name, value := range g.header {
		header.Set(name, value)
	}
	return in, in.ask(g.method, g.query, header, []byte(g.body))
}

// Every handshake of the catalogue's providers is answered as they demand, and is
// no message; what misuses one is refused with a word that is the same for all,
// and kept for the owner with its reason.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	s := serve(t, "memory:", "--public-url="+outsideURL)
	at := newSigner(t)
	for _, g := range append(at.echoes(), at.computed()...) {
		t.Run(strings.TrimSuffix(g.provider+"/"+g.name, "/"), func(t *testing.T) {
			in, r := g.ask(t, s)
			answer := g.answer
			if g.answers != nil {
				answer = g.answers(in.url)
			}
			if r.status != g.status || string(r.body) != answer {
				t.Errorf("answered %d %q, want %d %q", r.status, r.body, g.status, answer)
			}
			for name, value := range g.headers {
				if got := r.header.Get(name); got != value {
					t.Errorf("%s is %q, want %q", name, got, value)
				}
			}
			if kind := r.header.Get("Content-Type"); strings.HasPrefix(answer, "{") != (kind == "application/json") || strings.Contains(kind, "html") || r.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("answered with %v", r.header)
			}
			if n := len(in.messages()); (n == 1) != g.event || n > 1 {
				t.Errorf("%d messages", n)
			}
			if kept := in.refusals(); len(kept) > 0 {
				t.Errorf("refusals %+v", kept)
			}
		})
	}
	t.Run("abuse", func(t *testing.T) {
		for _, g := range at.abuses() {
			t.Run(g.provider+"/"+g.name, func(t *testing.T) {
				in, r := g.ask(t, s)
				var answer struct{ Code, Detail string }
				if err := json.Unmarshal(r.body, &answer); err != nil || r.status != g.status || answer.Code != "authentication_failed" || answer.Detail != "The request could not be verified" {
					t.Errorf("answered %d %s, want %d", r.status, r.body, g.status)
				}
				for name, values := range r.header {
					if strings.HasPrefix(name, "Webhook-Allowed") || name == "X-Hook-Secret" || strings.Contains(strings.Join(values, ""), "<") {
						t.Errorf("answered with %s: %q", name, values)
					}
				}
				if kept := in.refusals(); len(kept) != 1 || kept[0].Reason != g.reason || kept[0].Detail == "" {
					t.Errorf("refusals %+v, want one for %s", kept, g.reason)
				}
				if n := len(in.messages()); n != 0 {
					t.Errorf("%d messages", n)
				}
			})
		}
	})
}

// A secret that a provider delivers is kept once, at rest under the key ring, and
// verifies what follows, after a restart as well.
func TestDeliveredSecrets(t *testing.T) {
	t.Parallel()
	folder := t.TempDir() + "/store"
	s := serve(t, "file:"+folder)
	type provider struct {
		in      *inlet
		deliver func(secret string) int
		event   func(secret, body string) int
	}
	const first, second = "f1rstSecret0fThisTest", "s3condSecret0fThisTest"
	providers := map[string]*provider{}
	for name, signature := range map[string]func(secret, body string) http.Header{
		"asana": func(secret, body string) http.Header { return http.Header{"X-Hook-Signature": {hexMAC(secret, body)}} },
		"notion": func(secret, body string) http.Header {
			return http.Header{"X-Notion-Signature": {"sha256=" + hexMAC(secret, body)}}
		},
		"gusto": func(secret, body string) http.Header { return http.Header{"X-Gusto-Signature": {hexMAC(secret, body)}} },
	} {
		p := &provider{in: s.inlet(t, name, nil)}
		p.deliver = func(secret string) int {
			if name == "asana" {
				r := p.in.ask("POST", "", http.Header{"X-Hook-Secret": {secret}}, nil)
				if echoed := r.header.Get("X-Hook-Secret"); (echoed == secret) != (r.status == 200) {
					t.Errorf("%s: answered %d with %q", name, r.status, echoed)
				}
				return r.status
			}
			return p.in.ask("POST", "", nil, []byte(`{"verification_token":"`+secret+`"}`)).status
		}
		p.event = func(secret, body string) int {
			return p.in.ask("POST", "", signature(secret, body), []byte(body)).status
		}
		providers[name] = p
	}
	check := func(when string) {
		t.Helper()
		for name, p := range providers {
			body := `{"id":"` + when + `","type":"page.created","event_type":"employee.created","events":[{"action":"added"}]}`
			if got := p.event(first, body); got/100 != 2 {
				t.Errorf("%s, %s: an event signed with the secret: answered %d", when, name, got)
			}
			if got := p.event(second, body); got != 401 {
				t.Errorf("%s, %s: an event signed with another: answered %d", when, name, got)
			}
			if got := p.deliver(second); got != 403 {
				t.Errorf("%s, %s: a second secret: answered %d", when, name, got)
			}
			var told struct{ Key string }
			p.in.want(200, "GET", p.in.of("/secret"), nil, &told)
			if shown := p.in.call("GET", p.in.of(""), nil).body; told.Key != first || bytes.Contains(shown, []byte(first)) || !bytes.Contains(shown, []byte(`"stored_secret":"***"`)) {
				t.Errorf("%s, %s: the owner is told %q, and the source reads %s", when, name, told.Key, shown)
			}
		}
	}
	for name, p := range providers {
		if got := p.event("", `{"early":true}`); got != 401 {
			t.Errorf("%s: before there is a secret, an event signed with none: answered %d", name, got)
		}
		if got, again := p.deliver(first), p.deliver(first); got != 200 || again != 200 {
			t.Errorf("%s: the secret: answered %d, once more %d", name, got, again)
		}
	}
	check("before")
	s.kill()
	s = serve(t, "file:"+folder)
	for _, p := range providers {
		p.in.client = newClient(t, s.base)
	}
	check("after")
	if inFolder(t, folder, first) || inFolder(t, folder, base64.StdEncoding.EncodeToString([]byte(first))) {
		t.Error("the store has the secret in plain text")
	}
}

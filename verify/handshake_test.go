package verify_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/verify"
)

// shake is one handshake, or an attempt at one, and what comes of it.
type shake struct {
	name, provider string
	secrets        []string
	settings       map[string]string

	method, query string // GET and "" unless said
	header        map[string]string
	body          string

	status  int
	headers map[string]string // that must be among the answer's
	answer  string            // "" for none
	refused verify.Reason     // "" for an answered one
	event   bool              // it is published, too
	confirm string
	store   string
}

const (
	shakeURL    = "https://hooks.example.com/in/token"
	shakeSecret = "8b1f4c5e6d7a"
	shakeNow    = 1760000000
)

// keyed is an HMAC as vendors write them.
func keyed(h func() hash.Hash, key, text string, encode func([]byte) string) string {
	mac := hmac.New(h, []byte(key))
	mac.Write([]byte(text))
	return encode(mac.Sum(nil))
}

func b64(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }

// shakes are the rows of the list of handshakes, each answered.
func shakes() []shake {
	zoom := `{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680}`
	slack := `{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}`
	twitch := `{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{"id":"f1c2a387"}}`
	xero := `{"events":[],"lastEventSequence":0,"firstEventSequence":0,"entropy":"S0m3r4Nd0mt3xt"}`
	ebay := sha256.Sum256([]byte("a8628072-3d33-45ee-9004-bee86830a22d" + "71745723-d031-455c-bfa5-f90d11b4f20a" + "https://www.testendpoint.com/webhook"))
	private := sha1.Sum([]byte("privatekey"))
	seed := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := hex.EncodeToString(seed.Public().(ed25519.PublicKey))
	now := fmt.Sprint(shakeNow)
	discord := func(body string) map[string]string {
		return map[string]string{"X-Signature-Timestamp": now, "X-Signature-Ed25519": hex.EncodeToString(ed25519.Sign(seed, []byte(now+body)))}
	}
	nosniff := map[string]string{"X-Content-Type-Options": "nosniff"}
	return []shake{
		{name: "echo of a query value on GET", provider: "meta", settings: map[string]string{"verify_token": "t0ken"},
			query: "hub.mode=subscribe&hub.verify_token=t0ken&hub.challenge=1158201444", status: 200, answer: "1158201444", headers: nosniff},
		{provider: "websub", query: "hub.mode=subscribe&hub.topic=https%3A%2F%2Fx.example%2Ffeed&hub.challenge=abc", status: 200, answer: "abc"},
		{provider: "dropbox", query: "challenge=abc_-1", status: 200, answer: "abc_-1", headers: nosniff},
		{provider: "nylas", query: "challenge=abc", status: 200, answer: "abc"},
		{provider: "adobe_io", secrets: []string{}, query: "challenge=8ec8d794-e0ab-42df-9017-e3dada8e84f7", status: 200, answer: "8ec8d794-e0ab-42df-9017-e3dada8e84f7"},
		{provider: "strava", settings: map[string]string{"verify_token": "STRAVA"}, secrets: []string{},
			query: "hub.verify_token=STRAVA&hub.challenge=15f7d1a91c1f40f8a748fd134752feb3&hub.mode=subscribe", status: 200,
			answer: `{"hub.challenge":"15f7d1a91c1f40f8a748fd134752feb3"}`},
		{name: "echo of a query value on POST", provider: "microsoft_graph", method: "POST",
			query: "validationToken=Validation%3A+Testing+client+application+reachability+for+subscription+Request-Id%3A+0d4d", status: 200,
			answer: "Validation: Testing client application reachability for subscription Request-Id: 0d4d", headers: nosniff},
		{name: "a secret in a header", provider: "asana", secrets: []string{}, method: "POST", header: map[string]string{"X-Hook-Secret": "b537207f20cbfa02357cf448134da559"},
			status: 200, headers: map[string]string{"X-Hook-Secret": "b537207f20cbfa02357cf448134da559"}, store: "b537207f20cbfa02357cf448134da559"},
		{provider: "okta", header: map[string]string{"X-Okta-Verification-Challenge": "my_challenge"}, status: 200, answer: `{"verification":"my_challenge"}`},
		{provider: "worldline", header: map[string]string{"X-GCS-Webhooks-Endpoint-Verification": "e4b3"}, status: 200, answer: "e4b3", headers: nosniff},
		{provider: "ringcentral", method: "POST", header: map[string]string{"Validation-Token": "cf31"}, status: 200, headers: map[string]string{"Validation-Token": "cf31"}},
		{provider: "smartsheet", method: "POST", header: map[string]string{"Smartsheet-Hook-Challenge": "d78d"}, body: `{"challenge":"d78d","webhookId":1}`,
			status: 200, headers: map[string]string{"Smartsheet-Hook-Response": "d78d"}, answer: `{"smartsheetHookResponse":"d78d"}`},
		{name: "GET", provider: "adobe_sign", settings: map[string]string{"client_id": "CBJ"}, header: map[string]string{"X-AdobeSign-ClientId": "CBJ"},
			status: 200, headers: map[string]string{"X-AdobeSign-ClientId": "CBJ"}, answer: `{"xAdobeSignClientId":"CBJ"}`},
		{name: "POST", provider: "adobe_sign", secrets: []string{"CBJ"}, method: "POST", header: map[string]string{"X-AdobeSign-ClientId": "CBJ"}, body: `{"event":"AGREEMENT_CREATED"}`,
			status: 200, headers: map[string]string{"X-AdobeSign-ClientId": "CBJ"}, answer: `{"xAdobeSignClientId":"CBJ"}`, event: true},
		{name: "signed", provider: "slack", method: "POST", body: slack,
			header: map[string]string{"X-Slack-Request-Timestamp": now, "X-Slack-Signature": "v0=" + keyed(sha256.New, shakeSecret, "v0:"+now+":"+slack, hex.EncodeToString)},
			status: 200, answer: "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P", headers: nosniff},
		{provider: "monday", method: "POST", body: `{"challenge":"3eZbrw1aBm2rZ"}`, status: 200, answer: `{"challenge":"3eZbrw1aBm2rZ"}`},
		{name: "signed", provider: "twitch", secrets: []string{"s3cre77890ab"}, method: "POST", body: twitch,
			header: map[string]string{
				"Twitch-Eventsub-Message-Id": "e76c6bd4", "Twitch-Eventsub-Message-Timestamp": time.Unix(shakeNow, 0).UTC().Format(time.RFC3339Nano),
				"Twitch-Eventsub-Message-Type":      "webhook_callback_verification",
				"Twitch-Eventsub-Message-Signature": "sha256=" + keyed(sha256.New, "s3cre77890ab", "e76c6bd4"+time.Unix(shakeNow, 0).UTC().Format(time.RFC3339Nano)+twitch, hex.EncodeToString),
			},
			status: 200, answer: "pogchamp-kappa-360noscope-vohiyo", headers: nosniff},
		{provider: "azure_event_grid", method: "POST",
			body:   `[{"id":"2d1781af","topic":"t","subject":"","data":{"validationCode":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6"},"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","eventTime":"2022-10-28T04:23:35.1981776Z"}]`,
			status: 200, answer: `{"validationResponse":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}`},
		{name: "signed", provider: "zoom", method: "POST", body: zoom,
			header: map[string]string{"X-Zm-Request-Timestamp": now, "X-Zm-Signature": "v0=" + keyed(sha256.New, shakeSecret, "v0:"+now+":"+zoom, hex.EncodeToString)},
			status: 200, answer: `{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":"` + keyed(sha256.New, shakeSecret, "qgg8vlvZRS6UYooatFL8Aw", hex.EncodeToString) + `"}`},
		{provider: "x", query: "crc_token=MmJjZjM5&nonce=1", status: 200, answer: `{"response_token":"sha256=` + keyed(sha256.New, shakeSecret, "MmJjZjM5", b64) + `"}`},
		{provider: "ebay", secrets: []string{}, settings: map[string]string{"verification_token": "71745723-d031-455c-bfa5-f90d11b4f20a", "endpoint": "https://www.testendpoint.com/webhook"},
			query: "challenge_code=a8628072-3d33-45ee-9004-bee86830a22d", status: 200, answer: `{"challengeResponse":"` + hex.EncodeToString(ebay[:]) + `"}`},
		{provider: "linkedin", query: "challengeCode=890e4665-4dfe-4ab1-b689-ed553bceeed0", status: 200,
			answer: `{"challengeCode":"890e4665-4dfe-4ab1-b689-ed553bceeed0","challengeResponse":"` + keyed(sha256.New, shakeSecret, "890e4665-4dfe-4ab1-b689-ed553bceeed0", hex.EncodeToString) + `"}`},
		{name: "settings", provider: "braintree", secrets: []string{}, settings: map[string]string{"public_key": "publickey", "private_key": "privatekey"},
			query: "bt_challenge=20f9f8ed05f77439fe955c977e4c8a53", status: 200, answer: "publickey|" + keyed(sha1.New, string(private[:]), "20f9f8ed05f77439fe955c977e4c8a53", hex.EncodeToString)},
		{name: "secret", provider: "braintree", secrets: []string{"publickey:privatekey"},
			query: "bt_challenge=20f9f8ed05f77439fe955c977e4c8a53", status: 200, answer: "publickey|" + keyed(sha1.New, string(private[:]), "20f9f8ed05f77439fe955c977e4c8a53", hex.EncodeToString)},
		{name: "interaction", provider: "discord", secrets: []string{public}, method: "POST", body: `{"type":1}`, header: discord(`{"type":1}`), status: 200, answer: `{"type":1}`},
		{name: "webhook", provider: "discord", secrets: []string{public}, method: "POST", body: `{"type":0}`, header: discord(`{"type":0}`), status: 204},
		{name: "intent to receive", provider: "xero", method: "POST", body: xero, header: map[string]string{"X-Xero-Signature": keyed(sha256.New, shakeSecret, xero, b64)}, status: 200},
		{provider: "fitbit", settings: map[string]string{"verification_code": "c0de"}, query: "verify=c0de", status: 204},
		{provider: "trello", method: "HEAD", status: 200},
		{provider: "intercom", method: "HEAD", status: 200},
		{provider: "surveymonkey", method: "HEAD", status: 200},
		{provider: "mandrill", method: "HEAD", status: 200},
		{name: "no events", provider: "mandrill", method: "POST", body: "mandrill_events=%5B%5D", status: 200},
		{provider: "mailchimp", status: 200},
		{provider: "cloudevents", method: "OPTIONS", settings: map[string]string{"allowed_origins": "a.example, eventemitter.example.com", "allowed_rate": "120"},
			header: map[string]string{"WebHook-Request-Origin": "eventemitter.example.com", "WebHook-Request-Rate": "300"},
			status: 200, headers: map[string]string{"WebHook-Allowed-Origin": "eventemitter.example.com", "WebHook-Allowed-Rate": "120"}},
		{name: "consent", provider: "azure_event_grid", method: "OPTIONS", settings: map[string]string{"allowed_origins": "*"},
			header: map[string]string{"WebHook-Request-Origin": "eventgrid.azure.net"},
			status: 200, headers: map[string]string{"WebHook-Allowed-Origin": "eventgrid.azure.net", "WebHook-Allowed-Rate": "*"}},
		{name: "a secret in the body", provider: "notion", secrets: []string{}, method: "POST", body: `{"verification_token":"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}`,
			status: 200, store: "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"},
		{provider: "gusto", secrets: []string{}, method: "POST", body: `{"verification_token":"abc","webhook_subscription_uuid":"u"}`, status: 200, store: "abc"},
		{name: "again, its answer was lost", provider: "asana", secrets: []string{}, settings: map[string]string{"stored_secret": "f1rst"}, method: "POST",
			header: map[string]string{"X-Hook-Secret": "f1rst"}, status: 200, headers: map[string]string{"X-Hook-Secret": "f1rst"}},
	}
}

// abuses are what must not be answered.
func abuses() []shake {
	now := fmt.Sprint(shakeNow)
	zoom := func(token string) shake {
		body := `{"event":"endpoint.url_validation","payload":{"plainToken":"` + token + `"}}`
		return shake{provider: "zoom", method: "POST", body: body,
			header: map[string]string{"X-Zm-Request-Timestamp": now, "X-Zm-Signature": "v0=" + keyed(sha256.New, shakeSecret, "v0:"+now+":"+body, hex.EncodeToString)},
			status: 403, refused: verify.ReasonHandshakeRefused}
	}
	named := func(name string, s shake) shake { s.name = name; return s }
	token := map[string]string{"verify_token": "t0ken"}
	meta := func(query string) shake {
		return shake{provider: "meta", settings: token, query: query, status: 403, refused: verify.ReasonHandshakeRefused}
	}
	origin := func(name, allowed, origin string) shake {
		return shake{name: name, provider: "cloudevents", method: "OPTIONS", settings: map[string]string{"allowed_origins": allowed},
			header: map[string]string{"WebHook-Request-Origin": origin}, status: 403, refused: verify.ReasonHandshakeRefused}
	}
	return []shake{
		named("HTML", meta("hub.mode=subscribe&hub.verify_token=t0ken&hub.challenge=%3Cscript%3Ealert(1)%3C/script%3E")),
		named("long", meta("hub.mode=subscribe&hub.verify_token=t0ken&hub.challenge="+strings.Repeat("1", 513))),
		named("line breaks", meta("hub.mode=subscribe&hub.verify_token=t0ken&hub.challenge=1%0d%0aX:1")),
		named("another token", meta("hub.mode=subscribe&hub.verify_token=other&hub.challenge=1")),
		named("no token", meta("hub.mode=subscribe&hub.challenge=1")),
		named("two tokens", meta("hub.mode=subscribe&hub.verify_token=t0ken&hub.verify_token=x&hub.challenge=1")),
		named("another mode", meta("hub.mode=unsubscribe&hub.verify_token=t0ken&hub.challenge=1")),
		{name: "no token configured", provider: "meta", query: "hub.mode=subscribe&hub.verify_token=&hub.challenge=1", status: 403, refused: verify.ReasonHandshakeRefused},
		{name: "HTML", provider: "dropbox", query: "challenge=%3Cb%3E", status: 403, refused: verify.ReasonHandshakeRefused},
		{name: "HTML", provider: "microsoft_graph", method: "POST", query: "validationToken=%3Cimg+src%3Dx%3E", status: 403, refused: verify.ReasonHandshakeRefused},
		{name: "long", provider: "microsoft_graph", method: "POST", query: "validationToken=" + strings.Repeat("a", 1001), status: 403, refused: verify.ReasonHandshakeRefused},
		{name: "another topic", provider: "websub", settings: map[string]string{"topic": "t"}, query: "hub.topic=u&hub.challenge=1", status: 404, refused: verify.ReasonSignatureMissing},
		{name: "another client id", provider: "adobe_sign", settings: map[string]string{"client_id": "CBJ"}, header: map[string]string{"X-AdobeSign-ClientId": "other"}, status: 403, refused: verify.ReasonHandshakeRefused},
		{name: "another code", provider: "fitbit", settings: map[string]string{"verification_code": "c0de"}, query: "verify=guess", status: 404, refused: verify.ReasonHandshakeRefused},
		{name: "no token configured", provider: "ebay", secrets: []string{}, query: "challenge_code=a", status: 403, refused: verify.ReasonHandshakeRefused},
		named("signed text", zoom("v0:1760000000:{}")),
		named("empty", zoom("")),
		{name: "unsigned", provider: "zoom", method: "POST", body: `{"event":"endpoint.url_validation","payload":{"plainToken":"a"}}`, status: 401, refused: verify.ReasonSignatureMissing},
		{name: "unsigned", provider: "slack", method: "POST", body: `{"type":"url_verification","challenge":"a"}`, status: 401, refused: verify.ReasonSignatureMissing},
		{name: "wrongly signed", provider: "xero", method: "POST", body: `{"events":[],"firstEventSequence":0}`,
			header: map[string]string{"X-Xero-Signature": keyed(sha256.New, "other", `{"events":[],"firstEventSequence":0}`, b64)}, status: 401, refused: verify.ReasonSignatureMismatch},
		{name: "a message", provider: "x", query: "crc_token=%7B%22for_user_id%22%3A%221%22%7D", status: 403, refused: verify.ReasonHandshakeRefused},
		{name: "what a challenge got", provider: "x", method: "POST", body: "MmJjZjM5", header: map[string]string{
			"X-Twitter-Webhooks-Signature": "sha256=" + keyed(sha256.New, shakeSecret, "MmJjZjM5", b64)}, status: 401, refused: verify.ReasonSignatureMismatch},
		{name: "a form", provider: "braintree", secrets: []string{"publickey:privatekey"}, query: "bt_challenge=PG5vdGlmaWNhdGlvbj4=", status: 403, refused: verify.ReasonHandshakeRefused},
		{name: "long", provider: "linkedin", query: "challengeCode=" + strings.Repeat("a", 129), status: 403, refused: verify.ReasonHandshakeRefused},
		{name: "second", provider: "asana", secrets: []string{}, settings: map[string]string{"stored_secret": "f1rst"}, method: "POST",
			header: map[string]string{"X-Hook-Secret": "second"}, status: 403, refused: verify.ReasonHandshakeRefused},
		{name: "beside the owner's", provider: "notion", method: "POST", body: `{"verification_token":"second"}`, status: 403, refused: verify.ReasonHandshakeRefused},
		{name: "white space", provider: "notion", secrets: []string{}, method: "POST", body: `{"verification_token":" a b "}`, status: 403, refused: verify.ReasonHandshakeRefused},
		origin("foreign", "a.example", "b.example"),
		origin("begins alike", "eventemitter.example.com", "eventemitter.example.com.evil.example"),
		origin("none allowed", "", "a.example"),
		origin("HTML", "*", "<b>"),
		{name: "no origin", provider: "cloudevents", method: "OPTIONS", settings: map[string]string{"allowed_origins": "*"}, status: 401, refused: verify.ReasonSignatureMissing},
	}
}

// receiver makes the verifier and the request of a handshake.
func (s shake) receiver(t *testing.T) (*verify.Verifier, verify.Request) {
	t.Helper()
	def, ok := verify.Lookup(s.provider)
	if !ok {
		t.Fatalf("%s is not in the catalogue", s.provider)
	}
	if s.secrets == nil {
		s.secrets = []string{shakeSecret}
	}
	v, err := verify.New(def, verify.Config{Secrets: s.secrets, Settings: s.settings, Keyless: true})
	if err != nil {
		t.Fatal(err)
	}
	if s.method == "" {
		s.method = http.MethodGet
	}
	req := verify.Request{Method: s.method, URL: shakeURL, Header: http.Header{}, Body: []byte(s.body)}
	if s.query != "" {
		req.URL += "?" + s.query
	}
	for name, value := range s.header {
		req.Header.Set(name, value)
	}
	return v, req
}

func TestHandshakes(t *testing.T) {
	for _, s := range append(shakes(), abuses()...) {
		t.Run(s.provider+"/"+s.name, func(t *testing.T) {
			v, req := s.receiver(t)
			before := string(req.Body)
			got, err := v.Receive(t.Context(), req, time.Unix(shakeNow, 0))
			var reason verify.Reason
			if refused, ok := errors.AsType[*verify.Error](err); ok {
				reason = refused.Reason
			} else if err != nil {
				t.Fatalf("the error is a %T", err)
			}
			if reason != s.refused {
				t.Fatalf("%v, want reason %q", err, s.refused)
			}
			if got.Answer.Status != s.status || got.Answer.Body != s.answer {
				t.Errorf("answered %d %q, want %d %q", got.Answer.Status, got.Answer.Body, s.status, s.answer)
			}
			for name, value := range s.headers {
				if got.Answer.Headers[name] != value {
					t.Errorf("header %s is %q, want %q", name, got.Answer.Headers[name], value)
				}
			}
			if s.answer != "" && got.Answer.ContentType == "" {
				t.Error("the answer has no content type")
			}
			if (len(got.Events) > 0) != s.event || (got.Handshake != "") != (s.refused == "") {
				t.Errorf("events %v of a handshake %q", got.Events, got.Handshake)
			}
			var stored string
			if got.Store != nil {
				stored = got.Store.Secret
			}
			if stored != s.store || got.Confirm != s.confirm {
				t.Errorf("to be stored is %q, to be fetched %q", stored, got.Confirm)
			}
			if string(req.Body) != before {
				t.Error("the body was changed")
			}
		})
	}
}

// TestHandshakesSayNothing: a refused one gives nothing of what was sent back,
// and neither the reason nor the answer has a secret in it.
func TestHandshakesSayNothing(t *testing.T) {
	for _, s := range abuses() {
		v, req := s.receiver(t)
		got, err := v.Receive(t.Context(), req, time.Unix(shakeNow, 0))
		if diff := cmp.Diff(verify.Result{Answer: verify.Answer{Status: s.status}}, got); diff != "" {
			t.Errorf("%s/%s: %s", s.provider, s.name, diff)
		}
		for name, secret := range s.settings {
			if name != "allowed_origins" && len(secret) > 1 && strings.Contains(fmt.Sprint(err), secret) {
				t.Errorf("%s/%s: the reason tells %q: %v", s.provider, s.name, secret, err)
			}
		}
	}
}

// TestMethods: what a handshake needs is allowed, and nothing else.
func TestMethods(t *testing.T) {
	for provider, want := range map[string][]string{
		"github": {"POST"}, "meta": {"POST", "GET"}, "mandrill": {"POST", "HEAD"}, "mailchimp": {"POST", "GET", "HEAD"}, "cloudevents": {"POST", "OPTIONS"},
	} {
		def, _ := verify.Lookup(provider)
		v, err := verify.New(def, verify.Config{Secrets: []string{shakeSecret}})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, v.Methods()); diff != "" {
			t.Errorf("%s: %s", provider, diff)
		}
	}
}

// TestAnswers: an accepted event is answered as its provider demands.
func TestAnswers(t *testing.T) {
	body := `{"events":[{"eventType":"UPDATE","eventCategory":"INVOICE"}],"firstEventSequence":1}`
	s := shake{provider: "xero", method: "POST", body: body, header: map[string]string{"X-Xero-Signature": keyed(sha256.New, shakeSecret, body, b64)}}
	v, req := s.receiver(t)
	got, err := v.Receive(t.Context(), req, time.Unix(shakeNow, 0))
	if err != nil || len(got.Events) != 1 || got.Answer.Status != 200 || got.Answer.Body != "" || got.Handshake != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzReceive(f *testing.F) {
	for _, s := range append(shakes(), abuses()...) {
		f.Add(s.provider, s.method, s.query, s.header["X-Hook-Secret"]+s.header["WebHook-Request-Origin"], s.body)
	}
	settings := map[string]string{"verify_token": "tok", "verification_token": "tok", "verification_code": "tok", "client_id": "tok", "allowed_origins": "*"}
	f.Fuzz(func(t *testing.T, provider, method, query, value, body string) {
		def, ok := verify.Lookup(provider)
		if !ok {
			return
		}
		own := map[string]string{}
		for _, s := range def.AllSettings() {
			if text, ok := settings[s.Name]; ok {
				own[s.Name] = text
			}
		}
		v, err := verify.New(def, verify.Config{Settings: own, Keyless: true})
		if err != nil {
			return
		}
		req := verify.Request{Method: method, URL: shakeURL + "?" + query, Header: http.Header{}, Body: []byte(body)}
		for _, name := range []string{"X-Hook-Secret", "Validation-Token", "X-Adobesign-Clientid", "Webhook-Request-Origin"} {
			req.Header[name] = []string{value}
		}
		got, err := v.Receive(t.Context(), req, time.Unix(shakeNow, 0))
		if err != nil {
			return
		}
		for name, value := range got.Answer.Headers {
			if strings.ContainsAny(value, "\r\n\x00") {
				t.Errorf("the header %s has a line break: %q", name, value)
			}
		}
		if strings.ContainsAny(got.Answer.Body, "<>") {
			t.Errorf("the answer has markup: %q", got.Answer.Body)
		}
	})
}

// TestSecretLater: a source of a provider that shows its secret after the handshake
// exists without one, and refuses every event.
func TestSecretLater(t *testing.T) {
	v := newVerifier(t, "ebay", verify.Config{})
	_, err := v.Verify(t.Context(), post(`{}`, "X-Ebay-Signature", "e30="), now())
	if refused, ok := errors.AsType[*verify.Error](err); !ok || refused.Reason != verify.ReasonSecretMissing {
		t.Errorf("got %v, want %s", err, verify.ReasonSecretMissing)
	}
}

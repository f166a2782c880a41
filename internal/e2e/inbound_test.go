package e2e_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// outsideURL is how providers reach the server: it is what Twilio signs.
const outsideURL = "https://hooks.example.com"

// inlet is a source with an application of its own.
type inlet struct {
	*client
	app, id string
	// path is that of the address, url the whole of it as the provider has it.
	path, url string
}

// inlet makes a source; more may hold any property.
func (s *server) inlet(t *testing.T, provider string, more object) *inlet {
	t.Helper()
	c := newClient(t, s.base)
	in := object{"name": provider, "provider": provider}
	maps.Copy(in, more)
	app := c.application(provider)
	var source struct{ ID, IngestURL string }
	c.want(201, "POST", "/app/"+app+"/source", in, &source)
	return &inlet{c, app, source.ID, source.IngestURL[strings.Index(source.IngestURL, "/in/"):], source.IngestURL}
}

// of is the path of something of the source in the API.
func (in *inlet) of(path string) string { return "/app/" + in.app + "/source/" + in.id + path }

// ask sends a request as the provider does, who knows nothing of our keys.
func (in *inlet) ask(method, query string, header http.Header, body []byte) *reply {
	in.t.Helper()
	if header = header.Clone(); header == nil {
		header = http.Header{}
	}
	if header["Authorization"] == nil {
		header["Authorization"] = nil // sent by nobody
	}
	r, err := in.send(method, in.path+query, header, bytes.NewReader(body))
	if err != nil {
		in.t.Fatalf("%s to a source of %s: %v", method, in.path, err)
	}
	return r
}

// inMessage is a message that came in.
type inMessage struct {
	ID, EventType, ProviderEventType, SourceID, ContentType string
}

// messages lists those of the application, the oldest first.
func (in *inlet) messages() []inMessage {
	in.t.Helper()
	var page struct{ Data []inMessage }
	in.want(200, "GET", "/app/"+in.app+"/msg?limit=250", nil, &page)
	slices.Reverse(page.Data)
	return page.Data
}

// inRefusal is a request that did not verify.
type inRefusal struct {
	ID, Reason, Detail string
	MessageID          *string
	Request            struct {
		Query   string
		Headers []struct{ Name, Value string }
	}
}

// refusals lists those of the source, the newest first.
func (in *inlet) refusals() []inRefusal {
	in.t.Helper()
	var page struct{ Data []inRefusal }
	in.want(200, "GET", in.of("/refusal?limit=250"), nil, &page)
	return page.Data
}

// digest is an HMAC over a text.
func digest(h func() hash.Hash, key, text string) []byte {
	mac := hmac.New(h, []byte(key))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// hexMAC is HMAC-SHA256 as most write it, base64MAC as the others do.
func hexMAC(key, text string) string { return hex.EncodeToString(digest(sha256.New, key, text)) }

func base64MAC(key, text string) string {
	return base64.StdEncoding.EncodeToString(digest(sha256.New, key, text))
}

// payload is a body as a provider sends it.
func payload(t *testing.T, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "inbound", name))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// realRequest is one in the shape of a provider's, and what it is to become.
type realRequest struct {
	name, provider, secret, file string
	// header are those of the provider, signed over the body at a time.
	header func(secret, url, body, at string) http.Header
	// another makes another event of the body.
	another                 [2]string
	eventType, providerType string
	status                  int
	// answer is what the provider is told, "id" for the message's.
	answer string
	// nameless: it brings no delivery id, so that a second copy is another event.
	nameless bool
}

func realRequests() []realRequest {
	slack := func(contentType string) func(secret, url, body, at string) http.Header {
		return func(secret, _, body, at string) http.Header {
			return http.Header{
				"Content-Type": {contentType}, "User-Agent": {"Slackbot 1.0 (+https://api.slack.com/robots)"},
				"X-Slack-Request-Timestamp": {at}, "X-Slack-Signature": {"v0=" + hexMAC(secret, "v0:"+at+":"+body)},
			}
		}
	}
	return []realRequest{
		{name: "github", provider: "github", secret: "It's a Secret to Everybody", file: "github_push.json",
			header: func(secret, _, body, _ string) http.Header {
				return http.Header{
					"Content-Type": {"application/json"}, "User-Agent": {"GitHub-Hookshot/044aadd"}, "Accept": {"*/*"},
					"X-Github-Hook-Id": {"292430182"}, "X-Github-Event": {"push"}, "X-Github-Delivery": {"72d3162e-cc78-11e3-81ab-4c9367dc0958"},
					"X-Github-Hook-Installation-Target-Type": {"repository"}, "X-Github-Hook-Installation-Target-Id": {"79929171"},
					"X-Hub-Signature": {"sha1=" + hex.EncodeToString(digest(sha1.New, secret, body))}, "X-Hub-Signature-256": {"sha256=" + hexMAC(secret, body)},
				}
			},
			another: [2]string{"refs/heads/main", "refs/heads/next"}, eventType: "push", providerType: "push", status: 202, answer: "id"},
		{name: "stripe", provider: "stripe", secret: "whsec_8tLBkHeWt9p0L2Eyj4u5dVnC", file: "stripe_invoice.json",
			header: func(secret, _, body, at string) http.Header {
				return http.Header{
					"Content-Type": {"application/json; charset=utf-8"}, "User-Agent": {"Stripe/1.0 (+https://stripe.com/docs/webhooks)"},
					"Stripe-Signature": {"t=" + at + ",v1=" + hexMAC(secret, at+"."+body) + ",v0=" + strings.Repeat("6f", 32)},
				}
			},
			another: [2]string{"evt_1Qz8Kd", "evt_1Qz8Ke"}, eventType: "invoice.paid", providerType: "invoice.paid", status: 202, answer: "id"},
		{name: "slack event", provider: "slack", secret: "8f742231b10e8888abcd99yyyzzz85a5", file: "slack_event.json", header: slack("application/json"),
			another: [2]string{"Ev0PV52K21", "Ev0PV52K22"}, eventType: "app_mention", providerType: "app_mention", status: 200},
		{name: "slack command", provider: "slack", secret: "8f742231b10e8888abcd99yyyzzz85a5", file: "slack_command.txt", header: slack("application/x-www-form-urlencoded"),
			another: [2]string{"text=94070", "text=94071"}, eventType: ".weather", providerType: "/weather", status: 200, nameless: true},
		{name: "shopify", provider: "shopify", secret: "hush", file: "shopify_order.json",
			header: func(secret, _, body, _ string) http.Header {
				return http.Header{
					"Content-Type": {"application/json"}, "User-Agent": {"Shopify-Captain-Hook"}, "X-Shopify-Topic": {"orders/create"}, "X-Shopify-Shop-Domain": {"acme.myshopify.com"},
					"X-Shopify-Api-Version": {"2026-10"}, "X-Shopify-Webhook-Id": {"b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"}, "X-Shopify-Event-Id": {"98880550-7158-44d4-b7cd-2c97c8a091b5"},
					"X-Shopify-Triggered-At": {"2026-11-23T05:12:44.123456789Z"}, "X-Shopify-Hmac-Sha256": {base64MAC(secret, body)},
				}
			},
			another: [2]string{"820982911946154508", "820982911946154509"}, eventType: "orders.create", providerType: "orders/create", status: 200},
		{name: "twilio", provider: "twilio", secret: "12345", file: "twilio_sms.txt",
			header: func(secret, url, body, _ string) http.Header {
				return http.Header{
					"Content-Type": {"application/x-www-form-urlencoded; charset=UTF-8"}, "User-Agent": {"TwilioProxy/1.1"}, "Accept": {"*/*"},
					"I-Twilio-Idempotency-Token": {"bb2b1f53-9e7c-4d3f-8c7e-1f2d3c4b5a69"}, "X-Twilio-Signature": {twilioSignature(secret, url, body)},
				}
			},
			another: [2]string{"SM2003", "SM2004"}, eventType: "received", providerType: "received", status: 200,
			answer: `<?xml version="1.0" encoding="UTF-8"?><Response/>`},
	}
}

// twilioSignature is over the address and the form, sorted.
func twilioSignature(secret, address, body string) string {
	form, _ := url.ParseQuery(body) // what does not parse is signed as nothing
	for _, name := range slices.Sorted(maps.Keys(form)) {
		address += name + strings.Join(form[name], "")
	}
	return base64.StdEncoding.EncodeToString(digest(sha1.New, secret, address))
}

// A request in a provider's shape reaches an endpoint with its original bytes,
// under its event type, once however often it is sent.
func TestInboundRequests(t *testing.T) {
	t.Parallel()
	s := serve(t, "file:"+t.TempDir()+"/store", "--public-url="+outsideURL)
	for _, real := range realRequests() {
		t.Run(real.name, func(t *testing.T) {
			target := newReceiver(t, nil)
			in := s.inlet(t, real.provider, object{"secrets": []string{real.secret}})
			in.endpoint(in.app, target.URL+"/hook", nil)
			if !strings.HasPrefix(in.url, outsideURL+"/in/") {
				t.Fatalf("the address is %s", in.url)
			}
			at := strconv.FormatInt(time.Now().Unix(), 10)
			body := payload(t, real.file)
			header := real.header(real.secret, in.url, string(body), at)

			first := in.ask("POST", "", header, body)
			if first.status != real.status {
				t.Fatalf("answered %d %s", first.status, first.body)
			}
			got := target.await(t, "/hook", 1)[0]
			if !bytes.Equal(got.body, body) || got.header.Get("Content-Type") != header.Get("Content-Type") {
				t.Errorf("delivered as %q:\n%s", got.header.Get("Content-Type"), got.body)
			}
			messages := in.messages()
			want := inMessage{got.id, real.eventType, real.providerType, in.id, header.Get("Content-Type")}
			if len(messages) != 1 || messages[0] != want {
				t.Errorf("messages %+v, want %+v", messages, want)
			}
			if raw := in.call("GET", "/app/"+in.app+"/msg/"+got.id+"/raw", nil); !bytes.Equal(raw.body, body) {
				t.Errorf("kept as %q", raw.body)
			}
			answer := real.answer
			if answer == "id" {
				answer = `{"id":"` + got.id + "\"}\n"
			}
			if string(first.body) != answer {
				t.Errorf("answered %q", first.body)
			}

			// The provider did not hear us, and sends it again; then another one.
			again := in.ask("POST", "", header, body)
			if again.status != first.status || !real.nameless && !bytes.Equal(again.body, first.body) {
				t.Errorf("a second copy: answered %d %s", again.status, again.body)
			}
			other := strings.ReplaceAll(string(body), real.another[0], real.another[1])
			if r := in.ask("POST", "", real.header(real.secret, in.url, other, at), []byte(other)); r.status != real.status {
				t.Errorf("another event: answered %d %s", r.status, r.body)
			}
			count := 2
			if real.nameless {
				count = 3
			}
			target.await(t, "/hook", count)
			if n := len(in.messages()); n != count || len(target.requests("/hook")) != count {
				t.Errorf("%d messages, %d deliveries, want %d of each", n, len(target.requests("/hook")), count)
			}

			// What was changed on its way is refused.
			if r := in.ask("POST", "", header, []byte(other)); r.status != 401 {
				t.Errorf("a changed body: answered %d %s", r.status, r.body)
			}
			if kept := in.refusals(); len(kept) != 1 || kept[0].Reason != "signature_mismatch" {
				t.Errorf("refusals %+v", kept)
			}
		})
	}
}

// Twilio signs the address that it has, not the one that we listen at.
func TestSignedAddress(t *testing.T) {
	t.Parallel()
	s := serve(t, "memory:", "--public-url="+outsideURL)
	in := s.inlet(t, "twilio", object{"secrets": []string{"12345"}})
	body := payload(t, "twilio_sms.txt")
	const query = "?b=2&a=%C3%A9"
	for _, try := range []struct {
		query, signed string
		status        int
	}{
		{"", in.url, 200},
		{"", s.base + in.path, 401},
		{query, in.url + query, 200},
		{query, in.url + "?a=%C3%A9&b=2", 401},
		{query, in.url, 401},
	} {
		header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "X-Twilio-Signature": {twilioSignature("12345", try.signed, string(body))}}
		if r := in.ask("POST", try.query, header, body); r.status != try.status {
			t.Errorf("signed over %s, sent with %q: answered %d, want %d", try.signed, try.query, r.status, try.status)
		}
	}
	sum := sha256.Sum256([]byte(`{"a":1}`))
	digested := "?bodySHA256=" + hex.EncodeToString(sum[:])
	signature := base64.StdEncoding.EncodeToString(digest(sha1.New, "12345", in.url+digested))
	for text, status := range map[string]int{`{"a":1}`: 200, `{"a":2}`: 401} {
		if r := in.ask("POST", digested, http.Header{"Content-Type": {"application/json"}, "X-Twilio-Signature": {signature}}, []byte(text)); r.status != status {
			t.Errorf("%s: answered %d, want %d", text, r.status, status)
		}
	}
	if n := len(in.messages()); n != 2 { // both forms are the same event
		t.Errorf("%d messages", n)
	}
}

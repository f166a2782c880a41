package oracletest

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	paddle "github.com/PaddleHQ/paddle-go-sdk/v4"
	"github.com/PagerDuty/go-pagerduty/webhookv3"
	"github.com/google/go-github/v74/github"
	"github.com/line/line-bot-sdk-go/v8/linebot/webhook"
	"github.com/slack-go/slack"
	stripe "github.com/stripe/stripe-go/v82/webhook"
)

// Reasons that several vendors share. The numbers are those of README.md.
const (
	emptySecret = "the SDK signs and verifies with an empty secret, so that anybody could sign (1)"
	twoHeaders  = "the SDK looks at the first of two headers; which one counts differs between proxies and servers (2)"
	manySigs    = "we compare 16 signatures of a header and no more; the SDK compares all (3)"
	otherHash   = "the SDK takes the hash from the request; here it is the provider's (4)"
	anyTime     = "the SDK does not look at the time, or only at the past: what was signed once could be sent for ever (5)"
	looseTime   = "the SDK reads the time in more ways than the one that its vendor writes (6)"
	looseText   = "the SDK reads signatures in more ways than the one that its vendor writes (6)"
	boundary    = "the time's last digit can pass for the body's first; we want a time of now (7)"
	tightText   = "the SDK reads signatures in fewer ways; it is the same signature (8)"
)

// firstOfTwo are the mutations that an SDK accepts which asks for one header and
// gets the first.
func firstOfTwo(others map[string]string) map[string]string {
	others["signature header twice"] = twoHeaders
	others["a wrong signature header behind"] = twoHeaders
	return others
}

func TestStripe(t *testing.T) {
	t.Parallel()
	v := &vendor{
		provider: "stripe",
		secret:   "whsec_1OL5aPbjRxKgraGdrAFiygzTAQawx6xU", other: "whsec_2OL5aPbjRxKgraGdrAFiygzTAQawx6xU",
		request: func() *request {
			return post(`{"id":"evt_1EpNHq6Dx883Zt8aSjoyg","object":"event","api_version":"2025-06-30.basil","type":"payment_intent.succeeded","data":{"object":{"amount":2000}}}`, "application/json")
		},
		sdkSign: func(_ *testing.T, r *request) {
			signed := stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{Payload: r.body, Secret: r.secret, Timestamp: r.at})
			r.header.Set("Stripe-Signature", signed.Header)
		},
		raw: func(r *request) []byte {
			return hmacOf(sha256.New, []byte(r.secret), []byte(r.stamp), []byte("."), r.body)
		},
		encode: toHex, recode: toBase64,
		place: func(r *request, signature string) {
			r.header.Set("Stripe-Signature", "t="+r.stamp+",v1="+signature)
		},
		headers: []string{"Stripe-Signature"},
		judge: func(r *request) bool {
			return stripe.ValidatePayload(r.body, r.header.Get("Stripe-Signature"), r.secret) == nil
		},
	}
	elements := func(name string, text func(v *vendor, r *request) string) mutation {
		return mutation{name, 0, func(_ *rand.Rand, v *vendor, r *request) { r.header.Set("Stripe-Signature", text(v, r)) }}
	}
	good := func(r *request) string { return toHex(v.raw(r)) }
	bad := func(r *request) string { return toHex(make([]byte, 32)) }
	v.mutations = []mutation{
		elements("good after bad", func(_ *vendor, r *request) string { return "t=" + r.stamp + ",v1=" + bad(r) + ",v1=" + good(r) }),
		elements("bad after good", func(_ *vendor, r *request) string { return "t=" + r.stamp + ",v1=" + good(r) + ",v1=" + bad(r) }),
		elements("v0 alone", func(_ *vendor, r *request) string { return "t=" + r.stamp + ",v0=" + good(r) }),
		elements("v2 alone", func(_ *vendor, r *request) string { return "t=" + r.stamp + ",v2=" + good(r) }),
		elements("v0 beside v1", func(_ *vendor, r *request) string { return "t=" + r.stamp + ",v1=" + good(r) + ",v0=" + bad(r) }),
		elements("v1 before t", func(_ *vendor, r *request) string { return "v1=" + good(r) + ",t=" + r.stamp }),
		elements("no t", func(_ *vendor, r *request) string { return "v1=" + good(r) }),
		elements("two t", func(_ *vendor, r *request) string { return "t=5,t=" + r.stamp + ",v1=" + good(r) }),
		elements("semicolons", func(_ *vendor, r *request) string { return "t=" + r.stamp + ";v1=" + good(r) }),
		elements("blanks", func(_ *vendor, r *request) string { return "t=" + r.stamp + ", v1=" + good(r) }),
		elements("17th is good", func(_ *vendor, r *request) string {
			return "t=" + r.stamp + strings.Repeat(",v1="+bad(r), 16) + ",v1=" + good(r)
		}),
	}
	v.stricter = firstOfTwo(map[string]string{
		"no secret":             emptySecret,
		"signed in ten minutes": anyTime,
		"signed in a year":      anyTime,
		"time in milliseconds":  anyTime,
		"two t":                 "the SDK takes the last of two times; nobody sends two (2)",
		"17th is good":          manySigs,
	})
	v.wider = map[string]string{
		"blanks": tightText,
	}
	v.judgeAlike(t)
}

func TestGitHub(t *testing.T) {
	t.Parallel()
	const header, sha1Header = "X-Hub-Signature-256", "X-Hub-Signature"
	v := &vendor{
		provider: "github",
		secret:   "It's a Secret to Everybody", other: "It's a secret to everybody",
		request: func() *request {
			r := post(`{"action":"opened","number":2,"pull_request":{"title":"<Zoë>","merged":false}}`, "application/json")
			r.header.Set("X-GitHub-Event", "pull_request")
			r.header.Set("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
			return r
		},
		raw:    func(r *request) []byte { return hmacOf(sha256.New, []byte(r.secret), r.body) },
		encode: toHex, recode: toBase64,
		place:   func(r *request, signature string) { r.header.Set(header, "sha256="+signature) },
		headers: []string{header},
		judge: func(r *request) bool {
			_, err := github.ValidatePayload(r.http(), []byte(r.secret))
			return err == nil
		},
		without: []string{"time"},
	}
	v.mutations = []mutation{
		{"a form", 0, func(_ *rand.Rand, v *vendor, r *request) {
			r.header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.body = []byte("payload=%7B%22zen%22%3A%22Design+for+failure.%22%7D")
			v.sign(r)
		}},
		{"a form, signed over its field", 0, func(_ *rand.Rand, v *vendor, r *request) {
			v.sign(r)
			r.header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.body = []byte("payload=" + string(r.body))
		}},
		{"SHA-1 beside SHA-256", 0, func(_ *rand.Rand, _ *vendor, r *request) {
			r.header.Set(sha1Header, "sha1="+toHex(hmacOf(sha1.New, []byte(r.secret), r.body)))
		}},
		{"wrong SHA-1 beside SHA-256", 0, func(_ *rand.Rand, _ *vendor, r *request) {
			r.header.Set(sha1Header, "sha1="+toHex(make([]byte, 20)))
		}},
		{"SHA-1 beside wrong SHA-256", 0, func(_ *rand.Rand, v *vendor, r *request) {
			r.header.Set(sha1Header, "sha1="+toHex(hmacOf(sha1.New, []byte(r.secret), r.body)))
			v.place(r, toHex(make([]byte, 32)))
		}},
		{"SHA-1 in the header of SHA-256", 0, func(_ *rand.Rand, _ *vendor, r *request) {
			r.header.Set(header, "sha1="+toHex(hmacOf(sha1.New, []byte(r.secret), r.body)))
		}},
		{"SHA-512 in the header of SHA-256", 0, func(_ *rand.Rand, _ *vendor, r *request) {
			r.header.Set(header, "sha512="+toHex(hmacOf(sha512.New, []byte(r.secret), r.body)))
		}},
		{"no prefix", 0, func(_ *rand.Rand, v *vendor, r *request) { r.header.Set(header, toHex(v.raw(r))) }},
		{"another prefix", 0, func(_ *rand.Rand, v *vendor, r *request) { r.header.Set(header, "sha384="+toHex(v.raw(r))) }},
		{"a plain hash", 0, func(_ *rand.Rand, v *vendor, r *request) {
			sum := sha256.Sum256(append([]byte(r.secret), r.body...))
			v.place(r, toHex(sum[:]))
		}},
	}
	v.stricter = firstOfTwo(map[string]string{
		"no secret":                        emptySecret,
		"SHA-1 in the header of SHA-256":   otherHash,
		"SHA-512 in the header of SHA-256": otherHash,
	})
	v.judgeAlike(t)
}

func TestSlack(t *testing.T) {
	t.Parallel()
	v := &vendor{
		provider: "slack",
		secret:   "8f742231b10e8888abcd99yyyzzz85a5", other: "8f742231b10e8888abcd99yyyzzz85a6",
		request: func() *request {
			return post(`{"token":"XXYYZZ","team_id":"T1","type":"event_callback","event_id":"Ev1","event":{"type":"message","text":"hi & bye"}}`, "application/json")
		},
		raw: func(r *request) []byte {
			return hmacOf(sha256.New, []byte(r.secret), []byte("v0:"+r.stamp+":"), r.body)
		},
		encode: toHex, recode: toBase64,
		place: func(r *request, signature string) {
			r.header.Set("X-Slack-Signature", "v0="+signature)
			r.header.Set("X-Slack-Request-Timestamp", r.stamp)
		},
		headers: []string{"X-Slack-Signature", "X-Slack-Request-Timestamp"},
		judge: func(r *request) bool {
			verifier, err := slack.NewSecretsVerifier(r.header, r.secret)
			if err != nil {
				return false
			}
			_, err = verifier.Write(r.body)
			return err == nil && verifier.Ensure() == nil
		},
	}
	v.mutations = []mutation{
		{"a slash command", 0, func(_ *rand.Rand, v *vendor, r *request) {
			r.header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.body = []byte("token=gIkuvaNzQIHg97ATvDxqgjtO&team_id=T0001&command=%2Fweather&text=94070")
			v.sign(r)
		}},
		{"v1 for v0", 0, func(_ *rand.Rand, v *vendor, r *request) { r.header.Set("X-Slack-Signature", "v1="+toHex(v.raw(r))) }},
		{"no version", 0, func(_ *rand.Rand, v *vendor, r *request) { r.header.Set("X-Slack-Signature", toHex(v.raw(r))) }},
		{"no time", 0, func(_ *rand.Rand, _ *vendor, r *request) { r.header.Del("X-Slack-Request-Timestamp") }},
		{"time moved into the body", 0, func(_ *rand.Rand, _ *vendor, r *request) {
			stamp := r.header.Get("X-Slack-Request-Timestamp")
			r.header.Set("X-Slack-Request-Timestamp", stamp[:9])
			r.body = append([]byte(stamp[9:]+":"), r.body...)
		}},
		{"time header twice", 0, func(_ *rand.Rand, _ *vendor, r *request) { r.header.Add("X-Slack-Request-Timestamp", r.stamp) }},
	}
	v.stricter = firstOfTwo(map[string]string{
		"time with a zero before it": looseTime,
		"time with a plus before it": looseTime,
		"time header twice":          twoHeaders,
	})
	v.judgeAlike(t)
}

func TestPaddle(t *testing.T) {
	t.Parallel()
	v := &vendor{
		provider: "paddle", settings: map[string]string{"tolerance": "5m"},
		secret: "pdl_ntfset_01gkpjp8bkm3tm53kdgkx6sms7_6h3qd3uFSi9YCD3OLYAShQI90XTI5vEI", other: "pdl_ntfset_01gkpjp8bkm3tm53kdgkx6sms7_7h3qd3uFSi9YCD3OLYAShQI90XTI5vEI",
		request: func() *request {
			return post(`{"event_id":"evt_01","event_type":"transaction.paid","notification_id":"ntf_01","data":{"id":"txn_01"}}`, "application/json")
		},
		raw: func(r *request) []byte {
			return hmacOf(sha256.New, []byte(r.secret), []byte(r.stamp+":"), r.body)
		},
		encode: toHex, recode: toBase64,
		place: func(r *request, signature string) {
			r.header.Set("Paddle-Signature", "ts="+r.stamp+";h1="+signature)
		},
		headers: []string{"Paddle-Signature"},
		judge: func(r *request) bool {
			ok, err := paddle.NewWebhookVerifier(r.secret, paddle.VerifierWithTimestampTolerance(5*time.Minute)).Verify(r.http())
			return ok && err == nil
		},
	}
	v.mutations = []mutation{
		{"two signatures", 0, func(_ *rand.Rand, v *vendor, r *request) {
			r.header.Set("Paddle-Signature", "ts="+r.stamp+";h1="+toHex(make([]byte, 32))+";h1="+toHex(v.raw(r)))
		}},
		{"h2 for h1", 0, func(_ *rand.Rand, v *vendor, r *request) {
			r.header.Set("Paddle-Signature", "ts="+r.stamp+";h2="+toHex(v.raw(r)))
		}},
		{"signature before time", 0, func(_ *rand.Rand, v *vendor, r *request) {
			r.header.Set("Paddle-Signature", "h1="+toHex(v.raw(r))+";ts="+r.stamp)
		}},
		{"no time", 0, func(_ *rand.Rand, v *vendor, r *request) { r.header.Set("Paddle-Signature", "h1="+toHex(v.raw(r))) }},
		{"commas", 0, func(_ *rand.Rand, v *vendor, r *request) {
			r.header.Set("Paddle-Signature", "ts="+r.stamp+",h1="+toHex(v.raw(r)))
		}},
	}
	v.stricter = firstOfTwo(map[string]string{
		"no secret":                  emptySecret,
		"time with a zero before it": looseTime,
	})
	v.wider = map[string]string{
		"signature in capitals": tightText,
		"two signatures":        "Paddle sends one for each live secret, which this SDK does not know (9)",
		"signature before time": tightText,
	}
	v.judgeAlike(t)
}

func TestLINE(t *testing.T) {
	t.Parallel()
	v := &vendor{
		provider: "line",
		secret:   "8c570fa6dd201bb328f1c1eac23a96d8", other: "9c570fa6dd201bb328f1c1eac23a96d8",
		request: func() *request {
			return post(`{"destination":"U8e742f61d673b39c7fff3cecb7536ef0","events":[{"type":"message","webhookEventId":"01FZ74A0TDDPYRVKNK77XKC3ZR"}]}`, "application/json; charset=utf-8")
		},
		raw:    func(r *request) []byte { return hmacOf(sha256.New, []byte(r.secret), r.body) },
		encode: toBase64, recode: toHex,
		place:   func(r *request, signature string) { r.header.Set("X-Line-Signature", signature) },
		headers: []string{"X-Line-Signature"},
		judge: func(r *request) bool {
			return webhook.ValidateSignature(r.secret, r.header.Get("X-Line-Signature"), r.body)
		},
		without: []string{"time"},
	}
	v.stricter = firstOfTwo(map[string]string{
		"no secret": emptySecret,
		"signature with bits that stand for nothing": looseText,
		"signature with a line break in it":          looseText,
	})
	v.judgeAlike(t)
}

func TestPagerDuty(t *testing.T) {
	t.Parallel()
	v := &vendor{
		provider: "pagerduty",
		secret:   "gdmdPnpQvsCTZgWZOYUmTWQzSRVkYgPo", other: "hdmdPnpQvsCTZgWZOYUmTWQzSRVkYgPo",
		request: func() *request {
			return post(`{"event":{"id":"5ac64822-4adc-4fda-ade0-410becf0de4f","event_type":"incident.priority_updated"}}`, "application/json")
		},
		raw:    func(r *request) []byte { return hmacOf(sha256.New, []byte(r.secret), r.body) },
		encode: toHex, recode: toBase64,
		place:   func(r *request, signature string) { r.header.Set("X-PagerDuty-Signature", "v1="+signature) },
		headers: []string{"X-Pagerduty-Signature"},
		judge:   func(r *request) bool { return webhookv3.VerifySignature(r.http(), r.secret) == nil },
		without: []string{"time"},
	}
	header := func(name string, text func(v *vendor, r *request) string) mutation {
		return mutation{name, 0, func(_ *rand.Rand, v *vendor, r *request) { r.header.Set(v.headers[0], text(v, r)) }}
	}
	bad := "v1=" + toHex(make([]byte, 32))
	v.mutations = []mutation{
		header("good after bad", func(v *vendor, r *request) string { return bad + ",v1=" + toHex(v.raw(r)) }),
		header("bad after good", func(v *vendor, r *request) string { return "v1=" + toHex(v.raw(r)) + "," + bad }),
		header("v2 alone", func(v *vendor, r *request) string { return "v2=" + toHex(v.raw(r)) }),
		header("v2 beside v1", func(v *vendor, r *request) string { return "v2=abc,v1=" + toHex(v.raw(r)) }),
		header("a blank after the comma", func(v *vendor, r *request) string { return bad + ", v1=" + toHex(v.raw(r)) }),
		header("17th is good", func(v *vendor, r *request) string { return strings.Repeat(bad+",", 16) + "v1=" + toHex(v.raw(r)) }),
	}
	v.stricter = firstOfTwo(map[string]string{
		"no secret":    emptySecret,
		"17th is good": manySigs,
	})
	v.wider = map[string]string{
		"signed body of nothing":  "the SDK wants a body, signed or not; there is nothing to protect (8)",
		"a blank after the comma": tightText,
	}
	v.judgeAlike(t)
}

// post is a request that is not signed yet.
func post(body, contentType string) *request {
	return &request{
		method: http.MethodPost, url: "https://hooks.example.com/in/token",
		header: http.Header{"Content-Type": {contentType}}, body: []byte(body),
	}
}

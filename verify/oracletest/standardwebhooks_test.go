package oracletest

import (
	"crypto/sha256"
	"encoding/base64"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	svix "github.com/svix/svix-webhooks/go"
)

// webhookSDK is what the two libraries have in common.
type webhookSDK interface {
	Sign(id string, at time.Time, payload []byte) (string, error)
	Verify(payload []byte, headers http.Header) error
}

func TestStandardWebhooks(t *testing.T) {
	t.Parallel()
	v := standardVendor("standard_webhooks", "Webhook-", func(secret string) (webhookSDK, error) { return standardwebhooks.NewWebhook(secret) })
	v.stricter = firstOfTwo(map[string]string{
		"no secret":                      emptySecret,
		"a secret that is only a prefix": emptySecret,
		"17th is good":                   manySigs,
		"a comma behind":                 looseText,
		"an id twice":                    twoHeaders,
	})
	v.judgeAlike(t)
}

func TestSvix(t *testing.T) {
	t.Parallel()
	v := standardVendor("svix", "Svix-", func(secret string) (webhookSDK, error) { return svix.NewWebhook(secret) })
	v.stricter = firstOfTwo(map[string]string{
		"17th is good":   manySigs,
		"a comma behind": looseText,
		"an id twice":    twoHeaders,
	})
	v.judgeAlike(t)
}

// standardVendor is a vendor on Standard Webhooks, whose headers begin so.
func standardVendor(provider, prefix string, sdk func(secret string) (webhookSDK, error)) *vendor {
	v := &vendor{
		provider: provider,
		secret:   "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", other: "whsec_NfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		request: func() *request {
			r := post(`{"type":"invoice.paid","timestamp":"2026-11-22T10:00:00Z","data":{"amount":1.0,"of":"<Zoë>"}}`, "application/json")
			r.header.Set(prefix+"Id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
			return r
		},
		sdkSign: func(t *testing.T, r *request) {
			signer, err := sdk(r.secret)
			if err != nil {
				t.Fatal(err)
			}
			signature, err := signer.Sign(r.header.Get(prefix+"Id"), r.at, r.body)
			if err != nil {
				t.Fatal(err)
			}
			r.header.Set(prefix+"Timestamp", r.stamp)
			r.header.Set(prefix+"Signature", signature)
		},
		raw: func(r *request) []byte {
			key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.secret, "whsec_"))
			if err != nil {
				panic(err) // the tests make the secrets
			}
			return hmacOf(sha256.New, key, []byte(r.header.Get(prefix+"Id")+"."+r.stamp+"."), r.body)
		},
		encode: toBase64, recode: toHex,
		place: func(r *request, signature string) {
			r.header.Set(prefix+"Timestamp", r.stamp)
			r.header.Set(prefix+"Signature", "v1,"+signature)
		},
		headers: []string{prefix + "Signature", prefix + "Timestamp", prefix + "Id"},
		judge: func(r *request) bool {
			verifier, err := sdk(r.secret)
			return err == nil && verifier.Verify(r.body, r.header) == nil
		},
	}
	list := func(name string, text func(good, bad string) string) mutation {
		return mutation{name, 0, func(_ *rand.Rand, v *vendor, r *request) {
			r.header.Set(prefix+"Signature", text(toBase64(v.raw(r)), toBase64(make([]byte, 32))))
		}}
	}
	header := func(name string, change func(r *request)) mutation {
		return mutation{name, 0, func(_ *rand.Rand, _ *vendor, r *request) { change(r) }}
	}
	v.mutations = []mutation{
		list("good after bad", func(good, bad string) string { return "v1," + bad + " v1," + good }),
		list("bad after good", func(good, bad string) string { return "v1," + good + " v1," + bad }),
		list("v2 alone", func(good, _ string) string { return "v2," + good }),
		list("v1a beside v1", func(good, bad string) string { return "v1a," + bad + bad + " v1," + good }),
		list("no version", func(good, _ string) string { return good }),
		list("commas between", func(good, bad string) string { return "v1," + bad + ",v1," + good }),
		list("two blanks between", func(good, bad string) string { return "v1," + bad + "  v1," + good }),
		list("17th is good", func(good, bad string) string { return strings.Repeat("v1,"+bad+" ", 16) + "v1," + good }),
		list("a comma behind", func(good, _ string) string { return "v1," + good + "," }),
		header("another id", func(r *request) { r.header.Set(prefix+"Id", "msg_other") }),
		header("no id", func(r *request) { r.header.Del(prefix + "Id") }),
		header("an id twice", func(r *request) { r.header.Add(prefix+"Id", r.header.Get(prefix+"Id")) }),
		header("no time", func(r *request) { r.header.Del(prefix + "Timestamp") }),
		{"id moved into time", 0, func(_ *rand.Rand, v *vendor, r *request) {
			r.header.Set(prefix+"Id", "a.b")
			v.sign(r)
			r.header.Set(prefix+"Id", "a")
			r.header.Set(prefix+"Timestamp", "b."+r.stamp)
		}},
		{"an id with dots", 0, func(_ *rand.Rand, v *vendor, r *request) {
			r.header.Set(prefix+"Id", "a.1.b")
			v.sign(r)
		}},
		{"a secret without prefix", 0, func(_ *rand.Rand, _ *vendor, r *request) { r.secret = strings.TrimPrefix(r.secret, "whsec_") }},
		{"a secret that is only a prefix", 0, func(_ *rand.Rand, v *vendor, r *request) {
			r.secret = "whsec_"
			v.sign(r)
		}},
	}
	return v
}

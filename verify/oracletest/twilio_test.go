package oracletest

import (
	"crypto/sha1"
	"crypto/sha256"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/twilio/twilio-go/client"
)

func TestTwilio(t *testing.T) {
	t.Parallel()
	const header = "X-Twilio-Signature"
	v := &vendor{
		provider: "twilio",
		secret:   "12345abcde12345abcde12345abcde12", other: "22345abcde12345abcde12345abcde12",
		request: func() *request {
			return post("CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212", "application/x-www-form-urlencoded")
		},
		raw: func(r *request) []byte {
			return hmacOf(sha1.New, []byte(r.secret), []byte(twilioText(r)))
		},
		encode: toBase64, recode: toHex,
		place:   func(r *request, signature string) { r.header.Set(header, signature) },
		headers: []string{header},
		judge: func(r *request) bool {
			validator := client.NewRequestValidator(r.secret)
			return validator.ValidateBody(r.url, r.body, r.header.Get(header))
		},
		without: []string{"time"},
	}
	resigned := func(name string, change func(r *request)) mutation {
		return mutation{name, 0, func(_ *rand.Rand, v *vendor, r *request) {
			change(r)
			v.sign(r)
		}}
	}
	moved := func(name, to string) mutation {
		return mutation{name, 0, func(_ *rand.Rand, _ *vendor, r *request) { r.url = to }}
	}
	v.mutations = []mutation{
		resigned("another order of fields", func(r *request) { r.body = []byte("To=b&From=a&CallSid=c") }),
		resigned("names that begin alike", func(r *request) { r.body = []byte("Reason=x&ReasonConferenceEnded=y&Reasons=z") }),
		resigned("an empty field", func(r *request) { r.body = []byte("Body=&From=a") }),
		resigned("letters of other languages", func(r *request) { r.body = []byte("Body=Zo%C3%AB+%26+%F0%9F%8E%A3") }),
		resigned("a repeated field", func(r *request) { r.body = []byte("Media=b&Media=a&From=c") }),
		resigned("a repeated field, twice the same", func(r *request) { r.body = []byte("Media=a&Media=a&From=c") }),
		resigned("a query", func(r *request) { r.url += "?b=2&a=1" }),
		resigned("a JSON body", func(r *request) { jsonBody(r, `{"EventSid":"EV1","n":1.0}`) }),
		{"a JSON body changed", 0, func(_ *rand.Rand, v *vendor, r *request) {
			jsonBody(r, `{"EventSid":"EV1","n":1.0}`)
			v.sign(r)
			r.body = []byte(`{"EventSid":"EV1","n":2.0}`)
		}},
		{"a JSON body with another hash", 0, func(_ *rand.Rand, v *vendor, r *request) {
			jsonBody(r, `{"EventSid":"EV1"}`)
			r.url = strings.Replace(r.url, "SHA256=", "SHA256=0", 1)
			v.sign(r)
		}},
		moved("another host", "https://evil.example/in/token"),
		moved("another path", "https://hooks.example.com/in/other"),
		moved("another scheme", "http://hooks.example.com/in/token"),
		moved("a slash at the end", "https://hooks.example.com/in/token/"),
		moved("a query more", "https://hooks.example.com/in/token?x=1"),
		{"signed with the port", 0, func(_ *rand.Rand, v *vendor, r *request) {
			r.url = "https://hooks.example.com:443/in/token"
			v.sign(r)
			r.url = "https://hooks.example.com/in/token"
		}},
		{"signed without the port", 0, func(_ *rand.Rand, v *vendor, r *request) {
			v.sign(r)
			r.url = "https://hooks.example.com:443/in/token"
		}},
		{"signed without a port that is not usual", 0, func(_ *rand.Rand, v *vendor, r *request) {
			v.sign(r)
			r.url = "https://hooks.example.com:8443/in/token"
		}},
	}
	v.stricter = firstOfTwo(map[string]string{
		"no secret":        emptySecret,
		"a repeated field": "Twilio's SDKs disagree about it: this one signs the first value only, the one for Node all of them (10)",
	})
	v.judgeAlike(t)
}

// jsonBody makes a request one with a JSON body, whose hash is in the URL.
func jsonBody(r *request, body string) {
	sum := sha256.Sum256([]byte(body))
	r.body, r.url = []byte(body), r.url+"?bodySHA256="+toHex(sum[:])
	r.header.Set("Content-Type", "application/json")
}

// twilioText is what Twilio signs, as its documentation says: the URL and the
// fields of the form, sorted by name.
func twilioText(r *request) string {
	if strings.Contains(r.url, "bodySHA256=") {
		return r.url
	}
	fields, err := url.ParseQuery(string(r.body))
	if err != nil {
		return r.url + string(r.body) // what is signed is no form
	}
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	text := r.url
	for _, name := range names {
		text += name + fields[name][0]
	}
	return text
}

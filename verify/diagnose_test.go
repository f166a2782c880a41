package verify_test

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern/verify"
)

// TestDiagnose: what was signed differs from what came in one thing, which is
// said in words.
func TestDiagnose(t *testing.T) {
	const compact = `{"name":"J\u00fcrgen","path":"a/b"}`
	const pretty = "{\n  \"name\": \"J\\u00fcrgen\",\n  \"path\": \"a/b\"\n}"
	github := func(secret, signed, came string) verify.Request {
		return verify.Request{Method: http.MethodPost, Body: []byte(came), Header: http.Header{
			"X-Hub-Signature-256": {"sha256=" + keyed(sha256.New, secret, signed, hex.EncodeToString)},
		}}
	}
	twilio := func(signed, came string) verify.Request {
		return verify.Request{Method: http.MethodPost, URL: came, Body: []byte("CallSid=CA1"), Header: http.Header{
			"Content-Type": {"application/x-www-form-urlencoded"}, "X-Twilio-Signature": {keyed(sha1.New, shakeSecret, signed+"CallSidCA1", b64)},
		}}
	}
	const here = "https://hooks.example.com/in/t"
	for name, test := range map[string]struct {
		provider string
		req      verify.Request
		want     string // part of what is said; "" for nothing
	}{
		"the previous secret":  {"github", github("the old one", compact, compact), "previous secret"},
		"another secret":       {"github", github("another", compact, compact), ""},
		"compacted":            {"github", github(shakeSecret, compact, pretty), "compacted"},
		"escaped":              {"github", github(shakeSecret, compact, strings.ReplaceAll(compact, `\u00fc`, "ü")), "outside ASCII escaped"},
		"compacted, escaped":   {"github", github(shakeSecret, `{"a":"\ud83d\ude00\u20ac"}`, `{"a": "😀€"}`), "compacted, with characters"},
		"slashes":              {"github", github(shakeSecret, `{"a":"b\/c"}`, `{"a":"b/c"}`), "slashes"},
		"tags":                 {"github", github(shakeSecret, `{"a":"\u003cb\u003e"}`, `{"a":"<b>"}`), "< > &"},
		"base64":               {"github", github(shakeSecret, compact, b64([]byte(compact))), "from base64"},
		"a line break more":    {"github", github(shakeSecret, compact, compact+"\n"), "without its last line break"},
		"a CRLF more":          {"github", github(shakeSecret, compact, compact+"\r\n"), "without its last line break"},
		"a line break less":    {"github", github(shakeSecret, compact+"\n", compact), "with a line break behind"},
		"a CRLF less":          {"github", github(shakeSecret, compact+"\r\n", compact), "with a CRLF behind"},
		"CRLF to LF":           {"github", github(shakeSecret, "a\r\nb", "a\nb"), "with CRLF"},
		"LF to CRLF":           {"github", github(shakeSecret, "a\nb", "a\r\nb"), "with LF"},
		"a name of the body":   {"github", github(shakeSecret, compact, strings.Replace(compact, "name", "game", 1)), ""},
		"http":                 {"twilio", twilio("http://hooks.example.com/in/t", here), "with http"},
		"a slash":              {"twilio", twilio(here+"/?a=b", here+"?a=b"), "with a slash"},
		"no slash":             {"twilio", twilio(here, here+"/"), "without the slash"},
		"a query":              {"twilio", twilio(here, here+"?utm=1"), "without the query"},
		"an address":           {"twilio", twilio("https://other.example.com/in/t", here), ""},
		"too large to look at": {"github", github(shakeSecret, "", strings.Repeat("\n", 1<<20)+"\n"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			def, _ := verify.Lookup(test.provider)
			v, err := verify.New(def, verify.Config{Secrets: []string{shakeSecret}})
			if err != nil {
				t.Fatal(err)
			}
			now := time.Unix(shakeNow, 0)
			if _, err := v.Verify(t.Context(), test.req, now); err == nil {
				t.Fatal("the request verifies")
			}
			came := string(test.req.Body)
			got := v.Diagnose(t.Context(), test.req, now, []string{"the old one"})
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("said %q, want %q in it", got, test.want)
			}
			if string(test.req.Body) != came || strings.Contains(got, shakeSecret) || strings.Contains(got, "the old one") {
				t.Errorf("the body was changed, or a secret is in %q", got)
			}
		})
	}
}

// TestDiagnosePorts: the provider that signs the port, and is verified without
// trying both.
func TestDiagnosePorts(t *testing.T) {
	def, err := verify.ParseDefinition([]byte(`{"id":"own","name":"Own","status":"generic","schemes":[{"kind":"hmac","hash":"sha256","key":{"form":"utf8"},
		"signature":{"from":["header:X-Sig"],"encoding":"hex"},"template":"{url}{body}"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(def, verify.Config{Secrets: []string{shakeSecret}})
	if err != nil {
		t.Fatal(err)
	}
	for signed, want := range map[string]string{"https://h.example:443/x": "with the port", "https://h.example/x": "without the port"} {
		came := map[bool]string{true: "https://h.example/x", false: "https://h.example:8443/x"}[want == "with the port"]
		req := verify.Request{Method: "POST", URL: came, Header: http.Header{"X-Sig": {keyed(sha256.New, shakeSecret, signed, hex.EncodeToString)}}}
		if got := v.Diagnose(t.Context(), req, time.Unix(shakeNow, 0), nil); !strings.HasSuffix(got, want) {
			t.Errorf("said %q, want %q", got, want)
		}
	}
}

// countingFetcher has no key, and counts who asks.
type countingFetcher struct{ asked int }

func (f *countingFetcher) Fetch(context.Context, string) ([]byte, error) {
	f.asked++
	return nil, errors.New("answered 404")
}

// TestDiagnoseFetchesNothingAnew: a Verifier of the previous secrets would not
// know what was fetched before, and fetch for each refused request.
func TestDiagnoseFetchesNothingAnew(t *testing.T) {
	def, err := verify.ParseDefinition([]byte(`{"id":"own","name":"Own","status":"generic","schemes":[
		{"kind":"hmac","hash":"sha256","key":{"form":"utf8","prefix":"s_"},"signature":{"from":["header:X-Sig"],"encoding":"hex"},"template":"{body}"},
		{"kind":"rsa","hash":"sha256","key":{"form":"pem"},"signature":{"from":["header:X-Sig"],"encoding":"hex"},"template":"{body}",
		"remote":{"url":"https://keys.example/k","hosts":["keys\\.example"],"format":"pem"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	fetcher := &countingFetcher{}
	v, err := verify.New(def, verify.Config{Secrets: []string{"s_now"}, Fetch: fetcher})
	if err != nil {
		t.Fatal(err)
	}
	req := verify.Request{Method: "POST", Header: http.Header{"X-Sig": {strings.Repeat("00", 32)}}}
	for range 3 {
		v.Diagnose(t.Context(), req, time.Unix(shakeNow, 0), []string{"s_before"})
	}
	if fetcher.asked != 1 {
		t.Errorf("asked for %d times, want once", fetcher.asked)
	}
}

package verify

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func noSetting(string) (string, bool) { return "", false }

func base64URL(sum [64]byte) string { return base64.RawURLEncoding.EncodeToString(sum[:]) }

func TestTemplateRenders(t *testing.T) {
	in := &input{
		req: Request{
			Method: "POST", URL: "https://hooks.example.com/in/a%2Fb?z=1&a=2", Header: http.Header{"X-One": {"one"}},
			Body: []byte("b=2&a=1"),
		},
		id: "msg_1", timestamp: "1750000000", item: []byte(`{"i":"item"}`),
	}
	extra := map[string][]byte{"secret": []byte("s3")}
	for _, tc := range []struct {
		template, want string
		reason         Reason
	}{
		{"{body}", "b=2&a=1", ""},
		{"{id}.{timestamp}.{body}", "msg_1.1750000000.b=2&a=1", ""},
		{"{method}\n{path}|{query}", "POST\n/in/a%2Fb?z=1&a=2|z=1&a=2", ""},
		{"{url}{form_sorted}", "https://hooks.example.com/in/a%2Fb?z=1&a=2a1b2", ""},
		{"{url|port}", "https://hooks.example.com:443/in/a%2Fb?z=1&a=2", ""},
		{"{secret}{body|sha256|hex}", "s3" + fmt.Sprintf("%x", sha256.Sum256([]byte("b=2&a=1"))), ""},
		{"{body|sha1|hex|upper}", fmt.Sprintf("%X", sha1.Sum([]byte("b=2&a=1"))), ""},
		{"{body|sha512|base64url}", base64URL(sha512.Sum512([]byte("b=2&a=1"))), ""},
		{"{header:x-one|upper}", "ONE", ""},
		{"{header:X-One|md5|hex}", "f97c5d29941bfb1b2fdab0874906ab82", ""}, // printf one | md5sum
		{"{item:i}/{item:none}/{method}", "item//POST", ""},                // absent parts of an item are empty
		{"{header:X-None}", "", ReasonHeaderMissing},
		{"{query:none}", "", ReasonValueMissing},
		{"id:{query:z};[one:{header:X-One};][none:{header:X-None};]ts:{timestamp};", "id:1;one:one;ts:1750000000;", ""},
		{"[{header:X-None}{body}]", "", ""},
		{"${plain}{body}", "a{b}b=2&a=1", ""}, // a setting's braces are literal
	} {
		setting := func(name string) (string, bool) { return "a{b}", name == "plain" }
		tpl, err := parseTemplate(tc.template, setting)
		if err != nil {
			t.Errorf("%s: %v", tc.template, err)
			continue
		}
		pieces, refused := tpl.render(in, extra)
		got := string(bytes.Join(pieces, nil))
		if refused == nil && tc.reason != "" || refused != nil && refused.Reason != tc.reason || got != tc.want {
			t.Errorf("%s: %q %v, want %q %q", tc.template, got, refused, tc.want, tc.reason)
		}
	}
}

func TestTemplateFaults(t *testing.T) {
	for _, text := range []string{
		"{", "}", "{body", "body}", "[", "]", "[[{body}]]", "[{body}", "{body}]", "{}", "{unknown}", "{body|rot13}", "{body|}",
		"{header:}", "{header:a b}", "${undeclared}", "{ body }", "{element:#x}",
	} {
		if tpl, err := parseTemplate(text, noSetting); err == nil {
			t.Errorf("%s is taken as %+v", text, tpl)
		}
	}
}

func TestWithPort(t *testing.T) {
	for _, tc := range [][3]string{ // url, with, without
		{"https://a.example/x?y", "https://a.example:443/x?y", "https://a.example/x?y"},
		{"https://a.example:443/x", "https://a.example:443/x", "https://a.example/x"},
		{"https://a.example:8443", "https://a.example:8443", "https://a.example"},
		{"http://a.example?b=c:d", "http://a.example:80?b=c:d", "http://a.example?b=c:d"},
		{"https://u:p@a.example/", "https://u:p@a.example:443/", "https://u:p@a.example/"},
		{"https://[2001:db8::1]/", "https://[2001:db8::1]:443/", "https://[2001:db8::1]/"},
		{"https://[2001:db8::1]:1/", "https://[2001:db8::1]:1/", "https://[2001:db8::1]/"},
		{"ftp://a.example/", "ftp://a.example/", "ftp://a.example/"},
		{"no url", "no url", "no url"},
	} {
		if got := string(withPort(tc[0], true)); got != tc[1] {
			t.Errorf("%s with port: %s", tc[0], got)
		}
		if got := string(withPort(tc[0], false)); got != tc[2] {
			t.Errorf("%s without: %s", tc[0], got)
		}
	}
}

// FuzzTemplate: no template panics, not when it is read and not when it is
// filled, and what has {body} in it outside brackets contains the body.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{"{id}.{timestamp}.{body}", "[a{header:X}]{url|port}{form_sorted}", "{body|sha256|hex|upper}", "${x}{json:a.b}", "{secret}]["} {
		f.Add(text, []byte(`{"a":{"b":1}}`), "https://a.example/?b=c")
	}
	f.Fuzz(func(t *testing.T, text string, body []byte, url string) {
		tpl, err := parseTemplate(text, noSetting)
		if err != nil {
			return
		}
		in := &input{req: Request{URL: url, Body: body, Header: http.Header{"X": {"1"}}}, id: "i", timestamp: "1"}
		in.begin(&scheme{})
		pieces, refused := tpl.render(in, nil)
		if refused == nil && !strings.Contains(text, "[") && strings.Contains(text, "{body}") && !bytes.Contains(bytes.Join(pieces, nil), body) {
			t.Fatalf("%q leaves out the body %q", text, body)
		}
	})
}

package verify

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseForm(t *testing.T) {
	for _, tc := range []struct {
		raw  string
		want fields
		ok   bool
	}{
		{"", nil, true},
		{"a=1&b=%26%3D+x&&a=2&c", fields{{"a", "1"}, {"b", "&= x"}, {"a", "2"}, {"c", ""}}, true},
		{"a=b=c;d=e", fields{{"a", "b=c;d=e"}}, true},
		{"%61=%C3%BC%ff", fields{{"a", "ü\xff"}}, true},
		{"a=%", nil, false},
		{"a=%4", nil, false},
		{"%zz=1", nil, false},
		{strings.Repeat("a&", maxFields), nil, false},
	} {
		got, ok := parseForm([]byte(tc.raw))
		if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(field{}), cmpopts.EquateEmpty()); diff != "" || ok != tc.ok {
			t.Errorf("%.40q: %t, (-want +got):\n%s", tc.raw, ok, diff)
		}
	}
}

// FuzzParseForm agrees with net/url, which forgets the order of names and does
// not take ';'.
func FuzzParseForm(f *testing.F) {
	f.Add("a=1&b=%26+x&a=2&c")
	f.Add("%C3=%zz&&=")
	f.Fuzz(func(t *testing.T, raw string) {
		want, err := url.ParseQuery(raw)
		if strings.Contains(raw, ";") || strings.Count(raw, "&") >= maxFields {
			return
		}
		got, ok := parseForm([]byte(raw))
		if ok != (err == nil) {
			t.Fatalf("%q: %t, net/url says %v", raw, ok, err)
		}
		values := url.Values{}
		for _, f := range got {
			values.Add(f.name, f.value)
		}
		if diff := cmp.Diff(want, values); ok && diff != "" {
			t.Fatalf("%q (-net/url +got):\n%s", raw, diff)
		}
	})
}

// TestSorted: by name alone, so that a name that begins with another one's whole
// name and value is no matter; of repeats every different value.
func TestSorted(t *testing.T) {
	for raw, want := range map[string]string{
		"ReasonConferenceEnded=a&Reason=z": "ReasonzReasonConferenceEndeda",
		"b=1&a=2&B=3":                      "B3a2b1",
		"a=2&a=1&a=2":                      "a1a2",
		"":                                 "",
	} {
		all, _ := parseForm([]byte(raw))
		if got := string(all.sorted()); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}

func TestTarget(t *testing.T) {
	for _, tc := range [][3]string{ // URL, Target, want
		{"https://a.example/in/x?b=c", "", "/in/x?b=c"},
		{"https://a.example/in/x?b=c", "/inner", "/in/x?b=c"}, // the public one is what is signed
		{"https://a.example", "", "/"},
		{"https://a.example?b=c", "", "/?b=c"},
		{"", "/in/x?b=c", "/in/x?b=c"},
		{"/in/x", "", "/in/x"},
		{"", "", ""},
	} {
		if got := (&input{req: Request{URL: tc[0], Target: tc[1]}}).target(); got != tc[2] {
			t.Errorf("%v: %q", tc, got)
		}
	}
}

func TestMultipart(t *testing.T) {
	const body = "--xx\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n{\"event\":{\"type\":\"t\"}}\r\n" +
		"--xx\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3Db\r\n--xx--\r\n"
	for _, tc := range []struct {
		contentType, body, selector, want string
		reason                            Reason
	}{
		{"multipart/form-data; boundary=xx", body, "multipart:json:event.type", "t", ""},
		{"multipart/form-data; boundary=xx", body, "multipart:file", "a=3Db", ""}, // raw bytes
		{"multipart/form-data; boundary=xx", body, "multipart:none", "", ""},
		{"multipart/form-data; boundary=xx", body[:40], "multipart:json", "", ReasonBodyMalformed},
		{"multipart/form-data; boundary=xx", strings.Replace(body, "--xx--", "--xx", 1), "multipart:json", "", ReasonBodyMalformed},
		{"multipart/form-data", body, "multipart:json", "", ReasonBodyMalformed},
		{"", body, "multipart:json", "", ReasonBodyMalformed},
		{"multipart/form-data; boundary=xx", strings.Repeat("--xx\r\n\r\n\r\n", maxFields+1) + "--xx--", "multipart:json", "", ReasonBodyMalformed},
	} {
		s, _ := parseSelector(tc.selector)
		in := &input{req: Request{Header: http.Header{"Content-Type": {tc.contentType}}, Body: []byte(tc.body)}}
		got, _, err := in.text(s)
		if err == nil && tc.reason != "" || err != nil && err.Reason != tc.reason || got != tc.want {
			t.Errorf("%s %.30q: %q %v, want %q %q", tc.selector, tc.body, got, err, tc.want, tc.reason)
		}
	}
}

package verify

import (
	"net/http"
	"strings"
	"testing"
)

func TestParseSelector(t *testing.T) {
	for text, ok := range map[string]bool{
		"header:X-Id": true, "header:X-Id-#": true, "header:": false, "header": false, "header:a b": false,
		"json:a.b.0": true, "json:": false, "json:a..b": false, "json:a.b.c.d.e.f.g.h": true, "json:a.b.c.d.e.f.g.h.i": false,
		"json:a*.b": true, "json:a*b*": false, "json:?*_events": true, "json:?a": false, "json:?*.a": false,
		"form:a": true, "form:a:b.c": true, "form:": false, "form::b": false, "form:a:": false,
		"multipart:json:event.id": true, "query:data.id": true, "query:": false,
		"element:t": true, "element:#0": true, "element:#x": false, "element:#-1": false, "element:": false,
		"claim:sub": true, "item:a.b": true, "literal:a b": true, "literal:": false,
		"body": true, "body:x": false, "id": true, "id:x": false,
		"json:a+json:b+header:C": true, "json:a+": false, "+json:a": false, "json:a+xml:b": false,
		"": false, "xml:a": false, "url": false, "secret": false, "timestamp": false,
	} {
		if s, got := parseSelector(text); got != ok {
			t.Errorf("%q: %v %t", text, s, got)
		}
	}
}

// FuzzSelector: whatever parses is written as it was, and selects from an empty
// request without panic.
func FuzzSelector(f *testing.F) {
	for _, text := range []string{"header:X-Id", "json:a.0.b*", "json:?*_events", "form:a:b", "element:#0", "json:a+id", "multipart:x:y"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, ok := parseSelector(text)
		if !ok {
			return
		}
		if got := s.String(); !strings.EqualFold(got, text) {
			t.Fatalf("%q reads as %q", text, got)
		}
		in := &input{}
		in.begin(&scheme{})
		if _, _, err := in.text(s); err != nil && err.Reason == "" {
			t.Fatal("an error without a reason")
		}
	})
}

// textRequest has something for every form of selector.
func textRequest() *input {
	in := &input{req: Request{
		Method: "POST", URL: "https://hooks.example.com:8443/in?q=1&twice=a&twice=b&empty=",
		Header: http.Header{"X-One": {"1"}, "X-Two": {"1", "1"}, "X-Empty": {""}, "X-Sig": {"t=17, v1=ab,x"}},
		Body:   []byte(`payload={"a":{"b":"in field"}}&n=%31&twice=a&twice=a`),
	}}
	in.begin(&scheme{places: []selector{{form: "header", name: "X-Sig"}}, signature: Signature{Separator: ","}})
	in.item, in.proof = []byte(`{"i":"in item"}`), proof{id: "the id", claims: []byte(`{"sub":"claimed"}`)}
	return in
}

func TestText(t *testing.T) {
	for _, tc := range []struct {
		selector, want string
		present        bool
		reason         Reason
	}{
		{"header:x-one", "1", true, ""},
		{"header:X-None", "", false, ""},
		{"header:X-Empty", "", false, ""},
		{"header:X-Two", "", true, ReasonDuplicateHeader},
		{"query:q", "1", true, ""},
		{"query:empty", "", true, ""},
		{"query:none", "", false, ""},
		{"query:twice", "", true, ReasonDuplicateValue},
		{"form:n", "1", true, ""},
		{"form:payload:a.b", "in field", true, ""},
		{"form:payload:a.c", "", false, ""},
		{"form:twice", "", true, ReasonDuplicateValue}, // even when equal
		{"multipart:x", "", false, ReasonBodyMalformed},
		{"json:a", "", false, ""},
		{"item:i", "in item", true, ""},
		{"claim:sub", "claimed", true, ""},
		{"element:t", "17", true, ""},
		{"element:#2", "x", true, ""},
		{"element:#3", "", false, ""},
		{"element:none", "", false, ""},
		{"id", "the id", true, ""},
		{"literal:as it is", "as it is", true, ""},
		{"header:X-One+query:q", "1.1", true, ""},
		{"header:X-One+header:X-None", "", false, ""},
	} {
		s, ok := parseSelector(tc.selector)
		if !ok {
			t.Fatal(tc.selector)
		}
		got, present, err := textRequest().text(s)
		if err == nil && tc.reason != "" || err != nil && err.Reason != tc.reason || got != tc.want || present != tc.present {
			t.Errorf("%s: %q %t %v, want %q %t %q", tc.selector, got, present, err, tc.want, tc.present, tc.reason)
		}
	}
}

// TestElementsAreThereOnce: two timestamps beside one signature are a choice for
// whoever adds the second.
func TestElementsAreThereOnce(t *testing.T) {
	in := textRequest()
	in.req.Header.Set("X-Sig", "t=17,v1=ab,t=18")
	if _, _, err := in.text(selector{form: "element", name: "t"}); err == nil || err.Reason != ReasonDuplicateValue {
		t.Error(err)
	}
}

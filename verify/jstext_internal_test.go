package verify

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// TestAppendJSString: the literals are what node prints for
// JSON.stringify("..."), where Go's own encoder would escape more.
func TestAppendJSString(t *testing.T) {
	for text, want := range map[string]string{
		"":                        `""`,
		"a\"b\\c/d":               `"a\"b\\c/d"`,
		"\b\f\n\r\t\v\x00\x1f":    `"\b\f\n\r\t\u000b\u0000\u001f"`,
		"<b>&\u2028\x7f é 😀":      "\"<b>&\u2028\x7f é 😀\"",
		"not \xff UTF-8 \xc3":     "\"not \xff UTF-8 \xc3\"",
		`{"k":"v\u00e9","n":1}`:   `"{\"k\":\"v\\u00e9\",\"n\":1}"`,
		"line\r\nbreak \u0085 ok": "\"line\\r\\nbreak \u0085 ok\"",
	} {
		if got := string(appendJSString([]byte("x"), []byte(text))); got != "x"+want {
			t.Errorf("bytes %q: %s, want %s", text, got, want)
		}
		if got := string(appendJSString(nil, text)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// FuzzCompareUTF16: it is the order of the code units themselves.
func FuzzCompareUTF16(f *testing.F) {
	f.Add("\uffff", "😀")
	f.Add("é😀", "é～")
	f.Add("a", "ab")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !utf8.ValidString(a) || !utf8.ValidString(b) {
			return
		}
		want := slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		if got := compareUTF16(a, b); got != want {
			t.Errorf("%q and %q: %d, want %d", a, b, got, want)
		}
	})
}

// TestCompareUTF16: an emoji begins with the unit d83d and stands before
// U+FF5E in JavaScript, after it in Go.
func TestCompareUTF16(t *testing.T) {
	names := []string{"～", "b", "😁", "a", "😀", "aa", "", "\uffff", "é"}
	slices.SortFunc(names, compareUTF16)
	want := []string{"", "a", "aa", "b", "é", "😀", "😁", "～", "\uffff"}
	if !slices.Equal(names, want) {
		t.Errorf("sorted: %q, want %q", names, want)
	}
}

func TestSortedJSON(t *testing.T) {
	for doc, want := range map[string]string{
		`{"b":1.10,"a":{"d":[{"z":1,"y":2}],"c":"\u00e9\/"}}` + "\r\n": `{"a":{"c":"é/","d":[{"y":2,"z":1}]},"b":1.10}`,
		` [ 1e-7 , 12345678901234567890, -0.0, true, false, null ] `:   `[1e-7,12345678901234567890,-0.0,true,false,null]`,
		`{}`:             `{}`,
		`[]`:             `[]`,
		`"x"`:            `"x"`,
		`{"é":1,"z":2}`:  `{"z":2,"é":1}`,
		`{"":1,"\n":{}}`: `{"":1,"\n":{}}`,
	} {
		got, err := sortedJSON([]byte(doc), asWritten)
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v; want %s", doc, got, err, want)
		}
	}
	for _, doc := range []string{
		"", "{", "[1", `{"a":1,"a":1}`, `{"a":{"b":1,"\u0062":2}}`, `{"a":1}{}`, `{"a":1}x`, `{"a":1},`, `{"a":1}}`,
		"\"\xff\"", strings.Repeat("[", 100) + strings.Repeat("]", 100), `{"a"}`, `{1:2}`, "nul",
	} {
		if got, err := sortedJSON([]byte(doc), asWritten); err == nil {
			t.Errorf("%q is taken: %s", doc, got)
		}
	}
}

// FuzzSortedJSON: what is made is JSON, says the same, and is its own sorted form.
func FuzzSortedJSON(f *testing.F) {
	f.Add([]byte(`{"b":1.10,"a":{"d":[{"z":1,"y":2}],"c":"é"}}`))
	f.Add([]byte(`[]]`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		sorted, err := sortedJSON(doc, asWritten)
		if err != nil {
			return
		}
		if !json.Valid(doc) || !json.Valid(sorted) {
			t.Fatalf("%q became %q", doc, sorted)
		}
		again, err := sortedJSON(sorted, asWritten)
		if err != nil || string(again) != string(sorted) {
			t.Errorf("%q sorted again is %q, %v", sorted, again, err)
		}
	})
}

func TestPercentEncode(t *testing.T) {
	if got := percentEncode("a b/é*~%2f", "-._~"); got != "a%20b%2F%C3%A9%2A~%252f" {
		t.Error(got)
	}
}

package verify

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestJSONText(t *testing.T) {
	for _, tc := range []struct{ doc, path, want string }{
		{`{"type":"a.b"}`, "type", "a.b"},
		{` { "x" : [1,{"type":2}] , "type" : "t" } `, "type", "t"},
		{`{"a":{"b":{"c":"deep"}}}`, "a.b.c", "deep"},
		{`[{"t":"x"},{"t":"y"}]`, "1.t", "y"},
		{`{"events":[{"type":"first"}]}`, "events.0.type", "first"},
		{`{"events":[]}`, "events.0.type", ""},
		{`{"events":{}}`, "events.0.type", ""},
		{`{"0":"member"}`, "0", "member"},
		{`{"n":12.5e3}`, "n", "12.5e3"},
		{`{"n":-1}`, "n", "-1"},
		{`{"n":1x}`, "n", ""},
		{`{"n":true}`, "n", "true"},
		{`{"n":tru}`, "n", ""},
		{`{"x":0,"message":{"a":"b"}}`, "mess*.a", "b"},
		{`{"x":0,"tweet_create_events":[]}`, "?*_events", "tweet_create_events"},
		{`{"n":null}`, "n", ""},
		{`{"n":{}}`, "n", ""},
		{`{"n":""}`, "n", ""},
		{`{"t":"x","t":"last"}`, "t", "last"},
		{`{"t":{"t":"inner"},"x":"}\"]"}`, "t.t", "inner"},
		{`{"\u0074ype":"esc\u0061ped\n"}`, "type", "escaped\n"},
		{`{"type":"ü😀"}`, "type", "ü😀"},
		{`{"a\"b":"q"}`, `a"b`, "q"},
		{`{"type":"cut`, "type", ""},
		{`{"type":"cut"`, "type", ""},
		{`{"type"`, "type", ""},
		{`{"type":`, "type", ""},
		{`{"type"::}`, "type", ""},
		{`{:`, "type", ""},
		{`{,}`, "type", ""},
		{`[`, "0", ""},
		{`["a"}`, "1", ""},
		{`"type"`, "type", ""},
		{``, "type", ""},
		{`{"type":"` + strings.Repeat("x", 256) + `"}`, "type", strings.Repeat("x", 256)},
		{`{"type":"` + strings.Repeat("x", 3000) + `"}`, "type", strings.Repeat("x", 3000)},
		{strings.Repeat(`{"a":`, 100000), "a.a", ""},
		{`{"deep":` + strings.Repeat("[", 50000) + strings.Repeat("]", 50000) + `,"type":"t"}`, "type", "t"},
	} {
		if got, _ := jsonText([]byte(tc.doc), strings.Split(tc.path, ".")); got != tc.want {
			t.Errorf("%.60s at %s: %q, want %q", tc.doc, tc.path, got, tc.want)
		}
	}
}

// FuzzJSONText holds that nothing panics, and that on valid JSON the answer is
// that of encoding/json.
func FuzzJSONText(f *testing.F) {
	f.Add([]byte(`{"a":[{"b":"x"}],"a":{"0":{"b":1}}}`))
	f.Add([]byte(`{"\u0061":[{"b":"\ud83d\ude00"}]}`))
	f.Add([]byte(`{"a":[[],{"b":2}],"c":"]}"}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		for _, path := range [][]string{{"a"}, {"a", "0", "b"}, {"0", "b"}} {
			got, _ := jsonText(doc, path)
			dec := json.NewDecoder(bytes.NewReader(doc))
			dec.UseNumber()
			var tree any
			if !json.Valid(doc) || dec.Decode(&tree) != nil {
				continue
			}
			if want := treeText(tree, path); got != want {
				t.Fatalf("%q at %v: %q, want %q", doc, path, got, want)
			}
		}
	})
}

func treeText(tree any, path []string) string {
	for _, name := range path {
		switch node := tree.(type) {
		case map[string]any:
			tree = node[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(node) {
				return ""
			}
			tree = node[i]
		default:
			return ""
		}
	}
	switch leaf := tree.(type) {
	case string:
		return leaf
	case json.Number:
		return leaf.String()
	case bool:
		return strconv.FormatBool(leaf)
	}
	return ""
}

func BenchmarkJSONText(b *testing.B) {
	doc := []byte(`{"data":{"text":"` + strings.Repeat("x", 900) + `"},"type":"invoice.paid"}`)
	for b.Loop() {
		if text, _ := jsonText(doc, []string{"type"}); text == "" {
			b.Fatal("not found")
		}
	}
}

func TestJSONItems(t *testing.T) {
	for _, tc := range []struct {
		doc  string
		want []string
		ok   bool
	}{
		{`[1, {"a":[2]} ,"x"]`, []string{"1", `{"a":[2]}`, `"x"`}, true},
		{` [ ] `, nil, true},
		{`[`, nil, false},
		{`[1,2`, []string{"1", "2"}, false},
		{`[1}`, []string{"1"}, false},
		{`{"a":1}`, nil, false},
		{`"x"`, nil, false},
		{``, nil, false},
	} {
		items, ok := jsonItems([]byte(tc.doc))
		var got []string
		for _, item := range items {
			got = append(got, string(item))
		}
		if !slices.Equal(got, tc.want) || ok != tc.ok {
			t.Errorf("%s: %q %t, want %q %t", tc.doc, got, ok, tc.want, tc.ok)
		}
	}
}

// TestJSONTooManyMembers: what a stranger sends is not walked without an end, nor
// is its beginning taken for all of it.
func TestJSONTooManyMembers(t *testing.T) {
	all := strings.Repeat("{},", maxWalked-1)
	for _, tc := range []struct {
		doc  string
		want bool
	}{
		{"[" + all + "{}]", true},
		{"[{}," + all + "{}]", false},
	} {
		items, ok := jsonItems([]byte(tc.doc))
		if ok != tc.want || len(items) > maxWalked {
			t.Errorf("%d items, %t; want %t", len(items), ok, tc.want)
		}
		if _, value := child([]byte(tc.doc), "0"); (value != nil) != tc.want {
			t.Errorf("item 0 is %q", value)
		}
	}
}

func TestJSONUnique(t *testing.T) {
	for _, tc := range []struct {
		doc, path string
		want      bool
	}{
		{`{"a":1,"b":2}`, "a", true},
		{`{"b":{"a":1}}`, "a", true},
		{`{"a":"x"}`, "a.b", true},
		{`[{"a":1},{"a":2}]`, "0.a", true},
		{`[{"a":1},{"a":2,"A":3}]`, "0.a", true},
		{`"a"`, "a", true},
		{`{"a":1,"a":1}`, "a", false},
		{`{"a":1,"A":2}`, "a", false},
		{`{"a":1,"\u0061":2}`, "a", false},
		{`{"k":1,"K":2}`, "k", false}, // the Kelvin sign folds to k, for Go as well
		{`{"a":{"b":1},"A":{"b":2}}`, "a.b", false},
		{`{"a":[{"b":1,"b":2}]}`, "a.0.b", false},
		{`{"a":1`, "a", false},
		{`{` + strings.Repeat(`"x":1,`, maxWalked) + `"a":1,"a":2}`, "a", false},
	} {
		if got := jsonUnique([]byte(tc.doc), strings.Split(tc.path, ".")); got != tc.want {
			t.Errorf("%.40s at %s: %t", tc.doc, tc.path, got)
		}
	}
}

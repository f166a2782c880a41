package api

import (
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

func TestRoutes(t *testing.T) {
	nothing := func(*handler, *call) error { return nil }
	routes := newRoutes([]row{
		raw{"a", "GET", "/a", open, 200, nothing},
		raw{"a.one", "GET", "/a/{one}", open, 200, nothing},
		raw{"a.put", "PUT", "/a/{one}", open, 200, nothing},
		raw{"a.fixed", "POST", "/a/fixed", open, 200, nothing},
		raw{"a.deep", "GET", "/a/{one}/b/{two}/{three}", open, 200, nothing},
	})
	for path, want := range map[string]struct {
		get    string
		allow  string
		values [maxParams]string
	}{
		"/a":           {"a", "GET, HEAD", [3]string{}},
		"/a/":          {"a", "GET, HEAD", [3]string{}},
		"/a/x":         {"a.one", "GET, HEAD, PUT", [3]string{"x"}},
		"/a/fixed":     {"", "POST", [3]string{}},
		"/a/x/b":       {"-", "", [3]string{"x"}},
		"/a/x/b/y":     {"-", "", [3]string{"x", "y"}},
		"/a/x/b/y/z":   {"a.deep", "GET, HEAD", [3]string{"x", "y", "z"}},
		"/a/x/b/y/z/":  {"a.deep", "GET, HEAD", [3]string{"x", "y", "z"}},
		"/a/x/b/y/z/q": {"-", "", [3]string{"x", "y", "z"}},
		"/a//b/y/z":    {"-", "", [3]string{}},
		"/a/%2F/b/y/z": {"a.deep", "GET, HEAD", [3]string{"%2F", "y", "z"}},
		"":             {"-", "", [3]string{}},
		"a":            {"-", "", [3]string{}},
	} {
		var values [maxParams]string
		n := routes.find(Prefix+path, &values)
		if n == nil {
			if want.get != "-" {
				t.Errorf("%q is unknown", path)
			}
			continue
		}
		name := ""
		if o := n.operation("GET"); o != nil {
			name = o.name
			if n.operation("HEAD") != o {
				t.Errorf("%q: HEAD is not GET", path)
			}
		}
		if name != want.get || n.allow != want.allow || values != want.values {
			t.Errorf("%q: %q, %q, %q; want %+v", path, name, n.allow, values, want)
		}
	}
}

// FuzzFind looks for paths that break the walk.
func FuzzFind(f *testing.F) {
	for _, path := range []string{"/app", "/app/x/msg/y/endpoint/z/resend", "//", "/app//", "/app/x/source/y/refusal/z/"} {
		f.Add(path)
	}
	routes := newRoutes(table())
	f.Fuzz(func(t *testing.T, path string) {
		var values [maxParams]string
		n := routes.find(Prefix+path, &values)
		if n == nil {
			return
		}
		if len(n.operations) == 0 || n.allow == "" {
			t.Errorf("%q ends where no path of the table does", path)
		}
		for _, o := range n.operations {
			rebuilt := o.path
			for i, name := range o.params {
				rebuilt = strings.Replace(rebuilt, "{"+name+"}", values[i], 1)
			}
			if trimmed := strings.TrimSuffix(path, "/"); rebuilt != trimmed && !strings.Contains(path, "{") {
				t.Errorf("%q was read as %q", path, rebuilt)
			}
		}
	})
}

func TestReadBodyInPieces(t *testing.T) {
	text := strings.Repeat("0123456789", 30_000)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader,
		"bytes": iotest.OneByteReader, "end with data": iotest.DataErrReader,
	} {
		for _, length := range []int64{int64(len(text)), -1} {
			for _, limit := range []int64{int64(len(text)), int64(len(text)) - 1} {
				r := httptest.NewRequest("POST", "/", wrap(strings.NewReader(text)))
				r.ContentLength = length
				got, err := readBody(r, limit)
				fits := limit == int64(len(text))
				if fits && (err != nil || string(got) != text) {
					t.Errorf("%s, length %d: %d bytes, %v", name, length, len(got), err)
				}
				if !fits && !errors.Is(err, postern.ErrTooLarge) {
					t.Errorf("%s, length %d: %v for a body over the limit", name, length, err)
				}
			}
		}
	}
}

func TestOptional(t *testing.T) {
	type body struct {
		A optional[[]string] `json:"a"`
	}
	for text, want := range map[string]struct {
		set    bool
		values []string
		null   bool
	}{
		`{}`: {null: true}, `{"a":null}`: {set: true, null: true},
		`{"a":[]}`: {set: true, values: []string{}}, `{"a":["x"]}`: {set: true, values: []string{"x"}},
	} {
		var got body
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if got.A.Set != want.set || (got.A.Value == nil) != want.null {
			t.Errorf("%s: %+v", text, got.A)
		}
		if !want.null && !slices.Equal(*got.A.Value, want.values) {
			t.Errorf("%s: %v", text, *got.A.Value)
		}
	}
	one, two := 1, 2
	newer, older := optional[int]{Set: true, Value: &one}, optional[int]{Set: true, Value: &two}
	if got := newer.or(older); *got.Value != 1 {
		t.Errorf("the older name wins: %v", *got.Value)
	}
	if got := (optional[int]{}).or(older); *got.Value != 2 {
		t.Errorf("the older name is lost: %v", got)
	}
	if got := (optional[int]{Set: true}).or(older); got.Value != nil {
		t.Errorf("null is taken for absent: %v", *got.Value)
	}
}

func TestCut(t *testing.T) {
	all := []string{"a", "b", "c", "d", "e"}
	id := func(s string) string { return s }
	for name, test := range map[string]struct {
		w    window
		want string
		done bool
	}{
		"start":              {window{limit: 2}, "ab", false},
		"behind":             {window{limit: 2, after: "b"}, "cd", false},
		"end":                {window{limit: 2, after: "c"}, "de", true},
		"past the end":       {window{limit: 2, after: "e"}, "", true},
		"between":            {window{limit: 2, after: "bb"}, "cd", false},
		"back":               {window{limit: 2, after: "d", back: true}, "cb", false},
		"back to the start":  {window{limit: 2, after: "c", back: true}, "ba", true},
		"descending":         {window{limit: 2, descending: true}, "ed", false},
		"descending, behind": {window{limit: 3, after: "d", descending: true}, "cba", true},
		"descending, back":   {window{limit: 2, after: "b", descending: true, back: true}, "cd", false},
	} {
		got, done := cut(test.w, all, id)
		if strings.Join(got, "") != test.want || done != test.done {
			t.Errorf("%s: %v %t, want %s %t", name, got, done, test.want, test.done)
		}
	}
	if strings.Join(all, "") != "abcde" {
		t.Errorf("the list was turned round: %v", all)
	}
}

// TestUnfinishedEmptyPage is what a filter without an index answers: nothing
// found yet, and where to go on.
func TestUnfinishedEmptyPage(t *testing.T) {
	same := func(s string) string { return s }
	for _, test := range []struct {
		w            window
		records      []string
		done         bool
		next         string
		iterator     any
		prevIterator any
	}{
		{window{}, nil, false, "x", "x", nil},
		{window{back: true}, nil, false, "x", nil, "-x"},
		{window{}, []string{"a", "b"}, false, "f", "f", "-a"},
		{window{back: true}, []string{"b", "a"}, false, "0", "b", "-0"},
		{window{}, []string{"a", "b"}, true, "f", "b", "-a"},
		{window{}, nil, true, "f", nil, nil},
	} {
		got, err := json.Marshal(listed(test.w, test.records, test.done, test.next, same, same))
		if err != nil {
			t.Fatal(err)
		}
		var list map[string]any
		if err := json.Unmarshal(got, &list); err != nil {
			t.Fatal(err)
		}
		if list["iterator"] != test.iterator || list["prevIterator"] != test.prevIterator || list["data"] == nil {
			t.Errorf("%+v: %s", test, got)
		}
	}
}

// TestAppendMessage compares with what encoding/json writes of the same.
func TestAppendMessage(t *testing.T) {
	at := time.Date(2026, 11, 22, 1, 2, 3, 456e6, time.UTC)
	m := &postern.Message{
		ID: postern.NewMessageID(at, 1, 2, 3), EventType: "a.b", EventID: "e", ContentType: `text/"x"; <y>`,
		Channels: []string{"c"}, Tags: []string{"é", "\u2028", "<&>", "\"\\\n\x00", "\xff"},
		Source: postern.SourceID{1}, ProviderEventType: "orders/create",
	}
	var got map[string]any
	if err := json.Unmarshal(appendMessage(nil, m, []byte(`{"a":[1]}`)), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"id": m.ID.String(), "eventType": "a.b", "eventId": "e", "contentType": m.ContentType,
		"channels": []any{"c"}, "tags": []any{"é", "\u2028", "<&>", "\"\\\n\x00", "\ufffd"},
		"timestamp": "2026-11-22T01:02:03.456Z", "payload": map[string]any{"a": []any{1.0}},
		"sourceId": m.Source.String(), "providerEventType": "orders/create",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestQuery(t *testing.T) {
	for query, want := range map[string][]string{
		"": nil, "t=": nil, "t=a": {"a"}, "t=a,b": {"a", "b"}, "t=a&t=b": {"a", "b"},
		"t[]=a&t[]=b,c": {"a", "b", "c"}, "t[0]=a": {"a"}, "ta=x&t=y": {"y"},
	} {
		c := &call{r: httptest.NewRequest("GET", "/?"+url.PathEscape(query), nil)}
		c.r.URL.RawQuery = query
		got, err := c.list("t")
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v %v, want %v", query, got, err, want)
		}
	}
	c := &call{r: httptest.NewRequest("GET", "/?at=2026-01-02T03:04:05+01:00&bad=1", nil)}
	if at, err := c.moment("at"); err != nil || at.UTC().Hour() != 2 {
		t.Errorf("a zone with an unescaped plus: %v %v", at, err)
	}
	if _, err := c.flag("bad", false); postern.KindOf(err) != postern.Invalid {
		t.Errorf("a flag of 1: %v", err)
	}
}

func TestSchedule(t *testing.T) {
	for text, want := range map[string]postern.RetrySchedule{
		`null`: nil, `[]`: {}, `[0.5,60]`: {500 * time.Millisecond, time.Minute}, `[1e300]`: {1e9 * time.Second}, `[-5]`: {-time.Second},
	} {
		var in optional[seconds]
		if err := json.Unmarshal([]byte(text), &in); err != nil {
			t.Fatal(err)
		}
		got := postern.RetrySchedule{7}
		takeSchedule(in, &got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
	kept := postern.RetrySchedule{7}
	takeSchedule(optional[seconds]{}, &kept)
	if len(kept) != 1 {
		t.Error("an absent schedule was taken")
	}
}

// TestNearest takes pages out of attempts that come in any order, as if all of
// them had been sorted.
func TestNearest(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 5))
		all := make([]postern.Attempt, rng.IntN(60))
		for i, at := range rng.Perm(len(all)) {
			all[i].ID = postern.NewAttemptID(time.UnixMilli(1000), 0, uint64(at), 0, 1)
		}
		sorted := slices.Clone(all)
		page := store.Page{Limit: 1 + rng.IntN(8), Ascending: rng.IntN(2) == 0}
		slices.SortFunc(sorted, func(a, b postern.Attempt) int { return a.ID.Compare(b.ID) })
		if !page.Ascending {
			slices.Reverse(sorted)
		}
		var got []postern.Attempt
		for done := false; !done; {
			n := nearest{page: page}
			for i := range all {
				if n.add(&all[i]); len(n.attempts) > 2*page.Limit {
					t.Fatalf("%d attempts are held for a page of %d", len(n.attempts), page.Limit)
				}
			}
			var part []postern.Attempt
			if part, done = n.cut(); len(part) > 0 {
				page.After = part[len(part)-1].ID
			}
			if len(part) > page.Limit || len(part) < page.Limit && !done {
				t.Fatalf("a page of %d has %d attempts", page.Limit, len(part))
			}
			got = append(got, part...)
		}
		if len(got) != len(all) || !slices.EqualFunc(sorted, got, func(a, b postern.Attempt) bool { return a.ID == b.ID }) {
			t.Fatalf("seed %d: %d of %d attempts, or in another order", seed, len(got), len(all))
		}
	}
}

package api

import (
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/postern-dev/postern"
)

// FuzzCursor: whatever a caller sends as an iterator, a list answers with a page
// of it or refuses, in its own order and within its bounds; one that it gave
// out itself goes on exactly where the page ended.
func FuzzCursor(f *testing.F) {
	id := postern.MessageID{5, 6, 7}.String()
	for _, iterator := range []string{"", "-", id, "-" + id, "--" + id, "msg_", "app_" + id[4:], id + "x", "msg_zzzzzzzzzzzzzzzzzzzzzzzzzzz", "a\x00b", "%", strings.Repeat("-", 300)} {
		f.Add(iterator, "", 2)
	}
	f.Add(id, "descending", 250)
	f.Add(id, "sideways", -1)
	records := []string{"b", "c", "d", "e", "f", "g"}
	self := func(s string) string { return s }
	f.Fuzz(func(t *testing.T, iterator, order string, limit int) {
		query := url.Values{"iterator": {iterator}, "order": {order}, "limit": {string('0' + rune(uint(limit)%10))}}
		c := &call{r: httptest.NewRequest("GET", "/?"+query.Encode(), nil)}
		w, err := c.window(false)
		if err != nil {
			return
		}
		page, err := w.history(c, func(text string) ([20]byte, error) {
			parsed, err := postern.ParseMessageID(text)
			return parsed, err
		})
		if err == nil && w.after != "" && postern.MessageID(page.After).String() != w.after {
			t.Errorf("%q is read as %s", iterator, postern.MessageID(page.After))
		}
		part, done := cut(w, records, self)
		if len(part) > w.limit || !slices.IsSorted(part) && !slices.IsSortedFunc(part, func(a, b string) int { return strings.Compare(b, a) }) {
			t.Fatalf("a page of %d: %v", w.limit, part)
		}
		list := listed(w, part, done, "", self, self)
		if list.Done || len(list.Data) == 0 || w.back {
			return
		}
		w.after = *list.Iterator
		following, _ := cut(w, records, self)
		at := slices.Index(records, *list.Iterator)
		want := at + 1
		if w.descending {
			want = at - 1
		}
		if len(following) == 0 || following[0] != records[want] {
			t.Errorf("after %q comes %v", *list.Iterator, following)
		}
	})
}

package postgres

import (
	"bytes"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// An id is in a page's window exactly if its time is between the bounds and it
// comes behind the page before.
func FuzzWindow(f *testing.F) {
	at := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC).UnixMicro()
	f.Add(at-5000, at+5000, []byte{}, at, uint64(7), false)
	f.Add(at, at, []byte{1}, at, uint64(0), true)
	f.Add(at-1000, at+1, []byte{}, at, uint64(1), true)
	f.Add(int64(0), int64(0), bytes.Repeat([]byte{0xff}, 20), at, uint64(1), true)
	f.Fuzz(func(t *testing.T, since, until int64, after []byte, created int64, random uint64, ascending bool) {
		const years = int64(100 * 365 * 86400_000_000)
		if since < 0 || until < 0 || created < 0 || since > years || until > years || created > years {
			t.Skip("no time of a message")
		}
		p := store.Page{Ascending: ascending}
		copy(p.After[:], after)
		if since > 0 {
			p.Since = time.UnixMicro(since)
		}
		if until > 0 {
			p.Until = time.UnixMicro(until)
		}
		id := postern.NewMessageID(time.UnixMicro(created), 0, 1, random)
		want := (since == 0 || id.Time().After(p.Since)) && (until == 0 || id.Time().Before(p.Until))
		if order := bytes.Compare(id[:], p.After[:]); p.After != [20]byte{} {
			want = want && (ascending && order > 0 || !ascending && order < 0)
		}
		lo, hi := window(p)
		if got := bytes.Compare(id[:], lo[:]) >= 0 && bytes.Compare(id[:], hi[:]) < 0; got != want {
			t.Errorf("%x of %v in the window [%x, %x) of %+v: %t, want %t", id, id.Time(), lo, hi, p, got, want)
		}
	})
}

func TestWalk(t *testing.T) {
	type row struct {
		seen     int
		selected bool
	}
	for name, c := range map[string]struct {
		limit int
		rows  []row
		kept  int
		next  byte // the seen of where to go on
		done  bool
	}{
		"nothing":                                {limit: 2, done: true},
		"fewer than fit":                         {2, []row{{7, true}}, 1, 7, true},
		"as many as fit":                         {2, []row{{7, true}, {9, true}}, 2, 9, true},
		"one more":                               {2, []row{{7, true}, {9, true}, {12, true}}, 2, 9, false},
		"nothing within the budget":              {2, []row{{100, false}}, 0, 100, false},
		"one, and the budget's end":              {2, []row{{7, true}, {100, false}}, 1, 100, false},
		"the budget's end is one":                {2, []row{{100, true}}, 1, 100, false},
		"a full page, and the budget's end":      {1, []row{{7, true}, {100, false}}, 1, 100, false},
		"one more, which is at the budget's end": {1, []row{{7, true}, {100, true}}, 1, 7, false},
	} {
		w := newWalk(c.limit, false)
		w.budget = 100
		kept := 0
		for _, r := range c.rows {
			if w.take([20]byte{byte(r.seen)}, r.seen, r.selected) {
				kept++
			}
		}
		if kept != c.kept || w.next[0] != c.next || w.done != c.done {
			t.Errorf("%s: %d kept, on at %d, done %t; want %d, %d, %t", name, kept, w.next[0], w.done, c.kept, c.next, c.done)
		}
	}
}

func TestCut(t *testing.T) {
	id := func(n byte) [20]byte { return [20]byte{n} }
	for n, c := range []struct {
		next byte
		done bool
	}{{0, true}, {1, true}, {2, true}, {2, false}} {
		page, next, done := cut([]byte{1, 2, 3}[:n], 2, id)
		if len(page) != min(n, 2) || next[0] != c.next || done != c.done {
			t.Errorf("%d of 2: %v, on at %d, done %t", n, page, next[0], done)
		}
	}
}

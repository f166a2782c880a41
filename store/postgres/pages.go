package postgres

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/postern-dev/postern/store"
)

// maxID is above every id: its time is 8,900 years away.
const maxID = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"

// window is the range of ids that a page asks for, from lo to before hi. Bounds in
// time become bounds of ids, to the millisecond that an id has, so that the index
// serves them; an empty range is no error, and finds nothing.
func window(p store.Page) (lo, hi [20]byte) {
	hi = [20]byte([]byte(maxID))
	if !p.Since.IsZero() {
		lo = firstOf(p.Since.UnixMilli() + 1)
	}
	if !p.Until.IsZero() {
		millis := p.Until.UnixMilli()
		if p.Until.After(p.Until.Truncate(1e6)) { // ids of its own millisecond are before it
			millis++
		}
		hi = firstOf(millis)
	}
	switch {
	case p.After == [20]byte{}:
	case p.Ascending:
		if next := following(p.After); bytes.Compare(next[:], lo[:]) > 0 {
			lo = next
		}
	case bytes.Compare(p.After[:], hi[:]) < 0:
		hi = p.After
	}
	return lo, hi
}

// firstOf is the smallest id of a time.
func firstOf(millis int64) (id [20]byte) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(max(millis, 0))<<16)
	copy(id[:6], b[:6])
	return id
}

// following is the id behind id; behind the last is nothing.
func following(id [20]byte) [20]byte {
	for i := len(id) - 1; i >= 0; i-- {
		id[i]++
		if id[i] != 0 {
			return id
		}
	}
	return [20]byte([]byte(maxID))
}

// cut ends a page of which one entry more was read than it may have: that there
// is one tells that the list goes on.
func cut[T any](list []T, limit int, id func(T) [20]byte) (page []T, next [20]byte, done bool) {
	if done = len(list) <= limit; !done {
		list = slices.Delete(list, limit, len(list))
	}
	if len(list) > 0 {
		next = id(list[len(list)-1])
	}
	return list, next, done
}

// examineBudget is how many entries a page looks at, since what it is filtered
// by has no index: 10 ms' worth. One that something else is looked up for counts
// as lookUpCost, that being about how many others it takes as long as.
const (
	examineBudget = 10_000
	lookUpCost    = 5
)

// walk is a page that is filtered. Its statement returns the entries that were
// selected, and, for where it ended, the last that the budget was enough for.
type walk struct {
	limit, budget int
	kept          int
	next          [20]byte
	done          bool // until there is something that says otherwise
}

// newWalk begins a page; looksUp says that its filter asks another table.
func newWalk(limit int, looksUp bool) *walk {
	w := &walk{limit: limit, budget: examineBudget, done: true}
	if looksUp {
		w.budget /= lookUpCost
	}
	return w
}

// take is told of each row of the statement, the seen-th entry of the walk, and
// reports whether it belongs on the page.
func (w *walk) take(id [20]byte, seen int, selected bool) bool {
	keep := selected && w.kept < w.limit
	switch {
	case keep:
		w.kept++
		w.next = id
		w.done = seen < w.budget
	case selected: // one more than the page may have
		w.done = false
	default: // the budget's last
		w.next, w.done = id, false
	}
	return keep
}

package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// view is a reader's fixed picture of what is durable. It is taken between two
// batches, holds back neither reads nor commits afterwards, and must be
// closed.
type view struct {
	s    *Store
	snap *pebble.Snapshot
	its  []*pebble.Iterator
}

// view begins a read; its close ends it.
func (s *Store) view() (*view, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	s.visible.RLock()
	defer s.visible.RUnlock()
	// A batch that failed while this reader waited is in the database's
	// memory, and nowhere else.
	if err := s.failed(); err != nil {
		s.gate.leave()
		return nil, err
	}
	return &view{s: s, snap: s.db.NewSnapshot()}, nil
}

// close releases the view, and joins what its iterators met with err.
func (v *view) close(err *error) {
	for _, it := range v.its {
		if closing := it.Close(); closing != nil {
			*err = errors.Join(*err, closing)
		}
	}
	if closing := v.snap.Close(); closing != nil {
		*err = errors.Join(*err, closing)
	}
	v.s.gate.leave()
}

// keys iterates over the keys that begin with prefix.
func (v *view) keys(prefix ...byte) (*pebble.Iterator, error) { return v.between(prefix, prefix) }

// between iterates from the keys that begin with first to those that begin with
// last.
func (v *view) between(first, last []byte) (*pebble.Iterator, error) {
	it, err := v.snap.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: after(last)})
	if err != nil {
		return nil, err
	}
	v.its = append(v.its, it)
	return it, nil
}

// get copies a value; nil when there is none.
func (s *Store) get(r pebble.Reader, key []byte) ([]byte, error) {
	value, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	value = append(make([]byte, 0, len(value)+1), value...)
	return value, closer.Close()
}

func (v *view) get(key []byte) ([]byte, error) { return v.s.get(v.snap, key) }

func (v *view) has(key []byte) (bool, error) {
	_, closer, err := v.snap.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, closer.Close()
}

// header reads a message but for its content; nil when it is gone.
func (v *view) header(app postern.ApplicationNumber, id postern.MessageID) (*postern.Message, error) {
	var buf [maxKey]byte
	value, err := v.get(headerKey(buf[:0], app, id))
	if value == nil || err != nil {
		return nil, err
	}
	return decodeHeader(app, id, value)
}

// merge is an iterator that only moves forward, beside another one that gives
// the pace: a short way is gone step by step, a long one by seeking.
type merge struct {
	it    *pebble.Iterator
	begun bool
}

const mergeSteps = 4

// to goes to the first key at or after key and reports whether it begins with
// it.
func (m *merge) to(key []byte) bool {
	if !m.begun {
		m.begun = true
		m.it.SeekGE(key)
	}
	for range mergeSteps {
		if !m.it.Valid() {
			return false
		}
		if bytes.Compare(m.it.Key(), key) >= 0 {
			return bytes.HasPrefix(m.it.Key(), key)
		}
		m.it.Next()
	}
	if m.it.Valid() && bytes.Compare(m.it.Key(), key) < 0 {
		m.it.SeekGE(key)
	}
	return m.it.Valid() && bytes.HasPrefix(m.it.Key(), key)
}

// near looks up keys that mostly lie close together, in either direction. A search
// goes through every table that is new, however many; a step does not.
type near struct{ it *pebble.Iterator }

const nearSteps = 8

// get is the value of a key, the iterator's own; nil when there is none. It is
// charged to the walk that the look-ups are made for.
func (n *near) get(w *walk, key []byte) []byte {
	w.examined += nearCost
	for range nearSteps {
		if !n.it.Valid() {
			break
		}
		behind := bytes.Compare(n.it.Key(), key)
		if behind == 0 {
			return n.it.Value()
		}
		if behind < 0 {
			n.it.Next()
		} else {
			n.it.Prev()
		}
		if n.it.Valid() && bytes.Compare(n.it.Key(), key) == -behind {
			return nil // it would lie between the two
		}
	}
	w.examined += seekCost
	if n.it.SeekGE(key) && bytes.Equal(n.it.Key(), key) {
		return n.it.Value()
	}
	return nil
}

// walk visits what one owner has of a kind, in the order of ids, over all
// days: its keys are kind, day, owner, id. Days on which it has nothing cost a
// seek, days on which nobody has, none.
type walk struct {
	it    *pebble.Iterator
	kind  byte
	owner []byte
	// lo is the first id of the window, hi the first one behind it.
	lo, hi [20]byte
	down   bool
	// examined is what has been spent of a page's examineBudget.
	examined int
	buf      [maxKey]byte
}

func (w *walk) key(day store.Day, id string) []byte {
	k := appendDay(append(w.buf[:0], w.kind), day)
	return append(append(k, w.owner...), id...)
}

// first goes to the window's first entry, next to the one behind; both report
// whether there is one.
func (w *walk) first() bool {
	if w.down {
		w.it.SeekLT(w.key(dayOf(w.hi), string(w.hi[:])))
	} else {
		w.it.SeekGE(w.key(dayOf(w.lo), string(w.lo[:])))
	}
	return w.settle()
}

func (w *walk) next() bool {
	if w.down {
		w.it.Prev()
	} else {
		w.it.Next()
	}
	return w.settle()
}

// settle leaps over other owners' keys.
func (w *walk) settle() bool {
	for w.it.Valid() {
		k := w.it.Key()
		day := store.Day(binary.BigEndian.Uint32(k[1:5]))
		switch c := bytes.Compare(k[5:5+len(w.owner)], w.owner); {
		case w.outside(day):
			return false
		case c == 0:
			id := w.id()
			return bytes.Compare(id[:], w.lo[:]) >= 0 && bytes.Compare(id[:], w.hi[:]) < 0
		case !w.down && c < 0:
			w.it.SeekGE(w.key(day, ""))
		case !w.down:
			w.it.SeekGE(w.key(day+1, ""))
		case c > 0:
			w.it.SeekLT(w.key(day, maxID))
		case day == 0:
			return false
		default:
			w.it.SeekLT(w.key(day-1, maxID))
		}
	}
	return false
}

func (w *walk) outside(day store.Day) bool {
	return day > dayOf(w.hi) || day < dayOf(w.lo)
}

// id is the entry's id: the end of its key.
func (w *walk) id() [20]byte {
	k := w.it.Key()
	return [20]byte(k[len(k)-20:])
}

// maxID is above every id: its time is 8,900 years away.
const maxID = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"

// window is the range of ids that a page asks for, from lo to before hi.
func window(p store.Page) (lo, hi [20]byte) {
	hi = [20]byte([]byte(maxID))
	if !p.Since.IsZero() {
		putMillis(&lo, p.Since.UnixMilli()+1)
	}
	if !p.Until.IsZero() {
		until := p.Until.UnixMilli()
		if p.Until.After(p.Until.Truncate(1e6)) {
			until++
		}
		putMillis(&hi, until)
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

// putMillis makes id the smallest of that time.
func putMillis(id *[20]byte, millis int64) {
	*id = [20]byte{}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(max(millis, 0))<<16)
	copy(id[:6], b[:6])
}

// following is the id behind id.
func following(id [20]byte) [20]byte {
	for i := len(id) - 1; i >= 0; i-- {
		id[i]++
		if id[i] != 0 {
			break
		}
	}
	return id
}

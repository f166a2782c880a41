package replay

import (
	"context"
	"slices"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// CodeNotLeading is the code of the error, of kind Unavailable, with which a node
// refuses what only the one that leads may do.
const CodeNotLeading = "not_leading"

var errNotLeading = &postern.Error{Kind: postern.Unavailable, Code: CodeNotLeading, Detail: "Another node has to do this"}

// ownHold is for how long what this node has stored is not given up for another
// node's record, which may have been under way, or read, at the time: as long as a
// lease. Whoever writes later than that knows of it.
const ownHold = 10 * time.Second

// leads asks whether this node does. One that begins to forgets what it has not
// stored of an earlier time.
func (r *Runner) leads() bool {
	leading := r.cfg.Leads == nil || r.cfg.Leads()
	r.mu.Lock()
	defer r.mu.Unlock()
	if leading && !r.led {
		for _, e := range r.active {
			if !e.mend {
				e.record = e.stored
			}
		}
	}
	r.led = leading
	return leading
}

// Learned takes over a record that is stored and may be another node's. Records
// of one replay come in the order in which they were stored, but for own ones,
// which may come late, or not at all. It does not wait for commits.
//
// Where this node leads, another has finished a step that it began before, or the
// record is older than what this one knows: then both are joined, and stored once
// more if that comes to something else. Elsewhere what is stored holds, except
// over what this node has stored itself just before, and over a replay that has
// ended: whoever knows of these has them stored again.
func (r *Runner) Learned(put *postern.Replay) {
	leading := r.leads()
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.Rouse()
	at, found := slices.BinarySearchFunc(r.all, put.ID, compareID)
	if !found {
		r.insertAt(at, put)
		if len(r.all) > 2*r.tidied {
			r.tidy()
		}
		return
	}
	e := r.all[at]
	own, stated := e.record, e.stated
	if !leading {
		stated = time.Time{}
		if !e.mend {
			own = e.stored
		}
	}
	e.stored, e.mend = put, false
	switch {
	case leading && same(own, put): // the pointer stays, which a commit under way goes by
	case leading, e.keeps(own, put):
		e.record = joined(own, put, stated)
		e.mend = !same(e.record, put)
	default:
		e.record = put
	}
	r.activate(e)
}

// Forgotten drops a replay whose record another node deleted.
func (r *Runner) Forgotten(id postern.ReplayID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	is := func(e *entry) bool { return e.record.ID == id }
	r.all = slices.DeleteFunc(r.all, is)
	r.active = slices.DeleteFunc(r.active, is)
}

// looked shows a record that is not stored, unless another came meanwhile.
func (r *Runner) looked(e *entry, before, record *postern.Replay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.record == before {
		e.record = record
	}
}

// saved shows a record that was stored. If another came meanwhile, nobody knows
// which of them is stored now: both are joined, and that is stored. Called with
// the entry's lock held.
func (r *Runner) saved(e *entry, before, record *postern.Replay) {
	e.unsaved = 0
	r.mu.Lock()
	defer r.mu.Unlock()
	e.saved = time.Now()
	if record.State != before.State {
		e.stated = e.saved
	}
	if other := e.record; other != before {
		record = joined(record, other, e.stated)
		e.mend = true
	}
	e.record, e.stored = record, record
	r.activate(e)
}

// mends reports whether a record has to be stored again.
func (r *Runner) mends(e *entry) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return e.mend
}

// storeAgain stores a record that another node's has come over.
func (r *Runner) storeAgain(ctx context.Context, e *entry) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	record := r.mending(e, false)
	err := r.put(ctx, store.Change{Put: record})
	if err != nil {
		r.mending(e, true)
		return err
	}
	r.saved(e, record, record)
	return nil
}

// mending says whether an entry's record is still to be stored again, and returns
// the record.
func (r *Runner) mending(e *entry, mend bool) *postern.Replay {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.mend = mend
	return e.record
}

// activate has the walk look at an entry that it may have dropped. Called with
// the Runner's lock held.
func (r *Runner) activate(e *entry) {
	if e.record.State.Final() && !e.mend || slices.Contains(r.active, e) {
		return
	}
	if at, found := slices.BinarySearchFunc(r.all, e.record.ID, compareID); found && r.all[at] == e { // not forgotten meanwhile
		r.active = append(r.active, e)
	}
}

// joined is what an own record and another's come to that were stored by nodes
// which did not know of each other. Each covers what lies between a cursor that
// both had and its own, so that the further one covers everything.
func joined(own, other *postern.Replay, stated time.Time) *postern.Replay {
	record := *other
	if outlasts(own, other, stated) {
		record.State, record.Reason, record.FinishedAt = own.State, own.Reason, own.FinishedAt
	}
	if own.Cursor.Compare(other.Cursor) > 0 {
		record.Cursor = own.Cursor
		record.Examined, record.Replayed, record.Skipped = own.Examined, own.Replayed, own.Skipped
	}
	if own.Selection.Until.After(other.Selection.Until) {
		record.Selection.Until = own.Selection.Until
	}
	if own.UpdatedAt.After(other.UpdatedAt) {
		record.UpdatedAt = own.UpdatedAt
	}
	return &record
}

// outlasts reports whether the state of an own record stands against another's.
// Of two last ones it is the same that does on every node, and a cancel before
// all others.
func outlasts(own, other *postern.Replay, stated time.Time) bool {
	ended := own.State.Final()
	switch {
	case own.Origin == postern.OriginExpunge:
		return !ended // it may have been asked for anew, and costs nothing
	case ended && other.State.Final():
		return own.State <= other.State
	case ended || other.State.Final():
		return ended
	}
	return time.Since(stated) < ownHold
}

// keeps reports whether a node that does not lead joins another's record with what
// it knows, instead of taking it: it is not sure that the other was stored later,
// or the replay has ended, which nothing undoes. Of an expunging only who leads
// says how far it is.
func (e *entry) keeps(own, other *postern.Replay) bool {
	switch {
	case own.Origin == postern.OriginExpunge:
		return false
	case own.State.Final() && own.State != other.State && outlasts(own, other, time.Time{}):
		return true
	}
	return time.Since(e.saved) < ownHold
}

// same reports whether two records of one replay go on alike.
func same(a, b *postern.Replay) bool {
	return a.State == b.State && a.Cursor == b.Cursor && a.Selection.Until.Equal(b.Selection.Until)
}

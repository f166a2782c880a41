package store

import (
	"context"
	"time"
)

// Cluster is a Store that several nodes have open at once, each with a journal of
// its own, under a lease that it renews by itself. A journal whose lease has run
// out is adopted: its new holder raises its epoch, after which the old one writes
// nothing. Whatever a journal's messages have coming is its holder's to do; other
// nodes ask for it with Ask.
//
// The catalogue is everybody's. Each change of it has a version; a node reads the
// others' changes with Changed, and a batch that was made without knowing one of
// them is refused with an Amend.
type Cluster interface {
	Store
	// Now is the time by the clock that all nodes have in common, the database's,
	// with a monotonic part of this machine's.
	Now() time.Time
	// Leased is until when the journal is this store's for sure, by this machine's
	// monotonic clock: no attempt may start close to it. It moves with each
	// renewal; zero while there is doubt.
	Leased() time.Time
	// Renewed has fn called after each renewal, by the goroutine that renews. fn
	// must not block. It is called once, before there is work.
	Renewed(fn func())
	// Tell sets what the lease says to other nodes, in words of the engine's: from the
	// next renewal on, which is made at once where now is true.
	Tell(word []byte, now bool)
	// Wake gets a value when Poll may have something new; capacity 1. It comes at
	// once where the database notifies, else every half a second.
	Wake() <-chan struct{}
	// Poll reads what concerns all nodes, in one statement.
	Poll(ctx context.Context) (ClusterState, error)
	// Heads tells how far each journal has come, in one picture and in no order:
	// what was committed up to there is read by whoever reads next. Newest, Dropped
	// and the catalogue's numbers are left out.
	Heads(ctx context.Context) ([]Head, error)
	// Adopt takes a journal whose holder is gone and returns a store that writes
	// it and otherwise reads the same. postern.ErrConflict where its lease holds,
	// or somebody else was faster. The new store is closed before this one.
	Adopt(ctx context.Context, journal uint16) (Cluster, error)
	// Changed calls fn with what has become of each record of the catalogue that
	// other stores than this one changed after a version: a Change with Put or Delete, or a
	// HealthChange. It returns the version up to which that is so. Where so much
	// has happened that it is not known any more, postern.ErrConflict: load it all.
	// Records are fn's to keep.
	Changed(ctx context.Context, since uint64, fn func(change any) error) (version uint64, err error)
	// Ask has the holder of a journal do something and returns its answer. Errors
	// of kind Unavailable say that there was none in time, be it done or not.
	Ask(ctx context.Context, journal uint16, request []byte) (answer []byte, err error)
	// Alone waits until no other store is at work on the same digest, and keeps others
	// waiting until release. It outlives no process and is no promise: a database
	// that restarts lets the next one in.
	Alone(ctx context.Context, digest Digest) (release func(), err error)
	// Answer is what a request of ClusterState.Requests is answered with.
	// postern.ErrNotFound where nobody gets it: its asker waits no more, or was
	// answered before.
	Answer(ctx context.Context, id uint64, answer []byte) error
}

// ClusterState is what all nodes see.
type ClusterState struct {
	// Version is the newest change of the catalogue.
	Version uint64
	// Leases are of all journals, by number.
	Leases []Lease
	// Requests ask something of a journal that this process holds, oldest first;
	// each is here until it is answered, or its asker has given up.
	Requests []Request
}

// Request is what another node asks with Ask.
type Request struct {
	ID      uint64
	Journal uint16
	Body    []byte
}

// Lease is who holds a journal. Times are of Cluster.Now.
type Lease struct {
	Journal uint16
	// Node names the holder, and Since is when it started.
	Node  string
	Since time.Time
	// Main: the holder accepts messages with this journal. Others it has adopted.
	Main bool
	// Expires is when the lease runs out. Released: the holder has ended in order,
	// and the journal may be adopted at once. Idle: nothing of the journal is left to
	// be done, so that nobody needs to.
	Expires  time.Time
	Released bool
	Idle     bool
	// Word is what Tell said; nil for nothing yet.
	Word []byte
}

// Held reports whether the lease holds at a moment.
func (l *Lease) Held(now time.Time) bool { return !l.Released && now.Before(l.Expires) }

// CodeMoved is the code of the error, of kind Unavailable, that becomes of a
// change of the catalogue which another node's was faster than: it is not stored,
// and may be tried again.
const CodeMoved = "catalogue_moved"

// CodeRepeated is the code of the error, of kind Unavailable, for a request whose
// idempotency key another node has answered meanwhile: its record is there now.
const CodeRepeated = "repeated_elsewhere"

// CodeFenced is the code of the error, of kind Unavailable, of a store whose journal
// another node has taken over: it writes nothing more.
const CodeFenced = "fenced"

// Amend is an error of Cluster's Commit: the batch was refused as it is, and
// nothing of it written. Amended it can be committed again, under the same number.
type Amend struct {
	// Stale: the catalogue has changed after Batch.Version.
	Stale bool
	// Taken are dedupe records of the batch whose digest another store's message
	// has by now, as that one stored them.
	Taken []DedupeRecord
}

// Error implements error.
func (a *Amend) Error() string {
	if a.Stale {
		return "the catalogue was changed by another node"
	}
	return "another node has stored a copy of the same message"
}

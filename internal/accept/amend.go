package accept

import (
	"slices"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

var errRepeated = &postern.Error{Kind: postern.Unavailable, Code: store.CodeRepeated, Detail: "another node has just answered the same request: try again"}

// taken is what becomes of a message of which another node has stored a copy.
type taken struct{ first postern.MessageID }

// Error implements error.
func (*taken) Error() string { return "another node has stored a copy of the message" }

// Amend implements journal.Amender: a message of which there is a copy leaves the
// batch, and so does one whose application is gone; others are routed anew.
func (a *pending) Amend(b *store.Batch, why *store.Amend) error {
	err := a.takenOf(why.Taken)
	if err == nil && why.Stale {
		before := a.message.Routes
		if !a.routeAnew(b.Version) {
			err = postern.ErrNotFound
		} else if !slices.Equal(before, a.message.Routes) {
			a.publisher.cfg.Lanes.Rerouted(a.message, before)
		}
	}
	if err != nil {
		b.Accepts = slices.DeleteFunc(b.Accepts, func(in store.Accept) bool { return in.Message == a.message })
		a.publisher.cfg.Lanes.Withdrawn(a.message)
	}
	return err
}

// takenOf is what becomes of the message where one of its digests is another's;
// nil where none is. A request that was answered is answered alike, whatever else
// is known of its message.
func (a *pending) takenOf(records []store.DedupeRecord) error {
	var err error
	for i := range records {
		other := &records[i]
		if !slices.ContainsFunc(a.records, func(own store.DedupeRecord) bool {
			return own.Scope == other.Scope && own.Digest == other.Digest
		}) {
			continue
		}
		if other.Scope == store.ScopeIdempotency {
			return errRepeated
		}
		err = &taken{other.Message}
	}
	return err
}

// routeAnew matches the message by the catalogue as it is, which is of a version
// or newer. It reports false, and leaves the routes, where its application is gone.
func (a *pending) routeAnew(version uint64) bool {
	m := a.message
	routes, ok := a.publisher.cfg.Router.Match(m.Application, m.EventType, m.Channels)
	if ok && a.routed.only == 0 {
		m.Routes = routes
	}
	a.routed.version = version
	return ok
}

package accept

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/http"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// pending is a message on its way into a batch.
type pending struct {
	publisher *Publisher
	message   *postern.Message
	content   *postern.Content
	routed    routed
	keys      []key
	records   []store.DedupeRecord
	repeat    store.Digest // of the request; zero for none
	done      chan error   // capacity 1; one value for each time it is queued
	late      *time.Timer  // runs while a publisher waits for done
}

func newPending(p *Publisher) *pending {
	a := &pending{publisher: p, done: make(chan error, 1), late: time.NewTimer(time.Hour)}
	a.late.Stop()
	return a
}

// routed is where a message goes, and by which version of the catalogue at least.
type routed struct {
	routes  []postern.EndpointNumber
	version uint64
	only    postern.EndpointNumber // the one that the publisher named; 0 for none
}

// key recognises a second copy. window is how long; 0 for as long as the
// message lives. A first copy that is older than since counts no more; for an event's, all do
// but one whose message is gone.
type key struct {
	scope  store.Scope
	digest store.Digest
	window time.Duration
	since  time.Time
}

// slot is where a key is reserved.
type slot struct {
	scope  store.Scope
	digest store.Digest
}

func (k key) slot() slot { return slot{k.scope, k.digest} }

func (a *pending) fill(in postern.Publish, to routed) {
	a.routed = to
	a.message = &postern.Message{
		Application: in.Application, EventType: in.EventType, ContentType: in.ContentType,
		EventID: in.EventID, Channels: in.Channels, Tags: in.Tags, Routes: to.routes,
		Size: len(in.Payload), Source: in.Source, ProviderEventType: in.ProviderEventType,
		CausedBy: in.CausedBy, Depth: in.Depth,
	}
	a.content = &postern.Content{Payload: in.Payload, Request: in.Request}
	a.repeat = in.Repeat
	if in.EventID != "" {
		a.keys = append(a.keys, key{scope: store.ScopeEvent, digest: eventDigest(in.Application, in.EventID), since: time.UnixMilli(0)})
	}
	if in.Duplicate.Digest != ([16]byte{}) {
		a.keys = append(a.keys, key{scope: store.ScopeSource, digest: in.Duplicate.Digest, window: in.Duplicate.Window})
	}
}

// repeatWindow is how long the answer to a request with an idempotency key is
// given again.
const repeatWindow = 12 * time.Hour

// size is what the message counts in queues: its bytes and an allowance for
// what is stored with it.
func (a *pending) size() int { return len(a.content.Payload) + 512 }

// Build gives the message its id, which is the place it has in the batch. One that
// waited while the catalogue moved on is routed by what the batch is stored by.
func (a *pending) Build(b *store.Batch) {
	m := a.message
	if a.routed.version < b.Version {
		a.routeAnew(b.Version)
	}
	m.ID = postern.NewMessageID(b.Head.LastTime, b.Head.Journal, b.Head.Next, random())
	b.Head.Next++
	b.Head.Newest = b.Head.LastTime
	for _, k := range a.keys {
		a.records = append(a.records, store.DedupeRecord{Scope: k.scope, Digest: k.digest, Message: m.ID, Since: k.since})
	}
	if a.repeat != (store.Digest{}) {
		a.records = append(a.records, store.DedupeRecord{Scope: store.ScopeIdempotency, Digest: a.repeat, Message: m.ID, Status: http.StatusAccepted,
			Since: a.publisher.cfg.Now().Add(-repeatWindow)})
	}
	b.Accepts = append(b.Accepts, store.Accept{Message: m, Content: a.content, Dedupe: a.records})
	a.publisher.cfg.Lanes.Accepting(m)
}

// Done hands a durable message to the lanes, and answers everyone who waits
// for it.
func (a *pending) Done(err error) {
	p := a.publisher
	first := postern.MessageID{}
	if of, ok := errors.AsType[*taken](err); ok {
		first = of.first
	}
	if err == nil {
		first = a.message.ID
		p.cfg.Lanes.Accepted(a.message, a.content)
		if p.cfg.Accepted != nil {
			p.cfg.Accepted(a.message)
		}
	}
	p.reserved.release(a, first)
	a.done <- err
}

// eventDigest is of the application and the publisher's own id for the event.
func eventDigest(app postern.ApplicationNumber, eventID string) store.Digest {
	buf := make([]byte, 0, 128)
	buf = binary.BigEndian.AppendUint32(buf, uint32(app))
	sum := sha256.Sum256(append(buf, eventID...))
	return store.Digest(sum[:16])
}

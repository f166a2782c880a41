// Package catalogue keeps everything that users configure: applications with
// their endpoints and sources, event types and API keys.
//
// All of it is in memory, read from the store once. A change is checked,
// committed, and only then seen; it returns when it is durable and every later
// reader sees it. What readers are given is shared and never changed: a change
// swaps in new records. Promises about concurrency:
//
//  1. Reading never waits for a commit. The locks that readers meet are held
//     for a few instructions.
//  2. Changes of one application come one after the other; those of different
//     applications commit side by side, and may share a group commit.
//  3. An application's record, its version and its routes are one Snapshot,
//     read in one step.
//  4. A change that fails leaves the memory as it was. One that was handed to
//     the committer is not given up when its caller goes away, or memory and
//     store would part.
//  5. Health, which the engine's settles decide, is applied while changes are
//     under way, and neither overwrites the other.
//
// Where several nodes share a store, each has a catalogue of its own that takes
// over what the others changed (Refresh, Reload), and numbers versions as the
// store does. Then also:
//
//  6. Readers see what others changed of an application in one step, and Version
//     moves only when all of it is seen.
//  7. Refresh waits for no commit: neither for locks nor for claims that changes
//     hold over theirs. So a committer may refresh the catalogue half-way, whatever
//     is queued behind it. Whoever shows changes holds showing, and for no longer
//     than it takes, but for Reload, which reads the store meanwhile.
//  8. A change is made at a version, of which its batch's is not above (Basis): the
//     store refuses what was made without knowing another's. What others' changes
//     touch while it is under way is therefore newer, and stays as they left it.
//     Nor can two nodes give out one number, or one uid.
//  9. A refused change leaves the memory as it was (4), and is made again from the
//     start where Config.Refresh is given; functions that edit a record may so be
//     called several times.
//
// Not promised: health that this node stored just before another's, and applies
// only after that one was read, stays until either changes it again.
package catalogue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Committer makes changes durable, in the order in which they come.
type Committer interface {
	// CommitChanges stores changes and health in one batch: durable on nil,
	// not stored on an error. Before it returns nil it has called ApplyHealth
	// for each of health, as it does for the health that its settles change:
	// in the order of batches, which only the committer knows. With several nodes
	// the batch's Version is not above Basis while it is built, and the error for
	// one that another node was faster than has the code store.CodeMoved.
	CommitChanges(ctx context.Context, changes []store.Change, health []store.HealthChange) error
}

// Secrets seals what must be kept and opens what must be used.
type Secrets interface {
	Seal(plain []byte) (postern.Sealed, error)
	Open(sealed postern.Sealed) ([]byte, error)
}

// Config is what the catalogue needs of its surroundings.
type Config struct {
	// Committer, IDs, Now and Secrets are required.
	Committer Committer
	IDs       *postern.IDSource
	Now       func() time.Time
	Secrets   Secrets
	// ValidateSource checks a source's provider, its settings, all of which are
	// in Config for it, and opened secrets; its errors are the caller's to read.
	// Nil accepts everything.
	ValidateSource func(s *postern.Source, secrets [][]byte) error
	// SecretSettings names the settings of a provider that are secrets and
	// stored sealed. Nil for none.
	SecretSettings func(provider string) []string
	// MaxSchedule bounds how long a retry schedule may take: a message that is
	// gone cannot be tried again. Zero for no bound.
	MaxSchedule time.Duration
	// Replays is given the stored replays while Load runs, which are stored
	// beside the catalogue and kept by somebody else. Nil leaves them alone.
	Replays func(*postern.Replay)
	// Version is up to where others' changes are part of what Load reads: that of
	// store.Cluster's Poll before it. 0 where one node has the store to itself.
	Version uint64
	// ReplayChanged is given the replays that other nodes stored or deleted; one of
	// the two is nil. Nil leaves them alone.
	ReplayChanged func(put, deleted *postern.Replay)
	// Learned is told of the health that other nodes stored of an endpoint, once
	// readers see it, in the order in which they did. OnChange's rules hold for it.
	// Nil for nobody.
	Learned func(n postern.EndpointNumber, health postern.Health)
	// Refresh takes over what other nodes changed, by a call of the catalogue's
	// own Refresh or Reload. It is called between two tries of a change that the
	// Committer refused with store.CodeMoved, with no lock held. Nil has the callers
	// told.
	Refresh func(ctx context.Context) error
	// OnChange is told of every endpoint that was created, changed, deleted or
	// disabled, once readers see it; which of these, its Entry says. It is
	// called with locks held, sometimes by the committer: it must neither
	// block nor change the catalogue. Nil for nobody.
	OnChange func(postern.EndpointNumber)
}

// Catalogue is everything users configure. It is safe for concurrent use.
type Catalogue struct {
	config Config

	// Who is found by what. A record is put here last, when what it leads to
	// is complete, and its place outlives it only in the hands of who got it
	// before it was removed. What belongs to one application is listed by its
	// Snapshot.
	applications *index[postern.ApplicationID, *application]
	byNumber     *index[postern.ApplicationNumber, *application]
	byUID        *index[uid, *application]
	endpoints    *index[postern.EndpointNumber, *Entry]
	endpointUIDs *index[uid, *Entry]
	sources      *index[[32]byte, *postern.Source] // by hash of the token
	eventTypes   *index[string, *postern.EventType]
	enforced     enforced
	keys         *index[postern.KeyID, *postern.Key]
	keysByHash   *index[[32]byte, *heldKey]

	// changingTypes and changingKeys are held over the commits of their kind.
	// Who holds an application's lock may take changingKeys, not the reverse.
	changingTypes, changingKeys sync.Mutex
	// showing is held by who shows changes to readers, be they this node's or
	// others'. It is taken last, after a commit and never over one.
	showing sync.Mutex
	// settling is held by who sets health, be it this node's or others'.
	settling sync.Mutex
	underWay underWay
	// version is up to where others' changes are shown.
	version atomic.Uint64

	// The highest numbers given out; a number whose commit failed is skipped.
	lastApplication, lastEndpoint atomic.Uint32
}

// Load reads the catalogue from a store. The numbers it gives out go on from
// the head's. Records are taken as they are: what was valid when it was stored
// must not keep the program from starting after the rules have changed. An
// error means that the store holds what cannot be, such as an endpoint of no
// application.
func Load(ctx context.Context, from store.Catalogue, head store.Head, config Config) (*Catalogue, error) {
	if config.ValidateSource == nil {
		config.ValidateSource = func(*postern.Source, [][]byte) error { return nil }
	}
	if config.SecretSettings == nil {
		config.SecretSettings = func(string) []string { return nil }
	}
	if config.OnChange == nil {
		config.OnChange = func(postern.EndpointNumber) {}
	}
	c := &Catalogue{
		config:       config,
		applications: newIndex[postern.ApplicationID, *application](postern.ApplicationID.Compare),
		byNumber:     newIndex[postern.ApplicationNumber, *application](nil),
		byUID:        newIndex[uid, *application](nil),
		endpoints:    newIndex[postern.EndpointNumber, *Entry](nil),
		endpointUIDs: newIndex[uid, *Entry](nil),
		sources:      newIndex[[32]byte, *postern.Source](nil),
		eventTypes:   newIndex[string, *postern.EventType](compareStrings),
		keys:         newIndex[postern.KeyID, *postern.Key](postern.KeyID.Compare),
		keysByHash:   newIndex[[32]byte, *heldKey](nil),
		underWay:     underWay{own: map[*ownChange]struct{}{}, readings: map[*reading]struct{}{}},
	}
	c.version.Store(config.Version)
	c.lastApplication.Store(uint32(head.Applications))
	c.lastEndpoint.Store(uint32(head.Endpoints))
	// What the store holds may lie above a head that a failed commit did not
	// reach; loader lifts the numbers.
	l := loader{catalogue: c, health: map[postern.EndpointNumber]postern.Health{}, snapshots: map[*application]*Snapshot{}}
	if err := from.Load(ctx, l.add); err != nil {
		return nil, fmt.Errorf("load the catalogue: %w", err)
	}
	l.finish()
	c.enforced.load(c.eventTypes)
	return c, nil
}

// Numbers are the highest catalogue numbers given out, for the head of a
// batch. Read while a batch is built, they are not below any in it.
func (c *Catalogue) Numbers() (postern.ApplicationNumber, postern.EndpointNumber) {
	return postern.ApplicationNumber(c.lastApplication.Load()), postern.EndpointNumber(c.lastEndpoint.Load())
}

// now is the time of a change: to the millisecond, which every store keeps.
func (c *Catalogue) now() time.Time { return c.config.Now().UTC().Truncate(time.Millisecond) }

// seal encrypts a secret; a failure is ours, not the caller's.
func (c *Catalogue) seal(plain []byte) (postern.Sealed, error) {
	sealed, err := c.config.Secrets.Seal(plain)
	if err != nil {
		return nil, fmt.Errorf("seal a secret: %w", err)
	}
	return sealed, nil
}

// loader fills a catalogue that nobody reads yet, which is why it may change
// snapshots in place.
type loader struct {
	catalogue *Catalogue
	snapshots map[*application]*Snapshot
	// health may come before its endpoint, and after the endpoint's deletion.
	health map[postern.EndpointNumber]postern.Health
}

// add takes over one stored record, which is the catalogue's from now on.
func (l *loader) add(record any) error {
	c := l.catalogue
	switch r := record.(type) {
	case *postern.Application:
		a := newApplication(r)
		c.list(r, a)
		if r.UID != "" {
			c.byUID.put(uid{name: r.UID}, a)
		}
		l.snapshots[a] = a.snapshot.Load()
	case *postern.Endpoint:
		s, err := l.owner(r.Application)
		if err != nil {
			return fmt.Errorf("endpoint %s: %w", r.ID, err)
		}
		s.endpoints = append(s.endpoints, c.newEntry(c.byNumber.get(r.Application), r))
	case *postern.Source:
		s, err := l.owner(r.Application)
		if err != nil {
			return fmt.Errorf("source %s: %w", r.ID, err)
		}
		s.sources = append(s.sources, r)
		c.sources.put(r.TokenHash, r)
	case *postern.EventType:
		c.eventTypes.put(r.Name, r)
	case *postern.Key:
		c.keys.put(r.ID, r)
		c.keysByHash.put(r.Hash, hold(r))
	case *postern.Replay:
		if c.config.Replays != nil {
			c.config.Replays(r)
		}
	case store.HealthChange:
		l.health[r.Endpoint] = r.Health
	default:
		return fmt.Errorf("a record of type %T is not of the catalogue", record)
	}
	return nil
}

// owner is the application that a record belongs to; stores load it first.
func (l *loader) owner(n postern.ApplicationNumber) (*Snapshot, error) {
	a := l.catalogue.byNumber.get(n)
	if a == nil {
		return nil, errors.New("its application is not stored")
	}
	return l.snapshots[a], nil
}

// finish sorts what came in any order and makes the routes, for which the
// health has to be in the views.
func (l *loader) finish() {
	for n, health := range l.health {
		if e := l.catalogue.endpoints.get(n); e != nil {
			view := *e.View()
			view.Health = health
			e.view.Store(&view)
		}
	}
	for _, s := range l.snapshots {
		s.sort()
		s.route()
	}
}

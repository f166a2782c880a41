package catalogue_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/catalogue"
	"github.com/postern-dev/postern/internal/keyring"
	"github.com/postern-dev/postern/store"
)

// cluster is what several nodes store in: the catalogue, and a log of its
// changes.
type cluster struct {
	secrets *keyring.Box

	mu      sync.Mutex
	version uint64
	entries map[string]*logged // the newest for each key
	routed  map[*node]uint64   // each node's newest change that may refuse others'
	head    store.Head
	loaded  func() // runs when everything was loaded and nobody knows it; nil for nothing
}

// logged is the newest change of a record, with the version of each node's newest.
type logged struct {
	saved    saved
	versions map[*node]uint64
}

// node is a catalogue of a cluster, with a committer.
type node struct {
	*catalogue.Catalogue
	cluster *cluster
	t       *testing.T
	config  catalogue.Config

	// committing is held for a batch, and over what its refusal asks for.
	committing sync.Mutex
	// before runs ahead of a batch, after when it is stored and nobody knows, and
	// between while others' changes are read.
	before, after, between func()

	mu       sync.Mutex
	changed  []postern.EndpointNumber
	learned  []store.HealthChange
	replays  []string
	refusals int
}

func newCluster() *cluster {
	return &cluster{secrets: keyring.New().For("test"), entries: map[string]*logged{}, routed: map[*node]uint64{}}
}

func (c *cluster) join(t *testing.T) *node {
	n := &node{cluster: c, t: t}
	n.config = catalogue.Config{
		Committer: n, IDs: &postern.IDSource{Now: time.Now, Random: rand.Reader}, Now: time.Now, Secrets: c.secrets,
		Refresh: n.refresh,
		OnChange: func(e postern.EndpointNumber) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.changed = append(n.changed, e)
		},
		Learned: func(e postern.EndpointNumber, h postern.Health) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.learned = append(n.learned, store.HealthChange{Endpoint: e, Health: h})
		},
		ReplayChanged: func(put, deleted *postern.Replay) {
			n.mu.Lock()
			defer n.mu.Unlock()
			if put != nil {
				n.replays = append(n.replays, "put "+put.ID.String())
			} else {
				n.replays = append(n.replays, "deleted "+deleted.ID.String())
			}
		},
	}
	n.config.Version = c.newest()
	var err error
	if n.Catalogue, err = catalogue.Load(t.Context(), c, c.numbers(), n.config); err != nil {
		t.Fatal(err)
	}
	return n
}

func (c *cluster) newest() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.version
}

func (c *cluster) numbers() store.Head {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head
}

// CommitChanges is catalogue.Committer's. A batch that is refused refreshes the
// catalogue before it is told, while others are queued.
func (n *node) CommitChanges(ctx context.Context, changes []store.Change, health []store.HealthChange) error {
	if n.before != nil {
		n.before()
	}
	n.committing.Lock()
	defer n.committing.Unlock()
	if n.cluster.commit(n, n.Basis(), changes, health) {
		if n.after != nil {
			n.after()
		}
		return nil
	}
	n.mu.Lock()
	n.refusals++
	n.mu.Unlock()
	if err := n.refresh(ctx); err != nil {
		return err
	}
	return &postern.Error{Kind: postern.Unavailable, Code: store.CodeMoved}
}

// settle is a batch of the engine that changes nothing but health.
func (n *node) settle(e postern.EndpointNumber, health postern.Health) {
	n.committing.Lock()
	defer n.committing.Unlock()
	n.cluster.commit(n, n.Version(), nil, []store.HealthChange{{Endpoint: e, Health: health}})
}

// refresh is what the engine does when it hears of a newer version.
func (n *node) refresh(ctx context.Context) error {
	err := n.Refresh(ctx, n)
	if errors.Is(err, postern.ErrConflict) {
		return n.Reload(ctx, n.cluster, n.cluster.numbers(), n.cluster.newest())
	}
	return err
}

// catchUp has the node know everything.
func (n *node) catchUp() {
	n.t.Helper()
	if err := n.refresh(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
}

// commit stores a batch, unless it was made without knowing another node's
// change of what is routed by. The last use of a key brings none back.
func (c *cluster) commit(by *node, version uint64, changes []store.Change, health []store.HealthChange) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	routing := slices.ContainsFunc(changes, func(change store.Change) bool { return !keyUse(change) })
	for other, changed := range c.routed {
		if routing && other != by && changed > version {
			return false
		}
	}
	c.version++
	if routing {
		c.routed[by] = c.version
	}
	for _, change := range changes {
		s := save(change)
		old := c.entries[s.key()]
		gone := old != nil && old.saved.delete
		switch {
		case gone && keyUse(change):
			continue
		case gone && !s.delete && s.kind != reflect.TypeFor[postern.EventType]():
			by.t.Errorf("%s is back", s.key())
		}
		c.note(by, s)
	}
	for _, h := range health {
		text, _ := json.Marshal(h)
		c.note(by, saved{kind: reflect.TypeOf(h), record: text})
	}
	apps, endpoints := by.Numbers()
	c.head.Applications, c.head.Endpoints = max(c.head.Applications, apps), max(c.head.Endpoints, endpoints)
	for _, h := range health {
		by.ApplyHealth(h.Endpoint, h.Health)
	}
	return true
}

// note logs a change. The caller holds the lock.
func (c *cluster) note(by *node, s saved) {
	e := c.entries[s.key()]
	if e == nil {
		e = &logged{versions: map[*node]uint64{}}
		c.entries[s.key()] = e
	}
	e.saved, e.versions[by] = s, c.version
}

// othersAfter reports whether others than a node changed the record after a version.
func (l *logged) othersAfter(n *node, since uint64) bool {
	for by, version := range l.versions {
		if by != n && version > since {
			return true
		}
	}
	return false
}

// keyUse reports whether a change only says when a key was used.
func keyUse(change store.Change) bool {
	k, is := change.Put.(*postern.Key)
	return is && !k.LastUsedAt.IsZero()
}

func (s saved) key() string {
	record := s.open()
	if h, is := record.(*store.HealthChange); is {
		return fmt.Sprint("health ", h.Endpoint)
	}
	return keyOf(record)
}

func (s saved) open() any {
	record := reflect.New(s.kind).Interface()
	if err := json.Unmarshal(s.record, record); err != nil {
		panic(err)
	}
	return record
}

// Changed is catalogue.Log's: what has become of what others changed, be it by the
// node itself.
func (n *node) Changed(_ context.Context, since uint64, fn func(change any) error) (uint64, error) {
	n.cluster.mu.Lock()
	var changes []saved
	for _, e := range n.cluster.entries {
		if e.othersAfter(n, since) {
			changes = append(changes, e.saved)
		}
	}
	version := n.cluster.version
	n.cluster.mu.Unlock()
	if n.between != nil {
		n.between()
	}
	slices.SortFunc(changes, func(a, b saved) int { return cmp.Compare(a.rank(), b.rank()) })
	for _, s := range changes {
		if err := fn(s.change()); err != nil {
			return 0, err
		}
	}
	return version, nil
}

// rank has applications come first.
func (s saved) rank() int {
	if s.kind == reflect.TypeFor[postern.Application]() {
		return 0
	}
	return 1
}

// change is the logged change as a Cluster gives it.
func (s saved) change() any {
	switch record := s.open().(type) {
	case *store.HealthChange:
		return *record
	default:
		if s.delete {
			return store.Change{Delete: record}
		}
		return store.Change{Put: record}
	}
}

// Load is store.Catalogue's.
func (c *cluster) Load(_ context.Context, fn func(record any) error) error {
	c.mu.Lock()
	var records []saved
	for _, e := range c.entries {
		if h, is := e.saved.open().(*store.HealthChange); !e.saved.delete && (!is || h.Health != (postern.Health{})) {
			records = append(records, e.saved)
		}
	}
	c.mu.Unlock()
	if c.loaded != nil {
		c.loaded()
	}
	slices.SortFunc(records, func(a, b saved) int { return cmp.Compare(a.rank(), b.rank()) })
	for _, s := range records {
		record := s.open()
		if h, is := record.(*store.HealthChange); is {
			record = *h
		}
		if err := fn(record); err != nil {
			return err
		}
	}
	return nil
}

// slow is a node's log that is read at once, and whose reader then waits.
type slow struct {
	*node
	read, goOn chan struct{}
}

// Changed is catalogue.Log's.
func (s slow) Changed(ctx context.Context, since uint64, fn func(change any) error) (uint64, error) {
	var changes []any
	version, err := s.node.Changed(ctx, since, func(change any) error {
		changes = append(changes, change)
		return nil
	})
	if err != nil {
		return 0, err
	}
	s.read <- struct{}{} // capacity 1, for a second reading that nobody watches
	<-s.goOn
	return given{version, changes}.Changed(ctx, since, fn)
}

// given is a log that says just this.
type given struct {
	version uint64
	changes []any
}

// Changed is catalogue.Log's.
func (g given) Changed(_ context.Context, _ uint64, fn func(change any) error) (uint64, error) {
	for _, change := range g.changes {
		if err := fn(change); err != nil {
			return 0, err
		}
	}
	return g.version, nil
}

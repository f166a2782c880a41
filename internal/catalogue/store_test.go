package catalogue_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/catalogue"
	"github.com/postern-dev/postern/internal/keyring"
	"github.com/postern-dev/postern/store"
)

// recorder is a committer whose batches can be read back as a store. Records
// are kept as JSON, so that nothing is shared with the catalogue's memory.
type recorder struct {
	target *catalogue.Catalogue // whose health is applied
	// before runs ahead of a batch, outside the lock; its error fails it.
	before func(changes []store.Change) error

	mu      sync.Mutex
	batches []batch
}

type batch struct {
	changes []saved
	health  []store.HealthChange
}

type saved struct {
	kind   reflect.Type
	record []byte
	delete bool
}

func (r *recorder) CommitChanges(ctx context.Context, changes []store.Change, health []store.HealthChange) error {
	if r.before != nil {
		if err := r.before(changes); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("a change that was handed over must not end: %w", ctx.Err())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b := batch{health: health}
	for _, change := range changes {
		b.changes = append(b.changes, save(change))
	}
	r.batches = append(r.batches, b)
	r.apply(health)
	return nil
}

// settle is a batch of the engine that changes nothing but health.
func (r *recorder) settle(n postern.EndpointNumber, health postern.Health) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := batch{health: []store.HealthChange{{Endpoint: n, Health: health}}}
	r.batches = append(r.batches, b)
	r.apply(b.health)
}

func (r *recorder) apply(health []store.HealthChange) {
	for _, h := range health {
		r.target.ApplyHealth(h.Endpoint, h.Health)
	}
}

func save(change store.Change) saved {
	record := change.Put
	if record == nil {
		record = change.Delete
	}
	text, err := json.Marshal(record)
	if err != nil {
		panic(err)
	}
	return saved{kind: reflect.TypeOf(record).Elem(), record: text, delete: change.Put == nil}
}

// Load is store.Catalogue's: what all batches together come to, applications
// first, the rest in any order.
func (r *recorder) Load(_ context.Context, fn func(record any) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	records, health := map[string]any{}, map[postern.EndpointNumber]postern.Health{}
	for _, b := range r.batches {
		for _, s := range b.changes {
			record := reflect.New(s.kind).Interface()
			if err := json.Unmarshal(s.record, record); err != nil {
				return err
			}
			if records[keyOf(record)] = record; s.delete {
				delete(records, keyOf(record))
			}
		}
		for _, h := range b.health {
			if health[h.Endpoint] = h.Health; h.Health == (postern.Health{}) {
				delete(health, h.Endpoint)
			}
		}
	}
	for _, applications := range []bool{true, false} {
		for _, record := range records {
			if _, is := record.(*postern.Application); is == applications {
				if err := fn(record); err != nil {
					return err
				}
			}
		}
		for n, h := range health {
			if err := fn(store.HealthChange{Endpoint: n, Health: h}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *recorder) last() batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.batches[len(r.batches)-1]
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.batches)
}

func keyOf(record any) string {
	switch r := record.(type) {
	case *postern.Application:
		return r.ID.String()
	case *postern.Endpoint:
		return r.ID.String()
	case *postern.Source:
		return r.ID.String()
	case *postern.Key:
		return r.ID.String()
	case *postern.Replay:
		return r.ID.String()
	case *postern.EventType:
		return "type " + r.Name
	}
	panic(fmt.Sprintf("%T", record))
}

// world is a catalogue with what surrounds it.
type world struct {
	*catalogue.Catalogue
	*testing.T
	store   *recorder
	secrets *keyring.Box
	config  catalogue.Config

	mu      sync.Mutex
	changed []postern.EndpointNumber
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, store: &recorder{}, secrets: keyring.New().For("test")}
	w.config = catalogue.Config{
		Committer: w.store,
		IDs:       &postern.IDSource{Now: time.Now, Random: rand.Reader},
		Now:       time.Now,
		Secrets:   w.secrets,
		OnChange: func(n postern.EndpointNumber) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.changed = append(w.changed, n)
		},
	}
	w.Catalogue = w.load(store.Head{})
	w.store.target = w.Catalogue
	return w
}

// load makes a second catalogue of what was committed.
func (w *world) load(head store.Head) *catalogue.Catalogue {
	w.Helper()
	c, err := catalogue.Load(w.Context(), w.store, head, w.config)
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// tellings empties and returns what OnChange was told.
func (w *world) tellings() []postern.EndpointNumber {
	w.mu.Lock()
	defer w.mu.Unlock()
	told := w.changed
	w.changed = nil
	return told
}

func (w *world) application(uid string) *postern.Application {
	w.Helper()
	a, err := w.CreateApplication(w.Context(), postern.Application{Name: "Test", UID: uid})
	if err != nil {
		w.Fatal(err)
	}
	return a
}

func (w *world) endpoint(app *postern.Application, edit func(*postern.Endpoint)) *postern.EndpointView {
	w.Helper()
	e := postern.Endpoint{Application: app.Number, URL: "https://example.com/"}
	if edit != nil {
		edit(&e)
	}
	view, err := w.CreateEndpoint(w.Context(), e)
	if err != nil {
		w.Fatal(err)
	}
	return view
}

func (w *world) source(app *postern.Application, uid string) *postern.Source {
	w.Helper()
	sealed, err := w.secrets.Seal([]byte("shared secret"))
	if err != nil {
		w.Fatal(err)
	}
	s, err := w.CreateSource(w.Context(), postern.Source{
		Application: app.Number, Name: "GitHub", UID: uid, Provider: "github", Secrets: []postern.Sealed{sealed},
	})
	if err != nil {
		w.Fatal(err)
	}
	return s
}

func (w *world) eventType(name string) *postern.EventType {
	w.Helper()
	_, stored, err := w.PutEventType(w.Context(), postern.EventType{Name: name, Description: "A type"}, false)
	if err != nil {
		w.Fatal(err)
	}
	return stored
}

var errDisk = errors.New("disk on fire")

// failing makes every commit fail until the returned function is called.
func (w *world) failing() (mend func()) {
	w.store.before = func([]store.Change) error { return errDisk }
	return func() { w.store.before = nil }
}

func wantKind(t *testing.T, err error, kind postern.Kind) {
	t.Helper()
	if err == nil || postern.KindOf(err) != kind {
		t.Errorf("got %v, want an error of kind %v", err, kind)
	}
}

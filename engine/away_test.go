package engine

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
)

// away is a store that is gone from the first batch on that resends something:
// Commit waits, as one on a database does.
type away struct {
	store.Store
	waiting chan struct{} // closed when the batch waits
}

func (s *away) Commit(ctx context.Context, b *store.Batch) error {
	if len(b.Rows) == 0 {
		return s.Store.Commit(ctx, b)
	}
	close(s.waiting)
	<-ctx.Done()
	return context.Cause(ctx)
}

// A stop does not wait for ever for a slice of a replay, which waits for a store
// that is away.
func TestStopWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, err := embedded.Open(t.Context(), "memory:", embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer mem.Close()
		st := &away{Store: mem, waiting: make(chan struct{})}
		eng, ran, stop := runEngine(t, Config{Store: st, DrainTimeout: 3 * time.Second})
		app, err := eng.catalogue.CreateApplication(t.Context(), postern.Application{Name: "a"})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := eng.Publish(t.Context(), postern.Publish{Application: app.Number, EventType: "t", Payload: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		to, err := eng.catalogue.CreateEndpoint(t.Context(), postern.Endpoint{Application: app.Number, URL: "https://example.com"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := eng.Replay(t.Context(), postern.Replay{Application: app.Number, To: to.Number, Selection: postern.Selection{Since: time.Unix(1, 0)}}); err != nil {
			t.Fatal(err)
		}
		<-st.waiting
		begun := time.Now()
		stop()
		if err := <-ran; err == nil {
			t.Error("a stop that could not store what it had to says nothing")
		}
		if took := time.Since(begun); took > 3*time.Second+2*storeGrace {
			t.Errorf("the stop took %v", took)
		}
	})
}

// unread is a store whose database cannot be read for a while. What it knows of its own
// journal it tells, as store/postgres does.
type unread struct {
	store.Store
	away atomic.Bool
}

func (s *unread) Head(ctx context.Context) (store.Head, error) {
	head, err := s.Store.Head(ctx)
	if s.away.Load() {
		err = postern.ErrUnavailable
	}
	return head, err
}

// A database that is away when Run begins is waited for, as at any other time.
func TestRunWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, err := embedded.Open(t.Context(), "memory:", embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer mem.Close()
		st := &unread{Store: mem}
		eng, err := New(t.Context(), Config{Store: st, Secrets: openSecrets{}})
		if err != nil {
			t.Fatal(err)
		}
		st.away.Store(true)
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if err := eng.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

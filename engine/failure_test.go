package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store/embedded"
)

// badTables has writing tables fail: work that the store does on its own, after
// the batches were acknowledged.
type badTables struct{ on atomic.Bool }

func (*badTables) String() string { return "tables" }

func (f *badTables) MaybeError(op errorfs.Op) error {
	if f.on.Load() && strings.HasSuffix(op.Path, ".sst") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
		return errors.New("input/output error")
	}
	return nil
}

// runEngine runs an engine until the returned function is called.
func runEngine(t *testing.T, cfg Config) (eng *Engine, ran chan error, stop func()) {
	t.Helper()
	cfg.Secrets = openSecrets{}
	eng, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran = make(chan error, 1)
	go func() { ran <- eng.Run(ctx) }()
	return eng, ran, cancel
}

// TestRunEndsWhenTheStoreFailsByItself: nothing asks for a commit after the
// failure, and yet Run returns it.
func TestRunEndsWhenTheStoreFailsByItself(t *testing.T) {
	bad := &badTables{}
	st, err := embedded.Open(t.Context(), "file:data", embedded.Options{FS: errorfs.Wrap(vfs.NewMem(), bad), ReserveBytes: -1, MemtableBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	eng, ran, stop := runEngine(t, Config{Store: st})
	defer stop()
	app, err := eng.catalogue.CreateApplication(t.Context(), postern.Application{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	bad.on.Store(true)
	payload := make([]byte, 200<<10)
	for i := range payload {
		payload[i] = byte(rand.Uint32())
	}
	for range 12 { // fills a memtable twice over, no more
		_, _, err := eng.Publish(t.Context(), postern.Publish{Application: app.Number, EventType: "a", Payload: payload})
		if err != nil {
			break
		}
	}
	select {
	case err := <-ran:
		if err == nil {
			t.Error("Run returned nil after the store failed")
		}
	case <-time.After(time.Minute):
		t.Fatal("Run still runs after the store failed")
	}
	if eng.health(t.Context()) == nil {
		t.Error("health says nothing of the failure")
	}
}

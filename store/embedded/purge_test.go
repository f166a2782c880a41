package embedded

import (
	"bytes"
	"crypto/rand"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// purging is a store with three payloads in its tables.
type purging struct {
	*Store
	t        *testing.T
	dir      string
	now      time.Time
	head     store.Head
	ids      []postern.MessageID
	payloads [3][4096]byte
}

func newPurging(t *testing.T) *purging {
	t.Helper()
	p := &purging{t: t, dir: t.TempDir() + "/store", now: time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)}
	var err error
	p.Store, err = Open(t.Context(), "file:"+p.dir, Options{Logger: quiet(), ReserveBytes: -1, Now: func() time.Time { return p.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, p.Store) })
	for i := range p.payloads {
		payload := p.payloads[i][:]
		_, _ = rand.Read(payload) // it never fails, and random bytes do not compress
		p.ids = append(p.ids, postern.NewMessageID(p.now, 1, uint64(i+1), 0))
		p.head.Next = uint64(i + 2)
		m := &postern.Message{ID: p.ids[i], Application: 1, EventType: "a", Size: len(payload)}
		p.commit(store.Batch{Accepts: []store.Accept{{Message: m, Content: &postern.Content{Payload: payload}}}})
	}
	if err := p.db.Flush(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *purging) commit(b store.Batch) {
	p.t.Helper()
	p.head.Batch++
	p.head.LastTime = p.now
	b.Head = p.head
	if err := p.Commit(p.t.Context(), &b); err != nil {
		p.t.Fatal(err)
	}
}

func (p *purging) expunge(i int) {
	p.t.Helper()
	p.commit(store.Batch{Expunged: []store.ContentKey{{Application: 1, Message: p.ids[i]}}})
}

func (p *purging) purge() {
	p.t.Helper()
	if err := p.Purge(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

func (p *purging) want(when string, there ...bool) {
	p.t.Helper()
	for i := range p.payloads {
		if got := inTables(p.t, p.dir, p.payloads[i][:64]); got != there[i] {
			p.t.Errorf("%s, payload %d is in the tables: %t, want %t", when, i, got, there[i])
		}
	}
}

// TestPurge looks for what was expunged in the tables on the disk: it is there
// while it may be, and then no more, while the neighbours stay.
func TestPurge(t *testing.T) {
	p := newPurging(t)
	p.want("at first", true, true, true)
	p.expunge(1)
	p.purge()
	p.want("before its time", true, true, true)
	p.now = p.now.Add(purgeAfter)
	p.purge()
	if spans, due, err := p.expunged(); err != nil || due || len(spans) > 0 {
		t.Errorf("still to do: %v %t %v", spans, due, err)
	}
	if _, err := p.Content(t.Context(), 1, p.ids[2]); err != nil {
		t.Errorf("a neighbour: %v", err)
	}
	closeStore(t, p.Store) // tables that nothing refers to are deleted by the way, and by its end
	p.want("purged", true, false, true)
}

// TestExpungedWhilePurging: what is expunged between others while they are purged
// is left to the next purge, and not forgotten with them.
func TestExpungedWhilePurging(t *testing.T) {
	p := newPurging(t)
	p.expunge(0)
	p.expunge(2)
	p.now = p.now.Add(purgeAfter)
	begun := p.now
	spans, due, err := p.expunged()
	if err != nil || !due || len(spans) != 1 {
		t.Fatalf("%v %t %v", spans, due, err)
	}
	p.expunge(1)
	if err := p.purged(t.Context(), spans[0], begun); err != nil {
		t.Fatal(err)
	}
	spans, _, err = p.expunged()
	if err != nil || len(spans) != 1 || !bytes.Equal(spans[0].first, spans[0].last) || !bytes.Contains(spans[0].first, p.ids[1][:]) {
		t.Fatalf("%v %v", spans, err)
	}
	p.now = p.now.Add(purgeAfter)
	p.purge()
	closeStore(t, p.Store)
	p.want("purged", false, false, false)
}

// inTables reports whether any table of the folder holds the bytes.
func inTables(t *testing.T, dir string, what []byte) (found bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".sst") {
			return err
		}
		text, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil // dropped meanwhile
		}
		found = found || bytes.Contains(text, what)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

package postgres

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
	"github.com/postern-dev/postern/store/storetest"
)

// folder makes stores of the other driver.
func folder() storetest.Harness {
	dirs := map[store.Store]string{}
	at := func(t *testing.T, dir string) store.Store {
		s, err := embedded.Open(t.Context(), "file:"+dir, embedded.Options{Logger: slog.New(slog.DiscardHandler), ReserveBytes: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		dirs[s] = dir
		return s
	}
	return storetest.Harness{
		Open: func(t *testing.T) store.Store { return at(t, t.TempDir()+"/store") },
		Reopen: func(t *testing.T, s store.Store, _ storetest.How) store.Store {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			return at(t, dirs[s])
		},
	}
}

// TestMoveBetweenDrivers: what is moved from the other driver and back reads alike
// in both, and goes on there. Among databases the suite moves.
func TestMoveBetweenDrivers(t *testing.T) { storetest.Move(t, folder(), harness(), folder()) }

// exported reads a store whole, a record at a time, and returns what comes with the
// cursors.
func exported(t *testing.T, s *Store) (list []store.Batch, next []store.Cursor) {
	t.Helper()
	err := s.Export(t.Context(), store.ExportQuery{Records: 1, Bytes: 1}, func(b *store.Batch, at store.Cursor) error {
		list, next = append(list, store.Batch{Accepts: b.Accepts, Changes: b.Changes, Head: b.Head}), append(next, at)
		*b = store.Batch{}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list, next
}

// messageID is that of the first message of a day.
func messageID(day int) postern.MessageID {
	return postern.NewMessageID(store.Day(20500+day).Start(), 0, 1, 0)
}

// small is an application with a message.
func small(id postern.MessageID) *store.Batch {
	return &store.Batch{
		Head:    store.Head{Batch: 1, Next: 2, LastTime: id.Time()},
		Changes: []store.Change{{Put: &postern.Application{Number: 1}}},
		Accepts: []store.Accept{{Message: &postern.Message{ID: id, Application: 1, EventType: "a"}, Content: &postern.Content{}}},
	}
}

// TestExportLeavesOut what is gone, though its tables are not yet.
func TestExportLeavesOut(t *testing.T) {
	s := open(t, cluster.Database(t), Options{})
	b := small(messageID(1))
	if err := s.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if list, _ := exported(t, s); len(list) != 3 || len(list[1].Accepts) != 1 || list[1].Accepts[0].Content.Payload == nil {
		t.Fatalf("an export has %+v", list)
	}
	s.deleted.Store(postern.ApplicationNumber(1), true)
	if list, _ := exported(t, s); len(list) != 3 || len(list[1].Accepts) != 0 {
		t.Errorf("of a deleted application an export has %+v", list)
	}
	s.deleted.Clear()
	s.day.Store(uint32(store.DayOf(messageID(1).Time())))
	if list, _ := exported(t, s); len(list) != 2 {
		t.Errorf("of a dropped day an export has %+v", list)
	}
}

// TestExportRefuses what it would give wrongly.
func TestExportRefuses(t *testing.T) {
	url := cluster.Database(t)
	s := open(t, url, Options{})
	export := func(after string) error {
		q := store.ExportQuery{After: store.Cursor(after), Records: 1, Bytes: 1}
		return s.Export(t.Context(), q, func(*store.Batch, store.Cursor) error { return nil })
	}
	for _, cursor := range []string{"?", `{"part":"else","key":["0"]}`, `{"part":"messages","key":["0"]}`} {
		if err := export(cursor); postern.KindOf(err) != postern.Invalid {
			t.Errorf("%s: %v, want an error of kind invalid", cursor, err)
		}
	}
	other := open(t, url, Options{})
	if err := other.Commit(t.Context(), small(messageID(1))); err != nil {
		t.Fatal(err)
	}
	if err := export(""); postern.KindOf(err) != postern.Conflict {
		t.Errorf("of two journals: %v, want a conflict", err)
	}
	do(t, url, "UPDATE head SET batch = 0 WHERE journal = 0")
	s = open(t, url, Options{ReadOnly: true})
	if err := export(""); s.opts.Journal != 1 || postern.KindOf(err) != postern.Conflict {
		t.Errorf("of journal %d: %v, want a conflict", s.opts.Journal, err)
	}
}

// TestImportIsFenced: a copy that another one took over writes nothing any more.
func TestImportIsFenced(t *testing.T) {
	url := cluster.Database(t)
	first := open(t, url, Options{})
	head := store.Head{Batch: 1, Next: 2}
	chunk := func(s *Store, next string) error {
		return s.Import(t.Context(), small(messageID(1)), store.Progress{Source: head, Next: store.Cursor(next)})
	}
	if err := chunk(first, "1"); err != nil {
		t.Fatal(err)
	}
	if node, err := Held(t.Context(), url); err != nil || node != "" {
		t.Errorf("a copy holds the database as %q, %v", node, err)
	}
	second := open(t, url, Options{})
	if err := chunk(first, "2"); postern.KindOf(err) != postern.Unavailable || !strings.Contains(err.Error(), "taken the journal over") {
		t.Errorf("the first copy went on: %v", err)
	}
	if p, under, err := second.Moved(t.Context()); err != nil || !under || string(p.Next) != "1" {
		t.Errorf("the second finds %+v, %v, %v", p, under, err)
	}
	if err := chunk(second, "3"); err != nil {
		t.Error(err)
	}
}

// TestReadOnly: nothing is changed by looking, nobody is shut out, and a database
// is not made into a store.
func TestReadOnly(t *testing.T) {
	url := cluster.Database(t)
	server := open(t, url, Options{Node: "server"})
	if err := server.Commit(t.Context(), small(messageID(1))); err != nil {
		t.Fatal(err)
	}
	s := open(t, url, Options{ReadOnly: true})
	if head, err := s.Head(t.Context()); err != nil || head.Batch != 1 {
		t.Errorf("head %+v, %v", head, err)
	}
	if list, _ := exported(t, s); len(list) != 3 {
		t.Errorf("an export has %+v", list)
	}
	for what, err := range map[string]error{
		"Commit": s.Commit(t.Context(), &store.Batch{Head: store.Head{Batch: 2, Next: 2}}),
		"Import": s.Import(t.Context(), &store.Batch{}, store.Progress{}),
	} {
		if postern.KindOf(err) != postern.Conflict {
			t.Errorf("%s: %v, want a conflict", what, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if node, err := Held(t.Context(), url); err != nil || node != "server" {
		t.Errorf("the database is held by %q, %v", node, err)
	}
	if err := server.Commit(t.Context(), &store.Batch{Head: store.Head{Batch: 2, Next: 2, LastTime: messageID(1).Time()}}); err != nil {
		t.Error(err)
	}
	empty := bare(t)
	if _, err := Open(t.Context(), empty, Options{ReadOnly: true}); postern.KindOf(err) != postern.Conflict {
		t.Errorf("of an empty database: %v, want a conflict", err)
	}
	if n := query(t, empty, "SELECT count(*) FROM pg_class WHERE relname = 'message'"); n != 0 {
		t.Error("tables were made")
	}
}

// TestImportEndsWithItsConnection: a chunk whose answer does not come ends the copy,
// and the next one goes on behind what is there.
func TestImportEndsWithItsConnection(t *testing.T) {
	url := cluster.Database(t)
	first := open(t, url, Options{})
	chunk := func(s *Store, day int, next string) error {
		return s.Import(t.Context(), small(messageID(day)), store.Progress{Next: store.Cursor(next)})
	}
	if err := chunk(first, 1, "1"); err != nil {
		t.Fatal(err)
	}
	query(t, url, "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'postern'")
	if err := chunk(first, 2, "2"); postern.KindOf(err) != postern.Unavailable {
		t.Errorf("without a connection: %v, want an error of kind unavailable", err)
	}
	<-first.Failed()
	if err := chunk(first, 2, "2"); postern.KindOf(err) != postern.Unavailable {
		t.Errorf("once more: %v, want the same", err)
	}
	second := open(t, url, Options{})
	if p, under, err := second.Moved(t.Context()); err != nil || !under || string(p.Next) != "1" {
		t.Errorf("the next one finds %+v, %v, %v", p, under, err)
	}
	if err := chunk(second, 2, "2"); err != nil {
		t.Fatal(err)
	}
	if n := query(t, url, "SELECT count(*) FROM message"); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

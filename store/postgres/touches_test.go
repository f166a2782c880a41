package postgres

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// No batch reads a table whole, nor does what tidies up after it, whatever is in it:
// young tables and those without statistics look small to the planner. The plans of
// a function are not shown to anybody; what they did is, in the server's own figures.
func TestBatchesReadByIndex(t *testing.T) {
	for _, schema := range []struct {
		name string
		make []string
	}{
		{"empty", nil},
		{"38 partitions", []string{partitionsOfPlans}},
		{"unanalysed", []string{partitionsOfPlans, rowsOfPlans}},
		{"analysed", []string{partitionsOfPlans, rowsOfPlans, "ANALYZE"}},
		{"analysed while empty", []string{partitionsOfPlans, "ANALYZE", rowsOfPlans}},
	} {
		t.Run(schema.name, func(t *testing.T) {
			url := cluster.Database(t)
			conn := connect(t, url)
			for _, sql := range schema.make {
				if _, err := conn.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			if err := conn.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			s := quietly(t, url)
			c := newCommitter(t)
			c.head.LastTime = store.Day(plansNow).Start()
			c.commit(s, c.everything()) // where there are no partitions it makes them, which reads them
			s.kill(t, url)              // which counts what it did
			before := touches(t, url)
			s = quietly(t, url)
			for range 20 {
				c.commit(s, c.everything())
			}
			c.deletedApplication(s)
			s.kill(t, url)
			for table, now := range touches(t, url) {
				if n := now.whole - before[table].whole; n > 0 {
					t.Errorf("%s was read whole %d times", table, n)
				}
				// Each batch touches a few rows of a table, and a few entries that are dead.
				if n := now.entries - before[table].entries; n > 20*40 {
					t.Errorf("%d entries of indexes of %s were read", n, table)
				}
			}
		})
	}
}

// touch counts how a table was read.
type touch struct{ whole, entries int64 }

// touches are those of all tables that grow.
func touches(t *testing.T, url string) map[string]touch {
	t.Helper()
	rows, err := connect(t, url).Query(t.Context(), `SELECT relname::text, seq_scan, coalesce(idx_tup_read, 0)::int8 FROM pg_stat_user_tables
		JOIN LATERAL (SELECT sum(idx_tup_read) AS idx_tup_read FROM pg_stat_user_indexes i WHERE i.relid = pg_stat_user_tables.relid) x ON true
		WHERE relname ~ '^(message|content|attempt|final|dead)_d|^(delivery|behind|dedupe|refusal|health|catalogue|catalogue_log|catalogue_version)$'`)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]touch{}
	var name string
	var one touch
	if _, err := pgx.ForEachRow(rows, []any{&name, &one.whole, &one.entries}, func() error { found[name] = one; return nil }); err != nil {
		t.Fatal(err)
	}
	return found
}

// deletedApplication has the background erase an application's history, and look
// for what is too old.
func (c *committer) deletedApplication(s *Store) {
	c.t.Helper()
	b := c.batch()
	b.Changes = []store.Change{{Delete: &postern.Application{Number: 400}}}
	c.commit(s, b)
	if err := s.tidy(c.t.Context()); err != nil {
		c.t.Error(err)
	}
}

// everything is a batch that touches every table, what the batch before it put
// included.
func (c *committer) everything() *store.Batch {
	b := c.batch()
	m := b.Accepts[0].Message
	d := store.DeliveryKey{Application: 1, Endpoint: 1, Message: m.ID}
	row := &postern.Row{Endpoint: 1, Application: 1, Message: m.ID, Generation: 1, Next: c.head.LastTime.Add(time.Minute)}
	attempt := &postern.Attempt{ID: postern.AttemptID(m.ID), Message: m.ID, Application: 1, Endpoint: 1, N: 1, Started: c.head.LastTime}
	refusal := &postern.Refusal{ID: postern.RefusalID(m.ID), Source: postern.SourceID{2}}
	source := &postern.Source{ID: postern.SourceID{3}, Application: 1}
	b.Accepts[0].Dedupe = []store.DedupeRecord{{Scope: store.ScopeEvent, Digest: store.Digest(m.ID[4:]), Message: m.ID, Since: time.UnixMilli(0)}}
	b.Version = 1 << 40 // newer than any
	b.Attempts, b.Redacted = []*postern.Attempt{attempt}, []*postern.Attempt{attempt}
	b.Finals = []postern.Final{{Endpoint: 1, Application: 1, Message: m.ID}}
	b.Behind = []store.BehindChange{{Row: store.BehindRow{Endpoint: 1, Application: 1, From: m.ID}}, {Row: store.BehindRow{Endpoint: 2}, Delete: true}}
	b.Health = []store.HealthChange{{Endpoint: 1, Health: postern.Health{Failures: 1}}, {Endpoint: 2}}
	b.Refusals, b.DropRefusals = []*postern.Refusal{refusal}, []*postern.Refusal{refusal}
	b.Expunged = []store.ContentKey{{Application: 1, Message: m.ID}}
	b.Changes = []store.Change{{Put: source}, {Delete: source}, {Put: &postern.Endpoint{Number: 1, Application: 1}}, {Delete: &postern.Endpoint{Number: 2, Application: 1}}}
	last := d
	last.Message = postern.NewMessageID(c.head.LastTime.Add(-time.Millisecond), 0, c.head.Next-2, 7)
	gone := *row
	gone.Message = last.Message
	b.Rows = []store.RowChange{{Put: row}, {Delete: &gone}}
	b.Dead = []store.DeadChange{{Key: d}, {Key: last, Delete: true}}
	return b
}

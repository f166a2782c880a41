package postgres

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// stocked is a store with a little of everything: one message whose delivery to
// endpoint 1 failed and waits, and whose delivery to endpoint 2 was canceled.
func stocked(t *testing.T, o Options) (*Store, *postern.Message) {
	t.Helper()
	b := newBook(t, open(t, cluster.Database(t), o))
	a := b.accept(5, 1, 2, 3)
	a.Message.Channels, a.Message.Tags = []string{"c", "d e"}, []string{"t"}
	a.Message.Source, a.Message.CausedBy = postern.SourceID{1}, a.Message.ID
	a.Dedupe = []store.DedupeRecord{{Scope: store.ScopeSource, Digest: store.Digest{1, 0xff}, Message: a.Message.ID, Status: 202}}
	a.Content.Request = &postern.InboundRequest{Method: "POST", Headers: []postern.Header{{Name: "A", Value: "b"}}}
	m := a.Message
	b.commit(store.Batch{
		Accepts:  []store.Accept{a},
		Attempts: []*postern.Attempt{b.attempt(m, 1, 1, postern.Retrying)},
		Finals:   []postern.Final{{Endpoint: 2, Application: 5, Message: m.ID, State: postern.Canceled, Reason: postern.ReasonCanceled, At: b.now}},
		Rows:     []store.RowChange{b.row(m, 1, time.Minute)},
		Dead:     []store.DeadChange{{Key: store.DeliveryKey{Application: 5, Endpoint: 1, Message: m.ID}}},
		Behind:   []store.BehindChange{{Row: store.BehindRow{Endpoint: 3, Application: 5, From: m.ID}}},
		Refusals: []*postern.Refusal{{ID: postern.RefusalID(m.ID), Source: postern.SourceID{1}, Reason: "signature_mismatch", Body: []byte{0}}},
	})
	return b.s, m
}

// everything is what each method of the read side tells of a stocked store.
func everything(t *testing.T, s *Store, m *postern.Message) map[string]any {
	t.Helper()
	ctx, p, all := t.Context(), store.Page{Limit: 10}, map[string]any{}
	note := func(what string, value any, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		all[what] = value
	}
	message, err := s.Message(ctx, 5, m.ID)
	note("message", message, err)
	content, err := s.Content(ctx, 5, m.ID)
	note("content", content, err)
	messages, err := s.Messages(ctx, 5, store.MessageFilter{EventTypes: []string{"invoice.paid", "x"}, Channel: "d e", Tag: "t", Endpoint: 3}, p)
	note("messages", messages, err)
	yes := false
	var attempts []postern.Attempt
	finals, err := s.EachAttempt(ctx, 5, m.ID, func(a *postern.Attempt) bool { attempts = append(attempts, *a); return true })
	note("attempts", [2]any{attempts, finals}, err)
	class := 2
	tried, err := s.EndpointAttempts(ctx, 5, 1, store.AttemptFilter{Succeeded: &yes, CodeClass: &class, EventTypes: []string{"invoice.paid"}, Channel: "c", Tag: "t"}, p)
	note("endpoint attempts", tried, err)
	dead, err := s.Dead(ctx, 5, 1, p)
	note("dead", dead, err)
	refusals, err := s.Refusals(ctx, postern.SourceID{1}, p)
	note("refusals", refusals, err)
	refusal, err := s.Refusal(ctx, postern.SourceID{1}, postern.RefusalID(m.ID))
	note("refusal", refusal, err)
	due, err := s.Due(ctx, 1, store.DueCursor{}, 10)
	note("due", due, err)
	waiting, err := s.Waiting(ctx, 5, 1, p)
	note("waiting", waiting, err)
	var first []postern.Row
	note("schedules", &first, s.Schedules(ctx, func(r postern.Row) error { first = append(first, r); return nil }))
	record, found, err := s.Dedupe(ctx, store.ScopeSource, store.Digest{1, 0xff}, time.Time{})
	note("dedupe", [2]any{record, found}, err)
	behind, err := s.Behind(ctx)
	note("behind", behind, err)
	standings, err := s.Standings(ctx, 5, []store.Placed{{Endpoint: 2, Message: m.ID}, {Endpoint: 1, Message: m.ID}, {Endpoint: 3, Message: m.ID}})
	note("standings", standings, err)
	scanned, err := s.Scan(ctx, store.ScanQuery{Application: 5, Endpoint: 3, Before: 100, Limit: 10, Examine: 10})
	note("scan", scanned, err)
	var open []postern.EndpointNumber
	note("recover", &open, s.Recover(ctx, 1, func(_ *postern.Message, o []postern.EndpointNumber) error { open = append(open, o...); return nil }))
	var covered []store.DeliveryKey
	note("covered", &covered, s.Covered(ctx, []store.BehindRow{{Endpoint: 3, Application: 5}}, 100_000, func(d store.DeliveryKey) error { covered = append(covered, d); return nil }))
	var outcomes []store.Outcome
	note("outcomes", &outcomes, s.EachOutcome(ctx, 1, time.Time{}, time.Time{}, func(o store.Outcome) bool { outcomes = append(outcomes, o); return true }))
	return all
}

// Whatever way a pooler leaves for statements, the same is read, and where no
// plan is kept it is made for the parameters.
func TestStatementModes(t *testing.T) {
	s, m := stocked(t, Options{})
	want := everything(t, s, m)
	if open := want["recover"].(*[]postern.EndpointNumber); len(*open) != 1 || (*open)[0] != 3 {
		t.Fatalf("open: %v, want endpoint 3 alone", *open)
	}
	url := s.address.config.ConnConfig.ConnString()
	for _, mode := range []string{"cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, url+"&default_query_exec_mode="+mode, Options{})
			if diff := cmp.Diff(want, everything(t, s, m), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if how := s.planning(); how != "force_custom_plan" {
				t.Errorf("plans by %s that nobody keeps", how)
			}
		})
	}
}

// Nor does it matter what a role or a database is set to by default.
func TestSettingsOfOthers(t *testing.T) {
	s, m := stocked(t, Options{})
	if _, _, err := s.Keep(t.Context(), "x", []byte{0, 'x', '\\'}); err != nil {
		t.Fatal(err)
	}
	want := everything(t, s, m)
	address := s.address.config.ConnConfig.ConnString()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	settings := url.Values{
		"client_encoding": {"EUC_JP"}, "datestyle": {"German"}, "bytea_output": {"escape"}, "timezone": {"Asia/Kolkata"}, "extra_float_digits": {"-15"},
		"default_transaction_isolation": {"serializable"}, "standard_conforming_strings": {"off"}, "quote_all_identifiers": {"on"},
		"plpgsql.variable_conflict": {"use_column"}, "plpgsql.extra_errors": {"all"},
	}
	for _, mode := range []string{"cache_statement", "exec"} {
		s := open(t, address+"&"+settings.Encode()+"&default_query_exec_mode="+mode, Options{})
		if diff := cmp.Diff(want, everything(t, s, m), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", mode, diff)
		}
		if kept, err := s.Kept(t.Context(), "x"); string(kept) != "\x00x\\" || err != nil {
			t.Errorf("%s: kept %q, %v", mode, kept, err)
		}
		next := newBook(t, s)
		next.head = *s.head.Load()
		next.now = next.head.LastTime
		a := next.accept(5, 1)
		a.Message.Tags = []string{"\u00e4\u65e5"}
		next.commit(store.Batch{Accepts: []store.Accept{a}})
		got, err := s.Message(t.Context(), 5, a.Message.ID)
		if diff := cmp.Diff(a.Message, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", mode, err, diff)
		}
		if err := s.tidy(t.Context()); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		want = everything(t, open(t, address, Options{ReadOnly: true}), m)
	}
}

// each connection of the pool is told something.
func each(t *testing.T, s *Store, sql string) {
	t.Helper()
	for _, conn := range s.reads.AcquireAllIdle(t.Context()) {
		_, err := conn.Exec(t.Context(), sql)
		if conn.Release(); err != nil {
			t.Fatal(err)
		}
	}
}

// A pooler that hands statements to another session is noticed once, and reads go
// on.
func TestReadsNoticeAPooler(t *testing.T) {
	var log strings.Builder
	s, m := stocked(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	s.stop() // the background has connections, too
	s.tending.Wait()
	want := everything(t, s, m)
	each(t, s, "DEALLOCATE ALL") // as if it had been prepared in another
	for range 2 {
		if diff := cmp.Diff(want, everything(t, s, m), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
	if n := strings.Count(log.String(), "prepared statements"); n != 1 || !s.address.unnamed.Load() {
		t.Errorf("noted %d times, unnamed %t", n, s.address.unnamed.Load())
	}
}

// The settings that a read needs end with it: behind a pooler others come after.
func TestReadsLeaveSettingsAlone(t *testing.T) {
	s, m := stocked(t, Options{})
	everything(t, s, m)
	conns := s.reads.AcquireAllIdle(t.Context())
	if len(conns) == 0 {
		t.Fatal("no connection has read")
	}
	for _, conn := range conns {
		var scan, mode string
		if err := conn.QueryRow(t.Context(), "SELECT current_setting('enable_seqscan'), current_setting('plan_cache_mode')").Scan(&scan, &mode); err != nil {
			t.Fatal(err)
		}
		if conn.Release(); scan != "on" || mode != "auto" {
			t.Errorf("enable_seqscan is left %s, plan_cache_mode %s", scan, mode)
		}
	}
}

// What a restart of the database leaves of old connections is not met by readers.
func TestReadsOutliveConnections(t *testing.T) {
	s, m := stocked(t, Options{})
	for range 3 {
		var held []*pgxpool.Conn
		for range 4 {
			conn, err := s.reads.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, conn)
		}
		for _, conn := range held {
			conn.Release()
		}
		query(t, s.address.config.ConnConfig.ConnString(),
			"SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'postern'")
		if _, err := s.Message(t.Context(), 5, m.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// Errors say whose fault it is: that of the database, of what is stored, or of
// whoever gave up.
func TestReadErrors(t *testing.T) {
	s, m := stocked(t, Options{})
	conn := connect(t, s.address.config.ConnConfig.ConnString())
	if _, err := conn.Exec(t.Context(), `UPDATE content SET request = '{'`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Content(t.Context(), 5, m.ID); err == nil || postern.KindOf(err) != postern.Internal {
		t.Errorf("a broken request: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Message(ctx, 5, m.ID); !errors.Is(err, context.Canceled) {
		t.Errorf("a reader that gave up: %v", err)
	}
	if _, err := conn.Exec(t.Context(), `ALTER TABLE content RENAME TO hidden`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Content(t.Context(), 5, m.ID); !errors.Is(err, postern.ErrUnavailable) {
		t.Errorf("a table that is not there: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Message(t.Context(), 5, m.ID); err == nil {
		t.Error("a closed store is read")
	}
}

// What PostgreSQL takes for no text selects nothing, and is no error.
func TestFiltersThatAreNoText(t *testing.T) {
	s, m := stocked(t, Options{})
	for _, text := range []string{"\xff", "a\x00b", "'; DROP TABLE message", `{"`} {
		page, err := s.Messages(t.Context(), 5, store.MessageFilter{EventTypes: []string{text}, Channel: text, Tag: text}, store.Page{Limit: 5})
		if err != nil || len(page.Messages) != 0 || !page.Done {
			t.Errorf("messages of %q: %d, %v", text, len(page.Messages), err)
		}
		tried, err := s.EndpointAttempts(t.Context(), 5, 1, store.AttemptFilter{EventTypes: []string{text}, Channel: text, Tag: text}, store.Page{Limit: 5})
		if err != nil || len(tried.Attempts) != 0 || !tried.Done {
			t.Errorf("attempts of %q: %d, %v", text, len(tried.Attempts), err)
		}
	}
	if _, err := s.Message(t.Context(), 5, m.ID); err != nil {
		t.Error(err)
	}
}

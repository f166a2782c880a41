package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// awkward is what came from outside and is no text to PostgreSQL, with what else
// could mislead on the way; tidied is what is left of it.
const (
	awkward = "a\x00b\xff\xfec\"\\{},\u2028'$1\n"
	tidied  = "ab\ufffdc\"\\{},\u2028'$1\n"
)

// No text makes a batch fail, whatever is in it: what is only for reading is
// tidied, what is delivered or checked comes back byte for byte.
func TestAwkwardTexts(t *testing.T) {
	s := open(t, cluster.Database(t), Options{})
	c := newCommitter(t)
	b := c.batch()
	at, m := c.head.LastTime, b.Accepts[0].Message
	m.EventType, m.ContentType, m.EventID, m.ProviderEventType = awkward, awkward, awkward, awkward
	m.Channels, m.Tags = []string{awkward, "", "NULL"}, []string{awkward}
	raw := postern.InboundRequest{Method: awkward, Path: awkward, Query: awkward, RemoteAddr: awkward, URL: awkward, Headers: []postern.Header{{Name: awkward, Value: awkward}}}
	b.Accepts[0].Content = &postern.Content{Payload: []byte(awkward), Request: &raw}
	b.Accepts[0].Dedupe = []store.DedupeRecord{{Scope: store.ScopeEvent, Digest: store.Digest{0, 255}, Message: m.ID, Answer: []byte(awkward)}}
	attempt := &postern.Attempt{ID: postern.AttemptID{1}, Message: m.ID, Application: 1, Endpoint: 1, N: 1, State: postern.Dead, Reason: awkward, URL: awkward, Failure: awkward, Response: []byte(awkward), Started: at}
	final := postern.Final{Endpoint: 2, Application: 1, Message: m.ID, State: postern.Canceled, Reason: awkward, At: at}
	refusal := &postern.Refusal{ID: postern.RefusalID{1}, Source: postern.SourceID{2}, Reason: awkward, Detail: awkward, Request: raw, Credentials: postern.Sealed(awkward), ContentType: awkward, Body: []byte(awkward)}
	app := &postern.Application{Number: 1, UID: awkward, Name: awkward, Metadata: map[string]string{awkward: awkward}}
	kind := &postern.EventType{Name: awkward, Description: awkward}
	health := store.HealthChange{Endpoint: 1, Health: postern.Health{FailingSince: at, Disabled: awkward}}
	b.Attempts, b.Finals, b.Refusals, b.Health = []*postern.Attempt{attempt}, []postern.Final{final}, []*postern.Refusal{refusal}, []store.HealthChange{health}
	b.Changes = []store.Change{{Put: app}, {Put: kind}}
	c.commit(s, b)

	ctx := t.Context()
	wantMessage, wantAttempt, wantRefusal := *m, *attempt, *refusal
	wantMessage.EventType, wantMessage.ContentType, wantMessage.EventID, wantMessage.ProviderEventType = tidied, tidied, tidied, tidied
	wantMessage.Channels, wantMessage.Tags = []string{tidied, "", "NULL"}, []string{tidied}
	wantAttempt.Reason, wantAttempt.URL, wantAttempt.Failure = tidied, tidied, tidied
	final.Reason = tidied
	wantRefusal.Reason, wantRefusal.Detail, wantRefusal.ContentType = tidied, tidied, tidied
	same := func(what string, want, got any, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	message, err := s.Message(ctx, 1, m.ID)
	same("message", &wantMessage, message, err)
	content, err := s.Content(ctx, 1, m.ID)
	same("content", b.Accepts[0].Content, content, err)
	var attempts []postern.Attempt
	finals, err := s.EachAttempt(ctx, 1, m.ID, func(a *postern.Attempt) bool { attempts = append(attempts, *a); return true })
	same("attempts", []postern.Attempt{wantAttempt}, attempts, err)
	same("finals", []postern.Final{final}, finals, nil)
	got, err := s.Refusal(ctx, refusal.Source, refusal.ID)
	same("refusal", &wantRefusal, got, err)
	record, found, err := s.Dedupe(ctx, store.ScopeEvent, store.Digest{0, 255}, time.Time{})
	same("dedupe record", b.Accepts[0].Dedupe[0], record, err)
	if !found {
		t.Error("the dedupe record is not found")
	}
	var records []any
	err = s.Load(ctx, func(record any) error { records = append(records, record); return nil })
	same("catalogue", 3, len(records), err)
	// JSON tidies by itself, and keeps the NUL.
	if name, want := records[0].(*postern.Application).Name, strings.ToValidUTF8(awkward, "\ufffd\ufffd"); name != want {
		t.Errorf("an application's name: %q, want %q", name, want)
	}
}

// What a batch touches twice counts with its last word, in every part of it.
func TestLastWordCounts(t *testing.T) {
	s := open(t, cluster.Database(t), Options{})
	c := newCommitter(t)
	b := c.batch()
	m := b.Accepts[0].Message
	d := store.DeliveryKey{Application: 1, Endpoint: 1, Message: m.ID}
	row := func(generation uint64) *postern.Row {
		return &postern.Row{Endpoint: 1, Application: 1, Message: m.ID, Generation: generation, Next: c.head.LastTime, Wait: 1}
	}
	behind := func(endpoint postern.EndpointNumber, from byte) store.BehindRow {
		return store.BehindRow{Endpoint: endpoint, Application: 1, From: postern.MessageID{from}}
	}
	final := func(reason postern.Reason) postern.Final {
		return postern.Final{Endpoint: 1, Application: 1, Message: m.ID, State: postern.Canceled, Reason: reason, At: c.head.LastTime}
	}
	refusal := &postern.Refusal{ID: postern.RefusalID{1}, Source: postern.SourceID{2}, Reason: "a"}
	changed := *refusal
	changed.Reason = "b"
	gone := &postern.Refusal{ID: postern.RefusalID{2}, Source: postern.SourceID{2}}
	endpoint := &postern.Endpoint{Number: 1, Application: 1}
	try := func(response string) *postern.Attempt {
		return &postern.Attempt{ID: postern.AttemptID{1}, Message: m.ID, Application: 1, Endpoint: 1, N: 1, Response: []byte(response)}
	}
	b.Changes = []store.Change{{Put: endpoint}, {Delete: endpoint}, {Put: &postern.Endpoint{Number: 1, Application: 1, URL: "x"}}}
	b.Rows = []store.RowChange{{Put: row(1)}, {Delete: row(1)}, {Put: row(2)}, {Delete: row(2), Put: row(3)}}
	b.Dead = []store.DeadChange{{Key: d}, {Key: d, Delete: true}, {Key: d}}
	b.Finals = []postern.Final{final("a"), final("b")}
	b.Behind = []store.BehindChange{{Row: behind(1, 1)}, {Row: behind(1, 2)}, {Row: behind(2, 1)}, {Row: behind(2, 1), Delete: true}}
	b.Health = []store.HealthChange{{Endpoint: 1, Health: postern.Health{Failures: 1}}, {Endpoint: 1, Health: postern.Health{Failures: 2}}, {Endpoint: 2, Health: postern.Health{Failures: 2}}, {Endpoint: 2}}
	b.Refusals, b.DropRefusals = []*postern.Refusal{refusal, gone, &changed}, []*postern.Refusal{gone}
	b.Attempts, b.Redacted = []*postern.Attempt{try("a")}, []*postern.Attempt{try("b"), try("c")}
	digest := store.DedupeRecord{Scope: store.ScopeIdempotency, Digest: store.Digest{1}, Message: m.ID, Status: 201}
	b.Accepts[0].Dedupe = []store.DedupeRecord{digest}
	digest.Status = 204
	b.Answers = []store.DedupeRecord{digest}
	c.commit(s, b)

	ctx := t.Context()
	standing, err := s.Standing(ctx, d)
	if err != nil || standing.Row == nil || standing.Row.Generation != 3 || standing.Reason != "b" && standing.State != postern.Retrying {
		t.Errorf("standing %+v, %v", standing, err)
	}
	dead, err := s.Dead(ctx, 1, 1, store.Page{Limit: 9})
	if err != nil || len(dead.Messages) != 1 {
		t.Errorf("dead %+v, %v", dead, err)
	}
	rows, err := s.Behind(ctx)
	if err != nil || !slices.Equal(rows, []store.BehindRow{behind(1, 2)}) {
		t.Errorf("behind %+v, %v", rows, err)
	}
	refusals, err := s.Refusals(ctx, refusal.Source, store.Page{Limit: 9})
	if err != nil || len(refusals.Refusals) != 1 || refusals.Refusals[0].Reason != "b" {
		t.Errorf("refusals %+v, %v", refusals, err)
	}
	var responses []string
	finals, err := s.EachAttempt(ctx, 1, m.ID, func(a *postern.Attempt) bool { responses = append(responses, string(a.Response)); return true })
	if err != nil || !slices.Equal(responses, []string{"c"}) || len(finals) != 1 || finals[0].Reason != "b" {
		t.Errorf("attempts %v, finals %v, %v", responses, finals, err)
	}
	record, _, err := s.Dedupe(ctx, store.ScopeIdempotency, store.Digest{1}, time.Time{})
	if err != nil || record.Status != 204 {
		t.Errorf("record %+v, %v", record, err)
	}
	var loaded []string
	err = s.Load(ctx, func(r any) error {
		switch r := r.(type) {
		case *postern.Endpoint:
			loaded = append(loaded, "endpoint "+r.URL)
		case store.HealthChange:
			loaded = append(loaded, fmt.Sprintf("health %d %d", r.Endpoint, r.Health.Failures))
		}
		return nil
	})
	if err != nil || !slices.Equal(loaded, []string{"endpoint x", "health 1 2"}) {
		t.Errorf("catalogue %v, %v", loaded, err)
	}
}

// Arrays are read by PostgreSQL as what was put into them, also nested ones.
func TestArrays(t *testing.T) {
	s := open(t, cluster.Database(t), Options{})
	lists := [][]string{nil, {""}, {"a", "b"}, {`"`, `\`, `\"`, "{", "}", ",", " ", "NULL", "null"}, {"\t\n\r", "é\u2028"}, {awkward}}
	a := array{elem: typeText}
	a.reset()
	for _, list := range lists {
		a.texts(list)
	}
	conn := connect(t, s.address.config.ConnConfig.ConnString())
	result := conn.PgConn().ExecParams(t.Context(), "SELECT to_json(x::text[]) FROM unnest($1::text[]) x", [][]byte{a.value()}, []uint32{typeTexts}, []int16{1}, nil).Read()
	if result.Err != nil || len(result.Rows) != len(lists) {
		t.Fatalf("%d rows, %v", len(result.Rows), result.Err)
	}
	for i, row := range result.Rows {
		if (row[0] == nil) != (len(lists[i]) == 0) {
			t.Errorf("list %d is read as %q", i, row[0])
		}
		if row[0] == nil {
			continue
		}
		var got []string
		if err := conn.QueryRow(t.Context(), "SELECT coalesce(array_agg(x), '{}') FROM json_array_elements_text($1::json) x", string(row[0])).Scan(&got); err != nil {
			t.Fatal(err)
		}
		want := slices.Clone(lists[i])
		for n := range want {
			want[n] = clean(want[n])
		}
		if !slices.Equal(got, want) {
			t.Errorf("list %d: %q, want %q", i, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "plain", awkward, "\x00", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if !utf8.ValidString(got) || strings.Contains(got, "\x00") {
			t.Errorf("%q: PostgreSQL takes no %q", s, got)
		}
		if utf8.ValidString(s) && !strings.Contains(s, "\x00") && got != s {
			t.Errorf("%q became %q", s, got)
		}
	})
}

package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// catalogue is what Load gives, each record as JSON under its Go type, and
// application records before those that belong to them.
func catalogue(t *testing.T, s store.Store) map[string][]string {
	t.Helper()
	records := map[string][]string{}
	known := map[postern.ApplicationNumber]bool{0: true}
	err := s.Load(t.Context(), func(record any) error {
		var owner postern.ApplicationNumber
		switch r := record.(type) {
		case *postern.Application:
			known[r.Number] = true
		case *postern.Endpoint:
			owner = r.Application
		case *postern.Source:
			owner = r.Application
		case *postern.Key:
			owner = r.Application
		}
		if !known[owner] {
			t.Errorf("%T of application %d comes before it", record, owner)
		}
		text, err := json.Marshal(record)
		name := fmt.Sprintf("%T", record)
		records[name] = append(records[name], string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// want is what catalogue gives for these records.
func want(t *testing.T, records ...any) map[string][]string {
	t.Helper()
	list := map[string][]string{}
	for _, record := range records {
		text, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%T", record)
		list[name] = append(list[name], string(text))
	}
	return list
}

// testCatalogue: records are loaded as they were put, applications before what belongs
// to them, and go with their deletion; an endpoint's health goes with the endpoint.
func testCatalogue(t *testing.T, h Harness) {
	w := newWorld(t, h)
	at := w.now
	app := &postern.Application{ID: postern.ApplicationID(w.id()), Number: 1, UID: "one", Name: "One", Metadata: map[string]string{"k": "v"}, Version: 3, CreatedAt: at, UpdatedAt: at}
	later := &postern.Application{ID: postern.ApplicationID(w.id()), Number: 2, CreatedAt: at, UpdatedAt: at}
	kind := &postern.EventType{Name: "invoice.paid", Schemas: map[string][]byte{"1": []byte(`{}`)}, RetrySchedule: postern.RetrySchedule{time.Second}, CreatedAt: at, UpdatedAt: at}
	endpoint := &postern.Endpoint{
		ID: postern.EndpointID(w.id()), Number: 5, Application: 1, Kind: postern.HTTPEndpoint, URL: "https://example.com", RetrySchedule: postern.RetrySchedule{},
		Secrets: []postern.EndpointSecret{{Key: postern.Sealed{1, 2, 255}, CreatedAt: at}}, Headers: []postern.Header{{Name: "x-A", Value: "b"}}, CreatedAt: at, UpdatedAt: at,
	}
	source := &postern.Source{ID: postern.SourceID(w.id()), Application: 1, Provider: "github", Token: postern.Sealed{9}, TokenHash: [32]byte{1}, Config: map[string]string{"a": "b"}, CreatedAt: at, UpdatedAt: at}
	admin := &postern.Key{ID: postern.KeyID(w.id()), Name: "admin", Scope: postern.ScopeAdmin, Hash: [32]byte{7}, CreatedAt: at, ExpiresAt: at}
	scoped := &postern.Key{ID: postern.KeyID(w.id()), Scope: postern.ScopeApplication, Application: 1, CreatedAt: at, ExpiresAt: at}
	replay := &postern.Replay{
		ID: postern.ReplayID(w.id()), Application: 1, To: 5, Origin: postern.OriginReplay, State: postern.ReplayRunning, Rate: 7,
		Selection: postern.Selection{From: 5, Status: postern.StatusFailed, EventTypes: []string{"a"}, Since: at, Until: at.Add(time.Hour)},
		Cursor:    postern.MessageID(w.id()), Examined: 5, Replayed: 3, Skipped: 1, Total: 9, CreatedAt: at, UpdatedAt: at,
	}
	health := store.HealthChange{Endpoint: 5, Health: postern.Health{FailingSince: at, Failures: 7, Disabled: postern.DisabledFailing, DisabledAt: at.Add(time.Hour)}}
	var batch store.Batch
	for _, record := range []any{scoped, replay, endpoint, source, app, kind, admin, later} {
		batch.Changes = append(batch.Changes, store.Change{Put: record})
	}
	batch.Health = []store.HealthChange{health}
	w.commit(batch)
	w.everywhere(func(t *testing.T) {
		equal(t, "catalogue", want(t, app, later, kind, endpoint, source, admin, scoped, replay, health), catalogue(t, w.s))
	})
	changed := *endpoint
	changed.URL, changed.Disabled = "https://example.org", true
	w.commit(store.Batch{
		Changes: []store.Change{{Put: &changed}, {Delete: source}, {Delete: kind}, {Delete: scoped}, {Delete: replay}},
		Health:  []store.HealthChange{{Endpoint: 5}},
	})
	w.everywhere(func(t *testing.T) {
		equal(t, "catalogue", want(t, app, later, &changed, admin), catalogue(t, w.s))
	})
	w.commit(store.Batch{Health: []store.HealthChange{health}})
	w.commit(store.Batch{Changes: []store.Change{{Delete: &changed}}})
	equal(t, "after its endpoint went", want(t, app, later, admin), catalogue(t, w.s))
	stop := errors.New("stop")
	if err := w.s.Load(t.Context(), func(any) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Load with a failing callback: %v", err)
	}
}

// testDeleteApplication: its history and all that belongs to it goes, its
// neighbours' stays.
func testDeleteApplication(t *testing.T, h Harness) {
	w := newWorld(t, h)
	doomed := &postern.Application{Number: 5}
	neighbour := &postern.Application{Number: 6}
	endpoint := &postern.Endpoint{Number: 1, Application: 5}
	w.commit(store.Batch{
		Changes: []store.Change{{Put: doomed}, {Put: neighbour}, {Put: endpoint}, {Put: &postern.Source{ID: postern.SourceID{1}, Application: 5}}, {Put: &postern.Key{ID: postern.KeyID{1}, Application: 5}}, {Put: &postern.Replay{ID: postern.ReplayID{1}, Application: 5}}},
		Health:  []store.HealthChange{{Endpoint: 1, Health: postern.Health{FailingSince: w.now}}},
	})
	messages := fill(w, 40, nil)
	for i, m := range messages {
		w.commit(store.Batch{Attempts: []*postern.Attempt{w.attempt(m, 1, 1, postern.Dead)}, Dead: []store.DeadChange{{Key: key(m, 1)}}})
		if i == 20 {
			w.commit(store.Batch{Rows: []store.RowChange{{Put: w.row(m, 1, 1, time.Hour)}}})
		}
	}
	w.commit(store.Batch{Changes: []store.Change{{Delete: doomed}}})
	w.everywhere(func(t *testing.T) {
		ctx := t.Context()
		equal(t, "catalogue", want(t, neighbour), catalogue(t, w.s))
		for _, m := range messages {
			_, err1 := w.s.Message(ctx, 5, m.ID)
			_, err2 := w.s.Content(ctx, 5, m.ID)
			if !errors.Is(err1, postern.ErrNotFound) || !errors.Is(err2, postern.ErrNotFound) {
				t.Fatalf("message of a deleted application: %v, %v", err1, err2)
			}
		}
		if standing := must[store.Standing](t)(w.s.Standing(ctx, key(messages[0], 1))); standing.Message || standing.Attempts != 0 {
			t.Errorf("a delivery of it: %+v", standing)
		}
		if page := must[store.AttemptPage](t)(w.s.EndpointAttempts(ctx, 5, 1, store.AttemptFilter{}, store.Page{Limit: 100})); len(page.Attempts) != 0 {
			t.Errorf("%d attempts of its endpoint", len(page.Attempts))
		}
		if page := must[store.DeadPage](t)(w.s.Dead(ctx, 5, 1, store.Page{Limit: 100})); len(page.Messages) != 0 {
			t.Errorf("%d dead deliveries of its endpoint", len(page.Messages))
		}
		if n := len(messagePages(t, w.s, 6, store.MessageFilter{}, store.Page{Limit: 100})); n != 40 {
			t.Errorf("%d messages of its neighbour, want 40", n)
		}
		if err := CheckCover(ctx, w.s); err != nil {
			t.Error(err)
		}
	})
}

// testDropDay: a day goes with all older ones, whole, and nothing younger.
func testDropDay(t *testing.T, h Harness) {
	w := newWorld(t, h)
	if _, ok, err := w.s.OldestDay(t.Context()); ok || err != nil {
		t.Fatalf("oldest day of a new store: %t, %v", ok, err)
	}
	messages := fill(w, 60, nil)
	for _, m := range messages {
		w.commit(store.Batch{Attempts: []*postern.Attempt{w.attempt(m, 1, 1, postern.Dead)}, Dead: []store.DeadChange{{Key: key(m, 1)}}})
	}
	oldest, ok, err := w.s.OldestDay(t.Context())
	if err != nil || !ok || oldest != store.DayOf(messages[0].CreatedAt()) {
		t.Fatalf("oldest day: %d, %t, %v", oldest, ok, err)
	}
	drop := store.DayOf(messages[30].CreatedAt())
	w.commit(store.Batch{DropDay: drop})
	var kept []*postern.Message
	for _, m := range messages {
		if store.DayOf(m.CreatedAt()) > drop {
			kept = append(kept, m)
		}
	}
	if len(kept) == 0 || len(kept) == len(messages) {
		t.Fatalf("the test keeps %d of %d", len(kept), len(messages))
	}
	w.everywhere(func(t *testing.T) {
		ctx := t.Context()
		equal(t, "messages", ids(kept...), messagePages(t, w.s, 5, store.MessageFilter{}, store.Page{Limit: 7, Ascending: true}))
		page := must[store.DeadPage](t)(w.s.Dead(ctx, 5, 1, store.Page{Limit: 100, Ascending: true}))
		equal(t, "dead", ids(kept...), page.Messages)
		if day, ok, err := w.s.OldestDay(ctx); err != nil || !ok || day != store.DayOf(kept[0].CreatedAt()) {
			t.Errorf("oldest day: %d, %t, %v", day, ok, err)
		}
		if standing := must[store.Standing](t)(w.s.Standing(ctx, key(messages[0], 1))); standing.Message || standing.Final {
			t.Errorf("a delivery of a dropped message: %+v", standing)
		}
		if n := len(recoverAll(t, w.s, 0)); n < len(kept) {
			t.Errorf("Recover gives %d messages, %d are kept", n, len(kept))
		}
	})
}

// testDropDayFreesEvents: an event's digest is free once its message is gone,
// and taken anew in the same batch or a later one, it stays.
func testDropDayFreesEvents(t *testing.T, h Harness) {
	for _, apart := range []bool{true, false} {
		w := newWorld(t, h)
		record := func() store.Batch {
			a := w.accept(1, 1)
			a.Dedupe = []store.DedupeRecord{{Scope: store.ScopeEvent, Digest: store.Digest{1}, Message: a.Message.ID}}
			return store.Batch{Accepts: []store.Accept{a}}
		}
		found := func() postern.MessageID {
			t.Helper()
			r, _, err := w.s.Dedupe(t.Context(), store.ScopeEvent, store.Digest{1}, time.Unix(0, 0))
			if err != nil {
				t.Fatal(err)
			}
			return r.Message
		}
		w.commit(record())
		w.advance(72 * time.Hour)
		if apart {
			w.commit(store.Batch{DropDay: store.DayOf(start())})
			if got := found(); !got.IsZero() {
				t.Errorf("a dropped message's event is still known: %s", got)
			}
		}
		second := record()
		second.DropDay = store.DayOf(start())
		w.commit(second)
		for range 5 { // whatever sweeps afterwards must leave the new record
			w.publish(1, 1)
		}
		if got := found(); got != second.Accepts[0].Message.ID {
			t.Errorf("apart %t: the second event: %s, want %s", apart, got, second.Accepts[0].Message.ID)
		}
	}
}

// testUsage: figures that a driver does not know are 0, and never below.
func testUsage(t *testing.T, h Harness) {
	w := newWorld(t, h)
	if err := w.s.Admit(); err != nil {
		t.Errorf("Admit of a new store: %v", err)
	}
	w.publish(1, 1)
	usage := must[store.Usage](t)(w.s.Usage(t.Context()))
	if usage.Full || usage.FreeBytes < 0 || usage.Bytes < 0 {
		t.Errorf("usage of a new store: %+v", usage)
	}
}

// testCheckpoint: a copy is made beside batches that come, and into no folder that is
// there; or it is refused, where NoCheckpoint says so.
func testCheckpoint(t *testing.T, h Harness) {
	w := newWorld(t, h)
	w.publish(1, 1)
	dir := t.TempDir() + "/copy"
	if w.s.Capabilities().NoCheckpoint {
		if err := w.s.Checkpoint(t.Context(), dir); err == nil || postern.KindOf(err) != postern.Conflict {
			t.Errorf("a checkpoint that cannot be: %v, want an error of kind conflict", err)
		}
		return
	}
	if err := w.s.Checkpoint(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if err := w.s.Checkpoint(t.Context(), dir); err == nil {
		t.Error("a second checkpoint into the same directory")
	}
	w.publish(1, 1)
}

// testClosed: a store is closed as often as one likes, and then takes and tells nothing.
func testClosed(t *testing.T, h Harness) {
	w := newWorld(t, h)
	w.publish(1, 1)
	for range 2 {
		if err := w.s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	next := store.Batch{Accepts: []store.Accept{w.accept(1, 1)}}
	w.seal(&next)
	if err := w.s.Commit(t.Context(), &next); err == nil {
		t.Error("Commit on a closed store")
	}
	if _, err := w.s.Messages(t.Context(), 1, store.MessageFilter{}, store.Page{Limit: 1}); err == nil {
		t.Error("Messages of a closed store")
	}
}

// testCover: the check sees each kind of cover, and sees when there is none.
func testCover(t *testing.T, h Harness) {
	w := newWorld(t, h)
	var changes []store.Change
	changes = append(changes, store.Change{Put: &postern.Application{Number: 1}})
	for n := range 5 {
		changes = append(changes, store.Change{Put: &postern.Endpoint{Number: postern.EndpointNumber(n + 1), Application: 1}})
	}
	w.commit(store.Batch{Changes: changes})
	m := w.publish(1, 1, 2, 3, 4, 5, 6) // 6 is no endpoint
	check := func(covered bool, what string) {
		t.Helper()
		if err := CheckCover(t.Context(), w.s); (err == nil) != covered {
			t.Errorf("%s: cover: %v", what, err)
		}
	}
	check(true, "by its position")
	row := w.row(m, 1, 1, time.Minute)
	w.head.Low = 2
	w.commit(store.Batch{
		Attempts: []*postern.Attempt{w.attempt(m, 1, 1, postern.Retrying), w.attempt(m, 2, 1, postern.Delivered)},
		Rows:     []store.RowChange{{Put: row}},
		Finals:   []postern.Final{{Endpoint: 3, Application: 1, Message: m.ID, State: postern.Canceled, At: w.now}},
		Behind:   []store.BehindChange{{Row: store.BehindRow{Endpoint: 4, Application: 1, From: m.ID}}},
	})
	check(false, "endpoint 5 has nothing")
	w.commit(store.Batch{Changes: []store.Change{{Delete: &postern.Endpoint{Number: 5, Application: 1}}}})
	check(true, "row, attempt, final record, behind row and no endpoint")
	w.commit(store.Batch{Rows: []store.RowChange{{Delete: row}}})
	check(false, "a failed try without its row")
	w.commit(store.Batch{Rows: []store.RowChange{{Put: row}}, Behind: []store.BehindChange{{Row: store.BehindRow{Endpoint: 4, Application: 1, From: w.message(1).ID}}}})
	check(false, "a behind row that begins too late")
}

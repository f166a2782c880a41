package catalogue_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/catalogue"
	"github.com/postern-dev/postern/sign"
	"github.com/postern-dev/postern/store"
)

func TestCreateEndpoint(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	view := w.endpoint(app, func(e *postern.Endpoint) { e.UID = "main" })

	if view.Number != 1 || view.Kind != postern.HTTPEndpoint || view.Version != 1 || view.CreatedAt.IsZero() {
		t.Errorf("not filled in: %+v", view.Endpoint)
	}
	secret, err := w.secrets.Open(view.Secrets[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	if key, err := sign.ParseKey(string(secret)); err != nil || key.Kind() != sign.Symmetric {
		t.Errorf("the secret is no signing key: %v", err)
	}
	for _, ref := range []string{"main", view.ID.String()} {
		if got, err := w.Endpoint(app.Number, ref); err != nil || got != view {
			t.Errorf("Endpoint(%q) = %v, %v", ref, got, err)
		}
	}
	if w.EndpointByNumber(1) != view || w.Entry(1).View() != view {
		t.Error("not found by number")
	}
	other := w.application("other")
	for _, ref := range []string{"main", view.ID.String(), "ep_broken", ""} {
		_, err := w.Endpoint(other.Number, ref)
		wantKind(t, err, postern.NotFound)
	}
	if diff := cmp.Diff([]postern.EndpointNumber{1}, w.tellings()); diff != "" {
		t.Errorf("told: %s", diff)
	}
}

func TestEndpointChangesCarryTheVersion(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	version := func() uint64 { return w.Snapshot(app.Number).Application.Version }
	view := w.endpoint(app, nil)
	if version() != 2 {
		t.Errorf("version %d after a creation, want 2", version())
	}
	_, err := w.UpdateEndpoint(t.Context(), app.Number, view.Number, false, func(e *postern.Endpoint) error {
		e.Description = "new"
		return nil
	})
	if err != nil || version() != 3 {
		t.Errorf("version %d after an update (%v), want 3", version(), err)
	}
	if err := w.DeleteEndpoint(t.Context(), app.Number, view.Number); err != nil || version() != 4 {
		t.Errorf("version %d after a deletion (%v), want 4", version(), err)
	}
	for i, b := range w.store.batches[1:] {
		if len(b.changes) != 2 {
			t.Errorf("batch %d has %d changes, want the endpoint and its application", i, len(b.changes))
		}
	}
	if got := w.load(store.Head{}).Snapshot(app.Number).Application.Version; got != 4 {
		t.Errorf("version %d after a restart, want 4", got)
	}
}

func TestUpdateEndpointKeepsWhatIsNotItsOwners(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	before := w.endpoint(app, nil)
	channels := []string{"eu"}
	after, err := w.UpdateEndpoint(t.Context(), app.Number, before.Number, false, func(e *postern.Endpoint) error {
		*e = postern.Endpoint{URL: "https://example.org/", Kind: e.Kind, Version: 7, Secrets: e.Secrets, Channels: channels}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	channels[0] = "mine"
	if after.ID != before.ID || after.Number != before.Number || after.Application != app.Number || !after.CreatedAt.Equal(before.CreatedAt) {
		t.Errorf("identity changed: %+v", after.Endpoint)
	}
	if after.Channels[0] != "eu" {
		t.Error("the record shares memory with its caller")
	}
	if before.URL != "https://example.com/" || before.Channels != nil {
		t.Error("a record that readers have was changed")
	}
}

func TestEndpointUIDs(t *testing.T) {
	w := newWorld(t)
	one, two := w.application("one"), w.application("two")
	first := w.endpoint(one, func(e *postern.Endpoint) { e.UID = "main" })
	w.endpoint(two, func(e *postern.Endpoint) { e.UID = "main" }) // another application's

	_, err := w.CreateEndpoint(t.Context(), postern.Endpoint{Application: one.Number, URL: "https://example.com/", UID: "main"})
	wantKind(t, err, postern.Conflict)
	second := w.endpoint(one, nil)
	rename := func(n postern.EndpointNumber, uid string) error {
		_, err := w.UpdateEndpoint(t.Context(), one.Number, n, false, func(e *postern.Endpoint) error {
			e.UID = uid
			return nil
		})
		return err
	}
	wantKind(t, rename(second.Number, "main"), postern.Conflict)
	if err := rename(first.Number, "moved"); err != nil {
		t.Fatal(err)
	}
	if err := rename(second.Number, "main"); err != nil {
		t.Errorf("a uid that was given up is not free: %v", err)
	}
	if got, err := w.Endpoint(one.Number, "main"); err != nil || got.ID != second.ID {
		t.Errorf("main is %v, %v", got, err)
	}
	if err := w.DeleteEndpoint(t.Context(), one.Number, second.Number); err != nil {
		t.Fatal(err)
	}
	if err := rename(first.Number, "main"); err != nil {
		t.Errorf("the uid of a deleted endpoint is not free: %v", err)
	}
}

func TestDeleteEndpoint(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	view := w.endpoint(app, func(e *postern.Endpoint) { e.UID = "main" })
	w.store.settle(view.Number, postern.Health{FailingSince: time.Now()})
	entry := w.Entry(view.Number)
	w.tellings()
	if err := w.DeleteEndpoint(t.Context(), app.Number, view.Number); err != nil {
		t.Fatal(err)
	}
	if !entry.View().Deleted || w.Entry(view.Number) != nil || w.EndpointByNumber(view.Number) != nil {
		t.Error("the endpoint is still there")
	}
	for _, ref := range []string{"main", view.ID.String()} {
		_, err := w.Endpoint(app.Number, ref)
		wantKind(t, err, postern.NotFound)
	}
	if routes := w.Snapshot(app.Number).Routes.Match("a", nil); routes != nil {
		t.Errorf("still routed to: %v", routes)
	}
	if health := w.store.last().health; len(health) != 1 || health[0].Health != (postern.Health{}) {
		t.Errorf("its health stays in the store: %v", health)
	}
	if told := w.tellings(); !slices.Equal(told, []postern.EndpointNumber{view.Number}) {
		t.Errorf("told %v", told)
	}
	wantKind(t, w.DeleteEndpoint(t.Context(), app.Number, view.Number), postern.NotFound)
	if next := w.endpoint(app, nil); next.Number != 2 {
		t.Errorf("number %d, want 2: numbers are never used again", next.Number)
	}
}

func TestRoutesFollowChanges(t *testing.T) {
	w := newWorld(t)
	w.eventType("user.created")
	app := w.application("acme")
	match := func(channels ...string) []postern.EndpointNumber {
		return w.Snapshot(app.Number).Routes.Match("user.created", channels)
	}
	if match() != nil {
		t.Errorf("routed to %v without endpoints", match())
	}
	view := w.endpoint(app, func(e *postern.Endpoint) { e.EventTypes = []string{"user.created"} })
	update := func(fn func(*postern.Endpoint)) {
		t.Helper()
		_, err := w.UpdateEndpoint(t.Context(), app.Number, view.Number, false, func(e *postern.Endpoint) error {
			fn(e)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		change   func(*postern.Endpoint)
		channels []string
		routed   bool
	}{
		{func(*postern.Endpoint) {}, nil, true},
		{func(e *postern.Endpoint) { e.Paused = true }, nil, true},
		{func(e *postern.Endpoint) { e.Disabled = true }, nil, false},
		{func(e *postern.Endpoint) { e.Disabled = false }, nil, true},
		{func(e *postern.Endpoint) { e.Channels = []string{"eu"} }, nil, false},
		{func(*postern.Endpoint) {}, []string{"eu"}, true},
		{func(e *postern.Endpoint) { e.EventTypes = []string{"invoice.*"} }, []string{"eu"}, false},
	} {
		update(step.change)
		if routed := len(match(step.channels...)) == 1; routed != step.routed {
			t.Errorf("routed %t, want %t, to %+v", routed, step.routed, w.EndpointByNumber(view.Number).Endpoint)
		}
	}
}

func TestHealth(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	view := w.endpoint(app, nil)
	routed := func() bool { return len(w.Snapshot(app.Number).Routes.Match("a", nil)) == 1 }
	w.tellings()

	failing := postern.Health{FailingSince: time.Now().UTC().Truncate(time.Millisecond)}
	w.store.settle(view.Number, failing)
	if got := w.EndpointByNumber(view.Number).Health; got != failing || !routed() || w.tellings() != nil {
		t.Errorf("failing: health %+v, routed %t", got, routed())
	}
	gone := failing
	gone.Disabled, gone.DisabledAt = postern.DisabledGone, failing.FailingSince
	w.store.settle(view.Number, gone)
	if routed() || len(w.tellings()) != 1 {
		t.Error("a disabled endpoint is routed to, or nobody was told")
	}
	if got := w.load(store.Head{}).EndpointByNumber(view.Number).Health; got != gone {
		t.Errorf("after a restart: %+v, want %+v", got, gone)
	}
	keep := func(*postern.Endpoint) error { return nil }
	if _, err := w.UpdateEndpoint(t.Context(), app.Number, view.Number, false, keep); err != nil {
		t.Fatal(err)
	}
	if w.EndpointByNumber(view.Number).Enabled() {
		t.Error("an update without enable enabled it")
	}
	enabled, err := w.UpdateEndpoint(t.Context(), app.Number, view.Number, true, keep)
	if err != nil {
		t.Fatal(err)
	}
	if enabled.Health != (postern.Health{}) || !routed() {
		t.Errorf("enabled: health %+v, routed %t", enabled.Health, routed())
	}
	if last := w.store.last(); len(last.changes) != 2 || len(last.health) != 1 {
		t.Errorf("%d changes and %d healths in the batch, want 2 and 1", len(last.changes), len(last.health))
	}
	w.ApplyHealth(999, gone) // of an endpoint that is deleted: nothing to do
}

// TestHealthDuringAnUpdate: what is settled while an update commits is in the
// store, so it has to be in the view, and the update as well.
func TestHealthDuringAnUpdate(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	view := w.endpoint(app, nil)
	gone := postern.Health{Disabled: postern.DisabledGone, DisabledAt: time.Now()}
	w.store.before = func([]store.Change) error {
		w.store.settle(view.Number, gone)
		return nil
	}
	update := func(enable bool) *postern.EndpointView {
		t.Helper()
		after, err := w.UpdateEndpoint(t.Context(), app.Number, view.Number, enable, func(e *postern.Endpoint) error {
			e.Description += "x"
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return after
	}
	if after := update(false); after.Health != gone || after.Description != "x" {
		t.Errorf("got %+v", after)
	}
	if routes := w.Snapshot(app.Number).Routes.Match("a", nil); routes != nil {
		t.Errorf("routed to a disabled endpoint: %v", routes)
	}
	if after := update(true); after.Health != (postern.Health{}) || !after.Enabled() {
		t.Errorf("an enabling that was stored later is lost: %+v", after.Health)
	}
}

func TestSecretsOfEndpoints(t *testing.T) {
	w := newWorld(t)
	app := w.application("acme")
	now := time.Now()
	given := []postern.EndpointSecret{{Key: postern.Sealed("own")}}
	view := w.endpoint(app, func(e *postern.Endpoint) { e.Secrets = given })
	if string(view.Secrets[0].Key) != "own" || len(view.Secrets) != 1 {
		t.Error("a given secret was replaced")
	}
	set := func(old int, until time.Time) error {
		_, err := w.UpdateEndpoint(t.Context(), app.Number, view.Number, false, func(e *postern.Endpoint) error {
			e.Secrets = slices.Clone(given)
			for i := range old {
				e.Secrets = append(e.Secrets, postern.EndpointSecret{Key: postern.Sealed(fmt.Sprint(i)), ExpiresAt: until})
			}
			return nil
		})
		return err
	}
	if err := set(10, now.Add(time.Hour)); err != nil {
		t.Errorf("ten old secrets: %v", err)
	}
	err := set(11, now.Add(time.Hour))
	wantKind(t, err, postern.Invalid)
	if diff := cmp.Diff("limit_reached", err.(*postern.Error).Code); diff != "" {
		t.Error(diff)
	}
	if err := set(50, now.Add(-time.Second)); err != nil {
		t.Errorf("expired secrets count: %v", err)
	}
	if n := len(w.EndpointByNumber(view.Number).Secrets); n != 1 {
		t.Errorf("%d secrets kept, want the living one", n)
	}
}

func TestEventTypesOfEndpointsExist(t *testing.T) {
	w := newWorld(t)
	w.eventType("user.created")
	app := w.application("acme")
	view := w.endpoint(app, func(e *postern.Endpoint) {
		e.EventTypes = []string{"user.created", "nobody.knows.*", "user.created"}
	})
	if diff := cmp.Diff([]string{"user.created", "nobody.knows.*"}, view.EventTypes); diff != "" {
		t.Errorf("repeated entries: %s", diff)
	}
	choose := func(types ...string) error {
		_, err := w.UpdateEndpoint(t.Context(), app.Number, view.Number, false, func(e *postern.Endpoint) error {
			e.EventTypes = types
			return nil
		})
		return err
	}
	wantKind(t, choose("user.deleted"), postern.Invalid)
	if err := w.DeleteEventType(t.Context(), "user.created"); err != nil {
		t.Fatal(err)
	}
	if err := choose("user.created"); err != nil {
		t.Errorf("an old selection stands in the way: %v", err)
	}
	if err := choose(); err != nil {
		t.Fatal(err)
	}
	wantKind(t, choose("user.created"), postern.Invalid)
}

// An older snapshot stays what it was while endpoints are created, also where
// the list is shared.
func TestSnapshotsStayWhileEndpointsAreCreated(t *testing.T) {
	c := instantly(t)
	fill(t, c, 1, 1)
	var snapshots []*catalogue.Snapshot
	for range 20 {
		snapshots = append(snapshots, c.Snapshot(1))
		if _, err := c.CreateEndpoint(t.Context(), postern.Endpoint{Application: 1, URL: "https://example.com/"}); err != nil {
			t.Fatal(err)
		}
		// A deletion has the list begin anew.
		if len(snapshots)%7 == 0 {
			if err := c.DeleteEndpoint(t.Context(), 1, postern.EndpointNumber(len(snapshots))); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, s := range snapshots {
		if got, want := len(s.Routes.Match("invoice.paid", nil)), 1+i-i/7; got != want {
			t.Errorf("snapshot %d matches %d endpoints, want %d", i, got, want)
		}
	}
	list, _ := c.Endpoints(1, postern.ListPage{Limit: 100})
	if got, want := len(list), 21-2; got != want {
		t.Errorf("%d endpoints are listed, want %d", got, want)
	}
}

// What a creation allocates does not grow with the application.
func TestCreationCostsTheSameInALargeApplication(t *testing.T) {
	cost := func(endpoints int) uint64 {
		const rounds = 200
		c := instantly(t)
		fill(t, c, 1, endpoints)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range rounds {
			if _, err := c.CreateEndpoint(t.Context(), postern.Endpoint{Application: 1, URL: "https://example.com/"}); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / rounds
	}
	small, large := cost(10), cost(5000)
	t.Logf("%d bytes beside 10 endpoints, %d beside 5,000", small, large)
	if large > 2*small+1024 { // a list may have to be moved once
		t.Errorf("%d bytes beside 10 endpoints, %d beside 5,000", small, large)
	}
}

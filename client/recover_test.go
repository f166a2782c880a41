package client_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
)

// await waits for something that should happen soon.
func await(t *testing.T, what string, happened func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !happened() {
		select {
		case <-deadline:
			t.Fatalf("it does not happen that %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// awaitReceived waits until so much was delivered.
func (w *world) awaitReceived(t *testing.T, n int) {
	t.Helper()
	await(t, "so much is delivered", func() bool { return len(w.received()) >= n })
}

// answer has the receiver answer with a status from now on.
func (w *world) answer(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fails = status
}

// TestRecover gives an endpoint what it missed, what failed there and what did
// not, in turn.
func TestRecover(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.answer(http.StatusTeapot)
	must[*client.Application](t)(w.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}))
	in := client.MessageIn{EventType: "a", Payload: json.RawMessage(`{}`), Tags: []string{"t"}}
	must[*client.Message](t)(w.Messages.Create(ctx, "shop", in))
	must[*client.Endpoint](t)(w.Endpoints.Create(ctx, "shop", client.EndpointIn{URL: w.hooks, UID: "a", RetrySchedule: []float64{3600}}))
	span := client.Span{Since: time.Now().Add(-time.Hour)}
	finishes := func(task *client.Task, kind string) {
		t.Helper()
		await(t, kind+" ends", func() bool {
			task = must[*client.Task](t)(w.Tasks.Get(ctx, task.ID.String()))
			return task.Status != "running"
		})
		if task.Status != "finished" || task.Task != kind || task.Data.ReplayID == nil {
			t.Errorf("the task: %+v", task)
		}
	}
	awaitState := func(state string) {
		t.Helper()
		await(t, "the delivery is "+state, func() bool {
			return len(collect(t, w.Deliveries.All(ctx, "shop", client.DeliveryFilter{State: state}))) == 1
		})
	}
	finishes(must[*client.Task](t)(w.Endpoints.ReplayMissing(ctx, "shop", "a", span)), "endpoint.replay")
	// It is retrying once the replay has put it there, and has failed only then.
	await(t, "the first try is recorded", func() bool {
		return len(collect(t, w.Attempts.AtEndpoint(ctx, "shop", "a", client.History{}))) == 1
	})
	awaitState("retrying")
	w.answer(0)
	finishes(must[*client.Task](t)(w.Endpoints.Recover(ctx, "shop", "a", span)), "endpoint.recover")
	awaitState("delivered")
	finishes(must[*client.Task](t)(w.Endpoints.BulkReplay(ctx, "shop", "a", client.BulkReplayIn{Span: span, Status: "fail"})), "endpoint.bulk-replay")
	chosen := client.BulkReplayIn{Span: span, Status: "success", EventTypes: []string{"a"}, Tag: "t"}
	finishes(must[*client.Task](t)(w.Endpoints.BulkReplay(ctx, "shop", "a", chosen)), "endpoint.bulk-replay")
	w.awaitReceived(t, 3)
	if all := w.received(); len(all) != 3 {
		t.Errorf("what did not fail was sent: %q", all)
	}
	_, unknown := w.Endpoints.BulkReplay(ctx, "shop", "a", client.BulkReplayIn{Span: span, Status: "lost"})
	_, long := w.Endpoints.Recover(ctx, "shop", "a", client.Span{Since: time.Now().AddDate(0, 0, -15)})
	_, ever := w.Endpoints.ReplayMissing(ctx, "shop", "a", client.Span{})
	_, before := w.Endpoints.ReplayMissing(ctx, "shop", "a", client.Span{Since: span.Since, Until: span.Since.Add(-time.Hour)})
	for about, err := range map[string]error{"an unknown status": unknown, "long ago": long, "since ever": ever, "until before since": before} {
		if !errors.Is(err, postern.ErrInvalid) {
			t.Errorf("%s: %v", about, err)
		}
	}
}

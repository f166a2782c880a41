package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/tail"
)

// newKey makes a key and returns its token and what revokes it.
func (w *world) newKey(body string) (token string, revoke func()) {
	w.t.Helper()
	made := w.want(201, "POST", "/key", body)
	token, _ = made["token"].(string)
	id, err := postern.ParseKeyID(made["id"].(string)) //nolint:forcetypeassert // the test fails either way
	if err != nil {
		w.t.Fatal(err)
	}
	return token, func() {
		if err := w.cat.DeleteKey(context.Background(), id); err != nil {
			w.t.Error(err)
		}
	}
}

// firstWrite is a client that sees to something once it was told an event.
type firstWrite struct {
	*httptest.ResponseRecorder
	writes int
	then   func()
}

func (f *firstWrite) Write(p []byte) (int, error) {
	if !strings.Contains(string(p), "event: ") {
		return f.ResponseRecorder.Write(p)
	}
	if f.writes++; f.writes == 1 {
		f.then()
	}
	return f.ResponseRecorder.Write(p)
}

// TestTailOfARevokedKey: once a key is revoked nothing more is told to it,
// neither of what happens nor of what has happened.
func TestTailOfARevokedKey(t *testing.T) {
	f := newTailed(t)
	start := f.horizon()
	for range 400 { // more than is written at once
		f.publish("shop", "invoice.paid")
	}
	token, revoke := f.newKey(`{"name":"k","scope":"read-only","application":"shop"}`)
	r := httptest.NewRequest("GET", Prefix+"/tail", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Last-Event-ID", start)
	client := &firstWrite{ResponseRecorder: httptest.NewRecorder(), then: revoke}
	f.handler.ServeHTTP(client, r)
	if told := strings.Count(client.Body.String(), "event: message"); client.writes != 1 || told == 0 || told > 200 {
		t.Errorf("%d writes, %d messages told", client.writes, told)
	}
}

// horizon is where a tail that begins now stands.
func (f *tailed) horizon() string {
	head, err := f.store.Head(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return tail.Horizon(head).String()
}

// TestRepetitionOfARevokedKey: who waits for the first copy of a request, with
// a key that is revoked meanwhile, gets in no more than anybody else.
func TestRepetitionOfARevokedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.must("/app", `{"name":"Shop","uid":"shop"}`)
		w.unobserved()
		h, ok := w.handler.(*handler)
		if !ok {
			t.Fatal("another handler")
		}
		publisher := &stuck{world: w, let: make(chan struct{})}
		h.Publisher = publisher
		token, revoke := w.newKey(`{"name":"k","scope":"publish-only"}`)
		answers := make(chan int, 2)
		for range 2 {
			go func() {
				answers <- w.keyed(token, "one", "POST", "/app/shop/msg", `{"eventType":"a","payload":{}}`).StatusCode
			}()
			synctest.Wait()
		}
		revoke()
		close(publisher.let)
		if first, second := <-answers, <-answers; first+second != http.StatusAccepted+http.StatusUnauthorized || publisher.published != 1 {
			t.Errorf("%d and %d, %d messages", first, second, publisher.published)
		}
	})
}

// TestWaitOfARevokedKey: the message is accepted, and what became of it is no
// longer the key's business.
func TestWaitOfARevokedKey(t *testing.T) {
	var revoke func()
	fate := func(w *world, m *postern.Message) {
		revoke()
		w.tried(m, 1, postern.Delivered, 0)
		w.tried(m, 2, postern.Delivered, 0)
	}
	waiting(t, time.Second, fate, func(w *world) {
		var token string
		token, revoke = w.newKey(`{"name":"k","scope":"publish-only"}`)
		got := w.as(token, "POST", waitPath, `{"eventType":"a","payload":{"n":1}}`)
		if got.StatusCode != 202 || strings.Contains(got.body, "delivered") || !strings.Contains(got.body, `"moreDeliveries":true`) {
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
	})
}

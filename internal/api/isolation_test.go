package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// TestCallsDoNotMix has requests share calls and buffers, and looks whether any
// gets another's answer. It is for the race detector too.
func TestCallsDoNotMix(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	h, ok := w.handler.(*handler)
	if !ok {
		t.Fatal("another handler")
	}
	h.Publisher, h.Observe = &echo{}, func(string, int, time.Duration) {}
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 200 {
				name := fmt.Sprintf("e-%d-%d", worker, i)
				body := fmt.Sprintf(`{"eventType":"a","eventId":"%s","payload":{"of":"%s","pad":"%s"}}`, name, name, strings.Repeat("x", i*7))
				r := httptest.NewRequest("POST", Prefix+"/app/shop/msg", strings.NewReader(body))
				r.Header.Set("Authorization", "Bearer "+adminToken)
				rw := httptest.NewRecorder()
				h.ServeHTTP(rw, r)
				if strings.Count(rw.Body.String(), name) != 2 || rw.Code != http.StatusAccepted {
					t.Errorf("%s got %d %s", name, rw.Code, rw.Body)
				}
			}
		})
	}
	group.Wait()
}

// echo accepts without keeping anything.
type echo struct{ instant }

func (*echo) Publish(_ context.Context, in postern.Publish) (*postern.Message, bool, error) {
	return &postern.Message{ID: postern.MessageID{1}, EventType: in.EventType, EventID: in.EventID, ContentType: in.ContentType}, false, nil
}

func TestDeletedEndpoint(t *testing.T) {
	s := newStory(t)
	s.want(204, "DELETE", "/app/shop/endpoint/a", "")
	attempts := s.want(200, "GET", s.path("/app/shop/attempt/msg/{msg}"), "")
	if got := ids(t, attempts); len(got) != 1 {
		t.Errorf("its attempts: %v", got)
	}
	if got := ids(t, s.want(200, "GET", s.path("/app/shop/msg/{msg}/endpoint"), "")); len(got) != 0 {
		t.Errorf("it is still listed: %v", got)
	}
	s.refused(404, "not_found", "POST", s.path("/app/shop/msg/{msg}/endpoint/a/resend"), "")
	if s.must("/app/shop/endpoint", `{"url":"https://example.com","uid":"a"}`) == s.names["endpoint"] {
		t.Error("its id came back")
	}
}

// faulty is a history that fails, or lacks contents.
type faulty struct {
	store.History
	err, content error
}

func (f faulty) Message(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID) (*postern.Message, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.History.Message(ctx, app, id)
}

func (f faulty) Content(context.Context, postern.ApplicationNumber, postern.MessageID) (*postern.Content, error) {
	return nil, f.content
}

func (f faulty) Messages(ctx context.Context, app postern.ApplicationNumber, filter store.MessageFilter, page store.Page) (store.MessagePage, error) {
	if f.err != nil {
		return store.MessagePage{}, f.err
	}
	return f.History.Messages(ctx, app, filter, page)
}

func TestFailingHistory(t *testing.T) {
	disk := errors.New("read /secret/place: input/output error")
	for name, test := range map[string]struct {
		history faulty
		path    string
		status  int
		text    string
		logged  bool
	}{
		"message":         {faulty{err: disk}, "/app/shop/msg/{msg}", 500, `"code":"internal"`, true},
		"messages":        {faulty{err: disk}, "/app/shop/msg", 500, `"code":"internal"`, true},
		"content":         {faulty{content: disk}, "/app/shop/msg/{msg}", 500, `"code":"internal"`, true},
		"content in list": {faulty{content: disk}, "/app/shop/msg", 500, `"code":"internal"`, true},
		"gone":            {faulty{content: postern.ErrNotFound}, "/app/shop/msg/{msg}", 200, `"payload":{"expired":true}`, false},
		"gone, raw":       {faulty{content: postern.ErrNotFound}, "/app/shop/msg/{msg}/raw", 404, `"code":"not_found"`, false},
		"message gone":    {faulty{err: postern.ErrNotFound}, "/app/shop/attempt/endpoint/a?with_msg=true", 200, `"number":1`, false},
		"no message":      {faulty{err: disk}, "/app/shop/attempt/endpoint/a?with_msg=true", 500, `"code":"internal"`, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			h, ok := s.handler.(*handler)
			if !ok {
				t.Fatal("another handler")
			}
			test.history.History = s.store
			h.History = test.history
			got := s.do("GET", s.path(test.path), "")
			if got.StatusCode != test.status || !strings.Contains(got.body, test.text) || strings.Contains(got.body, "secret") {
				t.Errorf("%d %s", got.StatusCode, got.body)
			}
			if (s.log.Len() > 0) != test.logged {
				t.Errorf("logged: %s", s.log)
			}
		})
	}
}

// TestOverloadIsRefusedBeforeTheBody sends a body that nobody may read.
func TestOverloadIsRefusedBeforeTheBody(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	w.refuseAll = postern.ErrUnavailable
	r := httptest.NewRequest("POST", Prefix+"/app/shop/msg", untouched{t})
	r.Header.Set("Authorization", "Bearer "+adminToken)
	if got := w.send(r); got.StatusCode != 503 || got.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

// untouched is a body that must not be read.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body is read")
	return 0, errors.New("read")
}

// TestGoneClientIsNotOurFault has the request's context end under an operation.
func TestGoneClientIsNotOurFault(t *testing.T) {
	s := newStory(t)
	h, ok := s.handler.(*handler)
	if !ok {
		t.Fatal("another handler")
	}
	h.History = faulty{History: s.store, err: fmt.Errorf("read: %w", context.Canceled)}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequest("GET", Prefix+"/app/shop/msg", nil).WithContext(ctx)
	r.Header.Set("Authorization", "Bearer "+adminToken)
	s.send(r)
	if s.log.Len() > 0 {
		t.Errorf("logged: %s", s.log)
	}
}

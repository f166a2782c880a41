package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
)

// turn answers one request of a script.
type turn func(*http.Request) (*http.Response, error)

// script is a server that answers each request with its next turn, and is gone
// after the last.
type script struct {
	turns []turn
	// began are when requests came, since the script began; from are their
	// Last-Event-IDs.
	start time.Time
	began []time.Duration
	from  []string
	last  *http.Request
}

// RoundTrip makes it a transport.
func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.began = append(s.began, time.Since(s.start))
	s.from = append(s.from, r.Header.Get("Last-Event-ID"))
	s.last = r
	if len(s.turns) == 0 {
		return unreachable(r)
	}
	next := s.turns[0]
	s.turns = s.turns[1:]
	return next(r)
}

// hear listens to a script until it ends, or each says that it is enough.
func (s *script) hear(ctx context.Context, t *testing.T, o client.Options, f client.TailFilter, each func(client.TailEvent) bool) (last error) {
	t.Helper()
	o.URL, o.Key, o.HTTP = "http://server", "k", &http.Client{Transport: s, Timeout: time.Second}
	c, err := client.New(o)
	ok(t, err)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Hour) // of a bubble: nothing goes on for ever
	defer cancel()
	s.start = time.Now()
	for event, err := range c.Tail(ctx, f) {
		if last = err; err == nil && !each(event) {
			break
		}
	}
	return last
}

// hearAll is hear to the end, and which events came.
func (s *script) hearAll(ctx context.Context, t *testing.T, o client.Options) (ids []string, err error) {
	t.Helper()
	err = s.hear(ctx, t, o, client.TailFilter{}, func(e client.TailEvent) bool {
		ids = append(ids, e.ID)
		return true
	})
	return ids, err
}

func unreachable(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }

// refuses answers as the API does; wait is its Retry-After, "" for none.
func refuses(status int, wait string) turn {
	return func(r *http.Request) (*http.Response, error) {
		header := http.Header{"Content-Type": {"application/json"}}
		if wait != "" {
			header.Set("Retry-After", wait)
		}
		return &http.Response{StatusCode: status, Header: header, Request: r, Body: io.NopCloser(strings.NewReader(`{"code":"c","detail":"d"}`))}, nil
	}
}

// says is a stream of chunks that ends behind the last.
func says(chunks ...string) turn { return streams("text/event-stream", false, chunks) }

// hangs is one that says nothing more, and stays open.
func hangs(chunks ...string) turn { return streams("text/event-stream", true, chunks) }

func streams(kind string, hang bool, chunks []string) turn {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {kind}}, Request: r, Body: &speech{r, chunks, hang}}, nil
	}
}

// speech is a body that ends with its request's context.
type speech struct {
	request *http.Request
	chunks  []string
	hang    bool
}

// Read hands out a chunk.
func (s *speech) Read(p []byte) (int, error) {
	if len(s.chunks) == 0 && s.hang {
		<-s.request.Context().Done()
	}
	if err := s.request.Context().Err(); err != nil {
		return 0, err
	}
	if len(s.chunks) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.chunks[0])
	if s.chunks[0] = s.chunks[0][n:]; s.chunks[0] == "" {
		s.chunks = s.chunks[1:]
	}
	return n, nil
}

// Close has nothing to let go of.
func (s *speech) Close() error { return nil }

// message is one event of a stream.
func message(id string) string {
	return "id: " + id + "\nevent: message\ndata: {\"endpoints\":2,\"message\":{\"eventType\":\"a\"}}\n\n"
}

// TestTailGoesOn breaks connections in every way, and has what comes then go on
// behind the last event that came whole.
func TestTailGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{turns: []turn{
			unreachable,
			says("retry: 2000\nid: 1\n\n", message("2"), "id: 3\nevent: message\ndata: {"),
			refuses(503, "5"),
			unreachable,
			hangs(message("3"), ": heartbeat\nid: 4\n\n"),
			refuses(401, ""),
		}}
		ids, err := s.hearAll(t.Context(), t, client.Options{})
		if !errors.Is(err, postern.ErrUnauthorized) {
			t.Errorf("at the end: %v", err)
		}
		if diff := cmp.Diff([]string{"2", "3"}, ids); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"", "", "2", "2", "2", "4"}, s.from); diff != "" {
			t.Fatal(diff)
		}
		if first := s.began[1]; first < 50*time.Millisecond || first > 150*time.Millisecond {
			t.Errorf("the second try came after %v", first)
		}
		for i, want := range []time.Duration{2 * time.Second, 5 * time.Second, 5 * time.Second, 45*time.Second + 5*time.Second} {
			if waited := s.began[i+2] - s.began[i+1]; waited != want {
				t.Errorf("try %d came after %v, want %v", i+3, waited, want)
			}
		}
	})
}

func TestTailGivesUp(t *testing.T) {
	for about, test := range map[string]struct {
		retries, tries int
		turns          []turn
		want           error
	}{
		"never there":                  {0, 4, nil, nil},
		"never there, without retries": {-1, 1, nil, nil},
		"unavailable":                  {1, 2, []turn{refuses(503, ""), refuses(503, "")}, postern.ErrUnavailable},
		"broken, without retries":      {-1, 1, []turn{says(message("1"))}, io.ErrUnexpectedEOF},
		"unknown":                      {0, 1, []turn{refuses(404, "")}, postern.ErrNotFound},
		"refused later":                {0, 2, []turn{says(message("1")), refuses(403, "")}, postern.ErrForbidden},
	} {
		t.Run(about, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{turns: test.turns}
				_, err := s.hearAll(t.Context(), t, client.Options{Retries: test.retries})
				if len(s.from) != test.tries || err == nil || test.want != nil && !errors.Is(err, test.want) {
					t.Errorf("%v after %d tries", err, len(s.from))
				}
			})
		})
	}
}

// TestTailLasts: a server that was heard is waited for, however long it is away.
func TestTailLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		s := &script{turns: []turn{says(message("1"))}}
		ids, err := s.hearAll(ctx, t, client.Options{})
		if len(ids) != 1 || !errors.Is(err, context.DeadlineExceeded) || len(s.from) < 200 || time.Since(s.start) != time.Hour {
			t.Errorf("%q, then %v after %d tries in %v", ids, err, len(s.from), time.Since(s.start))
		}
	})
}

func TestTailEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		enough := &script{turns: []turn{hangs(message("1"), message("2"))}}
		if err := enough.hear(t.Context(), t, client.Options{}, client.TailFilter{}, func(client.TailEvent) bool { return false }); err != nil || len(enough.from) != 1 {
			t.Errorf("%v after %d tries", err, len(enough.from))
		}
		if enough.last.Context().Err() == nil {
			t.Error("the connection stays")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		quiet := &script{turns: []turn{hangs()}}
		if _, err := quiet.hearAll(ctx, t, client.Options{}); !errors.Is(err, context.DeadlineExceeded) || time.Since(quiet.start) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(quiet.start))
		}
	})
}

// TestTailLeavesTime: who thinks about an event for long loses no connection.
func TestTailLeavesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{turns: []turn{hangs(message("1"), message("2"))}}
		var ids []string
		err := s.hear(t.Context(), t, client.Options{}, client.TailFilter{}, func(e client.TailEvent) bool {
			ids = append(ids, e.ID)
			time.Sleep(time.Hour)
			return len(ids) < 2
		})
		if err != nil || len(s.from) != 1 {
			t.Errorf("%q, %v after %d tries", ids, err, len(s.from))
		}
	})
}

func TestStrangeTails(t *testing.T) {
	for about, test := range map[string]struct {
		turn turn
		want postern.Kind
	}{
		"a page":         {streams("text/html", false, []string{"<html>"}), postern.Internal},
		"no JSON":        {says("event: attempt\ndata: <\n\n"), postern.Internal},
		"another's JSON": {says("event: attempt\ndata: {\"number\":\"one\"}\n\n"), postern.Internal},
		"a long line":    {says("data: " + strings.Repeat("x", 1<<20) + "\n\n"), postern.TooLarge},
		"a large event":  {says(strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", 1100)), postern.TooLarge},
	} {
		t.Run(about, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{turns: []turn{test.turn}}
				ids, err := s.hearAll(t.Context(), t, client.Options{})
				if refused, found := errors.AsType[*postern.Error](err); !found || refused.Kind != test.want || len(ids) != 0 || len(s.from) != 1 {
					t.Errorf("%q, %v after %d tries", ids, err, len(s.from))
				}
			})
		})
	}
}

// TestTailEvents reads one of each kind, and passes over what later servers may
// say.
func TestTailEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{turns: []turn{says(
			"event: later\ndata: {}\n\nevent: message\n\n", message("1"),
			"id: 2\nevent: attempt\ndata: {\"eventType\":\"a\",\"number\":3,\"failure\":null}\n\n",
			"id: 2\nevent: canceled\ndata: {}\n\n",
			"event: skipped\ndata: {\"count\":7,\"after\":\"3\"}\n\nevent: skipped\ndata: {\"count\":null,\"after\":\"4\"}\n\n",
		), refuses(401, "")}}
		var got []client.TailEvent
		filter := client.TailFilter{Application: "shop", Endpoint: "a", EventTypes: []string{"a", "b"}, Outcomes: []string{"dead"}, After: "0"}
		err := s.hear(t.Context(), t, client.Options{}, filter, func(e client.TailEvent) bool {
			got = append(got, e)
			return true
		})
		if !errors.Is(err, postern.ErrUnauthorized) {
			t.Error(err)
		}
		seven := 7
		want := []client.TailEvent{
			{ID: "1", Message: &client.TailMessage{Endpoints: 2, Message: client.Message{EventType: "a"}}},
			{ID: "2", Attempt: &client.TailAttempt{EventType: "a", Attempt: client.Attempt{Number: 3}}},
			{ID: "2", Canceled: &client.TailCancel{}},
			{ID: "2", Skipped: &client.TailSkip{Count: &seven, After: "3"}},
			{ID: "2", Skipped: &client.TailSkip{After: "4"}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"0", "2"}, s.from); diff != "" {
			t.Error(diff)
		}
		if query := s.last.URL.RawQuery; query != "app_id=shop&endpoint_id=a&event_types=a&event_types=b&outcome=dead" {
			t.Errorf("asked for %s", query)
		}
		if h := s.last.Header; h.Get("Authorization") != "Bearer k" || h.Get("Accept") != "text/event-stream" {
			t.Errorf("asked with %v", h)
		}
	})
}

// TestTail hears a server: a message, its attempt, and its end by hand; then,
// from there, what nobody listened to.
func TestTail(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w.fails = http.StatusTeapot
	must[*client.Application](t)(w.Applications.Create(ctx, client.ApplicationIn{Name: "Shop", UID: "shop"}))
	must[*client.Endpoint](t)(w.Endpoints.Create(ctx, "shop", client.EndpointIn{URL: w.hooks, UID: "a", RetrySchedule: []float64{3600}}))
	in := client.MessageIn{EventType: "a", EventID: "evt-1", Payload: json.RawMessage(`{"secret":1}`)}
	published := make(chan error, 1)
	// The answer begins once the server listens.
	listens := sync.OnceFunc(func() {
		go func() {
			_, err := w.Messages.Create(ctx, "shop", in)
			published <- err
		}()
	})
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: listens})
	var id string
	var heard []string
	for event, err := range w.Tail(traced, client.TailFilter{Application: "shop"}) {
		ok(t, err)
		switch id = event.ID; {
		case event.Message != nil:
			heard = append(heard, "message")
			if m := event.Message; m.Message.EventID != "evt-1" || m.Endpoints != 1 || string(m.Message.Payload) != "{}" || m.ApplicationID.IsZero() {
				t.Errorf("the message: %+v", m)
			}
		case event.Attempt != nil:
			heard = append(heard, "attempt")
			if a := event.Attempt; a.State != "retrying" || a.ResponseStatusCode != 418 || a.EventType != "a" || a.ID.IsZero() {
				t.Errorf("the attempt: %+v", a)
			}
			ok(t, w.Messages.Cancel(ctx, "shop", "evt-1", "a"))
		case event.Canceled != nil:
			heard = append(heard, "canceled")
		}
		if len(heard) == 3 {
			break
		}
	}
	ok(t, <-published)
	if diff := cmp.Diff([]string{"message", "attempt", "canceled"}, heard); diff != "" {
		t.Error(diff)
	}
	in.EventID = "evt-2"
	must[*client.Message](t)(w.Messages.Create(ctx, "shop", in))
	for event, err := range w.Tail(ctx, client.TailFilter{After: id, EventTypes: []string{"a"}}) {
		ok(t, err)
		if event.Message == nil || event.Message.Message.EventID != "evt-2" {
			t.Errorf("what came since: %+v", event)
		}
		break
	}
	for _, err := range w.Tail(ctx, client.TailFilter{Application: "nobody"}) {
		if !errors.Is(err, postern.ErrNotFound) {
			t.Errorf("an unknown application: %v", err)
		}
	}
}

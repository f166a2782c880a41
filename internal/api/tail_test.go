package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/tail"
	"github.com/postern-dev/postern/store"
)

// listener is a client of the tail over a real connection.
type listener struct {
	t     *testing.T
	lines *bufio.Scanner
	stop  func()
	// id is the last event id that came, as a browser would keep it.
	id string
}

// told is one event of the stream.
type told struct {
	event string
	data  map[string]any
}

// listen opens a tail; it has begun once this returns.
func listen(t *testing.T, url, token, query, lastID string) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", url+Prefix+"/tail"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if got.StatusCode != 200 || got.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %s", got.StatusCode, got.Header)
	}
	l := &listener{t: t, lines: bufio.NewScanner(got.Body)}
	l.stop = func() { cancel(); _ = got.Body.Close() }
	t.Cleanup(l.stop)
	l.block() // the id where it stands
	return l
}

// block reads up to an empty line.
func (l *listener) block() (fields map[string]string, ok bool) {
	fields = map[string]string{}
	for l.lines.Scan() {
		if l.lines.Text() == "" {
			return fields, true
		}
		name, value, _ := strings.Cut(l.lines.Text(), ":")
		fields[name] = strings.TrimPrefix(value, " ")
		if name == "id" {
			l.id = fields[name]
		}
	}
	return nil, false
}

// next is the next event; blocks without one are passed over.
func (l *listener) next() told {
	l.t.Helper()
	for {
		fields, ok := l.block()
		if !ok {
			l.t.Fatalf("the stream ended: %v", l.lines.Err())
		}
		if fields["data"] == "" {
			continue
		}
		e := told{event: fields["event"]}
		if err := json.Unmarshal([]byte(fields["data"]), &e.data); err != nil {
			l.t.Fatalf("%s: %v", fields["data"], err)
		}
		return e
	}
}

// brief is the next n events, each as "event id-of-message state".
func (l *listener) brief(n int) []string {
	l.t.Helper()
	var list []string
	for range n {
		e := l.next()
		m, ok := e.data["message"].(map[string]any)
		if !ok {
			m = map[string]any{"id": e.data["msgId"]}
		}
		list = append(list, strings.TrimSpace(fmt.Sprint(e.event, " ", m["id"], " ", orNothing(e.data["state"]))))
	}
	return list
}

func orNothing(v any) any {
	if v == nil {
		return ""
	}
	return v
}

// tailed is a world with a server, whose messages and attempts are told.
type tailed struct {
	*flow
	url      string
	attempts int
}

func newTailed(t *testing.T) *tailed {
	w := newWorld(t)
	f := &tailed{flow: &flow{world: w, number: map[string]postern.EndpointNumber{}}}
	w.must("/app", `{"name":"Other","uid":"other"}`)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	w.must("/app/other/endpoint", `{"url":"https://example.com/","uid":"o"}`)
	w.must("/app/shop/endpoint", `{"url":"https://example.com/","uid":"a"}`)
	w.must("/app/shop/endpoint", `{"url":"https://example.com/","uid":"b","channels":["c"]}`)
	w.unobserved()
	server := httptest.NewServer(w.handler)
	t.Cleanup(func() {
		w.tail.Close()
		server.Close()
	})
	f.url = server.URL
	return f
}

// unobserved stops counting answers, which come side by side from here on.
func (w *world) unobserved() {
	if h, ok := w.handler.(*handler); ok {
		h.Observe = func(string, int, time.Duration) {}
	}
}

// publish accepts a message and tells of it.
func (f *tailed) publish(uid, eventType string) *postern.Message {
	f.t.Helper()
	app, err := f.cat.Application(uid)
	if err != nil {
		f.t.Fatal(err)
	}
	m, _, err := f.Publish(f.t.Context(), postern.Publish{Application: app.Number, EventType: eventType, Payload: []byte(`{"secret":1}`)})
	if err != nil {
		f.t.Fatal(err)
	}
	f.tail.Accepted(m)
	return m
}

// try settles a try of a message at an endpoint and tells of it.
func (f *tailed) try(m *postern.Message, n postern.EndpointNumber, state postern.State) {
	f.attempts++
	a := postern.Attempt{
		ID: postern.NewAttemptID(f.now, 0, f.head.Batch+1, 0, n), Message: m.ID, Application: m.Application, Endpoint: n,
		N: f.attempts, State: state, Succeeded: state == postern.Delivered, Response: []byte("kept to ourselves"),
	}
	if err := f.commit(f.t.Context(), func(b *store.Batch) { b.Attempts = []*postern.Attempt{&a} }); err != nil {
		f.t.Fatal(err)
	}
	f.tail.Attempted(&a)
}

func TestTail(t *testing.T) {
	f := newTailed(t)
	before := f.publish("shop", "early")
	l := listen(t, f.url, adminToken, "", "")
	m := f.publish("shop", "invoice.paid")
	f.try(m, 2, postern.Retrying)
	f.try(before, 2, postern.Delivered)
	first, second, third := l.next(), l.next(), l.next()
	shop, err := f.cat.Application("shop")
	if err != nil {
		t.Fatal(err)
	}
	message, _ := first.data["message"].(map[string]any)
	if first.event != "message" || first.data["applicationId"] != shop.ID.String() || first.data["endpoints"] != 1.0 ||
		message["id"] != m.ID.String() || message["eventType"] != "invoice.paid" {
		t.Errorf("%+v", first)
	}
	if second.event != "attempt" || second.data["msgId"] != m.ID.String() || second.data["state"] != "retrying" ||
		second.data["eventType"] != "invoice.paid" || second.data["response"] != "" || second.data["applicationId"] != shop.ID.String() {
		t.Errorf("%+v", second)
	}
	if third.data["eventType"] != "early" || third.data["state"] != "delivered" {
		t.Errorf("%+v", third)
	}
	if strings.Contains(fmt.Sprint(first, second, third), "secret") || strings.Contains(fmt.Sprint(second), "ourselves") {
		t.Error("the tail shows payloads or responses")
	}
	f.tail.Canceled(store.DeliveryKey{Application: shop.Number, Endpoint: 2, Message: m.ID})
	if e := l.next(); e.event != "canceled" || e.data["msgId"] != m.ID.String() {
		t.Errorf("%+v", e)
	}
}

// TestTailFilters has one listener for each filter, and all that happens told
// to all of them; a last message tells where the end is.
func TestTailFilters(t *testing.T) {
	f := newTailed(t)
	token, _ := f.world.want(201, "POST", "/key", `{"name":"k","scope":"application","application":"shop"}`)["token"].(string)
	foreign, _ := f.world.want(201, "POST", "/key", `{"name":"k","scope":"read-only","application":"other"}`)["token"].(string)
	for name, test := range map[string]struct {
		token, query string
		want         func(a, b, o *postern.Message) []string
	}{
		"all": {adminToken, "", func(a, b, o *postern.Message) []string {
			return []string{"message " + a.ID.String(), "message " + b.ID.String(), "message " + o.ID.String(),
				"attempt " + a.ID.String() + " delivered", "attempt " + b.ID.String() + " dead", "attempt " + o.ID.String() + " delivered"}
		}},
		"key of an application": {token, "", func(a, b, _ *postern.Message) []string {
			return []string{"message " + a.ID.String(), "message " + b.ID.String(), "attempt " + a.ID.String() + " delivered", "attempt " + b.ID.String() + " dead"}
		}},
		"another's key": {foreign, "", func(_, _, o *postern.Message) []string {
			return []string{"message " + o.ID.String(), "attempt " + o.ID.String() + " delivered"}
		}},
		"application": {adminToken, "?app_id=other", func(_, _, o *postern.Message) []string {
			return []string{"message " + o.ID.String(), "attempt " + o.ID.String() + " delivered"}
		}},
		"type": {token, "?event_types=b", func(_, b, _ *postern.Message) []string {
			return []string{"message " + b.ID.String(), "attempt " + b.ID.String() + " dead"}
		}},
		"outcome": {token, "?outcome=dead,retrying", func(_, b, _ *postern.Message) []string {
			return []string{"attempt " + b.ID.String() + " dead"}
		}},
		"endpoint": {adminToken, "?app_id=shop&endpoint_id=b&outcome=delivered,dead", func(_, _, _ *postern.Message) []string { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			l := listen(t, f.url, test.token, test.query, "")
			start := l.id
			a, b, o := f.publish("shop", "a"), f.publish("shop", "b"), f.publish("other", "a")
			f.try(a, 2, postern.Delivered)
			f.try(b, 2, postern.Dead)
			f.try(o, 1, postern.Delivered)
			want := test.want(a, b, o)
			if diff := cmp.Diff(want, l.brief(len(want))); diff != "" {
				t.Errorf("as it happens: %s", diff)
			}
			// The store tells the same to who comes late, attempts among messages.
			late := listen(t, f.url, test.token, test.query, start)
			got := late.brief(len(want))
			count := map[string]int{}
			for _, e := range want {
				count[e]++
			}
			for _, e := range got {
				count[e]--
			}
			for e, n := range count {
				if n != 0 {
					t.Errorf("out of the store, %q: %d too few", e, n)
				}
			}
		})
	}
}

// TestTailResumes: who comes back with any id that was sent gets everything
// behind it, once, and goes on with what happens.
func TestTailResumes(t *testing.T) {
	f := newTailed(t)
	l := listen(t, f.url, adminToken, "?app_id=shop", "")
	ids := []string{l.id}
	var all []string
	for i := range 150 { // more than a page of a source
		m := f.publish("shop", "a")
		if i%3 == 0 {
			f.now = f.now.Add(time.Millisecond)
		}
		all = append(all, l.brief(1)...)
		ids = append(ids, l.id)
		f.try(m, 2, []postern.State{postern.Delivered, postern.Dead}[i%2])
		f.try(m, 3, postern.Retrying)
		all = append(all, l.brief(1)...)
		ids = append(ids, l.id)
		all = append(all, l.brief(1)...)
		ids = append(ids, l.id)
	}
	l.stop()
	for from := 0; from < len(ids); from += 50 {
		late := listen(t, f.url, adminToken, "?app_id=shop", ids[from])
		got := map[string]int{}
		for _, e := range late.brief(len(all) - from) {
			got[e]++
		}
		for _, e := range all[from:] {
			if got[e] != 1 {
				t.Errorf("from %d, %q came %d times", from, e, got[e])
			}
		}
		now := f.publish("shop", "now")
		if diff := cmp.Diff([]string{"message " + now.ID.String()}, late.brief(1)); diff != "" {
			t.Errorf("from %d, then: %s", from, diff)
		}
		late.stop()
		all, ids = append(all, "message "+now.ID.String()), append(ids, late.id)
		if from > 300 {
			break
		}
	}
}

// TestTailWhileItResumes has things happen while clients come back.
func TestTailWhileItResumes(t *testing.T) {
	f := newTailed(t)
	l := listen(t, f.url, adminToken, "", "")
	start := l.id
	for range 300 {
		f.try(f.publish("shop", "a"), 2, postern.Delivered)
	}
	published := make(chan string, 1)
	go func() {
		last := ""
		for range 200 {
			m := f.publish("shop", "a")
			f.try(m, 2, postern.Delivered)
			last = m.ID.String()
		}
		published <- last
	}()
	for range 3 {
		late := listen(t, f.url, adminToken, "", start)
		seen, order := map[string]bool{}, map[string]string{}
		for _, e := range late.brief(1000) {
			kind, _, _ := strings.Cut(e, " ")
			if seen[e] || e < order[kind] {
				t.Fatalf("%q came twice, or behind %q", e, order[kind])
			}
			seen[e], order[kind] = true, e
		}
	}
	<-published
}

// TestTailThatNeverCatchesUp: where more happens than a client's buffer holds,
// each time that it is brought up, it is told of all the rest how much it misses.
func TestTailThatNeverCatchesUp(t *testing.T) {
	f := newTailed(t)
	h := f.world.handler.(*handler) //nolint:forcetypeassert // it is
	start := tail.Horizon(f.head).String()
	app, err := f.cat.Application("shop")
	if err != nil {
		t.Fatal(err)
	}
	var total atomic.Int64
	head := h.Head
	h.Head = func(ctx context.Context) (store.Head, error) {
		was, err := head(ctx)
		return was, errors.Join(err, f.commit(ctx, func(b *store.Batch) {
			for i := range uint64(tail.Buffer + 10) {
				m := &postern.Message{ID: postern.NewMessageID(f.now, 0, f.head.Next+i, 7), Application: app.Number, EventType: "a"}
				b.Accepts = append(b.Accepts, store.Accept{Message: m, Content: &postern.Content{}})
				f.tail.Accepted(m)
			}
			total.Add(int64(len(b.Accepts)))
		}))
	}
	l := listen(t, f.url, adminToken, "", start)
	for told := int64(0); told < total.Load(); {
		e := l.next()
		if e.event != "skipped" {
			told++
			continue
		}
		count, _ := e.data["count"].(float64)
		told += int64(count)
	}
}

// TestTailOfManySources: too many to be merged are said to be skipped, and what
// happens is told.
func TestTailOfManySources(t *testing.T) {
	f := newTailed(t)
	l := listen(t, f.url, adminToken, "?app_id=shop", "")
	err := f.commit(t.Context(), func(*store.Batch) {})
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{h: f.world.handler.(*handler), c: &call{r: httptest.NewRequest("GET", "/", nil), w: httptest.NewRecorder()}} //nolint:forcetypeassert // it is
	s.cursor, err = tail.Parse(l.id)
	if err != nil {
		t.Fatal(err)
	}
	s.skipTo(tail.Horizon(f.head))
	if text := string(s.out); !strings.HasPrefix(text, "event: skipped\ndata: {\"count\":null,\"after\":\""+l.id+"\"}\n\n") {
		t.Errorf("%q", text)
	}
	if s.cursor.String() != tail.Horizon(f.head).String() {
		t.Error("it does not go on behind what it skipped")
	}
}

// TestTailSkips fills a client's buffer while it is not looking.
func TestTailSkips(t *testing.T) {
	f := newTailed(t)
	client, err := f.tail.Listen(tail.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s := &stream{h: f.world.handler.(*handler), c: &call{r: httptest.NewRequest("GET", "/", nil), w: httptest.NewRecorder()}} //nolint:forcetypeassert // it is
	s.control = http.NewResponseController(s.c.w)
	m := f.publish("shop", "a")
	for range tail.Buffer + 4 {
		f.tail.Accepted(&postern.Message{ID: m.ID, Application: m.Application, EventType: "a"})
	}
	s.cursor = tail.Horizon(store.Head{})
	b := client.Take()
	b.Events = b.Events[:1]
	if err := s.send(b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(s.out), `event: skipped`+"\n"+`data: {"count":5,"after":"`+m.ID.String()) {
		t.Errorf("%q", s.out)
	}
}

// TestTailHeartbeat: a quiet tail says every 15 s that it is alive and where it
// stands, and ends with the hub, or with its key.
func TestTailHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.unobserved()
		body := w.want(201, "POST", "/key", `{"name":"k","scope":"admin"}`)
		token, _ := body["token"].(string)
		id, _ := body["id"].(string)
		open := func(token string) (*httptest.ResponseRecorder, chan struct{}) {
			r := httptest.NewRequest("GET", Prefix+"/tail", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			answer, ended := httptest.NewRecorder(), make(chan struct{})
			go func() {
				defer close(ended)
				w.handler.ServeHTTP(answer, r)
			}()
			return answer, ended
		}
		revoked, revokedEnded := open(token)
		answer, ended := open(adminToken)
		<-time.After(61 * time.Second)
		w.want(204, "DELETE", "/key/"+id, "")
		<-revokedEnded // at its next beat
		synctest.Wait()
		if n := strings.Count(revoked.Body.String(), ": heartbeat"); n > 5 {
			t.Errorf("%d heartbeats for a key that is revoked", n)
		}
		select {
		case <-ended:
			t.Error("the other ended too")
		default:
		}
		w.tail.Close()
		<-ended
		if n := strings.Count(answer.Body.String(), ": heartbeat\nid: msg_"); n != 5 {
			t.Errorf("%d heartbeats in 75 seconds: %s", n, answer.Body)
		}
		if got := w.do("GET", "/tail", ""); got.StatusCode != 503 {
			t.Errorf("while shutting down: %d", got.StatusCode)
		}
	})
}

func TestTailRefusals(t *testing.T) {
	f := newTailed(t)
	token, _ := f.world.want(201, "POST", "/key", `{"name":"k","scope":"application","application":"shop"}`)["token"].(string)
	for path, want := range map[string]int{
		"/tail?app_id=other": 404, "/tail?app_id=nobody": 404, "/tail?endpoint_id=o": 404, "/tail?endpoint_id=a": 200,
		"/tail?outcome=sending": 422, "/tail?outcome=x": 422,
	} {
		if got := f.as(token, "GET", path, ""); got.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, got.StatusCode, want)
		}
	}
	f.refused(422, "app_id", "GET", "/tail?endpoint_id=a", "")
	r := httptest.NewRequest("GET", Prefix+"/tail", nil)
	r.Header.Set("Authorization", "Bearer "+adminToken)
	r.Header.Set("Last-Event-ID", "17")
	if got := f.send(r); got.StatusCode != 422 || !strings.Contains(got.body, "last-event-id") {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	head := httptest.NewRequest("HEAD", Prefix+"/tail", nil)
	head.Header.Set("Authorization", "Bearer "+adminToken)
	if got := f.send(head); got.StatusCode != 200 {
		t.Errorf("HEAD: %d", got.StatusCode)
	}
}

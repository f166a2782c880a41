package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// testRecords: what is stored is read back whole, field by field.
func testRecords(t *testing.T, h Harness) {
	w := newWorld(t, h)
	a := w.accept(1, 3, 1, 900_000)
	m := a.Message
	m.EventID, m.Channels, m.Tags = "order-1", []string{"a", "b"}, []string{"x"}
	m.Source, m.ProviderEventType, m.CausedBy = postern.SourceID(w.id()), "orders/create", w.message(1).ID
	m.Depth = 7
	a.Content = &postern.Content{
		Payload: []byte("\x00\xff no JSON\r\n"),
		Request: &postern.InboundRequest{Method: "POST", Path: "/in/x", Query: "a=1&a=2", RemoteAddr: "192.0.2.1:9", URL: "https://example.com/in/x",
			Headers: []postern.Header{{Name: "X-Signature", Value: "v"}, {Name: "X-Signature", Value: ""}}},
	}
	bare := w.accept(1)
	bare.Content.Payload = []byte{}
	success, failure := w.attempt(m, 1, 1, postern.Delivered), w.attempt(m, 3, 1, postern.Retrying)
	failure.Code, failure.Failure, failure.Reason, failure.Trigger = 0, "timeout", postern.ReasonNone, postern.Manual
	failure.RetryAfter, failure.Permanent, failure.Redialed = 90*time.Second, true, true
	failure.Next = w.now.Add(time.Minute)
	failure.Timings = postern.Timings{DNS: 1, Connect: 2 * time.Millisecond, TLS: 3, FirstByte: 4, Total: 15 * time.Second}
	final := postern.Final{Endpoint: 900_000, Application: 1, Message: m.ID, State: postern.Canceled, Reason: postern.ReasonDeleted, At: w.now}
	w.commit(store.Batch{Accepts: []store.Accept{a, bare}, Attempts: []*postern.Attempt{success, failure}, Finals: []postern.Final{final}})
	w.everywhere(func(t *testing.T) {
		ctx := t.Context()
		equal(t, "message", m, must[*postern.Message](t)(w.s.Message(ctx, 1, m.ID)))
		equal(t, "bare message", bare.Message, must[*postern.Message](t)(w.s.Message(ctx, 1, bare.Message.ID)))
		equal(t, "content", a.Content, must[*postern.Content](t)(w.s.Content(ctx, 1, m.ID)))
		equal(t, "bare content", bare.Content, must[*postern.Content](t)(w.s.Content(ctx, 1, bare.Message.ID)))
		attempts, finals, err := attemptsOf(ctx, w.s, 1, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "attempts", []postern.Attempt{*success, *failure}, attempts)
		equal(t, "finals", []postern.Final{final}, finals)
		seen := 0
		if _, err := w.s.EachAttempt(ctx, 1, m.ID, func(*postern.Attempt) bool { seen++; return false }); err != nil || seen != 1 {
			t.Errorf("%d attempts after the first was enough, %v", seen, err)
		}
	})
	// Another tenant's are not there.
	_, err1 := w.s.Message(t.Context(), 2, m.ID)
	_, err2 := w.s.Content(t.Context(), 2, m.ID)
	_, _, err3 := attemptsOf(t.Context(), w.s, 2, m.ID)
	_, err4 := w.s.Refusal(t.Context(), postern.SourceID{1}, postern.RefusalID{2})
	for i, err := range []error{err1, err2, err3, err4} {
		if !errors.Is(err, postern.ErrNotFound) {
			t.Errorf("read %d of what does not exist: %v", i, err)
		}
	}
}

// attemptsOf are all attempts of a message.
func attemptsOf(ctx context.Context, s store.Store, app postern.ApplicationNumber, id postern.MessageID) (list []postern.Attempt, finals []postern.Final, err error) {
	finals, err = s.EachAttempt(ctx, app, id, func(a *postern.Attempt) bool {
		list = append(list, *a)
		return true
	})
	return list, finals, err
}

// fill commits n messages of application 5 over several days and returns them
// oldest first, with its neighbours' in between.
func fill(w *world, n int, change func(i int, m *postern.Message)) []*postern.Message {
	w.t.Helper()
	var list []*postern.Message
	var batch store.Batch
	for i := range n {
		if i%17 == 0 {
			w.advance(31 * time.Hour)
		}
		a := w.accept(5, 1)
		if change != nil {
			change(i, a.Message)
		}
		list = append(list, a.Message)
		batch.Accepts = append(batch.Accepts, a, w.accept(6, 9), w.accept(4, 9))
	}
	w.commit(batch)
	return list
}

// pages walks a list from page to page.
func pages(t *testing.T, p store.Page, read func(store.Page) ([]postern.MessageID, [20]byte, bool)) []postern.MessageID {
	t.Helper()
	var list []postern.MessageID
	for range 10_000 {
		page, next, done := read(p)
		if len(page) > p.Limit {
			t.Fatalf("%d entries, limit %d", len(page), p.Limit)
		}
		list = append(list, page...)
		if done {
			return list
		}
		if next == p.After {
			t.Fatalf("a page goes on where it began: %x", next)
		}
		p.After = next
	}
	t.Fatal("a list without end")
	return nil
}

func messagePages(t *testing.T, s store.Store, app postern.ApplicationNumber, f store.MessageFilter, p store.Page) []postern.MessageID {
	t.Helper()
	return pages(t, p, func(p store.Page) ([]postern.MessageID, [20]byte, bool) {
		page := must[store.MessagePage](t)(s.Messages(t.Context(), app, f, p))
		return ids(page.Messages...), page.Next, page.Done
	})
}

// testMessagePages: lists in both directions, pages of any size, bounds that leave out
// the moments they name.
func testMessagePages(t *testing.T, h Harness) {
	w := newWorld(t, h)
	oldest := fill(w, 60, nil)
	newest := slices.Clone(oldest)
	slices.Reverse(newest)
	since, until := oldest[9].CreatedAt(), oldest[40].CreatedAt()
	w.everywhere(func(t *testing.T) {
		for _, limit := range []int{1, 7, 60, 100} {
			equal(t, "newest first", ids(newest...), messagePages(t, w.s, 5, store.MessageFilter{}, store.Page{Limit: limit}))
			equal(t, "oldest first", ids(oldest...), messagePages(t, w.s, 5, store.MessageFilter{}, store.Page{Limit: limit, Ascending: true}))
			equal(t, "since and until, exclusive", ids(oldest[10:40]...),
				messagePages(t, w.s, 5, store.MessageFilter{}, store.Page{Limit: limit, Ascending: true, Since: since, Until: until}))
		}
	})
	got := messagePages(t, w.s, 5, store.MessageFilter{}, store.Page{Limit: 10, Since: since, Until: until})
	equal(t, "since and until, newest first", ids(newest[20:50]...), got)
	got = messagePages(t, w.s, 5, store.MessageFilter{}, store.Page{Limit: 10, Until: until.Add(time.Microsecond), Since: since.Add(-time.Microsecond)})
	equal(t, "bounds between ids", ids(newest[19:51]...), got)
	page := must[store.MessagePage](t)(w.s.Messages(t.Context(), 5, store.MessageFilter{}, store.Page{Limit: 60}))
	if !page.Done || len(page.Messages) != 60 {
		t.Errorf("a page of exactly the list: %d entries, done %t", len(page.Messages), page.Done)
	}
	page = must[store.MessagePage](t)(w.s.Messages(t.Context(), 77, store.MessageFilter{}, store.Page{Limit: 60}))
	if !page.Done || len(page.Messages) != 0 {
		t.Errorf("an application without messages: %d entries, done %t", len(page.Messages), page.Done)
	}
}

// testPagesUnderInserts: what was there when the first page was asked for
// appears exactly once, whatever comes meanwhile.
func testPagesUnderInserts(t *testing.T, h Harness) {
	for _, ascending := range []bool{false, true} {
		w := newWorld(t, h)
		old := fill(w, 40, nil)
		got := pages(t, store.Page{Limit: 7, Ascending: ascending}, func(p store.Page) ([]postern.MessageID, [20]byte, bool) {
			page := must[store.MessagePage](t)(w.s.Messages(t.Context(), 5, store.MessageFilter{}, p))
			if w.head.Next < 300 {
				w.publish(5, 1)
			}
			return ids(page.Messages...), page.Next, page.Done
		})
		times := map[postern.MessageID]int{}
		for _, id := range got {
			times[id]++
		}
		for _, m := range old {
			if times[m.ID] != 1 {
				t.Errorf("ascending %t: %s appears %d times", ascending, m.ID, times[m.ID])
			}
		}
		if len(times) != len(got) {
			t.Errorf("ascending %t: %d entries, %d of them different", ascending, len(got), len(times))
		}
	}
}

// testMessageFilters: a filter's parts all have to hold.
func testMessageFilters(t *testing.T, h Harness) {
	w := newWorld(t, h)
	list := fill(w, 40, func(i int, m *postern.Message) {
		m.EventType = []string{"a", "b", "c"}[i%3]
		m.Channels = []string{"even", "odd"}[i%2 : i%2+1]
		if i%5 == 0 {
			m.Tags = []string{"five", "tag"}
		}
	})
	for name, f := range map[string]store.MessageFilter{
		"types": {EventTypes: []string{"a", "c"}}, "channel": {Channel: "odd"}, "tag": {Tag: "five"},
		"all three": {EventTypes: []string{"a"}, Channel: "even", Tag: "tag"}, "none": {Tag: "nobody has it"},
	} {
		var want []*postern.Message
		for _, m := range list {
			if (f.EventTypes == nil || slices.Contains(f.EventTypes, m.EventType)) &&
				(f.Channel == "" || slices.Contains(m.Channels, f.Channel)) && (f.Tag == "" || slices.Contains(m.Tags, f.Tag)) {
				want = append(want, m)
			}
		}
		equal(t, name, ids(want...), messagePages(t, w.s, 5, f, store.Page{Limit: 3, Ascending: true}))
	}
}

// testFilterBudget: a filter that finds little returns what it has within a
// bounded time, and where to go on.
func testFilterBudget(t *testing.T, h Harness) {
	w := newWorld(t, h)
	const n = 25_000
	var batch store.Batch
	var rare []postern.MessageID
	for i := range n {
		a := w.accept(5, 1)
		if i%9_000 == 0 {
			a.Message.Tags = []string{"rare"}
			rare = append(rare, a.Message.ID)
		}
		batch.Accepts = append(batch.Accepts, a)
	}
	w.commit(batch)
	f := store.MessageFilter{Tag: "rare"}
	page := must[store.MessagePage](t)(w.s.Messages(t.Context(), 5, f, store.Page{Limit: 50, Ascending: true}))
	if page.Done {
		t.Error("one page looked at 25,000 messages")
	}
	equal(t, "over all pages", rare, messagePages(t, w.s, 5, f, store.Page{Limit: 50, Ascending: true}))
	slices.Reverse(rare)
	equal(t, "newest first", rare, messagePages(t, w.s, 5, f, store.Page{Limit: 1}))
}

// testEndpointAttempts: by outcome, class of code and event type, in the order of their
// ids; 0 is the class of attempts without an answer. An endpoint has its attempts in its
// own application alone.
func testEndpointAttempts(t *testing.T, h Harness) {
	w := newWorld(t, h)
	messages := fill(w, 30, func(i int, m *postern.Message) {
		m.EventType = []string{"a", "b"}[i%2]
	})
	var all []*postern.Attempt
	for i, m := range messages {
		state := []postern.State{postern.Delivered, postern.Retrying, postern.Dead}[i%3]
		a, other := w.attempt(m, 1, 1, state), w.attempt(m, 9, 1, postern.Delivered)
		if state == postern.Dead {
			a.Code = 0
		}
		all = append(all, a)
		w.commit(store.Batch{Attempts: []*postern.Attempt{a, other}})
		w.advance(3 * time.Hour)
	}
	yes, no, five, none := true, false, 5, 0
	w.everywhere(func(t *testing.T) {
		for name, f := range map[string]store.AttemptFilter{
			"all": {}, "succeeded": {Succeeded: &yes}, "failed": {Succeeded: &no}, "5xx": {CodeClass: &five},
			"no answer": {CodeClass: &none}, "type": {EventTypes: []string{"b"}}, "type and outcome": {EventTypes: []string{"b"}, Succeeded: &yes},
		} {
			var want []postern.MessageID
			for i, a := range all {
				if (f.Succeeded == nil || *f.Succeeded == a.Succeeded) && (f.CodeClass == nil || *f.CodeClass == a.Code/100) &&
					(f.EventTypes == nil || f.EventTypes[0] == messages[i].EventType) {
					want = append(want, a.Message)
				}
			}
			for _, ascending := range []bool{true, false} {
				got := pages(t, store.Page{Limit: 4, Ascending: ascending}, func(p store.Page) ([]postern.MessageID, [20]byte, bool) {
					page := must[store.AttemptPage](t)(w.s.EndpointAttempts(t.Context(), 5, 1, f, p))
					var of []postern.MessageID
					for _, a := range page.Attempts {
						of = append(of, a.Message)
					}
					return of, page.Next, page.Done
				})
				equal(t, name, want, got)
				slices.Reverse(want)
			}
		}
	})
	page := must[store.AttemptPage](t)(w.s.EndpointAttempts(t.Context(), 5, 1, store.AttemptFilter{}, store.Page{
		Limit: 50, Ascending: true, Since: all[4].ID.Time(), Until: all[9].ID.Time()}))
	want := make([]postern.Attempt, 0, 4)
	for _, a := range all[5:9] {
		want = append(want, *a)
	}
	equal(t, "between two attempts", want, page.Attempts)
	page = must[store.AttemptPage](t)(w.s.EndpointAttempts(t.Context(), 6, 1, store.AttemptFilter{}, store.Page{Limit: 50}))
	if len(page.Attempts) != 0 {
		t.Errorf("%d attempts of the endpoint in an application that is not its own", len(page.Attempts))
	}
}

// testDead: the list has what was put and not deleted, at one endpoint.
func testDead(t *testing.T, h Harness) {
	w := newWorld(t, h)
	messages := fill(w, 40, nil)
	var batch store.Batch
	for _, m := range messages {
		batch.Dead = append(batch.Dead, store.DeadChange{Key: key(m, 1)}, store.DeadChange{Key: key(m, 2)})
	}
	w.commit(batch)
	w.commit(store.Batch{Dead: []store.DeadChange{{Key: key(messages[3], 1), Delete: true}, {Key: key(messages[39], 1), Delete: true}}})
	want := slices.Delete(ids(messages[:39]...), 3, 4)
	w.everywhere(func(t *testing.T) {
		for _, ascending := range []bool{true, false} {
			got := pages(t, store.Page{Limit: 6, Ascending: ascending}, func(p store.Page) ([]postern.MessageID, [20]byte, bool) {
				page := must[store.DeadPage](t)(w.s.Dead(t.Context(), 5, 1, p))
				return page.Messages, page.Next, page.Done
			})
			equal(t, "dead", want, got)
			slices.Reverse(want)
		}
	})
}

// testRefusals: a source's own, without bodies in lists, until they are dropped.
func testRefusals(t *testing.T, h Harness) {
	w := newWorld(t, h)
	source, other := postern.SourceID(w.id()), postern.SourceID(w.id())
	var batch store.Batch
	for i := range 20 {
		batch.Refusals = append(batch.Refusals, &postern.Refusal{
			ID: postern.RefusalID(w.id()), Source: source, Reason: "signature_mismatch", Detail: "no key fits", ContentType: "text/plain",
			Request: postern.InboundRequest{Method: "POST", Path: "/in/x", Headers: []postern.Header{{Name: "A", Value: "b"}}},
			Body:    []byte{byte(i), 0xff}, BodyTruncated: i%2 == 0, Credentials: postern.Sealed{1, byte(i)},
		}, &postern.Refusal{ID: postern.RefusalID(w.id()), Source: other})
		w.advance(7 * time.Hour)
	}
	w.commit(batch)
	mine := make([]*postern.Refusal, 0, 20)
	for _, r := range batch.Refusals {
		if r.Source == source {
			mine = append(mine, r)
		}
	}
	w.commit(store.Batch{DropRefusals: mine[:2]})
	mine = mine[2:]
	w.everywhere(func(t *testing.T) {
		equal(t, "refusal", mine[3], must[*postern.Refusal](t)(w.s.Refusal(t.Context(), source, mine[3].ID)))
		for _, ascending := range []bool{true, false} {
			var got []postern.RefusalID
			p := store.Page{Limit: 5, Ascending: ascending}
			for {
				page := must[store.RefusalPage](t)(w.s.Refusals(t.Context(), source, p))
				for _, r := range page.Refusals {
					if r.Body != nil {
						t.Error("a list carries bodies")
					}
					got = append(got, r.ID)
				}
				if p.After = page.Next; page.Done {
					break
				}
			}
			var want []postern.RefusalID
			for _, r := range mine {
				want = append(want, r.ID)
			}
			if !ascending {
				slices.Reverse(want)
			}
			equal(t, "refusals", want, got)
		}
	})
	page := must[store.RefusalPage](t)(w.s.Refusals(t.Context(), source, store.Page{Limit: 50, Since: mine[3].ID.Time(), Until: mine[6].ID.Time()}))
	if len(page.Refusals) != 2 || page.Refusals[0].ID != mine[5].ID {
		t.Errorf("%d refusals between two", len(page.Refusals))
	}
}

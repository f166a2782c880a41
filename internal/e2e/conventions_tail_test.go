package e2e_test

import (
	"bufio"
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// tailConventions are about the tail, which tells of what happens as it does.
func tailConventions() []convention {
	const group = "Tail"
	return []convention{
		{group, "The tail tells of messages and attempts as server-sent events with ids.", in(func(w *conventionWorld) {
			w.listener(200, nil)
			next, _ := w.events("")
			message := w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", nil)).Get("id").Str
			for _, want := range []string{"message", "attempt"} {
				id, name, data := next()
				if id == "" || name != want || !strings.Contains(data, message) {
					w.t.Errorf("%q %q %s, want %s of %s", id, name, data, want, message)
				}
			}
		})},
		{group, "With Last-Event-ID the tail goes on from there.", in(func(w *conventionWorld) {
			next, stop := w.events("")
			first := w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", nil)).Get("id").Str
			id, _, data := next()
			w.same("the first", strings.Contains(data, first), true)
			stop()
			missed := w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", nil)).Get("id").Str
			next, _ = w.events(id)
			_, _, data = next()
			w.same("the one that was missed", strings.Contains(data, missed), true)
			w.with("Last-Event-ID", "nonsense").faulty("header.last-event-id", "GET", "/tail", nil)
		})},
		{group, "The tail is narrowed down by event type and outcome.", in(func(w *conventionWorld) {
			w.listener(200, nil)
			next, _ := w.events("", "event_types", "a.wanted", "outcome", "delivered")
			w.ask(202, "POST", w.of("/msg"), envelopeOf("a.other", nil))
			wanted := w.ask(202, "POST", w.of("/msg"), envelopeOf("a.wanted", nil)).Get("id").Str
			_, name, data := next()
			w.same("the first event", []any{name, strings.Contains(data, wanted)}, []any{"attempt", true})
			w.faulty("query.outcome", "GET", "/tail?outcome=lost", nil)
		})},
		{group, "The tail is narrowed down to an endpoint of an application: its attempts, and the messages that go there.", in(func(w *conventionWorld) {
			w.listener(200, object{"eventTypes": []string{"other.*"}})
			endpoint, _ := w.listener(200, object{"eventTypes": []string{"a.*"}, "uid": "mine"})
			next, _ := w.events("", "endpoint_id", "mine")
			w.message("other.b", nil)
			message := w.message("a.b", nil).Get("id").Raw
			_, _, data := next()
			w.reads(parsed(data), "message.id", message)
			_, _, data = next()
			w.reads(parsed(data), "msgId", message, "endpointId", quoted(endpoint))
			w.faulty("query.app_id", "GET", "/tail?endpoint_id="+endpoint, nil)
		})},
		{group, "A key of an application hears of that alone, and does not find another.", in(func(w *conventionWorld) {
			token, _ := w.key("application")
			other, own := w.application("other"), w.as(token)
			own.app = "" // nothing is asked for
			next, _ := own.events("")
			w.ask(202, "POST", "/app/"+other+"/msg", envelopeOf("a.b", nil))
			message := w.ask(202, "POST", w.of("/msg"), envelopeOf("a.b", nil)).Get("id").Raw
			_, _, data := next()
			w.reads(parsed(data), "message.id", message, "applicationId", quoted(w.app))
			own.fails(404, "not_found", "GET", "/tail?app_id="+other, nil)
		})},
		{group, "A tail that is quiet says every 15 seconds that it lives, and where it stands.", in(func(w *conventionWorld) {
			begun := time.Now()
			lines, _ := w.stream("")
			var told []string
			for len(told) < 6 && lines.Scan() {
				told = append(told, strings.Split(lines.Text(), ":")[0])
			}
			w.same("lines", told, []string{"retry", "id", "", "", "id", ""})
			if took := time.Since(begun); took < 14*time.Second || lines.Err() != nil {
				w.t.Errorf("after %v: %v", took, lines.Err())
			}
		})},
		{group, "Who reads too slowly is told how many events are skipped, and the id to come back with for them.", in(func(w *conventionWorld) {
			const published = 4000 // more than wait for a client, and find room on the way
			next, stop := w.events("")
			w.many(published, envelopeOf("a.b", object{"tags": longTags()}))
			told, after := map[string]bool{}, ""
			for skipped := 0; len(told)+skipped < published; {
				_, name, data := next()
				if name != "skipped" {
					told[parsed(data).Get("message.id").Str] = true
					continue
				}
				skipped += int(parsed(data).Get("count").Int())
				if after == "" {
					after = parsed(data).Get("after").Str
				}
			}
			stop()
			if after == "" {
				w.t.Fatalf("all %d events are told", published)
			}
			next, _ = w.events(after)
			_, name, data := next()
			w.same("the first that was skipped", []any{name, told[parsed(data).Get("message.id").Str]}, []any{"message", false})
		})},
	}
}

// longTags are ten of the longest.
func longTags() (list []string) {
	for i := range 10 {
		list = append(list, strings.Repeat("t", 255)+strconv.Itoa(i))
	}
	return list
}

// stream listens to the tail of the application, all of them where app is "",
// from an id on or from now.
func (w *conventionWorld) stream(after string, query ...string) (lines *bufio.Scanner, stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*patience)
	w.t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, "GET", w.base+"/api/v1/tail?"+values("app_id", w.app, query...).Encode(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+adminKey)
	for name, values := range w.header {
		request.Header[name] = values
	}
	if after != "" {
		request.Header.Set("Last-Event-ID", after)
	}
	patient := *w.http
	patient.Timeout = 0 // it holds for the whole body, which has no end
	response, err := patient.Do(request)
	if err != nil || response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
		w.t.Fatalf("tail: %v, %+v", err, response)
	}
	stop = func() { response.Body.Close() }
	w.t.Cleanup(stop)
	return bufio.NewScanner(response.Body), stop
}

// events is stream for who reads event by event.
func (w *conventionWorld) events(after string, query ...string) (next func() (id, name, data string), stop func()) {
	w.t.Helper()
	lines, stop := w.stream(after, query...)
	return func() (id, name, data string) {
		w.t.Helper()
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch field {
			case "id":
				id = value
			case "event":
				name = value
			case "data":
				data = value
			case "":
				if data != "" {
					return id, name, data
				}
			}
		}
		w.t.Fatalf("the tail has ended: %v", lines.Err())
		return "", "", ""
	}, stop
}

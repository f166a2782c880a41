package api

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// tenants is a story with a second application that has one of everything too.
type tenants struct {
	*story
	// theirs are the names of what the other application has, by the variable
	// that stands for it in paths: its id, then its uid if it has one.
	theirs map[string][]string
	rows   []*operation
	cases  map[string]operationCase
}

func newTenants(t testing.TB) *tenants {
	s := newStory(t)
	app, _ := s.want(200, "GET", "/app/other", "")["id"].(string)
	s.visitor("shop", `{}`)
	w := &tenants{story: s, rows: s.rows(), cases: operationCases(), theirs: map[string][]string{
		"app":      {app, "other"},
		"endpoint": {s.must("/app/other/endpoint", `{"url":"https://example.com/theirs","uid":"their-endpoint","eventTypes":["invoice.*"]}`), "their-endpoint"},
		"source":   {s.must("/app/other/source", `{"name":"Theirs","provider":"github","uid":"their-source","secrets":["s3cret"]}`), "their-source"},
		"msg":      {s.must("/app/other/msg", `{"eventType":"invoice.paid","eventId":"their-message","payload":{"of":"them"}}`), "their-message"},
		"replay":   {s.must("/app/other/replay", `{"toEndpointId":"their-endpoint","since":"2020-01-01T00:00:00Z"}`)},
		"attempt":  {s.newID().String()},
		"refusal":  {postern.RefusalID(s.newID()).String()},
	}}
	w.addWorker()
	worker, lease := w.world.addWorker("other", "their-worker")
	w.theirs["worker"], w.theirs["lease"] = []string{worker, "their-worker"}, []string{lease}
	w.theirs["task"] = []string{taskOf(w.theirs["replay"][0])}
	w.addHistory()
	return w
}

// taskOf is the id of the background task that a replay is.
func taskOf(replay string) string { return "qtask_" + strings.TrimPrefix(replay, "rpl_") }

// ofOne reports whether a row's path names something of a single application.
func ofOne(o *operation) bool {
	return o.inApplication || o.access == following && strings.Contains(o.path, "{")
}

// rows are the operations that the world serves.
func (w *world) rows() []*operation {
	w.t.Helper()
	var rows []*operation
	for _, r := range table() {
		rows = append(rows, r.operation())
	}
	return rows
}

// newID is the id of an attempt, or of anything else.
func (w *world) newID() postern.AttemptID {
	w.t.Helper()
	id, err := (&postern.IDSource{Now: w.clock, Random: rand.Reader}).Next()
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// addHistory stores what no request makes: their attempt and their refusal.
func (w *tenants) addHistory() {
	w.t.Helper()
	endpoint, err := w.cat.Endpoint(2, "their-endpoint")
	if err != nil {
		w.t.Fatal(err)
	}
	source, err := w.cat.Source(2, "their-source")
	if err != nil {
		w.t.Fatal(err)
	}
	message, _ := postern.ParseMessageID(w.theirs["msg"][0])
	attempt, _ := postern.ParseAttemptID(w.theirs["attempt"][0])
	refusal, _ := postern.ParseRefusalID(w.theirs["refusal"][0])
	w.settle(postern.Attempt{
		ID: attempt, Application: 2, Endpoint: endpoint.Number, Message: message, N: 1,
		Succeeded: true, Code: 200, State: postern.Delivered, URL: endpoint.URL, Started: w.now,
	})
	err = w.commit(w.t.Context(), func(b *store.Batch) {
		b.Refusals = []*postern.Refusal{{ID: refusal, Source: source.ID, Reason: "signature_mismatch"}}
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// waitAt is how many deliveries wait at a pull endpoint.
func (w *tenants) waitAt(app, uid string) int {
	w.t.Helper()
	of, err := w.cat.Application(app)
	if err != nil {
		return 0 // deleted
	}
	e, err := w.cat.Endpoint(of.Number, uid)
	if err != nil {
		return 0
	}
	return w.lanes.count(e.Number)
}

// state is all that can be read of both applications, and how often something
// was stored: what a request without effect leaves as it was. A new row that
// reads is part of it.
func (w *tenants) state() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d batches, %d leases, %d and %d that wait\n", w.head.Batch, w.leases.Held(), w.waitAt("shop", "worker"), w.waitAt("other", "their-worker"))
	for _, o := range w.rows {
		if o.method != "GET" || slices.Contains([]string{"tail", "openapi", "health", "health.ping"}, o.name) {
			continue
		}
		theirs := o.path
		for name, refs := range w.theirs {
			theirs = strings.ReplaceAll(theirs, "{"+name+"}", refs[0])
		}
		for _, path := range []string{theirs, o.path} {
			got := w.ask("Bearer "+adminToken, "GET", strings.ReplaceAll(w.path(path), "{name}", "invoice.paid"), "")
			fmt.Fprintf(&b, "%s %d %s\n", path, got.StatusCode, got.body)
		}
	}
	return b.String()
}

// ask sends a request under an Authorization header, without holding the answer
// to the document: these tests send thousands. It asks for the answer to be
// kept, which that of a refused request is not.
func (w *tenants) ask(authorization, method, path, body string) response {
	ctx, cancel := context.WithCancel(w.t.Context())
	if strings.HasPrefix(path, "/tail") {
		cancel() // it would be answered for ever
	}
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, method, Prefix+path, strings.NewReader(body))
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	if method == "POST" {
		r.Header.Set("Idempotency-Key", "the same")
	}
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	return response{recorder.Result(), recorder.Body.String()}
}

// request is a row's with the names of what the first application has.
func (w *tenants) request(o *operation) (path, body string) {
	w.t.Helper()
	test, ok := w.cases[o.name]
	if !ok {
		w.t.Fatalf("%s has no case in operationCases", o.name)
	}
	if path = test.path; path == "" {
		path = o.path
	}
	return path, w.path(test.body)
}

// foreignPaths are those of a row in which the other application's names stand
// for one variable at a time, ids as well as uids, and, for a key that is bound
// to the own application, for all of them.
func (w *tenants) foreignPaths(o *operation, bound bool) []string {
	w.t.Helper()
	path, _ := w.request(o)
	var paths []string
	everything := path
	for segment := range strings.SplitSeq(path, "/") {
		name, ok := variable(segment)
		if !ok {
			continue
		}
		refs := w.theirs[name]
		if refs == nil {
			w.t.Fatalf("%s names {%s} in an application: newTenants has to make one that is another's", o.name, name)
		}
		everything = strings.ReplaceAll(everything, segment, refs[0])
		if (name == "app" || !o.inApplication) && !bound && strings.Count(path, "{") == 1 {
			continue // who sees both applications does nothing wrong
		}
		for i, ref := range refs {
			if i > 0 && o.also == 201 && name != "app" {
				continue // a PUT to a uid that is free here; see TestNamesAreEachApplicationsOwn
			}
			paths = append(paths, w.path(strings.ReplaceAll(path, segment, ref)))
		}
	}
	if bound {
		paths = append(paths, everything)
	}
	return paths
}

// foreignNames are all that the other application's objects are called.
func (w *tenants) foreignNames() []string {
	var names []string
	for _, refs := range w.theirs {
		names = append(names, refs...)
	}
	slices.Sort(names)
	return names
}

// leaks is a name of the other application that a text has, "" for none.
func (w *tenants) leaks(text string) string {
	for _, name := range w.foreignNames() {
		if name != "other" && strings.Contains(text, name) {
			return name
		}
	}
	return ""
}

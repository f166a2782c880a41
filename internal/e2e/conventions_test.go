package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
)

// convention is something that holds over the operations: a rule of the API, a
// limit, or a detail that programs rely on.
type convention struct {
	// group and text are a line of docs/conformance.md: the heading, and the
	// sentence, which says what holds and depends on nothing of the run.
	group, text string
	// check fails the test when it does not hold. Its client speaks to a server
	// that all checks share, at the same time, so that each makes applications
	// (and event types) of its own.
	check func(t *testing.T, c *client)
}

// conventions are all of them, the lines of a group together.
func conventions() []convention {
	return slices.Concat(
		idConventions(), fieldConventions(), listConventions(), errorConventions(), repeatConventions(), changeConventions(),
		endpointConventions(), messageConventions(), statusConventions(), deliveryConventions(), eventTypeConventions(),
		accessConventions(), nounConventions(), pullConventions(), tailConventions(),
	)
}

// conventionSecret signs the tokens of svix-server that checks make; the server
// that checks share has it as --jwt-secret.
const conventionSecret = "the conventions' secret of svix-server"

// TestConventions holds every convention over the wire, on one server for each
// store.
func TestConventions(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store string) {
		s := serve(t, store, "--jwt-secret="+conventionSecret)
		for _, c := range conventions() {
			t.Run(c.group+"/"+c.text, func(t *testing.T) {
				t.Parallel()
				c.check(t, s.client)
			})
		}
	})
}

// Every convention is told once, beside others of its group.
func TestConventionsAreToldOnce(t *testing.T) {
	t.Parallel()
	told, group := map[string]bool{}, ""
	for _, c := range conventions() {
		if told[c.text] || c.group != group && told[c.group] {
			t.Errorf("%s: %q is said twice, or not beside its group", c.group, c.text)
		}
		group, told[c.text], told[c.group] = c.group, true, true
	}
}

// conventionWorld is what most checks need: an application of their own, and
// answers that are easily looked into.
type conventionWorld struct {
	*client
	// app is the application's id. uid is its uid, and begins the names of all
	// that the check makes outside of it.
	app, uid string
	// header is sent with every call of ask, reply and what is made of them.
	header http.Header
}

// in makes a check of one that takes a world. Redirects are not followed: none
// of them is ever to be seen.
func in(check func(w *conventionWorld)) func(*testing.T, *client) {
	return func(t *testing.T, c *client) {
		own := *c.http
		own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		name := fnv.New64a()
		name.Write([]byte(t.Name()))
		w := &conventionWorld{client: &client{t, c.base, &own}, uid: fmt.Sprintf("c%x", name.Sum64())}
		w.app = w.ask(201, "POST", "/app", object{"name": "conventions", "uid": w.uid}).Get("id").Str
		check(w)
	}
}

// with is a world that sends a header more.
func (w *conventionWorld) with(name, value string) *conventionWorld {
	other := *w
	other.header = w.header.Clone()
	if other.header == nil {
		other.header = http.Header{}
	}
	other.header.Set(name, value)
	return &other
}

// as is a world that calls with another token.
func (w *conventionWorld) as(token string) *conventionWorld {
	return w.with("Authorization", "Bearer "+token)
}

// of is a path inside the world's application.
func (w *conventionWorld) of(path string) string { return "/app/" + w.app + path }

// reply calls the API; a string is sent as it is.
func (w *conventionWorld) reply(method, path string, in any) *reply {
	w.t.Helper()
	var body io.Reader
	switch in := in.(type) {
	case nil:
	case string:
		body = strings.NewReader(in)
	default:
		text, err := json.Marshal(in)
		if err != nil {
			w.t.Fatal(err)
		}
		body = bytes.NewReader(text)
	}
	r, err := w.send(method, "/api/v1"+path, w.header, body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// ask calls the API, whose answer has to have the status and, but for 204, to
// be JSON.
func (w *conventionWorld) ask(status int, method, path string, in any) gjson.Result {
	w.t.Helper()
	r := w.reply(method, path, in)
	if r.status != status {
		w.t.Fatalf("%s %s: %d %s, want %d", method, path, r.status, tail(string(r.body), 500), status)
	}
	if status == http.StatusNoContent || method == http.MethodHead {
		w.same(method+" "+path+": body", string(r.body), "")
		return gjson.Result{}
	}
	if kind := r.header.Get("Content-Type"); kind != "application/json" || !gjson.ValidBytes(r.body) {
		w.t.Fatalf("%s %s: %s %q is not JSON", method, path, kind, r.body)
	}
	return gjson.ParseBytes(r.body)
}

// fails wants a refusal of the shape that is no list of faults.
func (w *conventionWorld) fails(status int, code, method, path string, in any) {
	w.t.Helper()
	out := w.ask(status, method, path, in)
	w.same(method+" "+path+": code", out.Get("code").Str, code)
	if out.Get("detail").Type != gjson.String || out.Get("detail").Str == "" {
		w.t.Errorf("%s %s: no detail in %s", method, path, out.Raw)
	}
}

// faulty wants 422 with a fault at a place, its parts joined by dots.
func (w *conventionWorld) faulty(loc, method, path string, in any) {
	w.t.Helper()
	out := w.ask(422, method, path, in)
	for _, fault := range out.Get("detail").Array() {
		var parts []string
		for _, part := range fault.Get("loc").Array() {
			parts = append(parts, part.String())
		}
		if strings.Join(parts, ".") == loc && fault.Get("msg").Str != "" && fault.Get("type").Str != "" {
			return
		}
	}
	w.t.Errorf("%s %s: no fault of %s in %s", method, path, loc, out.Raw)
}

// same compares.
func (w *conventionWorld) same(what string, got, want any) {
	w.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// reads compares parts of an answer, given as pairs of a path and the JSON text
// there; "" is for what must not be there.
func (w *conventionWorld) reads(out gjson.Result, pairs ...string) {
	w.t.Helper()
	for pair := range slices.Chunk(pairs, 2) {
		if got := out.Get(pair[0]).Raw; got != pair[1] {
			w.t.Errorf("%s is %s, want %s, in %s", pair[0], got, pair[1], tail(out.Raw, 1500))
		}
	}
}

// texts are the strings at a path.
func texts(out gjson.Result, path string) []string {
	list := []string{}
	for _, entry := range out.Get(path).Array() {
		list = append(list, entry.String())
	}
	return list
}

// quoted is a string as JSON.
func quoted(text string) string { return strconv.Quote(text) }

// message publishes and returns what was answered; more may hold any property.
func (w *conventionWorld) message(eventType string, more object) gjson.Result {
	w.t.Helper()
	return w.ask(202, "POST", w.of("/msg?wait=20s"), envelopeOf(eventType, more))
}

// many publishes as many messages, several at a time.
func (w *conventionWorld) many(n int64, in object) {
	w.t.Helper()
	text, err := json.Marshal(in)
	if err != nil {
		w.t.Fatal(err)
	}
	var all sync.WaitGroup
	var left atomic.Int64
	left.Store(n)
	for range 8 {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if r, err := w.try("POST", w.of("/msg"), string(text)); err != nil || r.status != 202 {
					w.t.Errorf("publish: %+v, %v", r, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// envelopeOf is the body of a message; more may hold any property.
func envelopeOf(eventType string, more object) object {
	in := object{"eventType": eventType, "payload": object{}}
	for name, value := range more {
		in[name] = value
	}
	return in
}

// listener makes an endpoint at a receiver of its own, which answers with the
// status.
func (w *conventionWorld) listener(status int, more object) (endpoint string, r *receiver) {
	w.t.Helper()
	r = newReceiver(w.t, func(*request, *http.Request) int { return status })
	return w.client.endpoint(w.app, r.URL+"/hook", more), r
}

// answering is the address of a server that answers as it is told.
func (w *conventionWorld) answering(answer http.HandlerFunc) string {
	s := httptest.NewServer(answer)
	w.t.Cleanup(s.Close)
	return s.URL
}

// once and later are schedules: of a single try, and of one that nobody here
// waits for.
func once() object  { return object{"retrySchedule": []float64{}} }
func later() object { return object{"retrySchedule": []float64{3600}} }

// saying answers with a status and a text.
func saying(status int, text string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, text)
	}
}

// parsed is JSON text, to look into.
func parsed(text string) gjson.Result { return gjson.Parse(text) }

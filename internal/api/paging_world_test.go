package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/internal/keyring"
	"github.com/postern-dev/postern/store/embedded"
)

// slowDisk is one in memory whose next sync of the log can be held up, and with
// it the commit that waits for it.
type slowDisk struct {
	mu sync.Mutex
	// next is called by the next sync.
	next func()
}

// MaybeError implements errorfs.Injector; it holds up, and injects nothing.
func (d *slowDisk) MaybeError(op errorfs.Op) error {
	if op.Kind != errorfs.OpFileSync && op.Kind != errorfs.OpFileSyncData || !strings.HasSuffix(op.Path, ".log") {
		return nil
	}
	d.mu.Lock()
	next := d.next
	d.next = nil
	d.mu.Unlock()
	if next != nil {
		next()
	}
	return nil
}

func (d *slowDisk) String() string { return "slow" }

// hold has the next sync wait: reached is closed when it does.
func (d *slowDisk) hold() (reached <-chan struct{}, release func()) {
	arrived, released := make(chan struct{}), make(chan struct{})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next = func() { close(arrived); <-released }
	return arrived, func() { close(released) }
}

// server is a whole engine on a slow disk, and a receiver that takes everything.
type server struct {
	t         testing.TB
	disk      *slowDisk
	mem       *vfs.MemFS
	secrets   engine.Secrets
	handler   http.Handler
	receiver  string
	attempted chan struct{} // one for each attempt that is durable
	stop      func()
}

func newServer(t testing.TB) *server {
	t.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s := &server{
		t: t, disk: &slowDisk{}, mem: vfs.NewCrashableMem(), secrets: keyring.New().For("a test"),
		receiver: receiver.URL, attempted: make(chan struct{}, 10_000),
	}
	s.start()
	t.Cleanup(func() { s.stop(); receiver.Close() })
	return s
}

// start opens the store and runs an engine on it until stop.
func (s *server) start() {
	s.t.Helper()
	st, err := embedded.Open(s.t.Context(), "file:data", embedded.Options{FS: errorfs.Wrap(s.mem, s.disk), ReserveBytes: -1})
	if err != nil {
		s.t.Fatal(err)
	}
	eng, err := engine.New(s.t.Context(), engine.Config{
		Store: st, Secrets: s.secrets, AdminKey: "admin", PublicURL: "http://here",
		EgressAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Observer:    engine.Observer{Attempted: func(*postern.Attempt) { s.attempted <- struct{}{} }},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	ran := make(chan error, 1)
	go func() { ran <- eng.Run(ctx) }()
	s.handler = eng.Handler()
	s.stop = func() {
		cancel()
		if err := <-ran; err != nil {
			s.t.Errorf("Run: %v", err)
		}
		if err := st.Close(); err != nil {
			s.t.Errorf("Close: %v", err)
		}
	}
}

// ask sends a request as the administrator.
func (s *server) ask(ctx context.Context, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer admin")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// do is a request to the API that has to succeed; it returns the body's fields.
// It may be called on any goroutine.
func (s *server) do(method, path, body string) map[string]any {
	w := s.ask(s.t.Context(), method, "/api/v1"+path, body)
	fields := map[string]any{}
	if w.Code >= 300 {
		s.t.Errorf("%s %s %s: %d %s", method, path, body, w.Code, w.Body)
		return fields
	}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &fields); err != nil {
			s.t.Errorf("%s %s: %v", method, path, err)
		}
	}
	return fields
}

// add is a POST; it returns the new one's id.
func (s *server) add(path, body string) string { return text(s.do("POST", path, body), "id") }

func text(fields map[string]any, name string) string {
	value, _ := fields[name].(string)
	return value
}

// list is one that pages.
type list struct {
	path string
	// key tells entries apart, and is what they are sorted by; the id where it
	// is nil. Unsorted lists go by what their entries do not show.
	key      func(entry map[string]any) string
	unsorted bool
	// insert adds an entry and returns its key once it is acknowledged, "" where
	// that is not known. Nil for lists that do not grow here.
	insert func(name string) string
	// remove deletes what key names; nil for what stays.
	remove func(key string)
	// removable limits remove; nil for all that insert added.
	removable map[string]bool
	// memory: pages come from memory and wait for no commit.
	memory bool
	// follows: what is acknowledged comes behind all that was shown before, so
	// that one who goes on from the end misses nothing.
	follows bool
}

// lists are all lists of the table that page, over an application that has
// something in each.
func (s *server) lists() []*list {
	s.do("POST", "/app", `{"name":"Shop","uid":"shop"}`)
	endpoint := fmt.Sprintf(`{"url":%q,"uid":"a","eventTypes":["paid.*"]}`, s.receiver)
	a := s.add("/app/shop/endpoint", endpoint)
	s.do("POST", "/app/shop/endpoint", fmt.Sprintf(`{"url":%q,"uid":"again","eventTypes":["again.*"]}`, s.receiver))
	many := map[string]bool{}
	for range 8 {
		many[s.add("/app/shop/endpoint", fmt.Sprintf(`{"url":%q,"eventTypes":["many.*"]}`, s.receiver))] = true
	}
	fanned := s.add("/app/shop/msg?wait=20s", `{"eventType":"many.endpoints","payload":{}}`)
	again := s.add("/app/shop/msg?wait=20s", `{"eventType":"again.and.again","payload":{}}`)
	for range len(many) + 1 {
		<-s.attempted
	}
	source := s.do("POST", "/app/shop/source", `{"name":"s","provider":"github","uid":"s","secrets":["s3cret"]}`)
	address, _ := strings.CutPrefix(text(source, "ingestUrl"), "http://here")

	publish := func(string) string {
		id := s.add("/app/shop/msg?wait=20s", `{"eventType":"paid.in.full","payload":{}}`)
		<-s.attempted
		return id
	}
	of := func(path string) func(string) { return func(key string) { s.do("DELETE", path+key, "") } }
	delivery := func(entry map[string]any) string { return text(entry, "msgId") + "." + text(entry, "endpointId") }
	delivered := func(name string) string { return publish(name) + "." + a }
	unknown := func(insert func(string) string) func(string) string {
		return func(name string) string { insert(name); return "" }
	}
	var resending sync.Mutex // two at once would be one
	resend := func(string) string {
		resending.Lock()
		defer resending.Unlock()
		s.do("POST", "/app/shop/msg/"+again+"/endpoint/again/resend", "")
		<-s.attempted
		return ""
	}
	now := time.Now().UTC().Add(-time.Hour).Format(time.RFC3339)
	return []*list{
		{path: "/app", memory: true, remove: of("/app/"), insert: func(name string) string {
			return s.add("/app", `{"name":"`+name+`"}`)
		}},
		{path: "/event-type", memory: true, key: func(entry map[string]any) string { return text(entry, "name") },
			remove: func(key string) { s.do("DELETE", "/event-type/"+key+"?expunge=true", "") },
			insert: func(name string) string {
				return text(s.do("POST", "/event-type", `{"name":"`+name+`","description":"d"}`), "name")
			}},
		{path: "/app/shop/endpoint", memory: true, remove: of("/app/shop/endpoint/"), insert: func(name string) string {
			return s.add("/app/shop/endpoint", fmt.Sprintf(`{"url":%q,"uid":%q,"eventTypes":["never.*"]}`, s.receiver, name))
		}},
		{path: "/app/shop/source", memory: true, remove: of("/app/shop/source/"), insert: func(string) string {
			return s.add("/app/shop/source", `{"name":"n","provider":"github","secrets":["s3cret"]}`)
		}},
		{path: "/key", memory: true, remove: of("/key/"), insert: func(string) string {
			return s.add("/key", `{"name":"k","scope":"admin"}`)
		}},
		{path: "/app/shop/replay", memory: true, insert: func(string) string {
			return s.add("/app/shop/replay", `{"toEndpointId":"a","eventTypes":["nothing"],"since":"`+now+`"}`)
		}},
		{path: "/background-task", memory: true, insert: func(string) string {
			return s.add("/app/shop/endpoint/a/recover", `{"since":"`+now+`"}`)
		}},
		{path: "/app/shop/source/s/refusal", insert: func(string) string {
			s.ask(s.t.Context(), "POST", address, `{"zen":1}`)
			return ""
		}},
		{path: "/app/shop/msg", insert: publish, follows: true},
		{path: "/app/shop/endpoint/a/msg", insert: publish, follows: true},
		{path: "/app/shop/attempt/endpoint/a", insert: unknown(publish), follows: true},
		{path: "/app/shop/msg/" + again + "/attempt", insert: resend, follows: true},
		{path: "/app/shop/attempt/msg/" + again, insert: resend, follows: true},
		{path: "/app/shop/msg/" + again + "/endpoint/again/attempt", insert: resend, follows: true},
		{path: "/app/shop/delivery", key: delivery, insert: delivered, follows: true},
		{path: "/app/shop/delivery?state=delivered&endpoint_id=a", key: delivery, insert: delivered, unsorted: true, follows: true},
		{path: "/app/shop/msg/" + fanned + "/explain", key: func(entry map[string]any) string { return text(entry, "endpointId") },
			remove: of("/app/shop/endpoint/"), insert: func(name string) string {
				return s.add("/app/shop/endpoint", fmt.Sprintf(`{"url":%q,"uid":%q,"eventTypes":["never.*"]}`, s.receiver, name))
			}},
		{path: "/app/shop/msg/" + fanned + "/endpoint", remove: of("/app/shop/endpoint/"), removable: many},
	}
}

// anyOf chooses one.
func anyOf[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/auth"
	"github.com/postern-dev/postern/internal/catalogue"
	"github.com/postern-dev/postern/internal/intake"
	"github.com/postern-dev/postern/internal/keyring"
	"github.com/postern-dev/postern/internal/pull"
	"github.com/postern-dev/postern/internal/replay"
	"github.com/postern-dev/postern/internal/tail"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
)

const (
	adminToken = "the-admin"
	publicURL  = "https://hooks.example.com"
	maxBody    = 64 << 10
)

// world is the API over the real catalogue and the real store in memory. What
// stands in for the engine commits at once and delivers nothing: tests write
// the attempts that they want to read.
type world struct {
	t       testing.TB
	handler http.Handler
	store   *embedded.Store
	cat     *catalogue.Catalogue
	box     *keyring.Box
	replays *replay.Runner
	leases  *pull.Book
	lanes   *lanes
	tail    *tail.Hub
	log     *bytes.Buffer
	now     time.Time
	// unhealthy is what Health answers, refuseAll what Admit does.
	unhealthy, refuseAll error
	observed             []string
	// backups are the names that were asked for, backupFails what comes of it.
	backups     []string
	backupFails error
	// nodes are all that there are, nodesFail why they are not known.
	nodes     []postern.Node
	nodesFail error

	mu     sync.Mutex
	head   store.Head
	events map[eventKey]*postern.Message
}

// eventKey is an event id, which is each application's own.
type eventKey struct {
	application postern.ApplicationNumber
	id          string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	s, err := embedded.Open(t.Context(), "memory:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{
		t: t, store: s, box: keyring.New().For("test"), tail: tail.New(), log: new(bytes.Buffer),
		now: time.Now().UTC().Truncate(time.Second), events: map[eventKey]*postern.Message{},
		head: store.Head{Next: 1, Low: 1},
	}
	w.cat, err = catalogue.Load(t.Context(), s, w.head, catalogue.Config{
		Committer: w, Now: w.clock, Secrets: w.box,
		IDs:            &postern.IDSource{Now: w.clock, Random: rand.Reader},
		SecretSettings: func(string) []string { return []string{"verify_token", "stored_secret"} },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.replays = w.newReplays()
	w.leases = w.newLeases()
	w.handler = New(Config{
		Replays: w.replays, Leases: leases{w.leases},
		Applications: applications{w.cat}, Endpoints: w.cat, EventTypes: w.cat, Sources: w.cat, Keys: w.cat,
		Secrets: w.box, URLs: urls{}, Publisher: w, Repeats: w, Deliveries: s, History: s, Outcomes: s, Router: w, Expunger: w, EventIDs: w, Inbound: w.inbound(), Tail: w.tail, Head: s.Head,
		Auth:      auth.New(auth.Config{Keys: w.cat, AdminToken: adminToken, Now: w.clock}),
		Health:    func(context.Context) error { return w.unhealthy },
		Admit:     func(int64) error { return w.refuseAll },
		Backup:    w.backup,
		Nodes:     func(context.Context) ([]postern.Node, error) { return w.nodes, w.nodesFail },
		Version:   "1.2.3",
		PublicURL: publicURL, MaxBody: maxBody, Now: w.clock,
		Logger:  slog.New(slog.NewTextHandler(w.log, nil)),
		Observe: func(operation string, _ int, _ time.Duration) { w.observed = append(w.observed, operation) },
	})
	return w
}

// backup notes what it is asked for, and makes nothing.
func (w *world) backup(_ context.Context, name string) (postern.Backup, error) {
	w.backups = append(w.backups, name)
	return postern.Backup{Directory: "/var/postern/backups/" + name, Bytes: 4096, Files: 3, KeyRing: true, CreatedAt: w.now}, w.backupFails
}

func (w *world) clock() time.Time { return w.now }

// applications adds what the catalogue has under another name.
type applications struct{ *catalogue.Catalogue }

func (a applications) ApplicationByNumber(n postern.ApplicationNumber) *postern.Application {
	if s := a.Snapshot(n); s != nil {
		return s.Application
	}
	return nil
}

// urls refuses private names, as the guard does.
type urls struct{}

func (urls) CheckURL(_ context.Context, url string) error {
	if !strings.HasPrefix(url, "https://") {
		return &postern.Error{Kind: postern.Invalid, Detail: "the scheme must be https"}
	}
	return nil
}

// CommitChanges implements catalogue.Committer.
func (w *world) CommitChanges(ctx context.Context, changes []store.Change, health []store.HealthChange) error {
	err := w.commit(ctx, func(b *store.Batch) { b.Changes, b.Health = changes, health })
	for _, h := range health {
		w.cat.ApplyHealth(h.Endpoint, h.Health)
	}
	return err
}

func (w *world) commit(ctx context.Context, fill func(b *store.Batch)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := &store.Batch{}
	fill(b)
	w.head.Batch++
	w.head.Next += uint64(len(b.Accepts))
	w.head.LastTime = w.now
	b.Head = w.head
	return w.store.Commit(ctx, b)
}

// Publish implements Publisher.
func (w *world) Publish(ctx context.Context, p postern.Publish) (*postern.Message, bool, error) {
	if err := w.cat.CheckPayload(p.EventType, p.Payload); err != nil {
		return nil, false, err
	}
	w.mu.Lock()
	first, next := w.events[eventKey{p.Application, p.EventID}], w.head.Next
	w.mu.Unlock()
	if p.EventID != "" && first != nil {
		return first, true, nil
	}
	m := &postern.Message{
		ID:          postern.NewMessageID(w.now, store.SoleJournal, next, uint64(len(p.Payload))),
		Application: p.Application, EventType: p.EventType, ContentType: p.ContentType, EventID: p.EventID,
		Channels: p.Channels, Tags: p.Tags, Size: len(p.Payload), Source: p.Source, ProviderEventType: p.ProviderEventType,
		Routes: w.cat.Snapshot(p.Application).Routes.Match(p.EventType, p.Channels),
	}
	if p.Only != 0 {
		m.Routes = []postern.EndpointNumber{p.Only}
	}
	slices.Sort(m.Routes)
	w.mu.Lock()
	w.events[eventKey{p.Application, p.EventID}] = m
	w.mu.Unlock()
	err := w.commit(ctx, func(b *store.Batch) {
		b.Accepts = []store.Accept{{Message: m, Content: &postern.Content{Payload: p.Payload}}}
		if p.Repeat != (store.Digest{}) {
			b.Accepts[0].Dedupe = []store.DedupeRecord{{Scope: store.ScopeIdempotency, Digest: p.Repeat, Message: m.ID, Status: 202}}
		}
	})
	if err == nil {
		w.lanes.accepted(m)
	}
	return m, false, err
}

// Repeated implements Repeats.
func (w *world) Repeated(ctx context.Context, digest store.Digest) (store.DedupeRecord, bool, error) {
	return w.store.Dedupe(ctx, store.ScopeIdempotency, digest, w.now.Add(-12*time.Hour))
}

// Alone implements Repeats.
func (w *world) Alone(context.Context, store.Digest) (release func(), err error) {
	return func() {}, nil
}

// KeepAnswer implements Repeats.
func (w *world) KeepAnswer(ctx context.Context, record store.DedupeRecord) error {
	record.Message = postern.NewMessageID(w.now, 1, 0, 0)
	return w.commit(ctx, func(b *store.Batch) { b.Answers = []store.DedupeRecord{record} })
}

// Expunge implements Expunger.
func (w *world) Expunge(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID) error {
	return w.commit(ctx, func(b *store.Batch) { b.Expunged = []store.ContentKey{{Application: app, Message: id}} })
}

// ExpungeAll implements Expunger.
func (w *world) ExpungeAll(ctx context.Context, app postern.ApplicationNumber) (*postern.Replay, error) {
	return w.replays.ExpungeAll(ctx, app)
}

// Redact implements Expunger.
func (w *world) Redact(ctx context.Context, a postern.Attempt) error {
	return w.commit(ctx, func(b *store.Batch) { b.Redacted = []*postern.Attempt{&a} })
}

// inbound is the real one, without an address.
func (w *world) inbound() *intake.Handler {
	return intake.New(intake.Config{Secrets: w.box, Publisher: w, EventTypes: w.cat, PublicURL: publicURL, Now: w.clock})
}

// Match implements Router.
func (w *world) Match(app postern.ApplicationNumber, eventType string, channels []string) ([]postern.EndpointNumber, bool) {
	return w.cat.Snapshot(app).Routes.Match(eventType, channels), true
}

// Resend implements Publisher.
func (w *world) Resend(ctx context.Context, d store.DeliveryKey) error {
	return w.commit(ctx, func(b *store.Batch) {
		b.Rows = []store.RowChange{{Put: &postern.Row{
			Endpoint: d.Endpoint, Application: d.Application, Message: d.Message, Generation: 1,
			Next: w.now, Trigger: postern.Manual,
		}}}
	})
}

// Cancel implements Publisher.
func (w *world) Cancel(ctx context.Context, d store.DeliveryKey) error {
	standing, err := w.store.Standing(ctx, d)
	if err != nil {
		return err
	}
	if standing.State.Final() {
		return &postern.Error{Kind: postern.Conflict, Detail: "The delivery is finished"}
	}
	return w.commit(ctx, func(b *store.Batch) {
		b.Finals = []postern.Final{{
			Endpoint: d.Endpoint, Application: d.Application, Message: d.Message,
			State: postern.Canceled, Reason: postern.ReasonCanceled, At: w.now,
		}}
	})
}

// MessageByEventID implements EventIDs.
func (w *world) MessageByEventID(_ context.Context, app postern.ApplicationNumber, eventID string) (postern.MessageID, error) {
	if m := w.events[eventKey{app, eventID}]; m != nil {
		return m.ID, nil
	}
	return postern.MessageID{}, postern.ErrNotFound
}

// settle stores an attempt, and the row of a delivery that is retried.
func (w *world) settle(a postern.Attempt) {
	w.t.Helper()
	err := w.commit(w.t.Context(), func(b *store.Batch) {
		b.Attempts = []*postern.Attempt{&a}
		if a.State == postern.Retrying {
			b.Rows = []store.RowChange{{Put: &postern.Row{
				Endpoint: a.Endpoint, Application: a.Application, Message: a.Message,
				Generation: 1, Tries: 1, Attempts: 1, Next: a.Next,
			}}}
		}
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// response is an answer with its body read.
type response struct {
	*http.Response
	body string
}

// do sends a request as the admin.
func (w *world) do(method, path, body string) response {
	w.t.Helper()
	return w.as(adminToken, method, path, body)
}

// as sends a request and holds every answer to the rules that all of them obey.
func (w *world) as(token, method, path, body string) response {
	w.t.Helper()
	r := httptest.NewRequest(method, Prefix+path, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if strings.HasPrefix(path, "/tail") { // it would be answered for ever
		ctx, cancel := context.WithCancel(r.Context())
		cancel()
		r = r.WithContext(ctx)
	}
	return w.send(r)
}

func (w *world) send(r *http.Request) response {
	w.t.Helper()
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	got := response{recorder.Result(), recorder.Body.String()}
	checkAnswer(w.t, r, got)
	isJSON := got.Header.Get("Content-Type") == "application/json" && json.Valid([]byte(got.body))
	switch {
	case got.StatusCode >= 300 && got.StatusCode < 400:
		w.t.Errorf("%s %s is redirected", r.Method, r.URL)
	case got.StatusCode == http.StatusNoContent && got.body != "":
		w.t.Errorf("%s %s: 204 with body %q", r.Method, r.URL, got.body)
	case got.Header.Get("Content-Type") == "text/event-stream":
	case got.StatusCode != http.StatusNoContent && !isJSON && !strings.HasSuffix(r.URL.Path, "/raw"):
		w.t.Errorf("%s %s: %d is not JSON but %q", r.Method, r.URL, got.StatusCode, got.body)
	}
	return got
}

// want is do, which must succeed with the status; it returns the body's fields.
func (w *world) want(status int, method, path, body string) map[string]any {
	w.t.Helper()
	got := w.do(method, path, body)
	if got.StatusCode != status {
		w.t.Fatalf("%s %s: status %d, want %d: %s", method, path, got.StatusCode, status, got.body)
	}
	fields := map[string]any{}
	if status != http.StatusNoContent {
		if err := json.Unmarshal([]byte(got.body), &fields); err != nil {
			w.t.Fatalf("%s %s: %v: %s", method, path, err, got.body)
		}
	}
	return fields
}

// refused is a request that must fail with the status and a body that holds
// the text.
func (w *world) refused(status int, text, method, path, body string) {
	w.t.Helper()
	got := w.do(method, path, body)
	if got.StatusCode != status || !strings.Contains(got.body, text) {
		w.t.Errorf("%s %s: %d %s, want %d with %q", method, path, got.StatusCode, got.body, status, text)
	}
}

// must creates and returns the id.
func (w *world) must(path, body string) string {
	w.t.Helper()
	status := http.StatusCreated
	if strings.HasSuffix(path, "/msg") {
		status = http.StatusAccepted
	}
	id, _ := w.want(status, "POST", path, body)["id"].(string)
	if id == "" {
		w.t.Fatalf("POST %s returned no id", path)
	}
	return id
}

// ids are those of a list's page.
func ids(t testing.TB, page map[string]any) []string {
	t.Helper()
	data, ok := page["data"].([]any)
	if !ok {
		t.Fatalf("a list without data: %v", page)
	}
	list := []string{}
	for _, entry := range data {
		record, _ := entry.(map[string]any)
		name, _ := record["id"].(string)
		if name == "" {
			name, _ = record["name"].(string)
		}
		list = append(list, name)
	}
	return list
}

// cutOffBody ends before its time.
type cutOffBody struct{ io.Reader }

func (b cutOffBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

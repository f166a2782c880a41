package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
)

// TestMain also looks for goroutines that outlive their test. The database
// under the store keeps one of its own for good.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// app is the application of tests that need one.
const app postern.ApplicationNumber = 1

// rig is a dispatcher on a store in memory. The test is its committer, one step
// at a time, and its network: an attempt waits until the test answers it. It
// lives in a synctest bubble.
type rig struct {
	t   *testing.T
	st  *heldStore
	cat *catalogue
	cfg Config
	d   *Dispatcher

	head    store.Head
	stop    context.CancelFunc
	callers []context.CancelFunc // of commands, gone with the dispatcher
	byHand  bool                 // the test spreads what has arrived, slice by slice
	// recovered is called before the dispatcher starts; nil for nothing.
	recovered func()

	mu       sync.Mutex
	commands []Part
	settles  []Part
	tries    []*try
	events   []postern.Reason
	canceled []store.DeliveryKey
	attempts []*postern.Attempt
	waiting  func(postern.EndpointNumber) // nil for nobody
	offset   time.Duration                // of the wall clock
}

// bubble runs a test with a rig on a new store in memory.
func bubble(t *testing.T, cfg Config, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		st, err := embedded.Open(t.Context(), "memory:", embedded.Options{ReserveBytes: -1})
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{t: t, st: &heldStore{Store: st}, cat: newCatalogue(), cfg: cfg}
		r.head = store.Head{Next: 1, Low: 1}
		defer func() {
			r.end()
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		}()
		r.start()
		test(r)
	})
}

// start makes a dispatcher of what the store holds.
func (r *rig) start() {
	r.t.Helper()
	cfg := r.cfg
	cfg.Store, cfg.Catalogue, cfg.Sender, cfg.Now = r.st, r.cat, (*sender)(r), r.now
	if cfg.Schedule == nil {
		cfg.Schedule = slices.Repeat(postern.RetrySchedule{10 * time.Second}, 60)
	}
	cfg.Settle = func(p Part, _ int) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.settles = append(r.settles, p)
		return nil
	}
	cfg.Command = func(p Part) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.commands = append(r.commands, p)
		return nil
	}
	cfg.Events = Events{
		Ended:    func(reason postern.Reason) { r.events = append(r.events, reason) },
		Canceled: func(d store.DeliveryKey) { r.canceled = append(r.canceled, d) },
		Waiting: func(n postern.EndpointNumber) {
			if r.waiting != nil {
				r.waiting(n)
			}
		},
		Attempted: func(a *postern.Attempt) {
			kept := *a
			r.attempts = append(r.attempts, &kept)
		},
	}
	r.d = New(cfg, r.head)
	r.cat.follow(r)
	if err := r.d.Recover(r.t.Context(), r.head.Low); err != nil {
		r.t.Fatal(err)
	}
	if r.recovered != nil {
		r.recovered()
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	r.d.Start(ctx)
	if r.byHand {
		r.d.mu.Lock()
		r.d.workers.spread = func() {}
		r.d.mu.Unlock()
	}
	synctest.Wait()
}

// spread hands a slice over, if there is more than a batch did by itself.
func (r *rig) spread() bool {
	r.d.mu.Lock()
	active := r.d.arrivals.active
	r.d.mu.Unlock()
	return active && r.d.spreadSlice()
}

// end stops the dispatcher; what is being tried is cut off.
func (r *rig) end() {
	r.t.Helper()
	r.stop()
	for _, leave := range r.callers {
		leave()
	}
	r.callers = nil
	r.st.release()
	for r.spread() {
	}
	synctest.Wait()
	if err := r.d.Stop(r.t.Context()); err != nil {
		r.t.Errorf("Stop: %v", err)
	}
	for _, p := range r.settles {
		r.visit(p, func() { p.Done(errors.ErrUnsupported) })
	}
	synctest.Wait()
	r.commands, r.settles, r.tries = nil, nil, nil
}

// restart ends the dispatcher and starts another on what is stored.
func (r *rig) restart() {
	r.t.Helper()
	r.end()
	var err error
	if r.head, err = r.st.Head(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	r.start()
}

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Add(r.offset)
}

// jump sets the wall clock.
func (r *rig) jump(by time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.offset += by
}

// pass lets time go by, and all that it causes happen.
func (r *rig) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// endpoint makes the next endpoint of an application.
func (r *rig) endpoint(app postern.ApplicationNumber, edit func(*postern.EndpointView)) postern.EndpointNumber {
	n := r.cat.add(app, edit)
	for _, each := range r.cat.rigs {
		each.commit(&partFunc{build: func(b *store.Batch) {
			b.Changes = append(b.Changes, store.Change{Put: &postern.Application{ID: postern.ApplicationID{byte(app)}, Number: app}},
				store.Change{Put: &postern.Endpoint{ID: postern.EndpointID{byte(n)}, Number: n, Application: app, Kind: postern.HTTPEndpoint}})
		}})
	}
	return n
}

// edit changes an endpoint, as its owner would.
func (r *rig) edit(n postern.EndpointNumber, edit func(*postern.EndpointView)) {
	r.cat.edit(n, edit)
	synctest.Wait()
}

func paused(v *postern.EndpointView)  { v.Paused = true }
func resumed(v *postern.EndpointView) { v.Paused = false }
func deleted(v *postern.EndpointView) { v.Deleted = true }

// publish makes a message durable.
func (r *rig) publish(routes ...postern.EndpointNumber) *postern.Message {
	p := r.accept(routes...)
	r.commit(p)
	return p.m
}

// accept makes a message that a batch can take.
func (r *rig) accept(routes ...postern.EndpointNumber) *accepting {
	m := &postern.Message{Application: app, EventType: "a.b", ContentType: "application/json", Routes: routes, Size: 2}
	if len(routes) > 0 {
		m.Application = r.cat.EndpointByNumber(routes[0]).Application
	}
	return &accepting{r: r, m: m}
}

// accepting is the part that accepts a message, as package accept has it.
type accepting struct {
	r     *rig
	m     *postern.Message
	c     postern.Content
	acked bool
}

func (a *accepting) Build(b *store.Batch) {
	a.m.ID = postern.NewMessageID(b.Head.LastTime, b.Head.Journal, b.Head.Next, b.Head.Next*7919)
	b.Head.Next++
	a.c.Payload = []byte("{}")
	b.Accepts = append(b.Accepts, store.Accept{Message: a.m, Content: &a.c})
	a.r.d.Accepting(a.m)
}

func (a *accepting) Done(err error) {
	if err == nil {
		a.acked = true
		a.r.d.Accepted(a.m, &a.c)
	}
}

// partFunc is a part that adds to a batch, and does something once that is
// durable; nil for nothing.
type partFunc struct {
	build func(b *store.Batch)
	done  func()
}

func (p *partFunc) Build(b *store.Batch) { p.build(b) }

func (p *partFunc) Done(err error) {
	if err == nil && p.done != nil {
		p.done()
	}
}

// batch is one on its way: built, then stored, then told.
type batch struct {
	*store.Batch
	r     *rig
	parts []Part
}

// build makes a batch of commands and settles that wait, and of what is given.
func (r *rig) build(parts ...Part) *batch {
	synctest.Wait()
	r.mu.Lock()
	all := slices.Concat(r.commands, r.settles, parts)
	r.commands, r.settles = nil, nil
	r.mu.Unlock()
	return r.buildOf(all...)
}

func (r *rig) buildOf(parts ...Part) *batch {
	b := &batch{Batch: &store.Batch{Head: r.head}, r: r, parts: parts}
	b.Head.Batch++
	if now := r.now().Truncate(time.Millisecond); now.After(b.Head.LastTime) {
		b.Head.LastTime = now.UTC()
	}
	for _, p := range parts {
		r.visit(p, func() { p.Build(b.Batch) })
	}
	r.d.Close(b.Batch)
	for _, c := range b.Rows {
		b.Head.Rows += c.Growth()
	}
	return b
}

// visit builds or tells a part as the committer does.
func (r *rig) visit(p Part, do func()) {
	if _, settle := p.(*claim); settle {
		r.d.Hold()
		defer r.d.Release()
	}
	do()
}

// reopen begins to amend the batch, as after a commit that was refused; close
// ends it.
func (b *batch) reopen() { b.r.d.Reopen(b.r.head.Next) }

func (b *batch) close() { b.r.d.Close(b.Batch) }

// reroute matches a message of the batch anew.
func (b *batch) reroute(a *accepting, routes ...postern.EndpointNumber) {
	before := a.m.Routes
	a.m.Routes = routes
	b.r.d.Rerouted(a.m, before)
}

// withdraw has a message leave the batch.
func (b *batch) withdraw(a *accepting) {
	b.Accepts = slices.DeleteFunc(b.Accepts, func(in store.Accept) bool { return in.Message == a.m })
	b.parts = slices.DeleteFunc(b.parts, func(p Part) bool { return p == Part(a) })
	b.r.d.Withdrawn(a.m)
}

// store makes the batch durable; nobody is told yet.
func (b *batch) store() *batch {
	b.r.t.Helper()
	if err := b.r.st.Commit(b.r.t.Context(), b.Batch); err != nil {
		b.r.t.Fatalf("Commit: %v", err)
	}
	b.r.head = b.Head
	return b
}

// tell ends the batch, and lets happen what follows.
func (b *batch) tell() *batch {
	for _, p := range b.parts {
		b.r.visit(p, func() { p.Done(nil) })
	}
	b.r.d.Synced()
	synctest.Wait()
	return b
}

// commit takes a batch from its beginning to its end.
func (r *rig) commit(parts ...Part) *batch {
	r.t.Helper()
	return r.build(parts...).store().tell()
}

// order has a command queued by an API call; result tells what it returned.
func (r *rig) order(do func(ctx context.Context, key store.DeliveryKey) error, key store.DeliveryKey) (result chan error) {
	result = make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	r.callers = append(r.callers, cancel)
	go func() { result <- do(ctx, key) }()
	synctest.Wait()
	return result
}

func (r *rig) key(m *postern.Message, n postern.EndpointNumber) store.DeliveryKey {
	return store.DeliveryKey{Application: m.Application, Endpoint: n, Message: m.ID}
}

// standing is what the store has of a delivery.
func (r *rig) standing(m *postern.Message, n postern.EndpointNumber) store.Standing {
	r.t.Helper()
	s, err := r.st.Standing(r.t.Context(), r.key(m, n))
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// row is the behind row that the store has of an endpoint; nil for none.
func (r *rig) row(n postern.EndpointNumber) *store.BehindRow {
	r.t.Helper()
	rows, err := r.st.Behind(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range rows {
		if rows[i].Endpoint == n {
			return &rows[i]
		}
	}
	return nil
}

// try is an attempt under way; a value on answer ends it.
type try struct {
	message  postern.MessageID
	endpoint postern.EndpointNumber
	attempt  *postern.Attempt
	answer   chan answer // capacity 1
	at       time.Time
}

// answer is what an endpoint says.
type answer struct {
	code  int
	fault bool // the fault was ours
	edit  func(a *postern.Attempt)
}

// under are the tries under way, by message and endpoint; of some endpoints if
// any are named.
func (r *rig) under(endpoints ...postern.EndpointNumber) []*try {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	list := slices.SortedFunc(slices.Values(r.tries), func(a, b *try) int {
		return cmp.Or(a.message.Compare(b.message), cmp.Compare(a.endpoint, b.endpoint))
	})
	return slices.DeleteFunc(list, func(y *try) bool {
		return len(endpoints) > 0 && !slices.Contains(endpoints, y.endpoint)
	})
}

// only is the one try under way.
func (r *rig) only(endpoints ...postern.EndpointNumber) *try {
	r.t.Helper()
	list := r.under(endpoints...)
	if len(list) != 1 {
		r.t.Fatalf("%d tries under way, want 1", len(list))
	}
	return list[0]
}

// say answers tries, and lets happen what follows; nothing is committed.
func (r *rig) say(a answer, tries ...*try) {
	for _, y := range tries {
		r.mu.Lock()
		r.tries = slices.DeleteFunc(r.tries, func(other *try) bool { return other == y })
		r.mu.Unlock()
		y.answer <- a
	}
	synctest.Wait()
}

// drain answers and commits until nothing is under way, at most so often.
func (r *rig) drain(a answer, rounds int) (answered int) {
	for range rounds {
		tries := r.under()
		if len(tries) == 0 {
			break
		}
		answered += len(tries)
		r.say(a, tries...)
		r.commit()
	}
	return answered
}

// sender is the rig as the network.
type sender rig

func (s *sender) Prepare(v *postern.EndpointView) (Line, error) { return &line{(*rig)(s), v}, nil }

type line struct {
	r    *rig
	view *postern.EndpointView
}

func (l *line) Send(ctx context.Context, m *postern.Message, _ *postern.Content, a *postern.Attempt) bool {
	r := l.r
	y := &try{message: m.ID, endpoint: l.view.Number, attempt: a, answer: make(chan answer, 1), at: time.Now()}
	r.mu.Lock()
	r.tries = append(r.tries, y)
	r.mu.Unlock()
	select {
	case said := <-y.answer:
		a.Code, a.Succeeded, a.Timings.Total = said.code, said.code/100 == 2, time.Since(y.at)
		if said.edit != nil {
			said.edit(a)
		}
		return !said.fault
	case <-ctx.Done():
		return false
	}
}

// catalogue holds endpoints.
type catalogue struct {
	mu    sync.Mutex
	views map[postern.EndpointNumber]*postern.EndpointView
	rigs  []*rig // whose dispatchers are told of changes
}

func newCatalogue() *catalogue {
	return &catalogue{views: map[postern.EndpointNumber]*postern.EndpointView{}}
}

func (c *catalogue) follow(r *rig) {
	if !slices.Contains(c.rigs, r) {
		c.rigs = append(c.rigs, r)
	}
}

func (c *catalogue) add(app postern.ApplicationNumber, edit func(*postern.EndpointView)) postern.EndpointNumber {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := postern.EndpointNumber(len(c.views) + 1)
	v := &postern.EndpointView{Endpoint: postern.Endpoint{Number: n, Application: app, Kind: postern.HTTPEndpoint, URL: fmt.Sprint("https://example.com/", n)}}
	if edit != nil {
		edit(v)
	}
	c.views[n] = v
	return n
}

func (c *catalogue) edit(n postern.EndpointNumber, edit func(*postern.EndpointView)) {
	c.mu.Lock()
	v := *c.views[n]
	edit(&v)
	c.views[n] = &v
	c.mu.Unlock()
	for _, r := range c.rigs {
		r.d.Changed(n)
	}
}

func (c *catalogue) numbers() []postern.EndpointNumber {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.views))
}

func (c *catalogue) EndpointByNumber(n postern.EndpointNumber) *postern.EndpointView {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.views[n]
}

func (c *catalogue) RetrySchedule(string) postern.RetrySchedule { return nil }

func (c *catalogue) ApplyHealth(n postern.EndpointNumber, h postern.Health) {
	c.edit(n, func(v *postern.EndpointView) { v.Health = h })
}

// heldStore is a store whose reads by scan and schedule can be held up after
// they have read, so that what they return is old.
type heldStore struct {
	store.Store
	mu   sync.Mutex
	gate chan struct{} // closed by release; nil while reads are not held
	held int           // reads that wait
	fail error         // what the next reads return
	n    int           // reads in all
}

// hold has reads wait from now on.
func (h *heldStore) hold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gate == nil {
		h.gate = make(chan struct{})
	}
}

// release lets held reads go on, and further ones through.
func (h *heldStore) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gate != nil {
		close(h.gate)
		h.gate = nil
	}
}

// waiting is how many reads are held.
func (h *heldStore) waiting() int {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held
}

// reads is how many scans and reads of a schedule there were.
func (h *heldStore) reads() int {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.n
}

func (h *heldStore) failWith(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fail = err
}

func (h *heldStore) pass() error {
	h.mu.Lock()
	gate, err := h.gate, h.fail
	h.n++
	if gate != nil {
		h.held++
	}
	h.mu.Unlock()
	if gate != nil {
		<-gate
		h.mu.Lock()
		h.held--
		h.mu.Unlock()
	}
	return err
}

func (h *heldStore) Scan(ctx context.Context, q store.ScanQuery) (store.ScanResult, error) {
	result, err := h.Store.Scan(ctx, q)
	if held := h.pass(); held != nil {
		return store.ScanResult{}, held
	}
	return result, err
}

func (h *heldStore) Due(ctx context.Context, n postern.EndpointNumber, after store.DueCursor, limit int) ([]postern.Row, error) {
	rows, err := h.Store.Due(ctx, n, after, limit)
	if held := h.pass(); held != nil {
		return nil, held
	}
	return rows, err
}

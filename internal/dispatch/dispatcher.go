package dispatch

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Store is what dispatch reads.
type Store interface {
	store.Deliveries
	Message(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID) (*postern.Message, error)
	Content(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID) (*postern.Content, error)
	EachAttempt(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID, fn func(*postern.Attempt) bool) ([]postern.Final, error)
}

// Catalogue is what dispatch knows of endpoints.
type Catalogue interface {
	// EndpointByNumber is nil, or a view that is Deleted, for one that is gone.
	EndpointByNumber(n postern.EndpointNumber) *postern.EndpointView
	// RetrySchedule is the event type's own; nil for none.
	RetrySchedule(eventType string) postern.RetrySchedule
	// ApplyHealth makes a stored health visible.
	ApplyHealth(n postern.EndpointNumber, h postern.Health)
}

// Sender makes lines.
type Sender interface {
	// Prepare makes what sends an endpoint's deliveries. An error is a fault on
	// our side, such as a lost key ring: deliveries wait, and none is an attempt.
	Prepare(v *postern.EndpointView) (Line, error)
}

// Line sends the deliveries of one endpoint as it was configured at one time.
type Line interface {
	// Send tries once and fills in what came of it: Succeeded, Code, Failure,
	// Response, RetryAfter, Permanent, Redialed, URL, Timings. It reports false
	// when the fault was on our own side, so that it is not an attempt.
	Send(ctx context.Context, m *postern.Message, c *postern.Content, a *postern.Attempt) bool
}

// Part is what dispatch puts into batches; see package journal.
type Part interface {
	Build(b *store.Batch)
	Done(err error)
}

// Config is what a Dispatcher needs. Store, Catalogue, Sender, Settle and
// Command are required.
type Config struct {
	Store     Store
	Catalogue Catalogue
	Sender    Sender
	// Settle and Command hand a part to the committer.
	Settle  func(p Part, size int) error
	Command func(p Part) error
	// Schedule is for deliveries whose endpoint and event type set none; the
	// default one when nil.
	Schedule postern.RetrySchedule
	// QueueLength bounds a lane's queue; 1024 when 0.
	QueueLength int
	// Beside is another dispatcher of this node, for another journal. The bounds that
	// follow, and what is known of how endpoints answer, are then that one's, and
	// hold for both together. Nil for the first.
	Beside *Dispatcher
	// Places bounds attempts under way, MaxClaims what is queued, MaxBytes the
	// payloads held for that; 2048, 65,536 (each some 700 bytes) and 64 MiB when 0.
	Places, MaxClaims, MaxBytes int
	// Failing are endpoints that did nothing but fail before the start.
	Failing []postern.EndpointNumber
	// Slice is how many routes of a message are handed to their lanes at once;
	// 64 when 0.
	Slice int
	// Leased is until when the journal is held for sure; for ever when nil. No
	// attempt starts close to its end, nor while it is zero. It comes from time.Now,
	// and is asked often, with locks held.
	Leased func() time.Time
	// Share is the part of an endpoint's rate limit, from 0 to 1, that is this
	// dispatcher's; 1 when nil. It is asked at each attempt, with locks held.
	Share func(n postern.EndpointNumber) float64
	// Taken reports whether deliveries of an endpoint that is no HTTP one are taken
	// with Take, rather than sent; those of pull endpoints when nil. It is asked with
	// locks held, once there is work, and its answer does not change.
	Taken func(v *postern.EndpointView) bool
	// Now is the wall clock of stored times; time.Now when nil.
	Now    func() time.Time
	Log    *slog.Logger
	Events Events
}

// Events are called without locks held; nil ones are not.
type Events struct {
	// Attempted is told of each attempt once it is stored.
	Attempted func(a *postern.Attempt)
	// Ended is told of a delivery that ended without an attempt.
	Ended func(reason postern.Reason)
	// Canceled is told of each that was canceled or expunged, also where an attempt
	// is under way that is told as such.
	Canceled func(d store.DeliveryKey)
	// Waiting is told of a pull endpoint that Take may give something of. It is
	// called with locks held: it notes that and returns.
	Waiting func(n postern.EndpointNumber)
}

func (e *Events) waiting(n postern.EndpointNumber) {
	if e.Waiting != nil {
		e.Waiting(n)
	}
}

// Dispatcher holds the lanes of one journal.
type Dispatcher struct {
	cfg      Config
	journal  uint16
	troubles troubles

	*pool       // its lock guards what follows
	held    use // of what the pool has
	lanes   map[postern.EndpointNumber]*lane
	limited map[*lane]struct{} // those whose rate was asked for
	active  active             // lanes with claims
	dirty   []*lane
	cover   *cover
	next    uint64 // the position after the last batch
	// handed is the id that follows everything that was handed over to all: ids
	// of later messages are not below it. See handedTo.
	handed   postern.MessageID
	arrivals arrivals

	lapsed     bool   // something waits for a longer lease
	wentBehind uint64 // lanes that did, since the start
	alarm      alarm
	refills    refills
	workers    workers
	healths    []store.HealthChange // stored, to be made visible
	unsynced   []*lane              // whose health the batch in hand stores
	told       []*claim             // settled, to be told to Events
	expiry     *expiry              // under way; nil for none
	dropped    postern.MessageID    // messages below it are gone
	failed     bool                 // nothing is stored any more
	stopping   bool
	stopReads  func() // nil before Start
}

// New makes a dispatcher for a journal that stands at head, and for messages of
// that journal alone. Recover must be called before anything is handed over.
func New(cfg Config, head store.Head) *Dispatcher {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Schedule == nil {
		cfg.Schedule = postern.DefaultRetrySchedule()
	}
	cfg.QueueLength = orDefault(cfg.QueueLength, 1024)
	cfg.Places = orDefault(cfg.Places, 2048)
	cfg.MaxClaims = orDefault(cfg.MaxClaims, 1<<16)
	cfg.Slice = orDefault(cfg.Slice, 64)
	cfg.MaxBytes = orDefault(cfg.MaxBytes, 64<<20)
	low, next := max(head.Low, 1), max(head.Next, 1)
	d := &Dispatcher{
		cfg: cfg, journal: head.Journal,
		lanes: make(map[postern.EndpointNumber]*lane), limited: make(map[*lane]struct{}),
		cover: newCover(low, next), next: next,
	}
	d.handed = postern.NewMessageID(head.LastTime, head.Journal, next, 0)
	if cfg.Beside != nil {
		d.pool = cfg.Beside.pool
	} else {
		d.pool = newPool(&cfg)
	}
	d.alarm.init(d)
	d.refills.init(d)
	return d
}

// Accepting is called while a batch is built, with the message's id made: its
// deliveries count from here on.
func (d *Dispatcher) Accepting(m *postern.Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	position := m.ID.Position()
	d.cover.extend(position + 1)
	d.cover.add(position, len(m.Routes))
}

// Synced ends a batch: what became durable is made visible, and what can start
// does, which an endpoint that was just disabled cannot.
func (d *Dispatcher) Synced() {
	d.mu.Lock()
	healths, told := d.healths, d.told
	d.healths, d.told = nil, nil
	d.mu.Unlock()
	for _, h := range healths {
		d.cfg.Catalogue.ApplyHealth(h.Endpoint, h.Health)
	}
	d.mu.Lock()
	d.healthsSynced()
	d.pump()
	d.mu.Unlock()
	for _, c := range told {
		d.tell(c)
	}
}

// Changed has a lane follow its endpoint's new configuration.
func (d *Dispatcher) Changed(n postern.EndpointNumber) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.lanes[n]
	if l == nil {
		return
	}
	l.reach.blockedUntil, l.reach.probeAt = time.Time{}, time.Time{}
	if l.rowState != rowNone {
		d.mark(l)
	}
	d.refills.want(l)
	d.offer(l)
	d.pump()
}

// feed queues a delivery that counts at its position, or leaves it to a behind
// row.
func (d *Dispatcher) feed(n postern.EndpointNumber, app postern.ApplicationNumber, id postern.MessageID, shared *load) {
	view := d.cfg.Catalogue.EndpointByNumber(n)
	if view == nil || view.Deleted {
		d.cover.remove(id.Position())
		return
	}
	l := d.lane(n, app)
	switch {
	case !l.fed:
		// The row covers it, or the lane's hold at an earlier position does.
		d.cover.remove(id.Position())
	case !view.Deliverable() || !d.admit(l):
		d.fall(l, id)
		d.cover.remove(id.Position())
		d.refills.want(l) // nothing else asks for a lane that is empty
	default:
		c := &claim{lane: l, id: id, load: shared, counts: l.counting}
		if !c.counts {
			d.cover.remove(id.Position())
		}
		shared.claims++
		l.open.push(c)
		d.enqueue(c)
	}
}

// enqueue adds a claim to its lane's set and queue.
func (d *Dispatcher) enqueue(c *claim) {
	c.phase, c.since = queued, d.now()
	if len(c.lane.set) == 0 {
		d.active.add(c.lane)
	}
	c.lane.set[c.position()] = c
	d.push(c)
	d.offer(c.lane)
}

// forget takes a claim out of memory; its queue entry is already gone.
func (d *Dispatcher) forget(c *claim) {
	l := c.lane
	if delete(l.set, c.position()); len(l.set) == 0 {
		d.active.remove(l)
	}
	l.touch(c.position())
	d.uncover(c)
	if c.hasRow {
		l.moveBack(&c.row)
		d.wakeForRow(l, dueAt(&c.row, d.now()))
	}
	if c.load != nil {
		d.release(c.load)
		c.load = nil
	}
	l.lastUsed = d.now()
}

// uncover has a claim no longer hold Low, nor a behind row.
func (d *Dispatcher) uncover(c *claim) {
	if c.counts {
		c.counts = false
		d.cover.remove(c.position())
	}
	c.lane.open.remove(c)
}

func (d *Dispatcher) release(shared *load) {
	if shared.claims--; shared.claims == 0 {
		d.inMemory(-shared.bytes)
	}
}

// lane is the endpoint's lane, made if it has none.
func (d *Dispatcher) lane(n postern.EndpointNumber, app postern.ApplicationNumber) *lane {
	if l := d.lanes[n]; l != nil {
		return l
	}
	l := newLane(d, n)
	l.lastUsed = d.now()
	if d.join(l, app); d.stopping {
		d.part(l) // as the others have
	}
	d.lanes[n] = l
	d.alarm.arm()
	return l
}

// drop forgets a lane that is idle.
func (d *Dispatcher) drop(l *lane) {
	delete(d.lanes, l.number)
	delete(d.limited, l)
	d.part(l)
}

// now is the clock that lanes go by. Its monotonic part serves intervals.
func (d *Dispatcher) now() time.Time { return d.cfg.Now() }

// batchRead bounds what is read while a batch is built: all that is to be stored
// waits for it.
const batchRead = 5 * time.Second

// inBatch is the context of such a read. Whoever asked for it may be gone: within
// a batch nothing is given up for that.
func inBatch() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), batchRead)
}

func jitter() float64 { return rand.Float64() } //nolint:gosec // it spreads waits

func orDefault(v, def int) int {
	if v == 0 {
		return def
	}
	return v
}

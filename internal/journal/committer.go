// Package journal makes what happens durable: one committer gathers accepts,
// settles, catalogue changes and commands into batches and commits one batch
// at a time, with one fsync for all of it.
//
// What goes into a batch is a Part. The committer knows nothing of messages or
// lanes; it promises this:
//
//  1. Build is called by one goroutine, part after part, in the order in which
//     parts are stored. A part that is built sees what earlier ones built.
//  2. Done is called once for every part taken, after the batch is durable and
//     in the same order, with nil; or with the error for which it is not.
//  3. Nothing is dropped: Enqueue refuses, or Done is called.
//
// Where several nodes share a store, it may refuse a batch on account of what
// another one has stored meanwhile. The batch is then made right and committed
// again, as often as it takes: see Amender, and the class Change.
package journal

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Part is something to be stored.
type Part interface {
	// Build adds the part to the batch. It must not block.
	Build(b *store.Batch)
	// Done tells that the part is durable, or with an error that it is not.
	// It must not block.
	Done(err error)
}

// Class says how a part is queued.
type Class uint8

const (
	// Accept parts are taken while the store admits them and the queue has
	// room; a request waits for them.
	Accept Class = iota
	// Command parts are taken also where accepts are not, unless the store is
	// away altogether: somebody waits for them.
	Command
	// Change parts are queued as Command ones. They change the catalogue, and
	// whoever waits for one may hold locks of it: when another node has changed it
	// meanwhile they are not stored, and told so at once, with store.CodeMoved, be
	// they built or queued.
	Change
	// Settle parts are always taken and may wait a little: for the next accept,
	// or a few milliseconds.
	Settle
	classes
)

// Cover completes each batch with what covers unsettled deliveries: behind
// rows and Low.
type Cover interface {
	// Hold and Release bracket Build and Done of settles that stand in a row:
	// what they share is locked once and not for each.
	Hold()
	Release()
	// Close is the last to build a batch.
	Close(b *store.Batch)
	// Reopen is called where the store refused a batch that was closed: its
	// messages, which are those at and after a position, may be routed anew or
	// leave, and Close is called once more, with the same batch. What it added
	// before stays in it.
	Reopen(from uint64)
	// Synced is called after all parts of a durable batch were told.
	Synced()
}

// Config is what a Committer needs. Store and Cover are required.
type Config struct {
	Store store.Journal
	Cover Cover
	// Version is that of the catalogue as this node knows it, read before parts are
	// built, and Refresh has it know what all others have changed by now. Refresh
	// may wait for locks that are held until a Change part is told. Both are nil,
	// and Version is taken for 0, where no other node changes it.
	Version func() uint64
	Refresh func(ctx context.Context) error
	// Log gets what the operator should know; nil for none of it.
	Log *slog.Logger
	// Now gives the time of ids; time.Now when nil.
	Now func() time.Time
	// MaxParts and MaxBytes bound a batch; 2048 and 4 MiB when 0.
	MaxParts, MaxBytes int
	// MaxQueued bounds the bytes of waiting accepts, past which they are
	// refused; DefaultMaxQueued when 0.
	MaxQueued int
	// AlwaysLinger waits for company before every batch. It is needed where a
	// blocking fsync holds the only processor.
	AlwaysLinger bool
	// Transactions: a batch is a transaction of a database, which costs more CPU than a
	// file's fsync whatever it holds, so that it waits longer for more company.
	Transactions bool
	// Observe is told of each durable batch; may be nil.
	Observe func(BatchStats)
}

// DefaultMaxQueued is what waiting accepts come to, in bytes, before more are
// refused: the last that is taken may go beyond it.
const DefaultMaxQueued = 64 << 20

// BatchStats describes one durable batch.
type BatchStats struct {
	Accepts, Settles, Commands int
	// Commit is how long the store took, fsync included.
	Commit time.Duration
}

const (
	// linger is how long a small batch waits for company, smallBatch what
	// counts as small: an fsync costs more CPU than several messages.
	linger     = 300 * time.Microsecond
	smallBatch = 16
	// The same where batches are transactions, which cost as much as ten messages. Of
	// nodes that share the publishers each one's batches would be the smaller for it.
	transactionLinger = time.Millisecond
	smallTransaction  = 32
	// settleWait is how long settles wait for an accept to ride with, and
	// settleBatch how many of them do not wait.
	settleWait  = 10 * time.Millisecond
	settleBatch = 64
)

// Committer is the one writer of a store's journal.
type Committer struct {
	cfg    Config
	linger time.Duration // how long a batch of fewer than small parts waits for company
	small  int
	head   store.Head

	mu      sync.Mutex
	queues  [classes][]entry
	bytes   int // of all waiting accepts
	closed  bool
	ended   bool // Run is over: nobody takes settles any more
	hurried bool // what waits has no company to wait for
	moved   bool // the catalogue is being refreshed: Change parts are refused
	failure error
	wake    chan struct{} // capacity 1; closed by nobody
	abandon func()        // ends the context of commits; nil before Run

	rows atomic.Int64 // the head's, for who asks

	batch    store.Batch
	taken    []entry
	counts   [classes]int
	built    span
	lastSize int
	passed   bool // an accept larger than a batch waits for its turn
}

// entry is a part with its size in bytes, as far as it counts.
type entry struct {
	part  Part
	size  int
	class Class
}

// New makes a committer that goes on from head. Run must be called for parts
// to be stored.
func New(cfg Config, head store.Head) *Committer {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Version == nil {
		cfg.Version = func() uint64 { return 0 }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.MaxParts = orDefault(cfg.MaxParts, 2048)
	cfg.MaxBytes = orDefault(cfg.MaxBytes, 4<<20)
	cfg.MaxQueued = orDefault(cfg.MaxQueued, DefaultMaxQueued)
	if head.Next == 0 {
		head.Next, head.Low = 1, 1
	}
	c := &Committer{cfg: cfg, linger: linger, small: smallBatch, head: head, wake: make(chan struct{}, 1)}
	if cfg.Transactions {
		c.linger, c.small = transactionLinger, smallTransaction
	}
	c.rows.Store(head.Rows)
	return c
}

// Enqueue hands a part over. Accepts are refused with an error of kind
// Unavailable when the queue is full or the store takes none, commands when the
// store is away; every class is refused after Close or a failed commit.
func (c *Committer) Enqueue(class Class, p Part, size int) error {
	if class != Settle {
		if err := c.cfg.Store.Admit(); err != nil && (class == Accept || away(err)) {
			return err
		}
	}
	c.mu.Lock()
	if err := c.refuses(class); err != nil {
		c.mu.Unlock()
		return err
	}
	if class == Accept {
		c.bytes += size
	}
	c.queues[class] = append(c.queues[class], entry{p, size, class})
	n := len(c.queues[class])
	c.mu.Unlock()
	if n == 1 || n == c.small || n == settleBatch {
		c.signal()
	}
	return nil
}

// Hurry tells that no accepts are on the way, so that those that wait have no
// company to wait for.
func (c *Committer) Hurry() {
	c.mu.Lock()
	c.hurried = len(c.queues[Accept]) > 0
	c.mu.Unlock()
	c.signal()
}

// Full reports whether accepts would be refused now: what a request asks
// before it is read.
func (c *Committer) Full() error {
	if err := c.cfg.Store.Admit(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refuses(Accept)
}

// refuses is called with the lock held.
func (c *Committer) refuses(class Class) error {
	switch {
	case c.failure != nil:
		return &postern.Error{Kind: postern.Unavailable, Detail: "the store failed and takes nothing more", Err: c.failure}
	case c.ended || c.closed && class != Settle:
		return &postern.Error{Kind: postern.Unavailable, Detail: "shutting down"}
	case class == Change && c.moved:
		return errMoved
	case class == Accept && c.bytes > c.cfg.MaxQueued:
		return &postern.Error{Kind: postern.Unavailable, Detail: "too many messages are waiting to be stored; try again"}
	}
	return nil
}

// Close has Run store what is queued and return. Settles are still taken until
// then; nothing else is.
func (c *Committer) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.signal()
}

// Abandon has Run end at once where its store is away, which Commit would wait
// for. What is not stored is told so, and Run returns why.
func (c *Committer) Abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.abandon != nil {
		c.abandon()
	}
}

// Run commits until Close, and returns nil, or until a batch fails, and
// returns why. A cancelled ctx does not stop it: what was taken must be told.
func (c *Committer) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // a batch is never given up half-way
	defer cancel()
	c.mu.Lock()
	c.abandon = cancel
	c.mu.Unlock()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for c.gather(timer) {
		if err := c.commit(ctx); err != nil {
			c.fail(err)
			return err
		}
	}
	return nil
}

// gather waits until there is a batch worth committing and takes it. It
// reports false when the committer is closed and its queues are empty.
func (c *Committer) gather(timer *time.Timer) bool {
	var settlesSince, lingerSince time.Time
	for {
		c.mu.Lock()
		urgent := len(c.queues[Accept]) + len(c.queues[Command]) + len(c.queues[Change])
		settles := len(c.queues[Settle])
		closed := c.closed
		wait := time.Hour
		switch {
		case closed && urgent+settles == 0:
			c.ended = true
			c.mu.Unlock()
			return false
		case closed:
			wait = 0
		case urgent > 0:
			wait = c.lingerLeft(urgent, &lingerSince)
		case settles >= settleBatch:
			wait = 0
		case settles > 0:
			wait = left(&settlesSince, settleWait)
		}
		if wait <= 0 {
			c.take()
			c.mu.Unlock()
			return true
		}
		c.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-c.wake:
		case <-timer.C:
		}
	}
}

// lingerLeft is how long a batch of so many urgent parts still waits. A lone
// request on a quiet system does not: where the last batch was small too,
// there is no company to wait for.
func (c *Committer) lingerLeft(urgent int, since *time.Time) time.Duration {
	if c.hurried || urgent >= c.small || !c.cfg.AlwaysLinger && c.lastSize <= 2 {
		return 0
	}
	return left(since, c.linger)
}

// left is what remains of a wait that begins with the first call.
func left(since *time.Time, wait time.Duration) time.Duration {
	now := time.Now()
	if since.IsZero() {
		*since = now
	}
	return wait - now.Sub(*since)
}

// take moves a bounded part of the queues into taken, changes, settles and
// commands before accepts: what ends deliveries makes room. Only an accept that is
// larger than a batch, and so was passed over, has its turn before them. Called
// with the lock held.
func (c *Committer) take() {
	c.taken = c.taken[:0]
	c.hurried = false
	bytes := 0
	order := [...]Class{Change, Command, Settle, Accept}
	if c.passed {
		order = [...]Class{Accept, Change, Command, Settle}
	}
	for _, class := range order {
		queue := c.queues[class]
		n := 0
		for n < len(queue) && len(c.taken) < c.cfg.MaxParts && (bytes == 0 || bytes+queue[n].size <= c.cfg.MaxBytes) {
			bytes += queue[n].size
			if class == Accept {
				c.bytes -= queue[n].size
			}
			c.taken = append(c.taken, queue[n])
			n++
		}
		c.counts[class] = n
		rest := copy(queue, queue[n:])
		clear(queue[rest:])
		c.queues[class] = queue[:rest]
	}
	waiting := c.queues[Accept]
	c.passed = len(waiting) > 0 && waiting[0].size > c.cfg.MaxBytes
}

// commit builds the batch of what was taken, stores it and tells.
func (c *Committer) commit(ctx context.Context) error {
	b := &c.batch
	b.Reset()
	b.Head = c.head
	b.Head.Batch++
	b.Version = c.cfg.Version()
	if now := c.cfg.Now().Truncate(time.Millisecond); now.After(b.Head.LastTime) {
		b.Head.LastTime = now.UTC()
	}
	c.build(b)
	for _, change := range b.Rows {
		b.Head.Rows += change.Growth()
	}
	begun := time.Now()
	if err := c.write(ctx, b); err != nil {
		return err
	}
	took := time.Since(begun)
	c.head = b.Head
	c.rows.Store(b.Head.Rows)
	commands := c.counts[Command] + c.counts[Change]
	c.lastSize = c.counts[Accept] + commands
	c.each(c.taken, func(e entry) { e.part.Done(nil) })
	c.cfg.Cover.Synced()
	if c.cfg.Observe != nil {
		c.cfg.Observe(BatchStats{Accepts: c.counts[Accept], Settles: c.counts[Settle], Commands: commands, Commit: took})
	}
	clear(c.taken)
	return nil
}

// build has every part added, and the cover.
func (c *Committer) build(b *store.Batch) {
	c.built = span{}
	c.each(c.taken, func(e entry) {
		e.part.Build(b)
		if e.class == Change {
			c.built = span{len(b.Changes), len(b.Health)}
		}
	})
	c.cfg.Cover.Close(b)
}

// fail tells everyone who waits, now and later.
func (c *Committer) fail(err error) {
	c.mu.Lock()
	c.failure = err
	waiting := c.taken
	for class := range c.queues {
		waiting = append(waiting, c.queues[class]...)
		c.queues[class] = nil
	}
	c.mu.Unlock()
	wrapped := &postern.Error{Kind: postern.Unavailable, Detail: "the message could not be stored", Err: err}
	c.each(waiting, func(e entry) { e.part.Done(wrapped) })
}

// each visits parts in their order.
func (c *Committer) each(entries []entry, visit func(e entry)) {
	held := false
	for _, e := range entries {
		switch settle := e.class == Settle; {
		case settle && !held:
			c.cfg.Cover.Hold()
			held = true
		case !settle && held:
			c.cfg.Cover.Release()
			held = false
		}
		visit(e)
	}
	if held {
		c.cfg.Cover.Release()
	}
}

// Rows is how many rows the last durable batch left.
func (c *Committer) Rows() int64 { return c.rows.Load() }

// Failed is why the journal takes nothing more; nil while it does.
func (c *Committer) Failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

func (c *Committer) signal() {
	select {
	case c.wake <- struct{}{}:
	default: // a wake-up is already under way
	}
}

// away reports whether an error of Admit's says that nothing is stored at all.
func away(err error) bool {
	known, ok := errors.AsType[*postern.Error](err)
	return ok && known.Code == store.CodeAway
}

func orDefault(v, def int) int {
	if v == 0 {
		return def
	}
	return v
}

package bench

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// maxPublishers bounds the connections of a load.
const maxPublishers = 4096

// maxWindows bounds the histograms over time of one load.
const maxWindows = 1000

// publishCommand is the load's command "publish": count messages numbered from
// first, fewer if the seconds are over before. A rate of 0 is a closed loop: each
// publisher sends when its last message is acknowledged.
type publishCommand struct {
	Target     target  `json:"target"`
	Publishers int     `json:"publishers"`
	First      uint64  `json:"first"`
	Count      int     `json:"count"`
	Rate       float64 `json:"rate,omitempty"`    // messages a second, over all publishers
	Seconds    float64 `json:"seconds,omitempty"` // of a closed loop; 0 means until count
	Stamps     bool    `json:"stamps,omitempty"`  // report when each message was acknowledged
	Window     float64 `json:"window,omitempty"`  // seconds that each have a histogram of their own; 0 means none
}

// loadStats is the answer to "publish".
type loadStats struct {
	StartNs int64      `json:"startNs"` // on the machine's clock
	EndNs   int64      `json:"endNs"`   // when the last ack was read
	Acked   int        `json:"acked"`
	Refused int64      `json:"refused"` // 429 and 503 answers, tried again
	Latency *Histogram `json:"latency"` // from send (closed) or intended send (open) to ack
	Acks    []int64    `json:"acks,omitempty"`
	// Windows have the latencies of what was due in each window, in turn.
	Windows []*Histogram `json:"windows,omitempty"`
	Repeats int64        `json:"repeats,omitempty"` // publishes of unknown outcome, made again
	// Unacked names the messages of unknown fate; FirstError says why the first is.
	Unacked    []uint64 `json:"unacked,omitempty"`
	FirstError string   `json:"firstError,omitempty"`
}

// runLoad is the role: it listens nowhere and takes the command "publish".
func runLoad(ctx context.Context, _ []string, stdin io.Reader, stdout io.Writer) error {
	return serveCommands(ctx, stdin, stdout, nil, func(ctx context.Context, cmd command) (any, error) {
		if cmd.Do != "publish" {
			return nil, unknown(cmd)
		}
		with, err := decode[publishCommand](cmd)
		if err != nil {
			return nil, err
		}
		return publishAll(ctx, with)
	})
}

// validate keeps a mistaken command from taking the machine's memory or ports.
func (c publishCommand) validate() error {
	if c.Count < 1 || c.Count > maxExpected || c.Publishers < 1 || c.Publishers > maxPublishers {
		return fmt.Errorf("publish: %d messages by %d publishers is out of bounds", c.Count, c.Publishers)
	}
	if c.Window != 0 && !(c.Window >= 0.1) {
		return fmt.Errorf("publish: windows of %v s are out of bounds", c.Window)
	}
	if c.Rate < 0 || (c.Stamps && c.Count > maxStamped) {
		return fmt.Errorf("publish: rate %v or %d stamps out of bounds", c.Rate, c.Count)
	}
	return nil
}

// load is one "publish" under way.
type load struct {
	with  publishCommand
	clock clock
	next  atomic.Int64 // how many numbers of a closed loop are handed out

	failed atomic.Int64
	stop   context.CancelCauseFunc // ends the load when too many have failed

	mu    sync.Mutex // guards stats; publishers keep their own counts until the end
	stats loadStats
	acks  []int64 // by number; each element has one writer
}

// publishAll carries out one command. It returns when the last message is answered,
// and fails as a whole if ctx ends or too many messages fail; a few failures are part
// of the result.
func publishAll(ctx context.Context, with publishCommand) (*loadStats, error) {
	if err := with.validate(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	l := &load{with: with, clock: newClock(), stop: stop}
	l.stats.Latency = &Histogram{}
	if with.Stamps {
		l.acks = make([]int64, with.Count)
	}
	corpus := newCorpus()
	due := make(chan int) // numbers of an open loop whose time has come; closed by pace

	var publishers sync.WaitGroup
	l.stats.StartNs = l.clock.now()
	for i := range with.Publishers {
		p := newPublisher(with.Target, corpus, uint64(i))
		publishers.Go(func() {
			defer p.close()
			if with.Rate == 0 {
				l.closedLoop(ctx, p)
			} else {
				l.openLoop(ctx, p, due)
			}
		})
	}
	if with.Rate > 0 {
		l.pace(ctx, due)
	}
	publishers.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	l.stats.Acks = l.acks
	return &l.stats, nil
}

// closedLoop takes the next number when the last one is acknowledged.
func (l *load) closedLoop(ctx context.Context, p *publisher) {
	own := &tally{}
	for ctx.Err() == nil && !l.over() {
		n := int(l.next.Add(1)) - 1
		if n >= l.with.Count {
			break
		}
		l.one(ctx, p, own, n, l.clock.now())
	}
	l.collect(p, own)
}

// over reports whether a closed loop has lasted as long as it was to.
func (l *load) over() bool {
	return l.with.Seconds > 0 && float64(l.clock.now()-l.stats.StartNs) > l.with.Seconds*float64(time.Second)
}

// openLoop takes numbers as they come due. When all publishers are busy they are
// handed out late; the wait counts, as the clock runs from the intended time.
func (l *load) openLoop(ctx context.Context, p *publisher, due <-chan int) {
	own := &tally{}
	for n := range due {
		l.one(ctx, p, own, n, l.intended(n))
	}
	l.collect(p, own)
}

// pace hands out each number at its time and closes due.
func (l *load) pace(ctx context.Context, due chan<- int) {
	defer close(due)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := range l.with.Count {
		if wait := l.clock.until(l.intended(n)); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		}
		select {
		case due <- n:
		case <-ctx.Done():
			return
		}
	}
}

// intended is when number n of an open loop should be sent.
func (l *load) intended(n int) int64 {
	return l.stats.StartNs + int64(float64(n)/l.with.Rate*float64(time.Second))
}

// one publishes number n and notes how it went.
func (l *load) one(ctx context.Context, p *publisher, own *tally, n int, sent int64) {
	seq := l.with.First + uint64(n)
	if err := p.publish(ctx, seq, sent); err != nil {
		own.fail(seq, err)
		if l.failed.Add(1) > maxListed {
			l.stop(fmt.Errorf("over %d messages failed: %w", maxListed, err))
		}
		return
	}
	now := l.clock.now()
	own.acked++
	own.last = now
	own.latency.Add(time.Duration(now - sent))
	if l.acks != nil {
		l.acks[n] = now
	}
	if l.with.Window > 0 {
		l.plot(sent, now)
	}
}

// plot notes a latency in the window in which the message was due. Publishers share
// the windows, as each is thousands of buckets.
func (l *load) plot(due, now int64) {
	n := int(float64(due-l.stats.StartNs) / (l.with.Window * float64(time.Second)))
	if n < 0 || n >= maxWindows {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.stats.Windows) <= n {
		l.stats.Windows = append(l.stats.Windows, &Histogram{})
	}
	l.stats.Windows[n].Add(time.Duration(now - due))
}

// collect adds a publisher's counts to the whole.
func (l *load) collect(p *publisher, own *tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Acked += own.acked
	l.stats.Refused += p.refused
	l.stats.Repeats += p.repeats
	l.stats.EndNs = max(l.stats.EndNs, own.last)
	l.stats.Latency.Merge(&own.latency)
	l.stats.Unacked = append(l.stats.Unacked, own.unacked...)
	if l.stats.FirstError == "" && own.err != nil {
		l.stats.FirstError = own.err.Error()
	}
}

// tally is what one publisher counts by itself, to share nothing while it works.
type tally struct {
	acked   int
	last    int64
	latency Histogram
	unacked []uint64
	err     error
}

// fail notes a message of unknown fate; the first reason stands for all.
func (t *tally) fail(seq uint64, err error) {
	t.unacked = append(t.unacked, seq)
	if t.err == nil {
		t.err = err
	}
}

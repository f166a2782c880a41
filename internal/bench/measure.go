package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

const (
	// maxListeners bounds the receiver's ports; more endpoints share them.
	maxListeners = 10
	// arrivalPoll is how often the receiver is asked while deliveries are awaited.
	arrivalPoll = 20 * time.Millisecond
	// stallTimeout is the default of Options.Stall.
	stallTimeout = 30 * time.Second
	// neighbourWait bounds the wait for neighbours after everything else arrived: one
	// that is slow enough would take for ever, and what it has not got is not lost.
	neighbourWait = 2 * time.Minute
	// maxArrivalWait bounds every wait for deliveries, however steadily they come.
	maxArrivalWait = 30 * time.Minute
	// Background work is quiet when the subject used next to nothing in each of
	// quietWindows windows in a row, and no flush or compaction is under way.
	quietWindow  = 250 * time.Millisecond
	quietWindows = 2
	quietCPU     = 20 * time.Millisecond // two ticks of the kernel's clock
	quietTimeout = 3 * time.Minute
	// slowestRate is what a closed loop must reach, in messages a second, before it
	// is taken for stuck.
	slowestRate = 200
)

// session is the processes of one measurement.
type session struct {
	run            run
	options        Options
	subject        subject
	load, receiver *child
	addrs          []string // the receiver's
	endpoints      int      // how many get every message now
	next           uint64   // first sequence number of the next phase
}

// snapshot is what is compared before and after.
type snapshot struct {
	cpu time.Duration
	counters
}

// measure starts everything anew on an empty folder, so that no sample inherits
// another's store, and takes one sample.
func measure(ctx context.Context, o Options, r run, subject string, round int, dir string) (sample Sample, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return Sample{}, fmt.Errorf("make folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &session{run: r, options: o}
	defer s.stop()
	if err := s.start(ctx, subject, dir); err != nil {
		return Sample{}, err
	}
	if err := s.warm(ctx, subject); err != nil {
		return Sample{}, err
	}
	sample, err = s.take(ctx)
	sample.Run, sample.Subject, sample.Round = r.name, subject, round
	return sample, err
}

// start brings up receiver, load and subject, in this order, and connects the fast
// endpoints.
func (s *session) start(ctx context.Context, subject, dir string) error {
	o := s.options
	listeners := min(s.run.endpoints+s.run.neighbours, maxListeners)
	var err error
	if s.receiver, s.addrs, err = startRole(ctx, roleReceiver, o.Exe, o.CPUs, "--listeners", strconv.Itoa(listeners)); err != nil {
		return err
	}
	if s.load, _, err = startRole(ctx, roleLoad, o.Exe, o.CPUs); err != nil {
		return err
	}
	if subject == subjectFloor {
		f, err := startFloor(ctx, o.Exe, o.CPUs, dir)
		if err != nil {
			return err
		}
		s.subject = f
	} else {
		f, err := startServer(ctx, o.Exe, o.CPUs, dir, o.ServerFlags)
		if err != nil {
			return err
		}
		s.subject = f
	}
	return s.connect(ctx, s.run.fastURLs(s.addrs))
}

// connect adds endpoints to the subject and to what the receiver will expect.
func (s *session) connect(ctx context.Context, urls []string) error {
	s.endpoints += len(urls)
	return s.subject.connect(ctx, urls)
}

// warm fills caches, pools and the store through the fast endpoints alone, then
// lets the neighbours join: a slow one would still be busy with the warm-up.
func (s *session) warm(ctx context.Context, subject string) error {
	for _, count := range []int{s.options.Warmup / s.run.endpoints, s.options.Stored} {
		if count <= 0 {
			continue
		}
		if err := s.fill(ctx, count); err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
	}
	return s.connect(ctx, s.run.neighbourURLs(s.addrs, subject))
}

// fill publishes count messages and sees all of them delivered: what arrived later
// would count as twice delivered in the phase that follows.
func (s *session) fill(ctx context.Context, count int) error {
	sent, err := s.publish(ctx, publishCommand{Count: count})
	if err != nil {
		return err
	}
	all, err := s.arrivals(ctx, sent.Acked, s.endpoints, maxArrivalWait)
	if err == nil && !all {
		err = fmt.Errorf("not all of %d messages were delivered", sent.Acked)
	}
	return err
}

// take is the measurement proper.
func (s *session) take(ctx context.Context) (Sample, error) {
	if _, err := s.quiet(ctx); err != nil {
		return Sample{}, err
	}
	before, err := s.snapshot(ctx)
	if err != nil {
		return Sample{}, err
	}
	open := s.run.rate > 0
	sent, err := s.publish(ctx, publishCommand{
		Count: s.run.messages(s.options), Rate: s.run.rate, Stamps: open,
	})
	if err != nil {
		return Sample{}, err
	}
	if err := s.settle(ctx, sent.Acked); err != nil {
		return Sample{}, err
	}
	quiet, err := s.quiet(ctx)
	if err != nil {
		return Sample{}, err
	}
	after, err := s.snapshot(ctx)
	if err != nil {
		return Sample{}, err
	}
	var got receiverStats
	if err := s.receiver.do(ctx, "stats", nil, &got); err != nil {
		return Sample{}, err
	}
	sample := s.evaluate(sent, got, before, after)
	sample.Quiet = quiet
	if peak := processPeak(s.subject.pid()); peak > 0 {
		sample.Figures[figurePeak] = float64(peak) / (1 << 20)
	}
	return sample, nil
}

// publish opens a phase at the receiver and has the load publish it.
func (s *session) publish(ctx context.Context, cmd publishCommand) (loadStats, error) {
	expect := expectCommand{First: s.next, Count: cmd.Count, Paths: s.endpoints, Stamps: cmd.Stamps}
	if err := s.receiver.do(ctx, "expect", expect, nil); err != nil {
		return loadStats{}, err
	}
	cmd.Target, cmd.Publishers, cmd.First = s.subject.target(), s.options.Publishers, s.next
	s.next += uint64(cmd.Count)

	rate := or(cmd.Rate, slowestRate)
	limit := time.Minute + time.Duration(float64(cmd.Count)/rate*float64(time.Second))
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var stats loadStats
	err := s.load.do(ctx, "publish", cmd, &stats)
	return stats, err
}

// settle waits for the deliveries: at the fast endpoints until they are all there or
// none comes any more, at the neighbours for a bounded time.
func (s *session) settle(ctx context.Context, messages int) error {
	if _, err := s.arrivals(ctx, messages, s.run.endpoints, maxArrivalWait); err != nil {
		return err
	}
	if s.run.neighbours == 0 {
		return nil
	}
	_, err := s.arrivals(ctx, messages, s.endpoints, neighbourWait)
	return err
}

// arrivals waits until each of the first paths endpoints has got this many messages;
// false when nothing arrived for as long as the options allow, or the wait is over.
func (s *session) arrivals(ctx context.Context, messages, paths int, wait time.Duration) (bool, error) {
	began := time.Now()
	last, since := -1, began
	for {
		var p progress
		if err := s.receiver.do(ctx, "progress", nil, &p); err != nil {
			return false, err
		}
		total, complete := 0, true
		for _, n := range p.Unique[:paths] {
			total += n
			complete = complete && n >= messages
		}
		if complete {
			return true, nil
		}
		if total > last {
			last, since = total, time.Now()
		}
		if time.Since(since) > s.options.Stall || time.Since(began) > wait {
			return false, nil
		}
		if err := pause(ctx, arrivalPoll); err != nil {
			return false, err
		}
	}
}

// quiet waits until background work is done; false when it did not end in time.
func (s *session) quiet(ctx context.Context) (bool, error) {
	deadline := time.Now().Add(quietTimeout)
	before, err := s.snapshot(ctx)
	if err != nil {
		return false, err
	}
	for calm := 0; calm < quietWindows; {
		if time.Now().After(deadline) {
			return false, nil
		}
		if err := pause(ctx, quietWindow); err != nil {
			return false, err
		}
		now, err := s.snapshot(ctx)
		if err != nil {
			return false, err
		}
		if now.cpu-before.cpu <= quietCPU && now.quiet() {
			calm++
		} else {
			calm = 0
		}
		before = now
	}
	return true, nil
}

// snapshot reads the counters first: asking is work of the subject's too, and shall
// fall on the same side of both snapshots.
func (s *session) snapshot(ctx context.Context) (snapshot, error) {
	c, err := s.subject.counters(ctx)
	if err != nil {
		return snapshot{}, err
	}
	cpu, err := processCPU(s.subject.pid())
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return snapshot{}, err
	}
	return snapshot{cpu: cpu, counters: c}, nil
}

// stop ends all processes, the publishing ones first.
func (s *session) stop() {
	if s.load != nil {
		s.load.stop()
	}
	if s.subject != nil {
		s.subject.stop()
	}
	if s.receiver != nil {
		s.receiver.stop()
	}
}

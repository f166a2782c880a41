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
	template       *template // what the store is a copy of; nil: it starts empty
	dir            string    // of this measurement alone
	as             string    // the subject, in the words of reports
	subject        subject
	server         *serverSubject   // the subject; nil if that is the floor
	nodes          []*serverSubject // further servers on the same store, part of the subject
	load, receiver *child
	others         []interface{ stop() } // processes of this run beside the usual ones
	addrs          []string              // the receiver's
	endpoints      int                   // how many get what is published now
	next           uint64                // first sequence number of the next phase
}

// snapshot is what is compared before and after.
type snapshot struct {
	cpu      time.Duration // of the server and of its database
	database time.Duration // of the database alone
	stored   databaseCounters
	perNode  []float64 // attempts of each server, the first one first
	counters
}

// measure starts everything anew in a folder of its own, so that no sample inherits
// another's store, and takes one sample.
func measure(ctx context.Context, s *session, round int) (sample Sample, err error) {
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return Sample{}, fmt.Errorf("make folder: %w", err)
	}
	defer func() { err = errors.Join(err, s.remove(context.WithoutCancel(ctx))) }()
	defer s.stop()
	if err := s.start(ctx); err != nil {
		return Sample{}, err
	}
	scenario := s.run.scenario
	if scenario == nil {
		scenario = steady
	}
	sample, err = scenario(ctx, s)
	sample.Run, sample.Subject, sample.Round = s.run.name, s.as, round
	return sample, err
}

// remove takes away what was measured on.
func (s *session) remove(ctx context.Context) error {
	err := os.RemoveAll(s.dir)
	if d := s.options.database; d != nil {
		err = errors.Join(err, d.dropBelow(ctx, s.dir))
	}
	return err
}

// steady is the scenario of most runs: one load, measured once warm.
func steady(ctx context.Context, s *session) (Sample, error) {
	if err := s.warm(ctx); err != nil {
		return Sample{}, err
	}
	return s.take(ctx)
}

// start brings up receiver, load and subject, in this order, and connects the fast
// endpoints.
func (s *session) start(ctx context.Context) error {
	o := s.options
	var err error
	if s.receiver, s.addrs, err = startRole(ctx, roleReceiver, o.Exe, o.CPUs, "--listeners", strconv.Itoa(s.run.listeners())); err != nil {
		return err
	}
	if s.load, _, err = startRole(ctx, roleLoad, o.Exe, o.CPUs); err != nil {
		return err
	}
	if s.as == subjectFloor {
		f, err := startFloor(ctx, o.Exe, o.CPUs, s.dir)
		if err != nil {
			return err
		}
		s.subject = f
	} else if err := s.startServer(ctx); err != nil {
		return err
	}
	return s.connect(ctx, s.run.fast(s.addrs))
}

// startServer starts the subject on an empty store or on a copy of the template.
func (s *session) startServer(ctx context.Context) error {
	app := ""
	if s.template != nil {
		if err := s.template.copyTo(ctx, s.options, s.dir); err != nil {
			return err
		}
		app = s.template.app
	}
	server, err := startServer(ctx, s.serverOptions(), s.dir, app)
	if err != nil {
		return err
	}
	s.subject, s.server = server, server
	return s.startNodes(ctx)
}

// connect adds endpoints to the subject and to what the receiver will expect.
func (s *session) connect(ctx context.Context, endpoints []endpoint) error {
	s.endpoints += len(endpoints)
	return s.subject.connect(ctx, endpoints)
}

// url is the address of the receiver's endpoint of this kind and index.
func (s *session) url(kind string, index int) string {
	return fmt.Sprintf("http://%s/%s/%d", s.addrs[index%len(s.addrs)], kind, index)
}

// behave tells a switch what to do.
func (s *session) behave(ctx context.Context, index int, mode string) error {
	return s.receiver.do(ctx, "behave", behaveCommand{Index: index, Mode: mode}, nil)
}

// warm fills caches and pools through the fast endpoints alone, then lets the
// neighbours join: a slow one would still be busy with the warm-up.
func (s *session) warm(ctx context.Context) error {
	if count := s.options.Warmup / s.run.endpoints; count > 0 {
		if err := s.fill(ctx, count); err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
	}
	return s.connect(ctx, s.run.beside(s.addrs, s.as))
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
	if _, err := s.quietOnDisk(ctx); err != nil {
		return Sample{}, err
	}
	before, err := s.snapshot(ctx)
	if err != nil {
		return Sample{}, err
	}
	cores := s.occupancy()
	count := s.run.messages(s.options)
	sent, err := s.publish(ctx, publishCommand{
		Count: count, Rate: s.run.rate, Stamps: s.run.rate > 0 && count <= maxStamped,
	})
	if err != nil {
		return Sample{}, err
	}
	if err := s.settle(ctx, sent.Acked); err != nil {
		return Sample{}, err
	}
	foreign, told := s.occupancy().foreign(cores, len(s.options.CPUs))
	quiet, err := s.quietOnDisk(ctx)
	if err != nil {
		return Sample{}, err
	}
	after, err := s.snapshot(ctx)
	if err != nil {
		return Sample{}, err
	}
	got, err := s.received(ctx)
	if err != nil {
		return Sample{}, err
	}
	sample := s.evaluate(sent, got, before, after)
	sample.Quiet = quiet
	if told {
		sample.Figures[figureForeign] = foreign
	}
	s.notePeak(&sample)
	return sample, nil
}

// notePeak adds the most memory that the subject has used so far.
func (s *session) notePeak(sample *Sample) {
	if peak := processPeak(s.subject.pid()); peak > 0 {
		sample.Figures[figurePeak] = float64(peak) / megabyte
	}
}

// received asks the receiver what arrived.
func (s *session) received(ctx context.Context) (receiverStats, error) {
	var got receiverStats
	err := s.receiver.do(ctx, "stats", nil, &got)
	return got, err
}

// publish opens a phase at all endpoints and has the load publish it. Single times
// are of use only where the run's own endpoints are concerned.
func (s *session) publish(ctx context.Context, cmd publishCommand) (loadStats, error) {
	cmd.First = s.reserve(cmd.Count)
	fast := min(s.run.endpoints, s.endpoints)
	if err := s.expect(ctx, 0, fast, cmd); err != nil {
		return loadStats{}, err
	}
	beside := cmd
	beside.Stamps = false
	if err := s.expect(ctx, fast, s.endpoints-fast, beside); err != nil {
		return loadStats{}, err
	}
	if s.run.inTurn {
		cmd.Target = s.subject.target()
		cmd.Target.Channels = s.run.neighbours
	}
	return s.send(ctx, s.load, cmd)
}

// reserve takes the next count sequence numbers.
func (s *session) reserve(count int) uint64 {
	first := s.next
	s.next += uint64(count)
	return first
}

// expect opens a phase with the numbers of cmd at so many endpoints, maybe none.
func (s *session) expect(ctx context.Context, from, paths int, cmd publishCommand) error {
	if paths == 0 {
		return nil
	}
	with := expectCommand{From: from, Paths: paths, First: cmd.First, Count: cmd.Count, Stamps: cmd.Stamps}
	return s.receiver.do(ctx, "expect", with, nil)
}

// send has a load publish, by default to the application of the run.
func (s *session) send(ctx context.Context, load *child, cmd publishCommand) (loadStats, error) {
	cmd.Target = or(cmd.Target, s.target())
	cmd.Publishers = or(cmd.Publishers, s.options.Publishers)
	seconds := or(cmd.Seconds, float64(cmd.Count)/or(cmd.Rate, slowestRate))
	// Twice the time: an open loop that a busy machine holds up is late, and tells so.
	ctx, cancel := context.WithTimeout(ctx, time.Minute+2*time.Duration(seconds*float64(time.Second)))
	defer cancel()
	var stats loadStats
	err := load.do(ctx, "publish", cmd, &stats)
	return stats, err
}

// settle waits for the deliveries: at the fast endpoints until they are all there or
// none comes any more, at neighbours that get there for a bounded time.
func (s *session) settle(ctx context.Context, messages int) error {
	if _, err := s.arrivals(ctx, messages, s.run.endpoints, maxArrivalWait); err != nil {
		return err
	}
	if s.run.neighbours == 0 || s.run.retried {
		return nil
	}
	_, err := s.arrivals(ctx, messages, s.endpoints, neighbourWait)
	return err
}

// arrivals waits until each of the first paths endpoints has got this many messages;
// false when nothing arrived for as long as the options allow, or the wait is over.
func (s *session) arrivals(ctx context.Context, messages, paths int, wait time.Duration) (bool, error) {
	return s.await(ctx, s.options.Stall, wait, func(p progress) (int, bool) {
		total, complete := 0, true
		for _, n := range p.Unique[:paths] {
			total += n
			complete = complete && n >= messages
		}
		return total, complete
	})
}

// await asks the receiver until it is complete; false when the total did not grow
// for stall, or the wait is over.
func (s *session) await(ctx context.Context, stall, wait time.Duration, look func(progress) (total int, complete bool)) (bool, error) {
	began := time.Now()
	last, since := -1, began
	for {
		var p progress
		if err := s.receiver.do(ctx, "progress", nil, &p); err != nil {
			return false, err
		}
		total, complete := look(p)
		if complete {
			return true, nil
		}
		if total > last {
			last, since = total, time.Now()
		}
		if time.Since(since) > stall || time.Since(began) > wait {
			return false, nil
		}
		if err := pause(ctx, arrivalPoll); err != nil {
			return false, err
		}
	}
}

// quietOnDisk is quiet, after a database has written what it put off. So a
// measurement begins without a debt, and pays what it made.
func (s *session) quietOnDisk(ctx context.Context) (bool, error) {
	if d := s.options.database; d != nil {
		if err := d.checkpoint(ctx); err != nil {
			return false, fmt.Errorf("checkpoint: %w", err)
		}
	}
	return s.quiet(ctx)
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
		if now.cpu-before.cpu <= quietCPU*time.Duration(1+len(s.nodes)) && now.quiet() && now.stored.vacuums == 0 {
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
	now, err := s.serverSnapshot(ctx)
	if err != nil {
		return snapshot{}, err
	}
	if d := s.options.database; d != nil && s.server != nil {
		if now.stored, err = d.counters(ctx); err != nil {
			return snapshot{}, err
		}
		if now.database, err = d.cpu(); err != nil {
			return snapshot{}, err
		}
		now.cpu += now.database
	}
	return now, nil
}

// stop ends all processes, the publishing ones first.
func (s *session) stop() {
	if s.load != nil {
		s.load.stop()
	}
	for _, other := range s.others {
		other.stop()
	}
	if s.subject != nil {
		s.subject.stop()
	}
	if s.receiver != nil {
		s.receiver.stop()
	}
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// soakShare is the load of a soak as a share of full speed, in deliveries.
	soakShare = 0.6
	// fanShare of these deliveries are copies of fanWidth at once; mixedShare is what
	// each of the mixed endpoints gets, mixedRate at most.
	fanShare   = 0.2
	fanWidth   = 5
	mixedShare = 0.02
	mixedRate  = 100
	// flapPeriod is how long a flapping endpoint is down, and then up.
	flapPeriod = time.Minute
	// The server is killed after a random time in these bounds, again and again.
	crashLeast, crashMost = 20 * time.Second, 90 * time.Second
	// attemptPlaces is how many attempts a server has under way at most, which is how
	// many a crash may make it repeat.
	attemptPlaces = 2048
	// rowsWait is how long the last rows may take to go when everything has arrived: an
	// attempt that a crash made repeat may hang, and be tried again.
	rowsWait = time.Minute
	// fullSpeedTime bounds the measurement of full speed.
	fullSpeedTime = 10 * time.Second
)

// soaking is one soak under way. It belongs to one goroutine, beside which each of
// the streams' loads is waited for in one of its own.
type soaking struct {
	*session
	streams []*stream
	random  *rand.Rand
	flapper int // index of the endpoint that goes up and down
	flapped bool
	began   time.Time
	lasts   time.Duration
	meter   meter
	crashes int
	slowest time.Duration // of the restarts, until healthy
}

// stream is one application with its load and endpoints.
type stream struct {
	cmd         publishCommand
	load        *child
	from, count int // its endpoints at the receiver
	sent        loadStats
}

// soak loads a server at a part of its full speed, from several applications and with
// endpoints that misbehave in all known ways, and kills it at random times. The loads
// repeat what has an unknown outcome, so that in the end every message must have
// reached every endpoint.
func soak(ctx context.Context, s *session) (Sample, error) {
	sample := newSample()
	k := &soaking{session: s, lasts: s.run.lasts(s.options)}
	k.random = rand.New(rand.NewPCG(s.options.Seed, 0))
	note(s.options.Progress, "soak     seed %d\n", s.options.Seed)
	full, err := k.fullSpeed(ctx)
	if err != nil {
		return sample, err
	}
	if err := k.fixture(ctx, soakShare*full); err != nil {
		return sample, err
	}
	if err := k.underLoad(ctx); err != nil {
		return sample, err
	}
	if err := k.behave(ctx, k.flapper, modeAnswer); err != nil {
		return sample, err
	}
	if err := k.drained(ctx); err != nil {
		return sample, err
	}
	sample.Figures[figureSeed] = float64(s.options.Seed)
	sample.Figures[figureFull] = full
	return sample, k.evaluateSoak(ctx, &sample)
}

// fullSpeed is the deliveries a second of a closed loop to the one fast endpoint, with
// the very messages of the soak.
func (k *soaking) fullSpeed(ctx context.Context) (float64, error) {
	lasts := min(fullSpeedTime, k.lasts/6)
	count := min(maxExpected, int(lasts.Seconds()*maxFlood))
	to := k.server.target()
	to.Repeat = true
	sent, err := k.publish(ctx, publishCommand{Target: to, Count: count, Seconds: lasts.Seconds()})
	if err != nil {
		return 0, err
	}
	all, err := k.arrivals(ctx, sent.Acked, k.endpoints, maxArrivalWait)
	if err != nil || !all {
		return 0, errors.Join(fmt.Errorf("not all of %d messages at full speed were delivered", sent.Acked), err)
	}
	got, err := k.received(ctx)
	if err != nil {
		return 0, err
	}
	return float64(sent.Acked) / (float64(got.Paths[0].LastNs-sent.StartNs) / 1e9), nil
}

// fixture makes the applications, for so many deliveries a second in all: two with a
// fast endpoint each that have most of the load, one with a fan-out, and one whose
// messages each go to all the mixed endpoints.
func (k *soaking) fixture(ctx context.Context, deliveries float64) error {
	mixed := min(mixedRate, mixedShare*deliveries)
	neighbours := k.mixedEndpoints(k.endpoints+1+fanWidth, mixed)
	fast := (deliveries*(1-fanShare) - mixed*float64(len(neighbours))) / 2
	if err := k.newStream(ctx, k.server.app, fast, k.run.fast(k.addrs), 0); err != nil {
		return err
	}
	for _, part := range []struct {
		rate      float64
		endpoints []endpoint
	}{
		{fast, spread(k.addrs, "/fast/%d", k.endpoints, 1)},
		{deliveries * fanShare / fanWidth, spread(k.addrs, "/fast/%d", k.endpoints+1, fanWidth)},
		{mixed, neighbours},
	} {
		app, err := k.server.newApplication(ctx, "stream")
		if err != nil {
			return err
		}
		for _, e := range part.endpoints {
			if _, err := k.server.newEndpoint(ctx, app, e); err != nil {
				return err
			}
		}
		if err := k.newStream(ctx, app, part.rate, part.endpoints, k.endpoints); err != nil {
			return err
		}
		k.endpoints += len(part.endpoints)
	}
	return nil
}

// mixedEndpoints are, from the index first on, those that misbehave in a way each, and
// a fast one that must not notice. They all can take rate messages a second.
func (k *soaking) mixedEndpoints(first int, rate float64) []endpoint {
	paths := []string{
		"/fast/%d", "/slow/%d?ms=200",
		"/rough/%d?every=20&how=" + modeError, "/rough/%d?every=20&how=" + modeBusy, "/rough/%d?every=500&how=" + modeHang,
		"/switch/%d", "/fast/%d",
	}
	var list []endpoint
	for i, path := range paths {
		e := spread(k.addrs, path, first+i, 1)[0]
		e.RetrySchedule = patientRetries()
		list = append(list, e)
	}
	k.flapper = first + len(paths) - 2
	list[len(paths)-1].ThrottleRate = int(1.5*rate) + 1
	return list
}

// newStream starts a load for an application whose endpoints the receiver knows from
// the index from on.
func (k *soaking) newStream(ctx context.Context, app string, rate float64, endpoints []endpoint, from int) error {
	load, _, err := startRole(ctx, roleLoad, k.options.Exe, k.options.CPUs)
	if err != nil {
		return err
	}
	k.others = append(k.others, load)
	st := &stream{load: load, from: from, count: len(endpoints)}
	to := k.server.targetOf(app)
	to.Repeat = true
	count := max(1, int(rate*k.lasts.Seconds()))
	st.cmd = publishCommand{
		Target: to, Publishers: max(1, k.options.Publishers/2), First: k.reserve(count), Count: count, Rate: rate,
		Window: windowOf(k.lasts).Seconds(),
	}
	k.streams = append(k.streams, st)
	return k.expect(ctx, st.from, st.count, st.cmd)
}

// underLoad has all streams publish and conducts until they are done. The first that
// fails ends it. The servers live beyond it.
func (k *soaking) underLoad(servers context.Context) error {
	ctx, cancel := context.WithCancelCause(servers)
	defer cancel(nil)
	var loads sync.WaitGroup
	k.began = time.Now()
	for _, st := range k.streams {
		loads.Go(func() {
			var err error
			if st.sent, err = k.send(ctx, st.load, st.cmd); err != nil {
				cancel(fmt.Errorf("load: %w", err))
			}
		})
	}
	if err := k.conduct(ctx, servers); err != nil {
		cancel(err)
	}
	loads.Wait()
	return context.Cause(ctx)
}

// conduct does what is due, by the time since the beginning: a look at the figures, a
// crash, or the flapping endpoint's next turn. Servers end with their own context.
func (k *soaking) conduct(ctx, servers context.Context) error {
	window, flap := windowOf(k.lasts), min(flapPeriod, k.lasts/4)
	if err := k.meter.start(ctx, k.session); err != nil {
		return err
	}
	look, crash, turn := window, k.nextCrash(), flap
	for {
		at := min(look, crash, turn)
		if err := pause(ctx, time.Until(k.began.Add(at))); err != nil {
			return err
		}
		var err error
		switch at {
		case look:
			err = k.look(ctx)
			look += window
		case crash:
			err = k.crash(servers)
			crash = time.Since(k.began) + k.nextCrash()
		case turn:
			err = k.flap(ctx)
			turn += flap
		}
		if err != nil || look > k.lasts {
			return err
		}
	}
}

// look ends a window. It is told at once: should a long soak fail, that is what is
// left of it.
func (k *soaking) look(ctx context.Context) error {
	if err := k.meter.look(ctx, k.session, time.Since(k.began)); err != nil {
		return err
	}
	w := k.meter.windows[len(k.meter.windows)-1]
	note(k.options.Progress, "soak     %.0fs: %.0f deliveries/s, %.1f us each, resident %.0f MB, store %.0f MB\n",
		w.AtSeconds, w.PerSecond, w.CPU, w.ResidentMB, w.StoreMB)
	return nil
}

// nextCrash is how long the server lives, less in a soak that is short.
func (k *soaking) nextCrash() time.Duration {
	least, most := min(crashLeast, k.lasts/6), min(crashMost, k.lasts/3)
	return least + time.Duration(k.random.Int64N(int64(most-least)+1))
}

// crash kills the server in the midst of its work and has it start again.
func (k *soaking) crash(ctx context.Context) error {
	if err := k.meter.end(k.session); err != nil {
		return err
	}
	took, err := k.server.crash(ctx, func() error { return nil })
	k.crashes++
	k.slowest = max(k.slowest, took)
	note(k.options.Progress, "soak     %s: killed, healthy again after %s\n", time.Since(k.began).Round(time.Second), took.Round(time.Millisecond))
	return err
}

// flap has the flapping endpoint go down, or come back.
func (k *soaking) flap(ctx context.Context) error {
	mode := modeFail
	if k.flapped {
		mode = modeAnswer
	}
	k.flapped = !k.flapped
	return k.behave(ctx, k.flapper, mode)
}

// drained waits until every endpoint has what was acknowledged to its application,
// or no more comes for longer than an endpoint that has returned goes unnoticed.
func (k *soaking) drained(ctx context.Context) error {
	gone := false
	_, err := k.await(ctx, max(k.options.Stall, returnWait), maxArrivalWait, func(p progress) (int, bool) {
		select {
		case <-k.server.exited:
			gone = true
			return 0, true
		default:
		}
		total, complete := 0, true
		for _, st := range k.streams {
			for _, n := range p.Unique[st.from : st.from+st.count] {
				total += n
				complete = complete && n >= st.sent.Acked
			}
		}
		return total, complete
	})
	if gone {
		return fmt.Errorf("the server ended while it was to deliver the rest: %w%s", k.server.err, k.server.stderr)
	}
	return err
}

// evaluateSoak fills the sample. What arrived twice is judged against what the crashes
// explain.
func (k *soaking) evaluateSoak(ctx context.Context, sample *Sample) error {
	rows, err := k.rowsLeft(ctx)
	if err != nil {
		return err
	}
	got, err := k.received(ctx)
	if err != nil {
		return err
	}
	figures := sample.Figures
	for _, st := range k.streams {
		messages := sample.Messages
		for _, p := range got.Paths[st.from : st.from+st.count] {
			sample.count(st.sent, p)
		}
		sample.Messages = messages + st.sent.Acked // and not once for each endpoint
		sample.Ack.Merge(st.sent.Latency)
		figures[figureRefused] += float64(st.sent.Refused)
		figures[figureRepeats] += float64(st.sent.Repeats)
		figures[figureOffered] += st.cmd.Rate * float64(st.count)
	}
	sample.EndToEnd = got.Paths[0].Latency
	figures[figureCrashes], figures[figureReady] = float64(k.crashes), k.slowest.Seconds()
	figures[figureRepeated] = figures[figureDuplicates]
	figures[figureDuplicates] = max(0, figures[figureRepeated]-attemptPlaces*float64(k.crashes))
	figures[figureRowsLeft], figures[figureRejected] = rows, float64(got.Rejected)
	k.meter.finish(k.session, sample, k.streams)
	return nil
}

// rowsLeft is how many deliveries still wait for a retry when all have arrived: none,
// once the settles of the last ones are counted.
func (k *soaking) rowsLeft(ctx context.Context) (float64, error) {
	for deadline := time.Now().Add(rowsWait); ; {
		c, err := k.subject.counters(ctx)
		if err != nil || !(c.rows > 0) || time.Now().After(deadline) {
			return max(0, c.rows), err
		}
		if err := pause(ctx, rowsPoll); err != nil {
			return 0, err
		}
	}
}

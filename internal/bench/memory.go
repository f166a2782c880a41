package bench

import (
	"context"
	"fmt"
	"math"
	"time"
)

const (
	// collections is how many a server must have made before its memory is read: the
	// second frees what the first found in pools.
	collections = 2
	// collectLimit bounds the wait for them.
	collectLimit = 30 * time.Second
	// releaseTime is given to the runtime to return what was freed.
	releaseTime = 5 * time.Second
	// tenants is how many applications share many endpoints.
	tenants = 1000
	// fanOuts is how many messages a large fan-out is measured with.
	fanOuts = 20
)

// idle is what remains of full speed: memory and CPU once there is nothing to do.
func idle(ctx context.Context, s *session) (Sample, error) {
	sample, err := steady(ctx, s)
	if err != nil {
		return sample, err
	}
	return sample, s.rest(ctx, &sample)
}

// pending is the memory of many retries that are not due.
func pending(ctx context.Context, s *session) (Sample, error) {
	sample := newSample()
	count := s.run.sized(s.options)
	if err := s.leavePending(ctx, count); err != nil {
		return sample, err
	}
	c, err := s.subject.counters(ctx)
	if err != nil {
		return sample, err
	}
	sample.Messages = count
	sample.Figures[figureWaiting] = c.rows
	return sample, s.rest(ctx, &sample)
}

// endpoints is the memory of many endpoints without work.
func endpoints(ctx context.Context, s *session) (Sample, error) {
	sample := newSample()
	count := s.run.sized(s.options)
	var apps []string
	for n := range min(tenants, max(1, count/10)) {
		app, err := s.server.newApplication(ctx, fmt.Sprintf("tenant %d", n))
		if err != nil {
			return sample, err
		}
		apps = append(apps, app)
	}
	took, err := s.server.newEndpoints(ctx, apps, 0, count, creators, func(n int) string { return s.url(kindSink, n) })
	if err != nil {
		return sample, err
	}
	sample.noteCreation(took)
	sample.Figures[figureWaiting] = float64(count)
	return sample, s.rest(ctx, &sample)
}

// fanOut is one application with many endpoints: how long the creation of one takes
// when most are there, and whether a publish waits for its fan-out.
func fanOut(ctx context.Context, s *session) (Sample, error) {
	sample := newSample()
	count := s.run.sized(s.options)
	url := func(n int) string { return s.url(kindSink, n) }
	app := []string{s.server.app}
	timed := max(1, count/10)
	if _, err := s.server.newEndpoints(ctx, app, 0, count-timed, creators, url); err != nil {
		return sample, err
	}
	took, err := s.server.newEndpoints(ctx, app, count-timed, timed, 1, url)
	if err != nil {
		return sample, err
	}
	sample.noteCreation(took)

	began := time.Now()
	if err := s.fan(ctx, &sample, publishCommand{Count: 1, Publishers: 1}, count); err != nil {
		return sample, err
	}
	whole := time.Since(began)
	sample.Figures[figureFanOut] = millis(whole)
	if err := s.fanAcks(ctx, &sample, whole, count); err != nil {
		return sample, err
	}
	s.notePeak(&sample)
	return sample, s.rest(ctx, &sample)
}

// fanAcks times acks that shall wait for no fan-out: of messages by themselves, and
// of pairs whose second comes in the midst of the first one's fan-out. More at a time
// would measure a queue that grows.
func (s *session) fanAcks(ctx context.Context, sample *Sample, whole time.Duration, endpoints int) error {
	share := func(cmd publishCommand, figure string) error {
		sample.Ack = &Histogram{}
		for range fanOuts / 2 / cmd.Count {
			if err := s.fan(ctx, sample, cmd, endpoints); err != nil {
				return err
			}
		}
		sample.Figures[figure] = float64(sample.Ack.Quantile(0.99)) / float64(whole)
		return nil
	}
	pair := publishCommand{Count: 2, Publishers: 2, Rate: 2 / whole.Seconds()}
	if err := share(pair, figureAckBeside); err != nil {
		return err
	}
	err := share(publishCommand{Count: 1, Publishers: 1}, figureAckShare)
	sample.Figures[figureAckP50] = millis(sample.Ack.Quantile(0.50))
	sample.Figures[figureAckP99] = millis(sample.Ack.Quantile(0.99))
	return err
}

// fan publishes to all endpoints and waits until each has got everything.
func (s *session) fan(ctx context.Context, sample *Sample, cmd publishCommand, endpoints int) error {
	var before progress
	if err := s.receiver.do(ctx, "progress", nil, &before); err != nil {
		return err
	}
	cmd.First = s.reserve(cmd.Count)
	sent, err := s.send(ctx, s.load, cmd)
	if err != nil {
		return err
	}
	want := int64(sent.Acked) * int64(endpoints)
	var sunk int64
	_, err = s.await(ctx, s.options.Stall, maxArrivalWait, func(p progress) (int, bool) {
		sunk = p.Sunk - before.Sunk
		return int(sunk), sunk >= want
	})
	sample.Messages += sent.Acked
	sample.Deliveries += int(sunk)
	sample.Ack.Merge(sent.Latency)
	sample.Figures[figureLost] += float64(max(0, want-sunk))
	sample.Figures[figureDuplicates] += float64(max(0, sunk-want))
	return err
}

// noteCreation adds how long the creation of an endpoint took.
func (s *Sample) noteCreation(took *Histogram) {
	s.Figures[figureCreateP50] = millis(took.Quantile(0.50))
	s.Figures[figureCreateP99] = millis(took.Quantile(0.99))
}

// rest lets the subject be for as long as the run says, and reads what it uses then:
// CPU of all that time, memory after a garbage collection at its end.
func (s *session) rest(ctx context.Context, sample *Sample) error {
	if _, err := s.quiet(ctx); err != nil {
		return err
	}
	lasts := s.run.lasts(s.options)
	before, err := processCPU(s.subject.pid())
	if err != nil {
		return err
	}
	if err := pause(ctx, lasts); err != nil {
		return err
	}
	after, err := processCPU(s.subject.pid())
	if err != nil {
		return err
	}
	if err := s.collect(ctx); err != nil {
		return err
	}
	if err := pause(ctx, min(releaseTime, lasts)); err != nil {
		return err
	}
	c, err := s.subject.counters(ctx)
	if err != nil {
		return err
	}
	sample.Figures[figureHeap], sample.Figures[figureUnreturned] = c.heap/megabyte, c.unreturned/megabyte
	known(sample.Figures)
	sample.Figures[figureIdleCPU] = 100 * float64(after-before) / float64(lasts)
	if resident := processResident(s.subject.pid()); resident > 0 {
		sample.Figures[figureResident] = float64(resident) / megabyte
	}
	return nil
}

// collect has the subject make garbage until it has collected it: nothing else makes
// a server that does nothing collect. One that does not tell is left alone.
func (s *session) collect(ctx context.Context) error {
	deadline := time.Now().Add(collectLimit)
	first := math.NaN()
	for time.Now().Before(deadline) {
		c, err := s.subject.counters(ctx)
		if err != nil {
			return err
		}
		if math.IsNaN(first) {
			first = c.collected
		}
		if math.IsNaN(c.collected) || c.collected >= first+collections {
			return nil
		}
	}
	return nil
}

// newSample is one to be filled by a scenario.
func newSample() Sample {
	return Sample{
		Figures: map[string]float64{figureLost: 0, figureDuplicates: 0}, Quiet: true,
		Ack: &Histogram{}, EndToEnd: &Histogram{}, Curves: map[string]Curve{},
	}
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// returnWait is how long an endpoint that answers again may go unnoticed: the
	// longest pause between two probes, and some.
	returnWait = 7 * time.Minute
	probePoll  = 200 * time.Millisecond
	// earlyFailures are the messages that show an endpoint to be down.
	earlyFailures = 100
	// limitedRate is the limit of the run about one, in deliveries a second.
	limitedRate = 50
	// The curves of a sample.
	curveDrain   = "delivered after the endpoint's return"
	curveDown    = "requests while down"
	curveLimited = "delivered under the limit"
	// downStep is how many steps of the receiver's a plot of probes joins: they are
	// rare.
	downStep = int(10 * time.Second / curveStep)
)

// patientRetries outlasts every backlog of a measurement: no delivery may use up its
// tries, and none may wait long once its endpoint answers.
func patientRetries() []int {
	waits := make([]int, 60)
	for i := range waits {
		waits[i] = 5
	}
	return waits
}

// backlog has one endpoint hang while messages are accepted that its neighbour gets
// at once; then it answers again. A bystander is measured while the backlog waits,
// and while it drains.
func backlog(ctx context.Context, s *session) (Sample, error) {
	sample, victim := newSample(), s.run.endpoints
	b, err := s.backlogFixture(ctx, victim)
	if err != nil {
		return sample, err
	}
	if sample, err = s.take(ctx); err != nil {
		return sample, err
	}
	sample.Curves = map[string]Curve{}
	lasts := s.run.lasts(s.options)
	before, err := s.snapshot(ctx)
	if err != nil {
		return sample, err
	}
	t, err := s.trickle(ctx, b, lasts)
	if err != nil {
		return sample, err
	}
	after, err := s.snapshot(ctx)
	if err != nil {
		return sample, err
	}
	t.count(&sample)
	sample.Figures[figureOthersCPU] = 100 * float64(after.cpu-before.cpu) / float64(t.sent.EndNs-t.sent.StartNs)
	sample.Figures[figureOthersP50] = millis(t.got.Latency.Quantile(0.50))
	sample.Figures[figureOthersP99] = millis(t.got.Latency.Quantile(0.99))
	if err := s.drainBeside(ctx, &sample, b, victim, s.run.messages(s.options), lasts); err != nil {
		return sample, err
	}
	sample.Figures[figureUnfinished] = 0
	s.notePeak(&sample)
	return sample, nil
}

// backlogFixture warms up and adds the victim, which hangs but in the control run,
// and the bystander.
func (s *session) backlogFixture(ctx context.Context, victim int) (*bystander, error) {
	if err := s.warm(ctx); err != nil {
		return nil, err
	}
	if err := s.behave(ctx, victim, modeHang); err != nil {
		return nil, err
	}
	return s.newBystander(ctx)
}

// drainBeside lets the endpoint of the index answer and sees it get all messages,
// while the bystander publishes.
func (s *session) drainBeside(ctx context.Context, sample *Sample, b *bystander, index, messages int, lasts time.Duration) error {
	back, err := s.comeBack(ctx, index)
	if err != nil {
		return err
	}
	t, err := s.trickleWhileBusy(ctx, b, lasts)
	if err != nil {
		return err
	}
	t.count(sample)
	sample.Figures[figureDrainP99] = millis(t.got.Latency.Quantile(0.99))
	return s.drain(ctx, sample, index, messages, back)
}

// trickleWhileBusy has the bystander publish beside the drain. In the control run
// nothing drains; there a second server at full speed keeps the same cores busy.
func (s *session) trickleWhileBusy(ctx context.Context, b *bystander, lasts time.Duration) (trickled, error) {
	if s.as != subjectControl {
		return s.trickle(ctx, b, lasts)
	}
	to, err := s.flooded(ctx)
	if err != nil {
		return trickled{}, err
	}
	t, sent, err := s.trickleBeside(ctx, b, *to, lasts)
	if err != nil {
		return trickled{}, err
	}
	_, err = s.arrivals(ctx, sent.Acked, s.run.endpoints, maxArrivalWait)
	return t, err
}

// comeBack has a switch answer, and returns when it was told to.
func (s *session) comeBack(ctx context.Context, index int) (int64, error) {
	at := newClock().now()
	return at, s.behave(ctx, index, modeAnswer)
}

// drain waits until the endpoint, back since then, has got all messages of its phase.
func (s *session) drain(ctx context.Context, sample *Sample, index, messages int, back int64) error {
	count := func(p progress) (int, bool) { return p.Unique[index], p.Unique[index] >= messages }
	first := func(p progress) (int, bool) { return 0, p.Unique[index] > 0 }
	if _, err := s.await(ctx, returnWait, returnWait, first); err != nil {
		return err
	}
	if _, err := s.await(ctx, s.options.Stall+returnWait/7, maxArrivalWait, count); err != nil {
		return err
	}
	got, err := s.received(ctx)
	if err != nil {
		return err
	}
	p := got.Paths[index]
	sample.Figures[figureWaiting] = float64(messages)
	sample.Figures[figureLost] += float64(max(0, messages-p.Unique))
	sample.Figures[figureDuplicates] += float64(p.Duplicates)
	if p.FirstNs >= back {
		sample.Figures[figureReturn] = float64(p.FirstNs-back) / 1e9
		curve := newCurve(p.Curve).since(p.BeginNs, back)
		sample.Curves[curveDrain] = curve
		sample.Figures[figureDrain] = curve.perSecond()
		sample.Figures[figureFastest] = float64(slices.Max(curve.seconds().Counts))
		sample.Figures[figureDrained] = float64(p.LastNs-back) / 1e9
	}
	return nil
}

// probe has an endpoint be down until it is probed only, lets messages pile up and
// counts the requests, then has it return.
func probe(ctx context.Context, s *session) (Sample, error) {
	sample, count := newSample(), s.run.sized(s.options)
	if err := s.connect(ctx, []endpoint{{URL: s.url(kindSwitch, 0), RetrySchedule: patientRetries()}}); err != nil {
		return sample, err
	}
	if err := s.behave(ctx, 0, modeFail); err != nil {
		return sample, err
	}
	early := publishCommand{Count: min(earlyFailures, count)}
	rest := publishCommand{Count: max(1, count-early.Count)}
	early.First = s.reserve(early.Count + rest.Count)
	rest.First = early.First + uint64(early.Count)
	if err := s.expect(ctx, 0, 1, publishCommand{First: early.First, Count: early.Count + rest.Count}); err != nil {
		return sample, err
	}
	acked := 0
	down := time.Now()
	for _, cmd := range []publishCommand{early, rest} {
		sent, err := s.send(ctx, s.load, cmd)
		if err != nil {
			return sample, err
		}
		acked += sent.Acked
		probing, err := s.awaitProbing(ctx)
		if err != nil {
			return sample, err
		}
		if _, noted := sample.Figures[figureProbing]; probing && !noted {
			sample.Figures[figureProbing] = time.Since(down).Seconds()
		}
	}
	if err := s.countProbes(ctx, &sample); err != nil {
		return sample, err
	}
	sample.Messages = acked
	back, err := s.comeBack(ctx, 0)
	if err != nil {
		return sample, err
	}
	if err := s.drain(ctx, &sample, 0, acked, back); err != nil {
		return sample, err
	}
	sample.Deliveries = acked
	s.notePeak(&sample)
	return sample, nil
}

// awaitProbing waits until an endpoint is sent probes only; false if none is after
// twice the time that a stall may last.
func (s *session) awaitProbing(ctx context.Context) (bool, error) {
	for deadline := time.Now().Add(2 * s.options.Stall); time.Now().Before(deadline); {
		c, err := s.subject.counters(ctx)
		if err != nil || c.probing > 0 {
			return err == nil, err
		}
		if err := pause(ctx, probePoll); err != nil {
			return false, err
		}
	}
	return false, nil
}

// countProbes counts the requests to an endpoint that is down, for as long as the run
// says.
func (s *session) countProbes(ctx context.Context, sample *Sample) error {
	before, err := s.received(ctx)
	if err != nil {
		return err
	}
	lasts := s.run.lasts(s.options)
	if err := pause(ctx, lasts); err != nil {
		return err
	}
	after, err := s.received(ctx)
	if err != nil {
		return err
	}
	requests := sum(after.Paths[0].Turned) - sum(before.Paths[0].Turned)
	sample.Figures[figureProbes] = float64(requests) / lasts.Minutes()
	sample.Curves[curveDown] = newCurve(after.Paths[0].Turned).by(downStep)
	return nil
}

// rateLimit keeps an endpoint's queue full and counts what comes in each second.
func rateLimit(ctx context.Context, s *session) (Sample, error) {
	sample := newSample()
	const path = 1 // the run's own endpoint, which is not limited, gets all at once
	if err := s.connect(ctx, []endpoint{{URL: s.url(kindFast, path), ThrottleRate: limitedRate}}); err != nil {
		return sample, err
	}
	seconds := int(s.run.lasts(s.options).Seconds())
	sent, err := s.publish(ctx, publishCommand{Count: limitedRate * (seconds + 2)})
	if err != nil {
		return sample, err
	}
	if _, err := s.arrivals(ctx, sent.Acked, s.endpoints, maxArrivalWait); err != nil {
		return sample, err
	}
	got, err := s.received(ctx)
	if err != nil {
		return sample, err
	}
	for _, p := range got.Paths {
		sample.count(sent, p)
	}
	sample.Messages, sample.Ack = sent.Acked, sent.Latency
	limited := got.Paths[path]
	bySecond := newCurve(limited.Curve).seconds()
	sample.Curves[curveLimited] = bySecond
	// The first and the last second are cut by the phase.
	whole := bySecond.Counts[min(1, len(bySecond.Counts)):]
	whole = whole[:min(len(whole), seconds)]
	if len(whole) == 0 {
		return sample, fmt.Errorf("all came in the first second")
	}
	sample.Figures[figureRate] = float64(sum(whole)) / float64(len(whole))
	sample.Figures[figureSlowest], sample.Figures[figureFastest] = float64(slices.Min(whole)), float64(slices.Max(whole))
	return sample, nil
}

// restart kills a server with a backlog behind one endpoint and a few deliveries
// under way to another. Both hang; after the crash the other answers.
func restart(ctx context.Context, s *session) (Sample, error) {
	const hung, other = 0, 1
	sample := newSample()
	waiting, few, err := s.hungBoth(ctx, hung, other)
	if err != nil {
		return sample, err
	}
	took, err := s.server.crash(ctx, func() error { return s.behave(ctx, other, modeAnswer) })
	if err != nil {
		return sample, err
	}
	ready := newClock().now()
	sample.Figures[figureReady] = took.Seconds()
	if _, err := s.await(ctx, s.options.Stall, maxArrivalWait, func(p progress) (int, bool) {
		return p.Unique[other], p.Unique[other] >= few
	}); err != nil {
		return sample, err
	}
	got, err := s.received(ctx)
	if err != nil {
		return sample, err
	}
	if p := got.Paths[other]; p.Unique > 0 {
		sample.Figures[figureFirst] = max(0, float64(p.FirstNs-ready)/1e9)
		sample.Figures[figureLost] += float64(max(0, few-p.Unique))
		sample.Figures[figureDuplicates] += float64(p.Duplicates)
	} else {
		return sample, errors.New("the other endpoint got nothing after the restart")
	}
	back, err := s.comeBack(ctx, hung)
	if err != nil {
		return sample, err
	}
	if err := s.drain(ctx, &sample, hung, waiting, back); err != nil {
		return sample, err
	}
	sample.Messages = waiting + few
	sample.Deliveries = waiting + few
	s.notePeak(&sample)
	return sample, nil
}

// hungBoth fills both endpoints, each in an application of its own, and returns how
// many messages wait for them.
func (s *session) hungBoth(ctx context.Context, hung, other int) (waiting, few int, err error) {
	app, err := s.server.newApplication(ctx, "other")
	if err != nil {
		return 0, 0, err
	}
	fixtures := []struct {
		app         string
		index, want int
	}{{s.server.app, hung, s.run.sized(s.options)}, {app, other, min(100, s.run.sized(s.options))}}
	var acked [2]int
	for i, f := range fixtures {
		if err := s.behave(ctx, f.index, modeHang); err != nil {
			return 0, 0, err
		}
		e := endpoint{URL: s.url(kindSwitch, f.index), RetrySchedule: patientRetries()}
		if _, err := s.server.newEndpoint(ctx, f.app, e); err != nil {
			return 0, 0, err
		}
		cmd := publishCommand{Target: s.server.targetOf(f.app), First: s.reserve(f.want), Count: f.want}
		if err := s.expect(ctx, f.index, 1, cmd); err != nil {
			return 0, 0, err
		}
		sent, err := s.send(ctx, s.load, cmd)
		if err != nil {
			return 0, 0, err
		}
		acked[i] = sent.Acked
	}
	return acked[0], acked[1], nil
}

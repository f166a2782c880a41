package bench

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"
)

// trickleRate is a load that nobody notices, in messages a second.
const trickleRate = 100

// bystander is another application with a fast endpoint and a load of its own: it
// tells what those who have nothing to do with a disturbance notice of it.
type bystander struct {
	load   *child
	target target
	path   int // its endpoint's index
}

// trickled is what came of a bystander's load.
type trickled struct {
	sent loadStats
	got  pathStats
}

// newBystander joins after the endpoints of the run.
func (s *session) newBystander(ctx context.Context) (*bystander, error) {
	load, _, err := startRole(ctx, roleLoad, s.options.Exe, s.options.CPUs)
	if err != nil {
		return nil, err
	}
	s.others = append(s.others, load)
	app, err := s.server.newApplication(ctx, "bystander")
	if err != nil {
		return nil, err
	}
	b := &bystander{load: load, target: s.server.targetOf(app), path: s.endpoints}
	_, err = s.server.newEndpoint(ctx, app, endpoint{URL: s.url(kindFast, b.path)})
	return b, err
}

// trickle publishes through the bystander for so long, and sees it delivered.
func (s *session) trickle(ctx context.Context, b *bystander, lasts time.Duration) (trickled, error) {
	count := max(1, int(trickleRate*lasts.Seconds()))
	cmd := publishCommand{
		Target: b.target, Publishers: 16, First: s.reserve(count), Count: count, Rate: trickleRate, Stamps: true,
	}
	var t trickled
	err := s.expect(ctx, b.path, 1, cmd)
	if err != nil {
		return t, err
	}
	if t.sent, err = s.send(ctx, b.load, cmd); err != nil {
		return t, err
	}
	_, err = s.await(ctx, s.options.Stall, maxArrivalWait, func(p progress) (int, bool) {
		return p.Unique[b.path], p.Unique[b.path] >= t.sent.Acked
	})
	if err != nil {
		return t, err
	}
	got, err := s.received(ctx)
	if err == nil {
		t.got = got.Paths[b.path]
	}
	return t, err
}

// count adds what was lost or arrived twice to the sample.
func (t trickled) count(sample *Sample) { sample.count(t.sent, t.got) }

// count adds what one endpoint did not get of a load, or got twice.
func (s *Sample) count(sent loadStats, got pathStats) {
	// A message of unknown fate that arrived makes up for none that did not: of those
	// that are listed as unknown, the missing ones are not lost.
	known := got.Unique - (len(sent.Unacked) - common(got.Listed, sent.Unacked))
	s.Messages += sent.Acked
	s.Deliveries += got.Unique
	s.Figures[figureLost] += float64(max(0, sent.Acked-known))
	s.Figures[figureDuplicates] += float64(got.Duplicates)
	s.FirstError = or(s.FirstError, sent.FirstError)
}

// flood measures a trickle beside another application's full speed. In the control
// run the flood goes to a second server on the same cores: the machine is as busy,
// but the two share nothing else. Alone there is no flood.
func flood(ctx context.Context, s *session) (Sample, error) {
	sample := newSample()
	b, err := s.newBystander(ctx)
	if err != nil {
		return sample, err
	}
	if err := s.warm(ctx); err != nil {
		return sample, err
	}
	if _, err := s.trickle(ctx, b, time.Second); err != nil {
		return sample, err
	}
	flooded, err := s.flooded(ctx)
	if err != nil {
		return sample, err
	}
	lasts := s.run.lasts(s.options)
	var t trickled
	var sent loadStats
	if flooded == nil {
		t, err = s.trickle(ctx, b, lasts)
	} else {
		t, sent, err = s.trickleBeside(ctx, b, *flooded, lasts)
	}
	if err != nil {
		return sample, err
	}
	t.count(&sample)
	sample.noteTrickle(t)
	if flooded == nil {
		return sample, nil
	}
	if _, err := s.arrivals(ctx, sent.Acked, s.run.endpoints, maxArrivalWait); err != nil {
		return sample, err
	}
	got, err := s.received(ctx)
	if err != nil {
		return sample, err
	}
	sample.count(sent, got.Paths[0])
	sample.Figures[figureFlood] = float64(sent.Acked) / (float64(sent.EndNs-sent.StartNs) / 1e9)
	s.notePeak(&sample)
	return sample, nil
}

// flooded is where the flood goes; nil when there is none.
func (s *session) flooded(ctx context.Context) (*target, error) {
	switch s.as {
	case subjectAlone:
		return nil, nil
	case subjectControl:
		second, err := startServer(ctx, s.options, filepath.Join(s.dir, "second"), "")
		if err != nil {
			return nil, err
		}
		s.others = append(s.others, second)
		to := second.target()
		return &to, second.connect(ctx, s.run.fast(s.addrs))
	}
	to := s.server.target()
	return &to, nil
}

// trickleBeside floods the target a little longer than the bystander publishes.
func (s *session) trickleBeside(ctx context.Context, b *bystander, to target, lasts time.Duration) (trickled, loadStats, error) {
	const lead = time.Second
	seconds := (lasts + 2*lead).Seconds()
	count := min(maxExpected, int(seconds*maxFlood))
	cmd := publishCommand{Target: to, First: s.reserve(count), Count: count, Seconds: seconds}
	if err := s.expect(ctx, 0, s.run.endpoints, cmd); err != nil {
		return trickled{}, loadStats{}, err
	}
	var sent loadStats
	var floodErr error
	var flooding sync.WaitGroup
	flooding.Go(func() { sent, floodErr = s.send(ctx, s.load, cmd) })
	t, err := trickled{}, pause(ctx, lead)
	if err == nil {
		t, err = s.trickle(ctx, b, lasts)
	}
	flooding.Wait()
	return t, sent, errors.Join(err, floodErr)
}

// maxFlood is more messages a second than any server takes.
const maxFlood = 100_000

// noteTrickle makes the bystander's figures those of the sample.
func (s *Sample) noteTrickle(t trickled) {
	s.Ack, s.EndToEnd = t.sent.Latency, t.got.Latency
	s.AfterAck = afterAck([]pathStats{t.got}, t.sent.Acks)
	s.Figures[figureAckP50] = millis(s.Ack.Quantile(0.50))
	s.Figures[figureAckP99] = millis(s.Ack.Quantile(0.99))
	s.Figures[figureE2EP50] = millis(s.EndToEnd.Quantile(0.50))
	s.Figures[figureE2EP99] = millis(s.EndToEnd.Quantile(0.99))
	s.Figures[figureAfterP50] = millis(s.AfterAck.Quantile(0.50))
	s.Figures[figureAfterP99] = millis(s.AfterAck.Quantile(0.99))
	s.Figures[figureDeliveries] = float64(t.got.Unique) / (float64(t.got.LastNs-t.sent.StartNs) / 1e9)
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// renewAfter is how many messages a publisher sends over one connection where nodes
	// come and go: several times a second all of them are spread anew.
	renewAfter = 100
	// leaveTimeout bounds the wait for a server that was told to stop: it drains first.
	leaveTimeout = time.Minute
)

// nodesOf is how many servers share the store of a subject.
func (r run) nodesOf(subject string) int {
	switch subject {
	case subjectTwo:
		return 2
	case subjectThree:
		return 3
	}
	return max(1, r.nodes)
}

// startNodes starts the servers that share the store of the first one, if there are any.
func (s *session) startNodes(ctx context.Context) error {
	for len(s.nodes)+1 < s.run.nodesOf(s.as) {
		addr, err := freeAddr()
		if err != nil {
			return err
		}
		if err := s.startNode(ctx, addr); err != nil {
			return err
		}
	}
	return nil
}

// startNode starts one more server on the store of the first one.
func (s *session) startNode(ctx context.Context, addr string) error {
	node, err := startServerAt(ctx, s.serverOptions(), addr, s.dir, s.server.app)
	if err != nil {
		return fmt.Errorf("another node: %w", err)
	}
	s.nodes, s.others = append(s.nodes, node), append(s.others, node)
	return nil
}

// target is where a load publishes that is spread evenly over the subject's servers.
func (s *session) target() target {
	to := s.subject.target()
	for _, node := range s.nodes {
		to.Addr += "," + node.addr()
	}
	return to
}

// subjects are the subject's processes.
func (s *session) subjects() []subject {
	list := []subject{s.subject}
	for _, node := range s.nodes {
		list = append(list, node)
	}
	return list
}

// pids are the numbers of the subject's processes.
func (s *session) pids() []int {
	var pids []int
	for _, each := range s.subjects() {
		pids = append(pids, each.pid())
	}
	return pids
}

// serverSnapshot is what the subject's processes come to, without a database.
func (s *session) serverSnapshot(ctx context.Context) (snapshot, error) {
	var all snapshot
	for i, each := range s.subjects() {
		c, err := each.counters(ctx)
		if err != nil {
			return all, err
		}
		cpu, err := processCPU(each.pid())
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return all, err
		}
		all.cpu += cpu
		all.perNode = append(all.perNode, c.attempts)
		if i == 0 {
			all.counters = c
		} else {
			all.counters = all.plus(c)
		}
	}
	return all, nil
}

// plus adds another server's counters, but not its GOMAXPROCS, which all have in
// common.
func (c counters) plus(other counters) counters {
	return counters{
		fsyncs:     c.fsyncs + other.fsyncs,
		batches:    c.batches + other.batches,
		operations: c.operations + other.operations,
		attempts:   c.attempts + other.attempts,
		behind:     c.behind + other.behind,
		ended:      c.ended + other.ended,
		debt:       c.debt + other.debt,
		busy:       c.busy + other.busy,
		rows:       c.rows + other.rows,
		probing:    c.probing + other.probing,
		gomaxprocs: c.gomaxprocs,
		collected:  c.collected + other.collected,
		heap:       c.heap + other.heap,
		unreturned: c.unreturned + other.unreturned,
	}
}

// sharesOf is the part of each node, in percent, of what all did between two looks.
func sharesOf(before, after []float64) []float64 {
	var total float64
	shares := make([]float64, len(after))
	for i := range after {
		shares[i] = after[i] - before[i]
		total += shares[i]
	}
	for i := range shares {
		shares[i] *= 100 / total
	}
	return shares
}

// joining is a load under way while a node joins and another one leaves. It belongs
// to one goroutine, beside which the load is waited for in one of its own.
type joining struct {
	*session
	joiner string        // address of the node to come
	lasts  time.Duration // of the load
	share  float64       // of the joiner, in percent
	left   time.Duration // what it took a node to leave
}

// join publishes at full speed to two nodes, as a load balancer would spread it. A
// third one joins, and later the second one is told to stop. The publishers repeat
// what has an unknown outcome; nothing may be lost or arrive twice for all that.
func join(ctx context.Context, s *session) (Sample, error) {
	sample := newSample()
	if err := s.warm(ctx); err != nil {
		return sample, err
	}
	joiner, err := freeAddr()
	if err != nil {
		return sample, err
	}
	j := &joining{session: s, joiner: joiner, lasts: s.run.lasts(s.options)}
	sent, err := j.underLoad(ctx)
	if err != nil {
		return sample, err
	}
	if _, err := s.arrivals(ctx, sent.Acked, s.run.endpoints, maxArrivalWait); err != nil {
		return sample, err
	}
	if sample.Quiet, err = s.quietOnDisk(ctx); err != nil {
		return sample, err
	}
	got, err := s.received(ctx)
	if err != nil {
		return sample, err
	}
	sample.count(sent, got.Paths[0])
	sample.Ack, sample.EndToEnd = sent.Latency, got.Paths[0].Latency
	figures := sample.Figures
	figures[figureDeliveries] = float64(got.Paths[0].Unique) / (float64(got.Paths[0].LastNs-sent.StartNs) / 1e9)
	figures[figureAckP50], figures[figureAckP99] = millis(sample.Ack.Quantile(0.50)), millis(sample.Ack.Quantile(0.99))
	figures[figureE2EP50], figures[figureE2EP99] = millis(sample.EndToEnd.Quantile(0.50)), millis(sample.EndToEnd.Quantile(0.99))
	figures[figureRefused], figures[figureRepeats] = float64(sent.Refused), float64(sent.Repeats)
	figures[figureJoinerShare], figures[figureLeft] = j.share, j.left.Seconds()
	known(figures)
	return sample, nil
}

// underLoad publishes while nodes come and go. What fails there ends the load; the
// servers live beyond it.
func (j *joining) underLoad(servers context.Context) (loadStats, error) {
	ctx, cancel := context.WithCancelCause(servers)
	defer cancel(nil)
	to := j.target()
	to.Addr, to.Repeat, to.Renew = strings.Join([]string{to.Addr, j.joiner}, ","), true, renewAfter
	count := min(maxExpected, int(j.lasts.Seconds()*maxFlood))
	cmd := publishCommand{Target: to, First: j.reserve(count), Count: count, Seconds: j.lasts.Seconds()}
	if err := j.expect(ctx, 0, j.run.endpoints, cmd); err != nil {
		return loadStats{}, err
	}
	var sent loadStats
	var loadErr error
	var load sync.WaitGroup
	load.Go(func() { sent, loadErr = j.send(ctx, j.load, cmd) })
	err := j.conduct(ctx, servers)
	if err != nil {
		cancel(err)
	}
	load.Wait()
	return sent, errors.Join(err, loadErr)
}

// conduct has a node join after a quarter of the load, looks at its share in the
// quarter after the next, and has another node leave then. Servers end with their own
// context.
func (j *joining) conduct(ctx, servers context.Context) error {
	quarter := j.lasts / 4
	if err := pause(ctx, quarter); err != nil {
		return err
	}
	if err := j.startNode(servers, j.joiner); err != nil {
		return err
	}
	var looks [2]snapshot
	for i := range looks {
		if err := pause(ctx, quarter); err != nil {
			return err
		}
		var err error
		if looks[i], err = j.serverSnapshot(ctx); err != nil {
			return err
		}
	}
	shares := sharesOf(looks[0].perNode, looks[1].perNode)
	j.share = shares[len(shares)-1]
	return j.leave()
}

// leave stops the second node in good order, however long it drains.
func (j *joining) leave() error {
	node := j.nodes[0]
	j.nodes = j.nodes[1:]
	began := time.Now()
	if err := stopSignal(node.cmd.Process); err != nil {
		return fmt.Errorf("stop a node: %w", err)
	}
	timer := time.NewTimer(leaveTimeout)
	defer timer.Stop()
	select {
	case <-node.exited:
	case <-timer.C:
		return fmt.Errorf("a node did not stop within %s%s", leaveTimeout, node.stderr)
	}
	j.left = time.Since(began)
	if node.err != nil {
		return fmt.Errorf("a node that was stopped: %w%s", node.err, node.stderr)
	}
	return nil
}

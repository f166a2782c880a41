package bench

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// receiver answers deliveries cheaply and keeps the ledger. What an endpoint does is
// in its path, KIND/I, where I is its index in the ledger.
type receiver struct {
	clock    clock
	ledger   *ledger
	switches switches
	turns    atomic.Int64 // requests to endpoints that now and then do otherwise

	mu    sync.Mutex
	conns map[net.Conn]struct{} // open connections, closed at the end
}

// runReceiver is the role: it listens on several loopback ports, as a subject may
// pool connections by address, and takes the commands "expect", "behave", "progress"
// and "stats".
func runReceiver(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	flags := flag.NewFlagSet(roleReceiver, flag.ContinueOnError)
	count := flags.Int("listeners", 1, "ports to listen on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	r := &receiver{clock: newClock(), ledger: &ledger{}, conns: map[net.Conn]struct{}{}}
	listeners, err := listenAll(*count)
	if err != nil {
		return err
	}
	return r.serve(ctx, listeners, stdin, stdout)
}

// serve accepts until the commands end, then closes everything and waits.
func (r *receiver) serve(ctx context.Context, listeners []net.Listener, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	var addrs []string
	for _, l := range listeners {
		addrs = append(addrs, l.Addr().String())
		running.Go(func() { r.accept(ctx, l, &running) })
	}
	err := serveCommands(ctx, stdin, stdout, addrs, r.command)
	cancel()
	err = errors.Join(err, closeAll(listeners))
	r.closeConns()
	running.Wait()
	return err
}

// accept serves one port; each connection gets a goroutine that serve waits for.
func (r *receiver) accept(ctx context.Context, l net.Listener, running *sync.WaitGroup) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return // closed at the end; before, the deliveries count as lost
		}
		r.mu.Lock()
		r.conns[conn] = struct{}{}
		r.mu.Unlock()
		if ctx.Err() != nil {
			r.drop(conn) // accepted while closeConns ran
			return
		}
		running.Go(func() {
			defer r.drop(conn)
			r.converse(ctx, conn)
		})
	}
}

// converse answers the requests of one connection until either side has enough.
func (r *receiver) converse(ctx context.Context, conn net.Conn) {
	in := bufio.NewReaderSize(conn, wireBuffer)
	var line, body []byte
	for {
		h, err := readHead(in, line)
		if err != nil {
			return
		}
		line = h.first
		if body, err = readBody(in, h, body); err != nil {
			return
		}
		arrived := r.clock.now()
		path, err := parseTarget(line)
		if err != nil {
			r.ledger.rejected.Add(1)
			reply(conn, "400 Bad Request")
			return
		}
		status, answers := r.serveOne(ctx, path, body, arrived)
		if !answers || !reply(conn, status) || h.close {
			return
		}
	}
}

// serveOne counts one delivery and behaves as its endpoint does; false when that is
// to break the connection.
func (r *receiver) serveOne(ctx context.Context, path endpointPath, body []byte, arrived int64) (status string, answers bool) {
	const ok, failed = "200 OK", "500 Internal Server Error"
	switch path.kind {
	case kindSink:
		r.ledger.sunk.Add(1)
		return ok, true
	case kindFlaky:
		if r.turns.Add(1)%flakyEvery == 0 {
			return ok, true
		}
		return failed, true
	case kindSwitch:
		if mode := r.switches.get(path.index); mode.name != modeAnswer {
			return r.turnAway(ctx, path.index, mode, arrived)
		}
	}
	if path.kind == kindRough && r.turns.Add(1)%path.every == 0 {
		return r.goWrong(ctx, path, arrived)
	}
	r.note(path.index, body, arrived)
	return ok, path.wait(ctx)
}

// goWrong is a rough endpoint at its worst: the message has not arrived.
func (r *receiver) goWrong(ctx context.Context, path endpointPath, arrived int64) (status string, answers bool) {
	r.ledger.turn(path.index, arrived)
	switch path.how {
	case modeBusy:
		return "429 Too Many Requests\r\nRetry-After: 1", true
	case modeError:
		return "500 Internal Server Error", true
	}
	_ = pause(ctx, roughHang) // the connection breaks either way
	return "", false
}

// turnAway is a switch that does not answer as it should: the request is counted, and
// its message has not arrived.
func (r *receiver) turnAway(ctx context.Context, index int, mode switchMode, arrived int64) (status string, answers bool) {
	r.ledger.turn(index, arrived)
	if mode.name == modeFail {
		return "503 Service Unavailable", true
	}
	select {
	case <-mode.changed:
	case <-ctx.Done():
	}
	return "", false
}

// note counts a delivery at its arrival, before the endpoint's behaviour: one that
// is answered late, or never, has arrived all the same.
func (r *receiver) note(index int, body []byte, arrived int64) {
	seq, sent, err := parseMessage(body)
	if err != nil {
		r.ledger.rejected.Add(1)
		return
	}
	r.ledger.arrive(index, seq, sent, arrived)
}

// command answers the coordinator while deliveries go on.
func (r *receiver) command(_ context.Context, cmd command) (any, error) {
	switch cmd.Do {
	case "expect":
		with, err := decode[expectCommand](cmd)
		if err != nil {
			return nil, err
		}
		return nil, r.ledger.expect(with, r.clock.now())
	case "behave":
		with, err := decode[behaveCommand](cmd)
		if err != nil {
			return nil, err
		}
		return nil, r.switches.set(with)
	case "progress":
		return r.ledger.progress(), nil
	case "stats":
		return r.ledger.stats(), nil
	}
	return nil, unknown(cmd)
}

// drop forgets and closes one connection.
func (r *receiver) drop(conn net.Conn) {
	r.mu.Lock()
	delete(r.conns, conn)
	r.mu.Unlock()
	_ = conn.Close() // its peer may have closed it first
}

// closeConns ends the reads that converse waits in.
func (r *receiver) closeConns() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.conns {
		_ = conn.Close() // see drop
	}
}

// reply writes an answer without a body; false when the peer is gone.
func reply(conn net.Conn, status string) bool {
	_, err := io.WriteString(conn, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n")
	return err == nil
}

// listenAll opens free loopback ports, all or none.
func listenAll(count int) ([]net.Listener, error) {
	var listeners []net.Listener
	for range min(max(count, 1), 100) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listen: %w", err), closeAll(listeners))
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func closeAll(listeners []net.Listener) error {
	var errs []error
	for _, l := range listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

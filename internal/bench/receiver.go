package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// receiver answers deliveries cheaply and keeps the ledger. What an endpoint does is
// in its path: /fast/I answers at once, /slow/I?ms=N after N milliseconds, /hang/I
// never; I is the endpoint's index in the ledger.
type receiver struct {
	clock  clock
	ledger *ledger

	mu    sync.Mutex
	conns map[net.Conn]struct{} // open connections, closed at the end
}

// runReceiver is the role: it listens on several loopback ports, as a subject may
// pool connections by address, and takes the commands "expect" and "stats".
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
		r.note(path.index, body, arrived)
		if !path.wait(ctx) || !reply(conn, "200 OK") || h.close {
			return
		}
	}
}

func (r *receiver) note(index int, body []byte, arrived int64) {
	seq, sent, err := parseMessage(body)
	if err != nil {
		r.ledger.rejected.Add(1)
		return
	}
	r.ledger.arrive(index, seq, sent, arrived)
}

func (r *receiver) command(_ context.Context, cmd command) (any, error) {
	switch cmd.Do {
	case "expect":
		with, err := decode[expectCommand](cmd)
		if err != nil {
			return nil, err
		}
		return nil, r.ledger.expect(with)
	case "progress":
		return r.ledger.progress(), nil
	case "stats":
		return r.ledger.stats(), nil
	}
	return nil, unknown(cmd)
}

func (r *receiver) drop(conn net.Conn) {
	r.mu.Lock()
	delete(r.conns, conn)
	r.mu.Unlock()
	_ = conn.Close() // its peer may have closed it first
}

func (r *receiver) closeConns() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.conns {
		_ = conn.Close() // see drop
	}
}

func reply(conn net.Conn, status string) bool {
	_, err := io.WriteString(conn, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n")
	return err == nil
}

// endpointPath is what the request target asks of the receiver.
type endpointPath struct {
	index int
	delay time.Duration
	hang  bool
}

// wait behaves as the path says; false when ctx ended first.
func (p endpointPath) wait(ctx context.Context) bool {
	if p.hang {
		<-ctx.Done()
		return false
	}
	if p.delay == 0 {
		return true
	}
	timer := time.NewTimer(p.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// parseTarget reads "POST /fast/3 HTTP/1.1".
func parseTarget(line []byte) (endpointPath, error) {
	parts := bytes.Fields(line)
	if len(parts) != 3 || string(parts[0]) != "POST" {
		return endpointPath{}, fmt.Errorf("%w: request line", errMalformed)
	}
	path, query, _ := strings.Cut(string(parts[1]), "?")
	kind, index, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	n, err := strconv.Atoi(index)
	if !ok || err != nil || n < 0 {
		return endpointPath{}, fmt.Errorf("%w: no endpoint in path", errMalformed)
	}
	p := endpointPath{index: n}
	switch kind {
	case "fast":
	case "hang":
		p.hang = true
	case "slow":
		if p.delay, err = parseDelay(query); err != nil {
			return endpointPath{}, err
		}
	default:
		return endpointPath{}, fmt.Errorf("%w: unknown behaviour", errMalformed)
	}
	return p, nil
}

func parseDelay(query string) (time.Duration, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return 0, fmt.Errorf("%w: query", errMalformed)
	}
	ms, err := strconv.Atoi(values.Get("ms"))
	if err != nil || ms < 0 || ms > 600_000 {
		return 0, fmt.Errorf("%w: delay", errMalformed)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

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

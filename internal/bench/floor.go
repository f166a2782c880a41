package bench

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// floorWorkers is how many deliveries the floor has under way at once: as many
	// as there are publishers, since more connections only cost more.
	floorWorkers = 64
	// floorQueue bounds the deliveries that wait; a full queue delays acks.
	floorQueue   = 20_000
	floorTimeout = 15 * time.Second
)

// floor receives, logs and forwards with net/http, and does nothing else: no
// routing, checks, signatures, retries or history. It is what the machine, the
// file system and the standard library leave to be had.
type floor struct {
	log       *appendLog
	transport *http.Transport
	header    http.Header  // of every delivery, never written after the start
	queue     chan forward // closed by nobody: workers end with their context
	targets   atomic.Pointer[[]*url.URL]

	nextID, delivered, failed atomic.Int64
}

// forward is one message on its way to one endpoint.
type forward struct {
	id   uint64
	body []byte
	to   *url.URL
}

// floorStats is the answer to the floor's command "stats"; counts since its start.
type floorStats struct {
	Delivered  int64 `json:"delivered"`
	Failed     int64 `json:"failed"`
	Syncs      int64 `json:"syncs"`
	Operations int64 `json:"operations"`
	GOMAXPROCS int   `json:"gomaxprocs"`
}

// connectCommand adds endpoints to the floor.
type connectCommand struct {
	URLs []string `json:"urls"`
}

// runFloor is the role: it listens on a free loopback port and takes the commands
// "connect" and "stats".
func runFloor(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	flags := flag.NewFlagSet(roleFloor, flag.ContinueOnError)
	dir := flags.String("dir", "", "folder of the log")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if runtime.GOMAXPROCS(0) == 1 {
		// A sync would hold the only processor and batches collapse to one.
		runtime.GOMAXPROCS(2)
	}
	log, err := openLog(*dir)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(fmt.Errorf("listen: %w", err), log.close(errLogClosed))
	}
	f := newFloor(log)
	return f.serve(ctx, listener, stdin, stdout)
}

// newFloor builds the parts without starting any. The transport keeps one idle
// connection per worker and endpoint: with Go's default of two it would dial for
// nearly every delivery, and the floor would measure that.
func newFloor(log *appendLog) *floor {
	f := &floor{
		log: log,
		transport: &http.Transport{
			MaxIdleConns:        0,
			MaxIdleConnsPerHost: floorWorkers,
			DisableCompression:  true,
		},
		header: http.Header{"Content-Type": {"application/json"}, "User-Agent": {"floor"}},
		queue:  make(chan forward, floorQueue),
	}
	f.targets.Store(&[]*url.URL{})
	return f
}

// serve runs log, workers and server until the commands end; deliveries still
// queued then are dropped.
func (f *floor) serve(ctx context.Context, listener net.Listener, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() {
		if err := f.log.run(ctx); err != nil {
			cancel() // without its log the floor has nothing to say
		}
	})
	for range floorWorkers {
		running.Go(func() { f.work(ctx) })
	}
	server := &http.Server{Handler: http.HandlerFunc(f.receive)}
	running.Go(func() {
		// Ends with Close below; a listener that fails shows as failed publishes.
		_ = server.Serve(listener)
	})

	err := serveCommands(ctx, stdin, stdout, []string{listener.Addr().String()}, f.command)
	cancel()
	err = errors.Join(err, server.Close())
	f.transport.CloseIdleConnections()
	running.Wait()
	return err
}

// receive acknowledges a body once it is durable and hands it to the workers.
func (f *floor) receive(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength < 0 || r.ContentLength > maxBody {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	id := uint64(f.nextID.Add(1))
	if err := f.log.accept(id, body); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	for _, to := range *f.targets.Load() {
		select {
		case f.queue <- forward{id: id, body: body, to: to}:
		case <-r.Context().Done():
			return
		}
	}
	w.WriteHeader(http.StatusAccepted)
}

// work delivers from the queue. A delivery that fails is not tried again, since
// retries are not part of the floor; the completion of one that succeeds is logged.
func (f *floor) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-f.queue:
			if err := f.send(ctx, d); err != nil {
				f.failed.Add(1) // the receiver's count tells it as lost
				continue
			}
			f.delivered.Add(1)
			f.log.complete(d.id)
		}
	}
}

// send posts one body. RoundTrip rather than Client.Do: the floor follows no
// redirects and keeps no cookies, and the cheaper call is the stricter measure.
func (f *floor) send(ctx context.Context, d forward) error {
	ctx, cancel := context.WithTimeout(ctx, floorTimeout)
	defer cancel()
	request := &http.Request{
		Method:        http.MethodPost,
		URL:           d.to,
		Host:          d.to.Host,
		Header:        f.header,
		Body:          io.NopCloser(bytes.NewReader(d.body)),
		ContentLength: int64(len(d.body)),
	}
	response, err := f.transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, maxBody))
	err = errors.Join(err, response.Body.Close())
	if response.StatusCode/100 != 2 {
		err = errors.Join(err, fmt.Errorf("status %d", response.StatusCode))
	}
	return err
}

// command answers the coordinator; counters are read while deliveries go on.
func (f *floor) command(_ context.Context, cmd command) (any, error) {
	switch cmd.Do {
	case "connect":
		with, err := decode[connectCommand](cmd)
		if err != nil {
			return nil, err
		}
		return nil, f.connect(with.URLs)
	case "stats":
		return floorStats{
			Delivered:  f.delivered.Load(),
			Failed:     f.failed.Load(),
			Syncs:      f.log.syncs.Load(),
			Operations: f.log.operations.Load(),
			GOMAXPROCS: runtime.GOMAXPROCS(0),
		}, nil
	}
	return nil, unknown(cmd)
}

// connect adds endpoints; commands come one at a time, so that nobody else stores.
func (f *floor) connect(urls []string) error {
	targets := append([]*url.URL(nil), *f.targets.Load()...)
	for _, raw := range urls {
		u, err := url.Parse(raw)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		targets = append(targets, u)
	}
	f.targets.Store(&targets)
	return nil
}

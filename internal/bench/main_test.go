package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestMain makes the test binary stand in for the real one: started with a role or
// with serve, it is that process and runs no test.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "bench-role" || os.Args[1] == "serve") {
		ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
		err := beProcess(ctx, os.Args[1:])
		cancel()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// Else each child of a race-enabled binary rests a second at its end.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	// The tests that make a bench mostly wait, so that more of them may run at once
	// than there are cores.
	flag.Parse()
	if err := flag.Set("test.parallel", "10"); err != nil {
		panic(err)
	}
	os.Exit(withBinaryDir(m))
}

// binaryDir is where the real binary is built if a test needs it.
var binaryDir string

func withBinaryDir(m *testing.M) int {
	dir, err := os.MkdirTemp("", "postern-bench-binary-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaryDir = dir
	return cluster.Main(m)
}

func beProcess(ctx context.Context, args []string) error {
	if args[0] == "serve" {
		return serveStandIn(ctx, args[1:])
	}
	return RunRole(ctx, args[1], args[2:], os.Stdin, os.Stdout)
}

// standIn is the floor behind the API shapes that the bench uses: as far as the
// coordinator can tell a server, with faults on request.
type standIn struct {
	floor *floor
	fault string // "", "drop", "double" or "refuse": what happens to every 50th message
	key   string
	count atomic.Int64
}

func serveStandIn(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	listen := flags.String("listen", "", "")
	store := flags.String("store", "", "")
	key := flags.String("admin-key", "", "")
	_ = flags.String("egress-allow", "", "")
	_ = flags.String("log-level", "", "")
	fault := flags.String("fault", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *fault == "start" {
		return fmt.Errorf("the store is in use")
	}
	dir := strings.TrimPrefix(*store, "file:")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	log, err := openLog(filepath.Clean(dir))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	s := &standIn{floor: newFloor(log), fault: *fault, key: *key}
	for range floorWorkers {
		go s.floor.work(ctx)
	}
	server := &http.Server{Handler: s.mux()}
	context.AfterFunc(ctx, func() { server.Close() })
	go server.Serve(listener)
	return log.run(ctx)
}

func (s *standIn) mux() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /api/v1/app", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"id":"app_1"}`)
	})
	mux.HandleFunc("POST /api/v1/event-type", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
	})
	mux.HandleFunc("POST /api/v1/app/app_1/endpoint", s.endpoint)
	mux.HandleFunc("DELETE /api/v1/app/app_1/endpoint/ep_1", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /api/v1/app/app_1/msg", s.message)
	mux.HandleFunc("GET /metrics", s.metrics)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+s.key {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (s *standIn) endpoint(w http.ResponseWriter, r *http.Request) {
	var in struct {
		URL     string `json:"url"`
		Version int    `json:"version"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Version != 1 {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	if err := s.floor.connect([]string{in.URL}); err != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	io.WriteString(w, `{"id":"ep_1"}`)
}

// message takes the payload out of its envelope and gives it to the floor.
func (s *standIn) message(w http.ResponseWriter, r *http.Request) {
	var in struct {
		EventType string          `json:"eventType"`
		Payload   json.RawMessage `json:"payload"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.EventType != eventType {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	give := func(w http.ResponseWriter) {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(in.Payload)), int64(len(in.Payload))
		s.floor.receive(w, r)
	}
	if s.count.Add(1)%50 == 0 {
		switch s.fault {
		case "drop":
			w.WriteHeader(http.StatusAccepted)
			return
		case "double":
			give(discardAnswer{})
		case "refuse":
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
	}
	give(w)
}

func (s *standIn) metrics(w http.ResponseWriter, _ *http.Request) {
	syncs, operations := s.floor.log.syncs.Load(), s.floor.log.operations.Load()
	fmt.Fprintf(w, "# HELP postern_fsyncs_total x\npostern_fsyncs_total %d\npostern_batches_total %d\n", syncs, syncs)
	fmt.Fprintf(w, "postern_batch_operations_total %d\n", operations)
	fmt.Fprintf(w, "postern_attempts_total{outcome=\"ok\"} %d\n", s.floor.delivered.Load())
	fmt.Fprintf(w, "postern_store_compaction_debt_bytes 0\npostern_store_memtable_bytes 1048576\n")
	fmt.Fprintf(w, "postern_deliveries_behind_total 0\n")
}

// discardAnswer is a response that nobody reads.
type discardAnswer struct{}

func (discardAnswer) Header() http.Header         { return http.Header{} }
func (discardAnswer) Write(p []byte) (int, error) { return len(p), nil }
func (discardAnswer) WriteHeader(int)             {}

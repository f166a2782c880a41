package bench

import (
	"context"
	"fmt"
	"math"
	"time"
)

// subject is a system under test, running in a process of its own.
type subject interface {
	// connect routes what is published from now on to these endpoints as well.
	connect(ctx context.Context, endpoints []endpoint) error
	target() target
	counters(ctx context.Context) (counters, error)
	pid() int
	stop()
}

var (
	_ subject = (*serverSubject)(nil)
	_ subject = (*floorSubject)(nil)
)

// endpoint is what a subject is told about one, in the API's words.
type endpoint struct {
	Channels      []string `json:"channels,omitempty"` // empty: every message
	Description   string   `json:"description"`
	RetrySchedule []int    `json:"retrySchedule,omitempty"` // waits in seconds; empty: the server's own
	ThrottleRate  int      `json:"throttleRate,omitempty"`  // deliveries a second; 0: no limit
	URL           string   `json:"url"`
	Version       int      `json:"version"`
}

// readyTimeout is how long a process may take from its start to its first sign of
// life; a store that recovers counts.
const readyTimeout = 30 * time.Second

// floorSubject is the floor role.
type floorSubject struct {
	*child
	addr string
}

func startFloor(ctx context.Context, exe string, cpus []int, dir string) (*floorSubject, error) {
	c, addrs, err := startRole(ctx, roleFloor, exe, cpus, "--dir", dir)
	if err != nil {
		return nil, err
	}
	return &floorSubject{child: c, addr: addrs[0]}, nil
}

// startRole starts a role and waits for its first line.
func startRole(ctx context.Context, role, exe string, cpus []int, args ...string) (*child, []string, error) {
	c, err := startChild(ctx, role, exe, cpus, true, append([]string{"bench-role", role}, args...)...)
	if err != nil {
		return nil, nil, err
	}
	ready, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	var where listening
	if err := c.read(ready, &where); err != nil {
		c.stop()
		return nil, nil, fmt.Errorf("start %s: %w", role, err)
	}
	return c, where.Addrs, nil
}

// connect takes the URLs alone: the floor does nothing but forward.
func (f *floorSubject) connect(ctx context.Context, endpoints []endpoint) error {
	var with connectCommand
	for _, e := range endpoints {
		with.URLs = append(with.URLs, e.URL)
	}
	return f.do(ctx, "connect", with, nil)
}

func (f *floorSubject) target() target { return target{Addr: f.addr, Path: "/"} }

// counters fills the shape of a server: one sync is one batch, there is no store
// that could owe work, and no lane that could fall behind.
func (f *floorSubject) counters(ctx context.Context) (counters, error) {
	var s floorStats
	if err := f.do(ctx, "stats", nil, &s); err != nil {
		return counters{}, err
	}
	return counters{
		fsyncs:     float64(s.Syncs),
		batches:    float64(s.Syncs),
		operations: float64(s.Operations),
		attempts:   float64(s.Delivered + s.Failed),
		behind:     math.NaN(),
		rows:       math.NaN(),
		probing:    math.NaN(),
		collected:  math.NaN(),
		heap:       math.NaN(),
		unreturned: math.NaN(),
		debt:       0,
		busy:       0,
		gomaxprocs: float64(s.GOMAXPROCS),
	}, nil
}

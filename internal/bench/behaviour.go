package bench

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What an endpoint of the receiver is; the first word of its path.
const (
	kindFast   = "fast"   // answers at once
	kindSlow   = "slow"   // answers after ms=N milliseconds
	kindHang   = "hang"   // never answers
	kindSwitch = "switch" // does what it was last told to do; at first it answers at once
	kindFlaky  = "flaky"  // fails, but for every flakyEvery-th request; only counted
	kindSink   = "sink"   // answers at once; only counted
	kindRough  = "rough"  // answers at once, but every=N-th request not, in the way how=MODE
)

// flakyEvery is often enough that no lane takes the endpoint for one that is down.
const flakyEvery = 8

// What a switch can be told.
const (
	modeAnswer = "answer"
	modeFail   = "fail"  // 503 at once
	modeHang   = "hang"  // until it is told something else, then the connection breaks
	modeError  = "error" // of a rough one: 500 at once
	modeBusy   = "busy"  // of a rough one: 429 at once, with a Retry-After of a second
)

// endpointPath is what the request target asks of the receiver.
type endpointPath struct {
	kind  string
	index int
	delay time.Duration
	every int64  // of a rough one: how many requests there are to one that goes wrong
	how   string // of a rough one: how that goes wrong
}

// roughHang is longer than any subject waits for an answer.
const roughHang = 20 * time.Second

// wait behaves as the path says; false when ctx ended first.
func (p endpointPath) wait(ctx context.Context) bool {
	if p.kind == kindHang {
		<-ctx.Done()
		return false
	}
	return p.delay == 0 || pause(ctx, p.delay) == nil
}

// switches knows what each switch was told. The zero value is ready, and safe for
// concurrent use.
type switches struct {
	mu    sync.Mutex
	modes map[int]*switchMode
}

type switchMode struct {
	name    string
	changed chan struct{} // closed when another takes its place
}

// behaveCommand tells the endpoint of this index, a switch, what to do.
type behaveCommand struct {
	Index int    `json:"index"`
	Mode  string `json:"mode"`
}

func (s *switches) set(with behaveCommand) error {
	if with.Mode != modeAnswer && with.Mode != modeFail && with.Mode != modeHang {
		return fmt.Errorf("behave: unknown mode %q", with.Mode)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.modes == nil {
		s.modes = map[int]*switchMode{}
	}
	if old := s.modes[with.Index]; old != nil {
		close(old.changed)
	}
	s.modes[with.Index] = &switchMode{name: with.Mode, changed: make(chan struct{})}
	return nil
}

// get is the present mode; its channel is nil, so never ready, for one that was
// never told anything.
func (s *switches) get(index int) switchMode {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.modes[index]; m != nil {
		return *m
	}
	return switchMode{name: modeAnswer}
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
	case kindFast, kindHang, kindSwitch, kindFlaky, kindSink:
	case kindSlow:
		if p.delay, err = parseDelay(query); err != nil {
			return endpointPath{}, err
		}
	case kindRough:
		if p.every, p.how, err = parseRough(query); err != nil {
			return endpointPath{}, err
		}
	default:
		return endpointPath{}, fmt.Errorf("%w: unknown behaviour", errMalformed)
	}
	p.kind = kind
	return p, nil
}

// parseRough reads every=N&how=MODE.
func parseRough(query string) (every int64, how string, err error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return 0, "", fmt.Errorf("%w: query", errMalformed)
	}
	every, err = strconv.ParseInt(values.Get("every"), 10, 64)
	how = values.Get("how")
	if err != nil || every < 1 || (how != modeError && how != modeBusy && how != modeHang) {
		return 0, "", fmt.Errorf("%w: roughness", errMalformed)
	}
	return every, how, nil
}

// parseDelay reads ms=N, at most ten minutes.
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

package bench

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

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

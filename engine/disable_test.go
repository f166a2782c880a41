package engine

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

// crowd is ten endpoints that are sent every message, of which some fail.
type crowd struct {
	*life
	endpoints []postern.EndpointNumber

	mu   sync.Mutex
	fail []postern.EndpointNumber
}

func inCrowd(t *testing.T, test func(c *crowd)) {
	t.Helper()
	inBubble(t, Config{RetrySchedule: postern.RetrySchedule{time.Hour, time.Hour}}, func(l *life) {
		c := &crowd{life: l, endpoints: []postern.EndpointNumber{l.endpoint}}
		for len(c.endpoints) < 10 {
			e, err := l.eng.catalogue.CreateEndpoint(t.Context(), postern.Endpoint{Application: l.app, Kind: postern.HTTPEndpoint, URL: "https://example.com/"})
			if err != nil {
				t.Fatal(err)
			}
			c.endpoints = append(c.endpoints, e.Number)
		}
		l.replies(func(_ context.Context, a *postern.Attempt) bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			if a.Code = 200; slices.Contains(c.fail, a.Endpoint) {
				a.Code = 500
			}
			a.Succeeded = a.Code == 200
			return true
		})
		test(c)
	})
}

// failing has these endpoints fail from now on, and no others.
func (c *crowd) failing(endpoints ...postern.EndpointNumber) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = endpoints
}

// days go by, with a message every six hours.
func (c *crowd) days(n int) {
	for range n * 4 {
		c.publish()
		c.pass(10 * time.Minute) // probes that find an endpoint well may take as long
		c.skip(6 * time.Hour)
	}
}

// disabled are the endpoints that the engine disabled.
func (c *crowd) disabled() []postern.EndpointNumber {
	return slices.DeleteFunc(slices.Clone(c.endpoints), func(n postern.EndpointNumber) bool {
		return c.eng.catalogue.EndpointByNumber(n).Health.Disabled == ""
	})
}

// When all fail at once the fault is likely ours: nobody is disabled for it,
// not after a restart, and not while they come back one after the other. Who
// fails on is disabled then.
func TestNobodyIsDisabledWhileMostFail(t *testing.T) {
	inCrowd(t, func(c *crowd) {
		c.failing(c.endpoints...)
		c.days(6)
		if got := c.disabled(); len(got) > 0 {
			t.Fatalf("disabled while all fail: %v", got)
		}
		c.stop()
		c.begin()
		c.publish()
		c.pass(10 * time.Minute)
		if got := c.disabled(); len(got) > 0 {
			t.Fatalf("disabled after a restart: %v", got)
		}
		last := c.endpoints[9]
		c.failing(last)
		for range 2 {
			c.publish()
			c.pass(10 * time.Minute)
		}
		if got := c.disabled(); len(got) > 0 {
			t.Errorf("disabled for a failure a moment later: %v", got)
		}
		c.days(2)
		if got := c.disabled(); !slices.Equal(got, []postern.EndpointNumber{last}) {
			t.Errorf("disabled when one fails on: %v, want %v", got, last)
		}
	})
}

// One that fails alone is disabled after five days of that, also when the
// engine began anew meanwhile.
func TestOneThatFailsAloneIsDisabled(t *testing.T) {
	inCrowd(t, func(c *crowd) {
		c.failing(c.endpoints[3])
		c.days(4)
		if got := c.disabled(); len(got) > 0 {
			t.Fatalf("disabled after four days: %v", got)
		}
		c.stop()
		c.begin()
		c.days(2)
		if got := c.disabled(); !slices.Equal(got, c.endpoints[3:4]) {
			t.Errorf("disabled after six days: %v, want %v", got, c.endpoints[3])
		}
	})
}

package dispatch

import (
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

func TestCensus(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	for name, tc := range map[string]struct {
		well, failing int // endpoints, the first noted first
		again         int // of the failing, so many succeed afterwards
		after         time.Duration
		want          bool
	}{
		"nobody was tried":              {},
		"one in all":                    {failing: 1},
		"nine in all":                   {failing: 9},
		"ten in all":                    {failing: 10, want: true},
		"half":                          {well: 10, failing: 10},
		"more than half":                {well: 10, failing: 11, want: true},
		"no more, a moment ago":         {failing: 10, again: 6, want: true},
		"no more, and a day ago":        {failing: 10, again: 6, after: grace},
		"still, after a day":            {failing: 10, after: grace, want: true},
		"those that are well are known": {well: 1000, failing: 10},
	} {
		t.Run(name, func(t *testing.T) {
			var c census
			for n := range tc.well + tc.failing {
				c.note(postern.EndpointNumber(n), n >= tc.well, start)
			}
			c.most(start)
			for n := range tc.again {
				c.note(postern.EndpointNumber(tc.well+n), false, start)
			}
			if got := c.most(start.Add(tc.after)); got != tc.want {
				t.Errorf("most: %t", got)
			}
		})
	}
}

// After a start only those that failed before are known. They are most until
// others are tried, and no longer: else whoever starts anew every day would
// disable nobody.
func TestCensusAfterAStart(t *testing.T) {
	var failing []postern.EndpointNumber
	for n := range 15 {
		failing = append(failing, postern.EndpointNumber(n+1))
	}
	now := time.Unix(1_800_000_000, 0)
	var c census
	c.presume(failing, now)
	c.note(1, true, now)
	if !c.most(now) {
		t.Error("15 fail, and no more is known")
	}
	for n := range 100 {
		c.note(postern.EndpointNumber(1000+n), false, now)
		c.most(now)
	}
	c.note(1, true, now)
	if c.most(now) {
		t.Error("15 of 115 are taken for most")
	}
	c = census{}
	c.presume(failing, now)
	for _, n := range failing {
		c.note(n, true, now)
		c.most(now)
	}
	for _, n := range failing {
		c.note(n, false, now)
	}
	if !c.most(now) || c.presumed != 0 {
		t.Errorf("no grace after all were tried and failed, %d presumed", c.presumed)
	}
}

// What is not tried any more counts for a day at most, and what is noted again
// counts once.
func TestCensusForgets(t *testing.T) {
	var c census
	now := time.Unix(1_800_000_000, 0)
	for range 5 { // generations
		for range 3 {
			for n := range 20 {
				c.note(postern.EndpointNumber(n), n%2 == 0, now)
			}
			now = now.Add(generation / 3)
		}
	}
	if total := len(c.fresh) + len(c.old); total != 20 || c.failed != 10 {
		t.Errorf("%d of %d fail, want 10 of 20", c.failed, total)
	}
	for range 3 {
		now = now.Add(generation)
		c.note(1, false, now)
	}
	if total := len(c.fresh) + len(c.old); total != 1 || c.failed != 0 {
		t.Errorf("%d of %d fail, want 0 of 1", c.failed, total)
	}
	// A clock that was set back leaves no grace without end.
	for n := range few {
		c.note(postern.EndpointNumber(n), true, now)
	}
	if !c.most(now) {
		t.Fatal("ten of ten")
	}
	for n := range few {
		c.note(postern.EndpointNumber(n), false, now)
	}
	if c.most(now.Add(-31 * 24 * time.Hour)) {
		t.Error("most, after the clock was set back")
	}
}

package dispatch

import (
	"time"

	"golang.org/x/time/rate"

	"github.com/postern-dev/postern"
)

const (
	// demandOver is the time over which starts are averaged, demandEvery how
	// often they are counted at most.
	demandOver  = 3 * time.Second
	demandEvery = 100 * time.Millisecond
)

// pace is how often deliveries start to an endpoint with a rate limit. The zero
// value is of a lane that was never asked about one.
type pace struct {
	since     time.Time // when counting began
	started   int       // since then
	perSecond float64   // of starts, averaged
}

// allowed is how many deliveries a second may start to a lane's endpoint here:
// this shard's share of the endpoint's limit, rate.Inf where it has none.
func (d *Dispatcher) allowed(l *lane, view *postern.EndpointView) rate.Limit {
	if view.Rate <= 0 {
		return rate.Inf
	}
	if l.pace.since.IsZero() {
		l.pace = pace{since: d.now()}
		d.limited[l] = struct{}{}
	}
	share := 1.0
	if d.cfg.Share != nil {
		share = min(max(d.cfg.Share(l.number), 0), 1)
	}
	return rate.Limit(share * float64(view.Rate))
}

// Demand adds to into, for each endpoint with a rate limit that there is something
// for, how many deliveries a second start here and would if it were for their rate
// alone: at most the limit, which is also what a backlog demands. It is meant to be
// called about every three seconds, by one goroutine.
func (d *Dispatcher) Demand(into map[postern.EndpointNumber]float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	for l := range d.limited {
		view := d.cfg.Catalogue.EndpointByNumber(l.number)
		if view == nil || view.Deleted || view.Rate <= 0 {
			l.pace = pace{}
			delete(d.limited, l)
			continue
		}
		limit := float64(view.Rate)
		if demand := l.demand(now, limit); demand > 0 {
			into[l.number] = min(into[l.number]+demand, limit)
		}
	}
}

// demand is the lane's part in Demand. What is held back by something else than
// the rate would not start with more of it, and demands none.
func (l *lane) demand(now time.Time, limit float64) float64 {
	p := &l.pace
	p.count(now)
	switch {
	case now.Sub(l.tokens.heldAt) > 2*askAgain:
		return p.perSecond
	case l.rowState != rowNone || l.dueNow:
		return limit // nobody knows how much there is in the store
	}
	return p.perSecond + float64(l.queue.len())
}

// count takes the starts since the last call into the average.
func (p *pace) count(now time.Time) {
	gone := now.Sub(p.since)
	if gone >= 0 && gone < demandEvery {
		return
	}
	if gone > 0 { // else the clock was set back
		started := float64(p.started) / gone.Seconds()
		p.perSecond += (started - p.perSecond) * min(1, float64(gone)/float64(demandOver))
	}
	if p.started == 0 && p.perSecond*demandOver.Seconds() < 1 {
		p.perSecond = 0 // less than one in that time is none
	}
	p.since, p.started = now, 0
}

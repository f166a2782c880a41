package dispatch

import (
	"sync"
	"time"

	"github.com/postern-dev/postern"
)

// pool is what the dispatchers of a node share: one lock, the places that attempts
// take, the room in memory, whose turn it is, and how endpoints answer. A node that
// adopts a journal thus asks no more of an endpoint, and of itself, than before.
type pool struct {
	mu sync.Mutex // guards the state of the dispatchers, too

	most use // of everything
	used use // by all
	slow int // of the places, by slow lanes

	rotas   map[postern.ApplicationNumber]*rotation
	apps    ring[*rotation] // applications with ready lanes
	waiting ring[*lane]     // slow lanes that wait for a place
	reaches map[postern.EndpointNumber]*reach
	lengths lengths
	census  census
}

// use is what there is a bound for: attempts under way, claims in queues, and bytes
// of payloads in memory.
type use struct{ places, claims, bytes int }

func newPool(cfg *Config) *pool {
	p := &pool{
		most:  use{cfg.Places, cfg.MaxClaims, cfg.MaxBytes},
		rotas: make(map[postern.ApplicationNumber]*rotation), reaches: make(map[postern.EndpointNumber]*reach),
	}
	p.census.presume(cfg.Failing, cfg.Now())
	return p
}

// reach is what the attempts of a node have shown of an endpoint, whichever journals
// its deliveries are of: it has a lane for each.
type reach struct {
	throttle
	first  *lane // the others follow as siblings
	pulled bool  // what it has is taken: it takes no places. Known once there is work
	slow   bool  // its places count among those of slow lanes
}

// join gives a lane its place among those of its application and of its endpoint.
func (p *pool) join(l *lane, app postern.ApplicationNumber) {
	if l.app = p.rotas[app]; l.app == nil {
		l.app = &rotation{app: app}
		p.rotas[app] = l.app
	}
	l.app.count++
	if l.reach = p.reaches[l.number]; l.reach == nil {
		l.reach = &reach{throttle: newThrottle()}
		p.reaches[l.number] = l.reach
	}
	l.sibling, l.reach.first = l.reach.first, l
}

// part undoes join. What is under way of the lane still counts.
func (p *pool) part(l *lane) {
	at := &l.reach.first
	for *at != l {
		at = &(*at).sibling
	}
	*at, l.sibling = l.sibling, nil
	l.app.count--
	p.tidy(l)
}

// tidy forgets the application and the endpoint of a lane that was the last of
// them, unless others have taken their names.
func (p *pool) tidy(l *lane) {
	p.tidyApp(l.app)
	if r := l.reach; r.first == nil && r.inflight == 0 && p.reaches[l.number] == r {
		delete(p.reaches, l.number)
	}
}

func (p *pool) tidyApp(r *rotation) {
	if r.count == 0 && r.inflight == 0 && !r.ready && p.rotas[r.app] == r {
		delete(p.rotas, r.app)
	}
}

// offerAll offers the lanes of an endpoint, one of which may start something now.
func (p *pool) offerAll(r *reach) {
	for l := r.first; l != nil; l = l.sibling {
		p.offer(l)
	}
}

// slowPlaces is how many places slow lanes may hold together.
func (p *pool) slowPlaces() int { return max(1, p.most.places/2) }

// rate says anew whether an endpoint is slow: all that are share half of all places.
// One that takes no places is not, for however long its consumers hold what they
// took.
func (p *pool) rate(r *reach, now time.Time) {
	slow := r.throttle.slow(now)
	if r.pulled || slow == r.slow {
		return
	}
	if r.slow = slow; slow {
		p.slow += r.inflight
		return
	}
	p.slow -= r.inflight
	for l := r.first; l != nil; l = l.sibling {
		l.waitSlow = false // its entry among the waiting ones does no harm
	}
	p.offerAll(r)
}

// inQueue counts claims that came into a lane's queue, or left it.
func (d *Dispatcher) inQueue(l *lane, n int) {
	d.held.claims += n
	if !d.stopping { // else leave gave them back
		d.used.claims += n
		d.lengths.update(l)
	}
}

// inMemory counts bytes of payloads that came into memory, or left it.
func (d *Dispatcher) inMemory(bytes int) {
	d.held.bytes += bytes
	if !d.stopping {
		d.used.bytes += bytes
	}
}

// leave gives back what a dispatcher that stops has of the pool, but for places:
// these go as attempts end.
func (d *Dispatcher) leave() {
	d.used.claims -= d.held.claims
	d.used.bytes -= d.held.bytes
	for _, l := range d.lanes {
		d.lengths.take(l)
		d.part(l)
	}
}

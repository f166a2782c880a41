package pull

import (
	"sync"
	"time"

	"github.com/postern-dev/postern"
)

// attendance knows which endpoints have consumers: those that were asked for
// something lately.
type attendance struct {
	book *Book

	// mu keeps what is told in order; it is taken before any lock of the lanes.
	mu       sync.Mutex
	attended map[postern.EndpointNumber]*attended
	closed   bool
}

// attended is an endpoint that was asked at a time; the timer checks on it.
type attended struct {
	asked time.Time
	timer *time.Timer
}

func (a *attendance) init(b *Book) {
	a.book, a.attended = b, make(map[postern.EndpointNumber]*attended)
}

// seen has the endpoint be attended for some time, and for as long as one waits.
func (a *attendance) seen(n postern.EndpointNumber) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch e := a.attended[n]; {
	case a.closed:
	case e != nil:
		e.asked = time.Now()
	default:
		a.attended[n] = &attended{time.Now(), time.AfterFunc(gone, func() { a.check(n) })}
		a.book.cfg.Attend(n, true)
	}
}

// check ends the attendance of an endpoint at which nobody waits.
func (a *attendance) check(n postern.EndpointNumber) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.attended[n]
	if e == nil {
		return
	}
	left := gone - time.Since(e.asked)
	if a.book.waited(n) {
		left = gone
	}
	if left > 0 {
		e.timer.Reset(left)
		return
	}
	delete(a.attended, n)
	a.book.cfg.Attend(n, false)
	a.book.emptied(n)
}

func (a *attendance) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for n, e := range a.attended {
		e.timer.Stop()
		delete(a.attended, n)
	}
}

// waited reports whether a consumer waits at the endpoint.
func (b *Book) waited(n postern.EndpointNumber) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.consumers[n]) > 0
}

package deliver

import (
	"context"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// conn is one connection to one host.
type conn struct {
	net.Conn          // what is written and read: raw, or TLS over it
	raw      net.Conn // the socket
	probe    *probe   // nil when the socket cannot be asked
	host     *host
	remote   string
	kill     func() // closes the socket under whatever uses it; bound once, for those who watch a context

	since      time.Time // idle since
	prev, next *conn     // neighbours among the idle connections of all hosts, oldest first
}

// newConn wraps a connected socket; secure is the TLS connection over it, or nil.
func newConn(raw, secure net.Conn, remote string) *conn {
	cn := &conn{Conn: raw, raw: raw, remote: remote}
	cn.kill = cn.abort
	if secure != nil {
		cn.Conn = secure
	}
	if s, ok := raw.(syscall.Conn); ok {
		if rc, err := s.SyscallConn(); err == nil {
			cn.probe = newProbe(rc)
		}
	}
	return cn
}

// abort closes the socket under whatever is using it. TLS takes no leave: that could
// block, and the peer learns no less.
func (cn *conn) abort() { _ = cn.raw.Close() }

// host is the connections to one poolKey. It exists while one of them does.
type host struct {
	key  poolKey
	idle []*conn // the longest idle first
	open int     // idle and in use
}

// pool holds every connection of a client: idle ones to be reused, all of them to be
// closed. The last used is reused first, so that what a quieter hour does not need
// grows old and goes.
type pool struct {
	maxIdle int
	maxAge  time.Duration // an idle connection's

	mu     sync.Mutex
	closed bool
	hosts  map[poolKey]*host
	open   map[*conn]struct{}
	dials  map[*dial]struct{}
	oldest conn        // sentinel of the ring of idle connections: next is the oldest, prev the newest
	idle   int         // length of the ring
	timer  *time.Timer // runs evict; nil before the first idle connection
	armed  bool        // the timer is set, which it is while a connection is idle
}

// dial is a connection in the making.
type dial struct{ cancel context.CancelFunc }

// newPool returns an empty pool. It needs no close if it was never used.
func newPool(maxIdle int, maxAge time.Duration) *pool {
	p := &pool{
		maxIdle: maxIdle, maxAge: maxAge,
		hosts: map[poolKey]*host{}, open: map[*conn]struct{}{}, dials: map[*dial]struct{}{},
	}
	p.oldest.prev, p.oldest.next = &p.oldest, &p.oldest
	return p
}

// begin enters a dial, so that close can cancel it. It reports false when the pool is
// closed.
func (p *pool) begin(d *dial) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.dials[d] = struct{}{}
	}
	return !p.closed
}

// end leaves a dial.
func (p *pool) end(d *dial) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.dials, d)
}

// add enters a new connection, in use. It reports false, and closes the connection,
// when the pool is closed.
func (p *pool) add(key poolKey, cn *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		cn.abort()
		return false
	}
	h := p.hosts[key]
	if h == nil {
		h = &host{key: key}
		p.hosts[key] = h
	}
	h.open++
	cn.host = h
	p.open[cn] = struct{}{}
	return true
}

// take returns the last used idle connection of key that its peer has not closed, or
// nil.
func (p *pool) take(key poolKey) *conn {
	for {
		cn := p.pop(key)
		if cn == nil || cn.probe.alive() {
			return cn
		}
		p.discard(cn)
	}
}

// pop takes the last used idle connection of key out of the ring, dead or alive. Asking
// the socket is left to take, outside of the lock.
func (p *pool) pop(key poolKey) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	// After close there is no host, so that nothing is taken.
	h := p.hosts[key]
	if h == nil || len(h.idle) == 0 {
		return nil
	}
	last := len(h.idle) - 1
	cn := h.idle[last]
	h.idle[last] = nil
	h.idle = h.idle[:last]
	p.unlink(cn)
	return cn
}

// put makes a connection idle, and closes the one that has been so for longest when
// there are too many.
func (p *pool) put(cn *conn, now time.Time) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return // close has closed it already
	}
	cn.since = now
	cn.host.idle = append(cn.host.idle, cn)
	cn.prev, cn.next = p.oldest.prev, &p.oldest
	cn.prev.next, p.oldest.prev = cn, cn
	p.idle++
	var surplus *conn
	if p.idle > p.maxIdle {
		surplus = p.dropOldest()
	}
	p.arm(p.maxAge)
	p.mu.Unlock()
	if surplus != nil {
		surplus.abort()
	}
}

// discard closes a connection that is in use.
func (p *pool) discard(cn *conn) {
	p.mu.Lock()
	p.forget(cn)
	p.mu.Unlock()
	cn.abort()
}

// evict closes what has been idle for too long. It is the timer's function.
func (p *pool) evict() {
	var old []*conn
	p.mu.Lock()
	p.armed = false
	for now := time.Now(); p.idle > 0 && !p.closed; {
		if left := p.maxAge - now.Sub(p.oldest.next.since); left > 0 {
			p.arm(left)
			break
		}
		old = append(old, p.dropOldest())
	}
	p.mu.Unlock()
	for _, cn := range old {
		cn.abort()
	}
}

// close closes every connection, idle or in use, and ends every dial. Nothing is pooled
// afterwards.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for d := range p.dials {
		d.cancel()
	}
	for cn := range p.open {
		cn.abort()
	}
	clear(p.open)
	clear(p.hosts)
	p.oldest.prev, p.oldest.next, p.idle = &p.oldest, &p.oldest, 0
	if p.timer != nil {
		p.timer.Stop()
	}
}

// ended returns who ended what runs under ctx, the context or close, and nil when
// nobody did.
func (p *pool) ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errClosed
	}
	return nil
}

// arm sets the timer unless it is set. It is left to fire when the last idle connection
// is taken: setting it twice per exchange would cost more than one idle wake-up.
func (p *pool) arm(d time.Duration) {
	switch {
	case p.armed:
		return
	case p.timer == nil:
		p.timer = time.AfterFunc(d, p.evict)
	default:
		p.timer.Reset(d)
	}
	p.armed = true
}

// dropOldest takes the connection that has been idle for longest out of the pool. It is
// the first of its host's as well.
func (p *pool) dropOldest() *conn {
	cn := p.oldest.next
	cn.host.idle = slices.Delete(cn.host.idle, 0, 1)
	p.unlink(cn)
	p.forget(cn)
	return cn
}

// unlink takes a connection out of the ring of idle ones. Its host's list is the
// caller's to change.
func (p *pool) unlink(cn *conn) {
	cn.prev.next, cn.next.prev = cn.next, cn.prev
	cn.prev, cn.next = nil, nil
	p.idle--
}

// forget drops a connection that is not idle from the books, and its host with the last
// one, so that a host that is no longer delivered to costs nothing.
func (p *pool) forget(cn *conn) {
	delete(p.open, cn)
	if cn.host.open--; cn.host.open == 0 {
		delete(p.hosts, cn.host.key)
	}
}

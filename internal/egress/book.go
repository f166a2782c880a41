package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// vouchTime is kept of a dial's deadline to ask for a witness, where there is one.
const vouchTime = 2 * time.Second

// book looks names up, and tells whose fault it is when one cannot be. A name server
// that fails for one name and answers for another is the fault of the name's own
// servers. One that answers nobody is ours. So a failed lookup is followed by one of a
// witness: another name that was answered before, if only that it does not exist.
type book struct {
	resolver Resolver // nil: the system's

	// group is the system's resolver, which shares lookups of one name under way. noted
	// says that it tells of what it does, as Go's own does and a platform's does not.
	group *net.Resolver
	noted atomic.Bool

	mu        sync.Mutex
	witnesses [2]string // the last two names that were answered, the latest first
}

func newBook(r Resolver) *book {
	b := &book{resolver: r}
	b.group = b.system()
	return b
}

// note is what a lookup did on its way. A lookup that found one of the same name under
// way notes nothing.
type note struct {
	asked atomic.Bool  // a name server was turned to: what it says is not from a file
	short atomic.Value // the Fault on this machine for which none was
}

type noteKey struct{}

// system returns a resolver that fills in the note of its context. Its errors are texts,
// which lose the number of what went wrong with a socket.
func (b *book) system() *net.Resolver {
	var d net.Dialer
	return &net.Resolver{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		b.noted.Store(true)
		conn, err := d.DialContext(ctx, network, address)
		n, ok := ctx.Value(noteKey{}).(*note)
		switch fault := shortageOf(err); {
		case !ok:
		case err == nil:
			n.asked.Store(true)
		case fault != "":
			n.short.Store(fault)
		}
		return conn, err
	}}
}

// lookup returns the addresses of host. Its error is an *Error.
func (b *book) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	witness := b.witness(host)
	asking, cancel := leave(ctx, witness)
	defer cancel()
	addrs, n, err := b.ask(asking, b.group, host)
	if err == nil {
		return addrs, nil
	}
	e := &Error{Kind: Resolve, Err: err}
	short, _ := n.short.Load().(Fault)
	switch {
	case notFound(err):
	case errors.Is(ctx.Err(), context.Canceled):
		e.Kind = Canceled
	case short != "":
		e.Kind, e.Fault = Local, short
	case !b.vouches(ctx, witness):
		e.Kind, e.Fault = Local, ResolverDown
	case asking.Err() != nil:
		e.Kind = Timeout
	}
	return nil, e
}

// ask looks a name up, and remembers one that a name server knew or denied.
func (b *book) ask(ctx context.Context, group *net.Resolver, host string) ([]netip.Addr, *note, error) {
	n := new(note)
	var r Resolver = group
	if b.resolver != nil {
		r = b.resolver
	}
	addrs, err := r.LookupNetIP(context.WithValue(ctx, noteKey{}, n), "ip", host)
	if (err == nil || notFound(err)) && b.byServer(n) {
		b.remember(host)
	}
	return addrs, n, err
}

// byServer reports whether an answer came from a name server, as far as that can be
// told.
func (b *book) byServer(n *note) bool { return n.asked.Load() || !b.noted.Load() }

// vouches reports whether a name server answers for the witness.
func (b *book) vouches(ctx context.Context, witness string) bool {
	if witness == "" {
		return false
	}
	// A resolver of its own: one that shares lookups tells only the first what it did.
	_, n, err := b.ask(ctx, b.system(), witness)
	return (err == nil || notFound(err)) && b.byServer(n)
}

// witness is another name than host that was answered, "" for none.
func (b *book) witness(host string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.witnesses[0] == host {
		return b.witnesses[1]
	}
	return b.witnesses[0]
}

func (b *book) remember(host string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.witnesses[0] != host {
		b.witnesses = [2]string{host, b.witnesses[0]}
	}
}

// leave returns a context that ends so early that a witness can be asked for within ctx.
func leave(ctx context.Context, witness string) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || witness == "" {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, deadline.Add(-min(vouchTime, time.Until(deadline)/4)))
}

// notFound reports whether a resolver said that there is no such name.
func notFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// noAddresses is the error of a name that exists and leads nowhere.
func noAddresses(host string) error {
	return &Error{Kind: Resolve, Err: fmt.Errorf("lookup %s: no addresses", host)}
}

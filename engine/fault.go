package engine

import (
	"log/slog"
	"sync"
	"time"

	"github.com/postern-dev/postern/internal/egress"
)

// faultQuiet is how often a fault that lasts is logged anew.
const faultQuiet = time.Minute

// faults tells of attempts that did not count because of a fault on our own
// side: the observer of each, the operator once a minute for each kind.
type faults struct {
	log     *slog.Logger
	observe func(fault string) // nil for nobody

	mu     sync.Mutex
	logged map[egress.Fault]time.Time
}

// tell is called with the error of each such attempt. It may name internal
// addresses, which the operator knows.
func (f *faults) tell(err error) {
	fault := egress.FaultOf(err)
	if f.observe != nil {
		f.observe(string(fault))
	}
	if f.due(fault, time.Now()) {
		f.log.Warn("deliveries wait: the fault is on this side, and no attempt counts", "fault", string(fault), "remedy", remedy(fault), "error", err)
	}
}

// due reports whether a fault is to be logged, and takes it as logged.
func (f *faults) due(fault egress.Fault, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if last, ok := f.logged[fault]; ok && now.Sub(last) < faultQuiet {
		return false
	}
	if f.logged == nil {
		f.logged = make(map[egress.Fault]time.Time)
	}
	f.logged[fault] = now
	return true
}

// remedy says what an operator can do about a fault.
func remedy(fault egress.Fault) string {
	switch fault {
	case egress.Descriptors:
		return "raise the limit of open files (ulimit -n, or LimitNOFILE= of the service)"
	case egress.Memory:
		return "give the machine more memory, or less to do"
	case egress.Ports:
		return "widen net.ipv4.ip_local_port_range: all ports towards an endpoint are in use"
	case egress.Route:
		return "check this machine's network interfaces and routes"
	case egress.ResolverDown:
		return "check the name servers in /etc/resolv.conf: none answers for any name"
	case egress.ProxyDown:
		return "check --egress-proxy and the proxy that it names"
	}
	return "see the error"
}

package posterntest

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// signal wakes everybody who waits for it, any number of times.
type signal struct {
	mu   sync.Mutex
	next chan struct{} // closed, and made anew, by fire
}

func newSignal() *signal { return &signal{next: make(chan struct{})} }

// wait is closed when the signal is next given. Ask for it before looking whether
// there is anything to wait for.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

func (s *signal) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.next)
	s.next = make(chan struct{})
}

// await waits on sig until look says that it is so. Otherwise the test fails with
// how far it came, which look says as well.
func (s *Server) await(what string, sig *signal, look func() (done bool, far string)) {
	s.t.Helper()
	over := time.NewTimer(s.Patience)
	defer over.Stop()
	for {
		next := sig.wait()
		done, far := look()
		if done {
			return
		}
		select {
		case <-next:
		case <-over.C:
			s.t.Fatalf("posterntest: waited %v for %s: %s", s.Patience, what, far)
		}
	}
}

// Standings is how each delivery of a message stands now, in the order of its
// Routes.
func (s *Server) Standings(m *postern.Message) []store.Standing {
	s.t.Helper()
	all := make([]store.Standing, len(m.Routes))
	for i, n := range m.Routes {
		var err error
		d := store.DeliveryKey{Application: m.Application, Endpoint: n, Message: m.ID}
		if all[i], err = s.cfg.Store.Standing(s.t.Context(), d); err != nil {
			s.t.Fatalf("posterntest: reading a delivery: %v", err)
		}
	}
	return all
}

// AwaitEnded waits until each delivery of a message is delivered, dead or canceled,
// and returns how they stand, in the order of its Routes.
func (s *Server) AwaitEnded(m *postern.Message) []store.Standing {
	s.t.Helper()
	return s.awaitAll(m, "the end of its deliveries", func(d store.Standing) bool { return d.State.Final() })
}

// AwaitState is AwaitEnded for one state: that a delivery ended in another fails the
// test at once.
func (s *Server) AwaitState(m *postern.Message, want postern.State) []store.Standing {
	s.t.Helper()
	missed := false
	all := s.awaitAll(m, "deliveries that are "+want.String(), func(d store.Standing) bool {
		missed = missed || d.State.Final() && d.State != want
		return missed || d.State == want
	})
	if missed {
		s.t.Fatalf("posterntest: %s: a delivery ended otherwise than %s: %s", m.ID, want, tell(all))
	}
	return all
}

// AwaitAttempts waits until each delivery of a message was tried n times or more.
func (s *Server) AwaitAttempts(m *postern.Message, n int) []store.Standing {
	s.t.Helper()
	return s.awaitAll(m, fmt.Sprintf("%d attempts", n), func(d store.Standing) bool { return d.Attempts >= n })
}

// awaitAll waits until so is true of every delivery. That there are none fails
// the test: it would wait for what cannot be.
func (s *Server) awaitAll(m *postern.Message, what string, so func(store.Standing) bool) (all []store.Standing) {
	s.t.Helper()
	if len(m.Routes) == 0 {
		s.t.Fatalf("posterntest: %s of type %s went to no endpoint", m.ID, m.EventType)
	}
	s.await(m.ID.String()+", "+what, s.stored, func() (bool, string) {
		all = s.Standings(m)
		done := true
		for _, d := range all {
			done = so(d) && done
		}
		return done, tell(all)
	})
	return all
}

// tell is how deliveries stand, for people.
func tell(all []store.Standing) string {
	words := make([]string, len(all))
	for i, d := range all {
		words[i] = fmt.Sprintf("%s after %d attempts", d.State, d.Attempts)
		if d.Reason != "" {
			words[i] += " (" + string(d.Reason) + ")"
		}
	}
	return strings.Join(words, "; ")
}

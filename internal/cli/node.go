package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/internal/config"
	"github.com/postern-dev/postern/store"
)

// node is an engine over a store that it alone uses.
type node struct {
	store  store.Store
	engine *engine.Engine
}

const (
	// rejoinFirst and rejoinMost are the waits for a database that is away while
	// a node is replaced: each is twice as long as the one before.
	rejoinFirst = 100 * time.Millisecond
	rejoinMost  = 5 * time.Second
	// absent is what is answered while there is no node, as the API would.
	absent = `{"code":"unavailable","detail":"Try again in a moment"}` + "\n"
)

// errAbsent is why there are no stats.
var errAbsent = errors.New("the node is being replaced")

// install makes a node of a store, and has it answer. On an error the store is the
// caller's to close.
func (s *server) install(ctx context.Context, st store.Store, secrets engine.Secrets) error {
	cfg, err := s.engineConfig(st, secrets)
	if err != nil {
		return err
	}
	eng, err := engine.New(ctx, cfg)
	if err != nil {
		return err
	}
	s.node.Store(&node{st, eng})
	return nil
}

// answer has the node of the moment answer.
func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	if n := s.node.Load(); n != nil {
		n.engine.Handler().ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, absent) // whoever asked may be gone
}

// stats are for the metrics.
func (s *server) stats(ctx context.Context) (engine.Stats, error) {
	if n := s.node.Load(); n != nil {
		return n.engine.Stats(ctx)
	}
	return engine.Stats{}, errAbsent
}

// work runs the node until ctx ends: nil after a drain. A node that lost its
// journal, as it was paused or cut off for longer than its lease, is replaced.
func (s *server) work(ctx context.Context) error {
	for {
		err := s.node.Load().engine.Run(ctx)
		switch {
		case err == nil:
			return nil
		case !isFenced(err):
			return withCode(ExitDisk, err)
		}
		s.log.Warn("this node was paused or cut off for longer than its lease, and another one goes on with its journal: starting anew")
		err = s.rejoin(ctx)
		select {
		case <-ctx.Done():
			return nil // what was to be drained is the other node's
		default:
		}
		if err != nil {
			return err
		}
		s.log.Info("serving again")
	}
}

// rejoin opens the store anew, for a node with another journal. It waits for a
// database that is away.
func (s *server) rejoin(ctx context.Context) error {
	if err := s.node.Swap(nil).store.Close(); err != nil {
		return err
	}
	for wait := rejoinFirst; ; wait = min(2*wait, rejoinMost) {
		err := s.reopen(ctx)
		if !errors.Is(err, postern.ErrUnavailable) {
			return err
		}
		s.log.Warn("the store cannot be opened: trying again", "error", err, "after", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// reopen tries to once. The node's name takes nothing back this time: two servers
// that bear one by mistake would take a journal from each other for ever.
func (s *server) reopen(ctx context.Context) error {
	as := identityOf(s.settings)
	as.reclaim = false
	st, secrets, err := openStore(ctx, s.settings, as, s.log)
	if err != nil {
		return err
	}
	if err := s.install(ctx, st, secrets); err != nil {
		return errors.Join(err, st.Close())
	}
	return nil
}

// isFenced reports whether a store failed because its journal is another node's.
func isFenced(err error) bool {
	return errors.Is(err, &postern.Error{Kind: postern.Unavailable, Code: store.CodeFenced})
}

// identity is who opens a database. reclaim: what a namesake had is taken over at
// once, though it may live.
type identity struct {
	name    string
	reclaim bool
}

// identityOf is a server's. A name that was given is the operator's word that
// nobody else bears it; HOST/PID is no such thing, as containers have both alike.
func identityOf(c *config.Config) identity {
	return identity{cmp.Or(c.Node, processName()), c.Node != ""}
}

// processName tells this process from others for those who read it.
func processName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "postern"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

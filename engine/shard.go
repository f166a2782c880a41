package engine

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/dispatch"
	"github.com/postern-dev/postern/internal/journal"
	"github.com/postern-dev/postern/store"
)

// shard does what one journal asks for: it delivers the journal's messages and
// stores what becomes of them. An engine has one for each journal that it holds.
type shard struct {
	journal    uint16
	store      store.Store
	dispatcher *dispatch.Dispatcher
	committer  *journal.Committer
	// done is closed when the committer has ended, with err: why it failed.
	done chan struct{}
	err  error
	said uint64 // the claims that the lease says, summed up
	// borrowed counts those who have the shard do something, and returned is when the
	// last of them had; guarded by shards.
	borrowed int
	returned time.Time
}

// newShard makes a shard that goes on where the journal stands. Nothing of it
// runs; recover and start follow.
func (e *Engine) newShard(st store.Store, head store.Head) *shard {
	sh := &shard{journal: head.Journal, store: st, done: make(chan struct{})}
	var leased func() time.Time
	cluster, shared := st.(store.Cluster)
	if shared {
		leased = cluster.Leased
	}
	var beside *dispatch.Dispatcher
	if e.shards.main != nil {
		beside = e.shards.main.dispatcher
	}
	sh.dispatcher = dispatch.New(dispatch.Config{
		Store: st, Catalogue: e.catalogue, Sender: e.lines,
		Settle: func(p dispatch.Part, size int) error {
			return sh.committer.Enqueue(journal.Settle, p, size)
		},
		Command: func(p dispatch.Part) error {
			return sh.committer.Enqueue(journal.Command, p, 0)
		},
		Schedule: e.cfg.RetrySchedule, Beside: beside, Places: e.cfg.MaxInFlight, Failing: e.failing(),
		Leased: leased, Taken: e.taken, Share: e.shareOf(head.Journal),
		Now: e.cfg.Now, Log: e.cfg.Log,
		Events: dispatch.Events{Attempted: e.attempted, Ended: e.cfg.Observer.Ended, Canceled: e.tail.Canceled, Waiting: e.pulls.Waiting},
	}, head)
	sh.committer = journal.New(journal.Config{
		Store: st, Cover: sh.dispatcher, Now: e.cfg.Now,
		AlwaysLinger: runtime.GOMAXPROCS(0) == 1,
		Transactions: st.Capabilities().Fenced,
		MaxBytes:     st.Capabilities().MaxBatchBytes,
		Version:      e.version(), Refresh: e.refresher(),
		Observe: e.committed, Log: e.cfg.Log,
	}, head)
	if shared {
		cluster.Renewed(sh.dispatcher.Renewed) // from here on at any moment
	}
	return sh
}

// run has the committer take what is to be stored, until it is closed or fails.
func (sh *shard) run(ctx context.Context) {
	go func() { // ends with the committer; drain waits for it
		defer close(sh.done)
		sh.err = sh.committer.Run(ctx)
	}()
}

// failed reports whether the shard stores nothing any more.
func (sh *shard) failed() bool {
	select {
	case <-sh.done:
		return true
	default:
		return false
	}
}

// idle reports whether nothing of the journal is left to do.
func (sh *shard) idle() bool { return sh.committer.Rows() == 0 && sh.dispatcher.Idle() }

// finish has the shard store what it has, for which a store that is away has some
// seconds, and returns why it failed, if it did.
func (sh *shard) finish() error {
	sh.committer.Close()
	late := time.AfterFunc(storeGrace, sh.committer.Abandon)
	defer late.Stop()
	<-sh.done
	return sh.err
}

// shards are those of an engine: its main one, whose journal accepts, and those
// that it adopted.
type shards struct {
	main *shard

	mu      sync.RWMutex
	adopted map[uint16]*shard
}

// of is the shard of a journal; nil where another node has it.
func (s *shards) of(journal uint16) *shard {
	if journal == s.main.journal {
		return s.main
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.adopted[journal]
}

// mayStart reports whether an attempt that has waited may begin: the journal that it
// is of is still held here.
func (e *Engine) mayStart(journal uint16) bool {
	if e.nodes == nil {
		return true
	}
	sh := e.shards.of(journal)
	return sh != nil && sh.dispatcher.MayStart()
}

// borrow is of for whoever has the shard do something: it is not let go before it is
// given back.
func (s *shards) borrow(journal uint16) *shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.adopted[journal]
	if journal == s.main.journal {
		sh = s.main
	}
	if sh != nil {
		sh.borrowed++
	}
	return sh
}

func (s *shards) giveBack(sh *shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh.borrowed--
	sh.returned = time.Now()
}

// add makes an adopted shard known.
func (s *shards) add(sh *shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.adopted == nil {
		s.adopted = make(map[uint16]*shard)
	}
	s.adopted[sh.journal] = sh
}

// lingers is for how long a shard stays that did something for a caller: a replay has
// more, and to let go of a journal and adopt it takes a while.
const lingers = 3 * time.Second

// remove forgets an adopted shard, unless it does what it is asked for, or did a
// moment ago.
func (s *shards) remove(sh *shard) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if (sh.borrowed > 0 || time.Since(sh.returned) < lingers) && !sh.failed() {
		return false
	}
	delete(s.adopted, sh.journal)
	return true
}

// all lists the shards, the main one first.
func (s *shards) all() []*shard {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]*shard, 0, 1+len(s.adopted))
	list = append(list, s.main)
	for _, sh := range s.adopted {
		list = append(list, sh)
	}
	return list
}

// stop has no new attempt start and waits for those under way until ctx is done.
func (s *shards) stop(ctx context.Context) error {
	all := s.all()
	errs := make([]error, len(all))
	var stopping sync.WaitGroup
	for i, sh := range all {
		stopping.Go(func() { errs[i] = sh.dispatcher.Stop(ctx) })
	}
	stopping.Wait()
	return errors.Join(errs...)
}

// abandon has shards whose store is away give up.
func (s *shards) abandon() {
	for _, sh := range s.all() {
		sh.committer.Abandon()
	}
}

// finish has all shards store what they have, and lets go of the journals that
// were adopted. It returns why the main one failed, if it did.
func (s *shards) finish() error {
	all := s.all()
	var finishing sync.WaitGroup
	for _, sh := range all[1:] {
		finishing.Go(func() {
			_ = sh.finish() // whoever adopts the journal next goes on with what was not stored
			_ = sh.store.Close()
		})
	}
	err := s.main.finish()
	finishing.Wait()
	return err
}

// changed has all lanes of an endpoint follow its new configuration.
func (s *shards) changed(n postern.EndpointNumber) {
	for _, sh := range s.all() {
		sh.dispatcher.Changed(n)
	}
}

// stats adds up what the lanes of all shards tell.
func (s *shards) stats() (sum dispatch.Stats, rows int64) {
	for _, sh := range s.all() {
		sum.Add(sh.dispatcher.Stats())
		rows += sh.committer.Rows()
	}
	return sum, rows
}

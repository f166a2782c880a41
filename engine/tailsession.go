package engine

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/tail"
)

// tailSession is what another node is to be told that follows this one.
type tailSession struct {
	number int64
	relay  *tail.Relay
	idle   *time.Timer
	ending sync.Once
	ended  chan struct{} // closed by end

	// asking is held by who answers. rest is what was taken and not told, up to
	// last, with what was missed behind it.
	asking sync.Mutex
	rest   []tail.Event
	last   tail.Cursor
	missed bool
}

// end has nothing kept any more.
func (s *tailSession) end() {
	s.ending.Do(func() {
		s.idle.Stop()
		s.relay.Close()
		close(s.ended)
	})
}

var (
	errTailGone = &postern.Error{Kind: postern.Unavailable, Detail: "this node has kept nothing for the one that follows it"}
	errTailFull = &postern.Error{Kind: postern.Unavailable, Detail: "too many nodes follow this one"}
)

// answer is what this node did since the other one asked last; it waits a little
// where that is nothing. It is the node's by its main journal, and not by one that it
// adopted.
func (t *tails) answer(ctx context.Context, journal uint16, o *tailOrder) (*tailResult, error) {
	switch {
	case journal != t.engine.shards.main.journal:
		return nil, errTailGone
	case o.Begins:
		return &tailResult{}, t.accept(o)
	}
	t.mu.Lock()
	s := t.sessions[o.From]
	t.mu.Unlock()
	if s == nil || s.number != o.Session {
		return nil, errTailGone
	}
	s.asking.Lock()
	defer s.asking.Unlock()
	s.idle.Reset(tailIdle)
	if err := t.await(ctx, s); err != nil {
		return nil, err
	}
	return s.take()
}

// accept begins a session in place of the asker's last one.
func (t *tails) accept(o *tailOrder) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.sessions[o.From]
	switch {
	case before == nil && len(t.sessions) >= mostFollowers:
		return errTailFull
	case before != nil && before.number >= o.Session:
		return errTailGone // an old question that comes late
	case before != nil:
		before.end()
	}
	s := &tailSession{number: o.Session, relay: t.shared.Relay(o.Applications), ended: make(chan struct{})}
	s.idle = time.AfterFunc(tailIdle, func() { t.drop(o.From, s) })
	t.sessions[o.From] = s
	return nil
}

func (t *tails) drop(from uint16, s *tailSession) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sessions[from] == s {
		delete(t.sessions, from)
	}
	s.end()
}

// await returns once there is something to tell, and a little later for what comes
// with it, or when there has been nothing for long.
func (t *tails) await(ctx context.Context, s *tailSession) error {
	if len(s.rest) > 0 {
		return nil
	}
	timer := time.NewTimer(tailWait)
	defer timer.Stop()
	ready := s.relay.Ready()
	for {
		select {
		case <-ready:
			timer.Reset(tailLinger)
			ready = nil
		case <-timer.C:
			return nil
		case <-s.ended:
			return errTailGone
		case <-t.engine.tail.Done():
			return errStopping
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// take is as much of what is to be told as goes into an answer. An event that is too
// large for one is missed.
func (s *tailSession) take() (*tailResult, error) {
	if len(s.rest) == 0 {
		s.rest, s.last, s.missed = s.relay.Take()
	}
	r := new(tailResult)
	for size := 0; len(s.rest) > 0; s.rest = s.rest[1:] {
		text, err := json.Marshal(s.rest[0])
		if err != nil {
			return nil, err
		}
		if len(text) > tailBytes {
			r.Missed = true
			continue
		}
		if size += len(text); size > tailBytes {
			return r, nil
		}
		r.Events = append(r.Events, text)
	}
	r.Last, r.Missed = s.last.String(), r.Missed || s.missed
	s.rest, s.missed = nil, false
	return r, nil
}

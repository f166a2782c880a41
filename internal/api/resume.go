package api

import (
	"bytes"
	"container/heap"
	"slices"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/tail"
	"github.com/postern-dev/postern/store"
)

const (
	// resumeSources is how many applications and endpoints a tail that goes on
	// is merged from, resumeEvents how many events it is given at most. What is
	// more is skipped, and said to be.
	resumeSources = 2000
	resumeEvents  = 100_000
	// resumeKnown is how many are read that it has already, of journals that had more
	// to do than the one which is looked for.
	resumeKnown = 10 * resumeEvents
	// resumeMemory is how many events wait to be merged, over all sources.
	resumeMemory = 10_000
	// resumeVain is how many pages are read in which nothing passes the filter,
	// over all sources. Each is thousands of messages or attempts.
	resumeVain = 24
)

// resume sends what the store has behind the cursor, merged by the time in the
// ids: each kind of each journal is thereby in the order of commits.
func (s *stream) resume() error {
	horizon, err := s.horizon()
	if err != nil {
		return err
	}
	messages, attempts, some := s.cursor.From(horizon)
	if !some {
		s.cursor.Advance(horizon)
		return nil
	}
	sources, all := s.sources(messages, attempts)
	if !all {
		s.skipTo(horizon)
		return nil
	}
	each := max(len(sources), 1)
	m := merge{horizon: horizon, limit: min(max(resumeMemory/each, 5), 100), vain: max(resumeVain/each, 1)}
	for _, from := range sources {
		if err := m.add(s, from); err != nil {
			return err
		}
	}
	for sent, known := 0, 0; m.Len() > 0 && sent < resumeEvents && known < resumeKnown; {
		from := m.sources[0]
		e := from.events[0]
		from.events = from.events[1:]
		if err := m.next(s); err != nil {
			return err
		}
		if !s.cursor.Before(e) || horizon.Before(e) {
			known++ // or will be told
			continue
		}
		sent++
		if !s.filter.Wants(e) {
			continue
		}
		if err := s.tell(e); err != nil {
			return err
		}
		if sent%256 == 0 && s.c.r.Context().Err() != nil {
			return errGone
		}
	}
	if m.Len() > 0 || m.gaveUp {
		s.skipTo(horizon)
	}
	s.cursor.Advance(horizon)
	return nil
}

// skipTo leaves out what lies before the horizon, nobody knows how much.
func (s *stream) skipTo(horizon tail.Cursor) {
	s.skipped("null")
	s.cursor.Advance(horizon)
}

// source is one list of the store, read a page at a time.
type source struct {
	read   func(page store.Page) (events []tail.Event, next [20]byte, done bool, err error)
	after  [20]byte
	done   bool
	events []tail.Event
	vain   int // pages without an event
}

// sources are the lists that the client's events are in, behind two ids; false for
// too many.
func (s *stream) sources(messages, attempts [20]byte) (list []*source, all bool) {
	for page := (postern.ListPage{Limit: maxLimit}); ; {
		apps, more := s.h.Applications.Applications(page)
		for _, app := range apps {
			if s.filter.Application == 0 || s.filter.Application == app.Number {
				list = s.sourcesOf(list, app.Number, messages, attempts)
			}
			if page.After = app.ID.String(); len(list) > resumeSources {
				return nil, false
			}
		}
		if !more {
			return list, true
		}
	}
}

// sourcesOf adds an application's messages and its endpoints' attempts.
func (s *stream) sourcesOf(list []*source, app postern.ApplicationNumber, messages, attempts [20]byte) []*source {
	if len(s.filter.States) == 0 {
		list = append(list, &source{after: messages, read: s.messagesOf(app)})
	}
	for page := (postern.ListPage{Limit: maxLimit}); len(list) <= resumeSources; {
		views, more := s.h.Endpoints.Endpoints(app, page)
		for _, v := range views {
			if s.filter.Endpoint == 0 || s.filter.Endpoint == v.Number {
				list = append(list, &source{after: attempts, read: s.attemptsOf(app, v.Number)})
			}
			page.After = v.ID.String()
		}
		if !more {
			break
		}
	}
	return list
}

func (s *stream) messagesOf(app postern.ApplicationNumber) func(store.Page) ([]tail.Event, [20]byte, bool, error) {
	return func(page store.Page) ([]tail.Event, [20]byte, bool, error) {
		found, err := s.h.History.Messages(s.c.r.Context(), app, store.MessageFilter{EventTypes: s.filter.EventTypes}, page)
		events := make([]tail.Event, 0, len(found.Messages))
		for _, m := range found.Messages {
			events = append(events, tail.Event{Message: m})
		}
		return events, found.Next, found.Done, err
	}
}

func (s *stream) attemptsOf(app postern.ApplicationNumber, endpoint postern.EndpointNumber) func(store.Page) ([]tail.Event, [20]byte, bool, error) {
	filter := store.AttemptFilter{EventTypes: s.filter.EventTypes, Succeeded: succeeded(s.filter.States)}
	return func(page store.Page) ([]tail.Event, [20]byte, bool, error) {
		found, err := s.h.History.EndpointAttempts(s.c.r.Context(), app, endpoint, filter, page)
		events := make([]tail.Event, 0, len(found.Attempts))
		for i := range found.Attempts {
			found.Attempts[i].Response = nil // many of them are held at once
			events = append(events, tail.Event{Attempt: &found.Attempts[i]})
		}
		return events, found.Next, found.Done, err
	}
}

// succeeded is the part of a choice of states that the list by endpoint can tell
// without an attempt being read: what is retried, or is dead, has failed. nil for
// none.
func succeeded(states []postern.State) *bool {
	failed := false
	for _, state := range states {
		if state != postern.Retrying && state != postern.Dead {
			return nil
		}
	}
	if len(states) == 0 {
		return nil
	}
	return &failed
}

// merge is a heap of sources by their first event.
type merge struct {
	sources []*source
	limit   int // of a source's page
	horizon tail.Cursor
	vain    int  // pages without an event that a source is read for
	gaveUp  bool // on a source that had more
}

// add puts a source in that has something.
func (m *merge) add(s *stream, from *source) error {
	if err := from.fill(s, m); err != nil || len(from.events) == 0 {
		return err
	}
	heap.Push(m, from)
	return nil
}

// next puts the first source where it belongs, or takes it out at its end.
func (m *merge) next(s *stream) error {
	from := m.sources[0]
	if err := from.fill(s, m); err != nil {
		return err
	}
	if len(from.events) > 0 {
		heap.Fix(m, 0)
	} else {
		heap.Pop(m)
	}
	return nil
}

// fill reads on where there is nothing left, no further than the horizon, and
// not for ever where nothing is found.
func (f *source) fill(s *stream, m *merge) (err error) {
	for len(f.events) == 0 && !f.done && err == nil {
		if f.vain == m.vain {
			m.gaveUp = true
			return nil
		}
		f.events, f.after, f.done, err = f.read(store.Page{After: f.after, Ascending: true, Limit: m.limit})
		if at := slices.IndexFunc(f.events, m.horizon.Past); at >= 0 {
			f.events, f.done = f.events[:at], true
		}
		if len(f.events) == 0 && !f.done {
			f.vain++
		}
		if s.c.r.Context().Err() != nil {
			return errGone
		}
	}
	return err
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (m *merge) Len() int { return len(m.sources) }

func (m *merge) Less(i, j int) bool {
	a, b := key(m.sources[i].events[0]), key(m.sources[j].events[0])
	return bytes.Compare(a[:], b[:]) < 0
}

func (m *merge) Swap(i, j int) { m.sources[i], m.sources[j] = m.sources[j], m.sources[i] }

func (m *merge) Push(x any) { m.sources = append(m.sources, x.(*source)) } //nolint:forcetypeassert // add is the only caller

func (m *merge) Pop() any {
	last := m.sources[len(m.sources)-1]
	m.sources = m.sources[:len(m.sources)-1]
	return last
}

// key is an event's id.
func key(e tail.Event) [20]byte {
	if e.Message != nil {
		return e.Message.ID
	}
	return e.Attempt.ID
}

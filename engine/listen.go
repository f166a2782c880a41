package engine

import (
	"context"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/route"
)

// ListenerFunc is told of a message.
type ListenerFunc func(ctx context.Context, msg *Message)

// ListenOptions say what a listener is told of, and how. Only EventTypes is
// required.
type ListenOptions struct {
	// EventTypes are exact, or a prefix with ".*"; "*" is all of them.
	EventTypes []string
	// Application is the uid of the only application that it is told of; by
	// default all are.
	Application string
	// Buffer is how many messages may wait for the listener, which is then
	// called by a goroutine of its own, one message after the other; what finds
	// no room is dropped, and counted in Stats. With 0 whoever publishes calls it
	// and waits.
	Buffer int
}

// Listen has fn told of messages of an event type, such as "link.clicked" or
// "link.*", by whoever publishes them, before Publish returns. It is ListenWith
// with the defaults.
func (e *Engine) Listen(eventType string, fn ListenerFunc) (stop func(), err error) {
	return e.ListenWith(ListenOptions{EventTypes: []string{eventType}}, fn)
}

// ListenWith has fn told of messages that this program accepts, once they are
// durable, until stop is called. Nothing of a listener is stored: it hears of no
// message twice, of none that came while the program did not run, and perhaps
// not of one whose publisher did not wait. What must not be lost is for a
// handler. One that panics is logged, and nobody else notices.
func (e *Engine) ListenWith(o ListenOptions, fn ListenerFunc) (stop func(), err error) {
	if fn == nil {
		return nil, postern.InvalidField("a listener needs a function", "ListenerFunc")
	}
	if o.Buffer < 0 {
		return nil, postern.InvalidField("is not negative", "ListenOptions", "Buffer")
	}
	if len(o.EventTypes) == 0 {
		return nil, postern.InvalidField("a listener needs an event type; \"*\" is all of them", "ListenOptions", "EventTypes")
	}
	if err := route.ValidateEventTypes(o.EventTypes, "ListenOptions", "EventTypes"); err != nil {
		return nil, err
	}
	types := route.New([]*postern.EndpointView{{Endpoint: postern.Endpoint{Number: 1, EventTypes: slices.Clone(o.EventTypes)}}})
	l := &listener{engine: e, of: o.Application, types: types, fn: fn, room: o.Buffer}
	e.listeners.add(l)
	return func() { e.listeners.remove(l) }, nil
}

// listeners are all of an engine. The zero value has none.
type listeners struct {
	list    atomic.Pointer[[]*listener] // replaced, never changed
	dropped atomic.Uint64

	mu sync.Mutex
	// calling are the goroutines of buffered listeners; none starts once closed.
	calling sync.WaitGroup
	closed  bool
}

// listener is one who listens.
type listener struct {
	engine *Engine
	of     string // uid of its application; "" for all
	types  *route.Table
	fn     ListenerFunc
	room   int // 0 for one that is called by who publishes

	mu     sync.Mutex
	queue  []func()
	active bool // a goroutine goes on with the queue
}

func (ls *listeners) add(l *listener) {
	ls.change(func(list []*listener) []*listener { return append(list, l) })
}

// remove has a listener hear of nothing new; what waits for it is still told.
func (ls *listeners) remove(l *listener) {
	ls.change(func(list []*listener) []*listener {
		return slices.DeleteFunc(list, func(other *listener) bool { return other == l })
	})
}

func (ls *listeners) change(edit func(list []*listener) []*listener) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	list := edit(slices.Clone(ls.all()))
	ls.list.Store(&list)
}

func (ls *listeners) all() []*listener {
	if list := ls.list.Load(); list != nil {
		return *list
	}
	return nil
}

// want reports whether somebody listens for messages of a type.
func (ls *listeners) want(app postern.ApplicationNumber, eventType string) bool {
	return slices.ContainsFunc(ls.all(), func(l *listener) bool { return l.wants(app, eventType) })
}

// tell has all who want a message told of it, in the order in which they came.
func (ls *listeners) tell(ctx context.Context, e *Engine, m *postern.Message, payload []byte, request *postern.InboundRequest) {
	list := ls.all()
	if len(list) == 0 {
		return
	}
	msg := newMessage(m, &postern.Content{Payload: payload, Request: request})
	ctx = e.causing(ctx, msg)
	for _, l := range list {
		switch {
		case !l.wants(m.Application, m.EventType):
		case l.room == 0:
			l.call(ctx, msg)
		default:
			later := context.WithoutCancel(ctx) // its publisher goes on
			l.push(func() { l.call(later, msg) })
		}
	}
}

// close drops what waits, and waits for calls under way until ctx is done.
func (ls *listeners) close(ctx context.Context) {
	ls.mu.Lock()
	ls.closed = true
	ls.mu.Unlock()
	for _, l := range ls.all() {
		l.empty()
	}
	ended := make(chan struct{})
	go func() { // ends with the last call
		ls.calling.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// wants reports whether the listener is told of such messages.
func (l *listener) wants(app postern.ApplicationNumber, eventType string) bool {
	if len(l.types.Match(eventType, nil)) == 0 {
		return false
	}
	if l.of == "" {
		return true
	}
	a := l.engine.catalogue.ApplicationByNumber(app)
	return a != nil && (a.UID == l.of || a.ID.String() == l.of)
}

// call tells the listener. What it panicked with may be of the payload, so only
// where it did is logged.
func (l *listener) call(ctx context.Context, msg *Message) {
	defer func() {
		if v := recover(); v != nil {
			l.engine.cfg.Log.Error("a listener panicked", "event_type", msg.EventType, "message", msg.ID.String(), "stack", string(debug.Stack()))
		}
	}()
	l.fn(ctx, msg)
}

// push queues a call, if there is room.
func (l *listener) push(call func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) >= l.room {
		l.engine.listeners.dropped.Add(1)
		return
	}
	l.queue = append(l.queue, call)
	l.wake()
}

// wake has a goroutine go on with the queue, if none does; l.mu is held.
func (l *listener) wake() {
	if !l.active && len(l.queue) > 0 {
		l.active = l.engine.listeners.start(l.work)
	}
}

// start has work done on a goroutine, unless it is too late for that.
func (ls *listeners) start(work func()) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if !ls.closed {
		ls.calling.Go(work)
	}
	return !ls.closed
}

// work makes the calls that wait, until there are none. A call may end the
// goroutine, as a test does that fails: another goes on then.
func (l *listener) work() {
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.active = false
		l.wake()
	}()
	for call := l.next(); call != nil; call = l.next() {
		call()
	}
}

func (l *listener) next() func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.queue = nil
		return nil
	}
	call := l.queue[0]
	l.queue[0] = nil
	l.queue = l.queue[1:]
	return call
}

func (l *listener) empty() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.engine.listeners.dropped.Add(uint64(len(l.queue)))
	l.queue = nil
}

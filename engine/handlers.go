package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/route"
)

// HandlerFunc handles a message. What it returns decides: nil is delivered, an
// error made by postern.Permanent ends the delivery, and any other is retried by
// the schedule, not before what postern.RetryAfter asks for. A panic is an error
// like others. Its context ends with the handler's deadline, and when the engine
// stops and has no more patience; a handler that goes on is waited for, since a
// delivery is tried by one at a time.
type HandlerFunc func(ctx context.Context, msg *Message) error

// HandlerOptions say what a handler listens for, and how. Only EventTypes is
// required.
type HandlerOptions struct {
	// EventTypes are exact, or a prefix with ".*"; "*" is all of them.
	EventTypes []string
	// Name is what the handler's deliveries and their history belong to, over
	// restarts and changes of the program: letters, digits, '-', '_' and '.'. By
	// default it is the event type, with "any" for "*". Several event types need a
	// name.
	Name string
	// Application is the uid of the application whose messages it gets; by
	// default the engine's, see Config. It is made where there is none.
	Application string
	// Channels select messages that carry one of them; nil for all.
	Channels []string
	// RetrySchedule holds for this handler; nil leaves it to the event type, the
	// engine, or to what was set over the API.
	RetrySchedule postern.RetrySchedule
	// Timeout is the deadline of one call; Config.AttemptTimeout when 0.
	Timeout time.Duration
	// Concurrency is how many calls may run at once in this program; 0 leaves it to
	// the engine, which adapts it.
	Concurrency int
}

// registered is a handler of the program.
type registered struct {
	HandlerOptions
	call  HandlerFunc
	slots chan struct{} // one value for each call under way; nil without a limit
	// borrowed has one value for each call for another node; its capacity bounds them.
	borrowed chan struct{}
}

// handlers are those of the program. They are complete once Run begins; from
// then on nothing of it changes.
type handlers struct {
	mu         sync.Mutex
	sealed     bool
	names      map[handlerName]*registered
	order      []*registered
	middleware []Middleware

	// byNumber, and missing, which are stored and not registered, are written
	// before anything is delivered, and only read after.
	byNumber map[postern.EndpointNumber]*registered
	missing  []postern.EndpointNumber
	stopping chan struct{} // closed by Run when nothing more is to be called
	own      atomic.Uint32 // the number of the engine's own application, once it is known
}

// handlerName names a handler among those of all applications.
type handlerName struct{ application, name string }

// On has fn handle messages of an event type, such as "invoice.paid" or
// "invoice.*". It is OnWith with the defaults.
func (e *Engine) On(eventType string, fn HandlerFunc) error {
	return e.OnWith(HandlerOptions{EventTypes: []string{eventType}}, fn)
}

// OnMap is On for each entry: all are registered, or none with an error.
func (e *Engine) OnMap(byType map[string]HandlerFunc) error {
	list := make([]*registered, 0, len(byType))
	for eventType, fn := range byType {
		list = append(list, &registered{HandlerOptions: HandlerOptions{EventTypes: []string{eventType}}, call: fn})
	}
	slices.SortFunc(list, func(a, b *registered) int { return strings.Compare(a.EventTypes[0], b.EventTypes[0]) })
	return e.register(list...)
}

// OnWith has fn handle messages as the options say. Handlers are registered
// before Run, which stores each as an endpoint of kind handler, so that it is
// listed, filtered, retried and replayed like others. A name can be taken once:
// errors of kind Invalid and Conflict say what is wrong.
func (e *Engine) OnWith(o HandlerOptions, fn HandlerFunc) error {
	return e.register(&registered{HandlerOptions: o, call: fn})
}

// Use puts middleware around all handlers, also those that are registered
// later. The first is the outermost. It belongs before Run, as handlers do: what
// comes later is around none, and is logged as an error. Of one that is nil, or
// makes a nil of a handler, Run says so.
func (e *Engine) Use(middleware ...Middleware) {
	h := &e.handlers
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sealed {
		e.cfg.Log.Error("Use came after Run: the middleware is around no handler")
		return
	}
	h.middleware = append(h.middleware, middleware...)
}

// register takes handlers on, all or none.
func (e *Engine) register(list ...*registered) error {
	h := &e.handlers
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sealed {
		return &postern.Error{Kind: postern.Conflict, Detail: "handlers are registered before Run"}
	}
	taken := make(map[handlerName]*registered, len(list))
	for _, r := range list {
		if err := r.complete(&e.cfg); err != nil {
			return err
		}
		key := handlerName{r.Application, r.Name}
		if other := h.names[key]; other != nil || taken[key] != nil {
			return &postern.Error{Kind: postern.Conflict, Code: "handler_exists", Detail: fmt.Sprintf(
				"a handler named %s is registered already: give one of them another HandlerOptions.Name", r.Name)}
		}
		taken[key] = r
	}
	if h.names == nil {
		h.names = make(map[handlerName]*registered)
	}
	for key, r := range taken {
		h.names[key] = r
	}
	h.order = append(h.order, list...)
	return nil
}

// complete fills in what was left out, and checks the rest.
func (r *registered) complete(cfg *Config) error {
	r.EventTypes, r.Channels = slices.Clone(r.EventTypes), slices.Clone(r.Channels)
	if r.Name == "" && len(r.EventTypes) == 1 {
		r.Name = strings.ReplaceAll(r.EventTypes[0], "*", "any")
	}
	orDefault(&r.Application, cfg.Application)
	orDefault(&r.Timeout, cfg.AttemptTimeout)
	if r.borrowed = make(chan struct{}, borrowAtOnce); r.Concurrency > 0 {
		r.slots, r.borrowed = make(chan struct{}, r.Concurrency), make(chan struct{}, r.Concurrency)
	}
	switch {
	case r.call == nil:
		return postern.InvalidField("a handler needs a function", "HandlerFunc")
	case len(r.EventTypes) == 0:
		return postern.InvalidField("a handler needs an event type; \"*\" is all of them", "HandlerOptions", "EventTypes")
	case !route.ValidName(r.Name) || strings.HasPrefix(r.Name, postern.EndpointID{}.Prefix()):
		return postern.InvalidField(fmt.Sprintf("%.64q cannot be a handler's name: want 1 to 256 of letters, digits, '-', '_' and '.', and not an id", r.Name), "HandlerOptions", "Name")
	case r.Timeout < 0 || r.Concurrency < 0:
		return postern.InvalidField("is not negative", "HandlerOptions", "Timeout, Concurrency")
	case slices.ContainsFunc(r.Channels, func(name string) bool { return !route.ValidName(name) }):
		return postern.InvalidField("must have 1 to 256 of letters, digits and the characters - _ .", "HandlerOptions", "Channels")
	}
	if err := r.RetrySchedule.Validate(); err != nil {
		return err
	}
	return route.ValidateEventTypes(r.EventTypes, "HandlerOptions", "EventTypes")
}

// seal ends registration, and puts the middleware around what was registered.
func (h *handlers) seal() ([]*registered, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sealed = true
	h.byNumber = make(map[postern.EndpointNumber]*registered, len(h.order))
	for _, r := range h.order {
		r.call = Recover(r.call)
		for _, m := range slices.Backward(h.middleware) {
			if m != nil {
				r.call = m(r.call)
			}
			if m == nil || r.call == nil {
				return nil, postern.InvalidField("a middleware given to Use is nil, or makes a nil of the handler "+r.Name, "Middleware")
			}
		}
		r.call = Recover(r.call) // a middleware can panic as well
	}
	return h.order, nil
}

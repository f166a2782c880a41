package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/auth"
	"github.com/postern-dev/postern/internal/tail"
	"github.com/postern-dev/postern/store"
)

// Prefix is the path that the API lives under.
const Prefix = "/api/v1"

// DefaultMaxBody bounds a request's body, and so a message's payload, in bytes.
const DefaultMaxBody = 1 << 20

// Config is what the API needs of the rest. What is not marked as optional is
// required.
type Config struct {
	Applications Applications
	Endpoints    Endpoints
	EventTypes   EventTypes
	Sources      Sources
	Keys         Keys
	Secrets      Secrets
	URLs         URLChecker
	Publisher    Publisher
	Replays      Replays
	Repeats      Repeats
	Deliveries   Deliveries
	History      store.History
	// Tail tells what becomes durable.
	Tail *tail.Hub
	// Head is where the journal ends that the tail follows.
	Head func(ctx context.Context) (store.Head, error)
	// Horizon is where the journals end that the tail follows, in place of Head
	// where there are several; nil where there are not.
	Horizon  func(ctx context.Context) (tail.Cursor, error)
	Outcomes store.Outcomes
	Router   Router
	Expunger Expunger
	Inbound  Inbound
	Leases   Leases
	Auth     *auth.Authenticator
	// EventIDs lets a message be named by its event id; optional: without it a
	// message has its id only.
	EventIDs EventIDs
	// Admit is asked before the body of a message is read, given its length or
	// -1: overload is refused while it is cheap. Its error is answered, which
	// is of kind Unavailable. Optional.
	Admit func(size int64) error
	// Fresh has what other nodes have changed be known, and bounds by itself how
	// long it takes and how often it asks the store. Optional.
	Fresh func(ctx context.Context) error
	// Health is nil when requests can be served; optional.
	Health func(ctx context.Context) error
	// Backup copies the store into a folder of this name, which must not exist;
	// optional.
	Backup func(ctx context.Context, name string) (postern.Backup, error)
	// Nodes are the servers that share the store; optional: without it the one that
	// answers is the only one.
	Nodes func(ctx context.Context) ([]postern.Node, error)
	// Limits are the bounds in force besides the API's own.
	Limits []postern.Limit
	// Version is the program's, for GET /health.
	Version string
	// PublicURL is how the outside reaches us, without a slash at its end.
	PublicURL string
	// MaxBody bounds a body in bytes; 0 for DefaultMaxBody.
	MaxBody int64
	// Now stamps what the API makes itself; nil for time.Now.
	Now func() time.Time
	// Logger gets what went wrong on our side; nil for silence.
	Logger *slog.Logger
	// Observe is told of every answer: the operation's name, which is one of
	// the table's or "none", the status and how long it took. Optional.
	Observe func(operation string, status int, took time.Duration)
}

// Log keys.
const (
	logOperation = "operation"
	logError     = "error"
)

// noOperation is the name under which unknown paths and methods are counted.
const noOperation = "none"

// handler serves all operations of the table.
type handler struct {
	Config
	routes *node
	// unserved are the paths of sdkPaths.
	unserved *node
	calls    sync.Pool // of *call
	answered answered
	// began is when the handler was made.
	began  time.Time
	misses *rate.Limiter
	// jsonType is the value of Content-Type, shared by all answers.
	jsonType []string
	// document is what GET /openapi.json answers.
	document func() ([]byte, error)
}

// New returns the API. It answers below Prefix, with paths that begin with it:
// mount it there, without stripping anything.
func New(config Config) http.Handler {
	if config.MaxBody == 0 {
		config.MaxBody = DefaultMaxBody
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Observe == nil {
		config.Observe = func(string, int, time.Duration) {}
	}
	return &handler{
		Config:   config,
		began:    config.Now(),
		misses:   newMisses(),
		routes:   newRoutes(table()),
		unserved: unserved(),
		calls:    sync.Pool{New: func() any { return new(call) }},
		jsonType: []string{"application/json"},
		document: sync.OnceValues(func() ([]byte, error) { return newDocument(table(), config.Version, config.PublicURL) }),
	}
}

// ServeHTTP answers one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	c, _ := h.calls.Get().(*call)
	c.w, c.r = w, r
	operation, err := h.serve(c) //nolint:contextcheck // the context is in the call's request
	if err != nil {
		h.refuse(c, operation, c.certain(err)) //nolint:contextcheck // as above
	}
	h.Observe(operation, c.status, time.Since(started))
	c.reset()
	h.calls.Put(c)
}

// serve takes a request through the columns of its row: path and method, then
// who asks, then whose it is, then the operation itself, which reads the body.
// It returns the operation's name for the count.
func (h *handler) serve(c *call) (operation string, err error) {
	if c.r.Header["Origin"] != nil {
		allowOrigin(c.w.Header())
	}
	n := h.routes.at(c.r.URL, &c.values)
	if n == nil {
		return noOperation, h.miss(c, nil)
	}
	o := n.operation(c.r.Method)
	if o == nil && c.r.Method == http.MethodOptions {
		preflight(c, n.allow)
		return noOperation, nil
	}
	if o == nil {
		return noOperation, h.miss(c, n)
	}
	c.operation, c.names = o, o.params
	if o.access == open {
		return o.name, o.run(h, c)
	}
	if err := h.identify(c); err != nil {
		return o.name, err
	}
	if o.method == http.MethodPost && !o.anew {
		if keys := c.r.Header["Idempotency-Key"]; keys != nil {
			return o.name, h.repeatable(c, o, keys)
		}
	}
	return o.name, o.run(h, c)
}

// application finds the application in the path. One that the principal has no
// business with does not exist for it.
func (h *handler) application(c *call) (*postern.Application, error) {
	app, err := h.Applications.Application(c.param("app"))
	if err != nil {
		return nil, notFound(err)
	}
	if c.who.Application != 0 && c.who.Application != app.Number {
		return nil, postern.ErrNotFound
	}
	return app, nil
}

// notFound makes an unreadable name in a path an unknown one.
func notFound(err error) error {
	if errors.Is(err, postern.ErrInvalid) {
		return postern.ErrNotFound
	}
	return err
}

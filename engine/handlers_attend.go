package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/route"
	"github.com/postern-dev/postern/store"
)

// storeAgain is how often a handler is stored again that others' changes came before,
// though the catalogue had tried: copies of a program start at once. The pause before
// it grows from firstStoreAgain, to some seconds.
const (
	storeAgain      = 8
	firstStoreAgain = 20 * time.Millisecond
)

// EnsureApplication finds the application with this uid, or makes it. "" is the
// engine's own, which is the same one for as long as the program runs and it is not
// deleted, though it may get another uid. It waits for Run.
func (e *Engine) EnsureApplication(ctx context.Context, uid string) (*postern.Application, error) {
	if uid != "" && uid != e.cfg.Application {
		return e.ensure(ctx, uid)
	}
	if app := e.catalogue.ApplicationByNumber(postern.ApplicationNumber(e.handlers.own.Load())); app != nil {
		return app, nil // whatever it is called by now: the handlers are in it
	}
	app, err := e.ensure(ctx, e.cfg.Application)
	if err == nil {
		e.handlers.own.Store(uint32(app.Number))
	}
	return app, err
}

func (e *Engine) ensure(ctx context.Context, uid string) (*postern.Application, error) {
	app, err := e.catalogue.Application(uid)
	if !errors.Is(err, postern.ErrNotFound) {
		return app, err
	}
	app, err = e.catalogue.CreateApplication(ctx, postern.Application{UID: uid, Name: uid})
	if errors.Is(err, postern.ErrConflict) {
		return e.catalogue.Application(uid) // somebody was faster
	}
	return app, err
}

// attend stores the program's handlers as endpoints, and has their deliveries go
// on. Those of handlers that the program no longer has wait.
func (e *Engine) attend(ctx context.Context) error {
	registered, err := e.handlers.seal()
	if err != nil {
		return err
	}
	for _, r := range registered {
		view, err := e.insist(ctx, r)
		if err != nil {
			return fmt.Errorf("handler %s: %w", r.Name, err)
		}
		if e.handlers.byNumber[view.Number] != nil { // by uid and by id of one application, which only the catalogue can tell
			return &postern.Error{Kind: postern.Conflict, Code: "handler_exists", Detail: fmt.Sprintf(
				"two handlers named %s are of the same application: give one of them another HandlerOptions.Name", r.Name)}
		}
		e.handlers.byNumber[view.Number] = r
		e.catalogue.Attend(view.Number, true)
	}
	_, last := e.catalogue.Numbers()
	for n := postern.EndpointNumber(1); n <= last; n++ {
		view := e.catalogue.EndpointByNumber(n)
		if view == nil || view.Kind != postern.HandlerEndpoint || !view.Unattended || view.Deleted {
			continue
		}
		e.handlers.missing = append(e.handlers.missing, n)
		e.cfg.Log.Warn("a handler has no function in this program: its deliveries wait for one, here or at another node, or for its endpoint's deletion",
			"handler", view.UID, "endpoint", view.ID.String())
	}
	return nil
}

// insist is storeHandler, again and again where others were faster.
func (e *Engine) insist(ctx context.Context, r *registered) (*postern.EndpointView, error) {
	for again := 0; ; again++ {
		view, err := e.storeHandler(ctx, r)
		known, ok := errors.AsType[*postern.Error](err)
		if !ok || known.Code != store.CodeMoved || again == storeAgain {
			return view, err
		}
		wait(ctx, rand.N(firstStoreAgain<<again)) //nolint:gosec // it keeps copies of a program apart
	}
}

// storeHandler makes a handler's endpoint what its options say, if it is not.
// What the API can change of it stays, but for what the engine disabled: the
// program may have been mended.
func (e *Engine) storeHandler(ctx context.Context, r *registered) (*postern.EndpointView, error) {
	app, err := e.EnsureApplication(ctx, r.Application)
	if err != nil {
		return nil, err
	}
	for _, name := range r.EventTypes {
		if route.IsPattern(name) {
			continue
		}
		if err := e.catalogue.DeclareEventType(ctx, name, "Handled by "+r.Name); err != nil {
			return nil, err
		}
	}
	view, err := e.catalogue.Endpoint(app.Number, r.Name)
	if errors.Is(err, postern.ErrNotFound) {
		made := postern.Endpoint{Application: app.Number, Kind: postern.HandlerEndpoint, UID: r.Name}
		r.shape(&made)
		if view, err = e.catalogue.CreateEndpoint(ctx, made); !errors.Is(err, postern.ErrConflict) {
			return view, err
		}
		view, err = e.catalogue.Endpoint(app.Number, r.Name) // another node was faster
	}
	switch {
	case err != nil:
		return nil, err
	case view.Kind != postern.HandlerEndpoint:
		return nil, &postern.Error{Kind: postern.Conflict, Detail: "an endpoint of kind " + string(view.Kind) + " has this uid: give the handler another HandlerOptions.Name"}
	case view.Health.Disabled == "" && r.fits(&view.Endpoint):
		return view, nil
	}
	return e.catalogue.UpdateEndpoint(ctx, app.Number, view.Number, true, func(stored *postern.Endpoint) error {
		r.shape(stored)
		return nil
	})
}

// shape gives an endpoint what the program says of it.
func (r *registered) shape(to *postern.Endpoint) {
	if to.EventTypes = r.EventTypes; slices.Contains(r.EventTypes, "*") {
		to.EventTypes = nil
	}
	to.Channels = r.Channels
	if r.RetrySchedule != nil {
		to.RetrySchedule = r.RetrySchedule
	}
}

// fits reports whether shape would change nothing.
func (r *registered) fits(stored *postern.Endpoint) bool {
	shaped := *stored
	r.shape(&shaped)
	return slices.Equal(shaped.EventTypes, stored.EventTypes) && slices.Equal(shaped.Channels, stored.Channels) &&
		slices.Equal(shaped.RetrySchedule, stored.RetrySchedule) && (shaped.RetrySchedule == nil) == (stored.RetrySchedule == nil)
}

// unattended counts the handlers that neither the program nor another node has a
// function for.
func (e *Engine) unattended() (n int) {
	if !e.attended.Load() {
		return 0
	}
	for _, number := range e.handlers.missing {
		if view := e.catalogue.EndpointByNumber(number); view != nil && !view.Deleted && view.Unattended {
			n++
		}
	}
	return n
}

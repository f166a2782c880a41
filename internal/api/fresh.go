package api

import (
	"context"
	"errors"
	"log/slog"

	"golang.org/x/time/rate"

	"github.com/postern-dev/postern"
)

// Other nodes change what is configured, and this one hears of it some time after.
// A call that reads or changes the like looks first, so that it sees what was
// answered anywhere before. Publishing goes by what is known, as what is stored of
// it is checked then: it looks only for what seems not to be there.

// missRate bounds, a second, the looks for what seems not to be there: names that
// nobody has must not become a load on the database.
const missRate = 50

// newMisses spends no more than missRate in any second.
func newMisses() *rate.Limiter { return rate.NewLimiter(missRate/2, missRate/2) }

// identify finds out who asks, and whose it is that they ask for.
func (h *handler) identify(c *call) error {
	if !c.operation.swift {
		h.look(c.r.Context(), c.operation)
		return h.enter(c)
	}
	err := h.enter(c)
	missing := errors.Is(err, postern.ErrUnauthorized) || errors.Is(err, postern.ErrNotFound) ||
		err == nil && c.operation.inApplication && c.app == nil
	if missing && h.lookAgain(c) {
		err = h.enter(c)
	}
	return err
}

// enter is identify by what is known.
func (h *handler) enter(c *call) (err error) {
	o := c.operation
	if c.who, err = h.Auth.Authenticate(c.r.Header.Get("Authorization")); err != nil {
		return err
	}
	if err := authorize(c.who, o, c.reads()); err != nil {
		return err
	}
	if o.inApplication {
		if c.app, err = h.application(c); err != nil && (!o.brings || !may(c.who, global, false)) {
			return err
		}
	}
	return nil
}

// publish is the publisher's, tried once more where what is known of the
// application or of the event type may be of yesterday.
func (h *handler) publish(c *call, p postern.Publish) (m *postern.Message, duplicate bool, err error) {
	m, duplicate, err = h.Publisher.Publish(c.r.Context(), p)
	if (errors.Is(err, postern.ErrInvalid) || errors.Is(err, postern.ErrNotFound)) && h.lookAgain(c) {
		m, duplicate, err = h.Publisher.Publish(c.r.Context(), p)
	}
	return m, duplicate, err
}

// lookAgain reports whether there may be something that was not there before.
func (h *handler) lookAgain(c *call) bool {
	return h.Fresh != nil && h.misses.Allow() && h.look(c.r.Context(), c.operation)
}

// look has what other nodes changed be known. Where that is not to be had, such as
// while the database is away, what is known will do.
func (h *handler) look(ctx context.Context, o *operation) bool {
	if h.Fresh == nil {
		return false
	}
	err := h.Fresh(ctx)
	if err != nil {
		h.Logger.LogAttrs(ctx, slog.LevelDebug, "other nodes' changes are not known", slog.String(logOperation, o.name), slog.Any(logError, err))
	}
	return err == nil
}

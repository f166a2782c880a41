package api

import (
	"errors"
	"log/slog"

	"golang.org/x/time/rate"

	"github.com/postern-dev/postern"
)

// Other nodes change what is configured, and this one hears of it some time after.
// A call that reads or changes the like looks first, so that it sees what was
// answered anywhere before. Publishing goes by what is known, as what is stored of
// it is checked then: it looks only for what seems not to be there. Where a look
// fails, such as while the database is away, what is known will do; what is not known
// is not said to be missing then.

// missRate bounds, a second, the looks for what seems not to be there: names that
// nobody has must not become a load on the database. Inbound addresses have a bound
// of their own, so that whoever guesses at those takes none of these.
const missRate = 50

// newMisses spends no more than missRate in any second.
func newMisses() *rate.Limiter { return rate.NewLimiter(missRate/2, missRate/2) }

// identify finds out who asks, and whose it is that they ask for.
func (h *handler) identify(c *call) error {
	if !c.operation.swift {
		h.look(c)
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
	return h.Fresh != nil && h.misses.Allow() && h.look(c)
}

// look has what other nodes changed be known, and reports whether it is.
func (h *handler) look(c *call) bool {
	if h.Fresh == nil {
		return false
	}
	err := h.Fresh(c.r.Context())
	c.behind = err != nil
	if c.behind {
		h.Logger.LogAttrs(c.r.Context(), slog.LevelDebug, "other nodes' changes are not known", slog.String(logOperation, c.operation.name), slog.Any(logError, err))
	}
	return err == nil
}

// errBehind is for what may be there, though this node does not know of it.
var errBehind = &postern.Error{Kind: postern.Unavailable, Detail: "Not known here, and what other nodes know cannot be read at the moment"}

// certain is the error that a call is refused with: nothing is missing for certain
// that other nodes may know of.
func (c *call) certain(err error) error {
	if c.behind && (errors.Is(err, postern.ErrNotFound) || errors.Is(err, postern.ErrUnauthorized)) {
		return errBehind
	}
	return err
}

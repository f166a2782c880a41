package intake

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/verify"
)

// confirmTimeout bounds the fetching of an address that confirms a subscription.
const confirmTimeout = 5 * time.Second

// Delivered keeps secrets that providers deliver in handshakes.
type Delivered interface {
	// StoreSecret keeps one as a setting of the source, and returns once that is
	// durable. The error is of kind Conflict where the source has a secret.
	StoreSecret(ctx context.Context, s *postern.Source, setting, secret string) error
}

// allowed are the methods that a source takes, those of events first.
func (g *gate) allowed() (methods []string, events int) {
	methods = append([]string{http.MethodPost}, g.source.Methods...)
	methods = append(methods, g.provider.Methods...)
	events = len(methods)
	return append(methods, g.verifier.Methods()...), events
}

// admits reports whether a request's method is one of the source's, whether it is
// one of events, and whether its body counts: who greets with GET, HEAD or OPTIONS
// has nothing to say in one.
func (g *gate) admits(method string) (ok, event, body bool) {
	methods, events := g.allowed()
	if slices.Contains(methods[:events], method) {
		return true, true, true
	}
	bodiless := []string{http.MethodGet, http.MethodHead, http.MethodOptions}
	return slices.Contains(methods, method), false, !slices.Contains(bodiless, method)
}

// settle does what a handshake asks for before its answer: nothing of it has
// happened when it fails, or the provider will ask again.
func (h *Handler) settle(ctx context.Context, g *gate, result *verify.Result) error {
	if secret := result.Store; secret != nil {
		if h.Delivered == nil {
			return errMisconfigured()
		}
		if err := h.Delivered.StoreSecret(ctx, g.source, secret.Setting, secret.Secret); err != nil {
			if postern.KindOf(err) == postern.Conflict { // another one was faster
				result.Answer = verify.Answer{Status: http.StatusForbidden}
				return &verify.Error{Reason: verify.ReasonHandshakeRefused, Detail: "a secret was delivered, and the source has another: the first is kept"}
			}
			return err
		}
	}
	if result.Confirm != "" {
		if h.Fetch == nil {
			return errMisconfigured()
		}
		ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
		defer cancel()
		if _, err := h.Fetch.Fetch(ctx, result.Confirm); err != nil {
			// Its address has a token, which whoever fetches it confirms with.
			h.Logger.WarnContext(ctx, "subscription not confirmed", logSource, g.source.ID, logProvider, g.source.Provider, logError, err)
			return errUnconfirmed()
		}
	}
	level := slog.LevelDebug // anybody who has the address may greet, as often as they like
	if result.Store != nil || result.Confirm != "" {
		level = slog.LevelInfo
	}
	h.Logger.Log(ctx, level, "handshake answered", logSource, g.source.ID, logProvider, g.source.Provider, logHandshake, string(result.Handshake))
	h.Handshake(string(result.Handshake))
	return nil
}

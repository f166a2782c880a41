package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/auth"
)

// access says what an operation touches, and so who may use it.
type access uint8

const (
	// open is for everybody, without a token.
	open access = iota
	// shared is what all applications have in common: whoever may read, reads
	// it; administrators write it.
	shared
	// inside is one application and what belongs to it.
	inside
	// publish is accepting a message in one application.
	publish
	// credential is reading a secret of an application: a right of those who
	// may write there, because who holds it can sign.
	credential
	// global is the set of applications, and an application itself.
	global
	// administration is for administrators only.
	administration
	// watching is hearing of what happens, in the application of the key or in
	// all of them.
	watching
	// following is reading of what was begun and goes on by itself, in the
	// application of the key or in all of them: the operation looks there alone.
	following
	// visit is a visitor's own stay in the portal.
	visit
)

// authorize refuses, as Forbidden, what the principal's scope does not hold.
// Whether it is the right application is decided once that is found.
func authorize(who auth.Principal, o *operation, reads bool) error {
	allowed := may(who, o.access, reads)
	if who.Scope == postern.ScopePortal {
		needed, ok := capability(o)
		allowed = o.access == visit || ok && who.Portal.May(needed)
	}
	if !allowed {
		return &postern.Error{Kind: postern.Forbidden, Detail: "This key may not do that"}
	}
	return nil
}

// askAgain asks, after a wait, who this is and what they may do: keys are
// revoked, and expire.
func (h *handler) askAgain(c *call) error {
	who, err := h.Auth.Authenticate(c.r.Header.Get("Authorization"))
	if err != nil {
		return err
	}
	if who.Application != c.who.Application {
		return postern.ErrUnauthorized
	}
	return authorize(who, c.operation, c.reads())
}

// may is the rule, per scope. Visitors of the portal have another, which goes by
// what they are to do; see capability.
func may(who auth.Principal, a access, reads bool) bool {
	switch who.Scope {
	case postern.ScopeAdmin:
		return a != visit
	case postern.ScopeApplication:
		return a == inside || a == publish || a == credential || a == watching || reads && (a == shared || a == following)
	case postern.ScopeReadOnly:
		return reads && (a == inside || a == shared || a == watching || a == following || a == global && who.Application == 0)
	case postern.ScopePublishOnly:
		return a == publish
	}
	return false
}

// capability is what a visitor of the portal needs for an operation. It reports
// false for what the portal has not: a new row is closed to visitors unless its
// noun is named here.
func capability(o *operation) (postern.Capability, bool) {
	noun, verb, _ := strings.Cut(o.name, ".")
	reads := o.method == http.MethodGet
	switch {
	case o.name == "endpoint.secret.get":
		return postern.ViewEndpointSecret, true
	case o.name == "endpoint.secret.rotate":
		return postern.ManageEndpointSecret, true
	case o.name == "message.resend",
		noun == "background-task" && reads, // who may begin one follows it
		noun == "endpoint" && slices.Contains([]string{"recover", "replay-missing", "bulk-replay", "send-example"}, verb):
		return postern.CreateAttempts, true
	case noun == "endpoint" && o.access == inside && !reads:
		return postern.ManageEndpoint, true
	}
	nouns := []string{"application", "endpoint", "message", "attempt", "delivery", "event-type"}
	return postern.ViewBase, reads && (o.access == inside || o.access == shared) && slices.Contains(nouns, noun)
}

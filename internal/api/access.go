package api

import (
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
)

// authorize refuses, as Forbidden, what the principal's scope does not hold.
// Whether it is the right application is decided once that is found.
func authorize(who auth.Principal, a access, reads bool) error {
	if !may(who, a, reads) {
		return &postern.Error{Kind: postern.Forbidden, Detail: "This key may not do that"}
	}
	return nil
}

// may is the rule, per scope.
func may(who auth.Principal, a access, reads bool) bool {
	switch who.Scope {
	case postern.ScopeAdmin:
		return true
	case postern.ScopeApplication:
		return a == inside || a == publish || a == credential || a == shared && reads
	case postern.ScopeReadOnly:
		return reads && (a == inside || a == shared || a == global && who.Application == 0)
	case postern.ScopePublishOnly:
		return a == publish
	}
	return false
}

package postern

import (
	"errors"
	"strings"
)

// Kind says what sort of failure an Error is. The set is closed: one table
// maps it to HTTP, another to exit codes.
type Kind uint8

// The kinds of failure. Internal is the zero value, so that what nobody
// classified is never mistaken for the caller's fault.
const (
	Internal     Kind = iota // a fault of our own
	Invalid                  // the input is wrong; Fields may say where
	Unauthorized             // who asks is not known
	Forbidden                // who asks is known, and may not
	NotFound                 // there is no such thing, or it is somebody else's
	Conflict                 // something is in the way, such as a uid in use
	TooLarge                 // the input is over a limit of size
	RateLimited              // too much at a time; try again later
	Unavailable              // not now: stopping, full, or out of reach; try again
)

var kindNames = [...]string{"internal", "invalid", "unauthorized", "forbidden", "not_found", "conflict", "too_large", "rate_limited", "unavailable"}

// String is the kind's name in lower case, such as "not_found".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[Internal]
}

// Error is a failure that a caller can act on. Detail is text for the caller;
// Err is the cause, for the log only, and never shown.
type Error struct {
	Kind Kind
	// Code is a word for programs, such as "event_type_exists"; "" stands for
	// the kind's own.
	Code string
	// Detail says what is wrong and how to mend it.
	Detail string
	// Fields are the single faults of an input, in its order.
	Fields []FieldError
	Err    error
}

// FieldError is one fault of an input.
type FieldError struct {
	// Loc is the way to the field: "body", "channels", "0".
	Loc []string
	// Msg says what is wrong with it, Type is a word for programs such as
	// "value_error".
	Msg, Type string
}

// Sentinels for errors.Is; a match is by kind.
var (
	ErrInvalid      = &Error{Kind: Invalid}
	ErrUnauthorized = &Error{Kind: Unauthorized}
	ErrForbidden    = &Error{Kind: Forbidden}
	ErrNotFound     = &Error{Kind: NotFound, Detail: "Entity not found"}
	ErrConflict     = &Error{Kind: Conflict}
	ErrTooLarge     = &Error{Kind: TooLarge}
	ErrRateLimited  = &Error{Kind: RateLimited}
	ErrUnavailable  = &Error{Kind: Unavailable}
	// ErrUnhandled is what a program that refuses what nobody handles answers to
	// its own publishing; see package engine.
	ErrUnhandled = &Error{Kind: Invalid, Code: "unhandled"}
)

// InvalidField is an Invalid error of one field.
func InvalidField(msg string, loc ...string) *Error {
	return &Error{Kind: Invalid, Detail: msg, Fields: []FieldError{{Loc: loc, Msg: msg, Type: "value_error"}}}
}

// Error is the detail, the fields and the cause in one line.
func (e *Error) Error() string {
	parts := make([]string, 0, 2+len(e.Fields))
	repeated := len(e.Fields) == 1 && e.Fields[0].Msg == e.Detail // as InvalidField does
	if e.Detail != "" && !repeated {
		parts = append(parts, e.Detail)
	}
	for _, f := range e.Fields {
		if len(f.Loc) > 0 {
			parts = append(parts, strings.Join(f.Loc, "."))
		}
		parts = append(parts, f.Msg)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	if len(parts) == 0 {
		return e.Kind.String()
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an Error of the same kind, and of the same code
// where target has one.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && (t.Code == "" || t.Code == e.Code)
}

// KindOf is the kind of the first Error in err's chain, else Internal.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// shortened bounds how much of an input an error repeats.
func shortened(input string) string {
	if len(input) > 64 {
		return input[:64] + "..."
	}
	return input
}

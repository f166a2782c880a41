package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/postern-dev/postern"
)

// failure is how a kind of error is answered.
type failure struct {
	status int
	code   string
	// detail stands in for an error that brings none.
	detail string
}

// failureOf is the one table from kinds to HTTP. Invalid has two statuses: 422
// where fields can be named, else the 400 here.
func failureOf(kind postern.Kind) failure {
	switch kind {
	case postern.Invalid:
		return failure{http.StatusBadRequest, "invalid", "The request is invalid"}
	case postern.Unauthorized:
		return failure{http.StatusUnauthorized, "authentication_failed", "Authentication failed"}
	case postern.Forbidden:
		return failure{http.StatusForbidden, "insufficient access", "Insufficient access"}
	case postern.NotFound:
		return failure{http.StatusNotFound, "not_found", "Entity not found"}
	case postern.Conflict:
		return failure{http.StatusConflict, "conflict", "An entity with this name exists already"}
	case postern.TooLarge:
		return failure{http.StatusRequestEntityTooLarge, "payload_too_large", "The body is too large"}
	case postern.RateLimited:
		return failure{http.StatusTooManyRequests, "rate_limited", "Too many requests"}
	case postern.Unavailable:
		return failure{http.StatusServiceUnavailable, "unavailable", "Try again in a moment"}
	}
	return failure{http.StatusInternalServerError, "internal", "Something went wrong on our side"}
}

// methodError is a path that is known by other methods only.
type methodError struct{ allow string }

func (e *methodError) Error() string { return "method not allowed: want " + e.allow }

// errorOut is the body of a refusal; invalidOut that of an input's faults.
type (
	errorOut struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	invalidOut struct {
		Detail []faultOut `json:"detail" api:"list"`
	}
	faultOut struct {
		Loc  []string `json:"loc" api:"list"`
		Msg  string   `json:"msg"`
		Type string   `json:"type"`
	}
)

// answer writes out as JSON under the call's status.
func (h *handler) answer(c *call, out any) error {
	c.answer.Reset()
	encoder := json.NewEncoder(&c.answer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(out); err != nil {
		return err // nothing is written yet: this becomes a 500
	}
	h.send(c)
	return nil
}

// send writes the call's buffer. What fails here is the connection, and the
// one at its other end is past being told.
func (h *handler) send(c *call) {
	header := c.w.Header()
	header["Content-Type"] = h.jsonType
	if c.operation == nil || c.operation.access != publish {
		header.Set("Cache-Control", "no-store") // what is told is told to one key, and may be a secret
	}
	if c.answer.Len() > 2048 { // up to here net/http counts by itself, for less
		header.Set("Content-Length", strconv.Itoa(c.answer.Len()))
	}
	c.w.WriteHeader(c.status)
	_, _ = c.w.Write(c.answer.Bytes())
}

// refuse answers an error in Svix's shape, and logs what is our own fault.
func (h *handler) refuse(c *call, operation string, err error) {
	if method, ok := errors.AsType[*methodError](err); ok {
		c.w.Header().Set("Allow", method.allow)
		c.status = http.StatusMethodNotAllowed
		_ = h.answer(c, errorOut{"method_not_allowed", "This path allows " + method.allow}) // strings encode
		return
	}
	if errors.Is(err, errUnserved) {
		c.status = http.StatusNotImplemented
		_ = h.answer(c, errorOut{"not_implemented", "This operation of Svix's API is not part of Postern"}) // strings encode
		return
	}
	e, ok := errors.AsType[*postern.Error](err)
	if !ok {
		e = &postern.Error{Kind: postern.Internal, Err: err}
	}
	f := failureOf(e.Kind)
	c.status = f.status
	switch e.Kind {
	case postern.Internal:
		h.logFailure(c, operation, err)
	case postern.Unauthorized:
		c.w.Header().Set("Www-Authenticate", "Bearer")
	case postern.Unavailable:
		c.w.Header().Set("Retry-After", "1")
	case postern.TooLarge:
		// The rest of the body is not worth reading, for either side.
		c.w.Header().Set("Connection", "close")
	case postern.Invalid:
		if len(e.Fields) > 0 {
			c.status = http.StatusUnprocessableEntity
			_ = h.answer(c, faultsOut(e.Fields)) // strings encode
			return
		}
	}
	out := errorOut{Code: e.Code, Detail: e.Detail}
	if out.Code == "" {
		out.Code = f.code
	}
	if out.Detail == "" || e.Kind == postern.Internal {
		out.Detail = f.detail
	}
	_ = h.answer(c, out) // strings encode
}

// logFailure leaves out requests whose sender has gone: what they break is
// their own.
func (h *handler) logFailure(c *call, operation string, err error) {
	ctx := c.r.Context()
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return
	}
	h.Logger.ErrorContext(ctx, "request failed", logOperation, operation, logError, err)
}

// faultsOut renders the faults of an input. Those that name no part of the
// request are in its body.
func faultsOut(fields []postern.FieldError) invalidOut {
	out := invalidOut{Detail: make([]faultOut, 0, len(fields))}
	for _, field := range fields {
		loc := field.Loc
		if len(loc) == 0 || loc[0] != "body" && loc[0] != "query" && loc[0] != "path" && loc[0] != "header" {
			loc = append([]string{"body"}, loc...)
		}
		out.Detail = append(out.Detail, faultOut{Loc: loc, Msg: field.Msg, Type: field.Type})
	}
	return out
}

// byteCount is a size for people.
func byteCount(n int64) string {
	if n >= 1<<20 && n%(1<<20) == 0 {
		return strconv.FormatInt(n>>20, 10) + " MiB"
	}
	return strconv.FormatInt(n, 10) + " bytes"
}

package verify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// DefaultMaxBody is how large a body the middleware reads unless told
// otherwise, in bytes.
const DefaultMaxBody = 25 << 20

// Options of Middleware. The zero value is usable.
type Options struct {
	// MaxBody bounds the body, in bytes. Zero is DefaultMaxBody.
	MaxBody int64
	// PublicURL is scheme and host under which the provider reaches the handler,
	// such as https://hooks.example.com; path and query are the request's own.
	// Only providers that sign the URL need it, and are refused without it: what
	// the request says about its own host is not to be trusted.
	PublicURL string
	// Now is the receiver's clock. Nil is time.Now.
	Now func() time.Time
	// OnRefusal is told why a request was refused, an *Error for those that did
	// not verify. It must not tell the sender. Nil drops the reason, which is
	// safe: the request is refused all the same.
	OnRefusal func(*http.Request, error)
	// OnHandshake does, before the answer, what a handshake needs: it keeps the
	// secret that a provider delivered (Result.Store), or gets the address that
	// confirms a subscription (Result.Confirm). Those are answered with 503 when
	// it fails, and where it is nil; all other handshakes need nobody.
	OnHandshake func(*http.Request, Result) error
}

// errUnsettled is for a handshake that needs more than an answer.
var errUnsettled = errors.New("verify: the handshake needs Options.OnHandshake")

// eventKey is the context key of the verified Event.
type eventKey struct{}

// EventFrom returns the Event that the middleware put into the context of a
// verified request; false anywhere else.
func EventFrom(ctx context.Context) (Event, bool) {
	event, ok := ctx.Value(eventKey{}).(Event)
	return event, ok
}

// Middleware lets only requests through to next that v verifies, with the same
// body bytes and the Event in their context, and answers the provider's
// handshakes itself. Whatever is wrong with a signature the answer is one and the
// same 401, or what the provider wants in its place; 413 is for a body over the
// cap, 400 for one that broke off.
func Middleware(v *Verifier, opts Options) func(next http.Handler) http.Handler {
	if opts.MaxBody == 0 {
		opts.MaxBody = DefaultMaxBody
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			result, body, err := opts.receive(v, w, r)
			if err != nil {
				if opts.OnRefusal != nil {
					opts.OnRefusal(r, err)
				}
				refuse(w, err, result.Answer.Status)
				return
			}
			if result.Handshake != "" {
				result.Answer.head(w)
				if len(result.Events) == 0 {
					result.Answer.finish(w)
					return
				}
			}
			r = r.WithContext(context.WithValue(r.Context(), eventKey{}, result.Event))
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			next.ServeHTTP(w, r)
		})
	}
}

// receive reads the body whole, verifies the request and settles a handshake.
func (o Options) receive(v *Verifier, w http.ResponseWriter, r *http.Request) (Result, []byte, error) {
	now := o.Now()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, o.MaxBody))
	if err != nil {
		return Result{}, nil, err
	}
	req := Request{Method: r.Method, Target: r.RequestURI, Header: r.Header, Body: body}
	if o.PublicURL != "" {
		// Not r.URL, which a mux or StripPrefix may have rewritten.
		req.URL = o.PublicURL + r.RequestURI
	}
	result, err := v.Receive(r.Context(), req, now)
	if err == nil && (result.Store != nil || result.Confirm != "") {
		if err = errUnsettled; o.OnHandshake != nil {
			err = o.OnHandshake(r, result)
		}
		if err != nil {
			err = &unsettledError{err}
		}
	}
	return result, body, err
}

// unsettledError is a handshake that the provider should try again.
type unsettledError struct{ error }

func (e *unsettledError) Unwrap() error { return e.error }

// head sets the headers of an answer, which a stranger may have had a say in:
// no browser is to make a page of it.
func (a Answer) head(w http.ResponseWriter) {
	for name, value := range a.Headers {
		w.Header().Set(name, value)
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
}

// finish writes status and body.
func (a Answer) finish(w http.ResponseWriter) {
	if a.Body != "" {
		w.Header().Set("Content-Type", cmp.Or(a.ContentType, "text/plain; charset=utf-8"))
	}
	w.WriteHeader(cmp.Or(a.Status, http.StatusOK))
	fmt.Fprint(w, a.Body) // the sender may be gone; there is nobody left to tell
}

// refuse answers an error; unverified is the provider's own status for a
// signature that is wrong, 0 for none.
func refuse(w http.ResponseWriter, err error, unverified int) {
	status, body := http.StatusBadRequest, `{"code":"invalid","detail":"The body could not be read."}`
	var refused *Error
	var tooLarge *http.MaxBytesError
	var unsettled *unsettledError
	switch {
	case errors.As(err, &unsettled):
		status, body = http.StatusServiceUnavailable, `{"code":"unavailable","detail":"Try again in a moment."}`
	case errors.As(err, &refused):
		status, body = cmp.Or(unverified, http.StatusUnauthorized), `{"code":"unauthorized","detail":"The request could not be verified."}`
	case errors.As(err, &tooLarge):
		status, body = http.StatusRequestEntityTooLarge, `{"code":"too_large","detail":"The body is too large."}`
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	fmt.Fprintln(w, body) // the sender may be gone; there is nobody left to tell
}

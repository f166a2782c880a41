package verify

import (
	"bytes"
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
}

// eventKey is the context key of the verified Event.
type eventKey struct{}

// EventFrom returns the Event that the middleware put into the context of a
// verified request; false anywhere else.
func EventFrom(ctx context.Context) (Event, bool) {
	event, ok := ctx.Value(eventKey{}).(Event)
	return event, ok
}

// Middleware lets only requests through to next that v verifies, with the same
// body bytes and the Event in their context. Whatever is wrong with a signature
// the answer is one and the same 401; 413 is for a body over the cap, 400 for
// one that broke off.
func Middleware(v *Verifier, opts Options) func(next http.Handler) http.Handler {
	if opts.MaxBody == 0 {
		opts.MaxBody = DefaultMaxBody
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			event, body, err := opts.receive(v, w, r)
			if err != nil {
				if opts.OnRefusal != nil {
					opts.OnRefusal(r, err)
				}
				refuse(w, err)
				return
			}
			r = r.WithContext(context.WithValue(r.Context(), eventKey{}, event))
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			next.ServeHTTP(w, r)
		})
	}
}

// receive reads the body whole and verifies the request.
func (o Options) receive(v *Verifier, w http.ResponseWriter, r *http.Request) (Event, []byte, error) {
	now := o.Now()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, o.MaxBody))
	if err != nil {
		return Event{}, nil, err
	}
	req := Request{Method: r.Method, Target: r.RequestURI, Header: r.Header, Body: body}
	if o.PublicURL != "" {
		// Not r.URL, which a mux or StripPrefix may have rewritten.
		req.URL = o.PublicURL + r.RequestURI
	}
	event, err := v.Verify(r.Context(), req, now)
	return event, body, err
}

func refuse(w http.ResponseWriter, err error) {
	status, body := http.StatusBadRequest, `{"code":"invalid","detail":"The body could not be read."}`
	var refused *Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &refused):
		status, body = http.StatusUnauthorized, `{"code":"unauthorized","detail":"The request could not be verified."}`
	case errors.As(err, &tooLarge):
		status, body = http.StatusRequestEntityTooLarge, `{"code":"too_large","detail":"The body is too large."}`
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	fmt.Fprintln(w, body) // the sender may be gone; there is nobody left to tell
}

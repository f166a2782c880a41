// Package deliver sends one attempt of a delivery: a signed POST over a guarded
// connection, with its own HTTP/1.1 client.
//
// The client does one thing, and that is why it is not net/http: one request form, one
// write, one deadline over resolve, connect, TLS, write and read, and no goroutine or
// timer of its own per exchange.
//
// Promises:
//
//  1. [Client.Post] returns by the request's deadline, or soon after its context or
//     [Client.Close] ends it.
//  2. It sends the request at most twice: the second time only when a reused connection
//     died before the first byte of an answer, on a fresh connection, and
//     [Result.Redialed] says so.
//  3. The first complete final header decides. What follows is kept up to 20 kB and
//     read up to 256 kB or two seconds; a body that breaks off, drips or never ends
//     changes neither status nor cause, and is marked by [Result.Cut].
//  4. A connection is reused only after an answer that ended where its framing said,
//     with nothing behind it, and only if neither side asked otherwise. Before it is
//     written to again, the socket is asked whether the peer has closed it.
//  5. Redirects are answers like any other. No header of the answer is kept but
//     Retry-After and Content-Type.
//
// Ownership: a connection belongs to the exchange that took it from the pool and to no
// other until it is put back. Client.Close may close it at any time, which the exchange
// sees as an error.
package deliver

import (
	"context"
	"net"
	"time"

	"github.com/postern-dev/postern/internal/egress"
)

// Dialer opens the connections. *[egress.Dialer] implements it.
type Dialer interface {
	// Dial connects to host, a name or an address without brackets, until ctx ends. Its
	// errors are *[egress.Error].
	Dial(ctx context.Context, host string, port uint16) (net.Conn, egress.Trace, error)
}

// Signer signs one message. It is called by [Client.Post] on the goroutine of the
// caller.
type Signer interface {
	// AppendSignatures appends the value of the webhook-signature header to dst: one
	// signature per live secret, separated by spaces. It keeps none of its arguments.
	AppendSignatures(dst []byte, id string, timestamp int64, body []byte) []byte
}

// Request is one attempt. Post only reads it.
type Request struct {
	Target      *Target
	Headers     []Header  // the endpoint's own headers, in order
	Extra       []Header  // the message's own headers, after Headers
	ID          string    // webhook-id
	Timestamp   int64     // webhook-timestamp, in seconds
	Signer      Signer    // nil: unsigned
	ContentType string    // empty: no Content-Type header
	Body        []byte    // sent as it is
	SvixNames   bool      // send svix-id, svix-timestamp and svix-signature as well
	Deadline    time.Time // of the whole exchange; zero: Config.Timeout from now
}

// Result is what became of one attempt. Look at Cause before Status: unless it is
// [None], there is no status.
type Result struct {
	Cause Cause
	Err   error // the cause's detail, nil when Cause is None; it may name internal addresses: for the operator, not for tenants

	Status      int
	Proto       string // "HTTP/1.1" or "HTTP/1.0"
	RetryAfter  string // as sent, at most 128 bytes, else empty
	ContentType string // as sent, at most 256 bytes, else empty
	// Body holds the first 20 kB of the answer. Post writes it over what the field held
	// before: to keep it and use the Result again, set the field to nil first.
	Body []byte
	// Cut says why the body was not read to its end; None when it was. It never changes
	// what Status means.
	Cut Cause

	Reused     bool   // sent over a connection that had been used before
	Redialed   bool   // a reused connection died before answering and the request was sent again over a fresh one
	Written    bool   // bytes of the request may have reached the endpoint
	RemoteAddr string // where the connection led, "" if none was made; with a proxy the endpoint's address
	Timings    Timings
}

// Timings splits an attempt. A phase that did not take place is 0.
type Timings struct {
	DNS, Connect, TLS time.Duration // each phase alone
	FirstByte         time.Duration // from the start of Post to the answer's first byte
	Total             time.Duration // from the start of Post to its end
}

// Cause is the closed set of reasons for which an exchange has no status.
type Cause uint8

// The causes. Local is a fault on our own side, which is not an attempt; Canceled is
// our own doing.
const (
	None Cause = iota
	Timeout
	Canceled
	DNS
	ConnectRefused
	Connect
	TLS
	ForbiddenAddress
	Write
	Read
	ClosedEarly
	Malformed
	HeaderTooLarge
	TooLong // only in Result.Cut: the body went on past what is read of it
	Local
)

// String returns the cause's stable name, and "" for None.
func (c Cause) String() string {
	names := [...]string{
		"", "timeout", "canceled", "dns", "connect_refused", "connect", "tls", "forbidden_address", "write", "read",
		"closed_early", "malformed_response", "header_too_large", "too_long", "local",
	}
	if int(c) < len(names) {
		return names[c]
	}
	return "unknown"
}

// reset empties the result but keeps the body's memory.
func (r *Result) reset() { *r = Result{Body: r.Body[:0]} }

// fail records why there is no status.
func (r *Result) fail(cause Cause, err error) {
	r.Cause, r.Err = cause, err
	r.Status, r.Proto, r.RetryAfter, r.ContentType = 0, "", "", ""
}

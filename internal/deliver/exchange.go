package deliver

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/postern-dev/postern/internal/egress"
)

const (
	copyBody    = 16 << 10               // bytes up to which a body is copied behind its header, to be written at once
	keepRequest = 64 << 10               // bytes of request buffer that are kept for the next exchange
	lateAnswer  = 250 * time.Millisecond // for an answer that came before the request was read to its end
)

// exchange is the memory of one request and its answer, reused for the next. Only one
// goroutine uses it at a time; the client's pool of them is what keeps an exchange from
// allocating anything but the copy of the answer's body.
type exchange struct {
	client   *Client
	req      *Request
	start    time.Time
	deadline time.Time

	out  []byte      // request header, and the body when it is small
	vec  [2][]byte   // header and body when it is not
	bufs net.Buffers // over vec; writing consumes it
	in   reader
	head head
}

// begin takes on a request.
func (x *exchange) begin(start time.Time, req *Request, c *Client) {
	x.client, x.req, x.start, x.deadline = c, req, start, req.Deadline
	if x.deadline.IsZero() {
		x.deadline = start.Add(c.timeout)
	}
}

// run sends the request over an idle connection if there is one, and over a fresh one
// if there is none or it has died.
func (x *exchange) run(ctx context.Context, res *Result) {
	if !isFieldValue(x.req.ID) || !isFieldValue(x.req.ContentType) {
		res.fail(Write, errors.New("id or content type with control characters"))
		return
	}
	if err := ctx.Err(); err != nil {
		res.fail(causeOf(err, err, Canceled), err)
		return
	}
	key := x.req.Target.key
	x.render() // once, also for a request that is sent again: a second signature over another time would be another request
	if cn := x.client.pool.take(key); cn != nil {
		res.Reused = true
		res.RemoteAddr = cn.remote
		if !x.send(ctx, cn, res) {
			return
		}
		// What the first try wrote may have been acted upon: that stays true whatever
		// becomes of the second.
		written := res.Written
		res.reset()
		res.Redialed, res.Written = true, written
		x.client.redials.Add(1)
	}
	if cn := x.client.connect(ctx, key, x.deadline, res); cn != nil {
		x.send(ctx, cn, res)
	}
}

// render makes the bytes to send.
func (x *exchange) render() {
	x.out = x.req.appendHead(x.out[:0], x.client.agent)
	if len(x.req.Body) <= copyBody {
		x.out = append(x.out, x.req.Body...)
	}
}

// send does the exchange over one connection and puts the connection back or closes it.
// It reports true when a reused connection turned out to be dead: nothing has come
// back, and the request is to be sent again.
func (x *exchange) send(ctx context.Context, cn *conn, res *Result) (dead bool) {
	pool := x.client.pool
	var stop func() bool
	if ctx.Done() != nil {
		stop = context.AfterFunc(ctx, cn.kill)
	}
	x.in.reset(cn.Conn, x.deadline)
	err := cn.raw.SetDeadline(x.deadline)
	if err == nil {
		err = x.exchange(cn, res)
	}
	if x.in.first.IsZero() {
		res.Timings.FirstByte = 0
	} else {
		res.Timings.FirstByte = x.in.first.Sub(x.start)
	}
	watched := stop == nil || stop()
	// A context that ended in the meantime closes the socket, now or in a moment: it
	// must not go back to the pool.
	if err == nil && watched && res.Cut == None && x.head.reusable() && x.in.buffered() == 0 {
		pool.put(cn, x.in.first)
		return false
	}
	pool.discard(cn)
	if err == nil {
		if ended := pool.ended(ctx); ended != nil && res.Cut != None {
			res.Cut = causeOf(ended, ended, Canceled)
		}
		return false
	}
	cause := causeOf(pool.ended(ctx), err, Read)
	// A connection that dies without a word was most likely given up by the peer before
	// the request came. A fresh one has no such excuse, a deadline that passed stays
	// passed, and our own shortage is not cured by another socket.
	if res.Reused && x.in.first.IsZero() && cause != Timeout && cause != Canceled && cause != Local {
		return true
	}
	res.fail(cause, err)
	return false
}

// exchange writes the request and reads the answer. Its error is about what precedes
// the final header's end; what goes wrong later is in res.Cut.
func (x *exchange) exchange(cn *conn, res *Result) error {
	n, werr := x.write(cn)
	res.Written = res.Written || n > 0
	if werr != nil {
		if !egress.IsReset(werr) {
			return &writeError{werr}
		}
		// The peer stopped reading. It may have said why before it did.
		x.in.patience = lateAnswer
	}
	if err := x.in.readHead(&x.head); err != nil {
		if werr != nil && x.in.first.IsZero() {
			return werr
		}
		return err
	}
	// From here on the answer counts.
	h := &x.head
	res.Status, res.RetryAfter, res.ContentType = h.status, h.retryAfter, h.contentType
	if res.Proto = "HTTP/1.1"; h.minor == 0 {
		res.Proto = "HTTP/1.0"
	}
	body, err := x.in.readBody(h, res.Body)
	res.Body = body
	if err != nil {
		res.Cut = cutOf(err)
	}
	h.close = h.close || werr != nil // half a request has been written: nothing can follow it
	return nil
}

// write sends the request with one system call as long as the socket takes it all. It
// returns the bytes taken.
func (x *exchange) write(cn *conn) (int64, error) {
	if len(x.req.Body) <= copyBody {
		n, err := cn.Write(x.out)
		return int64(n), err
	}
	x.vec = [2][]byte{x.out, x.req.Body}
	x.bufs = x.vec[:]
	return x.bufs.WriteTo(cn.Conn)
}

// finish lets go of what belongs to the caller and of memory that an unusual request
// needed.
func (x *exchange) finish() {
	// A pooled exchange must not keep a payload, a connection or a client alive.
	x.client, x.req, x.vec, x.bufs, x.in.src = nil, nil, [2][]byte{}, nil, nil
	if cap(x.out) > keepRequest {
		x.out = nil
	}
}

// writeError marks an error of writing.
type writeError struct{ error }

func (e *writeError) Unwrap() error { return e.error }

// causeOf names an error's cause; other is for what no rule knows. ended says that
// somebody ended the exchange, and decides before the error: what is interrupted fails
// in whatever way.
func causeOf(ended, err error, other Cause) Cause {
	var dial *egress.Error
	var op *net.OpError
	var writing *writeError
	switch {
	case errors.Is(ended, context.DeadlineExceeded):
		return Timeout
	case ended != nil:
		return Canceled
	case errors.As(err, &dial):
		return dialCause(dial.Kind)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Timeout
	case egress.FaultOf(err) != "":
		return Local
	case errors.Is(err, errMalformed):
		return Malformed
	case errors.Is(err, errHeaderTooLarge):
		return HeaderTooLarge
	case other == TLS, errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"):
		return TLS // those two operations are TLS alerts, which may also answer the first write
	case errors.As(err, &writing):
		return Write
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), egress.IsReset(err):
		return ClosedEarly
	}
	return other
}

// dialCause says in this package's words whose fault a failed dial was.
func dialCause(k egress.Kind) Cause {
	switch k {
	case egress.Forbidden:
		return ForbiddenAddress
	case egress.Resolve:
		return DNS
	case egress.Refused:
		return ConnectRefused
	case egress.Timeout:
		return Timeout
	case egress.Canceled:
		return Canceled
	case egress.Local:
		return Local
	}
	return Connect
}

// cutOf names what ended a body before its end.
func cutOf(err error) Cause {
	if errors.Is(err, errTooLong) {
		return TooLong
	}
	return causeOf(nil, err, Read)
}

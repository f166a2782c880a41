package posterntest

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Reply is what a Receiver does with one request. The zero value is an empty
// answer of status 200.
type Reply struct {
	// Status is the HTTP status; 0 is 200.
	Status int
	// Header is set in the answer: Location for a redirect, for instance.
	Header http.Header
	Body   string
	// RetryAfter is sent in whole seconds, unless it is 0.
	RetryAfter time.Duration
	// Hold is waited for before anything is answered, until the test's end at the
	// most: close it to let the answer go. Nil for none.
	Hold <-chan struct{}
	// Fault is what goes wrong; NoFault by default.
	Fault Fault
}

// Fault is how an answer goes wrong.
type Fault uint8

const (
	// NoFault answers as HTTP has it.
	NoFault Fault = iota
	// Reset breaks the connection in place of an answer.
	Reset
	// ResetMidHeader breaks it within the answer's header.
	ResetMidHeader
	// ResetMidBody breaks it behind the header and half of the body, which is made up
	// if the Reply has none. To the engine the status counts, as it arrived.
	ResetMidBody
	// Garbage answers with what is no HTTP.
	Garbage
	// Endless sends a body that never ends.
	Endless
)

// Redirect is an answer of status 302 that leads to an address. Engines do not
// follow.
func Redirect(to string) Reply {
	return Reply{Status: http.StatusFound, Header: http.Header{"Location": {to}}}
}

// write answers. What it writes to may be closed at any time, which ends it.
func (r Reply) write(w http.ResponseWriter) {
	switch r.Fault {
	case NoFault:
		r.head(w)
		_, _ = io.WriteString(w, r.Body)
	case Endless:
		r.head(w)
		endless(w, cmp.Or(r.Body, "and so on\n"))
	default:
		hijacked(w, r.broken())
	}
}

// head writes the header.
func (r Reply) head(w http.ResponseWriter) {
	maps.Copy(w.Header(), r.Header)
	if r.RetryAfter != 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64(r.RetryAfter/time.Second), 10))
	}
	w.WriteHeader(cmp.Or(r.Status, http.StatusOK))
}

// broken is what is sent before the connection breaks.
func (r Reply) broken() string {
	switch r.Fault {
	case ResetMidHeader:
		return "HTTP/1.1 200 OK\r\nContent-Le"
	case ResetMidBody:
		status, body := cmp.Or(r.Status, http.StatusOK), cmp.Or(r.Body, "half of a body")
		return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: %d\r\n\r\n%s", status, http.StatusText(status), len(body), body[:len(body)/2])
	case Garbage:
		return "\x16\x03\x01 this is no HTTP\r\n\r\n"
	}
	return ""
}

// endless writes until whoever reads has had enough.
func endless(w io.Writer, text string) {
	for {
		if _, err := io.WriteString(w, text); err != nil {
			return
		}
	}
}

// hijacked takes the connection from the server, sends a text and breaks it. What
// is not HTTP/1 has no connection to take, and aborts the answer.
func hijacked(w http.ResponseWriter, text string) {
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	sendAndReset(c, buffered.Writer, text)
}

// sendAndReset lets a socket tell the other end that it did not end in order.
func sendAndReset(c net.Conn, w *bufio.Writer, text string) {
	_, _ = w.WriteString(text) // Flush repeats the error, and it is of no interest
	_ = w.Flush()
	switch c := c.(type) {
	case *conn:
		_ = c.Reset()
	case *net.TCPConn:
		_ = c.SetLinger(0)
	}
	_ = c.Close()
}

package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

const (
	publishTimeout = 30 * time.Second
	// refusalPause is how long a publisher rests when the subject says that it is
	// full; refusalLimit is how often it will hear that for one message.
	refusalPause = time.Millisecond
	refusalLimit = 10_000
)

const (
	// repeatPause is how long a publisher rests before it repeats a message; repeatTime
	// is how long it goes on doing so.
	repeatPause = 20 * time.Millisecond
	repeatTime  = 2 * time.Minute
)

var errRefused = errors.New("publish refused")

// refusalError is an answer that no repetition of the same will change.
type refusalError struct {
	code int
	body string
}

func (e *refusalError) Error() string {
	return fmt.Sprintf("%v: status %d: %s", errRefused, e.code, e.body)
}

func (e *refusalError) Unwrap() error { return errRefused }

// target is where the load publishes.
type target struct {
	// Addr is host:port, or several of these with commas, in which publishers take turns;
	// one that does not listen, or answers 503, is left out.
	Addr     string `json:"addr"`
	Path     string `json:"path"`
	Token    string `json:"token,omitempty"`    // bearer; empty for the floor
	Envelope bool   `json:"envelope,omitempty"` // wrap the payload as the API wants it
	Channels int    `json:"channels,omitempty"` // name one of so many in each message, in turn
	Tag      string `json:"tag,omitempty"`      // of each message; empty: none
	Payload  int    `json:"payload,omitempty"`  // bytes; 0 means 1 KiB
	// Repeat gives each message an event id, and repeats what has an unknown outcome.
	Repeat bool `json:"repeat,omitempty"`
	// Renew has a publisher take the next address after so many messages; 0 means never.
	Renew int `json:"renew,omitempty"`
}

// publisher sends one message at a time over a connection of its own. It is used by
// one goroutine.
type publisher struct {
	target  target
	addrs   []string // of the target
	turn    int      // which of them is used, or will be
	used    int      // messages that were sent over conn
	message *message
	request []byte // headers and body, written in one call
	body    int    // offset of the body in request
	conn    net.Conn
	in      *bufio.Reader
	scratch struct{ line, body []byte }
	refused int64 // answers that said: not now
	repeats int64 // exchanges of unknown outcome that were made again
}

// newPublisher lays out the whole request once; only digits and text change from
// message to message. It dials at the first publish.
func newPublisher(to target, corpus []byte, seed uint64) *publisher {
	m := newMessage(to, corpus, seed)
	addrs := strings.Split(to.Addr, ",")
	turn := int(seed % uint64(len(addrs)))
	request := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\n", to.Path, addrs[turn])
	if to.Token != "" {
		request = fmt.Appendf(request, "Authorization: Bearer %s\r\n", to.Token)
	}
	request = fmt.Appendf(request, "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(m.body))
	at := len(request)
	request = append(request, m.body...)
	m.body = request[at:] // from here on the numbers are written into the request
	return &publisher{target: to, addrs: addrs, turn: turn, message: m, request: request, body: at}
}

// publish sends the message with this number and returns when it is acknowledged.
// A refusal (429 or 503) is tried again; after any other failure it is unknown
// whether the message was taken, and it is not repeated, unless its event id lets the
// subject recognise it.
func (p *publisher) publish(ctx context.Context, seq uint64, sentNs int64) error {
	p.message.set(seq, sentNs)
	if p.target.Repeat {
		return p.insist(ctx)
	}
	return p.once(ctx)
}

// insist publishes until the message is acknowledged. A conflict is an
// acknowledgement of one that went before.
func (p *publisher) insist(ctx context.Context) error {
	for deadline := time.Now().Add(repeatTime); ; p.repeats++ {
		err := p.once(ctx)
		var refusal *refusalError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &refusal) && refusal.code == 409:
			return nil
		case time.Now().After(deadline):
			return err
		}
		if err := pause(ctx, repeatPause); err != nil {
			return err
		}
	}
}

// once is one publish, with its refusals.
func (p *publisher) once(ctx context.Context) error {
	for range refusalLimit {
		code, err := p.exchange(ctx)
		switch {
		case err != nil:
			p.close()
			return fmt.Errorf("publish: %w", err)
		case code/100 == 2:
			return nil
		case code != 429 && code != 503:
			return &refusalError{code: code, body: fmt.Sprintf("%.200s", p.scratch.body)}
		}
		p.refused++
		if code == 503 && len(p.addrs) > 1 {
			p.next()
		}
		if err := pause(ctx, refusalPause); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: still full after %d tries", errRefused, refusalLimit)
}

// exchange writes the request and reads the answer into scratch.
func (p *publisher) exchange(ctx context.Context) (int, error) {
	if err := p.connect(ctx); err != nil {
		return 0, err
	}
	if err := p.conn.SetDeadline(time.Now().Add(publishTimeout)); err != nil {
		return 0, err
	}
	if _, err := p.conn.Write(p.request); err != nil {
		return 0, err
	}
	h, err := readHead(p.in, p.scratch.line)
	if err != nil {
		return 0, unexpected(err)
	}
	p.scratch.line = h.first
	code, err := statusCode(h.first)
	if err != nil {
		return 0, err
	}
	if h.length < 0 && !h.chunked && code != 204 {
		return 0, fmt.Errorf("%w: answer without a length", errMalformed)
	}
	if p.scratch.body, err = readBody(p.in, h, p.scratch.body); err != nil {
		return 0, err
	}
	if h.close {
		p.close()
	}
	return code, nil
}

// connect dials if there is no connection; the last one may have been closed by the
// peer, or given up after an error. Each address is tried once.
func (p *publisher) connect(ctx context.Context) error {
	if p.target.Renew > 0 && p.used >= p.target.Renew {
		p.next()
	}
	p.used++
	if p.conn != nil {
		return nil
	}
	dialer := net.Dialer{Timeout: publishTimeout}
	var err error
	for range p.addrs {
		var conn net.Conn
		if conn, err = dialer.DialContext(ctx, "tcp", p.addrs[p.turn]); err == nil {
			p.conn, p.in, p.used = conn, bufio.NewReaderSize(conn, wireBuffer), 1
			return nil
		}
		p.next()
	}
	return err
}

// next leaves the address for the one after it.
func (p *publisher) next() {
	p.close()
	p.turn, p.used = (p.turn+1)%len(p.addrs), 0
}

func (p *publisher) close() {
	if p.conn != nil {
		_ = p.conn.Close() // nothing is in flight, or it is lost already
		p.conn = nil
	}
}

// pause waits; it returns ctx's cause if that ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

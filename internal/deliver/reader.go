package deliver

import (
	"bytes"
	"io"
	"time"
)

const (
	readBuffer = 4 << 10  // bytes that hold nearly every whole answer
	maxHeader  = 32 << 10 // bytes of all headers of one answer together, interim ones included
)

// source is the reading half of a connection.
type source interface {
	io.Reader
	SetReadDeadline(time.Time) error
}

// reader is the look-ahead over one answer. It belongs to the exchange, not to the
// connection: a connection with bytes left over is never reused, so there is nothing to
// keep, and an idle connection costs no buffer.
type reader struct {
	src  source
	buf  []byte
	r, w int // buf[r:w] was read and not yet consumed

	first    time.Time     // when the first byte came; zero before that
	deadline time.Time     // of the whole exchange
	patience time.Duration // when set, the next read first shortens the deadline to so much from now, once
}

// reset makes the reader read a new answer. Memory that one long header line made it
// grow is given back.
func (r *reader) reset(src source, deadline time.Time) {
	buf := r.buf
	if len(buf) != readBuffer {
		buf = make([]byte, readBuffer)
	}
	*r = reader{src: src, buf: buf, deadline: deadline}
}

// buffered returns how many bytes were read and not consumed.
func (r *reader) buffered() int { return r.w - r.r }

// fill reads at least one more byte. What was returned by line and window is invalid
// afterwards.
func (r *reader) fill() error {
	switch {
	case r.r == r.w: // nothing to keep: start over, so that a body is read a buffer at a time
		r.r, r.w = 0, 0
	case r.w == len(r.buf) && r.r > 0:
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	case r.w == len(r.buf):
		// Only line asks for more than a full buffer, and its budget stops at
		// maxHeader.
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
	if r.patience > 0 {
		if end := time.Now().Add(r.patience); end.Before(r.deadline) {
			if err := r.src.SetReadDeadline(end); err != nil {
				return err
			}
		}
		r.patience = 0
	}
	n, err := r.src.Read(r.buf[r.w:])
	if n == 0 && err == nil {
		err = io.ErrNoProgress
	}
	if n == 0 {
		return err // with bytes the error is left for the next read, which meets it again
	}
	if r.first.IsZero() {
		r.first = time.Now()
	}
	r.w += n
	return nil
}

// line consumes one line and returns it without its end, CRLF or LF. Its length is
// taken from budget; a line that does not fit is errHeaderTooLarge.
func (r *reader) line(budget *int) ([]byte, error) {
	for scanned := 0; ; {
		if i := bytes.IndexByte(r.buf[r.r+scanned:r.w], '\n'); i >= 0 {
			n := scanned + i + 1
			if n > *budget {
				return nil, errHeaderTooLarge
			}
			line := r.buf[r.r : r.r+n-1]
			r.r += n
			*budget -= n
			if last := len(line) - 1; last >= 0 && line[last] == '\r' {
				line = line[:last]
			}
			return line, nil
		}
		scanned = r.buffered()
		if scanned >= *budget {
			return nil, errHeaderTooLarge
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// window consumes and returns between 1 and limit bytes, as many as one read brought.
func (r *reader) window(limit int64) ([]byte, error) {
	if r.buffered() == 0 {
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
	n := min(int64(r.buffered()), limit)
	b := r.buf[r.r : r.r+int(n)]
	r.r += int(n)
	return b, nil
}

package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// The load and the receiver speak just the HTTP/1.1 that they need, over bare
// connections: net/http on both sides would take a third of the two cores from the
// subject. Both read with bounds and refuse what they do not understand.

const (
	wireBuffer = 8 << 10 // bytes per connection; also the longest header line
	maxHeaders = 100     // header lines per message
	maxBody    = 1 << 20 // bytes of a body
	keyLength  = "content-length"
	keyClose   = "connection"
	keyCoding  = "transfer-encoding"
)

var errMalformed = errors.New("malformed HTTP message")

// head is what matters of a message's first line and headers. first points into
// the reader's buffer and holds until the next read.
type head struct {
	first   []byte // the request or status line, copied into the caller's scratch
	length  int    // Content-Length; -1 when absent
	chunked bool
	close   bool // the peer will close after this message
}

// readHead reads the first line and the headers. scratch is reused for the first
// line. io.EOF means that the peer closed between two messages.
func readHead(r *bufio.Reader, scratch []byte) (head, error) {
	line, err := readLine(r)
	if err != nil {
		return head{}, err
	}
	h := head{first: append(scratch[:0], line...), length: -1}
	for range maxHeaders {
		line, err := readLine(r)
		if err != nil {
			return head{}, unexpected(err)
		}
		if len(line) == 0 {
			return h, nil
		}
		if err := h.header(line); err != nil {
			return head{}, err
		}
	}
	return head{}, fmt.Errorf("%w: over %d header lines", errMalformed, maxHeaders)
}

// header notes what one line says. Everything that does not bear on where the
// message ends is skipped unread.
func (h *head) header(line []byte) error {
	key, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return fmt.Errorf("%w: header line without a colon", errMalformed)
	}
	value = bytes.TrimSpace(value)
	switch {
	case equalFold(key, keyLength):
		n, err := strconv.Atoi(string(value))
		if err != nil || n < 0 || n > maxBody {
			return fmt.Errorf("%w: content length", errMalformed)
		}
		h.length = n
	case equalFold(key, keyClose):
		h.close = h.close || equalFold(value, "close")
	case equalFold(key, keyCoding):
		h.chunked = equalFold(value, "chunked")
	}
	return nil
}

// readBody reads the body that h announces into buf, growing it as needed. One
// without a length counts as empty.
func readBody(r *bufio.Reader, h head, buf []byte) ([]byte, error) {
	if h.chunked {
		return readChunks(r, buf[:0])
	}
	n := max(h.length, 0)
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	_, err := io.ReadFull(r, buf)
	return buf, unexpected(err)
}

// readChunks reads a body whose length is not known beforehand. Go's server chooses
// this coding by itself for an answer that outgrows its buffer.
func readChunks(r *bufio.Reader, buf []byte) ([]byte, error) {
	for {
		line, err := readLine(r)
		if err != nil {
			return nil, unexpected(err)
		}
		digits, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(bytes.TrimSpace(digits)), 16, 31)
		if err != nil || len(buf)+int(n) > maxBody {
			return nil, fmt.Errorf("%w: chunk size", errMalformed)
		}
		if n == 0 {
			return buf, skipTrailers(r)
		}
		from := len(buf)
		buf = append(buf, make([]byte, n)...)
		if _, err := io.ReadFull(r, buf[from:]); err != nil {
			return nil, unexpected(err)
		}
		if line, err := readLine(r); err != nil || len(line) != 0 {
			return nil, fmt.Errorf("%w: chunk end", errMalformed)
		}
	}
}

// skipTrailers reads past the lines after the last chunk, which nobody needs.
func skipTrailers(r *bufio.Reader) error {
	for range maxHeaders {
		line, err := readLine(r)
		if err != nil {
			return unexpected(err)
		}
		if len(line) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: trailers", errMalformed)
}

// readLine returns one line without its end; it points into r's buffer.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) && len(line) > 0 {
			return nil, io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

// unexpected turns a clean end into a broken one: inside a message it is one.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// equalFold compares with an ASCII name of known case without allocating.
func equalFold(b []byte, name string) bool {
	return len(b) == len(name) && bytes.EqualFold(b, []byte(name))
}

// statusCode takes the code out of a status line.
func statusCode(line []byte) (int, error) {
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return 0, fmt.Errorf("%w: status line", errMalformed)
	}
	code, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, fmt.Errorf("%w: status code", errMalformed)
	}
	return code, nil
}

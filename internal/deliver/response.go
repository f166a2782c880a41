package deliver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

const (
	maxInterim     = 10              // 1xx answers before the final one
	maxKept        = 20_000          // bytes of the body that are kept
	maxBody        = 256 << 10       // bytes of the body that are read, framing included
	bodyPatience   = 2 * time.Second // for what follows the header
	maxChunkLine   = 1 << 10         // bytes of one chunk's size and extensions
	maxRetryAfter  = 128             // bytes
	maxContentType = 256             // bytes
)

var (
	errMalformed      = errors.New("malformed response")
	errHeaderTooLarge = fmt.Errorf("response header of more than %d bytes", maxHeader)
	errTooLong        = errors.New("response body too long")
)

// untilClose is the length of a body that ends with its connection.
const untilClose = -1

// head is what a final header says about the answer and its framing.
type head struct {
	status      int
	minor       byte  // of HTTP/1.minor
	length      int64 // of the body in bytes, or untilClose
	hasLength   bool
	chunked     bool
	close       bool // Connection: close
	keepAlive   bool // Connection: keep-alive
	retryAfter  string
	contentType string
}

// reusable reports whether the peer will answer another request after this answer, if
// the answer ends where it should.
func (h *head) reusable() bool {
	return h.status != 101 && !h.close && (h.minor == 1 || h.keepAlive) && (h.chunked || h.length != untilClose)
}

// readHead reads up to and including the final header, over interim answers. 101 counts
// as final: whatever follows is another protocol.
func (r *reader) readHead(h *head) error {
	budget := maxHeader
	for range maxInterim + 1 {
		if err := r.readOneHead(h, &budget); err != nil {
			return err
		}
		if h.status >= 200 || h.status == 101 {
			return h.frame()
		}
	}
	return fmt.Errorf("%w: more than %d interim responses", errMalformed, maxInterim)
}

// readOneHead reads one header, interim or final. The content type that h brought along
// from the answer before is kept as a string to be used again, as receivers send the
// same one each time; it never shows in an answer that has none.
func (r *reader) readOneHead(h *head, budget *int) error {
	*h = head{length: untilClose, contentType: h.contentType}
	line, err := r.line(budget)
	if err != nil {
		return err
	}
	if err := h.parseStatus(line); err != nil {
		return err
	}
	typed := false
	for {
		if line, err = r.line(budget); err != nil {
			return err
		}
		if len(line) == 0 {
			break
		}
		isType, err := h.parseField(line)
		if err != nil {
			return err
		}
		typed = typed || isType
	}
	if !typed {
		h.contentType = ""
	}
	return nil
}

// parseStatus takes "HTTP/1.1 200 OK"; the reason may be missing, with or without its
// space.
func (h *head) parseStatus(b []byte) error {
	const example = "HTTP/1.1 200"
	if len(b) < len(example) || string(b[:7]) != "HTTP/1." || b[7] != '0' && b[7] != '1' || b[8] != ' ' ||
		len(b) > len(example) && b[len(example)] != ' ' {
		return fmt.Errorf("%w: no HTTP/1.x status line", errMalformed)
	}
	for _, c := range b[9:12] {
		if c < '0' || c > '9' {
			return fmt.Errorf("%w: no status code", errMalformed)
		}
		h.status = h.status*10 + int(c-'0')
	}
	if h.status < 100 || !isFieldValue(b[12:]) {
		return fmt.Errorf("%w: no valid status line", errMalformed)
	}
	h.minor = b[7] - '0'
	return nil
}

// parseField takes one header line and says whether it was Content-Type. A line that
// starts with a space would continue the one before it, a form that peers read
// differently; it fails as a name.
func (h *head) parseField(line []byte) (isType bool, err error) {
	colon := bytes.IndexByte(line, ':')
	if colon < 0 || !isToken(line[:colon]) {
		return false, fmt.Errorf("%w: invalid header name", errMalformed)
	}
	// The length decides first: most lines of a header are none of these and cost one
	// comparison.
	name, value := line[:colon], bytes.Trim(line[colon+1:], " \t")
	if !isFieldValue(value) {
		return false, fmt.Errorf("%w: control character in a header", errMalformed)
	}
	switch len(name) {
	case len("Connection"):
		if equalFold(name, "connection") {
			h.parseConnection(value)
		}
	case len("Retry-After"):
		if equalFold(name, "retry-after") && len(value) <= maxRetryAfter {
			h.retryAfter = string(value)
		}
	case len("Content-Type"):
		if equalFold(name, "content-type") && len(value) <= maxContentType {
			if string(value) != h.contentType { // the last answer's, mostly the same
				h.contentType = string(value)
			}
			return true, nil
		}
	case len("Content-Length"):
		if equalFold(name, "content-length") {
			return false, h.parseLength(value)
		}
	case len("Transfer-Encoding"):
		if equalFold(name, "transfer-encoding") {
			if h.chunked || !equalFold(value, "chunked") {
				return false, fmt.Errorf("%w: unknown transfer encoding", errMalformed)
			}
			h.chunked = true
		}
	}
	return false, nil
}

// parseConnection takes a list of options, of which two matter.
func (h *head) parseConnection(value []byte) {
	for option := range bytes.SplitSeq(value, []byte{','}) {
		option = bytes.Trim(option, " \t")
		h.close = h.close || equalFold(option, "close")
		h.keepAlive = h.keepAlive || equalFold(option, "keep-alive")
	}
}

// parseLength takes decimal digits and nothing else; said twice, it must be the same.
func (h *head) parseLength(value []byte) error {
	var n int64
	for _, c := range value {
		if c < '0' || c > '9' || len(value) > 18 { // 18 digits fit
			return fmt.Errorf("%w: invalid Content-Length", errMalformed)
		}
		n = n*10 + int64(c-'0')
	}
	if len(value) == 0 || h.hasLength && h.length != n {
		return fmt.Errorf("%w: conflicting or empty Content-Length", errMalformed)
	}
	h.length, h.hasLength = n, true
	return nil
}

// frame refuses headers that two readers could frame differently, and gives answers
// that never have a body none.
func (h *head) frame() error {
	// With both, or with chunks in a version that has none, intermediaries disagree
	// about where the answer ends.
	if h.chunked && (h.hasLength || h.minor == 0) {
		return fmt.Errorf("%w: conflicting framing", errMalformed)
	}
	if h.status == 101 || h.status == 204 || h.status == 304 {
		h.chunked, h.length = false, 0
	}
	return nil
}

// readBody appends the kept part of the body to dst and reads the rest as far as it is
// read at all. A nil error means that the body ended where its framing said.
func (r *reader) readBody(h *head, dst []byte) ([]byte, error) {
	r.patience = bodyPatience
	if h.chunked {
		return r.readChunked(dst)
	}
	if h.length == 0 {
		return dst, nil
	}
	budget := int64(maxBody)
	switch {
	case h.length > maxBody:
		budget = maxKept // the rest could not be read to its end anyway
	case h.length != untilClose:
		budget = h.length
	}
	dst, err := r.take(dst, budget)
	switch {
	case h.length == untilClose && errors.Is(err, io.EOF):
		return dst, nil
	case err == nil && budget != h.length:
		return dst, errTooLong
	}
	return dst, err
}

// take consumes n bytes and appends to dst what may be kept of them.
func (r *reader) take(dst []byte, n int64) ([]byte, error) {
	for n > 0 {
		b, err := r.window(n)
		if err != nil {
			return dst, err
		}
		n -= int64(len(b))
		dst = append(dst, b[:min(len(b), maxKept-len(dst))]...)
	}
	return dst, nil
}

// readChunked reads a chunked body and drops its trailer.
func (r *reader) readChunked(dst []byte) ([]byte, error) {
	budget := maxBody
	for {
		size, err := r.chunkSize(&budget)
		if err != nil || size == 0 {
			if err == nil {
				err = r.skipTrailer()
			}
			return dst, err
		}
		// A chunk may announce any size; no more than the budget of it is ever read.
		dst, err = r.take(dst, min(size, int64(budget)))
		if budget -= int(min(size, int64(budget))); err == nil && budget == 0 {
			err = errTooLong
		}
		if err != nil {
			return dst, err
		}
		end, err := r.line(&budget)
		if err != nil {
			return dst, chunkError(err)
		}
		if len(end) > 0 {
			return dst, fmt.Errorf("%w: chunk longer than its size", errMalformed)
		}
	}
}

// chunkSize reads the line in front of a chunk.
func (r *reader) chunkSize(budget *int) (int64, error) {
	allowed := min(*budget, maxChunkLine)
	before := allowed
	line, err := r.line(&allowed)
	*budget -= before - allowed
	if err != nil {
		return 0, chunkError(err)
	}
	digits, _, _ := bytes.Cut(line, []byte{';'})
	digits = bytes.TrimRight(digits, " \t")
	// For base 16 that takes digits alone: no sign, no prefix, no underscore.
	size, err := strconv.ParseUint(string(digits), 16, 62)
	if err != nil {
		return 0, fmt.Errorf("%w: invalid chunk size", errMalformed)
	}
	return int64(size), nil
}

// skipTrailer drops what follows the last chunk, up to the empty line.
func (r *reader) skipTrailer() error {
	budget := maxHeader
	for {
		line, err := r.line(&budget)
		if err != nil {
			return chunkError(err)
		}
		if len(line) == 0 {
			return nil
		}
		if colon := bytes.IndexByte(line, ':'); colon < 0 || !isToken(line[:colon]) {
			return fmt.Errorf("%w: invalid trailer", errMalformed)
		}
	}
}

// chunkError names a line that does not fit into the body's budget for what it is: a
// body that is too long.
func chunkError(err error) error {
	if errors.Is(err, errHeaderTooLarge) {
		return errTooLong
	}
	return err
}

// equalFold compares with a lower-case ASCII name.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// isToken reports whether b may be a header's name.
func isToken(b []byte) bool {
	for _, c := range b {
		alphanumeric := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if !alphanumeric && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) < 0 {
			return false
		}
	}
	return len(b) > 0
}

// isFieldValue reports whether b is free of control characters other than the tab.
func isFieldValue[T ~[]byte | ~string](b T) bool {
	for i := range len(b) {
		if c := b[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

package deliver

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/postern-dev/postern/internal/egress"
)

// Target is where an endpoint listens: its URL in the form that sending needs. It is
// immutable and may be shared; make it once per version of an endpoint.
type Target struct {
	key  poolKey
	head string // request line and Host header
}

// poolKey says which connections may carry a target's requests. The scheme and the name
// that TLS verifies are part of it, so that no request leaves over a connection that
// was verified for another name.
type poolKey struct {
	host string // also the TLS identity
	port uint16
	tls  bool
}

// ParseTarget takes an endpoint's URL, byte for byte. Its error wraps
// [egress.ErrInvalidURL].
func ParseTarget(rawURL string) (*Target, error) {
	u, err := egress.ParseURL(rawURL)
	if err != nil {
		return nil, err
	}
	return &Target{
		key:  poolKey{host: u.Host, port: u.Port, tls: u.TLS},
		head: "POST " + u.Target + " HTTP/1.1\r\nHost: " + u.Header + "\r\n",
	}, nil
}

// Header is a request header that was checked when it was made. The zero Header sends
// nothing.
type Header struct{ line string }

// ErrInvalidHeader is wrapped by the errors of [NewHeader].
var ErrInvalidHeader = errors.New("invalid header")

// NewHeader returns a header that is sent with its name in exactly this case. It
// refuses names that are not tokens, values with control characters (so that no value
// can start a line of its own), and the names that the client writes itself or that
// would change how the message is framed.
func NewHeader(name, value string) (Header, error) {
	if !isToken([]byte(name)) || len(name) > 256 {
		return Header{}, fmt.Errorf("%w: the name must be a token of at most 256 characters", ErrInvalidHeader)
	}
	if isOwn(name) {
		return Header{}, fmt.Errorf("%w: %s is set by Postern", ErrInvalidHeader, name)
	}
	if !isFieldValue(value) {
		return Header{}, fmt.Errorf("%w: the value of %s has control characters", ErrInvalidHeader, name)
	}
	return Header{line: name + ": " + strings.Trim(value, " \t") + "\r\n"}, nil
}

// isOwn reports whether only the client may send a header of this name.
func isOwn(name string) bool {
	switch strings.ToLower(name) {
	case "host", "content-length", "content-type", "user-agent", "transfer-encoding", "connection", "keep-alive", "upgrade",
		"te", "trailer", "expect", "proxy-connection",
		"webhook-id", "webhook-timestamp", "webhook-signature", "svix-id", "svix-timestamp", "svix-signature":
		return true
	}
	return false
}

// appendHead appends the request up to and including the empty line.
func (r *Request) appendHead(b []byte, agent string) []byte {
	b = append(append(b, r.Target.head...), agent...)
	if r.ContentType != "" {
		b = appendLine(b, "Content-Type: ", r.ContentType)
	}
	b = strconv.AppendInt(append(b, "Content-Length: "...), int64(len(r.Body)), 10)
	b = append(b, "\r\n"...)
	b = appendLine(b, "webhook-id: ", r.ID)
	// What the svix- names repeat is copied from where it was first written: signing
	// twice would cost more than all the rest.
	b = append(b, "webhook-timestamp: "...)
	stamp := len(b)
	b = strconv.AppendInt(b, r.Timestamp, 10)
	b = append(b, "\r\n"...)
	stampEnd := len(b)
	var signature, signatureEnd int
	if r.Signer != nil {
		b = append(b, "webhook-signature: "...)
		signature = len(b)
		b = r.Signer.AppendSignatures(b, r.ID, r.Timestamp, r.Body)
		b = append(b, "\r\n"...)
		signatureEnd = len(b)
	}
	if r.SvixNames {
		b = appendLine(b, "svix-id: ", r.ID)
		b = append(append(b, "svix-timestamp: "...), b[stamp:stampEnd]...)
		if r.Signer != nil {
			b = append(append(b, "svix-signature: "...), b[signature:signatureEnd]...)
		}
	}
	for _, h := range r.Headers {
		b = append(b, h.line...)
	}
	for _, h := range r.Extra {
		b = append(b, h.line...)
	}
	return append(b, "\r\n"...)
}

// appendLine appends a header line. The value has been checked.
func appendLine(b []byte, name, value string) []byte {
	return append(append(append(b, name...), value...), "\r\n"...)
}

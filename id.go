package postern

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// IDOf is one identifier: 160 bits that sort by time, written as the prefix of
// its kind and 27 base62 characters. The zero value means "none".
//
// The first 48 bits are Unix milliseconds. A message's id goes on with 16 bits
// of journal and 48 bits of position, so that the id alone tells where the
// message lies; the rest is random. Other ids are random after the time.
type IDOf[K idKind] [20]byte

// The identifiers of the nouns. Each kind is a type of its own, so that one
// cannot be passed where another is meant.
type (
	// ApplicationID names an application: "app_...".
	ApplicationID = IDOf[applicationKind]
	// MessageID names a message: "msg_...".
	MessageID = IDOf[messageKind]
	// SourceID names a source: "src_...".
	SourceID = IDOf[sourceKind]
	// EndpointID names an endpoint: "ep_...".
	EndpointID = IDOf[endpointKind]
	// AttemptID names an attempt: "atmpt_...".
	AttemptID = IDOf[attemptKind]
	// RefusalID names a refusal: "rfs_...".
	RefusalID = IDOf[refusalKind]
	// KeyID names an API key: "key_...".
	KeyID = IDOf[keyKind]
	// ReplayID names a replay: "rpl_...".
	ReplayID = IDOf[replayKind]
	// LeaseID names a lease: "lse_...".
	LeaseID = IDOf[leaseKind]
	// BackgroundTaskID names a replay where Svix's shapes speak of it, by the
	// same bits: "qtask_...".
	BackgroundTaskID = IDOf[backgroundTaskKind]
)

// idKind gives an identifier its prefix.
type idKind interface{ prefix() string }

type (
	applicationKind    struct{}
	messageKind        struct{}
	sourceKind         struct{}
	endpointKind       struct{}
	attemptKind        struct{}
	refusalKind        struct{}
	keyKind            struct{}
	replayKind         struct{}
	leaseKind          struct{}
	backgroundTaskKind struct{}
)

func (applicationKind) prefix() string    { return "app_" }
func (messageKind) prefix() string        { return "msg_" }
func (sourceKind) prefix() string         { return "src_" }
func (endpointKind) prefix() string       { return "ep_" }
func (attemptKind) prefix() string        { return "atmpt_" }
func (refusalKind) prefix() string        { return "rfs_" }
func (keyKind) prefix() string            { return "key_" }
func (replayKind) prefix() string         { return "rpl_" }
func (leaseKind) prefix() string          { return "lse_" }
func (backgroundTaskKind) prefix() string { return "qtask_" }

const (
	idChars = 27
	// MaxPosition is the largest position a message id can carry.
	MaxPosition = 1<<48 - 1
)

// NewMessageID composes a message's id. Only a journal's committer makes one:
// it keeps at non-decreasing and position increasing, which makes id order the
// commit order.
func NewMessageID(at time.Time, journal uint16, position uint64, random uint64) MessageID {
	var id MessageID
	putUint48(id[0:6], uint64(at.UnixMilli()))
	binary.BigEndian.PutUint16(id[6:8], journal)
	putUint48(id[8:14], position)
	putUint48(id[14:20], random)
	return id
}

// NewAttemptID composes an attempt's id: ids of attempts sort in the order in
// which they were stored, by the batch and the place in it. The endpoint's
// number makes them readable, not unique.
func NewAttemptID(at time.Time, journal uint16, batch uint64, index int, endpoint EndpointNumber) AttemptID {
	return AttemptID(NewMessageID(at, journal, batch, uint64(index&0xffff)<<32|uint64(endpoint)))
}

// NewLeaseID has random bits name a lease of the node that accepts with a journal,
// so that whoever is told of the lease knows whom to ask.
func NewLeaseID(journal uint16, random [20]byte) LeaseID {
	binary.BigEndian.PutUint16(random[6:8], journal)
	return random
}

// Prefix is the text that ids of this kind begin with, such as "msg_".
func (id IDOf[K]) Prefix() string {
	var k K
	return k.prefix()
}

// IsZero reports whether id is the zero value, which names nothing.
func (id IDOf[K]) IsZero() bool { return id == IDOf[K]{} }

// Time is the moment in the id, to the millisecond, in UTC.
func (id IDOf[K]) Time() time.Time {
	return time.UnixMilli(int64(uint48(id[0:6]))).UTC()
}

// Journal is the journal of a message's id, or of one that NewLeaseID made;
// meaningless for others.
func (id IDOf[K]) Journal() uint16 { return binary.BigEndian.Uint16(id[6:8]) }

// Position is the journal position of a message's id; meaningless for other
// kinds.
func (id IDOf[K]) Position() uint64 { return uint48(id[8:14]) }

// Compare orders ids by time and, within a journal, by position.
func (id IDOf[K]) Compare(other IDOf[K]) int {
	return bytes.Compare(id[:], other[:])
}

// String is the prefix and 27 base62 characters; "" for the zero value.
func (id IDOf[K]) String() string {
	var buf [8 + idChars]byte
	return string(id.AppendTo(buf[:0]))
}

// AppendTo appends what String returns, without allocating.
func (id IDOf[K]) AppendTo(dst []byte) []byte {
	if id.IsZero() {
		return dst
	}
	dst = append(dst, id.Prefix()...)
	return appendBase62(dst, id)
}

// MarshalText implements encoding.TextMarshaler with String's form.
func (id IDOf[K]) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; "" is the zero value.
func (id *IDOf[K]) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*id = IDOf[K]{}
		return nil
	}
	parsed, err := parseID[K](string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// ParseApplicationID reads what ApplicationID.String writes. Like the other
// parsers it fails with an error of kind Invalid.
func ParseApplicationID(s string) (ApplicationID, error) { return parseID[applicationKind](s) }

// ParseMessageID reads what MessageID.String writes.
func ParseMessageID(s string) (MessageID, error) { return parseID[messageKind](s) }

// ParseSourceID reads what SourceID.String writes.
func ParseSourceID(s string) (SourceID, error) { return parseID[sourceKind](s) }

// ParseEndpointID reads what EndpointID.String writes.
func ParseEndpointID(s string) (EndpointID, error) { return parseID[endpointKind](s) }

// ParseAttemptID reads what AttemptID.String writes.
func ParseAttemptID(s string) (AttemptID, error) { return parseID[attemptKind](s) }

// ParseRefusalID reads what RefusalID.String writes.
func ParseRefusalID(s string) (RefusalID, error) { return parseID[refusalKind](s) }

// ParseKeyID reads what KeyID.String writes.
func ParseKeyID(s string) (KeyID, error) { return parseID[keyKind](s) }

// ParseReplayID reads what ReplayID.String writes.
func ParseReplayID(s string) (ReplayID, error) { return parseID[replayKind](s) }

// ParseLeaseID reads what LeaseID.String writes.
func ParseLeaseID(s string) (LeaseID, error) { return parseID[leaseKind](s) }

// ParseBackgroundTaskID reads what BackgroundTaskID.String writes.
func ParseBackgroundTaskID(s string) (BackgroundTaskID, error) {
	return parseID[backgroundTaskKind](s)
}

// IDSource makes ids that are no messages': time, then 112 random bits. It is
// safe for concurrent use, and its ids increase even within a millisecond.
type IDSource struct {
	// Now gives the time of an id; Random its random bits. Both are required.
	Now    func() time.Time
	Random io.Reader

	mu   sync.Mutex
	last [20]byte
}

// Next returns a new id as bare bits, to be converted to the kind it is for.
// It fails only if Random does.
func (s *IDSource) Next() ([20]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var id [20]byte
	if _, err := io.ReadFull(s.Random, id[6:]); err != nil {
		return id, fmt.Errorf("postern: random bits of an id: %w", err)
	}
	putUint48(id[0:6], uint64(s.Now().UnixMilli()))
	if string(id[:]) <= string(s.last[:]) {
		id = s.last
		increment(&id)
	}
	s.last = id
	return id, nil
}

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// appendBase62 writes 160 bits as 27 digits, most significant first: 31 bits
// of quotient and remainder fit a division by 62^5 over 32-bit words.
func appendBase62(dst []byte, id [20]byte) []byte {
	const chunk = 62 * 62 * 62 * 62 * 62
	var words [5]uint32
	for i := range words {
		words[i] = binary.BigEndian.Uint32(id[4*i:])
	}
	var digits [idChars]byte
	for end := idChars; end > 0; end -= 5 {
		var rest uint64
		for i, w := range words {
			v := rest<<32 | uint64(w)
			words[i], rest = uint32(v/chunk), v%chunk
		}
		for i := end - 1; i >= max(end-5, 0); i-- {
			digits[i] = base62[rest%62]
			rest /= 62
		}
	}
	return append(dst, digits[:]...)
}

func parseID[K idKind](s string) (IDOf[K], error) {
	var id IDOf[K]
	rest, ok := strings.CutPrefix(s, id.Prefix())
	if !ok || len(rest) != idChars {
		return id, invalidID(id.Prefix(), s)
	}
	var words [5]uint32
	for i := range len(rest) {
		carry := uint64(base62Digit(rest[i]))
		if carry > 61 {
			return id, invalidID(id.Prefix(), s)
		}
		for w := len(words) - 1; w >= 0; w-- {
			v := uint64(words[w])*62 + carry
			words[w], carry = uint32(v), v>>32
		}
		if carry != 0 { // beyond 160 bits
			return id, invalidID(id.Prefix(), s)
		}
	}
	for i, w := range words {
		binary.BigEndian.PutUint32(id[4*i:], w)
	}
	if id.IsZero() { // it would be taken for "none"
		return id, invalidID(id.Prefix(), s)
	}
	return id, nil
}

func invalidID(prefix, s string) error {
	return &Error{Kind: Invalid, Detail: fmt.Sprintf("%q is not an id: want %q and %d letters and digits", shortened(s), prefix, idChars)}
}

func base62Digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'A' && c <= 'Z':
		return c - 'A' + 10
	case c >= 'a' && c <= 'z':
		return c - 'a' + 36
	}
	return 255
}

func increment(id *[20]byte) {
	for i := len(id) - 1; i >= 0; i-- {
		id[i]++
		if id[i] != 0 {
			return
		}
	}
}

func putUint48(b []byte, v uint64) {
	b[0], b[1], b[2] = byte(v>>40), byte(v>>32), byte(v>>24)
	b[3], b[4], b[5] = byte(v>>16), byte(v>>8), byte(v)
}

func uint48(b []byte) uint64 {
	return uint64(b[0])<<40 | uint64(b[1])<<32 | uint64(b[2])<<24 |
		uint64(b[3])<<16 | uint64(b[4])<<8 | uint64(b[5])
}

package sign

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultTolerance is how far a timestamp may lie from the receiver's clock,
	// in either direction.
	DefaultTolerance = 5 * time.Minute
	// MaxSignatures bounds the signatures of one header that are compared.
	// What follows them is ignored.
	MaxSignatures = 16
)

// Why Verify refuses. They are for the receiver's log: answer the sender of a
// refused request with one and the same response, whatever the reason.
var (
	ErrHeaderMissing      = errors.New("sign: header is missing")
	ErrHeaderDuplicate    = errors.New("sign: header is repeated")
	ErrTimestampMalformed = errors.New("sign: timestamp is not a number of seconds")
	ErrTooOld             = errors.New("sign: timestamp is too old")
	ErrTooNew             = errors.New("sign: timestamp is too far in the future")
	ErrNoMatch            = errors.New("sign: no signature matches")
)

// Verifier checks the signatures of received messages. The zero value refuses
// everything with ErrKeyEmpty. It is safe for concurrent use while unchanged.
type Verifier struct {
	// Keys are those that may have signed; any match is enough. Private keys
	// are used through their public half.
	Keys []Key
	// Tolerance is the allowed distance of the timestamp from now, both ways.
	// Zero is DefaultTolerance.
	Tolerance time.Duration
}

// Verify checks body against its webhook-id, webhook-timestamp and
// webhook-signature headers, or the svix- ones when there is no
// webhook-signature. now is the receiver's clock at receipt. Header names must
// be in canonical form, as net/http delivers them. Signatures of unknown
// versions are ignored.
func (v Verifier) Verify(header http.Header, body []byte, now time.Time) error {
	family := "Webhook-"
	if len(header.Values("Webhook-Signature")) == 0 {
		family = "Svix-"
	}
	id, err := single(header, family+"Id")
	if err != nil {
		return err
	}
	timestamp, err := single(header, family+"Timestamp")
	if err != nil {
		return err
	}
	signatures, err := single(header, family+"Signature")
	if err != nil {
		return err
	}
	seconds, err := parseTimestamp(timestamp)
	if err != nil {
		return err
	}
	if err := v.match(signatures, appendHead(nil, id, seconds), body); err != nil {
		return err
	}
	// The window comes after the signature, so that its errors speak of a clock
	// or a replay and never of a forgery.
	return v.checkWindow(now, time.Unix(seconds, 0))
}

func (v Verifier) match(signatures string, head, body []byte) error {
	if len(v.Keys) == 0 {
		return ErrKeyEmpty
	}
	symmetric, asymmetric := decodeSignatures(signatures)
	for i, key := range v.Keys {
		switch key.Kind() {
		case Symmetric:
			mac := hmac.New(sha256.New, key.material().secret)
			expected := sum(mac, nil, head, body)
			for _, s := range symmetric {
				if hmac.Equal(s, expected) {
					return nil
				}
			}
		case Private, Public:
			text := append(head[:len(head):len(head)], body...)
			for _, s := range asymmetric {
				if ed25519.Verify(key.material().public, text, s) {
					return nil
				}
			}
		default:
			return fmt.Errorf("key %d: %w", i, ErrKeyEmpty)
		}
	}
	return ErrNoMatch
}

func (v Verifier) checkWindow(now, signed time.Time) error {
	tolerance := v.Tolerance
	if tolerance == 0 {
		tolerance = DefaultTolerance
	}
	switch age := now.Sub(signed); {
	case age > tolerance:
		return ErrTooOld
	case age < -tolerance:
		return ErrTooNew
	}
	return nil
}

// decodeSignatures sorts the elements of a signature header by version. What
// has another version, another encoding or another length than a signature of
// its version can match nothing and is dropped.
func decodeSignatures(header string) (symmetric, asymmetric [][]byte) {
	for element := range strings.SplitSeq(header, " ") {
		if len(symmetric)+len(asymmetric) == MaxSignatures {
			break
		}
		version, encoded, _ := strings.Cut(element, ",")
		raw, err := decodeBase64(encoded)
		if err != nil {
			continue
		}
		switch {
		case version == "v1" && len(raw) == sha256.Size:
			symmetric = append(symmetric, raw)
		case version == "v1a" && len(raw) == ed25519.SignatureSize:
			asymmetric = append(asymmetric, raw)
		}
	}
	return symmetric, asymmetric
}

// single returns the only value of a header. Repeats are refused even when
// equal: which one counts differs from one proxy or server to the next.
func single(header http.Header, name string) (string, error) {
	values := header.Values(name)
	switch {
	case len(values) > 1:
		return "", fmt.Errorf("%w: %s", ErrHeaderDuplicate, strings.ToLower(name))
	case len(values) == 0 || values[0] == "":
		return "", fmt.Errorf("%w: %s", ErrHeaderMissing, strings.ToLower(name))
	}
	return values[0], nil
}

// parseTimestamp takes digits alone and no leading zero, so that the number
// formats back to the text that was signed.
func parseTimestamp(text string) (int64, error) {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 || strconv.FormatInt(seconds, 10) != text {
		return 0, ErrTimestampMalformed
	}
	return seconds, nil
}

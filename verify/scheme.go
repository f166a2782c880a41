package verify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxSignatures bounds the signatures of one header that are compared. What
// follows them is ignored.
const MaxSignatures = 16

// maxUnix is the last second of the year 9999, the last that prints.
const maxUnix = 253402300799

// scheme is a Scheme with settings and secrets filled in and every text
// resolved, so that a request costs no parsing but its own.
type scheme struct {
	kind      Kind
	newHash   func() hash.Hash // for KindHMAC
	size      int              // of a signature, in bytes
	key       KeyForm
	keySize   int // of a key, in bytes; 0 is any
	keys      [][]byte
	signature Signature
	timestamp Timestamp
	tolerance time.Duration
	id        string // header of {id}
	text      string // the template as written, for details
	template  []part
}

// proof is what a scheme that accepts a request vouches for.
type proof struct {
	id       string
	signedAt time.Time
}

// check decides about one request. The window is looked at last, so that an
// outside_window always means a right signature.
func (s *scheme) check(req Request, now time.Time) (proof, *Error) {
	if s.kind == KindNone {
		return proof{}, nil
	}
	if len(s.keys) == 0 || slices.ContainsFunc(s.keys, func(k []byte) bool { return len(k) == 0 }) {
		return proof{}, &Error{ReasonSecretMissing, "no secret is configured, or an empty one"}
	}
	header, err := req.required(s.signature.Header, ReasonSignatureMissing)
	if err != nil {
		return proof{}, err
	}
	in, signedAt, err := s.read(req)
	if err != nil {
		return proof{}, err
	}
	pieces, err := in.pieces(s.template)
	if err != nil {
		return proof{}, err
	}
	signatures, err := s.signatures(header)
	if err != nil {
		return proof{}, err
	}
	if !s.matches(signatures, pieces) {
		return proof{}, &Error{ReasonSignatureMismatch, fmt.Sprintf(
			"no signature in %s is right for %s under any configured secret (%d): another secret, or changed on the way",
			s.signature.Header, s.text, len(s.keys))}
	}
	if s.timestamp.Header != "" {
		err = s.window(now.Sub(signedAt))
	}
	return proof{id: in.id, signedAt: signedAt}, err
}

// window looks both ways: a request dated into the future could be replayed
// until that time has come.
func (s *scheme) window(age time.Duration) *Error {
	direction := "past"
	if age < 0 {
		direction = "future"
	}
	// Abs, because the smallest Duration negated is itself.
	if age = age.Abs(); age <= s.tolerance {
		return nil
	}
	return &Error{ReasonTimestampOutsideWindow, fmt.Sprintf("%s is %.0f s in the %s; allowed are %.0f s",
		s.timestamp.Header, age.Seconds(), direction, s.tolerance.Seconds())}
}

// read takes id and timestamp from the headers that the scheme names.
func (s *scheme) read(req Request) (in signed, signedAt time.Time, err *Error) {
	in.req = req
	if s.id != "" {
		if in.id, err = req.required(s.id, ReasonHeaderMissing); err != nil {
			return in, signedAt, err
		}
	}
	if s.timestamp.Header != "" {
		if in.timestamp, err = req.required(s.timestamp.Header, ReasonTimestampMissing); err != nil {
			return in, signedAt, err
		}
		if signedAt, err = s.timestamp.parse(in.timestamp); err != nil {
			return in, signedAt, err
		}
	}
	return in, signedAt, nil
}

// signatures decodes what of the header has the prefix, the encoding and the
// length of a signature.
func (s *scheme) signatures(header string) ([][]byte, *Error) {
	elements := []string{header}
	if s.signature.Separator != "" {
		elements = strings.Split(header, s.signature.Separator)
	}
	var found [][]byte
	for _, element := range elements {
		if s.signature.Separator != "" {
			element = strings.TrimSpace(element)
		}
		text, ok := strings.CutPrefix(element, s.signature.Prefix)
		if !ok {
			continue
		}
		raw, err := decodeSignature(s.signature.Encoding, text)
		if err != nil || len(raw) != s.size {
			continue
		}
		if found = append(found, raw); len(found) == MaxSignatures {
			break
		}
	}
	if len(found) == 0 {
		return nil, &Error{ReasonSignatureMalformed, fmt.Sprintf(
			"nothing in %s is %d bytes in %s after the prefix %q",
			s.signature.Header, s.size, s.signature.Encoding, s.signature.Prefix)}
	}
	return found, nil
}

// matches tries every key on every signature. How long it takes tells which key
// is in use, if anything, and nothing about a digest.
func (s *scheme) matches(signatures, pieces [][]byte) bool {
	if s.kind == KindEd25519 {
		text := bytes.Join(pieces, nil)
		for _, key := range s.keys {
			if slices.ContainsFunc(signatures, func(sig []byte) bool { return ed25519.Verify(key, text, sig) }) {
				return true
			}
		}
		return false
	}
	for _, key := range s.keys {
		mac := hmac.New(s.newHash, key)
		for _, p := range pieces {
			mac.Write(p)
		}
		expected := mac.Sum(nil)
		if slices.ContainsFunc(signatures, func(sig []byte) bool { return hmac.Equal(sig, expected) }) {
			return true
		}
	}
	return false
}

// parse is strict: what is signed is the text, so a number must be written in
// the one way in which it formats.
func (t Timestamp) parse(text string) (time.Time, *Error) {
	malformed := &Error{ReasonTimestampMalformed, fmt.Sprintf("%s is not a time in %s", t.Header, t.Unit)}
	if t.Unit == "rfc3339" {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return time.Time{}, malformed
		}
		return at.UTC(), nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != text {
		return time.Time{}, malformed
	}
	at := time.Unix(n, 0)
	if t.Unit == "ms" {
		at = time.UnixMilli(n)
	}
	if at.Unix() < 0 || at.Unix() > maxUnix {
		return time.Time{}, malformed
	}
	return at.UTC(), nil
}

// decodeSignature is strict where the standard library is not: base64 there
// skips line breaks.
func decodeSignature(encoding, text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, base64.CorruptInputError(0)
	}
	switch encoding {
	case "hex":
		return hex.DecodeString(text)
	case "base64url":
		return base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(text, "="))
	default:
		return base64.StdEncoding.Strict().DecodeString(text)
	}
}

// hashNamed finds the function that a definition names and its size in bytes.
func hashNamed(name string) (newHash func() hash.Hash, size int, ok bool) {
	switch name {
	case "sha1": // some providers sign with nothing newer, and HMAC does not need collision resistance
		return sha1.New, sha1.Size, true
	case "sha256":
		return sha256.New, sha256.Size, true
	case "sha512":
		return sha512.New, sha512.Size, true
	}
	return nil, 0, false
}

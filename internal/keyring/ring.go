// Package keyring encrypts what must be kept secret at rest: signing secrets,
// source tokens, answers that hold a credential.
//
// A Ring is a list of AES-256 keys with ids. The first encrypts, all decrypt:
// a key is replaced by putting a new one in front, and taken out once nothing
// is sealed under it any more. Sealed bytes are AES-256-GCM and read
//
//	version (1) | length of the key's id (1) | id | nonce (12) | ciphertext | tag (16)
//
// The purpose that a secret was sealed for is authenticated with it, so that
// sealed bytes cannot be moved to where they would be read as something else.
//
// No error, format verb or log line of this package shows a key or a secret.
package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/postern-dev/postern"
)

const (
	version  = 1
	keyBytes = 32
	// maxID bounds a key's id, maxKeys a ring's length: decrypting looks keys
	// up by id, so the bounds only keep settings sane.
	maxID   = 32
	maxKeys = 100
)

// Why Open refuses. ErrUnknownKey is wrapped with the id that the secret was
// sealed under.
var (
	ErrUnknownKey = errors.New("keyring: sealed under a key that is not in the ring")
	ErrMalformed  = errors.New("keyring: not a sealed secret")
	ErrCorrupt    = errors.New("keyring: sealed secret was changed, or sealed for another purpose or under another key of this id")
)

// Ring is a set of keys. It is immutable and safe for concurrent use. The zero
// Ring has no key and seals nothing.
type Ring struct {
	keys []key
}

type key struct {
	id string
	// raw is kept for Reveal alone.
	raw [keyBytes]byte
	// aead puts a random nonce before what it seals.
	aead cipher.AEAD
}

// New makes a ring of one fresh key.
func New() *Ring {
	var id [4]byte
	var raw [keyBytes]byte
	rand.Read(id[:])
	rand.Read(raw[:])
	return &Ring{keys: []key{newKey(hex.EncodeToString(id[:]), raw)}}
}

// Parse reads keys as "id:base64(32 bytes)", separated by commas; the ids are
// 1 to 32 of letters, digits, '-' and '_'. Its errors name a key by its place
// in the list and quote nothing.
func Parse(text string) (*Ring, error) {
	entries := strings.Split(text, ",")
	if len(entries) > maxKeys {
		return nil, fmt.Errorf("keyring: %d keys, at most %d", len(entries), maxKeys)
	}
	r := &Ring{}
	for i, entry := range entries {
		k, fault := parseKey(strings.TrimSpace(entry))
		if fault == "" && r.find(k.id) != nil {
			fault = "has the id of an earlier one"
		}
		if fault != "" {
			return nil, fmt.Errorf("keyring: key %d %s", i+1, fault)
		}
		r.keys = append(r.keys, k)
	}
	return r, nil
}

// Reveal is the ring in the form that Parse reads. The caller owns keeping it
// out of logs.
func (r *Ring) Reveal() string {
	entries := make([]string, len(r.keys))
	for i := range r.keys {
		entries[i] = r.keys[i].id + ":" + base64.StdEncoding.EncodeToString(r.keys[i].raw[:])
	}
	return strings.Join(entries, ",")
}

// String lists the ids of the keys.
func (r *Ring) String() string {
	ids := make([]string, len(r.keys))
	for i := range r.keys {
		ids[i] = r.keys[i].id
	}
	return "keyring(" + strings.Join(ids, ",") + ")"
}

// Format masks the keys under every verb.
func (r *Ring) Format(f fmt.State, _ rune) { fmt.Fprint(f, r.String()) }

// LogValue masks the keys in slog output.
func (r *Ring) LogValue() slog.Value { return slog.StringValue(r.String()) }

// Box seals and opens secrets of one purpose. It is safe for concurrent use.
type Box struct {
	ring    *Ring
	purpose string
}

// For gives the box of a purpose. What one purpose sealed no other opens.
func (r *Ring) For(purpose string) *Box { return &Box{ring: r, purpose: purpose} }

// Seal encrypts a secret under the ring's first key.
func (b *Box) Seal(plain []byte) (postern.Sealed, error) {
	if len(b.ring.keys) == 0 {
		return nil, errors.New("keyring: no key to seal with")
	}
	k := &b.ring.keys[0]
	header := appendHeader(make([]byte, 0, 2+len(k.id)+k.aead.Overhead()+len(plain)), k.id)
	return k.aead.Seal(header, nil, plain, additional(header, b.purpose)), nil //nolint:gosec // this AEAD draws its nonce itself
}

// Open decrypts what Seal returned, with whichever key it was sealed under.
func (b *Box) Open(sealed postern.Sealed) ([]byte, error) {
	id, rest, err := cutHeader(sealed)
	if err != nil {
		return nil, err
	}
	k := b.ring.find(id)
	if k == nil {
		return nil, fmt.Errorf("%w: key %q", ErrUnknownKey, id)
	}
	if len(rest) < k.aead.Overhead() {
		return nil, ErrMalformed
	}
	header := sealed[:len(sealed)-len(rest)]
	plain, err := k.aead.Open(nil, nil, rest, additional(header, b.purpose))
	if err != nil {
		// The cause says no more than "authentication failed".
		return nil, ErrCorrupt
	}
	return plain, nil
}

func (r *Ring) find(id string) *key {
	for i := range r.keys {
		if r.keys[i].id == id {
			return &r.keys[i]
		}
	}
	return nil
}

// parseKey reads one key, or says what is wrong with it.
func parseKey(entry string) (_ key, fault string) {
	id, encoded, found := strings.Cut(entry, ":")
	if !found || !validID(id) {
		return key{}, "does not begin with an id (1 to 32 of letters, digits, '-' and '_') and a colon"
	}
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil {
		return key{}, "is not base64 after its id"
	}
	if len(raw) != keyBytes {
		return key{}, fmt.Sprintf("has %d bytes after decoding, not %d", len(raw), keyBytes)
	}
	return newKey(id, [keyBytes]byte(raw)), ""
}

// newKey cannot fail: the only error of either constructor is a wrong length.
func newKey(id string, raw [keyBytes]byte) key {
	block, err := aes.NewCipher(raw[:])
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return key{id: id, raw: raw, aead: aead}
}

func appendHeader(dst []byte, id string) []byte {
	return append(append(dst, version, byte(len(id))), id...)
}

// cutHeader splits sealed bytes into the key's id and what the key sealed.
func cutHeader(sealed []byte) (id string, rest []byte, err error) {
	if len(sealed) < 2 {
		return "", nil, ErrMalformed
	}
	if sealed[0] != version {
		return "", nil, fmt.Errorf("%w: version %d, this program knows %d", ErrMalformed, sealed[0], version)
	}
	end := 2 + int(sealed[1])
	if end > len(sealed) || !validID(string(sealed[2:end])) {
		return "", nil, ErrMalformed
	}
	return string(sealed[2:end]), sealed[end:], nil
}

// additional is what the tag covers besides the ciphertext. The header tells
// its own length, so that header and purpose cannot run into one another.
func additional(header []byte, purpose string) []byte {
	return append(header[:len(header):len(header)], purpose...)
}

func validID(id string) bool {
	if id == "" || len(id) > maxID {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

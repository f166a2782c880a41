package sign

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Bounds of a symmetric key after decoding, in bytes. Generated keys have 32: the
// strength of SHA-256 needs no more.
const (
	MinKeyBytes    = 24
	MaxKeyBytes    = 75
	generatedBytes = 32
)

// Prefixes that tell the kinds of key apart in text.
const (
	prefixSymmetric = "whsec_"
	prefixPrivate   = "whsk_"
	prefixPublic    = "whpk_"
)

// What ParseKey and everything that takes a key refuse with. The errors say
// what is wrong with a key and never contain any of it.
var (
	ErrKeyEmpty  = errors.New("sign: key is empty")
	ErrKeyFormat = errors.New("sign: key is malformed")
	ErrKeyKind   = errors.New("sign: key is of the wrong kind")
)

// Kind tells what a key can do. The zero value is no key at all.
type Kind uint8

const (
	// Symmetric keys (whsec_) sign and check v1 signatures.
	Symmetric Kind = iota + 1
	// Private keys (whsk_) sign v1a, and check them through their public half.
	Private
	// Public keys (whpk_) only check v1a signatures.
	Public
)

// Key is one signing or checking key. It is immutable, safe to copy and to
// share; the zero value is an empty key that everything here refuses.
type Key struct {
	// Two pointers, because fmt cannot call the masking methods on an unexported
	// field of somebody else's struct: it prints an address instead of following
	// a pointer there, but follows one under a verb that does not suit pointers.
	m **material
}

// material holds the decoded bytes of a key; which fields are set follows kind.
type material struct {
	kind    Kind
	secret  []byte             // Symmetric
	private ed25519.PrivateKey // Private
	public  ed25519.PublicKey  // Private and Public
}

func newKey(m material) Key {
	p := &m
	return Key{&p}
}

// GenerateSymmetric makes a new whsec_ key.
func GenerateSymmetric() Key {
	return newKey(material{kind: Symmetric, secret: randomBytes(generatedBytes)})
}

// GenerateEd25519 makes a new whsk_ key; [Key.Public] is what receivers get.
func GenerateEd25519() Key {
	return privateKey(randomBytes(ed25519.SeedSize))
}

// ParseKey reads a key from its text. Base64 without a prefix is a symmetric
// key, because senders may leave whsec_ out. A private key is the 32-byte seed
// or the 64 bytes of seed and public key. White space anywhere is refused
// rather than trimmed: it usually means a badly copied secret.
func ParseKey(text string) (Key, error) {
	prefix, encoded := splitPrefix(text)
	if encoded == "" {
		return Key{}, ErrKeyEmpty
	}
	raw, err := decodeBase64(encoded)
	if err != nil {
		return Key{}, fmt.Errorf("%w: not base64 after the prefix", ErrKeyFormat)
	}
	switch prefix {
	case prefixPrivate:
		return parsePrivate(raw)
	case prefixPublic:
		if len(raw) != ed25519.PublicKeySize {
			return Key{}, lengthError(len(raw), "32")
		}
		return newKey(material{kind: Public, public: raw}), nil
	default:
		if len(raw) < MinKeyBytes || len(raw) > MaxKeyBytes {
			return Key{}, lengthError(len(raw), "24 to 75")
		}
		return newKey(material{kind: Symmetric, secret: raw}), nil
	}
}

// Kind tells what the key can do; 0 for the zero Key.
func (k Key) Kind() Kind { return k.material().kind }

// Public returns the half of an asymmetric key that may be given away; false
// for symmetric and empty keys, which have none.
func (k Key) Public() (Key, bool) {
	public := k.material().public
	if public == nil {
		return Key{}, false
	}
	return newKey(material{kind: Public, public: public}), true
}

// Equal reports in constant time whether both keys are the same key.
func (k Key) Equal(other Key) bool {
	return subtle.ConstantTimeCompare([]byte(k.Reveal()), []byte(other.Reveal())) == 1
}

// Reveal returns the key as text, prefix included, in the form that ParseKey
// reads; "" for the zero Key. The caller owns keeping it out of logs.
func (k Key) Reveal() string {
	m := k.material()
	switch m.kind {
	case Symmetric:
		return prefixSymmetric + base64.StdEncoding.EncodeToString(m.secret)
	case Private:
		return prefixPrivate + base64.StdEncoding.EncodeToString(m.private)
	case Public:
		return prefixPublic + base64.StdEncoding.EncodeToString(m.public)
	default:
		return ""
	}
}

// String masks the key: its kind shows, its bytes do not.
func (k Key) String() string {
	switch k.Kind() {
	case Symmetric:
		return prefixSymmetric + "***"
	case Private:
		return prefixPrivate + "***"
	case Public:
		return prefixPublic + "***"
	default:
		return "(no key)"
	}
}

// Format masks the key under every verb, %x and %#v included.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// LogValue masks the key in slog output.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalJSON masks the key; storing one takes Reveal.
func (k Key) MarshalJSON() ([]byte, error) { return []byte(`"` + k.String() + `"`), nil }

// material never returns nil; the zero Key has the zero material.
func (k Key) material() *material {
	if k.m == nil {
		return &material{}
	}
	return *k.m
}

func parsePrivate(raw []byte) (Key, error) {
	switch len(raw) {
	case ed25519.SeedSize:
		return privateKey(raw), nil
	case ed25519.PrivateKeySize:
		key := privateKey(raw[:ed25519.SeedSize])
		// A foreign public half would make signatures that leak the private one.
		if !bytes.Equal(key.material().private, raw) {
			return Key{}, fmt.Errorf("%w: the public half does not belong to the private one", ErrKeyFormat)
		}
		return key, nil
	default:
		return Key{}, lengthError(len(raw), "32 or 64")
	}
}

func privateKey(seed []byte) Key {
	private := ed25519.NewKeyFromSeed(seed)
	public := ed25519.PublicKey(private[ed25519.SeedSize:])
	return newKey(material{kind: Private, private: private, public: public})
}

func splitPrefix(text string) (prefix, encoded string) {
	for _, p := range []string{prefixSymmetric, prefixPrivate, prefixPublic} {
		if rest, ok := strings.CutPrefix(text, p); ok {
			return p, rest
		}
	}
	return "", text
}

// decodeBase64 is strict where the standard library is not: it refuses line
// breaks and stray bits after the last byte. One value has one text.
func decodeBase64(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, base64.CorruptInputError(0)
	}
	return base64.StdEncoding.Strict().DecodeString(text)
}

func lengthError(got int, want string) error {
	return fmt.Errorf("%w: %d bytes after decoding, want %s", ErrKeyFormat, got, want)
}

// randomBytes cannot fail: crypto/rand ends the process when the system has no
// randomness to give.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

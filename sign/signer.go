package sign

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"strconv"
	"sync"
)

// Versions of a signature as they stand in the header.
const (
	tagHMAC    = "v1,"
	tagEd25519 = "v1a,"
)

// MaxKeys is how many live keys one Signer takes: a receiver considers no more
// signatures than that.
const MaxKeys = MaxSignatures

// keptText bounds, in bytes, the signed text that a pooled scratch keeps: one
// large message must not hold its memory for as long as the endpoint is busy.
const keptText = 64 << 10

// Signer signs messages with all live keys of one endpoint. It is safe for
// concurrent use. Building one decodes nothing and hashes each key once, so it
// is worth keeping for as long as the endpoint has work.
type Signer struct {
	keys       []*material
	asymmetric bool      // some key signs the whole text at once
	scratch    sync.Pool // of *scratch
}

// scratch is what one call needs beyond its arguments. Its HMAC states have the
// key already absorbed, which is a third of the cost of a small message.
type scratch struct {
	macs []hash.Hash // by key; nil for Ed25519
	text []byte      // "id.timestamp.", and the body if a key needs it
	sum  []byte
}

// NewSigner builds a Signer that signs with each of keys, in their order: put
// the current key first and those still in their grace period after it. It
// refuses no keys, empty ones, public ones and more than MaxKeys.
func NewSigner(keys ...Key) (*Signer, error) {
	if len(keys) == 0 || len(keys) > MaxKeys {
		return nil, fmt.Errorf("%w: %d keys, want 1 to %d", ErrKeyKind, len(keys), MaxKeys)
	}
	s := &Signer{keys: make([]*material, len(keys))}
	for i, k := range keys {
		switch k.Kind() {
		case Symmetric:
		case Private:
			s.asymmetric = true
		case Public:
			return nil, fmt.Errorf("%w: key %d is public and cannot sign", ErrKeyKind, i)
		default:
			return nil, fmt.Errorf("key %d: %w", i, ErrKeyEmpty)
		}
		s.keys[i] = k.material()
	}
	s.scratch.New = func() any { return newScratch(s.keys) }
	return s, nil
}

// AppendSignatures appends the value of the signature header to dst: one
// signature per key, separated by a space. timestamp is in Unix seconds and
// must be what the timestamp header says. With symmetric keys only it does not
// allocate beyond growing dst; an Ed25519 key costs a copy of body.
func (s *Signer) AppendSignatures(dst []byte, id string, timestamp int64, body []byte) []byte {
	w := s.scratch.Get().(*scratch)
	w.text = appendHead(w.text[:0], id, timestamp)
	head := len(w.text)
	if s.asymmetric {
		w.text = append(w.text, body...)
	}
	for i, key := range s.keys {
		if i > 0 {
			dst = append(dst, ' ')
		}
		if mac := w.macs[i]; mac != nil {
			dst = append(dst, tagHMAC...)
			w.sum = sum(mac, w.sum, w.text[:head], body)
			dst = base64.StdEncoding.AppendEncode(dst, w.sum)
		} else {
			dst = append(dst, tagEd25519...)
			dst = base64.StdEncoding.AppendEncode(dst, ed25519.Sign(key.private, w.text))
		}
	}
	if cap(w.text) > keptText {
		w.text = nil
	}
	s.scratch.Put(w)
	return dst
}

// Format keeps key bytes out of anything that prints a Signer.
func (s *Signer) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "sign.Signer(%d keys)", len(s.keys)) }

func newScratch(keys []*material) *scratch {
	w := &scratch{macs: make([]hash.Hash, len(keys)), sum: make([]byte, 0, sha256.Size)}
	for i, key := range keys {
		if key.kind == Symmetric {
			w.macs[i] = hmac.New(sha256.New, key.secret)
		}
	}
	return w
}

// sum overwrites into with the MAC of head and body.
func sum(mac hash.Hash, into, head, body []byte) []byte {
	mac.Reset()
	mac.Write(head)
	mac.Write(body)
	return mac.Sum(into[:0])
}

// appendHead appends what is signed in front of the body.
func appendHead(dst []byte, id string, timestamp int64) []byte {
	dst = append(dst, id...)
	dst = append(dst, '.')
	dst = strconv.AppendInt(dst, timestamp, 10)
	return append(dst, '.')
}

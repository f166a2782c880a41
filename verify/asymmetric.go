package verify

import (
	"crypto"
	"crypto/ed25519"
)

// verifySignature reports whether sig is public's signature of text. hash is
// that of ECDSA and RSA, 0 for Ed25519, which hashes by itself.
func verifySignature(public crypto.PublicKey, hash crypto.Hash, text, sig []byte) bool {
	_ = hash
	key, ok := public.(ed25519.PublicKey)
	return ok && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, text, sig)
}

package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"math/big"
)

// signing is one algorithm with everything pinned: what a request says about
// its own algorithm never chooses one.
type signing struct {
	kind Kind        // KindHMAC, KindEd25519, KindECDSA or KindRSA
	hash crypto.Hash // of the text; 0 for Ed25519
	// pss is RSA-PSS in place of PKCS #1 v1.5, the salt as long as the hash.
	pss bool
	// raw is an ECDSA signature as r and s side by side in place of ASN.1.
	raw bool
	// curve is the only one allowed; nil is any that keys are read with.
	curve elliptic.Curve
}

// verifySignature reports whether sig is public's signature of text by the rules
// of a Scheme: Ed25519, ECDSA in ASN.1, or RSA with PKCS #1 v1.5. The type of
// the key, which was pinned when it was read, decides which; hash is 0 for
// Ed25519, which hashes by itself.
func verifySignature(public crypto.PublicKey, hash crypto.Hash, text, sig []byte) bool {
	return signing{kind: kindOf(public), hash: hash}.verify(key{public: public}, text, sig)
}

// fits reports whether the key is of the type that the algorithm is for.
func (s signing) fits(with key) bool {
	switch k := with.public.(type) {
	case nil:
		return s.kind == KindHMAC && len(with.raw) > 0
	case ed25519.PublicKey:
		return s.kind == KindEd25519 && len(k) == ed25519.PublicKeySize
	case *ecdsa.PublicKey:
		return s.kind == KindECDSA && (s.curve == nil || s.curve == k.Curve)
	case *rsa.PublicKey:
		bits := k.N.BitLen()
		return s.kind == KindRSA && bits >= minRSABits && bits <= maxRSABits
	}
	return false
}

// verify panics for no key and no signature; what does not fit is no match.
func (s signing) verify(with key, text, sig []byte) bool {
	if !s.fits(with) || s.kind != KindEd25519 && !s.hash.Available() {
		return false
	}
	switch k := with.public.(type) {
	case nil:
		mac := hmac.New(s.hash.New, with.raw)
		mac.Write(text)
		return hmac.Equal(sig, mac.Sum(nil))
	case ed25519.PublicKey:
		return ed25519.Verify(k, text, sig)
	case *ecdsa.PublicKey:
		if s.raw {
			r, t, ok := splitRaw(k.Curve, sig)
			return ok && ecdsa.Verify(k, s.digest(text), r, t)
		}
		return ecdsa.VerifyASN1(k, s.digest(text), sig)
	case *rsa.PublicKey:
		if s.pss {
			opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
			return rsa.VerifyPSS(k, s.hash, s.digest(text), sig, opts) == nil
		}
		return rsa.VerifyPKCS1v15(k, s.hash, s.digest(text), sig) == nil
	}
	return false
}

// digest is what is signed in place of the text, but by Ed25519, which hashes
// by itself.
func (s signing) digest(text []byte) []byte {
	h := s.hash.New()
	h.Write(text)
	return h.Sum(nil)
}

// splitRaw takes r and s apart, which have the length of the curve's order each
// (RFC 7518 section 3.4). Range is checked by crypto/ecdsa.
func splitRaw(curve elliptic.Curve, sig []byte) (r, s *big.Int, ok bool) {
	size := (curve.Params().BitSize + 7) / 8
	if len(sig) != 2*size {
		return nil, nil, false
	}
	return new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:]), true
}

package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"math/big"
	"testing"
)

// sign makes what s checks.
func sign(t testing.TB, s signing, private any, text []byte) []byte {
	t.Helper()
	var digest []byte
	if s.hash != 0 {
		digest = s.digest(text)
	}
	var sig []byte
	var err error
	switch p := private.(type) {
	case []byte:
		mac := hmac.New(s.hash.New, p)
		mac.Write(text)
		return mac.Sum(nil)
	case *ecdsa.PrivateKey:
		if s.raw {
			r, q, err := ecdsa.Sign(rand.Reader, p, digest)
			if err != nil {
				t.Fatal(err)
			}
			size := (p.Curve.Params().BitSize + 7) / 8
			return append(r.FillBytes(make([]byte, size)), q.FillBytes(make([]byte, size))...)
		}
		sig, err = ecdsa.SignASN1(rand.Reader, p, digest)
	case *rsa.PrivateKey:
		if s.pss {
			sig, err = rsa.SignPSS(rand.Reader, p, s.hash, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			sig, err = rsa.SignPKCS1v15(nil, p, s.hash, digest)
		}
	case crypto.Signer:
		sig, err = p.Sign(nil, text, crypto.Hash(0))
	}
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// signer is a way of signing and a key for it.
type signer struct {
	how     signing
	private any
	key     key
}

func signers(keys testKeys) []signer {
	var all []signer
	add := func(how signing, private any, k key) { all = append(all, signer{how, private, k}) }
	secret := []byte("a shared secret")
	for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		add(signing{kind: KindHMAC, hash: h}, secret, key{raw: secret})
		for _, raw := range []bool{false, true} {
			for _, k := range []*ecdsa.PrivateKey{keys.ec, keys.ec3, keys.ec5} {
				add(signing{kind: KindECDSA, hash: h, raw: raw}, k, key{public: k.Public()})
			}
		}
		for _, k := range []*rsa.PrivateKey{keys.rsa, keys.weak} {
			add(signing{kind: KindRSA, hash: h}, k, key{public: k.Public()})
			if h != crypto.SHA512 || k != keys.weak { // does not fit into 1024 bits
				add(signing{kind: KindRSA, hash: h, pss: true}, k, key{public: k.Public()})
			}
		}
	}
	add(signing{kind: KindEd25519}, keys.ed, key{public: keys.ed.Public()})
	return all
}

// A signature is right in the way and under the key that it was made, and in no
// other of all that there are.
func TestSignaturesHoldInOneWayOnly(t *testing.T) {
	text := []byte("signed text")
	all := signers(makeKeys(t))
	for i, made := range all {
		name := fmt.Sprintf("%+v", made.how)
		sig := sign(t, made.how, made.private, text)
		for j, tried := range all {
			if got := tried.how.verify(tried.key, text, sig); got != (i == j) {
				t.Errorf("made by %s, checked by %+v: %v", name, tried.how, got)
			}
		}
		if made.how.verify(made.key, []byte("other text"), sig) {
			t.Errorf("%s: another text was right", name)
		}
		for _, wrong := range [][]byte{nil, {}, sig[1:], append([]byte{0}, sig...), append(sig[:len(sig):len(sig)], 0), make([]byte, len(sig))} {
			if made.how.verify(made.key, text, wrong) {
				t.Errorf("%s: %d bytes of another signature were right", name, len(wrong))
			}
		}
		for bit := range 8 {
			flipped := append([]byte{}, sig...)
			flipped[(bit*31)%len(sig)] ^= 1 << bit
			if made.how.verify(made.key, text, flipped) {
				t.Errorf("%s: a flipped bit was right", name)
			}
		}
	}
}

func TestSignaturesWithoutAKeyAreWrong(t *testing.T) {
	empty := hmac.New(sha256.New, nil)
	empty.Write([]byte("a"))
	for name, c := range map[string]struct {
		how signing
		key key
	}{
		"no key":        {signing{kind: KindHMAC, hash: crypto.SHA256}, key{}},
		"empty key":     {signing{kind: KindHMAC, hash: crypto.SHA256}, key{raw: []byte{}}},
		"no hash":       {signing{kind: KindHMAC}, key{raw: []byte("a")}},
		"unknown hash":  {signing{kind: KindHMAC, hash: crypto.MD5SHA1}, key{raw: []byte("a")}},
		"unknown type":  {signing{kind: KindHMAC, hash: crypto.SHA256}, key{raw: []byte("a"), public: "a"}},
		"no kind":       {signing{hash: crypto.SHA256}, key{raw: []byte("a")}},
		"small modulus": {signing{kind: KindRSA, hash: crypto.SHA256}, key{public: &rsa.PublicKey{N: big.NewInt(35), E: 3}}},
		"another curve": {signing{kind: KindECDSA, hash: crypto.SHA256, curve: elliptic.P384()}, key{public: makeKeys(t).ec.Public()}},
	} {
		if c.how.verify(c.key, []byte("a"), empty.Sum(nil)) {
			t.Errorf("%s: was right", name)
		}
	}
}

// ES256 is for P-256 alone: the hash by itself does not pin the curve.
func TestAlgorithmsPinTheCurve(t *testing.T) {
	keys := makeKeys(t)
	text := []byte("signed text")
	for name, private := range map[string]*ecdsa.PrivateKey{"ES256": keys.ec, "ES384": keys.ec3, "ES512": keys.ec5} {
		for _, other := range []*ecdsa.PrivateKey{keys.ec, keys.ec3, keys.ec5} {
			how, _ := tokenAlgorithm(name)
			if got := how.verify(key{public: other.Public()}, text, sign(t, how, other, text)); got != (private == other) {
				t.Errorf("%s with %s: %v", name, other.Curve.Params().Name, got)
			}
		}
	}
}

// What a Scheme signs: ASN.1 and PKCS #1, by the type of the key.
func TestSchemesSignByTheTypeOfTheKey(t *testing.T) {
	keys := makeKeys(t)
	text := []byte("signed text")
	for _, c := range []struct {
		hash    crypto.Hash
		how     signing
		private crypto.Signer
	}{
		{0, signing{kind: KindEd25519}, keys.ed},
		{crypto.SHA1, signing{kind: KindECDSA, hash: crypto.SHA1}, keys.ec},
		{crypto.SHA256, signing{kind: KindECDSA, hash: crypto.SHA256}, keys.ec},
		{crypto.SHA512, signing{kind: KindRSA, hash: crypto.SHA512}, keys.rsa},
		{crypto.SHA1, signing{kind: KindRSA, hash: crypto.SHA1}, keys.weak},
	} {
		sig := sign(t, c.how, c.private, text)
		if !verifySignature(c.private.Public(), c.hash, text, sig) {
			t.Errorf("%+v: a right signature is wrong", c.how)
		}
		if c.hash != 0 && verifySignature(c.private.Public(), crypto.SHA384, text, sig) {
			t.Errorf("%+v: right with another hash", c.how)
		}
	}
	if verifySignature(nil, crypto.SHA256, text, nil) || verifySignature("key", crypto.SHA256, text, nil) {
		t.Error("no key made a right signature")
	}
}

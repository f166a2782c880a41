package verify

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// Bounds of key material. RSA with 1024 bits is weak, and some providers still
// sign with it; above 8192 a single forged request would cost milliseconds.
const (
	maxKeyText = 16 << 10 // bytes of one key or certificate as text
	minRSABits = 1024
	maxRSABits = 8192
	maxKeySet  = 64 // keys of one JWK set; what follows is an error, not ignored
)

// material is a public key and what is known about it.
type material struct {
	public crypto.PublicKey // ed25519.PublicKey, *ecdsa.PublicKey or *rsa.PublicKey
	id     string           // kid of a JWK; empty if there is none
	// certificate is what the key came out of, nil for a bare one.
	certificate *x509.Certificate
}

// validAt reports whether the certificate that vouches for the key, if there is
// one, is within its period.
func (k material) validAt(now time.Time) bool {
	c := k.certificate
	return c == nil || !now.Before(c.NotBefore) && !now.After(c.NotAfter)
}

// parsePublicKey reads the public key of a scheme of that kind, written in one
// of the forms of a KeyForm; its type fits the kind. KindJWT, KindHTTPSignature
// and KindCode take any. The error reads on from the name of a field and
// contains nothing of the text.
func parsePublicKey(kind Kind, form, text string) (crypto.PublicKey, error) {
	m, err := parseMaterial(form, text)
	if err != nil {
		return nil, err
	}
	return m.public, fitsKind(kind, m)
}

// fitsKind refuses a key of another type than the kind of scheme is for.
func fitsKind(kind Kind, m material) error {
	if own := kindOf(m.public); own != kind && (kind == KindEd25519 || kind == KindECDSA || kind == KindRSA) {
		return fmt.Errorf("is a key for %s, must be for %s", own, kind)
	}
	return nil
}

// parseMaterial reads a public key: hex, base64 and base64url are the 32 bytes
// of an Ed25519 key, spki and pem are taken for each other, because people paste
// either, and x509 is a certificate and nothing less.
func parseMaterial(form, text string) (material, error) {
	if len(text) > maxKeyText {
		return material{}, fmt.Errorf("is longer than %d bytes", maxKeyText)
	}
	switch form {
	case "hex":
		raw, err := hex.DecodeString(text)
		return rawKey(raw, err, form)
	case "base64":
		raw, err := decodeBase64(base64.RawStdEncoding, text)
		return rawKey(raw, err, form)
	case "base64url":
		raw, err := decodeBase64(base64.RawURLEncoding, text)
		return rawKey(raw, err, form)
	case "x509":
		m, err := pemKey(text)
		if err == nil && m.certificate == nil {
			err = errors.New("is not a certificate")
		}
		return m, err
	case "pem", "spki":
		if strings.Contains(text, "-----BEGIN") {
			return pemKey(text)
		}
		raw, err := decodeBase64(base64.RawStdEncoding, strings.Join(strings.Fields(text), ""))
		if err != nil {
			return material{}, errors.New("is neither PEM nor base64 of a public key")
		}
		// No DER is that short, and some providers show an Ed25519 key bare.
		if len(raw) == ed25519.PublicKeySize {
			return usable(ed25519.PublicKey(raw))
		}
		return derKey(raw)
	case "jwk":
		return jwkKey([]byte(text))
	}
	return material{}, fmt.Errorf("has the form %q, which no public key has", form)
}

// rawKey is an Ed25519 key as its bytes; err is what decoding them said. Whether
// they are a point on the curve shows when a signature is checked, and is no
// match if they are not.
func rawKey(raw []byte, err error, form string) (material, error) {
	if err != nil {
		return material{}, errors.New("is not " + form)
	}
	if len(raw) != ed25519.PublicKeySize {
		return material{}, fmt.Errorf("is %d bytes after decoding, must be %d", len(raw), ed25519.PublicKeySize)
	}
	return usable(ed25519.PublicKey(raw))
}

// pemKey reads the first block, which in a chain of certificates is the one
// that counts.
func pemKey(text string) (material, error) {
	block, _ := pem.Decode([]byte(linedPEM(text)))
	if block == nil {
		return material{}, errors.New("is not PEM: the lines BEGIN and END, or what is between them, are damaged")
	}
	switch block.Type {
	case "PUBLIC KEY":
		return derKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return material{}, errors.New("is PEM, but not an RSA public key")
		}
		return usable(key)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return material{}, errors.New("is PEM, but not a certificate")
		}
		k, err := usable(cert.PublicKey)
		k.certificate = cert
		return k, err
	}
	if strings.Contains(block.Type, "PRIVATE KEY") {
		return material{}, errors.New("is a private key, must be the public one")
	}
	return material{}, errors.New("is PEM of something else than a public key or a certificate")
}

// linedPEM gives a PEM on one line its lines back: environment variables and
// JSON leave it with \n in letters, and eBay's API without any.
func linedPEM(text string) string {
	if strings.Contains(text, "\n") {
		return text
	}
	text = strings.ReplaceAll(text, `\n`, "\n")
	if strings.Contains(text, "\n") {
		return text
	}
	begin, rest, ok := strings.Cut(strings.TrimPrefix(text, "-----"), "-----")
	body, end, ended := strings.Cut(rest, "-----")
	if !ok || !ended {
		return text
	}
	return "-----" + begin + "-----\n" + strings.TrimSpace(body) + "\n-----" + end
}

// hasSmallOrder reports whether an Ed25519 key is one of the few points that come
// back to where they began within eight steps, in any way of writing them: with
// those one signature is right for every message, or for every eighth.
func hasSmallOrder(public ed25519.PublicKey) bool {
	last := len(public) - 1
	for _, point := range [...]string{ // without the sign, which is the highest bit of the last byte
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		if hex.EncodeToString(public[:last])+hex.EncodeToString([]byte{public[last] & 0x7f}) == point {
			return true
		}
	}
	return false
}

// derKey reads a PKIX public key (SubjectPublicKeyInfo), to the last byte.
func derKey(der []byte) (material, error) {
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return material{}, errors.New("is not a public key in DER (PKIX)")
	}
	return usable(key)
}

// usable refuses types and sizes of key that no signature is checked with. An
// exponent of 1 would make every message its own signature.
func usable(key crypto.PublicKey) (material, error) {
	switch k := key.(type) {
	case ed25519.PublicKey:
		if hasSmallOrder(k) {
			return material{}, errors.New("is an Ed25519 key that anybody can sign for, such as zeros")
		}
		return material{public: k}, nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() && k.Curve != elliptic.P521() {
			return material{}, errors.New("is on another curve than P-256, P-384 and P-521")
		}
		return material{public: k}, nil
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return material{}, fmt.Errorf("is an RSA key of %d bits, must have %d to %d", bits, minRSABits, maxRSABits)
		}
		if k.E < 3 || k.E%2 == 0 {
			return material{}, errors.New("is an RSA key with an exponent that is even or too small")
		}
		return material{public: k}, nil
	}
	return material{}, errors.New("is neither an Ed25519, nor an ECDSA, nor an RSA key")
}

// jwk is a JSON Web Key (RFC 7517) as far as public keys for signatures go.
// D is there so that a private key can be told from a public one.
type jwk struct {
	Kty    string   `json:"kty"`
	Crv    string   `json:"crv"`
	X      string   `json:"x"`
	Y      string   `json:"y"`
	N      string   `json:"n"`
	E      string   `json:"e"`
	D      string   `json:"d"` // nothing of it is kept
	Kid    string   `json:"kid"`
	Use    string   `json:"use"`
	KeyOps []string `json:"key_ops"`
}

// jwkKey reads one JSON Web Key. Members that are not known are ignored, as RFC
// 7517 wants; x5u and x5c are such ones, and lead nowhere.
func jwkKey(data []byte) (material, error) {
	var j jwk
	if json.Unmarshal(data, &j) != nil {
		return material{}, errors.New("is not a JSON Web Key")
	}
	return j.public()
}

// parseKeySet reads a JWK set. Keys for other uses, and of types that are not
// known, are left out, as RFC 7517 section 5 wants it; a set without any key
// that is left is an error.
func parseKeySet(data []byte) ([]material, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(data, &set) != nil || set.Keys == nil {
		return nil, errors.New("is not a JWK set")
	}
	if len(set.Keys) > maxKeySet {
		return nil, fmt.Errorf("is a JWK set of %d keys, may have %d", len(set.Keys), maxKeySet)
	}
	var keys []material
	for _, raw := range set.Keys {
		if k, err := jwkKey(raw); err == nil {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("is a JWK set without a public key for signatures")
	}
	return keys, nil
}

// public refuses a private key as well, although the public one is part of it:
// who pasted it should hear that it is known now.
func (j jwk) public() (material, error) {
	switch {
	case j.D != "":
		return material{}, errors.New("is a private key, must be the public one")
	case j.Use != "" && j.Use != "sig", j.KeyOps != nil && !slices.Contains(j.KeyOps, "verify"):
		return material{}, errors.New("is a JSON Web Key for another use than signatures")
	}
	key, err := j.numbers()
	if err != nil {
		return material{}, err
	}
	k, err := usable(key)
	k.id = j.Kid
	return k, err
}

// numbers builds the key of its numbers. Points are checked to be on their
// curve by crypto/ecdsa.
func (j jwk) numbers() (crypto.PublicKey, error) {
	damaged := errors.New("is a JSON Web Key whose numbers are damaged")
	number := func(text string) []byte { // nil if it is not base64url
		raw, err := decodeBase64(base64.RawURLEncoding, text)
		if err != nil {
			return nil
		}
		return raw
	}
	switch j.Kty {
	case "OKP":
		if x := number(j.X); j.Crv == "Ed25519" && len(x) == ed25519.PublicKeySize {
			return ed25519.PublicKey(x), nil
		}
	case "EC":
		curve := curveNamed(j.Crv)
		if curve == nil {
			return nil, errors.New("is on another curve than P-256, P-384 and P-521")
		}
		size := (curve.Params().BitSize + 7) / 8
		x, y := number(j.X), number(j.Y)
		if len(x) != size || len(y) != size {
			return nil, damaged
		}
		if key, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y)); err == nil {
			return key, nil
		}
	case "RSA":
		n, e := number(j.N), new(big.Int).SetBytes(number(j.E))
		if len(n) > 0 && e.BitLen() < 32 {
			return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(e.Int64())}, nil
		}
	default:
		return nil, errors.New("is a JSON Web Key of a type that is no public key for signatures")
	}
	return nil, damaged
}

// kindOf is the kind of scheme that a key is for.
func kindOf(public crypto.PublicKey) Kind {
	switch public.(type) {
	case ed25519.PublicKey:
		return KindEd25519
	case *ecdsa.PublicKey:
		return KindECDSA
	case *rsa.PublicKey:
		return KindRSA
	}
	return ""
}

// curveNamed is a curve by its name in a JWK, nil for others. P-224 and secp256k1
// are no algorithms of the tokens and signatures that are checked here.
func curveNamed(name string) elliptic.Curve {
	switch name {
	case "P-256":
		return elliptic.P256()
	case "P-384":
		return elliptic.P384()
	case "P-521":
		return elliptic.P521()
	}
	return nil
}

// looksPublic reports whether a secret's text is a public key or certificate.
// Such a text is known to everybody and must never key an HMAC, which is what a
// token that claims HS256 for an RSA key tries.
func looksPublic(text string) bool {
	if strings.Contains(text, "-----BEGIN") {
		return true
	}
	if trimmed := strings.TrimSpace(text); strings.HasPrefix(trimmed, "{") {
		var j jwk
		return json.Unmarshal([]byte(trimmed), &j) == nil && j.Kty != "" && j.Kty != "oct"
	}
	raw, err := decodeBase64(base64.RawStdEncoding, strings.Join(strings.Fields(text), ""))
	if err != nil || !bytes.HasPrefix(raw, []byte{0x30}) { // a SEQUENCE
		return false
	}
	if _, err = x509.ParsePKIXPublicKey(raw); err == nil {
		return true
	}
	if _, err = x509.ParsePKCS1PublicKey(raw); err == nil {
		return true
	}
	_, err = x509.ParseCertificate(raw)
	return err == nil
}

// decodeBase64 is strict: padding is optional and at most what it would be, and
// line breaks, which the standard library skips, are refused.
func decodeBase64(encoding *base64.Encoding, text string) ([]byte, error) {
	trimmed := strings.TrimRight(text, "=")
	if n := len(text) - len(trimmed); n > 0 && (n > 2 || len(text)%4 != 0) || strings.ContainsAny(text, "\r\n") {
		return nil, base64.CorruptInputError(len(trimmed))
	}
	return encoding.Strict().DecodeString(trimmed)
}

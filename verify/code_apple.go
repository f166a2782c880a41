package verify

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Bounds of Apple's token, which has three certificates in its header and two
// tokens of the same kind in its payload.
const (
	maxAppleToken = 128 << 10 // bytes
	appleChain    = 3         // leaf, intermediate, root
)

// appleChecker checks a token that brings its own certificates: they must lead
// to the root that is configured, by way of those that Apple marks as being for
// the App Store.
type appleChecker struct{ s *scheme }

func (c appleChecker) check(ctx context.Context, in *input) (proof, *Error) {
	// Unlike other tokens this one may be long, and its key is in its header, so
	// that it is taken apart here.
	keys, texts, err := c.s.keysAndTexts(ctx, in)
	if err != nil {
		return proof{}, err
	}
	t, ok := parseAppleToken(texts[0])
	if !ok {
		return proof{}, &Error{ReasonSignatureMalformed, c.s.where() + " is not a token with three certificates"}
	}
	// The time of signing is not trusted yet, so the certificates must be good
	// now.
	public, ok := t.leaf(keys, in.now)
	if !ok {
		return proof{}, &Error{ReasonKeyForbidden, "the certificates in the token do not lead to a configured root"}
	}
	es256 := signing{kind: KindECDSA, hash: crypto.SHA256, raw: true, curve: elliptic.P256()}
	if t.algorithm != "ES256" {
		return proof{}, &Error{ReasonAlgorithmForbidden, "the token is not signed with ES256"}
	}
	if !es256.verify(key{public: public}, t.signed, t.signature) {
		return proof{}, c.s.mismatch(keys)
	}
	// Where there is no date the text is empty, which is no time.
	text, _ := jsonText(t.payload, []string{"signedDate"})
	signedAt, err := c.s.clock.parse(text)
	return proof{claims: t.payload, signedAt: signedAt}, err
}

// appleToken is a compact JWS taken apart; nothing about it is known to be true.
type appleToken struct {
	algorithm    string
	certificates []*x509.Certificate // leaf first
	signed       []byte              // header and payload, as they are encoded
	payload      []byte              // JSON
	signature    []byte              // r and s side by side
}

// parseAppleToken is strict about the number of certificates: each one more is
// work that a forged request could ask for.
func parseAppleToken(text string) (t appleToken, ok bool) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || len(text) > maxAppleToken {
		return t, false
	}
	var raw [3][]byte
	for i, part := range parts {
		var err error
		if raw[i], err = decodeText("base64url", part); err != nil {
			return t, false
		}
	}
	var header struct {
		Alg string   `json:"alg"`
		X5C []string `json:"x5c"`
	}
	if json.Unmarshal(raw[0], &header) != nil || len(header.X5C) != appleChain {
		return t, false
	}
	for _, text := range header.X5C {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return t, false
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return t, false
		}
		t.certificates = append(t.certificates, certificate)
	}
	t.algorithm, t.payload, t.signature = header.Alg, raw[1], raw[2]
	t.signed = []byte(text[:len(parts[0])+1+len(parts[1])])
	return t, json.Valid(t.payload)
}

// leaf is the public key that signs, if the chain is whole and its root is one
// of the keys.
func (t appleToken) leaf(roots []key, now time.Time) (crypto.PublicKey, bool) {
	leaf, intermediate, root := t.certificates[0], t.certificates[1], t.certificates[2]
	public, ok := root.PublicKey.(*ecdsa.PublicKey)
	if !ok || !slices.ContainsFunc(roots, func(k key) bool { return public.Equal(k.public) }) {
		return nil, false
	}
	// The extensions by which Apple tells the certificates of the App Store from
	// others that it issues.
	appStore := asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 11, 1}
	relations := asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 2, 1}
	if !hasExtension(leaf, appStore) || !hasExtension(intermediate, relations) {
		return nil, false
	}
	// The root is taken for what it is because its key is configured; its name and
	// dates are then checked like those of the others.
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
		CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	options.Roots.AddCert(root)
	options.Intermediates.AddCert(intermediate)
	_, err := leaf.Verify(options)
	return leaf.PublicKey, err == nil
}

// hasExtension looks for the presence alone: the extension is the mark, not what is
// in it.
func hasExtension(c *x509.Certificate, id asn1.ObjectIdentifier) bool {
	for _, e := range c.Extensions {
		if e.Id.Equal(id) {
			return true
		}
	}
	return false
}

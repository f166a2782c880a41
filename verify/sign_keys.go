package verify

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// sign is the other way of verify: with's own for a shared secret, else private's,
// whose public key must be with.
func (s signing) sign(with key, private crypto.Signer, text []byte) ([]byte, error) {
	if !s.fits(with) {
		return nil, errors.New("the key is not for the algorithm")
	}
	if with.public == nil {
		mac := hmac.New(s.hash.New, with.raw)
		mac.Write(text)
		return mac.Sum(nil), nil
	}
	same, ok := with.public.(interface {
		Equal(other crypto.PublicKey) bool
	})
	if private == nil || !ok || !same.Equal(private.Public()) {
		return nil, errors.New("it signs with a private key, and the one that belongs to the configured public key is not given")
	}
	var opts crypto.SignerOpts = s.hash
	switch {
	case s.kind == KindEd25519:
		return private.Sign(rand.Reader, text, crypto.Hash(0))
	case s.pss:
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: s.hash}
	}
	sig, err := private.Sign(rand.Reader, s.digest(text), opts)
	if public, isCurve := with.public.(*ecdsa.PublicKey); isCurve && s.raw && err == nil {
		return joinRaw(public, sig)
	}
	return sig, err
}

// joinRaw is the other way of splitRaw, for a signature in ASN.1.
func joinRaw(public *ecdsa.PublicKey, sig []byte) ([]byte, error) {
	var both struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(sig, &both); err != nil {
		return nil, err
	}
	size := (public.Curve.Params().BitSize + 7) / 8
	return slices.Concat(both.R.FillBytes(make([]byte, size)), both.S.FillBytes(make([]byte, size))), nil
}

// sign implements maker.
func (j jwtChecker) sign(d *draft) error {
	if err := d.s.keyed(); err != nil {
		return err
	}
	name, how := d.algorithm()
	if name == "" {
		return errors.New("the secret is for none of " + list(d.s.jwt.algorithms))
	}
	if err := d.claim(); err != nil {
		return err
	}
	header := `{"alg":` + jsString(name) + `,"typ":"JWT"}`
	text := encodeText("base64url", []byte(header)) + "." + encodeText("base64url", d.payload())
	sig, err := how.sign(d.s.keys[0], d.o.Private, []byte(text))
	if err != nil {
		return err
	}
	return d.write(text + "." + encodeText("base64url", sig))
}

// payload are the claims as they stand in a token.
func (d *draft) payload() []byte {
	text := []byte("{")
	for i, name := range slices.Sorted(maps.Keys(d.claims)) {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(appendJSString(text, name), ':'), d.claims[name]...)
	}
	return append(text, '}')
}

// jsString is a text in JSON.
func jsString(text string) string { return string(appendJSString(nil, text)) }

// algorithm is the first that the key is for; "" for none.
func (d *draft) algorithm() (string, signing) {
	for _, name := range d.s.jwt.algorithms {
		if how, ok := tokenAlgorithm(name); ok && how.fits(d.s.keys[0]) {
			return name, how
		}
	}
	return "", signing{}
}

// claim fills in what the rules of a token want.
func (d *draft) claim() error {
	r := d.s.jwt
	raw := func(name, value string) {
		if _, there := d.claims[name]; !there {
			d.claims[name] = value
		}
	}
	set := func(name, value string) {
		if value != "" {
			raw(name, jsString(value))
		}
	}
	for name, value := range r.claims {
		if outer, inner, nested := strings.Cut(name, "."); nested && value != "" && !strings.Contains(name, "/") {
			raw(outer, "{"+jsString(inner)+":"+jsString(value)+"}")
			continue
		}
		set(name, value)
	}
	set("iss", r.issuer)
	set("aud", r.audience)
	if r.subject == "{url}" && d.req.URL == "" {
		return errURLMissing()
	}
	set("sub", strings.Replace(r.subject, "{url}", d.req.URL, 1))
	now := d.o.Now.Unix()
	raw("iat", strconv.FormatInt(now, 10))
	raw("exp", strconv.FormatInt(now+60, 10))
	for _, name := range r.required {
		switch name {
		case "nbf":
			raw(name, strconv.FormatInt(now, 10))
		case "data":
			set(name, string(d.req.Body)) // what the token brings in place of a body
		}
		set(name, "sample")
	}
	return nil
}

// besides are what the texts of code look for in a request, with samples, by the
// header that the signature stands in.
func besides(header string) iter.Seq2[selector, string] {
	return func(yield func(selector, string) bool) {
		switch header {
		case "X-Plivo-Signature-V2", "X-Plivo-Signature-V3":
			yield(selector{form: "header", name: header + "-Nonce"}, "12345")
		case "X-Contentful-Signature":
			yield(selector{form: "header", name: contentfulSigned}, strings.ToLower(contentfulSigned+","+contentfulTimestamp))
		case "Gcms-Signature":
			yield(selector{form: "element", name: "env"}, "master")
		case "X-Hook0-Signature":
			yield(selector{form: "element", name: "h"}, "content-type")
		}
	}
}

// wrap makes the message of SNS that a body is the text of, unless it is one.
func (c snsChecker) wrap(body []byte) []byte {
	if _, there := jsonText(body, []string{"Message"}); there {
		return body
	}
	return append(appendJSString([]byte(`{"Message":`), body), '}')
}

// sign implements maker.
func (c snsChecker) sign(d *draft) error {
	for _, member := range [][2]string{
		{"Type", "Notification"}, {"MessageId", "sample"}, {"TopicArn", "arn:aws:sns:us-east-1:123456789012:sample"},
		{"SigningCertURL", "https://sns.us-east-1.amazonaws.com/sample.pem"},
	} {
		if err := d.fill(selector{form: "json", path: member[:1]}, member[1]); err != nil {
			return err
		}
	}
	return c.signatureChecker.sign(d)
}

// sign implements maker. The token comes last: what it is for is its claim.
func (c atlassianChecker) sign(d *draft) error {
	if d.req.URL == "" {
		return errURLMissing()
	}
	base, err := d.render(d.s.template)
	if err != nil {
		return err
	}
	in := d.input()
	text, ok := atlassianText(in.req.Method, in.target(), base)
	if !ok {
		return errors.New("path or query has a wrong escape")
	}
	sum := sha256.Sum256([]byte(text))
	d.claims["qsh"] = jsString(hex.EncodeToString(sum[:]))
	return c.jwtChecker.sign(d)
}

// wrap makes the form that has a notification in bt_payload, unless it is one.
func (c braintreeChecker) wrap(body []byte) []byte {
	if bytes.HasPrefix(body, []byte("bt_payload=")) {
		return body
	}
	return []byte("bt_payload=" + url.QueryEscape(base64.StdEncoding.EncodeToString(body)))
}

// sign implements maker.
func (c braintreeChecker) sign(d *draft) error {
	if err := d.s.keyed(); err != nil {
		return err
	}
	public, private, ok := strings.Cut(string(d.s.keys[0].raw), ":")
	if !ok {
		return errors.New("a secret is publicKey:privateKey")
	}
	payload, _ := d.text(selector{form: "form", name: "bt_payload"})
	key := sha1.Sum([]byte(private))
	mac := hmac.New(sha1.New, key[:])
	mac.Write([]byte(payload))
	return d.write(public + "|" + hex.EncodeToString(mac.Sum(nil)))
}

// sign implements maker.
func (c ebayChecker) sign(d *draft) error {
	if err := d.s.keyed(); err != nil {
		return err
	}
	sum, err := d.sum(d.req.Body)
	if err != nil {
		return err
	}
	id := cmp.Or(d.claims["kid"], `"sample"`) // what the source requires
	packed := fmt.Sprintf(`{"alg":"ecdsa","kid":%s,"signature":%s}`, id, jsString(encodeText("base64", sum)))
	return d.write(encodeText("base64", []byte(packed)))
}

// sign implements maker.
func (c moralisChecker) sign(d *draft) error {
	if err := d.s.keyed(); err != nil {
		return err
	}
	h := newKeccak256()
	h.Write(d.req.Body)
	h.Write(d.s.keys[0].raw)
	return d.write(encodeText(d.s.signature.Encoding, h.Sum(nil)))
}

// sign implements maker.
func (h httpSignatureChecker) sign(d *draft) error {
	if err := d.s.keyed(); err != nil {
		return err
	}
	digest := sha256.Sum256(d.req.Body)
	d.req.Header["Content-Digest"] = []string{"sha-256=:" + encodeText("base64", digest[:]) + ":"}
	d.req.Header["Signature-Input"] = []string{fmt.Sprintf(`sig1=(%s);created=%d`, strings.Join(h.rules.covered, " "), d.o.Now.Unix())}
	inputs, err := dictionaryOf(d.req.Header, "Signature-Input")
	if err != nil {
		return err
	}
	base, err := signatureBase(d.req, inputs[0].item)
	if err != nil {
		return err
	}
	_, how := messageAlgorithm(d.s.keys[0], h.rules.hash)
	sum, failure := how.sign(d.s.keys[0], d.o.Private, base)
	if failure != nil {
		return failure
	}
	d.req.Header["Signature"] = []string{"sig1=:" + encodeText("base64", sum) + ":"}
	return nil
}

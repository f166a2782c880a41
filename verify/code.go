package verify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"fmt"
	"slices"
)

// codeChecker finds the scheme that data cannot express by its name in a
// definition; false if there is none. s is complete but for what New adds
// later: its keys are asked for with each request.
func codeChecker(name string, s *scheme) (checker, bool) {
	switch name {
	case "apple":
		return appleChecker{s}, true
	case "atlassian_connect":
		return atlassianChecker{jwtChecker{s}}, true
	case "aws_sns":
		return newSNSChecker(s), true
	case "braintree":
		return braintreeChecker{s}, true
	case "contentful":
		return textChecker{s, contentfulText}, true
	case "ebay":
		return ebayChecker{s}, true
	case "hook0_v1":
		return textChecker{s, hook0Text}, true
	case "hygraph":
		return textChecker{s, hygraphText}, true
	case "moralis":
		return moralisChecker{s}, true
	case "nowpayments":
		return textChecker{s, nowPaymentsText}, true
	case "plivo_v2":
		return textChecker{s, plivoV2Text}, true
	case "plivo_v3":
		return textChecker{s, plivoV3Text}, true
	case "wix":
		return wixChecker{jwtChecker{s}}, true
	}
	return nil, false
}

// textChecker is for schemes whose signed text takes code, and nothing else
// does. Whether it is an HMAC or a public-key signature is up to the keys.
type textChecker struct {
	s *scheme
	// text returns the signed text in pieces, so that the body is not copied.
	text func(in *input) ([][]byte, *Error)
}

func (c textChecker) check(ctx context.Context, in *input) (proof, *Error) {
	keys, err := c.s.usableKeys(ctx, in)
	if err != nil {
		return proof{}, err
	}
	texts, err := c.s.signatureTexts(in)
	if err != nil {
		return proof{}, err
	}
	signedAt, err := c.s.read(in)
	if err != nil {
		return proof{}, err
	}
	// The text comes before the signatures are decoded: what is wrong with it says
	// more than that a signature looks wrong, too.
	pieces, err := c.text(in)
	if err != nil {
		return proof{}, err
	}
	signatures, err := c.s.decode(texts)
	if err != nil {
		return proof{}, err
	}
	right := func(k key) bool { return c.s.signedBy(k, pieces, signatures) }
	if c.s.isAnswer(pieces) || !slices.ContainsFunc(keys, right) {
		return proof{}, c.s.mismatch(keys)
	}
	return proof{id: in.id, signedAt: signedAt}, nil
}

// signedBy reports whether one of the signatures is k's, under the hash that the
// definition names.
func (s *scheme) signedBy(k key, pieces, signatures [][]byte) bool {
	// A key is either; which one was decided when it was configured, not by what
	// the request looks like.
	if k.public != nil {
		text := bytes.Join(pieces, nil)
		return slices.ContainsFunc(signatures, func(sig []byte) bool {
			return verifySignature(k.public, s.hash.standard, text, sig)
		})
	}
	mac := hmac.New(s.hash.new, k.raw)
	for _, p := range pieces {
		mac.Write(p)
	}
	digest := mac.Sum(nil)
	return slices.ContainsFunc(signatures, func(sig []byte) bool { return hmac.Equal(sig, digest) })
}

func (s *scheme) mismatch(keys []key) *Error {
	return &Error{ReasonSignatureMismatch, fmt.Sprintf(
		"nothing in %s is right under any configured secret (%d): another secret, or changed on the way", s.where(), len(keys))}
}

// header is a header that is signed and must be there, once. The name is in
// canonical form.
func (in *input) header(name string) (string, *Error) {
	return in.required(selector{form: "header", name: name}, ReasonHeaderMissing)
}

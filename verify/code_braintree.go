package verify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"strings"
)

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// braintreeChecker checks bt_signature, which has one signature per public key
// of the merchant. A secret is publicKey:privateKey, the key the hash of the
// private one. What kind of notification it is becomes the claim kind.
type braintreeChecker struct{ s *scheme }

func (c braintreeChecker) check(ctx context.Context, in *input) (proof, *Error) {
	keys, pairs, err := c.s.keysAndTexts(ctx, in)
	if err != nil {
		return proof{}, err
	}
	payload, err := in.required(selector{form: "form", name: "bt_payload"}, ReasonValueMissing)
	if err != nil {
		return proof{}, err
	}
	if strings.Trim(payload, base64Alphabet+"=\n") != "" {
		return proof{}, &Error{ReasonBodyMalformed, "bt_payload is not base64: was a + in it taken for a space?"}
	}
	// Anybody may ask for the signature of a challenge.
	if c.s.isAnswer([][]byte{[]byte(payload)}) {
		return proof{}, &Error{ReasonSignatureMismatch, "bt_payload is one that a challenge might have got the signature of"}
	}
	ours := false
	for _, k := range keys {
		public, private, _ := bytes.Cut(k.raw, []byte(":"))
		// An empty private key would let anybody sign who knows the public one.
		if len(public) == 0 || len(private) == 0 {
			return proof{}, &Error{ReasonSecretMissing, "a secret is not publicKey:privateKey"}
		}
		for _, pair := range pairs {
			name, signature, _ := strings.Cut(pair, "|")
			if name != string(public) {
				continue
			}
			// Several pairs may be ours while keys are changed; any right one counts.
			ours = true
			if braintreeSigned(private, payload, signature) {
				return braintreeProof(payload), nil
			}
		}
	}
	if !ours {
		return proof{}, &Error{ReasonSignatureMalformed, "bt_signature has no signature for a configured public key"}
	}
	return proof{}, c.s.mismatch(keys)
}

// braintreeSigned also tries the payload with the line break that is at its end
// when it is signed and that forms tend to lose.
func braintreeSigned(private []byte, payload, signature string) bool {
	got, err := hex.DecodeString(signature)
	if err != nil {
		return false
	}
	key := sha1.Sum(private)
	mac := hmac.New(sha1.New, key[:])
	mac.Write([]byte(payload))
	asIs := mac.Sum(nil)
	mac.Write([]byte("\n"))
	return hmac.Equal(got, asIs) || hmac.Equal(got, mac.Sum(nil))
}

// braintreeProof reads notification/kind of the XML in a payload that verified;
// one that cannot be read has no kind.
func braintreeProof(payload string) proof {
	// White space is allowed anywhere in it, and the decoder skips line breaks.
	dec := xml.NewDecoder(base64.NewDecoder(base64.StdEncoding, strings.NewReader(payload)))
	var doc struct {
		Kind string `xml:"kind"`
	}
	if dec.Decode(&doc) != nil || doc.Kind == "" {
		return proof{}
	}
	return proof{claims: append(appendJSString([]byte(`{"kind":`), doc.Kind), '}')}
}

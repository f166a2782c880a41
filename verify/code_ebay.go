package verify

import (
	"context"
	"encoding/json"
	"slices"
)

// maxEbaySignature bounds the header, in bytes; real ones have about 250.
const maxEbaySignature = 4096

// ebaySignature is what the header holds as base64 of JSON. It also names
// algorithm and digest: they are not asked, since the definition says what they
// are.
type ebaySignature struct {
	KeyID     string `json:"kid"`
	Signature string `json:"signature"`
}

// ebayChecker checks a signature that is packed together with the id of its key.
// The id becomes the claim kid, for a source that wants a certain one.
type ebayChecker struct{ s *scheme }

func (c ebayChecker) check(ctx context.Context, in *input) (proof, *Error) {
	keys, texts, err := c.s.keysAndTexts(ctx, in)
	if err != nil {
		return proof{}, err
	}
	for _, text := range texts {
		packed, signature, ok := unpackEbay(text)
		if !ok {
			return proof{}, &Error{ReasonSignatureMalformed, c.s.where() + " is not base64 of JSON with kid and signature"}
		}
		right := func(k key) bool { return c.s.signedBy(k, [][]byte{in.req.Body}, [][]byte{signature}) }
		if slices.ContainsFunc(keys, right) {
			return proof{claims: append(appendJSString([]byte(`{"kid":`), packed.KeyID), '}')}, nil
		}
	}
	return proof{}, c.s.mismatch(keys)
}

// unpackEbay wants both members: a signature without the id of its key could be
// tried with any, and a fetched key is found by the id.
func unpackEbay(text string) (packed ebaySignature, signature []byte, ok bool) {
	if len(text) > maxEbaySignature {
		return packed, nil, false
	}
	raw, err := decodeText("base64", text)
	if err != nil || json.Unmarshal(raw, &packed) != nil {
		return packed, nil, false
	}
	signature, err = decodeText("base64", packed.Signature)
	return packed, signature, err == nil && len(signature) > 0 && packed.KeyID != ""
}

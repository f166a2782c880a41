package verify

import (
	"context"
	"crypto/hmac"
	"slices"
)

// moralisChecker checks a Keccak-256 hash of the body with the secret behind
// it. Unlike SHA-2 that hash cannot be continued by who does not know the text,
// so that it does as a MAC.
type moralisChecker struct{ s *scheme }

// check has no template: a hash that is not of the standard library is code.
func (c moralisChecker) check(ctx context.Context, in *input) (proof, *Error) {
	keys, texts, err := c.s.keysAndTexts(ctx, in)
	if err != nil {
		return proof{}, err
	}
	signatures, err := c.s.decode(texts)
	if err != nil {
		return proof{}, err
	}
	// The secret stands behind the body, so that each key takes a hash of its own.
	for _, k := range keys {
		h := newKeccak256()
		h.Write(in.req.Body)
		h.Write(k.raw)
		digest := h.Sum(nil)
		if slices.ContainsFunc(signatures, func(sig []byte) bool { return hmac.Equal(sig, digest) }) {
			return proof{}, nil
		}
	}
	return proof{}, c.s.mismatch(keys)
}

package verify

import "context"

// httpSignatureChecker checks RFC 9421 signatures.
type httpSignatureChecker struct{ s *scheme }

func (h httpSignatureChecker) check(ctx context.Context, in *input) (proof, *Error) {
	if _, err := h.s.usableKeys(ctx, in); err != nil {
		return proof{}, err
	}
	return proof{}, &Error{ReasonSignatureMalformed, "HTTP message signatures cannot be checked yet"}
}

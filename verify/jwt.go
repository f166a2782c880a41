package verify

import "context"

// jwtRules are a JWT with settings filled in.
type jwtRules struct{}

// jwt resolves the rules of KindJWT; path is where they stand.
func (c *compiler) jwt(path string, def *JWT) *jwtRules {
	if def == nil {
		c.fail(path, "is required")
	}
	return &jwtRules{}
}

// jwtChecker checks the token at the scheme's signature. Its proof has the
// token's claims; digests and requirements over them are the scheme's to check.
type jwtChecker struct{ s *scheme }

func (j jwtChecker) check(ctx context.Context, in *input) (proof, *Error) {
	if _, err := j.s.signatureTexts(in); err != nil {
		return proof{}, err
	}
	if _, err := j.s.usableKeys(ctx, in); err != nil {
		return proof{}, err
	}
	return proof{}, &Error{ReasonSignatureMalformed, "tokens cannot be checked yet"}
}

package verify

import "context"

// wixChecker checks a body that is a token, and opens its claim data, which is
// JSON within a string: the claims of the proof are those in there.
type wixChecker struct{ s *scheme }

func (c wixChecker) check(ctx context.Context, in *input) (proof, *Error) {
	p, err := jwtChecker{c.s}.check(ctx, in)
	if err != nil {
		return proof{}, err
	}
	data, _ := jsonText(p.claims, []string{"data"})
	p.claims = []byte(data)
	return p, nil
}

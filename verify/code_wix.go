package verify

import "context"

// wixChecker checks a body that is a token, and opens its claim data, which is
// JSON within a string: the claims of the proof are those in there.
type wixChecker struct{ jwtChecker }

func (c wixChecker) check(ctx context.Context, in *input) (proof, *Error) {
	p, err := c.jwtChecker.check(ctx, in)
	if err != nil {
		return proof{}, err
	}
	data, _ := jsonText(p.claims, []string{"data"})
	// No data, or none that is JSON, leaves the event without a name.
	p.claims = []byte(data)
	return p, nil
}

package deliver

import "github.com/postern-dev/postern"

// Limits are the bounds of an exchange.
func Limits() []postern.Limit {
	return []postern.Limit{
		postern.BytesLimit("response.kept", maxKept, "So much of an endpoint's answer is kept with the attempt."),
		postern.BytesLimit("response.read", maxBody, "So much of an endpoint's answer is read; beyond it the connection is closed."),
	}
}

package engine

import (
	"cmp"
	"slices"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/accept"
	"github.com/postern-dev/postern/internal/catalogue"
	"github.com/postern-dev/postern/internal/deliver"
	"github.com/postern-dev/postern/internal/intake"
	"github.com/postern-dev/postern/internal/journal"
	"github.com/postern-dev/postern/internal/pull"
	"github.com/postern-dev/postern/internal/replay"
	"github.com/postern-dev/postern/sign"
	"github.com/postern-dev/postern/verify"
)

// limits are all bounds but the API's own: the values in force of those that
// are configured, and the constants that the stages check against.
func (e *Engine) limits() []postern.Limit {
	c := &e.cfg
	return slices.Concat([]postern.Limit{
		postern.BytesLimit("inbound.body", c.InboundMaxBody, "The body of an inbound request is at most so large."),
		postern.BytesLimit("request.underway", maxBodies, "Larger requests that are under way come to at most so much; beyond it they are answered with 503."),
		postern.BytesLimit("message.queued", journal.DefaultMaxQueued, "Messages that wait to be stored come to about so much; beyond it they are answered with 503."),
		postern.TimeLimit("inbound.duplicates", intake.DuplicateWindow, "A second copy of an inbound request is recognised for so long."),
		postern.CountLimit("refusal.count", intake.MaxRefusals, "So many refusals are kept of a source."),
		postern.BytesLimit("refusal.bytes", intake.MaxRefusalBytes, "The refusals of a source come to at most so much."),
		postern.TimeLimit("refusal.age", intake.MaxRefusalAge, "A refusal is kept for so long."),
		postern.BytesLimit("refusal.body", intake.MaxRefusedBody, "So much of a refused request's body is kept."),
		postern.BytesLimit("source.setting", verify.MaxSetting, "The value of one of a source's settings is at most so long."),
		postern.TimeLimit("source.tolerance.shortest", verify.MinTolerance, "A source tolerates timestamps that lie so far from now; it cannot be set to less."),
		postern.TimeLimit("source.tolerance.longest", verify.MaxTolerance, "A source tolerates timestamps that lie at most so far from now, whatever it is set to."),
		postern.TimeLimit("idempotency.kept", repeatWindow, "An answer to a request with an idempotency key of its caller's choice is remembered for so long."),
		postern.TimeLimit("message.retention", c.Retention, "A message and its attempts are kept for so long."),
		postern.TimeLimit("attempt.timeout", c.AttemptTimeout, "An attempt takes at most so long, from resolving the name to the last byte."),
		postern.CountLimit("attempt.underway", c.MaxInFlight, "So many attempts are under way at once."),
		postern.CountLimit("retry.default", len(c.RetrySchedule)+1, "A delivery has so many tries where neither endpoint nor event type set a schedule. The waits between them: "+cmp.Or(c.RetrySchedule.String(), "none")+"."),
		postern.TimeLimit("secret.grace", sign.MaxGrace, "A secret that is rotated out goes on signing for at most so long."),
		postern.TimeLimit("secret.grace.default", sign.DefaultGrace, "It does for so long where its rotation does not say."),
		postern.BytesLimit("secret.size", sign.MaxKeyBytes, "A symmetric secret has at most so many bytes once decoded."),
		postern.BytesLimit("secret.smallest", sign.MinKeyBytes, "A symmetric secret has at least so many bytes once decoded."),
	}, postern.Limits(), accept.Limits(), catalogue.Limits(), deliver.Limits(), pull.Limits(), replay.Limits())
}

package api

import (
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/tail"
)

// limitOut is a limit as callers read it.
type limitOut struct {
	Name        string `json:"name"`
	Value       int64  `json:"value"`
	Unit        string `json:"unit"`
	Description string `json:"description"`
}

// getLimits lists every bound and the value in force, all on one page: the
// API's own, then the engine's.
func (h *handler) getLimits(*call, none) (listing[limitOut], error) {
	limits := []postern.Limit{
		postern.BytesLimit("request.body", h.MaxBody, "The body of a request, and so a message's payload, is at most so large."),
		postern.CountLimit("request.depth", maxDepth, "JSON is nested at most so deep."),
		postern.CountLimit("request.faults", maxFaults, "Of what is wrong with a request's body so much is told at most."),
		postern.CountLimit("page.entries", maxLimit, "A page of a list has at most so many entries."),
		postern.CountLimit("page.default", defaultLimit, "A page has so many entries where the query sets no limit."),
		postern.BytesLimit("page.payloads", pageBytes, "A page that shows payloads ends behind the one with which they come to so much."),
		postern.CountLimit("query.values", maxListed, "A list in the query has at most so many values."),
		postern.CountLimit("message.channels", maxMessageChannels, "A message has at most so many channels."),
		postern.CountLimit("message.tags", maxTags, "A message has at most so many tags."),
		postern.BytesLimit("message.tag", maxTag, "A tag is at most so long."),
		postern.TimeLimit("message.retention.shortest", minRetentionDays*24*time.Hour, "A message may ask for its payload to be kept for at least so long, in days; it is kept for message.retention."),
		postern.TimeLimit("message.retention.longest", maxRetentionDays*24*time.Hour, "A message may ask for its payload to be kept for at most so long; it is kept for message.retention."),
		postern.BytesLimit("message.contentType", maxContentType, "A content type is at most so long."),
		postern.CountLimit("idempotency.key", maxKey, "An idempotency key has at most so many characters."),
		postern.TimeLimit("idempotency.auto", remembered, "An answer to a request whose idempotency key begins with auto_ is remembered for about so long."),
		postern.TimeLimit("portal.shortest", minVisit*time.Second, "A visitor's token of the portal is good for at least so long."),
		postern.TimeLimit("portal.default", defaultVisit*time.Second, "A visitor's token of the portal is good for so long unless asked otherwise."),
		postern.TimeLimit("portal.longest", defaultVisit*time.Second, "A visitor's token of the portal is good for at most so long."),
		postern.CountLimit("portal.flags", maxFlags, "A visitor of the portal has at most so many feature flags."),
		postern.CountLimit("portal.sessions", maxFlags, "One request ends at most so many sessions of the portal by name."),
		postern.CountLimit("endpoint.rate", maxRate, "An endpoint's rate, in attempts a second, is at most so high."),
		postern.CountLimit("endpoint.rate.least", minRate, "An endpoint's rate is at least so high; null is for none."),
		postern.TimeLimit("endpoint.stats.since", statsSpan, "An endpoint's attempts are counted from at most so long ago, and from there where the query does not say."),
		postern.TimeLimit("endpoint.stats.skew", statsSkew, "By so much the clock of whoever asks for them may differ."),
		postern.CountLimit("endpoint.stats.attempts", statsExamine, "Of more attempts than so many the newest are counted."),
		postern.CountLimit("stats.buckets", plotBuckets, "An application's stats have at most so many buckets."),
		postern.TimeLimit("stats.bucket.shortest", plotLeast, "A bucket is at least so long."),
		postern.TimeLimit("stats.span", plotMost, "All of them together are about at most so much time."),
		postern.CountLimit("stats.endpoints", plotEndpoints, "An application with more endpoints than so many has stats of one endpoint at a time."),
		postern.CountLimit("stats.attempts", plotAttempts, "Stats are of about so many attempts at most, the newest of each endpoint."),
		postern.CountLimit("expunge.messages", maxExpunged, "One request expunges at most so many messages by name."),
		postern.TimeLimit("message.wait", maxWait, "A publisher waits for outcomes for at most so long."),
		postern.TimeLimit("recover.since", maxRecover, "An endpoint is recovered from at most so long ago."),
		postern.CountLimit("tail.clients", tail.MaxClients, "So many may listen to the tail at once."),
		postern.CountLimit("tail.application", tail.MaxOfOne, "So many of them may listen to one application."),
		postern.CountLimit("tail.buffer", tail.Buffer, "So many events wait for one who listens; what comes beyond is skipped, and counted."),
		postern.BytesLimit("source.secret", maxSourceSecret, "A source's secret is at most so long."),
	}
	limits = append(limits, h.Limits...)
	return listed(window{}, limits, true, "",
		func(l postern.Limit) string { return l.Name },
		func(l postern.Limit) limitOut { return limitOut{l.Name, l.Value, l.Unit, l.Doc} }), nil
}

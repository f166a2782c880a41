package api

import (
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// statsOut counts the attempts of an endpoint, not its messages. An attempt is
// a success or a failure: the other three are Svix's, and 0.
type statsOut struct {
	Success  int `json:"success"`
	Pending  int `json:"pending"`
	Sending  int `json:"sending"`
	Fail     int `json:"fail"`
	Canceled int `json:"canceled"`
	// Since is where the counting began. It is later than what was asked for
	// when there were too many; then only the newest are counted, and Complete
	// is false.
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
	Complete bool      `json:"complete"`
}

// What the counts of an endpoint may span, how much a caller's clock may differ,
// and how many attempts are looked at: some milliseconds' worth.
const (
	statsSpan    = 28 * 24 * time.Hour
	statsSkew    = 5 * time.Minute
	statsExamine = 25_000
)

// getEndpointStats counts the attempts between two moments, the last 28 days
// unless told otherwise.
func (h *handler) getEndpointStats(c *call, _ none) (statsOut, error) {
	since, err := c.moment("since")
	if err != nil {
		return statsOut{}, err
	}
	until, err := c.moment("until")
	if err != nil {
		return statsOut{}, err
	}
	now := h.Now().UTC()
	if until.IsZero() {
		until = now
	}
	if since.IsZero() {
		since = now.Add(-statsSpan)
	}
	switch {
	case until.After(now.Add(statsSkew)):
		return statsOut{}, invalidRange("until lies in the future")
	case since.After(until):
		return statsOut{}, invalidRange("since is later than until")
	case now.Sub(since) > statsSpan+statsSkew:
		return statsOut{}, invalidRange("since is more than 28 days ago")
	}
	v, err := h.endpoint(c)
	if err != nil {
		return statsOut{}, err
	}
	out := statsOut{Until: until.UTC(), Complete: true}
	// Both bounds of the store are exclusive; ids have milliseconds.
	err = h.Outcomes.EachOutcome(c.r.Context(), v.Number, since.Add(-time.Millisecond), until.Add(time.Millisecond), out.count)
	if out.Complete {
		out.Since = since.UTC()
	}
	return out, err
}

// count adds an attempt that is older than those before it; false once there
// are enough.
func (s *statsOut) count(o store.Outcome) bool {
	switch {
	case s.Success+s.Fail == statsExamine:
		s.Complete = false
		return false
	case o.Succeeded:
		s.Success++
	default:
		s.Fail++
	}
	s.Since = o.At.UTC()
	return true
}

// invalidRange is Svix's error for a span of time.
func invalidRange(what string) error {
	return &postern.Error{Kind: postern.Invalid, Code: "invalid_range", Detail: "Query: " + what}
}

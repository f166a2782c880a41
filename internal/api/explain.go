package api

import (
	"slices"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/route"
)

// explanations are why each of an application's endpoints got a message or did
// not: a page of them, and a word about those that are gone.
type explanations struct {
	listing[explanationOut]
	// Matched is how many endpoints the message was routed to, and Deleted how
	// many of them are deleted since, and so on no page.
	Matched int `json:"matched"`
	Deleted int `json:"deleted"`
}

// explanationOut is the word about one endpoint.
type explanationOut struct {
	EndpointID  postern.EndpointID `json:"endpointId"`
	EndpointUID *string            `json:"endpointUid"`
	URL         string             `json:"url"`
	// Matched: the message was routed to it when it was accepted, which is on
	// record.
	Matched bool `json:"matched"`
	// MatchesNow is what the endpoint as it is now would decide, and Reason why.
	MatchesNow bool   `json:"matchesNow"`
	Reason     string `json:"reason"`
	// Changed: the endpoint is not as it was when the message was accepted, so
	// that the reason may not be the one that held.
	Changed bool `json:"changed"`
}

// explain says of every endpoint of the application whether the message was
// routed there and why, the newest endpoint first.
func (h *handler) explain(c *call, _ none) (explanations, error) {
	var out explanations
	w, err := c.window(true)
	if err != nil {
		return out, err
	}
	page, err := listPage(w, postern.ParseEndpointID)
	if err != nil {
		return out, err
	}
	m, err := h.message(c)
	if err != nil {
		return out, err
	}
	out.Matched = len(m.Routes)
	for _, number := range m.Routes {
		if v := h.Endpoints.EndpointByNumber(number); v == nil || v.Deleted {
			out.Deleted++
		}
	}
	views, more := h.Endpoints.Endpoints(c.app.Number, page)
	id := func(v *EndpointView) string { return v.ID.String() }
	out.listing = listed(w, views, !more, "", id, func(v *EndpointView) explanationOut { return explainOne(m, v) })
	return out, nil
}

// explainOne compares what was decided with what would be decided now. Where
// the two differ something has changed, whatever the clocks say.
func explainOne(m *postern.Message, v *EndpointView) explanationOut {
	_, matched := slices.BinarySearch(m.Routes, v.Number)
	now, reason := route.Explain(v, m.EventType, m.Channels)
	accepted := m.CreatedAt()
	created := !matched && v.CreatedAt.After(accepted)
	if created {
		reason = "the endpoint was created after the message; as it is now: " + reason
	}
	return explanationOut{
		EndpointID: v.ID, EndpointUID: null(v.UID), URL: v.URL,
		Matched: matched, MatchesNow: now, Reason: reason,
		Changed: now != matched || created || v.UpdatedAt.After(accepted) || v.Health.DisabledAt.After(accepted),
	}
}

package api

import (
	"slices"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// destinationOut is an endpoint with what became of a message there.
type destinationOut struct {
	endpointOut
	Status      int        `json:"status" api:"0|1|2|3|4"`
	StatusText  string     `json:"statusText" api:"success|pending|fail|sending|canceled"`
	NextAttempt *time.Time `json:"nextAttempt"`
	// State and Reason are Postern's own words for it.
	State  string  `json:"state" api:"pending|sending|retrying|delivered|dead|canceled"`
	Reason *string `json:"reason"`
}

// listDestinations lists the endpoints that a message was routed or resent to,
// but for those that are deleted since.
func (h *handler) listDestinations(c *call, _ none) (listing[destinationOut], error) {
	var list listing[destinationOut]
	w, err := c.window(false)
	if err != nil {
		return list, err
	}
	if _, err := listPage(w, postern.ParseEndpointID); err != nil {
		return list, err
	}
	expanded, err := c.flag("expanded_statuses", false)
	if err != nil {
		return list, err
	}
	m, err := h.message(c)
	if err != nil {
		return list, err
	}
	views, err := h.destinations(c, m)
	if err != nil {
		return list, err
	}
	id := func(v *EndpointView) string { return v.ID.String() }
	views, done := cut(w, views, id)
	keys := make([]store.Placed, len(views))
	for i, v := range views {
		keys[i] = store.Placed{Endpoint: v.Number, Message: m.ID}
	}
	standings, err := h.Outcomes.Standings(c.r.Context(), c.app.Number, keys)
	if err != nil {
		return list, err
	}
	at := map[postern.EndpointNumber]store.Standing{}
	for i, key := range keys {
		at[key.Endpoint] = standings[i]
	}
	return listed(w, views, done, "", id, func(v *EndpointView) destinationOut {
		return renderDestination(v, at[v.Number], expanded)
	}), nil
}

// destinations are the views of a message's endpoints, sorted by id.
func (h *handler) destinations(c *call, m *postern.Message) ([]*EndpointView, error) {
	numbers := slices.Clone(m.Routes)
	_, err := h.History.EachAttempt(c.r.Context(), c.app.Number, m.ID, func(a *postern.Attempt) bool {
		if len(numbers) == 0 || a.Endpoint != numbers[len(numbers)-1] {
			numbers = append(numbers, a.Endpoint)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(numbers)
	var views []*EndpointView
	for _, number := range slices.Compact(numbers) {
		if v := h.Endpoints.EndpointByNumber(number); v != nil && !v.Deleted {
			views = append(views, v)
		}
	}
	slices.SortFunc(views, func(a, b *EndpointView) int { return a.ID.Compare(b.ID) })
	return views, nil
}

// renderDestination is the view that Svix has of a delivery.
func renderDestination(v *EndpointView, standing store.Standing, expanded bool) destinationOut {
	status := statusOf(standing, expanded)
	out := destinationOut{
		endpointOut: renderEndpoint(v), Status: status, StatusText: statusText(status),
		State: standing.State.String(), Reason: null(string(standing.Reason)),
	}
	if standing.Row != nil {
		out.NextAttempt = nullTime(standing.Row.Next)
	}
	return out
}

// statusOf is a delivery's state in Svix's numbers. A canceled one counts as a
// success for callers that know no better.
func statusOf(standing store.Standing, expanded bool) int {
	switch standing.State {
	case postern.Retrying:
		return statusSending
	case postern.Delivered:
		return statusSuccess
	case postern.Dead:
		return statusFail
	case postern.Canceled:
		if expanded {
			return statusCanceled
		}
		return statusSuccess
	}
	return statusPending
}

// delivery names the delivery in the path. Message and endpoint exist; whether
// one was routed to the other does not matter.
func (h *handler) delivery(c *call) (store.DeliveryKey, error) {
	m, err := h.message(c)
	if err != nil {
		return store.DeliveryKey{}, err
	}
	v, err := h.endpoint(c)
	if err != nil {
		return store.DeliveryKey{}, err
	}
	return store.DeliveryKey{Application: c.app.Number, Endpoint: v.Number, Message: m.ID}, nil
}

// empty answers an empty object, where none answers nothing.
type empty struct{}

// resend delivers once more, whatever happened so far; SDKs expect an empty
// object.
func (h *handler) resend(c *call, _ none) (empty, error) {
	d, err := h.delivery(c)
	if err != nil {
		return empty{}, err
	}
	if err := h.requirePayload(c, d.Application, d.Message); err != nil {
		return empty{}, err
	}
	return empty{}, h.Publisher.Resend(c.r.Context(), d)
}

// cancel ends a delivery that is not finished.
func (h *handler) cancel(c *call, _ none) (none, error) {
	d, err := h.delivery(c)
	if err != nil {
		return none{}, err
	}
	return none{}, h.Publisher.Cancel(c.r.Context(), d)
}

package api

import (
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// listedAtOnce bounds how many deliveries a request for an endpoint's messages
// looks at.
const listedAtOnce = 1000

// attempted is a message of an endpoint with what became of it there.
type attempted struct {
	message  *postern.Message
	standing store.Standing
}

// attemptedOut is how appendStanding writes it.
type attemptedOut struct {
	messageShape
	Status      int        `json:"status" api:"0|1|2|3|4"`
	StatusText  string     `json:"statusText" api:"success|pending|fail|sending|canceled"`
	NextAttempt *time.Time `json:"nextAttempt"`
	State       string     `json:"state" api:"pending|sending|retrying|delivered|dead|canceled"`
}

// listAttemptedMessages lists an endpoint's messages, the newest first, with
// their state there. Which of them have a status is looked up one by one, for a
// bounded number; a page may be empty without being the last.
func (h *handler) listAttemptedMessages(c *call, _ none) (listing[messageOut], error) {
	var list listing[messageOut]
	w, page, filter, withContent, err := c.messageQuery()
	if err != nil {
		return list, err
	}
	status, err := c.number("status", statusCanceled)
	if err != nil {
		return list, err
	}
	expanded, err := c.flag("expanded_statuses", false)
	if err != nil {
		return list, err
	}
	v, err := h.endpoint(c)
	if err != nil {
		return list, err
	}
	filter.Endpoint = v.Number
	var keep func(store.Standing) bool
	if status != nil {
		keep = func(s store.Standing) bool { return *status == statusOf(s, expanded) }
	}
	kept, next, err := h.attemptedMessages(c, filter, page, keep)
	if err != nil {
		return list, err
	}
	done := next == ""
	if withContent {
		kept, done, next = fitting(kept, done, next, func(a attempted) int { return a.message.Size })
	}
	list = listed(w, kept, done, next,
		func(a attempted) string { return a.message.ID.String() },
		func(a attempted) messageOut {
			out, failed := h.renderMessage(c, a.message, withContent)
			if failed != nil {
				err = failed
			}
			return appendStanding(out, a.standing, expanded)
		})
	return list, err
}

// attemptedMessages fills a page with the deliveries that keep lets through, nil
// for all; next is where an unfinished list goes on, "" at its end.
func (h *handler) attemptedMessages(c *call, filter store.MessageFilter, page store.Page, keep func(store.Standing) bool) (kept []attempted, next string, err error) {
	limit := page.Limit
	if keep != nil {
		page.Limit = maxLimit // of which few may be kept
	}
	for examined := 0; ; {
		found, err := h.History.Messages(c.r.Context(), c.app.Number, filter, page)
		if err != nil {
			return nil, "", err
		}
		standings, err := h.Outcomes.Standings(c.r.Context(), c.app.Number, placedAt(filter.Endpoint, found.Messages))
		if err != nil {
			return nil, "", err
		}
		for i, m := range found.Messages {
			if keep != nil && !keep(standings[i]) {
				continue
			}
			kept = append(kept, attempted{m, standings[i]})
			if len(kept) == limit && (i+1 < len(found.Messages) || !found.Done) {
				return kept, m.ID.String(), nil
			}
		}
		next = goOn[postern.MessageID](found.Next, found.Done)
		if examined += max(len(found.Messages), page.Limit); found.Done || len(kept) == limit || examined >= listedAtOnce {
			return kept, next, nil
		}
		if len(found.Messages) < page.Limit {
			return kept, next, nil // the store looked at as many as it may
		}
		page.After = found.Next
	}
}

// placedAt names messages' deliveries at an endpoint.
func placedAt(endpoint postern.EndpointNumber, messages []*postern.Message) []store.Placed {
	keys := make([]store.Placed, len(messages))
	for i, m := range messages {
		keys[i] = store.Placed{Endpoint: endpoint, Message: m.ID}
	}
	return keys
}

// appendStanding ends a message's object with what became of it at an endpoint.
func appendStanding(m messageOut, standing store.Standing, expanded bool) messageOut {
	if len(m) == 0 {
		return m
	}
	status := statusOf(standing, expanded)
	out := append(m[:len(m)-1:len(m)-1], `,"status":`...)
	out = append(out, '0'+byte(status))
	out = append(append(append(out, `,"statusText":"`...), statusText(status)...), `","nextAttempt":`...)
	if standing.Row == nil || standing.Row.Next.IsZero() {
		out = append(out, "null"...)
	} else {
		out = append(standing.Row.Next.UTC().AppendFormat(append(out, '"'), time.RFC3339Nano), '"')
	}
	out = append(append(append(out, `,"state":"`...), standing.State.String()...), '"')
	return append(out, '}')
}

// listDeliveryAttempts lists what was tried for one message at one endpoint: an
// older path for the same.
func (h *handler) listDeliveryAttempts(c *call, _ none) (listing[attemptOut], error) {
	v, err := h.endpoint(c)
	if err != nil {
		return listing[attemptOut]{}, err
	}
	return h.attemptsOf(c, v.Number)
}

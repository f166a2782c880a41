package api

import (
	"errors"
	"strconv"

	"github.com/postern-dev/postern"
)

// expungedResponse is what the response of an expunged attempt reads.
const expungedResponse = "EXPUNGED"

// maxExpunged is how many messages one request may expunge.
const maxExpunged = 100

// expungeIn names messages, by id or event id.
type expungeIn struct {
	IDs optional[[]string] `json:"ids"`
}

// expungeOut tells of each name "expunged" or "not-found".
type expungeOut struct {
	Results map[string]string `json:"results"`
}

// expungeMessage deletes a message's payload and ends its unfinished
// deliveries; what was sent is sent. It may be repeated without effect.
func (h *handler) expungeMessage(c *call, _ none) (none, error) {
	m, err := h.message(c)
	if err != nil {
		return none{}, err
	}
	return none{}, h.Expunger.Expunge(c.r.Context(), c.app.Number, m.ID)
}

// expungeMessages does that for several, one after the other. What fails half
// way can be repeated.
func (h *handler) expungeMessages(c *call, in expungeIn) (expungeOut, error) {
	out := expungeOut{Results: map[string]string{}}
	if in.IDs.Value == nil {
		return out, nil
	}
	if len(*in.IDs.Value) > maxExpunged {
		return out, postern.InvalidField("must have at most "+strconv.Itoa(maxExpunged)+" entries", "body", "ids")
	}
	for _, ref := range *in.IDs.Value {
		m, err := h.messageNamed(c, ref)
		if err == nil {
			err = h.Expunger.Expunge(c.r.Context(), c.app.Number, m.ID)
		}
		switch {
		case err == nil:
			out.Results[ref] = "expunged"
		case errors.Is(err, postern.ErrNotFound):
			out.Results[ref] = "not-found"
		default:
			return out, err
		}
	}
	return out, nil
}

// expungeAll begins to expunge all messages that there are by now.
func (h *handler) expungeAll(c *call, _ none) (taskOut, error) {
	r, err := h.Expunger.ExpungeAll(c.r.Context(), c.app.Number)
	if err != nil {
		return taskOut{}, err
	}
	return renderTask(r), nil
}

// expungeAttempt deletes what the endpoint answered.
func (h *handler) expungeAttempt(c *call, _ none) (none, error) {
	a, err := h.attempt(c)
	if err != nil {
		return none{}, err
	}
	redacted := *a
	redacted.Response = []byte(expungedResponse)
	return none{}, h.Expunger.Redact(c.r.Context(), redacted)
}

// requirePayload refuses to send what is expunged.
func (h *handler) requirePayload(c *call, app postern.ApplicationNumber, id postern.MessageID) error {
	_, err := h.History.Content(c.r.Context(), app, id)
	if errors.Is(err, postern.ErrNotFound) {
		return &postern.Error{Kind: postern.Invalid, Code: "missing_payload", Detail: "The message's payload was deleted: there is nothing to send"}
	}
	return err
}

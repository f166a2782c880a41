package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/tail"
	"github.com/postern-dev/postern/store"
)

// maxWait bounds how long a publisher can wait for outcomes.
const maxWait = time.Minute

// publishedOut is a new message, with what is known of its deliveries where the
// publisher waited for that.
type publishedOut struct {
	messageShape
	Deliveries []deliveryOut `json:"deliveries,omitempty"`
	// MoreDeliveries: the message has more deliveries than are told.
	MoreDeliveries bool `json:"moreDeliveries,omitempty"`
}

// wait is how long the publisher wants to wait for outcomes, 0 for not at all:
// the common case, which costs a look at the query.
func (c *call) wait() (time.Duration, error) {
	if !strings.Contains(c.r.URL.RawQuery, "wait") {
		return 0, nil
	}
	text, err := c.value("wait")
	if err != nil || text == "" {
		return 0, err
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, badQuery("wait is not a duration such as 5s")
	}
	if d < 0 || d > maxWait {
		return 0, postern.InvalidField("must be 0s to "+maxWait.String(), "query", "wait")
	}
	return d, nil
}

// outcomes is the end of a new message's answer: how its deliveries stand once
// all have had a try, or the wait is over. The message is accepted, whatever
// happens here.
func (h *handler) outcomes(c *call, m *postern.Message, wait time.Duration) []byte {
	// The server's patience is meant for bodies, and this one is read.
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Time{}) // not every writer has one
	var told struct {
		Deliveries     []deliveryOut `json:"deliveries"`
		MoreDeliveries bool          `json:"moreDeliveries"`
	}
	found, err := h.await(c.r.Context(), m, wait)
	if err != nil {
		h.logFailure(c, "message.create", err) // the answer is complete without it, and says so
		told.MoreDeliveries = true
	}
	if h.askAgain(c) != nil { // the key was good for the message, and is no longer
		found, told.MoreDeliveries = nil, true
	}
	for i := range found {
		told.Deliveries = append(told.Deliveries, renderDelivery(&found[i], true))
	}
	told.MoreDeliveries = told.MoreDeliveries || len(m.Routes) > maxLimit
	text, _ := json.Marshal(told) //nolint:errchkjson // of strings, numbers and times
	return text[1:]
}

// await reads how the deliveries stand once all have ended, or will not be tried
// within the wait.
func (h *handler) await(ctx context.Context, m *postern.Message, wait time.Duration) ([]delivery, error) {
	found := h.delivered(m)
	keys := make([]store.DeliveryKey, len(found))
	for i := range found {
		e := found[i].endpoint
		keys[i] = store.DeliveryKey{Application: e.Application, Endpoint: e.Number, Message: m.ID}
	}
	standings, err := h.Tail.Await(ctx, h.Deliveries, tail.Awaited{Message: m.ID, Deliveries: keys, Wait: wait, Until: h.Now().Add(wait)})
	for i, s := range standings {
		found[i].standing = s
	}
	return found, err
}

// delivered are a message's deliveries, as many as are told.
func (h *handler) delivered(m *postern.Message) []delivery {
	found := make([]delivery, 0, min(len(m.Routes), maxLimit))
	for _, number := range m.Routes[:min(len(m.Routes), maxLimit)] {
		if v := h.Endpoints.EndpointByNumber(number); v != nil {
			found = append(found, delivery{message: m.ID, endpoint: v})
		}
	}
	return found
}

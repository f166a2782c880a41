package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/postern-dev/postern"
	"github.com/tidwall/gjson"
)

const (
	defaultLeases    = 10
	defaultLeaseWait = 20 // seconds
	maxNackError     = 20 << 10
)

// leaseIn is what a consumer asks for: at most so many messages, 10 unless given,
// waiting at most so long for the first, and so long to process them.
type leaseIn struct {
	Limit        optional[int] `json:"limit"`
	WaitSeconds  optional[int] `json:"waitSeconds"`
	LeaseSeconds optional[int] `json:"leaseSeconds"`
	// Payload is "json" for the shape that messages have elsewhere, or "base64"
	// for one that has the exact bytes: contentType and bodyBase64.
	Payload optional[string] `json:"payload" api:"json|base64"`
}

// leaseOut is a delivery that the consumer holds until ExpiresAt.
type leaseOut struct {
	ID postern.LeaseID `json:"id"`
	// Attempt is which try of the delivery it is, from 1.
	Attempt   int       `json:"attempt"`
	ExpiresAt time.Time `json:"expiresAt"`
	// ReplayID is there where a replay started the delivery.
	ReplayID *postern.ReplayID `json:"replayId,omitempty"`
	Message  messageOut        `json:"message"`
}

// leasesOut is what a consumer was given: nothing where nothing came.
type leasesOut struct {
	Data []leaseOut `json:"data"`
}

// heldIn names leases.
type heldIn struct {
	Leases optional[[]string] `json:"leases" api:"required"`
}

// nackIn names leases whose messages were not processed.
type nackIn struct {
	heldIn
	// DelaySeconds makes the wait for the next try at least so long.
	DelaySeconds optional[int] `json:"delaySeconds"`
	// Permanent ends the deliveries as dead.
	Permanent optional[bool] `json:"permanent"`
	// Error is kept as the attempts' response.
	Error optional[string] `json:"error"`
}

// extendIn names leases, and how long they last from now on.
type extendIn struct {
	heldIn
	LeaseSeconds optional[int] `json:"leaseSeconds" api:"required"`
}

// endedOut names the leases that had ended before: their messages are given out
// again, or were.
type endedOut struct {
	Missing []postern.LeaseID `json:"missing"`
}

// extendedOut says when the first of the leases ends.
type extendedOut struct {
	ExpiresAt time.Time         `json:"expiresAt"`
	Missing   []postern.LeaseID `json:"missing"`
}

// pullEndpoint finds the endpoint in the path, which consumers must be able to
// ask.
func (h *handler) pullEndpoint(c *call) (*EndpointView, error) {
	v, err := h.endpoint(c)
	switch {
	case err != nil:
		return nil, err
	case v.Kind != postern.PullEndpoint:
		return nil, &postern.Error{Kind: postern.Conflict, Code: "not_pull", Detail: "Deliveries of an endpoint of kind " + string(v.Kind) + " are sent to it: only those of kind pull are fetched"}
	}
	return v, nil
}

// lease gives a consumer what waits.
func (h *handler) lease(c *call, in leaseIn) (leasesOut, error) {
	v, err := h.pullEndpoint(c)
	if err != nil {
		return leasesOut{}, err
	}
	r, exact, err := in.request()
	if err != nil {
		return leasesOut{}, err
	}
	if r.Wait > 0 {
		// The server's patience is meant for bodies, and this one is read.
		_ = http.NewResponseController(c.w).SetReadDeadline(time.Time{}) // not every writer has one
	}
	found, err := h.Leases.Lease(c.r.Context(), v, r)
	if err != nil {
		return leasesOut{}, err
	}
	if err := h.askAgain(c); err != nil { // the key may have been revoked meanwhile
		_, releaseErr := h.Leases.Release(c.r.Context(), v.Number, idsOf(found))
		if releaseErr != nil {
			h.logFailure(c, c.operation.name, releaseErr)
		}
		return leasesOut{}, err
	}
	out := leasesOut{Data: make([]leaseOut, len(found))}
	for i := range found {
		out.Data[i] = renderLease(&found[i], exact)
	}
	return out, nil
}

// request is what the body asks for.
func (in *leaseIn) request() (r postern.LeaseRequest, exact bool, err error) {
	var f faults
	limit, wait, seconds, shape := defaultLeases, defaultLeaseWait, int(postern.DefaultLease/time.Second), "json"
	take(&f, "limit", in.Limit, &limit, between(1, postern.MaxLeases))
	take(&f, "waitSeconds", in.WaitSeconds, &wait, between(0, int(postern.MaxLeaseWait/time.Second)))
	take(&f, "leaseSeconds", in.LeaseSeconds, &seconds, wrongLease)
	take(&f, "payload", in.Payload, &shape, func(s string) string {
		if s != "json" && s != "base64" {
			return "must be json or base64"
		}
		return ""
	})
	if limit == 0 {
		limit = defaultLeases // null
	}
	r = postern.LeaseRequest{Limit: limit, Wait: time.Duration(wait) * time.Second, Duration: time.Duration(seconds) * time.Second}
	return r, shape == "base64", f.err()
}

// between says what is wrong with a number that has bounds.
func between(least, most int) func(int) string {
	return func(n int) string {
		if n < least || n > most {
			return fmt.Sprintf("must be %d to %d", least, most)
		}
		return ""
	}
}

func wrongLease(seconds int) string { return between(1, int(postern.MaxLease/time.Second))(seconds) }

// renderLease has the payload as messages have it, or exactly.
func renderLease(l *postern.Lease, exact bool) leaseOut {
	payload := l.Content.Payload
	switch {
	case exact:
		payload = encodePayload(l.Message.ContentType, payload)
	case !isObject(payload):
		payload = wrapPayload(l.Message.ContentType, payload)
	}
	out := leaseOut{
		ID: l.ID, Attempt: l.Attempt, ExpiresAt: l.ExpiresAt,
		Message: appendMessage(make([]byte, 0, answerRoom+len(payload)), l.Message, payload),
	}
	if !l.Replay.IsZero() {
		out.ReplayID = &l.Replay
	}
	return out
}

// encodePayload holds a payload's bytes whatever they are.
func encodePayload(contentType string, payload []byte) []byte {
	out := gjson.AppendJSONString([]byte(`{"contentType":`), contentType)
	out = append(out, `,"bodyBase64":"`...)
	out = base64.StdEncoding.AppendEncode(out, payload)
	return append(out, '"', '}')
}

func idsOf(leases []postern.Lease) []postern.LeaseID {
	ids := make([]postern.LeaseID, len(leases))
	for i := range leases {
		ids[i] = leases[i].ID
	}
	return ids
}

// held reads the endpoint and the leases that a body names. One that cannot be
// read is no lease of anybody's, and named again it is the same one.
func (h *handler) held(c *call, f *faults, in *heldIn) (*EndpointView, []postern.LeaseID, error) {
	v, err := h.pullEndpoint(c)
	if err != nil {
		return nil, nil, err
	}
	var names []string
	take(f, "leases", in.Leases, &names, nil)
	if len(names) == 0 || len(names) > postern.MaxLeases {
		f.add("must name 1 to "+strconv.Itoa(postern.MaxLeases)+" leases", "leases")
		return v, nil, nil
	}
	ids := make([]postern.LeaseID, 0, len(names))
	for i, name := range names {
		id, err := postern.ParseLeaseID(name)
		if err != nil {
			f.add("is not the id of a lease", "leases", strconv.Itoa(i))
			continue
		}
		ids = append(ids, id)
	}
	slices.SortFunc(ids, postern.LeaseID.Compare)
	return v, slices.Compact(ids), nil
}

// ackLeases says that the messages were processed.
func (h *handler) ackLeases(c *call, in heldIn) (endedOut, error) {
	return h.endLeases(c, &in, h.Leases.Ack)
}

// releaseLeases gives messages back that were not begun with.
func (h *handler) releaseLeases(c *call, in heldIn) (endedOut, error) {
	return h.endLeases(c, &in, h.Leases.Release)
}

// endLeases ends leases of which nothing more is to be said.
func (h *handler) endLeases(c *call, in *heldIn, end func(context.Context, postern.EndpointNumber, []postern.LeaseID) ([]postern.LeaseID, error)) (endedOut, error) {
	var f faults
	v, ids, err := h.held(c, &f, in)
	if err == nil {
		err = f.err()
	}
	if err != nil {
		return endedOut{}, err
	}
	missing, err := end(c.r.Context(), v.Number, ids)
	return endedOut{listOf(missing)}, err
}

// nackLeases says that they were not.
func (h *handler) nackLeases(c *call, in nackIn) (endedOut, error) {
	var f faults
	var why postern.Nack
	v, ids, err := h.held(c, &f, &in.heldIn)
	if err != nil {
		return endedOut{}, err
	}
	var delay int
	take(&f, "delaySeconds", in.DelaySeconds, &delay, between(0, int(postern.MaxRetryAfter/time.Second)))
	take(&f, "permanent", in.Permanent, &why.Permanent, nil)
	take(&f, "error", in.Error, &why.Error, func(text string) string {
		if len(text) > maxNackError {
			return "must have at most " + strconv.Itoa(maxNackError) + " bytes"
		}
		return ""
	})
	why.Delay = time.Duration(delay) * time.Second
	if err := f.err(); err != nil {
		return endedOut{}, err
	}
	missing, err := h.Leases.Nack(c.r.Context(), v.Number, ids, why)
	return endedOut{listOf(missing)}, err
}

// extendLeases gives the consumer more time.
func (h *handler) extendLeases(c *call, in extendIn) (extendedOut, error) {
	var f faults
	v, ids, err := h.held(c, &f, &in.heldIn)
	if err != nil {
		return extendedOut{}, err
	}
	seconds := 0
	take(&f, "leaseSeconds", in.LeaseSeconds, &seconds, wrongLease)
	if seconds == 0 && !f.has("leaseSeconds") {
		f.add("is required", "leaseSeconds")
	}
	if err := f.err(); err != nil {
		return extendedOut{}, err
	}
	until, missing, err := h.Leases.Extend(c.r.Context(), v.Number, ids, time.Duration(seconds)*time.Second)
	return extendedOut{until, listOf(missing)}, err
}

// listOf makes no list an empty one.
func listOf[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

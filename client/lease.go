package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/postern-dev/postern"
)

// Leases are deliveries of pull endpoints in a consumer's hands. Consume does
// with them what most programs want.
type Leases struct{ c *Client }

// Lease is a delivery that a consumer holds until ExpiresAt, and nobody else
// does. Ended before, its message is given out again.
type Lease struct {
	ID postern.LeaseID
	// Attempt is which try of the delivery it is, from 1.
	Attempt   int
	ExpiresAt time.Time
	// ReplayID is what started the delivery anew; zero for nothing.
	ReplayID postern.ReplayID
	// Message has no payload of its own: Payload is the exact bytes.
	Message Message
	Payload []byte
}

// LeaseIn is what a consumer asks for. The zero value is up to 10 messages, 20 s
// of patience for the first, and 30 s to process them.
type LeaseIn struct {
	// Limit is how many are taken at most; up to postern.MaxLeases.
	Limit int
	// Wait is how long to wait where there is nothing, to the second, up to
	// postern.MaxLeaseWait; negative for not at all. It must be shorter than the
	// client's timeout.
	Wait time.Duration
	// Duration is how long the consumer has, to the second, up to
	// postern.MaxLease.
	Duration time.Duration
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *Lease) UnmarshalJSON(text []byte) error {
	var in struct {
		ID        postern.LeaseID  `json:"id"`
		Attempt   int              `json:"attempt"`
		ExpiresAt time.Time        `json:"expiresAt"`
		ReplayID  postern.ReplayID `json:"replayId"`
		Message   Message          `json:"message"`
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	var payload struct {
		BodyBase64 []byte `json:"bodyBase64"`
	}
	if err := json.Unmarshal(in.Message.Payload, &payload); err != nil {
		return fmt.Errorf("the payload of %s: %w", in.Message.ID, err)
	}
	in.Message.Payload = nil
	*l = Lease{ID: in.ID, Attempt: in.Attempt, ExpiresAt: in.ExpiresAt, ReplayID: in.ReplayID, Message: in.Message, Payload: payload.BodyBase64}
	return nil
}

// Create gets what waits at an endpoint; none where nothing came.
func (l Leases) Create(ctx context.Context, app, endpoint string, in LeaseIn) ([]Lease, error) {
	body := Patch{"payload": "base64"}
	if in.Limit != 0 {
		body["limit"] = in.Limit
	}
	if in.Wait != 0 {
		body["waitSeconds"] = max(0, int(in.Wait/time.Second))
	}
	if in.Duration != 0 {
		body["leaseSeconds"] = int(in.Duration / time.Second)
	}
	out, err := call[struct {
		Data []Lease `json:"data"`
	}](ctx, l.c, request{
		method: http.MethodPost, path: path("app", app, "endpoint", endpoint, "lease"), body: body, unkeyed: true,
	})
	if err != nil {
		return nil, err
	}
	return out.Data, nil
}

// Ack ends leases whose messages were processed. Those that had ended before are
// missing: their messages are given out again, or were.
func (l Leases) Ack(ctx context.Context, app, endpoint string, ids ...postern.LeaseID) (missing []postern.LeaseID, err error) {
	return l.end(ctx, l.held(app, endpoint, "ack", Patch{"leases": ids}))
}

// Nack ends leases whose messages were not processed; see postern.Nack. Else it
// is as Ack.
func (l Leases) Nack(ctx context.Context, app, endpoint string, why postern.Nack, ids ...postern.LeaseID) (missing []postern.LeaseID, err error) {
	return l.end(ctx, l.held(app, endpoint, "nack", Patch{
		"leases": ids, "delaySeconds": seconds(why.Delay), "permanent": why.Permanent, "error": why.Error,
	}))
}

// Extend has leases end after d from now. It returns when the first of them does.
func (l Leases) Extend(ctx context.Context, app, endpoint string, d time.Duration, ids ...postern.LeaseID) (until time.Time, missing []postern.LeaseID, err error) {
	out, err := call[struct {
		ExpiresAt time.Time         `json:"expiresAt"`
		Missing   []postern.LeaseID `json:"missing"`
	}](ctx, l.c, l.held(app, endpoint, "extend", Patch{"leases": ids, "leaseSeconds": seconds(d)}))
	if err != nil {
		return time.Time{}, nil, err
	}
	return out.ExpiresAt, out.Missing, nil
}

// Release gives messages back that were not begun with: no try is used up.
func (l Leases) Release(ctx context.Context, app, endpoint string, ids ...postern.LeaseID) (missing []postern.LeaseID, err error) {
	return l.end(ctx, l.held(app, endpoint, "release", Patch{"leases": ids}))
}

func (l Leases) end(ctx context.Context, r request) ([]postern.LeaseID, error) {
	out, err := call[struct {
		Missing []postern.LeaseID `json:"missing"`
	}](ctx, l.c, r)
	if err != nil {
		return nil, err
	}
	return out.Missing, nil
}

// held is a request about leases that are held.
func (l Leases) held(app, endpoint, verb string, body Patch) request {
	return request{method: http.MethodPost, path: path("app", app, "endpoint", endpoint, "lease", verb), body: body}
}

// seconds is a duration as the API takes it, rounded up.
func seconds(d time.Duration) int { return int((max(d, 0) + time.Second - 1) / time.Second) }

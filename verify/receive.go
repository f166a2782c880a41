package verify

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Result is what is to be done about a request.
type Result struct {
	// Events are to be published, each of its own or none of them; usually one.
	// None without a handshake is an empty batch.
	Events []Event
	// Event is what a verified request says about itself as a whole, published or
	// not; zero where nothing vouches for it.
	Event Event
	// Handshake is which one was answered; "" for none.
	Handshake HandshakeKind
	// Confirm is an address to fetch with a GET before the answer, without
	// following redirects; what it says does not count. "" for none.
	Confirm string
	// Store is a secret to keep before the answer, unless the source has one by
	// then; nil for none.
	Store *Delivered
	// Answer is what the provider wants to hear, filled in; its zero Status is the
	// server's own answer. It is there beside an error as well.
	Answer Answer
}

// Delivered is a secret that came in a handshake. Nothing vouches for it.
type Delivered struct {
	// Setting is the source's setting that it belongs to.
	Setting string
	Secret  string
}

// Receive decides about one request, handshakes included, as Verify does about
// events: the error is an *Error, and Result.Answer then what its sender is
// told. It changes nothing; what there is to do is in the Result.
func (v *Verifier) Receive(ctx context.Context, req Request, now time.Time) (Result, error) {
	in := &input{req: req, now: now}
	for i := range v.handshakes {
		if h := &v.handshakes[i]; h.is(in) {
			return v.shake(ctx, h, in)
		}
	}
	result, err := v.take(ctx, in)
	if err != nil {
		return Result{Answer: v.refusal()}, err
	}
	result.Answer = v.answer.render()
	return result, nil
}

// Methods are those that a source takes requests in: POST, and what the
// definition names.
func (v *Verifier) Methods() []string {
	methods := slices.Clone(v.def.Methods)
	for _, h := range v.handshakes {
		methods = append(methods, h.methods...)
	}
	methods = slices.DeleteFunc(methods, func(m string) bool { return m == http.MethodPost })
	slices.Sort(methods)
	return append([]string{http.MethodPost}, slices.Compact(methods)...)
}

// take verifies a request and reads its events.
func (v *Verifier) take(ctx context.Context, in *input) (Result, *Error) {
	if err := v.accept(ctx, in); err != nil {
		return Result{}, err
	}
	// What a verified request says may be compressed; what does not inflate says
	// nothing, as before.
	if inflated, err := inflate(in.req.Body); err == nil {
		in.req.Body = inflated
	}
	events, err := v.events(in)
	if err != nil {
		return Result{}, err
	}
	return Result{Events: events, Event: v.whole(events)}, nil
}

// shake answers a handshake. What is signed is verified first, so that only the
// provider learns what a right challenge looks like.
func (v *Verifier) shake(ctx context.Context, h *handshake, in *input) (Result, error) {
	result := Result{Handshake: h.kind}
	if h.signed {
		taken, err := v.take(ctx, in)
		if err != nil {
			return Result{Answer: v.refusal()}, err
		}
		result.Event = taken.Event
		if h.publish {
			result.Events = taken.Events
		}
	}
	challenge, err := h.meet(in)
	if err == nil {
		err = v.respond(h, in, challenge, &result)
	}
	if err != nil {
		return Result{Answer: Answer{Status: h.refusal}}, err
	}
	return result, nil
}

// respond fills in the answer to a challenge that is right in form, and what is
// to be done before it is given.
func (v *Verifier) respond(h *handshake, in *input, challenge string, result *Result) *Error {
	switch h.kind {
	case HandshakeConsent:
		var err *Error
		result.Answer, err = h.consent(challenge)
		return err
	case HandshakeConfirm:
		if !h.confirmable(challenge) {
			return &Error{ReasonHandshakeRefused, h.challenge.label() + " is not an address of the provider"}
		}
		result.Confirm = challenge
	case HandshakeStore:
		switch same, some := h.keeps(challenge); {
		case same: // a handshake whose answer was lost
		case some:
			return &Error{ReasonHandshakeRefused, "a secret was delivered, and the source has another: the first is kept. Empty the setting " + h.setting + ", and the secrets, to take a new one"}
		default:
			result.Store = &Delivered{Setting: h.setting, Secret: challenge}
		}
	}
	endpoint := h.settings["endpoint"]
	if endpoint == "" {
		endpoint, _, _ = strings.Cut(in.req.URL, "?")
	}
	if endpoint == "" && h.compute != nil && strings.Contains(h.compute.template, "{endpoint}") {
		return &Error{ReasonURLMissing, "the answer to the provider's challenge covers the URL, and the public URL is not known"}
	}
	computed, err := h.computed(challenge, endpoint)
	if err != nil {
		return err
	}
	result.Answer = h.answer.render("{challenge}", challenge, "{computed}", computed, "{endpoint}", endpoint)
	return nil
}

// refusal is one and the same answer whatever did not verify.
func (v *Verifier) refusal() Answer {
	if v.def.RefusalStatus != 0 {
		return Answer{Status: v.def.RefusalStatus}
	}
	return Answer{Status: http.StatusUnauthorized}
}

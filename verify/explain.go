package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Explanation is how a request fared at each step of its verification.
type Explanation struct {
	// Accepted: Receive accepts the request, as an event or as a handshake.
	Accepted bool
	// Reason and Detail are those of the refusal; "" when accepted.
	Reason Reason
	Detail string
	// Steps are in the order in which they are taken. At most one differs; those
	// behind it were not reached.
	Steps []Step
	// Event is what the request says about itself; zero when refused, and of a
	// handshake.
	Event Event
}

// Step is one step of a verification. It holds no secret and no digest.
type Step struct {
	Name   string    `json:"name"`
	State  StepState `json:"state"`
	Detail string    `json:"detail"`
}

// StepState is how a step came out.
type StepState string

// The states of a step.
const (
	StepOK         StepState = "ok"
	StepDiffers    StepState = "differs"
	StepNotReached StepState = "not reached"
)

// The steps, in their order.
const (
	stepDefinition = "definition"
	stepSecrets    = "secrets"
	stepHeaders    = "headers"
	stepTimestamp  = "timestamp"
	stepText       = "signed text"
	stepSignature  = "signature"
	stepBinding    = "required values"
	stepWindow     = "window"
	stepEventType  = "event type"
	stepDeliveryID = "delivery id"
	stepHandshake  = "handshake"
)

// Explain verifies a request as Receive does and tells of each step. It is for
// the owner of the source: a sender must not see it.
//
// Receive decides, and the steps only tell of it, so that the two never disagree.
func (v *Verifier) Explain(ctx context.Context, req Request, now time.Time) Explanation {
	result, err := v.Receive(ctx, req, now)
	e := Explanation{Accepted: err == nil, Event: result.Event}
	var refused *Error
	if errors.As(err, &refused) {
		e.Reason, e.Detail = refused.Reason, refused.Detail
	}
	in := &input{req: req, now: now}
	i := slices.IndexFunc(v.handshakes, func(h handshake) bool { return h.is(in) })
	if i < 0 || v.handshakes[i].signed {
		e.verification(ctx, v, in)
	} else {
		e.add(stepDefinition, v.def.ID, nil)
	}
	if i >= 0 {
		e.handshake(v.handshakes[i].kind, result.Answer.Status)
	}
	return e
}

// furthest is the alternative that accepts the request, or else the one that got
// furthest with it, and what in then holds. number is its place among those that
// the source has secrets for, counted from 1.
func (v *Verifier) furthest(ctx context.Context, in *input) (s *scheme, number int, failure *Error) {
	for i, other := range v.schemes {
		_, err := other.accept(ctx, in)
		if err == nil {
			return other, i + 1, nil
		}
		if next := further(failure, err); next != failure {
			s, number, failure = other, i+1, next
		}
	}
	if s != nil {
		_, failure = s.accept(ctx, in) // once more, for what in holds of it
	}
	return s, number, failure
}

// add appends a step; behind one that differs it is not reached. A failure
// belongs to one step, by its reason.
func (e *Explanation) add(name, detail string, failed *Error) {
	state := StepOK
	switch {
	case slices.ContainsFunc(e.Steps, Step.differs):
		state, detail = StepNotReached, ""
	case failed != nil && stepOf(failed.Reason) == name:
		state, detail = StepDiffers, failed.Detail
	}
	e.Steps = append(e.Steps, Step{name, state, detail})
}

// verification tells of the steps of the scheme that decides.
func (e *Explanation) verification(ctx context.Context, v *Verifier, in *input) {
	s, number, failure := v.furthest(ctx, in)
	if s == nil {
		e.Steps = append(e.Steps, Step{stepSecrets, StepDiffers, e.Detail})
		return
	}
	detail := fmt.Sprintf("%s: %s", v.def.ID, s.kind)
	if len(v.schemes) > 1 {
		detail += fmt.Sprintf(", way %d of the %d that it can be", number, len(v.schemes))
	}
	e.add(stepDefinition, detail, failure)
	e.add(stepSecrets, s.keyWords(), failure)
	e.add(stepHeaders, s.placeWords(in), failure)
	e.add(stepTimestamp, s.timestampWords(in), failure)
	e.add(stepText, s.textWords(in), failure)
	e.add(stepSignature, "right", failure)
	e.add(stepBinding, s.bindingWords(), failure)
	e.add(stepWindow, s.windowWords(), failure)
	if failure == nil && e.Reason == ReasonDuplicateHeader {
		// The scheme accepts the request; what it says of itself is not clear.
		e.Steps = append(e.Steps, Step{stepEventType, StepDiffers, e.Detail})
	}
	e.add(stepEventType, orNone(e.Event.ProviderEventType), nil)
	e.add(stepDeliveryID, orNone(e.Event.DeliveryID), nil)
}

// handshake tells of a request that is none of the ordinary.
func (e *Explanation) handshake(kind HandshakeKind, status int) {
	if !e.Accepted && !slices.ContainsFunc(e.Steps, Step.differs) {
		e.Steps = append(e.Steps, Step{stepHandshake, StepDiffers, e.Detail})
		return
	}
	detail := string(kind)
	if status != 0 {
		detail += fmt.Sprintf(", answered with %d", status)
	}
	e.add(stepHandshake, detail, nil)
}

func (s Step) differs() bool { return s.State == StepDiffers }

// stepOf is where a request failed. What is not named here is about the signature
// itself.
func stepOf(r Reason) string {
	switch r {
	case ReasonSchemeUnmet:
		return stepDefinition
	case ReasonSecretMissing, ReasonKeyForbidden, ReasonKeyUnavailable:
		return stepSecrets
	case ReasonSignatureMissing, ReasonDuplicateHeader, ReasonDuplicateValue:
		return stepHeaders
	case ReasonTimestampMissing, ReasonTimestampMalformed:
		return stepTimestamp
	case ReasonURLMissing, ReasonHeaderMissing, ReasonValueMissing, ReasonBodyMalformed:
		return stepText
	case ReasonDigestMismatch, ReasonValueMismatch:
		return stepBinding
	case ReasonTimestampOutsideWindow:
		return stepWindow
	}
	return stepSignature
}

// keyWords says how many keys there are, and of which size.
func (s *scheme) keyWords() string {
	switch {
	case s.kind == KindNone:
		return "none: nothing is verified"
	case len(s.keys) == 0 && s.remote != nil:
		return "none of its own: the provider's keys are fetched"
	case len(s.keys) == 1:
		return "1 key"
	}
	return fmt.Sprintf("%d keys", len(s.keys))
}

// placeWords says what of the signature is there, by its length: a token is its
// own signature, and what is told here is pasted into tickets.
func (s *scheme) placeWords(in *input) string {
	if len(s.places) == 0 {
		return "as the scheme demands"
	}
	var found []string
	for _, place := range s.places {
		values, err := in.values(place, s.signature.Repeated)
		if err == nil && len(values) > 0 {
			found = append(found, fmt.Sprintf("%s has %d bytes", place.label(), len(strings.Join(values, ""))))
		}
	}
	return strings.Join(found, ", ")
}

// timestampWords tells the time also where the window refuses it, since by how
// much it differs is the first thing that anybody asks.
func (s *scheme) timestampWords(in *input) string {
	if s.clock.from.form == "" {
		return "none is signed"
	}
	at := in.proof.signedAt
	if at.IsZero() {
		at, _ = s.clock.parse(in.timestamp) // what is wrong with it is the step's own detail
	}
	if at.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s, %.0f s before now", at.Format(time.RFC3339), in.now.Sub(at).Seconds())
}

// textWords describes the signed text by its parts and their lengths in bytes; a
// secret in it is only named.
func (s *scheme) textWords(in *input) string {
	if s.template.empty() {
		return "none, or made by a rule of the scheme's own"
	}
	var parts []string
	total := 0
	for _, section := range s.template.sections {
		words, length, ok := section.words(in)
		if ok || !section.optional {
			parts, total = append(parts, words...), total+length
		}
	}
	return fmt.Sprintf("%s: %s; %d bytes", s.template.text, strings.Join(parts, ", "), total)
}

// words describes a section; ok is false where a value of it is absent. What a
// value is stays untold: the sender sent it, and it may be long.
func (s section) words(in *input) (words []string, length int, ok bool) {
	ok = true
	for _, p := range s.parts {
		if p.value.form == "secret" {
			words = append(words, "secret")
			continue
		}
		piece, present, err := p.render(in, nil)
		if err != nil || !present {
			ok = false
			continue
		}
		name := "literal"
		if p.value.form != "" {
			name = p.value.String()
		}
		words, length = append(words, fmt.Sprintf("%s %d", name, len(piece))), length+len(piece)
	}
	return words, length, ok
}

// bindingWords counts digests and required values. One that is wrong is named by
// its own detail.
func (s *scheme) bindingWords() string {
	n := len(s.digests) + len(s.require)
	if n == 0 {
		return "none"
	}
	return fmt.Sprintf("%d, all right", n)
}

// windowWords tells the window in force, whoever set it.
func (s *scheme) windowWords() string {
	if s.clock.from.form == "" {
		return "none"
	}
	return fmt.Sprintf("within %v", s.clock.window)
}

func orNone(text string) string {
	if text == "" {
		return "none in the request"
	}
	return text
}

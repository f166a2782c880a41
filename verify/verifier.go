package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// maxValue bounds, in bytes, event types and delivery ids taken from a request.
// What is longer counts as absent.
const maxValue = 256

// Event is what a verified request says about itself.
type Event struct {
	// Type is the event type by Postern's rule; see EventType.
	Type string
	// ProviderEventType is the provider's own name for it; empty if it has none.
	ProviderEventType string
	// DeliveryID is the provider's id of this delivery; empty if there is none.
	// Many providers do not sign it: key duplicates by id and body together.
	DeliveryID string
	// Timestamp is when the provider signed; zero if it does not say.
	Timestamp time.Time
	// Replay is the provider's single-use token, signed: a second request with it
	// is a duplicate whatever else it says. Empty if the provider has none, or
	// its delivery id serves.
	Replay string
	// Payload is the part of the body that is this event, byte for byte, and
	// ContentType its type; nil and "" where the event is the whole request, as
	// nearly all are. The slice is of the request's body.
	Payload     []byte
	ContentType string
}

// Verifier verifies the requests of one source. It is immutable and safe for
// concurrent use. The zero value refuses everything.
type Verifier struct {
	def        Definition
	prefix     string
	schemes    []*scheme
	handshakes []handshake
	answer     answerText
	eventType  []selector
	deliveryID []selector
	replay     []selector
	// credentials are what must not be kept of a request.
	credentials []credential
	// given are the source's settings, for Diagnose.
	given map[string]string
}

// For is New for a provider of the catalogue that needs no settings. Whatever is
// wrong, an unknown provider among it, is in the *ConfigError.
func For(provider string, secrets ...string) (*Verifier, error) {
	def, ok := Lookup(provider)
	if !ok {
		return nil, &ConfigError{[]FieldError{{"provider", "is not in the catalogue"}}}
	}
	return New(def, Config{Secrets: secrets})
}

// New joins a definition with the configuration of one source. The error is a
// *ConfigError that names every field at fault, so that New is also how a
// source is validated before it is created.
func New(def Definition, cfg Config) (*Verifier, error) {
	c := newCompiler(def.AllSettings(), cfg)
	if sanitize(cfg.EventTypePrefix) != cfg.EventTypePrefix || len(cfg.EventTypePrefix) > maxValue {
		c.fail("eventTypePrefix", "may have letters, digits and - _ . only, at most 256")
	}
	if def.ID == "" || sanitize(def.ID) != def.ID {
		c.fail("id", "must be letters, digits and - _ .")
	}
	if def.Events != "" && def.Events != FormatCloudEvents {
		c.fail("events", "must be "+FormatCloudEvents+" or empty")
	}
	v := &Verifier{def: def, prefix: cfg.EventTypePrefix, given: maps.Clone(cfg.Settings)}
	v.schemes = c.schemes(def.Schemes)
	v.handshakes = c.handshakes("handshakes", def.Handshakes)
	v.answer = c.answer("answer.", def.Answer)
	v.eventType = c.selectors("eventType", def.EventType)
	v.deliveryID = c.selectors("deliveryId", def.DeliveryID)
	v.replay = c.selectors("replay", def.Replay)
	if len(v.schemes) == 0 {
		c.fail("schemes", "must not be empty")
	} else {
		secrets := slices.Concat(c.paired(cfg.Secrets, def.Settings), c.stored(def.Handshakes))
		c.assign(secrets, v.schemes, cfg.Keyless || bringsKeys(def))
		equip(v.handshakes, secrets, v.schemes)
	}
	v.credentials = c.credentials(def, v.schemes)
	if err := c.err(); err != nil {
		return nil, err
	}
	// A scheme that no secret is for could only blur the reason of a refusal.
	v.schemes = slices.DeleteFunc(v.schemes, func(s *scheme) bool {
		return s.kind != KindNone && len(s.keys) == 0 && s.remote == nil
	})
	return v, nil
}

// Verify decides about one request, with now as the time of receipt, and says
// what event it is. The error is an *Error. It panics for no input. ctx bounds
// the fetching of keys, for the few providers that have them elsewhere.
func (v *Verifier) Verify(ctx context.Context, req Request, now time.Time) (Event, error) {
	result, err := v.take(ctx, &input{req: req, now: now})
	if err != nil {
		return Event{}, err
	}
	return result.Event, nil
}

// accept tries the schemes in order; in is left as the one that accepts left it.
// One is enough. Of those that refuse, the one that got furthest knows best what
// was meant.
func (v *Verifier) accept(ctx context.Context, in *input) *Error {
	var failure *Error
	for _, s := range v.schemes {
		p, err := s.accept(ctx, in)
		if err == nil {
			in.proof = p
			return nil
		}
		failure = further(failure, err)
	}
	if failure == nil {
		failure = &Error{ReasonSecretMissing, "nothing is configured to verify with"}
	}
	return failure
}

// Describe is what a request says about itself, whoever sent it: nothing vouches
// for that, and it is for those who have decided to take the request all the
// same. What Verify would refuse to read is left out.
func (v *Verifier) Describe(req Request) Event {
	in := &input{req: req}
	for _, s := range v.schemes { // for {id}, which schemes know the place of
		in.begin(s)
		if _, err := s.read(in); err == nil {
			in.proof.id = in.id
			break
		}
	}
	events, err := v.events(in)
	if err != nil {
		return v.whole(nil)
	}
	return v.whole(events)
}

// Format keeps key bytes out of anything that prints a Verifier.
func (v *Verifier) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "verify.Verifier(%s)", v.def.ID) }

// events reads what a verified request brings: one event, but where a format
// has batches.
func (v *Verifier) events(in *input) ([]Event, *Error) {
	if v.def.Events == FormatCloudEvents {
		found, err := cloudEvents(in)
		if err != nil {
			return nil, err
		}
		events := make([]Event, len(found))
		for i, e := range found {
			events[i] = v.cloudEvent(e)
		}
		return events, nil
	}
	event, err := v.event(in)
	if err != nil {
		return nil, err
	}
	return []Event{event}, nil
}

// whole is one event that stands for the whole request.
func (v *Verifier) whole(events []Event) Event {
	if len(events) == 1 {
		return events[0]
	}
	return Event{Type: EventType(v.prefix, v.def.ID, "")}
}

// event reads what a verified request says about itself. A header that stands
// there twice is refused here, too: one of the two may come from a stranger.
func (v *Verifier) event(in *input) (event Event, err *Error) {
	if event.ProviderEventType, err = in.first(v.eventType); err != nil {
		return Event{}, err
	}
	if event.DeliveryID, err = in.first(v.deliveryID); err != nil {
		return Event{}, err
	}
	if event.Replay, err = in.first(v.replay); err != nil {
		return Event{}, err
	}
	event.Type = EventType(v.prefix, v.def.ID, event.ProviderEventType)
	event.Timestamp = in.proof.signedAt
	return event, nil
}

// EventType makes an event type from a provider's name for it: the prefix and
// the name, with every character outside [a-zA-Z0-9-_.] as a dot. A nameless
// event is {provider}.event, without the prefix.
func EventType(prefix, provider, name string) string {
	if name == "" {
		return provider + ".event"
	}
	return prefix + sanitize(name)
}

// sanitize turns every character that an event type must not have into a dot.
func sanitize(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '.'
	}, name)
}

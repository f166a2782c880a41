package verify

import (
	"crypto/ed25519"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxValue bounds, in bytes, event types and delivery ids taken from a request.
// What is longer counts as absent.
const maxValue = 256

// Request is what was received, byte for byte. Verify does not keep or change
// any of it.
type Request struct {
	Method string
	// URL is the public one, as the provider has it configured: behind a proxy
	// that is not what the server sees. Needed only where a signature covers it.
	URL string
	// Header has its names in canonical form, as net/http delivers them, and all
	// repeats.
	Header http.Header
	// Body is the raw body, bounded by the caller.
	Body []byte
}

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
}

// Verifier verifies the requests of one source. It is immutable and safe for
// concurrent use. The zero value refuses everything.
type Verifier struct {
	provider   string
	prefix     string
	schemes    []scheme
	eventType  []selector
	deliveryID []selector
}

// New joins a definition with the configuration of one source. The error is a
// *ConfigError that names every field at fault, so that New is also how a
// source is validated before it is created.
func New(def Definition, cfg Config) (*Verifier, error) {
	c := newCompiler(def.Settings, cfg.Settings)
	if sanitize(cfg.EventTypePrefix) != cfg.EventTypePrefix || len(cfg.EventTypePrefix) > maxValue {
		c.fail("eventTypePrefix", "may have letters, digits and - _ . only, at most 256")
	}
	if def.ID == "" || sanitize(def.ID) != def.ID {
		c.fail("id", "must be letters, digits and - _ .")
	}
	v := &Verifier{provider: def.ID, prefix: cfg.EventTypePrefix}
	for i, s := range def.Schemes {
		if s.Kind == KindNone && len(def.Schemes) > 1 {
			c.fail(indexed("schemes", i)+".kind", "none must stand alone: beside it the others check nothing")
		}
		v.schemes = append(v.schemes, c.scheme(indexed("schemes", i)+".", s))
	}
	v.eventType = c.selectors("eventType", def.EventType)
	v.deliveryID = c.selectors("deliveryId", def.DeliveryID)
	if len(v.schemes) == 0 {
		c.fail("schemes", "must not be empty")
	} else {
		c.assign(cfg.Secrets, v.schemes)
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	// A scheme that no secret is for could only blur the reason of a refusal.
	v.schemes = slices.DeleteFunc(v.schemes, func(s scheme) bool { return s.kind != KindNone && len(s.keys) == 0 })
	return v, nil
}

// Verify decides about one request, with now as the time of receipt, and says
// what event it is. The error is an *Error. It panics for no input.
func (v *Verifier) Verify(req Request, now time.Time) (Event, error) {
	var failure *Error
	for i := range v.schemes {
		p, err := v.schemes[i].check(req, now)
		if err != nil {
			failure = further(failure, err)
			continue
		}
		event, err := v.event(req, p)
		if err != nil {
			return Event{}, err
		}
		return event, nil
	}
	if failure == nil {
		failure = &Error{ReasonSecretMissing, "nothing is configured to verify with"}
	}
	return Event{}, failure
}

// Describe is what a request says about itself, whoever sent it: nothing vouches
// for that, and it is for those who have decided to take the request all the
// same. What Verify would refuse to read is left out.
func (v *Verifier) Describe(req Request) Event {
	var p proof
	for i := range v.schemes {
		if v.schemes[i].kind == KindNone {
			continue
		}
		if in, _, err := v.schemes[i].read(req); err == nil {
			p.id = in.id
			break
		}
	}
	event, err := v.event(req, p)
	if err != nil {
		return Event{Type: EventType(v.prefix, v.provider, "")}
	}
	return event
}

// Format keeps key bytes out of anything that prints a Verifier.
func (v *Verifier) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "verify.Verifier(%s)", v.provider) }

// event reads what a verified request says about itself. A header that stands
// there twice is refused here, too: one of the two may come from a stranger.
func (v *Verifier) event(req Request, p proof) (event Event, err *Error) {
	if event.ProviderEventType, err = first(v.eventType, req, p); err != nil {
		return Event{}, err
	}
	if event.DeliveryID, err = first(v.deliveryID, req, p); err != nil {
		return Event{}, err
	}
	event.Type = EventType(v.prefix, v.provider, event.ProviderEventType)
	event.Timestamp = p.signedAt
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

// scheme resolves one scheme of a definition; path is where it stands there.
func (c *compiler) scheme(path string, def Scheme) scheme {
	s := scheme{kind: def.Kind}
	switch def.Kind {
	case KindNone:
		return s
	case KindEd25519:
		s.size, s.keySize = ed25519.SignatureSize, ed25519.PublicKeySize
	case KindHMAC:
		name, field := c.value(def.Hash, path+"hash")
		var ok bool
		if s.newHash, s.size, ok = hashNamed(name); !ok {
			c.fail(field, "must be sha1, sha256 or sha512")
		}
	default:
		c.fail(path+"kind", "must be hmac, ed25519 or none")
	}
	s.key = def.Key
	s.key.Form = c.oneOf(def.Key.Form, path+"key.form", "utf8", "hex", "base64")
	s.signature.Header = c.requiredHeader(def.Signature.Header, path+"signature.header")
	s.signature.Separator, _ = c.value(def.Signature.Separator, path+"signature.separator")
	s.signature.Prefix, _ = c.value(def.Signature.Prefix, path+"signature.prefix")
	s.signature.Encoding = c.oneOf(def.Signature.Encoding, path+"signature.encoding", "hex", "base64", "base64url")
	s.id = c.header(def.ID, path+"id")
	c.clock(&s, path+"timestamp.", def.Timestamp)
	c.template(&s, path+"template", def.Template)
	return s
}

// clock resolves where a scheme's timestamp is; without a header there is none.
func (c *compiler) clock(s *scheme, path string, def Timestamp) {
	if s.timestamp.Header = c.header(def.Header, path+"header"); s.timestamp.Header == "" {
		return
	}
	s.timestamp.Unit = c.oneOf(def.Unit, path+"unit", "s", "ms", "rfc3339")
	text, field := c.value(def.Tolerance, path+"tolerance")
	var err error
	if s.tolerance, err = parseTolerance(text); err != nil {
		c.fail(field, err.Error())
	}
}

// template resolves the signed text and refuses one that leaves out the body or
// a timestamp or id that is configured: unsigned, those protect nothing.
func (c *compiler) template(s *scheme, path, def string) {
	text, field := c.value(def, path)
	parts, err := parseTemplate(text)
	if err != nil {
		c.fail(field, err.Error())
		return
	}
	s.text, s.template = text, parts
	has := func(name string) bool {
		return slices.ContainsFunc(parts, func(p part) bool { return p.placeholder == name })
	}
	switch {
	case !has("body"):
		c.fail(field, "must contain {body}")
	case has("timestamp") != (s.timestamp.Header != ""):
		c.fail(field, "must contain {timestamp} if there is a timestamp header, and only then")
	case has("id") != (s.id != ""):
		c.fail(field, "must contain {id} if there is an id header, and only then")
	}
}

// oneOf is value for a member with a closed set of words.
func (c *compiler) oneOf(text, path string, allowed ...string) string {
	value, field := c.value(text, path)
	if !slices.Contains(allowed, value) {
		c.fail(field, "must be one of "+list(allowed))
	}
	return value
}

// only returns the value of a header, "" if it is not there. Repeats are
// refused even when equal: which one counts differs between proxies and servers.
func (r Request) only(name string) (string, *Error) {
	values := r.Header.Values(name)
	if len(values) > 1 {
		return "", &Error{ReasonDuplicateHeader, name + " is there " + fmt.Sprint(len(values)) + " times"}
	}
	if len(values) == 0 {
		return "", nil
	}
	return values[0], nil
}

// required is only with a reason for a header that is missing or empty.
func (r Request) required(name string, missing Reason) (string, *Error) {
	value, err := r.only(name)
	if err == nil && value == "" {
		err = &Error{missing, name + " is missing or empty"}
	}
	return value, err
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

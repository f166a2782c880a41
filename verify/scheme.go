package verify

import (
	"context"
	"crypto"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// checker is what a kind of scheme does with a request. It is made once and safe
// for concurrent use. Conditions are met when it is asked, and digests,
// requirements and the window of the timestamp are looked at afterwards.
type checker interface {
	check(ctx context.Context, in *input) (proof, *Error)
}

// proof is what a scheme that accepts a request vouches for.
type proof struct {
	id       string    // {id}; "" for none
	signedAt time.Time // zero when there is no timestamp
	claims   []byte    // of a token, in JSON; nil for none
}

// key is what a scheme checks with: raw for a shared secret, else public.
type key struct {
	raw    []byte
	public crypto.PublicKey
	id     string // the name of a key out of a set; "" for none
}

// scheme is a Scheme with settings and secrets filled in and every text
// resolved, so that a request costs no parsing but its own.
type scheme struct {
	kind       Kind
	conditions []condition
	hash       hashFunc
	size       int // of a signature, in bytes; 0 is any
	key        keyForm
	keys       []key       // the source's own; given last, by assign
	remote     *remoteKeys // nil for none
	places     []selector  // of the signature
	signature  Signature
	clock      clock
	id         selector
	template   template
	each       selector // of an array, all items of which must verify; none is the body
	require    []requirement
	digests    []digest  // of what the template leaves out, mostly the body
	jwt        *jwtRules // nil but for KindJWT
	tolerance  time.Duration
	checker    checker
	// answers are the texts that whoever asks is told an HMAC of, under the same
	// secret; such a text is no message.
	answers []*regexp.Regexp
}

// condition is one entry of If.
type condition struct {
	value  selector
	absent bool
	equals bool
	text   string
	secret bool // text has a setting in it, which may be
}

// requirement is a Requirement whose Equals is not empty.
type requirement struct {
	value  selector
	equals template
}

// digest is a Digest with settings filled in.
type digest struct {
	value         selector
	of            template
	hash          hashFunc
	encoding      string
	absentIfEmpty bool
}

// accept decides about one request, all items of each of it.
func (s *scheme) accept(ctx context.Context, in *input) (proof, *Error) {
	in.begin(s)
	for _, c := range s.conditions {
		if err := c.check(in); err != nil {
			return proof{}, err
		}
	}
	if s.each.form == "" {
		return s.acceptOne(ctx, in)
	}
	items, ok := jsonItems(jsonValue(in.req.Body, s.each.path))
	if !ok {
		return proof{}, &Error{ReasonBodyMalformed, s.each.String() + " is no array"}
	}
	if len(items) == 0 {
		return proof{}, &Error{ReasonSignatureMissing, s.each.String() + " is empty"}
	}
	// One key signs all items, and each for itself: one that is left out or moved
	// to another request still verifies, which nobody but the provider can change.
	var p proof
	for i, item := range items {
		in.begin(s)
		in.item = item
		var err *Error
		if p, err = s.acceptOne(ctx, in); err != nil {
			return proof{}, &Error{err.Reason, fmt.Sprintf("item %d: %s", i, err.Detail)}
		}
	}
	return p, nil
}

// acceptOne looks at the window last, so that an outside_window always means a
// right signature.
func (s *scheme) acceptOne(ctx context.Context, in *input) (proof, *Error) {
	p, err := s.checker.check(ctx, in)
	if err != nil {
		return proof{}, err
	}
	in.proof = p
	for _, d := range s.digests {
		if err := d.check(in); err != nil {
			return proof{}, err
		}
	}
	for _, r := range s.require {
		if err := r.check(in); err != nil {
			return proof{}, err
		}
	}
	if s.clock.from.form != "" {
		if err := s.clock.check(p.signedAt, in.now); err != nil {
			return proof{}, err
		}
	}
	return p, nil
}

// usableKeys are those of the source, or else those that the provider keeps for
// it. None is empty: anybody could sign with an empty one.
func (s *scheme) usableKeys(ctx context.Context, in *input) ([]key, *Error) {
	// Who configures a key has pinned it: nothing is fetched beside it.
	keys := s.keys
	if len(keys) == 0 && s.remote != nil {
		var err *Error
		if keys, err = s.remote.keys(ctx, in); err != nil {
			return nil, err
		}
	}
	if len(keys) == 0 || slices.ContainsFunc(keys, func(k key) bool { return len(k.raw) == 0 && k.public == nil }) {
		return nil, &Error{ReasonSecretMissing, "no secret is configured, or an empty one"}
	}
	return keys, nil
}

// read takes {id} and {timestamp} from where they stand.
func (s *scheme) read(in *input) (signedAt time.Time, err *Error) {
	if s.id.form != "" {
		missing := ReasonValueMissing
		if s.id.form == "header" {
			missing = ReasonHeaderMissing
		}
		if in.id, err = in.required(s.id, missing); err != nil {
			return signedAt, err
		}
	}
	if s.clock.from.form != "" {
		if in.timestamp, err = in.required(s.clock.from, ReasonTimestampMissing); err != nil {
			return signedAt, err
		}
		signedAt, err = s.clock.parse(in.timestamp)
	}
	return signedAt, err
}

// check takes an empty value for an absent one, as headers are.
func (c condition) check(in *input) *Error {
	value, _, err := in.text(c.value)
	if err != nil {
		return err
	}
	switch {
	case c.secret && equal([]byte(value), []byte(c.text)): // in constant time: it may be a token
		return nil
	case c.secret:
		return &Error{ReasonSchemeUnmet, c.value.String() + " is not what is configured"}
	case c.equals && value != c.text:
		return &Error{ReasonSchemeUnmet, fmt.Sprintf("%s is not %q", c.value, c.text)}
	case c.absent && value != "":
		return &Error{ReasonSchemeUnmet, c.value.String() + " is there"}
	case !c.equals && !c.absent && value == "":
		return &Error{ReasonSchemeUnmet, c.value.String() + " is missing or empty"}
	}
	return nil
}

// check compares in constant time, because it may be a token that must be right.
func (r requirement) check(in *input) *Error {
	want, err := r.equals.render(in, nil)
	if err != nil {
		return err
	}
	got, present, err := in.text(r.value)
	if err != nil {
		return err
	}
	if !present || !equal([]byte(got), slices.Concat(want...)) {
		return &Error{ReasonValueMismatch, r.value.label() + " is not what it must be for this source"}
	}
	return nil
}

// check hashes what was received. The value stands in what is signed, so that it is
// no secret; it is compared like one all the same.
func (d digest) check(in *input) *Error {
	pieces, err := d.of.render(in, nil)
	if err != nil {
		return err
	}
	h, empty := d.hash.new(), true
	for _, p := range pieces {
		h.Write(p)
		empty = empty && len(p) == 0
	}
	got, present, err := in.text(d.value)
	if err != nil {
		return err
	}
	if empty && d.absentIfEmpty && !present {
		return nil
	}
	// Behind this an empty text has a digest that the provider would not have sent.
	if !present {
		return &Error{ReasonValueMissing, d.value.label() + " is missing"}
	}
	raw, wrong := decodeText(d.encoding, got)
	if wrong != nil || !equal(raw, h.Sum(nil)) || empty && d.absentIfEmpty {
		return &Error{ReasonDigestMismatch, fmt.Sprintf("%s is not the hash of %s: changed on the way", d.value.label(), d.of.text)}
	}
	return nil
}

// String is c as it is written in a definition.
func (c condition) String() string {
	switch {
	case c.absent:
		return "!" + c.value.String()
	case c.equals && c.secret:
		return c.value.String() + "=***"
	case c.equals:
		return c.value.String() + "=" + c.text
	}
	return c.value.String()
}

package verify

import (
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// Masked stands in the place of a credential.
const Masked = "***"

// credential is a place where a request carries what it is believed for word
// for word: whoever reads it there can send requests of their own.
type credential struct {
	place selector
	// scheme knows the prefix, which is none of it, such as "Bearer ".
	scheme *scheme
}

// credentials are those of a source's schemes and handshakes that stand in a
// header or in the query. A signature over the body is none, and what stands in
// the body is the payload's.
func (c *compiler) credentials(def Definition, schemes []*scheme) []credential {
	var all []credential
	bare := &scheme{}
	add := func(place selector, of *scheme) {
		for s := &place; s != nil; s = s.next {
			if s.form == "header" || s.form == "query" {
				all = append(all, credential{selector{form: s.form, name: s.name}, of})
			}
		}
	}
	for _, s := range schemes {
		if s.kind == KindToken || s.kind == KindBasic || s.jwt != nil && !s.coversBody() {
			for _, place := range s.places {
				add(place, s)
			}
		}
	}
	secret := func(text string) bool {
		return slices.ContainsFunc(def.AllSettings(), func(s Setting) bool { return s.Secret && slices.Contains(interpolated(text), s.Name) })
	}
	for i, h := range def.Handshakes {
		at := indexed("handshakes", i)
		for _, r := range h.Require {
			if secret(r.Equals) {
				add(c.selector(r.Value, at+".require"), bare)
			}
		}
		for _, condition := range h.If {
			if value, _, equals := strings.Cut(condition, "="); equals && secret(condition) {
				add(c.selector(Selector(value), at+".if"), bare)
			}
		}
		if h.Kind == HandshakeStore {
			add(c.selector(h.Challenge, at+".challenge"), bare)
		}
	}
	return all
}

// MaskHeader returns the value of a header with a mask in the place of what
// proves who sent it, if that is where the source's requests carry it: a shared
// token, a password, a bearer token, or a secret of a handshake. Whether it is
// right makes no difference.
func (v *Verifier) MaskHeader(name, value string) string {
	for i := range v.credentials {
		if c := &v.credentials[i]; c.place.form == "header" && c.named(textproto.CanonicalMIMEHeaderKey(name)) {
			return c.mask(value)
		}
	}
	return value
}

// MaskQuery is MaskHeader for a query as it was sent, without its question mark.
// All else in it stays byte for byte.
func (v *Verifier) MaskQuery(raw string) string {
	if raw == "" || !slices.ContainsFunc(v.credentials, func(c credential) bool { return c.place.form == "query" }) {
		return raw
	}
	pairs := strings.Split(raw, "&")
	for i, pair := range pairs {
		escaped, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(escaped)
		if err != nil {
			name = escaped
		}
		for j := range v.credentials {
			if c := &v.credentials[j]; c.place.form == "query" && c.named(name) && value != "" {
				pairs[i] = escaped + "=" + Masked
			}
		}
	}
	return strings.Join(pairs, "&")
}

// named reports whether a header or field is the place.
func (c *credential) named(name string) bool {
	if stem, numbered := strings.CutSuffix(c.place.name, "#"); numbered && c.place.form == "header" {
		return strings.HasPrefix(name, stem)
	}
	return name == c.place.name
}

// mask leaves the prefix, which tells what was masked; an empty value as well.
func (c *credential) mask(value string) string {
	rest, ok := c.scheme.cutPrefix(value)
	switch {
	case rest == "":
		return value
	case !ok:
		return Masked
	}
	return value[:len(value)-len(rest)] + Masked
}

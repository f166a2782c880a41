package verify

import (
	"context"
	"crypto/ed25519"
	"slices"
)

// schemes resolves those that the settings choose.
func (c *compiler) schemes(defs []Scheme) []*scheme {
	var all []*scheme
	none := -1
	for i, def := range defs {
		path := indexed("schemes", i) + "."
		if !c.chosen(path+"for", def.For) {
			continue
		}
		if def.Kind == KindNone {
			none = i
		}
		all = append(all, c.scheme(path, def))
	}
	if none >= 0 && len(all) > 1 {
		c.fail(indexed("schemes", none)+".kind", "none must stand alone: beside it the others check nothing")
	}
	return all
}

// paired are the secrets, or, without any, the one that two settings make.
func (c *compiler) paired(secrets []string, settings []Setting) []string {
	var parts []string
	for _, s := range settings {
		if s.Part != "" && c.settings[s.Name] != "" {
			parts = append(parts, c.settings[s.Name])
		}
	}
	if len(secrets) == 0 && len(parts) == 2 {
		return []string{parts[0] + ":" + parts[1]}
	}
	return secrets
}

// stored are the secrets that handshakes delivered.
func (c *compiler) stored(handshakes []Handshake) []string {
	var secrets []string
	for _, h := range handshakes {
		if secret := c.settings[h.Setting]; h.Kind == HandshakeStore && secret != "" {
			secrets = append(secrets, secret)
		}
	}
	return secrets
}

// bringsKeys reports whether a source of the provider works without secrets:
// its keys are fetched, delivered by a handshake, or known only after one.
func bringsKeys(def Definition) bool {
	return def.SecretLater ||
		slices.ContainsFunc(def.Schemes, func(s Scheme) bool { return s.Remote != nil }) ||
		slices.ContainsFunc(def.Handshakes, func(h Handshake) bool { return h.Kind == HandshakeStore })
}

// scheme resolves one scheme of a definition; path is where it stands there.
// What its kind has no use for is refused, because it would protect nothing.
func (c *compiler) scheme(path string, def Scheme) *scheme {
	s := &scheme{kind: def.Kind}
	s.conditions = c.conditions(path+"if", def.If)
	s.require = c.requirements(path+"require", def.Require)
	if def.Kind == KindNone {
		s.checker = noneChecker{}
		return s
	}
	s.key = c.keyForm(path+"key.", def.Kind, def.Key)
	s.remote = c.remote(path+"remote", def.Kind, def.Remote)
	s.signature = def.Signature
	s.signature.Separator, _ = c.value(def.Signature.Separator, path+"signature.separator")
	s.signature.Prefix, _ = c.value(def.Signature.Prefix, path+"signature.prefix")
	s.places = c.selectors(path+"signature.from", def.Signature.From)
	s.clock = c.clock(path+"timestamp.", def.Timestamp)
	s.tolerance = c.duration(def.Timestamp.Tolerance, path+"timestamp.tolerance", DefaultTolerance)
	s.id = c.selector(def.ID, path+"id")
	s.template = c.template(def.Template, path+"template")
	s.each = c.selector(def.Each, path+"each")
	s.digests = c.digests(path+"digests", def.Digests)
	// The checker is given s before s has its keys: those come last, because every
	// scheme has to be known before a secret is given to one of them.
	c.kind(s, path, def)
	c.covered(s, path, def)
	return s
}

// kind resolves what only some kinds have, and gives the scheme its checker.
func (c *compiler) kind(s *scheme, path string, def Scheme) {
	// The kinds of a signature over a text differ in hash and length alone.
	signature := func() { s.checker = signatureChecker{s: s}; c.signature(s, path, def) }
	switch def.Kind {
	case KindHMAC, KindHash:
		s.hash = c.hash(def.Hash, path+"hash")
		s.size = s.hash.size
		signature()
	case KindEd25519: // it hashes by itself
		s.size = ed25519.SignatureSize
		signature()
	case KindECDSA, KindRSA: // how long a signature is depends on the key
		s.hash = c.hash(def.Hash, path+"hash")
		signature()
	case KindToken, KindBasic: // no text is signed
		s.checker = tokenChecker{s}
		c.signature(s, path, def)
	case KindJWT:
		s.jwt, s.checker = c.jwt(path+"jwt", def.JWT), jwtChecker{s}
		c.from(s, path, def)
	case KindHTTPSignature:
		s.checker = c.httpSignature(s, path, def)
	case KindCode:
		if def.Hash != "" {
			s.hash = c.hash(def.Hash, path+"hash")
		}
		if def.JWT != nil {
			s.jwt = c.jwt(path+"jwt", def.JWT)
		}
		c.from(s, path, def)
		var ok bool
		if s.checker, ok = codeChecker(def.Code, s); !ok {
			c.fail(path+"code", "is not a scheme that there is")
		}
	default:
		c.fail(path+"kind", "is none of the kinds of scheme")
	}
}

// from refuses a scheme whose signature stands nowhere. Where that is because a
// setting is empty, it is the setting that is at fault.
func (c *compiler) from(s *scheme, path string, def Scheme) {
	if len(s.places) > 0 {
		return
	}
	field := path + "signature.from"
	if len(def.Signature.From) > 0 {
		_, field = c.value(string(def.Signature.From[0]), indexed(field, 0))
	}
	c.fail(field, "is required")
}

// signature resolves how the signature is written.
func (c *compiler) signature(s *scheme, path string, def Scheme) {
	allowed := []string{"hex", "base64", "base64url", "base64url_unpadded"}
	if def.Kind == KindToken {
		allowed = append(allowed, "raw")
	}
	s.signature.Encoding = c.oneOf(def.Signature.Encoding, path+"signature.encoding", allowed...)
	c.from(s, path, def)
}

// clock resolves where a scheme's timestamp is. The tolerance of the source stands
// above the definition's: whose clocks are how far apart only its owner knows.
func (c *compiler) clock(path string, def Timestamp) clock {
	made := clock{from: c.selector(def.From, path+"from")}
	if made.from.form == "" {
		return clock{}
	}
	made.unit = c.oneOf(def.Unit, path+"unit", units()...)
	made.window = c.duration(def.Tolerance, path+"tolerance", DefaultTolerance)
	return made
}

// covered refuses a signature that leaves out the body, or a timestamp or id
// that is configured: unsigned, those protect nothing.
func (c *compiler) covered(s *scheme, path string, def Scheme) {
	if def.Kind == KindCode || def.Kind == KindHTTPSignature {
		return // they say themselves what they cover
	}
	_, field := c.value(def.Template, path+"template")
	signs := !slices.Contains([]Kind{KindToken, KindBasic, KindJWT}, def.Kind)
	if signs && s.template.empty() {
		c.fail(field, "is required")
		return
	}
	if !def.Unsigned && !s.coversBody() {
		c.fail(field, "must contain {body}, or a digest must")
	}
	if (def.Kind == KindHash) != s.template.has("secret") {
		c.fail(field, "must contain {secret} if the kind is hash, and only then")
	}
	if s.template.has("challenge") || s.template.has("computed") {
		c.fail(field, "has a placeholder that is for answers of handshakes")
	}
	c.signed(field, "timestamp", s.template, s.clock.from, s.coversBody() || !signs)
	c.signed(field, "id", s.template, s.id, s.coversBody() || !signs)
}

// signed refuses a timestamp or id that is not part of the signed text, and one
// of the text that stands nowhere.
func (c *compiler) signed(field, name string, t template, from selector, body bool) {
	form := name
	if name == "id" {
		form = "signed id"
	}
	// A value may also stand in the text by its own selector, or in a body that is
	// signed whole.
	within := t.has(form) || t.any(func(s selector) bool { return s.String() == from.String() })
	switch {
	case from.form == "" && t.has(form):
		c.fail(field, "must contain {"+name+"} only if the scheme says where it stands")
	case from.form != "" && !within && (!body || !from.inBody()):
		c.fail(field, "must contain {"+name+"} if the scheme says where it stands")
	}
}

// coversBody reports whether every change of the body is noticed.
func (s *scheme) coversBody() bool {
	return s.template.coversBody() || slices.ContainsFunc(s.digests, func(d digest) bool { return d.of.coversBody() })
}

// noneChecker accepts everything.
type noneChecker struct{}

// check vouches for nothing: not even an id is taken from the request.
func (noneChecker) check(context.Context, *input) (proof, *Error) { return proof{}, nil }

// publicForms are those that only public keys are written in.
func publicForms() []string { return []string{"pem", "spki", "jwk"} }

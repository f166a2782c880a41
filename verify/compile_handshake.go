package verify

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// handshakes resolves those of a definition; path is where they stand there.
func (c *compiler) handshakes(path string, defs []Handshake) []handshake {
	var all []handshake
	for i, def := range defs {
		at := indexed(path, i) + "."
		if !c.chosen(at+"for", def.For) {
			continue
		}
		// What would be fetched in the name of nobody in particular is left to the
		// operator: the request is an event like any other.
		if h := c.handshake(at, def); h.kind != HandshakeConfirm || h.unset == "" {
			all = append(all, h)
		}
	}
	return all
}

// handshake resolves one. Its requirements are stricter than a scheme's: there
// one that names an empty setting is left out, while a handshake without its
// token would be answered to everybody.
func (c *compiler) handshake(path string, def Handshake) handshake {
	h := handshake{
		kind: def.Kind, methods: def.Methods, conditions: c.conditions(path+"if", def.If),
		signed: def.Signed, publish: def.Publish, setting: def.Setting, settings: c.settings,
		challenge: c.selector(def.Challenge, path+"challenge"), refusal: def.RefusalStatus,
		answer: c.answer(path+"answer.", def.Answer),
	}
	if len(h.methods) == 0 {
		h.methods = []string{http.MethodPost}
	}
	if h.refusal == 0 {
		h.refusal = http.StatusForbidden
	}
	h.require = c.requirements(path+"require", def.Require)
	for _, r := range def.Require {
		for _, name := range interpolated(r.Equals) {
			if c.settings[name] == "" {
				h.unset = name
			}
		}
	}
	pattern := def.Pattern
	switch {
	case pattern != "":
	case def.Kind == HandshakeConfirm:
		pattern = urlPattern
	default:
		pattern = plainPattern
	}
	h.pattern = c.anchored(pattern, path+"pattern")
	for i, host := range def.Hosts {
		h.hosts = append(h.hosts, c.anchored(host, indexed(path+"hosts", i)))
	}
	c.handshakeKind(&h, path, def)
	return h
}

// handshakeKind holds each kind to what it needs, and to nothing else that
// would be taken for a protection.
func (c *compiler) handshakeKind(h *handshake, path string, def Handshake) {
	kinds := []HandshakeKind{HandshakeEcho, HandshakeCompute, HandshakeFixed, HandshakeConsent, HandshakeConfirm, HandshakeStore}
	need := func(ok bool, member, detail string) {
		if !ok {
			c.fail(path+member, detail)
		}
	}
	need(slices.Contains(kinds, def.Kind), "kind", "is none of the kinds of handshake")
	need(def.Kind == HandshakeFixed || h.challenge.form != "", "challenge", "is required for this kind")
	need((def.Compute != nil) == (def.Kind == HandshakeCompute), "compute", "is for the kind compute, which needs it")
	need((def.Setting != "") == (def.Kind == HandshakeStore), "setting", "is for the kind store, which needs it")
	need((len(def.Hosts) > 0) == (def.Kind == HandshakeConfirm), "hosts", "are for the kind confirm, which needs them")
	need(def.Signed || def.Kind != HandshakeConfirm && !def.Publish, "signed", "is required for what is fetched or published")
	needsScheme := []string{"element", "item", "claim"}
	for _, s := range append([]selector{h.challenge}, conditionValues(h.conditions)...) {
		need(!slices.Contains(needsScheme, s.form), "if", "and challenge cannot look into a signature")
	}
	switch def.Kind {
	case HandshakeStore:
		if _, ok := c.settings[def.Setting]; !ok {
			c.fail(path+"setting", "is not declared")
		}
	case HandshakeCompute:
		if def.Compute != nil {
			h.compute = c.computation(path+"compute.", *def.Compute)
		}
	}
}

// conditionValues are the places that conditions look at.
func conditionValues(conditions []condition) []selector {
	values := make([]selector, len(conditions))
	for i, c := range conditions {
		values[i] = c.value
	}
	return values
}

// computation resolves what is made of a challenge. The key that is the first
// secret is filled in once the secrets are known.
func (c *compiler) computation(path string, def Compute) *computation {
	made := &computation{
		newHash: c.hash(def.Hash, path+"hash").new, template: def.Template, keyed: def.Key != "",
		encoding: c.oneOf(def.Encoding, path+"encoding", "hex", "base64", "base64url"),
	}
	c.texts(path+"template", def.Template)
	if !strings.Contains(def.Template, "{challenge}") {
		c.fail(path+"template", "must contain {challenge}")
	}
	if def.Key != "" && def.Key != "secret" {
		text, _ := c.value(def.Key, path+"key")
		made.key = []byte(text)
	}
	c.derivation(path+"derive", def.Derive)
	if def.Derive != "" && def.Key == "secret" {
		c.fail(path+"derive", "is for a key that is made of settings: a secret has been derived by its scheme")
	}
	if len(made.key) > 0 { // the hash of nothing would pass for a key
		made.key = derived(def.Derive, made.key)
	}
	return made
}

// equip tells handshakes what the source's secrets are, once these are keys.
func equip(handshakes []handshake, secrets []string, schemes []*scheme) {
	var first []byte
	for _, s := range schemes {
		if len(s.keys) > 0 && first == nil {
			first = s.keys[0].raw
		}
	}
	for i := range handshakes {
		h := &handshakes[i]
		h.kept = secrets
		if h.compute == nil || !h.compute.keyed {
			continue
		}
		if h.compute.key == nil {
			h.compute.key = first
		}
		guard(h, schemes)
	}
}

// guard has the schemes refuse what could be an answer to a challenge: whoever
// may ask for HMACs over texts of some form must never be able to send one of
// these texts as a message.
func guard(h *handshake, schemes []*scheme) {
	before, after, _ := strings.Cut(h.compute.template, "{challenge}")
	fill := func(text string) string { return regexp.QuoteMeta(h.fill(text, "", "", "", plainText)) }
	text := strings.TrimSuffix(strings.TrimPrefix(h.pattern.String(), "^"), "$")
	answers := regexp.MustCompile("^" + fill(before) + text + fill(after) + "$")
	for _, s := range schemes {
		s.answers = append(s.answers, answers)
	}
}

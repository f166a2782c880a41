package verify

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// HandshakeKind is what a Handshake does with its challenge.
type HandshakeKind string

// The kinds of handshake.
const (
	HandshakeEcho    HandshakeKind = "echo"
	HandshakeCompute HandshakeKind = "compute"
	HandshakeFixed   HandshakeKind = "fixed"
	HandshakeConsent HandshakeKind = "consent"
	HandshakeConfirm HandshakeKind = "confirm"
	HandshakeStore   HandshakeKind = "store"
)

// What a challenge must match where the definition says nothing: neither is
// anything that a browser or a shell could take for more than text.
const (
	plainPattern = `[A-Za-z0-9._~+/=:-]{1,512}`
	urlPattern   = `https://[!-~]+`
)

// maxChallenge is the longest challenge, in bytes, whatever a pattern allows.
const maxChallenge = 4096

// Settings that the consent to CloudEvents is given by.
const (
	allowedOrigins = "allowed_origins"
	allowedRate    = "allowed_rate"
)

// handshake is a Handshake with settings filled in.
type handshake struct {
	kind       HandshakeKind
	methods    []string
	conditions []condition
	require    []requirement
	// unset is a setting that require needs and the source has not: nothing is
	// right then.
	unset     string
	signed    bool
	challenge selector
	pattern   *regexp.Regexp
	compute   *computation // nil but for HandshakeCompute
	setting   string
	hosts     []*regexp.Regexp
	publish   bool
	refusal   int // status
	answer    answerText
	settings  map[string]string
	// kept are the secrets that the source has: a delivered one is no news.
	kept []string
}

// computation is a Compute with settings filled in.
type computation struct {
	newHash  func() hash.Hash
	keyed    bool
	key      []byte
	template string
	encoding string
}

// answerText is an Answer whose settings are named yet, and known.
type answerText struct {
	Answer
	settings map[string]string
}

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
	h.pattern = c.pattern(path+"pattern", pattern)
	for i, host := range def.Hosts {
		h.hosts = append(h.hosts, c.pattern(indexed(path+"hosts", i), host))
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
	switch {
	case len(made.key) == 0 && def.Derive != "" && def.Key != "secret":
	case def.Derive == "sha1":
		sum := sha1.Sum(made.key)
		made.key = sum[:]
	case def.Derive == "sha256":
		sum := sha256.Sum256(made.key)
		made.key = sum[:]
	case def.Derive != "":
		c.fail(path+"derive", "must be sha1, sha256 or empty")
	}
	return made
}

// answer resolves an Answer's texts.
func (c *compiler) answer(path string, def Answer) answerText {
	c.texts(path+"body", def.Body)
	c.texts(path+"contentType", def.ContentType)
	for name, value := range def.Headers {
		c.texts(path+"headers", value)
		if !isHeaderName(name) {
			c.fail(path+"headers", "has a name that is none of a header")
		}
	}
	if def.Status != 0 && (def.Status < 200 || def.Status > 599) {
		c.fail(path+"status", "must be 200 to 599")
	}
	return answerText{Answer: def, settings: c.settings}
}

// texts refuses a text that names a setting which is not declared.
func (c *compiler) texts(path, text string) {
	c.value(text, path)
}

// pattern compiles a regular expression that has to match whole.
func (c *compiler) pattern(path, text string) *regexp.Regexp {
	compiled, err := regexp.Compile(`^(?:` + text + `)$`)
	if err != nil {
		c.fail(path, "is not a regular expression")
		return regexp.MustCompile(`$^`)
	}
	return compiled
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

// is reports whether a request is this handshake. What cannot be read is none.
func (h *handshake) is(in *input) bool {
	return slices.Contains(h.methods, in.req.Method) &&
		!slices.ContainsFunc(h.conditions, func(c condition) bool { return c.check(in) != nil })
}

// meet checks tokens and the challenge, which it returns.
func (h *handshake) meet(in *input) (challenge string, err *Error) {
	refused := func(format string, args ...any) (string, *Error) {
		return "", &Error{ReasonHandshakeRefused, fmt.Sprintf(format, args...)}
	}
	if h.unset != "" {
		return refused("the provider's handshake is answered only once the setting %s is set", h.unset)
	}
	for _, r := range h.require {
		if err := r.check(in); err != nil {
			return refused("%s", err.Detail)
		}
	}
	if h.challenge.form == "" {
		return "", nil
	}
	challenge, present, err := in.text(h.challenge)
	switch {
	case err != nil:
		return refused("%s", err.Detail)
	case !present || challenge == "":
		return refused("%s is missing or empty", h.challenge.label())
	case len(challenge) > maxChallenge || strings.ContainsFunc(challenge, unsafe) || !h.pattern.MatchString(challenge):
		return refused("%s is longer, or has other characters, than a challenge of this provider", h.challenge.label())
	}
	return challenge, nil
}

// unsafe are characters that no challenge has, whatever a definition allows: they
// would end a header, or begin a tag.
func unsafe(r rune) bool {
	return unicode.IsControl(r) || strings.ContainsRune("<>\u2028\u2029\ufffd", r)
}

// compute makes {computed}.
func (h *handshake) computed(challenge, endpoint string) (string, *Error) {
	if h.compute == nil {
		return "", nil
	}
	for _, name := range interpolated(h.compute.template) {
		if h.settings[name] == "" {
			return "", &Error{ReasonHandshakeRefused, "the provider's handshake is answered only once the setting " + name + " is set"}
		}
	}
	digest := h.compute.newHash()
	if h.compute.keyed {
		if len(h.compute.key) == 0 {
			return "", &Error{ReasonSecretMissing, "the answer to the provider's challenge is made with a secret, and there is none"}
		}
		digest = hmac.New(h.compute.newHash, h.compute.key)
	}
	digest.Write([]byte(h.fill(h.compute.template, challenge, "", endpoint, plainText)))
	switch sum := digest.Sum(nil); h.compute.encoding {
	case "hex":
		return hex.EncodeToString(sum), nil
	case "base64url":
		return base64.RawURLEncoding.EncodeToString(sum), nil
	default:
		return base64.StdEncoding.EncodeToString(sum), nil
	}
}

// consent answers a CloudEvents sender that asks before it sends. Origins are
// compared whole: a prefix of an allowed one is somebody else's.
func (h *handshake) consent(origin string) (Answer, *Error) {
	allowed := strings.FieldsFunc(h.settings[allowedOrigins], func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	if !slices.Contains(allowed, "*") && !slices.Contains(allowed, origin) {
		return Answer{}, &Error{ReasonHandshakeRefused, fmt.Sprintf("the origin %.255q is not among the setting %s", origin, allowedOrigins)}
	}
	headers := map[string]string{"WebHook-Allowed-Origin": origin, "Allow": http.MethodPost}
	if rate := h.settings[allowedRate]; rate != "" {
		headers["WebHook-Allowed-Rate"] = rate
	}
	return Answer{Status: h.answer.Status, Headers: headers}, nil
}

// confirmable reports whether an address is one that may be fetched.
func (h *handshake) confirmable(address string) bool {
	target, err := fetchable(address)
	return err == nil && slices.ContainsFunc(h.hosts, func(p *regexp.Regexp) bool { return p.MatchString(target.Hostname()) })
}

// keeps reports whether a delivered secret is the source's already, and whether
// it has any.
func (h *handshake) keeps(secret string) (same, some bool) {
	for _, kept := range h.kept {
		same = equal([]byte(kept), []byte(secret)) || same
	}
	return same, len(h.kept) > 0
}

// fill puts values in place of their names, all at once, so that none of them
// is looked into.
func (h *handshake) fill(text, challenge, computed, endpoint string, escape func(string) string) string {
	return answerText{settings: h.settings}.fill(text, escape, "{challenge}", challenge, "{computed}", computed, "{endpoint}", endpoint)
}

// fill puts settings, and what else is given as names and values, in their places.
func (a answerText) fill(text string, escape func(string) string, more ...string) string {
	for _, name := range interpolated(text) {
		more = append(more, "${"+name+"}", a.settings[name])
	}
	for i := 1; i < len(more); i += 2 {
		more[i] = escape(more[i])
	}
	return strings.NewReplacer(more...).Replace(text)
}

// render fills in an answer. Nobody is to take it for anything but what it says
// it is, whoever chose what it echoes.
func (a answerText) render(more ...string) Answer {
	escape := plainText
	if strings.HasPrefix(a.ContentType, "application/json") {
		escape = jsonString
	}
	out := Answer{
		Status: a.Status, ContentType: a.fill(a.ContentType, plainText), Body: a.fill(a.Body, escape, slices.Clone(more)...),
		Headers: maps.Clone(a.Headers),
	}
	for name, value := range out.Headers {
		out.Headers[name] = a.fill(value, plainText, slices.Clone(more)...)
	}
	if out.Body != "" {
		if out.Status == 0 {
			out.Status = http.StatusOK
		}
		if out.Headers == nil {
			out.Headers = make(map[string]string, 1)
		}
		out.Headers["X-Content-Type-Options"] = "nosniff"
	}
	return out
}

func plainText(text string) string { return text }

// jsonString is a text as it stands between the quotes of a JSON string.
func jsonString(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		return "" // strings marshal
	}
	return string(quoted[1 : len(quoted)-1])
}

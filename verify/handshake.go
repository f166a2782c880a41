package verify

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
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

// handshake is a Handshake with settings filled in. It belongs to a Verifier and
// is not changed once that is made.
type handshake struct {
	kind       HandshakeKind
	methods    []string // at least one
	conditions []condition
	require    []requirement
	// unset is a setting that require needs and the source has not: nothing is
	// right then.
	unset     string
	signed    bool
	challenge selector         // none for HandshakeFixed
	pattern   *regexp.Regexp   // that a challenge matches whole
	compute   *computation     // nil but for HandshakeCompute
	setting   string           // of HandshakeStore
	hosts     []*regexp.Regexp // of HandshakeConfirm
	publish   bool
	refusal   int // status; never 0
	answer    answerText
	settings  map[string]string
	// kept are the secrets that the source has: a delivered one is no news.
	kept []string
}

// computation is a Compute with settings filled in.
type computation struct {
	newHash func() hash.Hash
	// keyed makes an HMAC of it. An empty key then refuses: an HMAC without a
	// secret is one that anybody can make.
	keyed    bool
	key      []byte
	template string
	encoding string
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
	case err != nil: // it is there twice, and nobody knows which of them counts
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
	// The callback that a sender may offer is not followed: it is an address of a
	// stranger's choice. Who wants consent asks, and has it in the answer.
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
	for _, kept := range h.kept { // all of them, so that time does not tell which
		same = equal([]byte(kept), []byte(secret)) || same
	}
	return same, len(h.kept) > 0
}

// fill puts values in place of their names, all at once, so that none of them
// is looked into.
func (h *handshake) fill(text, challenge, computed, endpoint string, escape func(string) string) string {
	return answerText{settings: h.settings}.fill(text, escape, "{challenge}", challenge, "{computed}", computed, "{endpoint}", endpoint)
}

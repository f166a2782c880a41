package verify

import (
	"bytes"
	"context"
	"crypto"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// maxToken bounds a token in bytes. Webhooks' are a few hundred.
	maxToken = 16 << 10
	// standardLeeway is granted to exp and nbf where a definition does not say.
	standardLeeway = 5 * time.Second
)

// jwtRules are the rules of a JWT with settings filled in. Nothing in the token
// chooses how it is checked: its alg may only be one of algorithms, its kid only
// pick among keys that are there, and jku, jwk, x5u and x5c are not looked at.
type jwtRules struct {
	algorithms                []string
	issuer, audience, subject string // empty is any
	claims                    map[string]string
	required                  []string
	leeway                    time.Duration // of exp and nbf
	maxAge                    time.Duration // of iat, both ways; 0 is any
}

// jwt resolves the rules of KindJWT; path is where they stand. A tolerance of
// the source is the age that is allowed, or else the leeway.
func (c *compiler) jwt(path string, def *JWT) *jwtRules {
	if def == nil {
		c.fail(path, "is required")
		return &jwtRules{}
	}
	r := &jwtRules{claims: make(map[string]string, len(def.Claims)), required: def.Required, leeway: standardLeeway}
	for i, text := range def.Algorithms {
		name, field := c.value(text, indexed(path+".algorithms", i))
		if _, ok := tokenAlgorithm(name); !ok {
			c.fail(field, "is not an algorithm that there is: HS256 HS384 HS512 RS256 PS256 ES256 EdDSA ...")
		}
		r.algorithms = append(r.algorithms, name)
	}
	if len(r.algorithms) == 0 {
		c.fail(path+".algorithms", "is required")
	}
	expected := func(text, field string) string {
		if value, _, ok := c.filled(text, field); ok {
			return value
		}
		return ""
	}
	r.issuer = expected(def.Issuer, path+".issuer")
	r.audience = expected(def.Audience, path+".audience")
	r.subject = expected(def.Subject, path+".subject")
	for name, text := range def.Claims {
		r.claims[name] = expected(text, path+".claims."+name)
	}
	if def.Leeway != "" {
		var err error
		if r.leeway, err = parseTolerance(def.Leeway); err != nil {
			c.fail(path+".leeway", err.Error())
		}
	}
	if def.MaxAge != "" {
		r.maxAge = c.duration(def.MaxAge, path+".maxAge", DefaultTolerance)
	} else {
		r.leeway = c.duration("", path+".leeway", r.leeway)
	}
	return r
}

// jwtChecker checks the token at the scheme's signature. Its proof has the
// token's claims; digests and requirements over them are the scheme's to check.
// A token without a digest of the body proves who sends, and no more.
type jwtChecker struct{ s *scheme }

// check accepts one token that is right. The key may depend on the token, so that
// each is taken apart before keys are asked for.
func (j jwtChecker) check(ctx context.Context, in *input) (proof, *Error) {
	texts, err := j.s.signatureTexts(in)
	if err != nil {
		return proof{}, err
	}
	if len(texts) == 0 {
		return proof{}, &Error{ReasonSignatureMalformed, fmt.Sprintf("nothing in %s has the prefix %q", j.s.where(), j.s.signature.Prefix)}
	}
	var failure *Error
	for _, text := range texts {
		p, err := j.one(ctx, in, text)
		if err == nil {
			return p, nil
		}
		failure = further(failure, err)
	}
	return proof{}, failure
}

// one checks one token. While its key is looked for, claim: selects from the
// token's header, so that a definition can find a kid there.
func (j jwtChecker) one(ctx context.Context, in *input, text string) (proof, *Error) {
	t, err := parseToken(text)
	if err != nil {
		return proof{}, err
	}
	in.proof = proof{claims: t.header}
	keys, err := j.s.usableKeys(ctx, in)
	in.proof = proof{}
	if err != nil {
		return proof{}, err
	}
	if err := j.s.jwt.check(t, keys, in.req.URL, in.now); err != nil {
		return proof{}, err
	}
	in.proof = proof{claims: t.payload}
	signedAt, err := j.s.read(in)
	if err == nil && signedAt.IsZero() {
		signedAt, _ = t.claims.time("iat")
	}
	return proof{id: in.id, signedAt: signedAt, claims: t.payload}, err
}

// token is one taken apart, and nothing about it is known to be true yet.
type token struct {
	alg, kid        string
	header, payload []byte // JSON
	signed          []byte // what the signature is over
	signature       []byte
	claims          claims
}

// claims are the members of a token's payload as JSON, by name. They are read
// for the rules; digests and selectors read the payload as it is.
type claims map[string]json.RawMessage

// parseToken takes a compact JWS apart: three parts of strict base64url, two
// JSON objects in which no name stands twice, and no critical extension, which
// would have to be understood and none of which is. Nothing is checked yet.
func parseToken(text string) (token, *Error) {
	malformed := func(detail string) (token, *Error) {
		return token{}, &Error{ReasonSignatureMalformed, "the token " + detail}
	}
	parts := strings.Split(text, ".")
	switch {
	case len(text) > maxToken:
		return malformed(fmt.Sprintf("is longer than %d bytes", maxToken))
	case len(parts) != 3:
		return malformed("does not have three parts")
	}
	var raw [3][]byte
	for i, part := range parts {
		var err error
		if raw[i], err = decodeBase64(base64.RawURLEncoding, part); err != nil || strings.HasSuffix(part, "=") {
			return malformed("is not base64url")
		}
	}
	header, ok := strictObject(raw[0])
	if !ok {
		return malformed("has a header that is no JSON object or has a name twice")
	}
	if _, critical := header["crit"]; critical {
		return malformed("asks for extensions (crit)")
	}
	payload, ok := strictObject(raw[1])
	if !ok {
		return malformed("has a payload that is no JSON object or has a name twice")
	}
	t := token{header: raw[0], payload: raw[1], signed: []byte(text[:strings.LastIndexByte(text, '.')]), signature: raw[2], claims: payload}
	if t.alg, ok = claims(header).text("alg"); !ok {
		return malformed("does not name its algorithm")
	}
	t.kid, _ = claims(header).text("kid")
	return t, nil
}

// check decides about a token: signature first, then what it says, and the
// clock last. publicURL is for rules that want it as the subject.
func (r *jwtRules) check(t token, keys []key, publicURL string, now time.Time) *Error {
	// Both, although each would do: a rule that names an algorithm which is none
	// must not make it one.
	how, known := tokenAlgorithm(t.alg)
	if !known || !slices.Contains(r.algorithms, t.alg) {
		return &Error{ReasonAlgorithmForbidden, "the token is signed with an algorithm other than " + list(r.algorithms)}
	}
	if !matchesAnyKey(how, t.kid, keys, t.signed, t.signature) {
		return &Error{ReasonSignatureMismatch, fmt.Sprintf("the token is signed by none of the configured keys (%d): another secret, or changed on the way", len(keys))}
	}
	if err := r.checkClaims(t.claims, publicURL); err != nil {
		return err
	}
	return r.checkTimes(t.claims, now)
}

// checkClaims compares whom the token is from and for. The platform's signature
// proves the platform: without these, anybody with an account there could send.
func (r *jwtRules) checkClaims(c claims, publicURL string) *Error {
	// The issuer is a claim like others, with a member of its own in a definition.
	wanted := map[string]string{"iss": r.issuer}
	maps.Copy(wanted, r.claims)
	if wanted["sub"] = r.subject; r.subject == "{url}" {
		if publicURL == "" {
			return &Error{ReasonURLMissing, "the token is for a URL, and the public URL is not known"}
		}
		wanted["sub"] = publicURL
	}
	for name, value := range wanted {
		if given, _ := c.text(name); value != "" && given != value {
			return &Error{ReasonValueMismatch, "the claim " + name + " is not " + value}
		}
	}
	if r.audience != "" && !slices.Contains(c.texts("aud"), r.audience) {
		return &Error{ReasonValueMismatch, "the claim aud is not " + r.audience}
	}
	for _, name := range r.required {
		if _, ok := c[name]; !ok {
			return &Error{ReasonValueMissing, "the claim " + name + " is missing"}
		}
	}
	return nil
}

// checkTimes looks at exp, nbf and iat where they are there; whether they must
// be is for required and maxAge to say.
func (r *jwtRules) checkTimes(c claims, now time.Time) *Error {
	outside := func(detail string) *Error { return &Error{ReasonTimestampOutsideWindow, "the token " + detail} }
	var at [3]time.Time
	for i, name := range []string{"exp", "nbf", "iat"} {
		var ok bool
		if at[i], ok = c.time(name); !ok {
			return &Error{ReasonTimestampMalformed, "the claim " + name + " is not a time"}
		}
	}
	exp, nbf, iat := at[0], at[1], at[2]
	// The leeway is for clocks that differ. A token is over at exp, not after it.
	switch {
	case !exp.IsZero() && !now.Before(exp.Add(r.leeway)):
		return outside(fmt.Sprintf("expired %.0f s ago", now.Sub(exp).Seconds()))
	case !nbf.IsZero() && now.Before(nbf.Add(-r.leeway)):
		return outside(fmt.Sprintf("is not valid for another %.0f s", nbf.Sub(now).Seconds()))
	case r.maxAge == 0:
		return nil
	case iat.IsZero():
		return &Error{ReasonTimestampMissing, "the claim iat is missing"}
	case now.Sub(iat).Abs() > r.maxAge:
		return outside(fmt.Sprintf("was issued %.0f s from now; allowed are %.0f s", now.Sub(iat).Seconds(), r.maxAge.Seconds()))
	}
	return nil
}

// text is a claim that is a string, a number or a boolean; false if there is
// none or it is something else. "a.b" is b within a, unless a claim is called
// so as a whole, as those are whose name is a URL.
func (c claims) text(name string) (string, bool) {
	raw, ok := c[name]
	if !ok {
		outer, rest, nested := strings.Cut(name, ".")
		var inner claims
		if !nested || json.Unmarshal(c[outer], &inner) != nil {
			return "", false
		}
		return inner.text(rest)
	}
	switch raw[0] {
	case '"':
		var text string
		err := json.Unmarshal(raw, &text)
		return text, err == nil
	case '{', '[', 'n':
		return "", false
	}
	return string(raw), true
}

// texts is a claim that is a string or a list of strings, as aud is either. A
// list with anything else in it is no list.
func (c claims) texts(name string) []string {
	if text, ok := c.text(name); ok {
		return []string{text}
	}
	var all []string
	if json.Unmarshal(c[name], &all) != nil {
		return nil
	}
	return all
}

// time is a claim in seconds since 1970, zero if there is none; false if it is
// no time.
func (c claims) time(name string) (time.Time, bool) {
	raw, there := c[name]
	if !there {
		return time.Time{}, true
	}
	var seconds float64
	if raw[0] == 'n' || json.Unmarshal(raw, &seconds) != nil || !(seconds > 0 && seconds <= maxUnix) {
		return time.Time{}, false
	}
	// Some issuers write milliseconds behind the point.
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*float64(time.Second))).UTC(), true
}

// matchesAnyKey tries the keys that a signature can be from: of the right type
// and, where both have one, of the right id. At most MaxSignatures are
// tried, so that a forgery without an id does not cost a whole set.
func matchesAnyKey(how signing, id string, keys []key, text, sig []byte) bool {
	tried := 0
	for _, k := range keys {
		if id != "" && k.id != "" && k.id != id || !how.fits(k) {
			continue
		}
		if how.verify(k, text, sig) {
			return true
		}
		if tried++; tried == MaxSignatures {
			break
		}
	}
	return false
}

// tokenAlgorithm finds an algorithm of RFC 7518, or RFC 8037's for Ed25519.
// There is no "none". The curve of ECDSA is pinned by the name, and its
// signature is r and s side by side.
func tokenAlgorithm(name string) (signing, bool) {
	family, bits := name, ""
	if len(name) == 5 {
		family, bits = name[:2], name[2:]
	}
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[bits]
	switch {
	case name == "EdDSA", name == "Ed25519":
		return signing{kind: KindEd25519}, true
	case hash == 0:
		return signing{}, false
	case family == "HS":
		return signing{kind: KindHMAC, hash: hash}, true
	case family == "RS":
		return signing{kind: KindRSA, hash: hash}, true
	case family == "PS":
		return signing{kind: KindRSA, hash: hash, pss: true}, true
	case family == "ES":
		curve := map[string]elliptic.Curve{"256": elliptic.P256(), "384": elliptic.P384(), "512": elliptic.P521()}[bits]
		return signing{kind: KindECDSA, hash: hash, raw: true, curve: curve}, true
	}
	return signing{}, false
}

// strictObject reads a JSON object in which no name stands twice, at any depth:
// which of two counts differs between parsers, and a token that means one thing
// here and another there is an attack.
func strictObject(data []byte) (map[string]json.RawMessage, bool) {
	var object map[string]json.RawMessage
	if !utf8.Valid(data) || json.Unmarshal(data, &object) != nil || object == nil {
		return nil, false
	}
	return object, namesAreUnique(data)
}

// namesAreUnique walks valid JSON. Names are compared after their escapes are
// decoded; the depth costs memory, which the length of a token bounds.
func namesAreUnique(data []byte) bool {
	type frame struct {
		names map[string]bool // nil in an array
		value bool            // a name was read and its value comes next
	}
	var stack []frame
	dec := json.NewDecoder(bytes.NewReader(data))
	for {
		tok, err := dec.Token()
		if err != nil {
			return true // the end: what was walked is valid
		}
		delim, isDelim := tok.(json.Delim)
		if isDelim && (delim == '}' || delim == ']') {
			stack = stack[:len(stack)-1]
			continue
		}
		if top := len(stack) - 1; top >= 0 && stack[top].names != nil {
			// In an object every second thing is a name.
			if stack[top].value = !stack[top].value; stack[top].value {
				name := tok.(string)
				if stack[top].names[name] {
					return false
				}
				stack[top].names[name] = true
				continue
			}
		}
		if isDelim {
			f := frame{}
			if delim == '{' {
				f.names = map[string]bool{}
			}
			stack = append(stack, f)
		}
	}
}

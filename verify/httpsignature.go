package verify

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// httpSignatureChecker checks signatures by RFC 9421. The secrets of the source
// are its keys, or the keys of Remote, one of which a keyid may name. Proofs have
// the time of creation; nonces are not remembered, since bodies are.
type httpSignatureChecker struct {
	s     *scheme
	rules messageRules
}

// messageRules are what a signature by RFC 9421 must be like to count. A sender
// chooses what its signature covers, so that the rules must say what it has to.
type messageRules struct {
	// hash tells RSA with PKCS #1 v1.5 (SHA-256) from PSS (SHA-512); the type of
	// the key pins all other algorithms. The request's alg may only repeat it.
	hash crypto.Hash
	// covered are identifiers as they stand in Signature-Input:
	// "@query-param";name="a".
	covered   []string
	tolerance time.Duration
}

// httpSignature resolves the rules of KindHTTPSignature. The template is the
// list of components that must be covered, written as in Signature-Input:
// "@method" "content-digest"; none is the digest of the body.
func (c *compiler) httpSignature(s *scheme, path string, def Scheme) httpSignatureChecker {
	h := httpSignatureChecker{s: s, rules: messageRules{tolerance: s.tolerance}}
	if def.Hash != "" {
		h.rules.hash = c.hash(def.Hash, path+"hash").standard
	}
	text, field := c.value(def.Template, path+"template")
	if text == "" && !def.Unsigned {
		text = `"content-digest"`
	}
	p := fieldParser{rest: text + ")"}
	items, ok := p.inner()
	if !ok || p.rest != "" {
		c.fail(field, `must be components as in Signature-Input: "@method" "content-digest"`)
	}
	for _, item := range items {
		h.rules.covered = append(h.rules.covered, item.String())
	}
	if !def.Unsigned && !slices.Contains(h.rules.covered, `"content-digest"`) {
		c.fail(field, `must name "content-digest"`)
	}
	return h
}

// check accepts the request if one of its signatures is right and covers what it
// must: a proxy's beside it, under another key, is no reason to refuse.
func (h httpSignatureChecker) check(ctx context.Context, in *input) (proof, *Error) {
	inputs, err := dictionaryOf(in.req.Header, "Signature-Input")
	if err != nil {
		return proof{}, err
	}
	signatures, err := dictionaryOf(in.req.Header, "Signature")
	if err != nil {
		return proof{}, err
	}
	// Several signatures are usual where proxies add their own.
	var failure *Error
	for _, input := range inputs[:min(len(inputs), MaxSignatures)] {
		item := lookupMember(signatures, input.name)
		if item == nil {
			continue
		}
		p, err := h.one(ctx, in, input, *item)
		if err == nil {
			return p, nil
		}
		failure = further(failure, err)
	}
	if failure == nil {
		failure = &Error{ReasonSignatureMalformed, "no name in Signature-Input is in Signature, too"}
	}
	return proof{}, failure
}

// one checks the signature of one name, of which Signature-Input declares what
// it covers and Signature has the bytes. While its key is looked for, claim:kid
// is the keyid of the signature.
func (h httpSignatureChecker) one(ctx context.Context, in *input, declared fieldMember, item fieldItem) (proof, *Error) {
	sig, isBytes := item.value.([]byte)
	if !isBytes || len(sig) == 0 || declared.item.value != nil {
		return proof{}, &Error{ReasonSignatureMalformed, "signature " + declared.name + " is not written as RFC 9421 has it"}
	}
	p, err := readParameters(declared)
	if err != nil {
		return proof{}, err
	}
	in.proof = proof{claims: fmt.Appendf(nil, `{"kid":%s}`, strconv.Quote(p.keyID))}
	keys, err := h.s.usableKeys(ctx, in)
	in.proof = proof{}
	if err != nil {
		return proof{}, err
	}
	if err := h.rules.check(in.req, declared.item, p, sig, keys, in.now); err != nil {
		return proof{}, err
	}
	_, err = h.s.read(in)
	return proof{id: in.id, signedAt: p.created}, err
}

// check looks first at what the signature has to cover, because everything else
// could be right for a signature that covers nothing; then at the signature
// itself, the digest of the body, and the window last.
func (r messageRules) check(req Request, input fieldItem, p messageParameters, sig []byte, keys []key, now time.Time) *Error {
	for _, id := range r.covered {
		if !slices.ContainsFunc(input.list, func(c fieldItem) bool { return c.String() == id }) {
			return &Error{ReasonValueMissing, "signature " + p.label + " does not cover " + id}
		}
	}
	base, err := signatureBase(req, input)
	if err != nil {
		return err
	}
	if err := r.match(p, keys, base, sig); err != nil {
		return err
	}
	if slices.ContainsFunc(input.list, func(c fieldItem) bool { return c.value == "content-digest" }) {
		if err := checkContentDigest(req); err != nil {
			return err
		}
	}
	return r.window(p, now)
}

// match tries the keys of the id that the signature names, or all where one of
// both has none; at most MaxSignatures of them. The algorithm is that of the
// key, so that a request which names another is refused unchecked.
func (r messageRules) match(p messageParameters, keys []key, base, sig []byte) *Error {
	tried, forbidden := 0, false
	for _, k := range keys {
		if p.keyID != "" && k.id != "" && p.keyID != k.id || tried == MaxSignatures {
			continue
		}
		tried++
		name, how := messageAlgorithm(k, r.hash)
		if name == "" || p.alg != "" && p.alg != name {
			forbidden = true
			continue
		}
		if how.verify(k, base, sig) {
			return nil
		}
	}
	if forbidden {
		return &Error{ReasonAlgorithmForbidden, "signature " + p.label + " is made with another algorithm than the configured key is for"}
	}
	return &Error{ReasonSignatureMismatch, fmt.Sprintf(
		"signature %s is right under none of the configured keys (%d): another key, or something that it covers was changed on the way", p.label, len(keys))}
}

// window looks both ways at created, and at expires if it is there.
func (r messageRules) window(p messageParameters, now time.Time) *Error {
	if age := now.Sub(p.created); age.Abs() > r.tolerance {
		return &Error{ReasonTimestampOutsideWindow, fmt.Sprintf("created of signature %s is %.0f s from now; allowed are %.0f s",
			p.label, age.Seconds(), r.tolerance.Seconds())}
	}
	if !p.expires.IsZero() && now.After(p.expires) {
		return &Error{ReasonTimestampOutsideWindow, fmt.Sprintf("signature %s expired %.0f s ago", p.label, now.Sub(p.expires).Seconds())}
	}
	return nil
}

// messageParameters are those behind the covered components.
type messageParameters struct {
	label, keyID, alg string
	created, expires  time.Time
}

// readParameters wants created, which RFC 9421 leaves optional: without it a
// signature would be good for ever.
func readParameters(input fieldMember) (messageParameters, *Error) {
	p := messageParameters{label: input.name}
	for _, param := range input.item.params {
		ok := true
		switch param.name {
		case "created":
			p.created, ok = unixParameter(param.item.value)
		case "expires":
			p.expires, ok = unixParameter(param.item.value)
		case "keyid":
			p.keyID, ok = param.item.value.(string)
		case "alg":
			p.alg, ok = param.item.value.(string)
		}
		if !ok {
			return p, &Error{ReasonSignatureMalformed, param.name + " of signature " + input.name + " is not written as RFC 9421 has it"}
		}
	}
	if p.created.IsZero() {
		return p, &Error{ReasonTimestampMissing, "signature " + input.name + " does not say when it was created"}
	}
	return p, nil
}

// unixParameter refuses zero and what no calendar prints, so that a zero time
// always means that there is none.
func unixParameter(value any) (time.Time, bool) {
	n, ok := value.(int64)
	return time.Unix(n, 0).UTC(), ok && n > 0 && n <= maxUnix
}

// signatureBase is the text that is signed (RFC 9421 section 2.5): a line for
// each covered component and one for the list of them.
func signatureBase(req Request, input fieldItem) ([]byte, *Error) {
	target, err := url.Parse(req.URL)
	if req.URL == "" || err != nil {
		target = nil // refused when a component needs it
	}
	var b strings.Builder
	// A component that stands there twice could have two values in one signature.
	seen := make(map[string]bool, len(input.list))
	for _, component := range input.list {
		id := component.String()
		name, isName := component.value.(string)
		if !isName || name != strings.ToLower(name) || seen[id] {
			return nil, &Error{ReasonSignatureMalformed, "Signature-Input covers " + id + ", which is no component or stands there twice"}
		}
		seen[id] = true
		value, err := componentValue(req, target, name, component.params)
		if err != nil {
			return nil, err
		}
		// A line break would let one component speak for another. No server
		// lets one into a header, but a library's user may.
		if strings.ContainsAny(value, "\r\n") {
			return nil, &Error{ReasonSignatureMalformed, id + " contains a line break"}
		}
		b.WriteString(id + ": " + value + "\n")
	}
	b.WriteString(`"@signature-params": ` + input.String())
	return []byte(b.String()), nil
}

// componentValue is one component of the request (RFC 9421 sections 2.1, 2.2).
// Those of the address come from the public URL, not from what a proxy made of
// it. What is of responses alone, such as @status, is refused.
func componentValue(req Request, target *url.URL, name string, params []fieldMember) (string, *Error) {
	derived := strings.HasPrefix(name, "@")
	if !derived {
		return fieldComponent(req.Header, target, name, params)
	}
	if name == "@method" && len(params) == 0 {
		return req.Method, nil
	}
	if target == nil {
		return "", &Error{ReasonURLMissing, "the signature covers " + name + ", and the public URL is not known"}
	}
	if name == "@query-param" && len(params) == 1 && params[0].name == "name" {
		wanted, _ := params[0].item.value.(string)
		return queryParameter(target.RawQuery, wanted)
	}
	// As it was sent: a decoded and encoded path could be another one.
	path := target.EscapedPath()
	if path == "" {
		path = "/"
	}
	if len(params) == 0 {
		switch name {
		case "@target-uri":
			return req.URL, nil
		case "@authority":
			return authority(target), nil
		case "@scheme":
			return strings.ToLower(target.Scheme), nil
		case "@path":
			return path, nil
		case "@query":
			return "?" + target.RawQuery, nil
		case "@request-target":
			if target.RawQuery != "" || target.ForceQuery {
				path += "?" + target.RawQuery
			}
			return path, nil
		}
	}
	return "", &Error{ReasonSignatureMalformed, "the signature covers " + name + ", which no request has, or with parameters that are not known"}
}

// fieldComponent is a header: its values as they are, one member of a dictionary
// (key), or in base64 each (bs). The parameters sf, tr and req are refused: the
// first needs to know the type of every field, the others are not of requests.
func fieldComponent(header http.Header, target *url.URL, name string, params []fieldMember) (string, *Error) {
	values := header.Values(name)
	if name == "host" && len(values) == 0 && target != nil {
		values = []string{authority(target)} // net/http takes it out of the header
	}
	if len(values) == 0 {
		return "", &Error{ReasonHeaderMissing, name + " is covered by the signature and missing"}
	}
	trimmed := make([]string, len(values))
	for i, value := range values {
		trimmed[i] = strings.Trim(value, " \t")
	}
	if len(params) == 0 {
		return strings.Join(trimmed, ", "), nil
	}
	if len(params) == 1 {
		switch p := params[0]; {
		case p.name == "bs" && p.item.value == true:
			for i, value := range trimmed {
				trimmed[i] = ":" + base64.StdEncoding.EncodeToString([]byte(value)) + ":"
			}
			return strings.Join(trimmed, ", "), nil
		case p.name == "key":
			key, _ := p.item.value.(string)
			members, err := parseDictionary(strings.Join(trimmed, ", "))
			if member := lookupMember(members, key); err == nil && member != nil {
				return member.String(), nil
			}
			return "", &Error{ReasonHeaderMissing, name + " is covered by the signature and has no member " + key}
		}
	}
	return "", &Error{ReasonSignatureMalformed, "the signature covers " + name + " with parameters that are not supported"}
}

// queryParameter is the value of a name that must stand there once. Both are
// compared in one spelling, whichever characters the request had encoded.
func queryParameter(query, wanted string) (string, *Error) {
	var value string
	found := 0
	for pair := range strings.SplitSeq(query, "&") {
		name, text, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil || encodeComponent(name) != wanted {
			continue
		}
		if text, err = url.QueryUnescape(text); err != nil {
			continue
		}
		value = encodeComponent(text)
		found++
	}
	if found != 1 {
		return "", &Error{ReasonSignatureMalformed, fmt.Sprintf("the signature covers a query parameter that is there %d times", found)}
	}
	return value, nil
}

// encodeComponent percent-encodes by the URL standard's component set.
// In Go there is no such set: QueryEscape encodes more, PathEscape less.
func encodeComponent(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if isLower(c|0x20) || isDigit(c) || strings.IndexByte("-._~!*'()", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// authority is the host in lower case, its port left out when it goes without
// saying.
func authority(target *url.URL) string {
	host := strings.ToLower(target.Host)
	switch strings.ToLower(target.Scheme) {
	case "https":
		return strings.TrimSuffix(host, ":443")
	case "http":
		return strings.TrimSuffix(host, ":80")
	}
	return host
}

// checkContentDigest recomputes every digest of RFC 9530 that is known. One
// must be, and all of those must be right: a sender that adds a stronger one
// beside a wrong weak one would otherwise be read differently by two receivers.
func checkContentDigest(req Request) *Error {
	digests, err := dictionaryOf(req.Header, "Content-Digest")
	if err != nil {
		return err
	}
	known := 0
	for _, d := range digests {
		var sum []byte
		switch d.name {
		case "sha-256":
			s := sha256.Sum256(req.Body)
			sum = s[:]
		case "sha-512":
			s := sha512.Sum512(req.Body)
			sum = s[:]
		default:
			continue
		}
		known++
		if given, _ := d.item.value.([]byte); subtle.ConstantTimeCompare(given, sum) != 1 {
			return &Error{ReasonDigestMismatch, "Content-Digest is signed and is not the body's: the body was changed on the way"}
		}
	}
	if known == 0 {
		return &Error{ReasonSignatureMalformed, "Content-Digest has neither sha-256 nor sha-512"}
	}
	return nil
}

// dictionaryOf reads a header that must stand there once. RFC 8941 would join
// several, and an attacker could add one that only one side of a proxy sees.
func dictionaryOf(header http.Header, name string) ([]fieldMember, *Error) {
	values := header.Values(name)
	if len(values) > 1 {
		return nil, &Error{ReasonDuplicateHeader, fmt.Sprintf("%s is there %d times", name, len(values))}
	}
	if len(values) == 0 || values[0] == "" {
		return nil, &Error{ReasonSignatureMissing, name + " is missing or empty"}
	}
	members, parseErr := parseDictionary(values[0])
	if parseErr != nil {
		return nil, &Error{ReasonSignatureMalformed, name + " " + parseErr.Error()}
	}
	return members, nil
}

// messageAlgorithm is the algorithm of RFC 9421 section 3.3 that a key is for, by
// its registered name; "" if there is none.
func messageAlgorithm(k key, hash crypto.Hash) (string, signing) {
	switch public := k.public.(type) {
	case nil:
		return "hmac-sha256", signing{kind: KindHMAC, hash: crypto.SHA256}
	case ed25519.PublicKey:
		return "ed25519", signing{kind: KindEd25519}
	case *ecdsa.PublicKey:
		switch public.Curve {
		case elliptic.P256():
			return "ecdsa-p256-sha256", signing{kind: KindECDSA, hash: crypto.SHA256, raw: true}
		case elliptic.P384():
			return "ecdsa-p384-sha384", signing{kind: KindECDSA, hash: crypto.SHA384, raw: true}
		}
	case *rsa.PublicKey:
		switch hash {
		case crypto.SHA256:
			return "rsa-v1_5-sha256", signing{kind: KindRSA, hash: crypto.SHA256}
		case crypto.SHA512:
			return "rsa-pss-sha512", signing{kind: KindRSA, hash: crypto.SHA512, pss: true}
		}
	}
	return "", signing{}
}

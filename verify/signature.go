package verify

import (
	"bytes"
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // one provider signs with nothing newer; an HMAC needs no collision resistance
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// MaxSignatures bounds the signatures of one request that are compared. What
// follows them is ignored.
const MaxSignatures = 16

// maxHashed bounds, in bytes, what is hashed for one request over a signature of
// a public key, which takes a pass over the text for each key and signature. One
// pass for each key is always made.
const maxHashed = 128 << 20

// hashFunc is a hash function by its name in a definition. The zero value is
// none.
type hashFunc struct {
	new      func() hash.Hash
	size     int // in bytes
	standard crypto.Hash
}

// signatureChecker is for a signature over a text. Whether it is an HMAC, a hash
// or of a public key is up to the kind and the key.
type signatureChecker struct {
	s *scheme
	// text makes the signed text, in pieces, so that the body is not copied, where
	// no template can; nil is the scheme's template.
	text func(in *input) ([][]byte, *Error)
}

func (c signatureChecker) check(ctx context.Context, in *input) (proof, *Error) {
	s := c.s
	keys, texts, err := s.keysAndTexts(ctx, in)
	if err != nil {
		return proof{}, err
	}
	signedAt, err := s.read(in)
	if err != nil {
		return proof{}, err
	}
	if err := s.unambiguous(in); err != nil {
		return proof{}, err
	}
	// The text comes before the signatures are decoded: what is wrong with it says
	// more than that a signature looks wrong, too.
	pieces, err := c.pieces(in, keys[0])
	if err != nil {
		return proof{}, err
	}
	signatures, err := s.decode(texts)
	if err != nil {
		return proof{}, err
	}
	if s.isAnswer(pieces) {
		return proof{}, &Error{ReasonSignatureMismatch, "the signed text is one that a challenge might have got the signature of"}
	}
	signatures = affordable(signatures, keys, pieces)
	for i, k := range keys {
		if i > 0 && s.kind == KindHash {
			// It rendered before, and the key is all that is different.
			pieces, _ = c.pieces(in, k)
		}
		if s.signedBy(k, pieces, signatures) {
			return proof{id: in.id, signedAt: signedAt}, nil
		}
	}
	return proof{}, s.mismatch(keys)
}

// unambiguous refuses a body of which only single values are signed, and in which
// one of them stands twice: who receives it may take the other one.
func (s *scheme) unambiguous(in *input) *Error {
	if s.coversBody() {
		return nil
	}
	twice := func(v selector) bool {
		switch v.form {
		case "json":
			return !jsonUnique(in.req.Body, v.path)
		case "item":
			return !jsonUnique(in.item, v.path)
		}
		return false
	}
	for _, v := range []selector{s.each, s.clock.from, s.id} {
		if twice(v) {
			return &Error{ReasonDuplicateValue, v.String() + " is there more than once"}
		}
	}
	if s.template.any(twice) {
		return &Error{ReasonDuplicateValue, "a value that is signed is there more than once"}
	}
	return nil
}

// pieces is the signed text. Only for KindHash does it depend on the key.
func (c signatureChecker) pieces(in *input, k key) ([][]byte, *Error) {
	switch {
	case c.text != nil:
		return c.text(in)
	case c.s.kind == KindHash:
		return c.s.template.render(in, map[string][]byte{"secret": k.raw})
	}
	return c.s.template.render(in, nil)
}

// affordable leaves out the last signatures where a text is so long that trying
// all of them would keep a processor busy for seconds.
func affordable(signatures [][]byte, keys []key, pieces [][]byte) [][]byte {
	if !slices.ContainsFunc(keys, func(k key) bool { return k.public != nil }) {
		return signatures // of an HMAC the text is hashed once for each key
	}
	size := 1
	for _, p := range pieces {
		size += len(p)
	}
	return signatures[:min(len(signatures), max(1, maxHashed/(size*len(keys))))]
}

// signedBy reports whether one of the signatures is k's, under the hash that the
// definition names. How long it takes says nothing about a digest.
func (s *scheme) signedBy(k key, pieces, signatures [][]byte) bool {
	// A key is either; which one was decided when it was configured, not by what
	// the request looks like.
	if k.public != nil {
		text := bytes.Join(pieces, nil)
		return slices.ContainsFunc(signatures, func(sig []byte) bool {
			return verifySignature(k.public, s.hash.standard, text, sig)
		})
	}
	var h hash.Hash
	if s.kind == KindHash {
		h = s.hash.new()
	} else {
		h = hmac.New(s.hash.new, k.raw)
	}
	for _, p := range pieces {
		h.Write(p)
	}
	sum := h.Sum(nil)
	return slices.ContainsFunc(signatures, func(sig []byte) bool { return hmac.Equal(sig, sum) })
}

// mismatch says over what and against how many secrets, and nothing of the digests:
// what should have stood there is what an attacker asks for.
func (s *scheme) mismatch(keys []key) *Error {
	over := ""
	if !s.template.empty() {
		over = " for " + s.template.text
	}
	return &Error{ReasonSignatureMismatch, fmt.Sprintf(
		"no signature in %s is right%s under any configured secret (%d): another secret, or changed on the way",
		s.where(), over, len(keys))}
}

// isAnswer reports whether a signed text is of the form of a challenge. Texts of
// messages are longer, or begin otherwise, so that this costs nothing.
func (s *scheme) isAnswer(pieces [][]byte) bool {
	if len(s.answers) == 0 {
		return false
	}
	size := 0
	for _, p := range pieces {
		size += len(p)
	}
	if size > 8*MaxSetting {
		return false
	}
	text := bytes.Join(pieces, nil)
	return slices.ContainsFunc(s.answers, func(r *regexp.Regexp) bool { return r.Match(text) })
}

// tokenChecker compares what the request carries with a secret: the text itself,
// or user:password of basic authentication.
type tokenChecker struct{ s *scheme }

// check compares every token with every secret until one is right; how long that
// takes tells which secret it is, and nothing of what is in it.
func (c tokenChecker) check(ctx context.Context, in *input) (proof, *Error) {
	keys, texts, err := c.s.keysAndTexts(ctx, in)
	if err != nil {
		return proof{}, err
	}
	signedAt, err := c.s.read(in)
	if err != nil {
		return proof{}, err
	}
	tokens, err := c.s.decode(texts)
	if err != nil {
		return proof{}, err
	}
	for _, k := range keys {
		for _, token := range tokens {
			if c.same(token, k.raw) {
				return proof{id: in.id, signedAt: signedAt}, nil
			}
		}
	}
	return proof{}, &Error{ReasonSignatureMismatch, fmt.Sprintf("what stands in %s is none of the configured secrets (%d)", c.s.where(), len(keys))}
}

// same compares hashes, so that not even the length of the secret shows. Of
// credentials both parts are always compared; the password may contain colons.
func (c tokenChecker) same(token, secret []byte) bool {
	if c.s.kind == KindToken {
		return equal(token, secret)
	}
	// At the first colon alone: user names have none, and passwords may.
	user, password, ok := bytes.Cut(token, []byte(":"))
	wantUser, wantPassword, _ := bytes.Cut(secret, []byte(":"))
	users, passwords := equal(user, wantUser), equal(password, wantPassword)
	return users && passwords && ok
}

// equal compares in constant time, whatever the lengths.
func equal(a, b []byte) bool {
	x, y := sha256.Sum256(a), sha256.Sum256(b)
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// keysAndTexts are the two sides of a comparison. The keys come first: where
// none is usable, nothing in the request is the reason.
func (s *scheme) keysAndTexts(ctx context.Context, in *input) (keys []key, texts []string, err *Error) {
	if keys, err = s.usableKeys(ctx, in); err != nil {
		return nil, nil, err
	}
	texts, err = s.signatureTexts(in)
	return keys, texts, err
}

// signatureTexts returns what stands behind the prefix in all places of the
// signature, not decoded yet.
func (s *scheme) signatureTexts(in *input) ([]string, *Error) {
	// found is about places and texts about prefixes: a header with signatures of
	// other versions alone is malformed, and not missing.
	var texts []string
	found := false
	for _, place := range s.places {
		values, err := in.values(place, s.signature.Repeated)
		if err != nil {
			return nil, err
		}
		for _, value := range values {
			if !found {
				in.place, found = value, true
			}
			texts = s.appendTexts(texts, value)
		}
	}
	if !found {
		return nil, &Error{ReasonSignatureMissing, s.where() + " is missing or empty"}
	}
	return texts, nil
}

// appendTexts stops at MaxSignatures of all places together: each is compared with
// every key.
func (s *scheme) appendTexts(texts []string, value string) []string {
	for element := range elements(value, s.signature.Separator) {
		if len(texts) == MaxSignatures {
			break
		}
		if text, ok := s.cutPrefix(element); ok {
			texts = append(texts, text)
		}
	}
	return texts
}

// cutPrefix folds case in the prefix alone. What is behind it is the signature.
func (s *scheme) cutPrefix(element string) (string, bool) {
	n := len(s.signature.Prefix)
	if s.signature.FoldCase && len(element) >= n && strings.EqualFold(element[:n], s.signature.Prefix) {
		return element[n:], true
	}
	return strings.CutPrefix(element, s.signature.Prefix)
}

// values returns what is not empty of a place: one value, or those of numbered
// or repeated headers.
func (in *input) values(place selector, repeated bool) ([]string, *Error) {
	if name, numbered := strings.CutSuffix(place.name, "-#"); numbered && place.form == "header" {
		return in.numbered(name)
	}
	if repeated && place.form == "header" {
		return slices.DeleteFunc(slices.Clone(in.req.Header[place.name]), func(v string) bool { return v == "" }), nil
	}
	value, _, err := in.text(place)
	if err != nil || value == "" {
		return nil, err
	}
	return []string{value}, nil
}

// numbered returns the values of NAME-1, NAME-2 and so on, gaps allowed.
func (in *input) numbered(name string) ([]string, *Error) {
	// A stranger may add a hundred headers and does not get to choose how many are
	// looked up.
	var numbers []int
	for header := range in.req.Header {
		if text, ok := strings.CutPrefix(header, name+"-"); ok {
			if n, err := strconv.Atoi(text); err == nil && n > 0 && n <= maxNumbered && strconv.Itoa(n) == text {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	var values []string
	for _, n := range numbers {
		value, present, err := in.only(name + "-" + strconv.Itoa(n))
		if err != nil {
			return nil, err
		}
		if present {
			values = append(values, value)
		}
	}
	return values, nil
}

// elements splits a value, white space around each element dropped; without a
// separator the whole value is one, as it is.
func elements(value, separator string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if separator == "" {
			yield(value)
			return
		}
		for element := range strings.SplitSeq(value, separator) {
			if !yield(strings.TrimSpace(element)) {
				return
			}
		}
	}
}

// decode decodes what has the encoding and the length of a signature.
func (s *scheme) decode(texts []string) ([][]byte, *Error) {
	found := make([][]byte, 0, len(texts))
	for _, text := range texts {
		raw, err := decodeText(s.signature.Encoding, text)
		if err == nil && len(raw) > 0 && (s.size == 0 || len(raw) == s.size) {
			found = append(found, raw)
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	what := "a signature"
	if s.size > 0 {
		what = fmt.Sprintf("%d bytes", s.size)
	}
	return nil, &Error{ReasonSignatureMalformed, fmt.Sprintf(
		"nothing in %s is %s in %s after the prefix %q", s.where(), what, s.signature.Encoding, s.signature.Prefix)}
}

// where names the places of the signature.
func (s *scheme) where() string {
	names := make([]string, len(s.places))
	for i, place := range s.places {
		names[i] = place.label()
	}
	return strings.Join(names, ", ")
}

// decodeText is strict where the standard library is not: base64 there skips
// line breaks.
func decodeText(encoding, text string) ([]byte, error) {
	if encoding == "raw" {
		return []byte(text), nil
	}
	if strings.ContainsAny(text, "\r\n") {
		return nil, base64.CorruptInputError(0)
	}
	switch encoding {
	case "hex":
		return hex.DecodeString(text)
	case "base64url":
		return base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(text, "="))
	case "base64url_unpadded":
		return base64.RawURLEncoding.Strict().DecodeString(text)
	default:
		return base64.StdEncoding.Strict().DecodeString(text)
	}
}

// hashNamed finds the function that a definition names.
func hashNamed(name string) (hashFunc, bool) {
	switch name {
	case "md5": // some providers sign with nothing newer, and HMAC does not need collision resistance
		return hashFunc{md5.New, md5.Size, crypto.MD5}, true
	case "sha1": // likewise
		return hashFunc{sha1.New, sha1.Size, crypto.SHA1}, true
	case "sha256":
		return hashFunc{sha256.New, sha256.Size, crypto.SHA256}, true
	case "sha512":
		return hashFunc{sha512.New, sha512.Size, crypto.SHA512}, true
	}
	return hashFunc{}, false
}

package verify

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// keyForm is a KeyForm with settings filled in.
type keyForm struct {
	KeyForm
	strip *regexp.Regexp // nil for none
	kind  Kind
}

// keyForm resolves how secrets become keys.
func (c *compiler) keyForm(path string, kind Kind, def KeyForm) keyForm {
	f := keyForm{KeyForm: def, kind: kind}
	f.Suffix, _ = c.value(def.Suffix, path+"suffix")
	// Code decides itself what its secrets are, and may do without.
	forms := append([]string{"utf8", "hex", "base64", "base64url"}, publicForms()...)
	if kind == KindCode {
		forms = append(forms, "")
	}
	f.Form = c.oneOf(def.Form, path+"form", forms...)
	if def.Strip != "" {
		var err error
		if f.strip, err = regexp.Compile("^(?:" + def.Strip + ")"); err != nil {
			c.fail(path+"strip", "is not a regular expression")
		}
	}
	if !slices.Contains([]string{"", "nfkd"}, def.Normalize) {
		c.fail(path+"normalize", "must be nfkd or empty")
	}
	c.derivation(path+"derive", def.Derive)
	return f
}

// derivation refuses a hash that no key is derived by.
func (c *compiler) derivation(path, hash string) {
	if !slices.Contains([]string{"", "sha1", "sha256"}, hash) {
		c.fail(path, "must be sha1, sha256 or empty")
	}
}

// assign decodes the secrets and gives each to the schemes that it is for.
// keyless says that the provider brings the keys itself.
func (c *compiler) assign(secrets []string, schemes []*scheme, keyless bool) {
	if schemes[0].kind == KindNone {
		if len(secrets) > 0 {
			c.fail("secrets", "must be empty: this provider verifies nothing")
		}
		return
	}
	if len(secrets) == 0 && !keyless || len(secrets) > MaxSecrets {
		c.fail("secrets", fmt.Sprintf("must be 1 to %d", MaxSecrets))
	}
	// Both ends of a secret are looked at before it is decoded, because the
	// utf8 form would take a newline for a part of the key. PEM ends in one.
	for i, secret := range secrets {
		field := indexed("secrets", i)
		if secret == "" {
			c.fail(field, "is empty")
			continue
		}
		if trimmed := strings.TrimSpace(secret); trimmed != secret && !strings.HasPrefix(trimmed, "-----BEGIN ") {
			c.fail(field, "begins or ends with white space")
			continue
		}
		if err := give(secret, schemes); err != nil {
			c.fail(field, err.Error())
		}
	}
}

// give adds the key in secret to all schemes that take it. A secret that one
// scheme claims by its prefix goes to no other, lest a public key become the key
// of an HMAC, which everybody could then make.
func give(secret string, schemes []*scheme) error {
	marked := slices.ContainsFunc(schemes, func(s *scheme) bool { return s.key.marks(secret) })
	taken := false
	for _, s := range schemes {
		if marked != s.key.marks(secret) || !marked && s.key.Prefix != "" && !s.key.Bare {
			continue
		}
		k, err := s.key.decode(secret)
		if err != nil {
			return err
		}
		s.keys = append(s.keys, k)
		taken = true
	}
	if !taken {
		return errors.New("has none of the prefixes that this provider's secrets have")
	}
	return nil
}

// marks reports whether the secret is meant for this form and no other.
func (f keyForm) marks(secret string) bool {
	return f.Prefix != "" && strings.HasPrefix(secret, f.Prefix)
}

// public reports whether a key of this form is a public one.
func (f keyForm) public() bool {
	return slices.Contains([]Kind{KindEd25519, KindECDSA, KindRSA}, f.kind) || slices.Contains(publicForms(), f.Form)
}

// decode returns the key in a secret; the error does not contain any of it.
func (f keyForm) decode(secret string) (key, error) {
	text := strings.TrimPrefix(secret, f.Prefix)
	if f.strip != nil {
		text = text[len(f.strip.FindString(text)):]
	}
	// EasyPost signs with the decomposed form of what its page shows.
	if f.Normalize == "nfkd" {
		text = norm.NFKD.String(text)
	}
	// Before the suffix: "&" alone is a key that anybody has.
	if text == "" {
		return key{}, errors.New("is empty after its prefix")
	}
	text += f.Suffix
	if f.public() {
		public, err := parsePublicKey(f.kind, f.Form, text)
		return key{public: public}, err
	}
	// A public key must not become a shared secret: everybody has it. Where the
	// sender's alg could choose between the two that is an attack, elsewhere a
	// mistake that only forged requests would verify under.
	if looksPublic(text) {
		return key{}, errors.New("is a public key or certificate, must be the shared secret")
	}
	raw, err := decodeKey(f.Form, text)
	if err != nil {
		return key{}, errors.New("is not " + f.Form)
	}
	// HMAC fills keys up with zeros: none but zeros are the empty key again.
	if len(bytes.Trim(raw, "\x00")) == 0 {
		return key{}, errors.New("is empty after decoding, or zeros")
	}
	if f.kind == KindBasic {
		_, password, ok := strings.Cut(text, ":")
		// A name alone is no secret: senders show it, and people guess it.
		if !ok || password == "" {
			return key{}, errors.New("must be user:password; the password must not be empty")
		}
	}
	// Derived last, so that the hash of nothing is never a key.
	return key{raw: derived(f.Derive, raw)}, nil
}

// derived is the hash of a key that is not empty; the key itself without one.
func derived(hash string, raw []byte) []byte {
	h, ok := hashNamed(hash)
	if !ok {
		return raw
	}
	sum := h.new()
	sum.Write(raw)
	return sum.Sum(nil)
}

// decodeKey takes padding or leaves it, as people copy both.
func decodeKey(form, text string) ([]byte, error) {
	switch form {
	case "hex":
		return hex.DecodeString(text)
	case "base64":
		return base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(text, "="))
	case "base64url":
		return base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(text, "="))
	}
	return []byte(text), nil
}

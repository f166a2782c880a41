package verify

import (
	"context"
	"crypto"
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SignOptions are what signing needs besides a Verifier.
type SignOptions struct {
	// Now is the time of signing.
	Now time.Time
	// Private signs where the provider has a private key; its public one is among
	// the Verifier's secrets. Nil for shared secrets.
	Private crypto.Signer
}

// Sign is a definition read the other way, for tests: it returns the request with
// all that its provider would have put into it, so that Verify accepts it. It
// signs with the first secret, and the first scheme that it can sign with. What the
// provider puts into headers, the query, or a body that is a JSON object or a form
// is added where it is missing and left where it is there; no other body is changed,
// multipart ones among them. The error says why it cannot be done. req is not changed.
func (v *Verifier) Sign(ctx context.Context, req Request, o SignOptions) (Request, error) {
	failure := errors.New("no secret is configured, or the provider's keys are fetched")
	for i, s := range v.schemes {
		signed, err := s.sign(ctx, req, o)
		if err == nil {
			return signed, nil
		}
		if i == 0 {
			failure = err
		}
	}
	return Request{}, fmt.Errorf("verify: %s: %w", v.def.ID, failure)
}

// maker is a checker that can make what it checks.
type maker interface{ sign(d *draft) error }

// wrapper is a maker whose provider sends an event inside something else.
type wrapper interface {
	wrap(body []byte) []byte
}

// draft is a request that is being signed by a scheme.
type draft struct {
	req Request
	s   *scheme
	o   SignOptions
	id  string
	at  string // the timestamp as it is written
	// elements stand beside the signature; claims are those of a token, in JSON.
	elements []string
	claims   map[string]string
	item     int // of Each; -1 for none
}

// sign makes a request that the scheme accepts, which it is asked at the end.
func (s *scheme) sign(ctx context.Context, req Request, o SignOptions) (Request, error) {
	makes, ok := s.checker.(maker)
	if !ok {
		return Request{}, errors.New("it signs with certificates of its own")
	}
	req.Header = req.Header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if w, wraps := makes.(wrapper); wraps {
		req.Body = w.wrap(req.Body)
	}
	d := &draft{req: req, s: s, o: o, item: -1, claims: map[string]string{}}
	if err := d.prepare(); err != nil {
		return Request{}, err
	}
	if err := d.each(makes); err != nil {
		return Request{}, err
	}
	if _, err := s.accept(ctx, &input{req: d.req, now: o.Now}); err != nil {
		return Request{}, err
	}
	return d.req, nil
}

// each signs the request, or every item of it.
func (d *draft) each(makes maker) error {
	if d.s.each.form == "" {
		return makes.sign(d)
	}
	items, _ := jsonItems(jsonValue(d.req.Body, d.s.each.path))
	for d.item = range items {
		if err := makes.sign(d); err != nil {
			return err
		}
	}
	return nil
}

// prepare puts into the request what stands beside the signature.
func (d *draft) prepare() error {
	s := d.s
	if s.id.form != "" {
		if err := d.fill(s.id, "msg_"+strconv.FormatInt(d.o.Now.UnixNano(), 36)); err != nil {
			return err
		}
		d.id, _ = d.text(s.id)
	}
	if s.clock.from.form != "" {
		if err := d.fill(s.clock.from, formatTime(s.clock.unit, d.o.Now)); err != nil {
			return err
		}
		d.at, _ = d.text(s.clock.from)
	}
	for _, c := range s.conditions {
		if err := d.meet(c); err != nil {
			return err
		}
	}
	for _, r := range s.require {
		want, err := d.render(r.equals)
		if err != nil {
			return err
		}
		if err := d.fill(r.value, want); err != nil {
			return err
		}
	}
	for _, g := range s.digests {
		if err := d.digest(g); err != nil {
			return err
		}
	}
	return nil
}

// meet has a condition hold, where something is to be there.
func (d *draft) meet(c condition) error {
	mine := func(v selector) bool { return v.String() == c.value.String() }
	switch {
	case c.absent, slices.ContainsFunc(d.s.places, mine), slices.ContainsFunc(d.s.digests, func(g digest) bool { return mine(g.value) }):
		return nil // what is there and must not be shows in the end
	case c.equals && c.text == "":
		return nil
	case c.equals:
		return d.fill(c.value, c.text)
	}
	return d.fill(c.value, "sample")
}

// digest puts the hash of a text where it belongs.
func (d *draft) digest(g digest) error {
	text, err := d.render(g.of)
	if err != nil || text == "" && g.absentIfEmpty {
		return err
	}
	h := g.hash.new()
	h.Write([]byte(text))
	return d.put(g.value, encodeText(g.encoding, h.Sum(nil)))
}

// input is the draft as a checker sees it.
func (d *draft) input() *input {
	in := &input{req: d.req, now: d.o.Now}
	in.begin(d.s)
	in.id, in.timestamp, in.place = d.id, d.at, strings.Join(d.elements, d.s.signature.Separator)
	in.proof.claims = d.payload()
	if items, ok := jsonItems(jsonValue(d.req.Body, d.s.each.path)); ok && d.item >= 0 && d.item < len(items) {
		in.item = items[d.item]
	}
	return in
}

// text is a value that the draft has.
func (d *draft) text(v selector) (string, bool) {
	if v.form == "element" && len(d.elements) == 0 {
		return "", false
	}
	text, present, err := d.input().text(v)
	return text, present && err == nil && text != ""
}

// render fills a template in; what it names and the request has not is added.
func (d *draft) render(t template) (string, error) {
	for _, section := range t.sections {
		for _, p := range section.parts {
			if section.optional || p.value.form == "item" || !slices.Contains([]string{"header", "query", "json", "form", "multipart", "element"}, p.value.form) {
				continue
			}
			if err := d.fill(p.value, "sample"); err != nil {
				return "", err
			}
		}
	}
	extra := map[string][]byte{}
	if d.s.kind == KindHash {
		extra["secret"] = d.s.keys[0].raw
	}
	pieces, err := t.render(d.input(), extra)
	if err != nil {
		return "", err
	}
	return string(slices.Concat(pieces...)), nil
}

// fill puts a value where there is none.
func (d *draft) fill(v selector, value string) error {
	if _, present := d.text(v); present {
		return nil
	}
	return d.put(v, value)
}

// put sets a value in the request, in the claims, or beside the signature.
func (d *draft) put(v selector, value string) error {
	switch v.form {
	case "header":
		name, numbered := strings.CutSuffix(v.name, "-#")
		if numbered {
			name += "-1"
		}
		d.req.Header[textproto.CanonicalMIMEHeaderKey(name)] = []string{value}
	case "query":
		d.req.URL = withField(d.req.URL, v.name, value)
	case "form":
		if v.path != nil {
			return fmt.Errorf("%s belongs into the body", v)
		}
		separator := "&"
		if len(d.req.Body) == 0 {
			separator = ""
		}
		d.req.Body = fmt.Appendf(slices.Clip(d.req.Body), "%s%s=%s", separator, url.QueryEscape(v.name), url.QueryEscape(value))
	case "json":
		return d.putJSON(v.path, value)
	case "item":
		return d.putJSON(slices.Concat(d.s.each.path, []string{strconv.Itoa(d.item)}, v.path), value)
	case "body":
		d.req.Body = []byte(value)
	case "claim":
		d.claims[strings.Join(v.path, ".")] = jsString(value)
	case "element":
		if strings.HasPrefix(v.name, "#") {
			d.elements = append(d.elements, value)
		} else {
			d.elements = append(d.elements, v.name+"="+value)
		}
	default:
		return fmt.Errorf("%s belongs into the body", v)
	}
	return nil
}

// withField adds a field to the query of a URL.
func withField(address, name, value string) string {
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	return address + separator + url.QueryEscape(name) + "=" + url.QueryEscape(value)
}

// putJSON sets a member of a body that is JSON, whose white space and order are
// not kept. An empty body is an object.
func (d *draft) putJSON(path []string, value string) error {
	var doc any = map[string]any{}
	if len(d.req.Body) > 0 {
		dec := json.NewDecoder(strings.NewReader(string(d.req.Body)))
		dec.UseNumber()
		if err := dec.Decode(&doc); err != nil {
			return fmt.Errorf("the body has to be JSON, for %s", strings.Join(path, "."))
		}
	}
	if !setMember(doc, path, value) {
		return fmt.Errorf("the body has no place for %s", strings.Join(path, "."))
	}
	var err error
	d.req.Body, err = json.Marshal(doc)
	return err
}

// setMember sets what a path leads to; objects on the way are made.
func setMember(doc any, path []string, value string) bool {
	var next any
	last := len(path) == 1
	switch at := doc.(type) {
	case map[string]any:
		if strings.ContainsAny(path[0], "*?") {
			return false
		}
		if last {
			at[path[0]] = value
			return true
		}
		if at[path[0]] == nil {
			at[path[0]] = map[string]any{}
		}
		next = at[path[0]]
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(at) {
			return false
		}
		if last {
			at[i] = value
			return true
		}
		next = at[i]
	default:
		return false
	}
	return setMember(next, path[1:], value)
}

// write puts a signature, or a token, into its first place.
func (d *draft) write(text string) error {
	text = d.s.signature.Prefix + text
	if d.s.signature.Separator != "" {
		text = strings.Join(append(slices.Clone(d.elements), text), d.s.signature.Separator)
	}
	return d.put(d.s.places[0], text)
}

// sum is the signature of a text under the scheme's first key.
func (d *draft) sum(text []byte) ([]byte, error) {
	k := d.s.keys[0]
	switch {
	case k.public != nil:
		return signing{kind: kindOf(k.public), hash: d.s.hash.standard}.sign(k, d.o.Private, text)
	case d.s.kind == KindHash:
		h := d.s.hash.new()
		h.Write(text)
		return h.Sum(nil), nil
	}
	mac := hmac.New(d.s.hash.new, k.raw)
	mac.Write(text)
	return mac.Sum(nil), nil
}

// keyed is nil, or why there is nothing to sign with.
func (s *scheme) keyed() error {
	if len(s.keys) == 0 {
		return errors.New("no secret is configured, and the provider's keys are fetched: sign with a private key, and have its public key as the secret")
	}
	return nil
}

// sign implements maker.
func (noneChecker) sign(*draft) error { return nil }

// sign implements maker.
func (c signatureChecker) sign(d *draft) error {
	if err := d.s.keyed(); err != nil {
		return err
	}
	var text []byte
	if c.text == nil {
		rendered, err := d.render(d.s.template)
		if err != nil {
			return err
		}
		text = []byte(rendered)
	} else {
		for v, value := range besides(d.s.places[0].name) {
			if err := d.fill(v, value); err != nil {
				return err
			}
		}
		pieces, err := c.text(d.input())
		if err != nil {
			return err
		}
		text = slices.Concat(pieces...)
	}
	sum, err := d.sum(text)
	if err != nil {
		return err
	}
	return d.write(encodeText(d.s.signature.Encoding, sum))
}

// sign implements maker.
func (c tokenChecker) sign(d *draft) error {
	if err := d.s.keyed(); err != nil {
		return err
	}
	return d.write(encodeText(d.s.signature.Encoding, d.s.keys[0].raw))
}

// encodeText is the other way of decodeText.
func encodeText(encoding string, raw []byte) string {
	switch encoding {
	case "raw":
		return string(raw)
	case "hex":
		return hex.EncodeToString(raw)
	case "base64url", "base64url_unpadded":
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// formatTime is the other way of parseTime.
func formatTime(unit string, at time.Time) string {
	switch unit {
	case "ms":
		return strconv.FormatInt(at.UnixMilli(), 10)
	case "ns":
		return strconv.FormatInt(at.UnixNano(), 10)
	case "rfc3339", "iso8601":
		return at.UTC().Format(time.RFC3339)
	case "rfc1123":
		return at.UTC().Format(http.TimeFormat)
	}
	return strconv.FormatInt(at.Unix(), 10)
}

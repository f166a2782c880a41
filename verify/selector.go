package verify

import (
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxPath bounds the names of a path: each costs a pass over the part of the
	// body that it leads to.
	maxPath = 8
	// maxNumbered bounds the headers of header:NAME-#.
	maxNumbered = 100
)

// selector is a Selector taken apart. The zero value selects nothing.
type selector struct {
	form string   // header, json, ...; in templates also url, secret, ...
	name string   // of the header, field or element; the text of a literal
	path []string // within the JSON body, field, token or item
	next *selector
}

// parseSelector reads a Selector without settings in it. It is strict, because a
// selector that selects nothing is not noticed until an event has no type, or a
// condition holds for every request.
func parseSelector(text string) (selector, bool) {
	first, rest, more := strings.Cut(text, "+")
	s, ok := parseOne(first)
	if !ok || !more {
		return s, ok
	}
	next, ok := parseSelector(rest)
	s.next = &next
	return s, ok
}

// parseOne reads a selector that is not joined to another.
func parseOne(text string) (selector, bool) {
	form, rest, named := strings.Cut(text, ":")
	s := selector{form: form}
	ok := named && rest != ""
	switch form {
	case "id", "body":
		return s, !named
	case "literal", "query":
		s.name = rest
	case "header":
		// In the form in which net/http has them, so that a request costs no folding.
		s.name = textproto.CanonicalMIMEHeaderKey(rest)
		ok = isHeaderName(strings.TrimSuffix(rest, "-#"))
	case "element":
		s.name = rest
		if position, numbered := strings.CutPrefix(rest, "#"); numbered {
			_, err := strconv.ParseUint(position, 10, 8)
			ok = err == nil
		}
	case "form", "multipart":
		// What follows the name is the way within its JSON: Slack and Dropbox Sign
		// put a document into a field.
		name, path, inside := strings.Cut(rest, ":")
		s.name = name
		if inside {
			s.path, ok = parsePath(path)
		}
		ok = ok && name != ""
	case "json", "item", "claim":
		s.path, ok = parsePath(rest)
	default:
		ok = false
	}
	return s, ok
}

// parsePath reads names joined by dots. A '?' asks for a name in place of a value,
// which has nothing below it: it may stand last alone.
func parsePath(text string) ([]string, bool) {
	path := strings.Split(text, ".")
	for i, name := range path {
		if name == "" || strings.Count(name, "*") > 1 || name[0] == '?' && (i < len(path)-1 || !strings.Contains(name, "*")) {
			return nil, false
		}
	}
	return path, len(path) <= maxPath
}

// String is s as it is written in a definition.
func (s selector) String() string {
	text := s.form
	if s.name != "" {
		text += ":" + s.name
	}
	if s.path != nil {
		text += ":" + strings.Join(s.path, ".")
	}
	if s.next != nil {
		text += "+" + s.next.String()
	}
	return text
}

// label is s for people: a header by its name alone, all else as it is written
// in a definition.
func (s selector) label() string {
	if s.form == "header" && s.next == nil {
		return s.name
	}
	return s.String()
}

// inBody reports whether the value is certain to be covered once the body is.
func (s selector) inBody() bool {
	return slices.Contains([]string{"json", "form", "multipart", "item", "body", "claim", "literal"}, s.form)
}

// text returns a value of the request; present tells an empty one from none,
// but for headers, where there is no difference. The error is of one that is
// there more than once, or of a body that does not read as it must.
func (in *input) text(s selector) (value string, present bool, err *Error) {
	value, present, err = in.one(s)
	if s.next == nil || err != nil || !present {
		return value, present, err
	}
	rest, present, err := in.text(*s.next)
	if err != nil || !present {
		return "", present, err
	}
	return value + "." + rest, true, nil
}

// one is text for a selector that is not joined to another.
func (in *input) one(s selector) (value string, present bool, err *Error) {
	switch s.form {
	case "header":
		return in.only(s.name)
	case "json":
		value, present = jsonText(in.req.Body, s.path)
		return value, present, nil
	case "item":
		value, present = jsonText(in.item, s.path)
		return value, present, nil
	case "claim":
		value, present = jsonText(in.proof.claims, s.path)
		return value, present, nil
	case "query", "form", "multipart":
		return in.field(s)
	case "element":
		return in.element(s.name)
	case "id":
		return in.proof.id, in.proof.id != "", nil
	case "body":
		return string(in.req.Body), true, nil
	case "literal":
		return s.name, true, nil
	}
	return in.context(s.form)
}

// context is what only templates may select.
func (in *input) context(form string) (value string, present bool, err *Error) {
	switch form {
	case "timestamp":
		return in.timestamp, in.timestamp != "", nil
	case "signed id":
		return in.id, in.id != "", nil
	case "method":
		return in.req.Method, true, nil
	case "url":
		if in.req.URL == "" {
			return "", false, errURLMissing()
		}
		return in.req.URL, true, nil
	case "path", "raw query":
		target := in.target()
		if target == "" {
			return "", false, errURLMissing()
		}
		if form == "path" {
			return target, true, nil
		}
		_, query, _ := strings.Cut(target, "?")
		return query, true, nil
	}
	return "", false, nil
}

// required is text with a reason for a value that is missing or empty.
func (in *input) required(s selector, missing Reason) (string, *Error) {
	value, _, err := in.text(s)
	if err == nil && value == "" {
		err = &Error{missing, s.String() + " is missing or empty"}
	}
	return value, err
}

// field is the value of a query, form or multipart field, or inside the JSON of
// one.
func (in *input) field(s selector) (value string, present bool, err *Error) {
	parse := in.query
	switch s.form {
	case "form":
		parse = in.form
	case "multipart":
		parse = in.multipart
	}
	all, err := parse()
	if err != nil {
		return "", false, err
	}
	value, present, err = all.only(s.name)
	if s.path != nil && present && err == nil {
		value, present = jsonText([]byte(value), s.path)
	}
	return value, present, err
}

// element is the value of NAME=value within the place of the signature, or what
// stands at a position there.
func (in *input) element(name string) (value string, present bool, err *Error) {
	if in.place == "" { // asked before the signature is
		if _, err := in.scheme.signatureTexts(in); err != nil {
			return "", false, nil
		}
	}
	// By position for those that write no names: Recurly begins with the time.
	position, byPosition := strings.CutPrefix(name, "#")
	n := 0
	for element := range elements(in.place, in.scheme.signature.Separator) {
		if byPosition {
			if strconv.Itoa(n) == position {
				return element, true, nil
			}
			n++
			continue
		}
		key, text, ok := strings.Cut(element, "=")
		if !ok || key != name {
			continue
		}
		if present {
			return "", true, &Error{ReasonDuplicateValue, name + "= is there more than once beside the signature"}
		}
		value, present = text, true
	}
	return value, present, nil
}

// first returns the first value that is there, not empty and not too long. What
// does not read as it must is absent; a header that is there twice is an error.
func (in *input) first(selectors []selector) (string, *Error) {
	for _, s := range selectors {
		value, _, err := in.text(s)
		// Headers are mostly unsigned, and a second one may come from a stranger; in
		// the body, which is signed, two of a name are the provider's own affair.
		if err != nil && err.Reason == ReasonDuplicateHeader {
			return "", err
		}
		if err == nil && value != "" && len(value) <= maxValue {
			return value, nil
		}
	}
	return "", nil
}

// errURLMissing is the operator's to mend, by --public-url or Request.URL: what a
// request says of its own host is not taken in its place.
func errURLMissing() *Error {
	return &Error{ReasonURLMissing, "the signature covers the URL, and the public URL is not known"}
}

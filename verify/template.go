package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// template is a text with placeholders, taken apart once. It is never filled in
// twice: what a request brings cannot bring placeholders.
type template struct {
	text     string // as written, for details
	sections []section
}

// section is a run of parts; an optional one stood in [brackets].
type section struct {
	optional bool
	parts    []part
}

// part is literal text, or a placeholder with the functions behind it.
type part struct {
	literal   string // where value is the zero selector
	value     selector
	functions []string
}

// parseTemplate takes a template apart. There is no way to write a literal brace
// or bracket: no provider signs one outside the body. setting gives the text of
// ${NAME}, which is literal; false if there is no such setting.
func parseTemplate(text string, setting func(name string) (string, bool)) (template, error) {
	t := template{text: text}
	// at is the section that is being read; flush ends it, and an empty one leaves
	// no trace.
	at := section{}
	flush := func() {
		if len(at.parts) > 0 {
			t.sections = append(t.sections, at)
		}
		at = section{}
	}
	for text != "" {
		i := strings.IndexAny(text, "{}[]")
		if i < 0 {
			at.parts = append(at.parts, part{literal: text})
			break
		}
		literal := text[:i]
		symbol := text[i]
		text = text[i+1:]
		// ${NAME} and {NAME} begin with the same symbol; the text before it tells.
		isSetting := symbol == '{' && strings.HasSuffix(literal, "$")
		if isSetting {
			literal = literal[:len(literal)-1]
		}
		if literal != "" {
			at.parts = append(at.parts, part{literal: literal})
		}
		switch {
		case symbol == '[' && !at.optional:
			flush()
			at.optional = true
		case symbol == ']' && at.optional:
			flush()
		case symbol == '{':
			name, rest, closed := strings.Cut(text, "}")
			if !closed {
				return t, errors.New("has a { without its }")
			}
			p, err := parsePart(name, isSetting, setting)
			if err != nil {
				return t, err
			}
			at.parts, text = append(at.parts, p), rest
		default:
			return t, fmt.Errorf("has a %c that does not belong there", symbol)
		}
	}
	if at.optional {
		return t, errors.New("has a [ without its ]")
	}
	flush()
	return t, nil
}

// parsePart reads what stands in braces. It refuses what it does not know: taken
// as literal text, a misspelt {timestamp} would go unsigned and unnoticed.
func parsePart(name string, isSetting bool, setting func(string) (string, bool)) (part, error) {
	if isSetting {
		value, ok := setting(name)
		if !ok {
			return part{}, fmt.Errorf("refers to the setting %s, which is not declared", name)
		}
		return part{literal: value}, nil
	}
	name, rest, piped := strings.Cut(name, "|")
	p := part{}
	if piped {
		p.functions = strings.Split(rest, "|")
	}
	for _, f := range p.functions {
		if _, known, _ := apply(f, nil); !known {
			return part{}, fmt.Errorf("has the function %s, which is none of %s", f, functions)
		}
	}
	switch name {
	case "id":
		p.value.form = "signed id"
	case "query":
		p.value.form = "raw query"
	case "body", "timestamp", "url", "method", "path", "secret", "form_sorted", "challenge", "computed":
		p.value.form = name
	default:
		var ok bool
		if p.value, ok = parseSelector(name); !ok {
			return part{}, fmt.Errorf("has {%s}, which is none of {body} {timestamp} {id} {url} {method} {path} {query} {secret} {form_sorted} and a selector such as {header:NAME}", name)
		}
	}
	return p, nil
}

// has reports whether a placeholder of that form is in the template. Behind
// functions it still counts: a hash of the body covers it as well.
func (t template) has(form string) bool {
	return t.any(func(s selector) bool { return s.form == form })
}

// empty reports whether the template comes to "" for every request, as one of
// empty settings does.
func (t template) empty() bool {
	for _, section := range t.sections {
		if slices.ContainsFunc(section.parts, func(p part) bool { return p.value.form != "" || p.literal != "" }) {
			return false
		}
	}
	return true
}

// any reports whether match holds for one of the template's values.
func (t template) any(match func(selector) bool) bool {
	for _, section := range t.sections {
		if slices.ContainsFunc(section.parts, func(p part) bool { return p.value.form != "" && match(p.value) }) {
			return true
		}
	}
	return false
}

// coversBody reports whether every change of the body changes the text. Fields of
// a sorted form run together, a=bc and ab=c alike: their providers sign them so.
func (t template) coversBody() bool { return t.has("body") || t.has("form_sorted") }

// render returns the text in pieces, so that the body is not copied. extra gives
// the values that are not the request's, such as {secret}; nil for none.
func (t template) render(in *input, extra map[string][]byte) ([][]byte, *Error) {
	pieces := make([][]byte, 0, 8) // few templates have more, so that nothing grows
	for _, section := range t.sections {
		start := len(pieces)
		for _, p := range section.parts {
			piece, present, err := p.render(in, extra)
			if err != nil {
				return nil, err
			}
			// What of the section is there already goes with it: "id:" without an id
			// would be neither what was sent nor what was signed. Empty is absent, as
			// it is of headers.
			if section.optional && (!present || p.value.form != "" && len(piece) == 0) {
				pieces = pieces[:start]
				break
			}
			if !present && p.value.form != "item" {
				return nil, p.missing()
			}
			pieces = append(pieces, piece)
		}
	}
	return pieces, nil
}

// render returns one part's text; absent is what is not there.
func (p part) render(in *input, extra map[string][]byte) (piece []byte, present bool, err *Error) {
	switch p.value.form {
	case "":
		return []byte(p.literal), true, nil
	case "body":
		piece, present = in.req.Body, true
	case "form_sorted":
		var all fields
		all, err = in.form()
		piece, present = all.sorted(), true
	case "secret", "challenge", "computed": // absent where they mean nothing
		piece, present = extra[p.value.form]
	default:
		var text string
		text, present, err = in.text(p.value)
		piece = []byte(text)
	}
	if !present || err != nil {
		return nil, false, err
	}
	for _, f := range p.functions {
		// Names were checked when the template was parsed.
		if piece, _, err = apply(f, piece); err != nil {
			return nil, false, err
		}
	}
	return piece, true, nil
}

// missing is a refusal that tells headers from other values, since those are what
// proxies drop.
func (p part) missing() *Error {
	reason := ReasonValueMissing
	if p.value.form == "header" {
		reason = ReasonHeaderMissing
	}
	return &Error{reason, p.value.String() + " is missing or empty"}
}

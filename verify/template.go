package verify

import (
	"fmt"
	"strings"
)

// part is one piece of a signed text: literal text, or a placeholder.
type part struct {
	placeholder string // without braces; empty for literal text
	text        string // literal text, or the header's name
}

// parseTemplate splits a template into its parts. There is no way to write a
// literal brace: no provider signs one outside the body.
func parseTemplate(template string) ([]part, error) {
	var parts []part
	for rest := template; rest != ""; {
		literal, after, found := strings.Cut(rest, "{")
		if literal != "" {
			parts = append(parts, part{text: literal})
		}
		if !found {
			break
		}
		name, next, closed := strings.Cut(after, "}")
		if !closed {
			return nil, fmt.Errorf("has a { without its }")
		}
		p, err := parsePlaceholder(name)
		if err != nil {
			return nil, err
		}
		parts, rest = append(parts, p), next
	}
	return parts, nil
}

// parsePlaceholder refuses what it does not know: taken as literal text, a
// misspelt {timestamp} would go unsigned and unnoticed.
func parsePlaceholder(name string) (part, error) {
	switch name {
	case "body", "timestamp", "id", "url", "method":
		return part{placeholder: name}, nil
	}
	if header, ok := strings.CutPrefix(name, "header:"); ok && isHeaderName(header) {
		return part{placeholder: "header", text: header}, nil
	}
	return part{}, fmt.Errorf("has {%s}, which is none of {body} {timestamp} {id} {url} {method} {header:NAME}", name)
}

// signed is what a request brings to a template. id and timestamp are the texts
// of their headers: what is signed is how they are written.
type signed struct {
	req           Request
	id, timestamp string
}

// pieces returns the signed text in pieces, so that the body is not copied.
func (in signed) pieces(template []part) ([][]byte, *Error) {
	pieces := make([][]byte, len(template))
	for i, p := range template {
		switch p.placeholder {
		case "":
			pieces[i] = []byte(p.text)
		case "body":
			pieces[i] = in.req.Body
		case "timestamp":
			pieces[i] = []byte(in.timestamp)
		case "id":
			pieces[i] = []byte(in.id)
		case "method":
			pieces[i] = []byte(in.req.Method)
		case "url":
			if in.req.URL == "" {
				return nil, &Error{ReasonURLMissing, "the signature covers the URL, and the public URL is not known"}
			}
			pieces[i] = []byte(in.req.URL)
		case "header":
			value, err := in.req.required(p.text, ReasonHeaderMissing)
			if err != nil {
				return nil, err
			}
			pieces[i] = []byte(value)
		}
	}
	return pieces, nil
}

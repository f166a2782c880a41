package verify

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// maxPath bounds the names of a json selector: each costs a pass over the part
// of the body that it leads to.
const maxPath = 8

// selector is a Selector taken apart; exactly one of its forms is set.
type selector struct {
	header string
	path   []string
	id     bool
}

// selectors resolves those of a definition. One that is left to a setting which
// the source leaves empty selects nothing and is dropped.
func (c *compiler) selectors(path string, defs []Selector) []selector {
	var all []selector
	for i, def := range defs {
		text, field := c.value(string(def), indexed(path, i))
		if text == "" {
			continue
		}
		s, ok := parseSelector(text)
		if !ok {
			c.fail(field, "must be header:NAME, json:PATH with at most 8 names, or id")
		}
		all = append(all, s)
	}
	return all
}

func parseSelector(text string) (selector, bool) {
	if text == "id" {
		return selector{id: true}, true
	}
	form, rest, _ := strings.Cut(text, ":")
	switch form {
	case "header":
		return selector{header: rest}, isHeaderName(rest)
	case "json":
		path := strings.Split(rest, ".")
		for _, name := range path {
			if name == "" {
				return selector{}, false
			}
		}
		return selector{path: path}, len(path) <= maxPath
	}
	return selector{}, false
}

// first returns the first value that is there, not empty and not too long.
func first(selectors []selector, req Request, p proof) (string, *Error) {
	for _, s := range selectors {
		value, err := s.value(req, p)
		if err != nil {
			return "", err
		}
		if value != "" && len(value) <= maxValue {
			return value, nil
		}
	}
	return "", nil
}

func (s selector) value(req Request, p proof) (string, *Error) {
	switch {
	case s.id:
		return p.id, nil
	case s.header != "":
		return req.only(s.header)
	default:
		return jsonText(req.Body, s.path), nil
	}
}

// jsonText returns the string or number at path in doc, "" if there is none. It
// builds no tree: a body may be large, and all but one value is of no interest.
// It does not check that doc is valid JSON, only that it can be followed. Of
// repeated names the last counts, as for encoding/json and most receivers.
func jsonText(doc []byte, path []string) string {
	for _, name := range path {
		if doc = child(doc, name); doc == nil {
			return ""
		}
	}
	if len(doc) > 6*maxValue+2 {
		return "" // too long even if every character is escaped as \u0000
	}
	switch {
	case doc[0] == '"':
		var text string
		if json.Unmarshal(doc, &text) != nil {
			return ""
		}
		return text
	case doc[0] == '-' || doc[0] >= '0' && doc[0] <= '9':
		if !json.Valid(doc) {
			return ""
		}
		return string(doc)
	}
	return ""
}

// child returns the member or array element of doc that is called name, nil if
// there is none or doc is cut off or malformed before its end. What it returns
// is never empty.
func child(doc []byte, name string) []byte {
	i := skipSpace(doc, 0)
	if i == len(doc) || doc[i] != '{' && doc[i] != '[' {
		return nil
	}
	object := doc[i] == '{'
	var found []byte
	for n := 0; ; n++ {
		i = skipSpace(doc, i+1)
		is := !object && strconv.Itoa(n) == name
		if object {
			end := skipString(doc, i)
			if end < 0 {
				return nil
			}
			is = nameIs(doc[i:end], name)
			if i = skipSpace(doc, end); i == len(doc) || doc[i] != ':' {
				return nil
			}
			i = skipSpace(doc, i+1)
		}
		end := skipValue(doc, i)
		if end < 0 {
			return nil
		}
		if is {
			found = doc[i:end]
		}
		if i = skipSpace(doc, end); i == len(doc) || doc[i] != ',' {
			break
		}
	}
	if i == len(doc) || doc[i] != '}' && doc[i] != ']' {
		return nil
	}
	return found
}

// nameIs compares a quoted member name, which may have escapes.
func nameIs(quoted []byte, name string) bool {
	if !bytes.ContainsRune(quoted, '\\') {
		return string(quoted[1:len(quoted)-1]) == name
	}
	var text string
	return json.Unmarshal(quoted, &text) == nil && text == name
}

// skipValue returns the position after the value at i; -1 if it does not end or
// is none. Nesting costs a counter, not stack.
func skipValue(doc []byte, i int) int {
	depth := 0
	for start := i; i < len(doc); {
		switch doc[i] {
		case '"':
			if i = skipString(doc, i); i < 0 {
				return -1
			}
			i--
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return -1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return -1
			}
		default:
			if depth == 0 {
				return skipLiteral(doc, start)
			}
		}
		if i++; depth == 0 {
			return i
		}
	}
	return -1
}

// skipLiteral returns the position after the number, true, false or null at i;
// -1 if there is none.
func skipLiteral(doc []byte, i int) int {
	n := bytes.IndexAny(doc[i:], ",]}: \t\r\n")
	switch n {
	case 0:
		return -1
	case -1:
		return len(doc)
	}
	return i + n
}

// skipString returns the position after the string at i, -1 if there is none.
func skipString(doc []byte, i int) int {
	if i >= len(doc) || doc[i] != '"' {
		return -1
	}
	for i++; i < len(doc); i++ {
		switch doc[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

func skipSpace(doc []byte, i int) int {
	for i < len(doc) && (doc[i] == ' ' || doc[i] == '\t' || doc[i] == '\r' || doc[i] == '\n') {
		i++
	}
	return i
}

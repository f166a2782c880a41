package verify

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxWalked bounds the members of an object, and the items of an array, that are
// looked at one by one. A stranger may send millions of them, unsigned, and each
// of the selectors of a source would look at all.
const maxWalked = 100_000

// jsonText returns the string, number or boolean at path in doc as text; false
// if there is none. It builds no tree: a body may be large, and all but one
// value is of no interest. It does not check that doc is valid JSON, only that
// it can be followed. Of repeated names the last counts, as for encoding/json
// and most receivers.
func jsonText(doc []byte, path []string) (text string, present bool) {
	// The name of a member, for providers that put the event's type there.
	if n := len(path) - 1; n >= 0 && strings.HasPrefix(path[n], "?") {
		name, _ := child(jsonValue(doc, path[:n]), path[n][1:])
		return unquote(name)
	}
	switch doc = jsonValue(doc, path); {
	case len(doc) == 0:
		return "", false
	case doc[0] == '"':
		return unquote(doc)
	case doc[0] == '-', doc[0] >= '0' && doc[0] <= '9', doc[0] == 't', doc[0] == 'f':
		if json.Valid(doc) {
			return string(doc), true
		}
	}
	return "", false
}

// jsonValue returns the value at path in doc as it is written, nil if there is
// none.
func jsonValue(doc []byte, path []string) []byte {
	if len(path) == 0 {
		return bytes.TrimSpace(doc)
	}
	for _, name := range path {
		if _, doc = child(doc, name); doc == nil {
			return nil
		}
	}
	return doc
}

// jsonItems returns the items of an array as they are written; false if doc is
// none.
func jsonItems(doc []byte) (items [][]byte, ok bool) {
	if doc = bytes.TrimSpace(doc); len(doc) == 0 || doc[0] != '[' {
		return nil, false
	}
	ok = members(doc, func(_, value []byte) { items = append(items, value) })
	return items, ok
}

// unquote returns the text of a quoted string; false if it is none.
func unquote(quoted []byte) (text string, ok bool) {
	if n := len(quoted); n >= 2 && quoted[n-1] == '"' && !slices.ContainsFunc(quoted[1:n-1], needsDecoder) {
		return string(quoted[1 : n-1]), true
	}
	ok = len(quoted) > 0 && json.Unmarshal(quoted, &text) == nil
	return text, ok
}

// needsDecoder is for what stands for something else, or is not allowed as it
// is.
func needsDecoder(b byte) bool { return b < ' ' || b == '"' || b == '\\' || b >= utf8.RuneSelf }

// child returns name, as it is quoted, and value of the member of doc that is
// called name, or that is the first to match a name with a '*'; for an array
// the item at that position, without a name. Both are nil if there is none or
// doc is cut off or malformed before its end; the value is never empty.
func child(doc []byte, name string) (quoted, value []byte) {
	prefix, suffix, pattern := strings.Cut(name, "*")
	n := 0
	ok := members(doc, func(q, v []byte) {
		switch {
		case q == nil && strconv.Itoa(n) == name,
			q != nil && !pattern && nameIs(q, name),
			q != nil && pattern && value == nil && nameMatches(q, prefix, suffix):
			quoted, value = q, v
		}
		n++
	})
	if !ok {
		return nil, nil
	}
	return quoted, value
}

// members calls each with every member of an object or item of an array, whose
// names are nil; false if doc is neither, does not end or has too many.
func members(doc []byte, each func(quoted, value []byte)) bool {
	i := skipSpace(doc, 0)
	if i == len(doc) || doc[i] != '{' && doc[i] != '[' {
		return false
	}
	object := doc[i] == '{'
	closing := doc[i] + 2 // in ASCII, of both
	// An empty one, which the loop below would take for one that is cut off.
	if next := skipSpace(doc, i+1); next < len(doc) && doc[next] == closing {
		return true
	}
	for range maxWalked {
		i = skipSpace(doc, i+1)
		var quoted []byte
		if object {
			end := skipString(doc, i)
			if end < 0 {
				return false
			}
			quoted = doc[i:end]
			if i = skipSpace(doc, end); i == len(doc) || doc[i] != ':' {
				return false
			}
			i = skipSpace(doc, i+1)
		}
		end := skipValue(doc, i)
		if end < 0 {
			return false
		}
		each(quoted, doc[i:end])
		if i = skipSpace(doc, end); i == len(doc) || doc[i] != ',' {
			return i < len(doc) && doc[i] == closing
		}
	}
	return false
}

// jsonUnique reports whether no name on the way to path stands beside another that
// a receiver may take for it: one that is equal but for its case, as Go's own
// decoder does. Where single values are signed and not the body, a stranger could
// add such a member to a signed request.
func jsonUnique(doc []byte, path []string) bool {
	for _, name := range path {
		found, position := 0, 0
		var at []byte
		ok := members(doc, func(quoted, value []byte) {
			if quoted == nil && strconv.Itoa(position) == name || quoted != nil && nameFolds(quoted, name) {
				found, at = found+1, value
			}
			position++
		})
		switch doc = bytes.TrimSpace(doc); {
		case found > 1, !ok && len(doc) > 0 && (doc[0] == '{' || doc[0] == '['):
			return false // or who knows
		case found == 0:
			return true // nothing is there: no value to be mistaken
		}
		doc = at
	}
	return true
}

// nameFolds is nameIs without regard to case.
func nameFolds(quoted []byte, name string) bool {
	text, ok := unquote(quoted)
	return ok && strings.EqualFold(text, name)
}

// nameIs compares a quoted member name, which may have escapes.
func nameIs(quoted []byte, name string) bool {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1:len(quoted)-1]) == name // a comparison alone: nothing is copied
	}
	text, ok := unquote(quoted)
	return ok && text == name
}

// nameMatches compares a quoted member name with both sides of a '*'.
func nameMatches(quoted []byte, prefix, suffix string) bool {
	text, ok := unquote(quoted)
	return ok && len(text) >= len(prefix)+len(suffix) && strings.HasPrefix(text, prefix) && strings.HasSuffix(text, suffix)
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
// It looks for quotes with IndexByte: most of a body is inside strings.
func skipString(doc []byte, i int) int {
	if i >= len(doc) || doc[i] != '"' {
		return -1
	}
	for i++; ; i++ {
		end := bytes.IndexByte(doc[i:], '"')
		if end < 0 {
			return -1
		}
		escapes := 0
		for i += end; doc[i-1-escapes] == '\\'; escapes++ {
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
}

// skipSpace returns the position of the first byte from i on that is no white space
// of JSON, which has less of it than Unicode.
func skipSpace(doc []byte, i int) int {
	for i < len(doc) && (doc[i] == ' ' || doc[i] == '\t' || doc[i] == '\r' || doc[i] == '\n') {
		i++
	}
	return i
}

package verify

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"unicode/utf8"
)

// Some providers sign what JavaScript made of their data: strings as
// JSON.stringify writes them, names in the order of Array.sort. Here is how
// that looks byte for byte.

// appendJSString appends text as a JSON string the way JSON.stringify does:
// escaped is only what must be, and what has a short escape gets that. Bytes
// that are not UTF-8 stay as they are, so that nothing verifies that was not
// sent.
func appendJSString(dst []byte, text string) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(slices.Grow(dst, len(text)+2), '"')
	for i := range len(text) {
		switch b := text[i]; b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\b', '\t', '\n', '\f', '\r': // from 8 to 13
			dst = append(dst, '\\', "btn-fr"[b-'\b'])
		default:
			if b < 0x20 {
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
				continue
			}
			dst = append(dst, b)
		}
	}
	return append(dst, '"')
}

// compareUTF16 orders as JavaScript does, by UTF-16 code units: beyond U+FFFF
// that is not the order of the bytes.
func compareUTF16(a, b string) int {
	for a != "" && b != "" {
		r, n := utf8.DecodeRuneInString(a)
		s, m := utf8.DecodeRuneInString(b)
		if r != s {
			return cmp.Or(cmp.Compare(firstUnit(r), firstUnit(s)), cmp.Compare(r, s))
		}
		a, b = a[n:], b[m:]
	}
	return cmp.Compare(len(a), len(b))
}

func firstUnit(r rune) rune {
	if r > 0xffff {
		return 0xd800 + (r-0x10000)>>10
	}
	return r
}

// maxSortedDepth bounds how deep sortedJSON follows: each level is a call.
const maxSortedDepth = 64

// sortedJSON writes a JSON document again without white space and with the
// members of every object sorted by name, nested ones as well. Numbers keep
// their text, since 1.10 and 1.1 are different to a hash. A name that stands
// twice in an object is an error: receivers differ in which one they take.
func sortedJSON(doc []byte) ([]byte, error) {
	if !utf8.Valid(doc) {
		return nil, errors.New("is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	sorted, err := appendSorted(nil, dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err == nil {
		return nil, errors.New("goes on after its end")
	}
	if rest := bytes.TrimRight(doc[dec.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return nil, errors.New("goes on after its end")
	}
	return sorted, nil
}

func appendSorted(dst []byte, dec *json.Decoder, depth int) ([]byte, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxSortedDepth {
		return nil, errors.New("is nested too deep")
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '{' {
			return appendSortedObject(dst, dec, depth)
		}
		return appendSortedArray(dst, dec, depth)
	case string:
		return appendJSString(dst, token), nil
	case json.Number:
		return append(dst, token...), nil
	case bool:
		if token {
			return append(dst, "true"...), nil
		}
		return append(dst, "false"...), nil
	}
	return append(dst, "null"...), nil
}

func appendSortedObject(dst []byte, dec *json.Decoder, depth int) ([]byte, error) {
	members := map[string][]byte{}
	names := []string{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, ok := token.(string)
		if _, twice := members[name]; !ok || twice {
			return nil, errors.New("has a name twice in one object")
		}
		if members[name], err = appendSorted(nil, dec, depth+1); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, err
	}
	slices.SortFunc(names, compareUTF16)
	dst = append(dst, '{')
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendJSString(dst, name), ':')
		dst = append(dst, members[name]...)
	}
	return append(dst, '}'), nil
}

func appendSortedArray(dst []byte, dec *json.Decoder, depth int) ([]byte, error) {
	dst = append(dst, '[')
	for i := 0; dec.More(); i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendSorted(dst, dec, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := dec.Token() // the closing bracket
	return append(dst, ']'), err
}

// percentEncode writes text with every byte but letters, digits and those of
// keep as %XX, in capitals.
func percentEncode(text, keep string) string {
	const hexDigits = "0123456789ABCDEF"
	var b []byte
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			bytes.IndexByte([]byte(keep), c) >= 0:
			b = append(b, c)
		default:
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return string(b)
}

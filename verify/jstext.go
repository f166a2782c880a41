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
func appendJSString[T string | []byte](dst []byte, text T) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(slices.Grow(dst, len(text)+len(text)/8+2), '"')
	plain := 0 // where what needs no escape begins
	for i := range len(text) {
		b := text[i]
		if b >= 0x20 && b != '"' && b != '\\' {
			continue
		}
		dst = append(dst, text[plain:i]...)
		plain = i + 1
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\b', '\t', '\n', '\f', '\r': // from 8 to 13
			dst = append(dst, '\\', "btn-fr"[b-'\b'])
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		}
	}
	return append(append(dst, text[plain:]...), '"')
}

// compareUTF16 orders as JavaScript does, by UTF-16 code units. That is the order
// of the bytes, but that what takes two units, which begins with the byte f0 or
// more, stands before U+E000 to U+FFFF, which begin with ee and ef.
func compareUTF16(a, b string) int {
	for i := range min(len(a), len(b)) {
		x, y := a[i], b[i]
		switch {
		case x == y:
			continue
		case x >= 0xf0 && (y == 0xee || y == 0xef):
			return -1
		case y >= 0xf0 && (x == 0xee || x == 0xef):
			return 1
		}
		return cmp.Compare(x, y)
	}
	return cmp.Compare(len(a), len(b))
}

// numberWriter appends a number of JSON.
type numberWriter func(dst []byte, n json.Number) ([]byte, error)

// asWritten keeps a number's text, since 1.10 and 1.1 are different to a hash.
func asWritten(dst []byte, n json.Number) ([]byte, error) { return append(dst, n...), nil }

// appendJSNumber appends a number as JSON.stringify does: what a double holds of
// it, in the fewest digits. encoding/json does the same, but for minus zero.
func appendJSNumber(dst []byte, n json.Number) ([]byte, error) {
	value, err := n.Float64()
	if err != nil {
		return nil, errors.New("has a number that no double holds")
	}
	text, err := json.Marshal(value + 0) // minus zero becomes zero
	return append(dst, text...), err
}

// maxSortedDepth bounds how deep sortedJSON follows: each level is a call.
const maxSortedDepth = 64

// sortedJSON writes a JSON document again without white space and with the
// members of every object sorted by name, nested ones as well. A name that stands
// twice in an object is an error: receivers differ in which one they take.
func sortedJSON(doc []byte, number numberWriter) ([]byte, error) {
	if !utf8.Valid(doc) {
		return nil, errors.New("is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	sorted, err := appendSorted(nil, dec, 0, number)
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

// appendSorted appends the next value of dec. It takes tokens and not a tree: maps
// would drop a name that stands twice, and numbers their text.
func appendSorted(dst []byte, dec *json.Decoder, depth int, number numberWriter) ([]byte, error) {
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
			return appendSortedObject(dst, dec, depth, number)
		}
		return appendSortedArray(dst, dec, depth, number)
	case string:
		return appendJSString(dst, token), nil
	case json.Number:
		return number(dst, token)
	case bool:
		if token {
			return append(dst, "true"...), nil
		}
		return append(dst, "false"...), nil
	}
	return append(dst, "null"...), nil
}

// appendSortedObject writes each member on its own first, since the order is known
// only at the end. That costs a copy for each level, of which there are few.
func appendSortedObject(dst []byte, dec *json.Decoder, depth int, number numberWriter) ([]byte, error) {
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
		if members[name], err = appendSorted(nil, dec, depth+1, number); err != nil {
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

// appendSortedArray keeps the order, which is part of what an array says.
func appendSortedArray(dst []byte, dec *json.Decoder, depth int, number numberWriter) ([]byte, error) {
	dst = append(dst, '[')
	for i := 0; dec.More(); i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendSorted(dst, dec, depth+1, number); err != nil {
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

package verify

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

// Bounds of a structured field. Nothing that a webhook signs comes near them.
const (
	maxField   = 8 << 10 // bytes
	maxMembers = 64      // of a dictionary, an inner list or the parameters of one item
)

// errField says no more on purpose: what is wrong with a forged header helps
// nobody but who forged it.
var errField = errors.New("is not a structured field")

// fieldItem is an item or an inner list of a structured field (RFC 8941).
type fieldItem struct {
	// value is int64, fieldDecimal, string, fieldToken, []byte or bool; nil for an
	// inner list.
	value  any
	list   []fieldItem
	params []fieldMember // in the order of the field; the values have no parameters
}

// fieldMember is a name and its item.
type fieldMember struct {
	name string
	item fieldItem
}

// Types of their own tell what is written alike: "a" from a, 1 from 1.0. In a
// signature base the difference shows.
type (
	fieldToken   string
	fieldDecimal string // as it is written again
)

// parseDictionary reads a dictionary, strictly, and stricter than RFC 8941 in
// one thing: a name that stands there twice is refused, because of which of the
// two counts nobody should have to know.
func parseDictionary(text string) ([]fieldMember, error) {
	if len(text) > maxField {
		return nil, errField
	}
	p := fieldParser{rest: strings.Trim(text, " ")}
	var members []fieldMember
	for p.rest != "" {
		m, ok := p.member()
		if !ok || len(members) == maxMembers || lookupMember(members, m.name) != nil {
			return nil, errField
		}
		members = append(members, m)
		p.rest = strings.TrimLeft(p.rest, " \t")
		if p.rest == "" {
			break
		}
		if !p.eat(',') {
			return nil, errField
		}
		if p.rest = strings.TrimLeft(p.rest, " \t"); p.rest == "" {
			return nil, errField
		}
	}
	return members, nil
}

// lookupMember returns the item of a name, nil if there is none.
func lookupMember(members []fieldMember, name string) *fieldItem {
	for i := range members {
		if members[i].name == name {
			return &members[i].item
		}
	}
	return nil
}

// String writes the item as RFC 8941 section 4.1 wants it, which is what
// signatures are computed over, however it was written in the field.
func (f fieldItem) String() string {
	var b strings.Builder
	f.write(&b)
	return b.String()
}

// write leaves out what is true by being there, and puts one blank between the
// items of an inner list.
func (f fieldItem) write(b *strings.Builder) {
	switch v := f.value.(type) {
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case fieldDecimal:
		b.WriteString(string(v))
	case fieldToken:
		b.WriteString(string(v))
	case string:
		b.WriteByte('"')
		b.WriteString(strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v))
		b.WriteByte('"')
	case []byte:
		b.WriteByte(':')
		b.WriteString(base64.StdEncoding.EncodeToString(v))
		b.WriteByte(':')
	case bool:
		b.WriteString(map[bool]string{true: "?1", false: "?0"}[v])
	default:
		b.WriteByte('(')
		for i, item := range f.list {
			if i > 0 {
				b.WriteByte(' ')
			}
			item.write(b)
		}
		b.WriteByte(')')
	}
	for _, p := range f.params {
		b.WriteString(";" + p.name)
		if p.item.value != true {
			b.WriteByte('=')
			p.item.write(b)
		}
	}
}

// fieldParser holds what is not read yet. Its methods read one thing each and
// report whether it was there; after a false nothing is to be read any more.
// None calls itself, so that nesting cannot exhaust the stack: RFC 8941 has one
// level of lists.
type fieldParser struct{ rest string }

// eat takes one character if it comes next.
func (p *fieldParser) eat(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// take takes the longest start of which every character is in the set.
func (p *fieldParser) take(in func(c byte) bool) string {
	n := 0
	for n < len(p.rest) && in(p.rest[n]) {
		n++
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

// member reads name=value with parameters, or a name that alone is true.
func (p *fieldParser) member() (m fieldMember, ok bool) {
	if m.name, ok = p.name(); !ok {
		return m, false
	}
	switch {
	case !p.eat('='):
		m.item.value = true
	case p.eat('('):
		m.item.list, ok = p.inner()
	default:
		m.item.value, ok = p.bare()
	}
	if ok {
		m.item.params, ok = p.parameters()
	}
	return m, ok
}

// name reads a key: lower case alone, because names are compared as bytes.
func (p *fieldParser) name() (string, bool) {
	if p.rest == "" || p.rest[0] != '*' && !isLower(p.rest[0]) {
		return "", false
	}
	return p.take(func(c byte) bool {
		return isLower(c) || isDigit(c) || strings.IndexByte("_-.*", c) >= 0
	}), true
}

// inner reads an inner list behind its opening parenthesis.
func (p *fieldParser) inner() ([]fieldItem, bool) {
	items := []fieldItem{}
	for len(items) <= maxMembers {
		p.rest = strings.TrimLeft(p.rest, " ")
		if p.eat(')') {
			return items, true
		}
		var item fieldItem
		var ok bool
		if item.value, ok = p.bare(); !ok {
			return nil, false
		}
		if item.params, ok = p.parameters(); !ok {
			return nil, false
		}
		if p.rest == "" || p.rest[0] != ' ' && p.rest[0] != ')' {
			return nil, false
		}
		items = append(items, item)
	}
	return nil, false
}

// parameters reads what follows an item. Like a dictionary's, its names stand
// there once.
func (p *fieldParser) parameters() ([]fieldMember, bool) {
	var params []fieldMember
	for p.eat(';') {
		p.rest = strings.TrimLeft(p.rest, " ")
		name, ok := p.name()
		if !ok || len(params) == maxMembers || lookupMember(params, name) != nil {
			return nil, false
		}
		m := fieldMember{name: name, item: fieldItem{value: true}}
		if p.eat('=') {
			if m.item.value, ok = p.bare(); !ok {
				return nil, false
			}
		}
		params = append(params, m)
	}
	return params, true
}

// bare reads an item without parameters. The first character says what it is;
// dates and display strings, which RFC 9651 added, are in no signature header.
func (p *fieldParser) bare() (value any, ok bool) {
	if p.rest == "" {
		return nil, false
	}
	switch c := p.rest[0]; {
	case c == '"':
		return p.quoted()
	case c == ':':
		return p.bytes()
	case c == '?':
		if len(p.rest) < 2 || p.rest[1] != '0' && p.rest[1] != '1' {
			return nil, false
		}
		value = p.rest[1] == '1'
		p.rest = p.rest[2:]
		return value, true
	case c == '-' || isDigit(c):
		return p.number()
	case c == '*' || isLower(c|0x20):
		return fieldToken(p.take(func(c byte) bool {
			return isLower(c|0x20) || isDigit(c) || strings.IndexByte("!#$%&'*+-.^_`|~:/", c) >= 0
		})), true
	}
	return nil, false
}

// quoted reads a string: printable ASCII, with two escapes and no others.
func (p *fieldParser) quoted() (any, bool) {
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '\\':
			if i++; i == len(p.rest) || p.rest[i] != '"' && p.rest[i] != '\\' {
				return nil, false
			}
			b.WriteByte(p.rest[i])
		case c == '"':
			p.rest = p.rest[i+1:]
			return b.String(), true
		case c < ' ' || c > '~':
			return nil, false
		default:
			b.WriteByte(c)
		}
	}
	return nil, false
}

// bytes reads base64 between colons. Padding may be missing, as RFC 8941 asks
// parsers to allow; loose bits at the end may not be set.
func (p *fieldParser) bytes() (any, bool) {
	text, rest, found := strings.Cut(p.rest[1:], ":")
	raw, err := decodeBase64(base64.RawStdEncoding, text)
	p.rest = rest
	return raw, found && err == nil
}

// number reads an integer of at most 15 digits, which no float would garble, or
// a decimal with at most three behind the point. Zeros in front are allowed, and
// gone when it is written again.
func (p *fieldParser) number() (any, bool) {
	sign := ""
	if p.eat('-') {
		sign = "-"
	}
	whole, fraction := p.take(isDigit), ""
	decimal := p.eat('.')
	if decimal {
		fraction = p.take(isDigit)
	}
	if whole == "" || len(whole) > 15 || decimal && (fraction == "" || len(fraction) > 3 || len(whole) > 12) {
		return nil, false
	}
	n, err := strconv.ParseInt(sign+whole, 10, 64)
	if err != nil || !decimal {
		return n, err == nil
	}
	if fraction = strings.TrimRight(fraction, "0"); fraction == "" {
		fraction = "0"
	}
	if n == 0 {
		return fieldDecimal(sign + "0." + fraction), true
	}
	return fieldDecimal(strconv.FormatInt(n, 10) + "." + fraction), true
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

package postgres

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// The types of arrays, by PostgreSQL's own numbers, and of their elements.
const (
	typeBool, typeBools   = 16, 1000
	typeBytea, typeByteas = 17, 1001
	typeInt2, typeInt2s   = 21, 1005
	typeInt4, typeInt4s   = 23, 1007
	typeInt8, typeInt8s   = 20, 1016
	typeText, typeTexts   = 25, 1009
	typeUUID, typeUUIDs   = 2950, 2951
	typeJSONB             = 3802
)

// array is one column of a batch in PostgreSQL's binary form, built in memory
// that is kept from batch to batch.
type array struct {
	buf  []byte
	n    int
	elem uint32
}

// arrayHeader is: dimensions, whether there are NULLs, the elements' type,
// length, first index.
const arrayHeader = 20

// reset empties the array and leaves room for its header.
func (a *array) reset() {
	if cap(a.buf) > maxKept {
		a.buf = nil
	}
	a.buf, a.n = append(a.buf[:0], make([]byte, arrayHeader)...), 0
}

// maxKept is how much memory a column keeps from a large batch: that of all the
// contents of one which is no larger than is good for it.
const maxKept = maxBatchBytes + maxBatchBytes/4

// value is the array as it is sent. It is good until reset.
func (a *array) value() []byte {
	b := a.buf
	binary.BigEndian.PutUint32(b[4:], 1) // there may be NULLs
	binary.BigEndian.PutUint32(b[8:], a.elem)
	// An empty array has no dimension: cardinality is 0 then, as it is asked for.
	if a.n == 0 {
		binary.BigEndian.PutUint32(b[0:], 0)
		return b[:12]
	}
	binary.BigEndian.PutUint32(b[0:], 1)
	binary.BigEndian.PutUint32(b[12:], uint32(a.n))
	binary.BigEndian.PutUint32(b[16:], 1)
	return b
}

// int2, int4, int8 and bool add a value: its length in bytes, then itself.
func (a *array) int2(v int16) {
	a.n++
	a.buf = binary.BigEndian.AppendUint16(append(a.buf, 0, 0, 0, 2), uint16(v))
}

func (a *array) int4(v int32) {
	a.n++
	a.buf = binary.BigEndian.AppendUint32(append(a.buf, 0, 0, 0, 4), uint32(v))
}

func (a *array) int8(v int64) {
	a.n++
	a.buf = binary.BigEndian.AppendUint64(append(a.buf, 0, 0, 0, 8), uint64(v))
}

func (a *array) bool(v bool) {
	a.n++
	a.buf = append(a.buf, 0, 0, 0, 1, 0)
	if v {
		a.buf[len(a.buf)-1] = 1
	}
}

// null adds NULL, whose length is -1.
func (a *array) null() {
	a.n++
	a.buf = append(a.buf, 0xff, 0xff, 0xff, 0xff)
}

// bytes adds a value of any length, also an empty one.
func (a *array) bytes(v []byte) {
	a.n++
	a.buf = append(binary.BigEndian.AppendUint32(a.buf, uint32(len(v))), v...)
}

// optional adds NULL for what is empty.
func (a *array) optional(v []byte) {
	if len(v) == 0 {
		a.null()
		return
	}
	a.bytes(v)
}

// id adds NULL for the zero id.
func (a *array) id(v [20]byte) {
	if v == [20]byte{} {
		a.null()
		return
	}
	a.bytes(v[:])
}

// text adds what is left of a text when it is clean.
func (a *array) text(v string) {
	v = clean(v)
	a.n++
	a.buf = append(binary.BigEndian.AppendUint32(a.buf, uint32(len(v))), v...)
}

// texts adds a list as PostgreSQL writes one in text, for a cast: NULL for an
// empty one.
func (a *array) texts(list []string) {
	if len(list) == 0 {
		a.null()
		return
	}
	a.nested(func(b []byte) []byte {
		for i, v := range list {
			if i > 0 {
				b = append(b, ',')
			}
			// In quotes only these two mean anything else than themselves.
			b = append(b, '"')
			for _, c := range []byte(clean(v)) {
				if c == '"' || c == '\\' {
					b = append(b, '\\')
				}
				b = append(b, c)
			}
			b = append(b, '"')
		}
		return b
	})
}

// nested adds what fill appends, in braces.
func (a *array) nested(fill func([]byte) []byte) {
	a.n++
	at := len(a.buf)
	a.buf = append(fill(append(a.buf, 0, 0, 0, 0, '{')), '}')
	binary.BigEndian.PutUint32(a.buf[at:], uint32(len(a.buf)-at-4))
}

// clean makes text of what came from outside: PostgreSQL refuses what is no UTF-8,
// and NUL. It is for what is only read; bytes that matter are never kept as text.
func clean(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return s
}

package move

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postern-dev/postern"
)

// writing puts values into bytes that are the same for the same values, whichever
// driver they come from: every field in its order, with lengths before what can
// differ in length. Fields that are added to a record are in it by themselves.
//
// Drivers keep times to the millisecond at least, and texts that are only read as
// UTF-8 without NUL; of requests they keep every byte.
type writing struct {
	text []byte
	// open and probe are TakeOptions'.
	open  func(postern.Sealed) ([]byte, error)
	probe func(postern.Sealed)
	// exact tells nil from empty.
	exact bool
	err   error
}

// value writes one of any type, those first that mean more than their fields.
func (w *writing) value(v reflect.Value) {
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		at, _ := v.Interface().(time.Time)
		w.time(at)
		return
	case reflect.TypeFor[postern.Sealed]():
		w.sealed(v.Bytes())
		return
	case reflect.TypeFor[postern.InboundRequest]():
		whole := *w // its list of headers is empty or nil as a driver likes
		whole.exact = false
		whole.fields(v, true)
		w.text, w.err = whole.text, whole.err
		return
	}
	w.plain(v, false)
}

// plain writes what is of no particular type. verbatim keeps every byte of texts.
func (w *writing) plain(v reflect.Value, verbatim bool) {
	switch v.Kind() {
	case reflect.Pointer:
		w.present(!v.IsNil())
		if !v.IsNil() {
			w.value(v.Elem())
		}
	case reflect.Struct:
		w.fields(v, verbatim)
	case reflect.String:
		text := v.String()
		if !verbatim {
			text = readable(text)
		}
		w.bytes([]byte(text))
	case reflect.Slice:
		if w.exact {
			w.present(!v.IsNil())
		}
		w.list(v, verbatim)
	case reflect.Array:
		w.list(v, verbatim)
	case reflect.Map:
		w.entries(v)
	case reflect.Bool:
		w.present(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.text = binary.AppendVarint(w.text, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		w.text = binary.AppendUvarint(w.text, v.Uint())
	default:
		w.err = fmt.Errorf("move: a record has a %s, which nobody has thought of", v.Type())
	}
}

// fields writes a struct's. Records have no unexported ones but within time.Time,
// which never gets here.
func (w *writing) fields(v reflect.Value, verbatim bool) {
	for i := range v.NumField() {
		if verbatim {
			w.plain(v.Field(i), true)
			continue
		}
		w.value(v.Field(i))
	}
}

// list writes bytes at once, and of everything else its length and each entry.
func (w *writing) list(v reflect.Value, verbatim bool) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		if v.Kind() == reflect.Array && !v.CanAddr() { // a key of a map
			addressable := reflect.New(v.Type()).Elem()
			addressable.Set(v)
			v = addressable
		}
		w.bytes(v.Bytes())
		return
	}
	w.text = binary.AppendUvarint(w.text, uint64(v.Len()))
	for i := range v.Len() {
		if verbatim {
			w.plain(v.Index(i), true)
			continue
		}
		w.value(v.Index(i))
	}
}

// entries of a map go by their names, which are texts: the order of a map is
// another each time.
func (w *writing) entries(v reflect.Value) {
	if w.exact {
		w.present(!v.IsNil())
	}
	names := v.MapKeys()
	slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	w.text = binary.AppendUvarint(w.text, uint64(len(names)))
	for _, name := range names {
		w.value(name)
		w.value(v.MapIndex(name))
	}
}

// time writes milliseconds, the coarsest that a driver keeps, in whatever zone it
// was given.
func (w *writing) time(at time.Time) {
	w.present(!at.IsZero())
	if !at.IsZero() {
		w.text = binary.AppendVarint(w.text, at.UnixMilli())
	}
}

// sealed writes a secret in the clear if it can be opened at all.
func (w *writing) sealed(secret postern.Sealed) {
	if w.probe != nil && len(secret) > 0 {
		w.probe(secret)
	}
	if w.open == nil || len(secret) == 0 {
		w.bytes(secret)
		return
	}
	plain, err := w.open(secret)
	if err != nil && w.err == nil {
		w.err = err
	}
	w.bytes(plain)
}

// present writes one byte, so that what is missing is not taken for a zero.
func (w *writing) present(yes bool) {
	if yes {
		w.text = append(w.text, 1)
		return
	}
	w.text = append(w.text, 0)
}

// bytes writes the length first, so that two texts side by side cannot be taken
// for two others.
func (w *writing) bytes(b []byte) {
	w.text = append(binary.AppendUvarint(w.text, uint64(len(b))), b...)
}

// readable is a text without what some driver cannot keep, or keeps as U+FFFD.
func readable(text string) string {
	if !strings.ContainsAny(text, "\x00\ufffd") && utf8.ValidString(text) {
		return text
	}
	return strings.NewReplacer("\x00", "", "\ufffd", "").Replace(strings.ToValidUTF8(text, ""))
}

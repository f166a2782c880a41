package api

import (
	"encoding/json"
	"fmt"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/route"
)

// optional is a property of a body in its three states: absent, null, value.
// One input type thereby serves POST, PUT and PATCH: what is absent leaves the
// record alone, and only the record that they begin with differs.
type optional[T any] struct {
	// Set: the property was there, if only as null.
	Set bool
	// Value is nil for null.
	Value *T
}

// UnmarshalJSON implements json.Unmarshaler; it is not called for what is
// absent.
func (o *optional[T]) UnmarshalJSON(text []byte) error {
	o.Set = true
	return json.Unmarshal(text, &o.Value)
}

// or is o, or an older name's value where o is absent.
func (o optional[T]) or(older optional[T]) optional[T] {
	if o.Set {
		return o
	}
	return older
}

// faults are what is wrong with a body, all of it at once.
type faults []postern.FieldError

// maxFaults is how many are told: a list can hold one in every other byte.
const maxFaults = 100

// add notes a fault of the body; loc is the way to it, from the body's top.
func (f *faults) add(msg string, loc ...string) {
	if len(*f) >= maxFaults {
		return
	}
	*f = append(*f, postern.FieldError{Loc: append([]string{"body"}, loc...), Msg: msg, Type: "value_error"})
}

// err is nil without faults.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return &postern.Error{Kind: postern.Invalid, Fields: f}
}

// take sets dst to a property that is there, null being the zero value. check
// says what is wrong with any other value, "" for nothing. Most need none: the
// catalogue checks what it is given to keep, and only what a record cannot tell
// any more is checked here.
func take[T any](f *faults, name string, in optional[T], dst *T, check func(T) string) {
	if !in.Set {
		return
	}
	var value T
	if in.Value != nil {
		value = *in.Value
		if check != nil {
			if msg := check(value); msg != "" {
				f.add(msg, name)
				return
			}
		}
	}
	*dst = value
}

// wrongName says what is wrong with an event id, a channel or an event type.
func wrongName(name string) string {
	if !route.ValidName(name) {
		return "must have 1 to 256 of letters, digits and the characters - _ ."
	}
	return ""
}

// wrongUID refuses the "" that records hold for none: on the wire that is null.
// The catalogue checks any other.
func wrongUID(uid string) string {
	if uid == "" {
		return "must have 1 to 256 characters, or be null"
	}
	return ""
}

// minRate is the least rate, maxRate the largest that every SDK can read: theirs
// have 16 bits.
const (
	minRate = 1
	maxRate = 1<<16 - 1
)

// wrongRate refuses the 0 that records hold for no limit: on the wire that is
// null, and 0 is more likely meant as none at all.
func wrongRate(rate int) string {
	if rate < minRate || rate > maxRate {
		return fmt.Sprintf("must be %d to %d, or null for no limit", minRate, maxRate)
	}
	return ""
}

// null makes an empty string null.
func null(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// nullRate makes no limit null.
func nullRate(rate int) *int {
	if rate == 0 {
		return nil
	}
	return &rate
}

// object makes a missing map an empty one, because SDKs require an object.
func object(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// nullList makes an empty list null, because SDKs allow no empty ones.
func nullList(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

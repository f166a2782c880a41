package move

import (
	"fmt"
	"reflect"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// reseal opens every secret of a chunk with one ring and seals it with another. It
// looks for the type, so that a secret that is added to a record is found.
func reseal(b *store.Batch, from, to Secrets) error {
	r := resealer{from, to}
	// Sealed values are of the catalogue, of refusals and of kept answers; a test
	// holds that the other parts of a batch have none.
	for _, c := range b.Changes {
		if c.Put == nil {
			continue
		}
		if err := r.value(reflect.ValueOf(c.Put)); err != nil {
			return fmt.Errorf("a secret of the catalogue (%T): %w", c.Put, err)
		}
	}
	for _, refusal := range b.Refusals {
		if err := r.value(reflect.ValueOf(refusal)); err != nil {
			return fmt.Errorf("the credentials of refusal %s: %w", refusal.ID, err)
		}
	}
	for i := range b.Records { // under a plain type, since package store knows of no rings
		answer, err := r.secret(b.Records[i].Answer)
		if err != nil {
			return fmt.Errorf("a kept answer: %w", err)
		}
		b.Records[i].Answer = answer
	}
	return nil
}

// resealer opens with one ring and seals with the other. A secret that does not
// open ends the copy: without it an endpoint would sign with nothing.
type resealer struct{ from, to Secrets }

// secret leaves what is not set as it is.
func (r resealer) secret(sealed postern.Sealed) (postern.Sealed, error) {
	if len(sealed) == 0 {
		return sealed, nil
	}
	plain, err := r.from.Open(sealed)
	if err != nil {
		return nil, err
	}
	return r.to.Seal(plain)
}

// value goes through all that hangs on a value. Records hold no cycles, and no
// interface but the one that the caller has taken off.
func (r resealer) value(v reflect.Value) error {
	if v.Type() == reflect.TypeFor[postern.Sealed]() {
		sealed, err := r.secret(v.Bytes())
		if err == nil {
			v.SetBytes(sealed)
		}
		return err
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return r.value(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				continue // of time.Time
			}
			if err := r.value(v.Field(i)); err != nil {
				return err
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 { // a payload, which is not looked into
			return nil
		}
		for i := range v.Len() {
			if err := r.value(v.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Map:
		return r.entries(v)
	default: // holds no secret
	}
	return nil
}

// entries of a map cannot be changed in their place.
func (r resealer) entries(v reflect.Value) error {
	for _, name := range v.MapKeys() {
		entry := reflect.New(v.Type().Elem()).Elem()
		entry.Set(v.MapIndex(name))
		if err := r.value(entry); err != nil {
			return err
		}
		v.SetMapIndex(name, entry)
	}
	return nil
}

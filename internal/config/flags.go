package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Flags are the settings as a command of kong's takes them: a field of this
// type, tagged `embed:""`, gives the command every flag of the table.
type Flags struct {
	// Fields is a pointer to a struct with a *string for each setting, tagged
	// for kong. Nil pointers are flags that were not given.
	Fields any `embed:""`
}

// NewFlags makes flags that nobody has given yet. It is the only constructor:
// kong finds no flags in the zero value.
func NewFlags() Flags {
	settings := (&Config{}).settings()
	fields := make([]reflect.StructField, len(settings))
	for i, s := range settings {
		fields[i] = reflect.StructField{
			Name: fmt.Sprintf("Setting%d", i),
			Type: reflect.TypeFor[*string](),
			Tag:  reflect.StructTag(fmt.Sprintf(`name:%q placeholder:%q help:%q group:"Settings"`, s.name, s.placeholder(), s.help)),
		}
	}
	return Flags{Fields: reflect.New(reflect.StructOf(fields)).Interface()}
}

// given are the flags that the command line set, in the order of the table.
func (f *Flags) given() []given {
	if f == nil || f.Fields == nil {
		return nil
	}
	var values []given
	fields := reflect.ValueOf(f.Fields).Elem()
	for i, s := range (&Config{}).settings() {
		if text, ok := fields.Field(i).Interface().(*string); ok && text != nil {
			values = append(values, given{s.name, *text, Origin(s.flag())})
		}
	}
	return values
}

// placeholder stands behind the flag's name in the help: the default, or the
// form of a setting that has none.
func (s *setting) placeholder() string {
	if s.preset != "" {
		return s.preset
	}
	return strings.ReplaceAll(s.form, ",...", ",…")
}

package api

import (
	"encoding"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// schema is a JSON Schema as OpenAPI 3.1 has it.
type schema map[string]any

// components collects the schemas of types by their names. What bodies say of
// themselves beyond their types is in the tag "api" of their fields, words
// separated by commas:
//
//	required      in a body: needed by POST and PUT, and never null
//	post, put     in a body: needed by that method alone, and never null
//	list          in an answer: a list that is never null
//	null          in an answer: a map that may be null
//	a|b|c         one of these values, texts or numbers
//
// The tag "doc" is a field's description, for what its name does not tell.
type components map[string]schema

// shaped is a type that is written by hand, or stands for another: its schema
// is that of its shape.
type shaped interface {
	// shape returns the other type, and whether null stands for none.
	shape() (other reflect.Type, nullable bool)
}

// shape implements shaped: null is a value of its own.
func (optional[T]) shape() (reflect.Type, bool) { return reflect.TypeFor[T](), true }

// shape implements shaped.
func (messageOut) shape() (reflect.Type, bool) { return reflect.TypeFor[messageShape](), false }

// body is the schema of a body that a method sends. One type serves POST, PUT
// and PATCH, which differ in what they need.
func (s components) body(t reflect.Type, method string) schema {
	name := strings.TrimSuffix(schemaName(t), "In")
	switch needs := needed(t, method); {
	case method == http.MethodPatch:
		name += "Patch"
	case method == http.MethodPut && !slices.Equal(needs, needed(t, http.MethodPost)):
		name += "Update"
	default:
		name += "In"
	}
	return s.named(t, name, method)
}

// answer is the schema of a body that is answered.
func (s components) answer(t reflect.Type) schema { return s.of(t, "") }

// named adds a struct under a name and returns the reference to it.
func (s components) named(t reflect.Type, name, method string) schema {
	reference := schema{"$ref": "#/components/schemas/" + name}
	if _, known := s[name]; known {
		return reference
	}
	s[name] = nil // stops types that hold themselves
	properties := schema{}
	object := schema{"type": "object", "properties": properties}
	required := s.fields(t, method, properties)
	if len(required) > 0 {
		object["required"] = required
	}
	s[name] = object
	return reference
}

// fields adds the properties of a struct, those of embedded ones too, and
// returns the names of those that are always there.
func (s components) fields(t reflect.Type, method string, properties schema) (required []string) {
	for field := range eachField(t) {
		if field.Anonymous {
			required = append(required, s.fields(field.Type, method, properties)...)
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		words := strings.Split(field.Tag.Get("api"), ",")
		property, null := s.property(field.Type, method)
		always := method == "" && options == "" || needs(words, method)
		if slices.Contains(words, "null") || null && !neverNull(words, method) {
			property = nullable(property)
		}
		if values := enumOf(words, field.Type); values != nil {
			constrain(property, values)
		}
		if doc := field.Tag.Get("doc"); doc != "" {
			property["description"] = doc
		}
		properties[name] = property
		if always {
			required = append(required, name)
		}
	}
	return required
}

// property is a field's schema, and whether null is one of its values.
func (s components) property(t reflect.Type, method string) (schema, bool) {
	if special, ok := reflect.Zero(t).Interface().(shaped); ok {
		other, null := special.shape()
		property, _ := s.property(other, method)
		return property, null
	}
	switch t.Kind() {
	case reflect.Pointer:
		property, _ := s.property(t.Elem(), method)
		return property, true
	case reflect.Slice:
		return s.of(t, method), t != reflect.TypeFor[json.RawMessage]()
	case reflect.Map:
		return s.of(t, method), method != ""
	}
	return s.of(t, method), false
}

// of is the schema of a type's values other than null.
func (s components) of(t reflect.Type, method string) schema {
	if special, ok := reflect.Zero(t).Interface().(shaped); ok {
		other, _ := special.shape()
		return s.of(other, method)
	}
	if t == reflect.TypeFor[time.Time]() {
		return schema{"type": "string", "format": "date-time"}
	}
	if t == reflect.TypeFor[json.RawMessage]() {
		return schema{}
	}
	if id, ok := reflect.Zero(t).Interface().(interface{ Prefix() string }); ok {
		return schema{"type": "string", "examples": []string{id.Prefix() + exampleID}}
	}
	if t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return schema{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem(), method)
	case reflect.String:
		return schema{"type": "string"}
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Float64:
		return schema{"type": "number"}
	case reflect.Int64, reflect.Uint64:
		return schema{"type": "integer", "format": "int64"}
	case reflect.Int, reflect.Int32, reflect.Uint, reflect.Uint32, reflect.Uint16, reflect.Uint8:
		return schema{"type": "integer"}
	case reflect.Slice, reflect.Array:
		item, null := s.property(t.Elem(), method)
		if null && t.Elem().Kind() == reflect.Pointer {
			item = nullable(item)
		}
		return schema{"type": "array", "items": item}
	case reflect.Map:
		value, null := s.property(t.Elem(), method)
		if null {
			value = nullable(value)
		}
		return schema{"type": "object", "additionalProperties": value}
	case reflect.Struct:
		return s.named(t, schemaName(t), method)
	}
	return schema{} // anything
}

// exampleID is what follows the prefix in ids that stand for any.
const exampleID = "0ERbNHTM6fguHUOiI43R1TLOQzZ"

// schemaName is a type's name in the document: applicationOut is
// ApplicationOut, and listing[applicationOut] is ApplicationOutList.
func schemaName(t reflect.Type) string {
	name, argument, generic := strings.Cut(t.Name(), "[")
	if !generic {
		return strings.Replace(exported(name), "Shape", "Out", 1)
	}
	argument = argument[strings.LastIndexByte(argument, '.')+1:]
	return exported(strings.TrimSuffix(argument, "]")) + strings.Replace(exported(name), "Listing", "List", 1)
}

// exported is a name with a capital first letter.
func exported(name string) string {
	return string(unicode.ToUpper(rune(name[0]))) + name[1:]
}

// eachField ranges over the fields that are part of a body.
func eachField(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			field := t.Field(i)
			if tag := field.Tag.Get("json"); tag == "-" || tag == "" && !field.Anonymous {
				continue
			}
			if !yield(field) {
				return
			}
		}
	}
}

// needed are the names of a body's properties that a method needs.
func needed(t reflect.Type, method string) (names []string) {
	for field := range eachField(t) {
		if needs(strings.Split(field.Tag.Get("api"), ","), method) {
			names = append(names, field.Name)
		}
	}
	return names
}

// needs reports whether a field's words make a method need it.
func needs(words []string, method string) bool {
	switch method {
	case http.MethodPost:
		return slices.Contains(words, "required") || slices.Contains(words, "post")
	case http.MethodPut:
		return slices.Contains(words, "required") || slices.Contains(words, "put")
	}
	return false
}

// neverNull reports whether a field's words exclude null.
func neverNull(words []string, method string) bool {
	if method == http.MethodPatch {
		return slices.Contains(words, "required") || slices.Contains(words, "post")
	}
	return needs(words, method) || slices.Contains(words, "list")
}

// nullable allows null too.
func nullable(s schema) schema {
	if t, ok := s["type"].(string); ok {
		s["type"] = []string{t, "null"}
		return s
	}
	if _, reference := s["$ref"]; reference {
		return schema{"oneOf": []schema{s, {"type": "null"}}}
	}
	return s
}

// enumOf are the values that a field's words name; nil for none.
func enumOf(words []string, t reflect.Type) (values []any) {
	for _, word := range words {
		for value := range strings.SplitSeq(word, "|") {
			if !strings.Contains(word, "|") {
				continue
			}
			if number, err := strconv.Atoi(value); err == nil && t.Kind() != reflect.String {
				values = append(values, number)
				continue
			}
			values = append(values, value)
		}
	}
	return values
}

// constrain limits a property, or a list's entries, to values; null stays where
// it was.
func constrain(property schema, values []any) {
	if items, ok := property["items"].(schema); ok {
		property = items
	}
	if types, ok := property["type"].([]string); ok && slices.Contains(types, "null") {
		values = append(values, nil)
	}
	property["enum"] = values
}

// Package schema compiles the JSON Schemas of event types and checks payloads
// by them. Both are bounded: a schema loads nothing from elsewhere, and has a
// largest size, depth and pattern; a payload that is checked has a largest depth
// and number of values, and no number that takes long to compare; and a check
// takes so many steps and no more, since a schema that names another twice doubles
// the work with each level.
//
// A schema without "$schema" is read as draft 7, as Svix reads it. Formats are
// asserted as the draft says, which for draft 7 they are.
package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/postern-dev/postern"
)

// The bounds of a schema and of what is told about a payload.
const (
	// MaxBytes is how long a schema may be.
	MaxBytes = 64 << 10
	// MaxPattern is how long a regular expression in a schema may be, in bytes.
	// They run in time linear in the text, whatever they are.
	MaxPattern = 1000
	// maxDepth bounds how deep a schema may be nested.
	maxDepth = 64
	// maxPayloadDepth and maxValues bound how deep a payload may be that is
	// checked, and how much it may hold: each value can have a fault of its own.
	maxPayloadDepth = 1000
	maxValues       = 100_000
	// maxSteps bounds a check, in schemas that a value is held against and names
	// that a pattern is: some seconds at the very most.
	maxSteps = 300_000
	// maxDigits and maxExponent bound numbers, which are compared exactly: the
	// digits of both, so that 1e999 is the largest.
	maxDigits   = 400
	maxExponent = 3
	// maxFaults is how many faults of a payload are told.
	maxFaults = 10
)

// Limits are the bounds of schemas and of checks by them.
func Limits() []postern.Limit {
	return []postern.Limit{
		postern.BytesLimit("schema.size", MaxBytes, "A schema is at most so large."),
		postern.BytesLimit("schema.pattern", MaxPattern, "A regular expression in a schema is at most so long."),
		postern.CountLimit("schema.depth", maxDepth, "What a schema holds is nested at most so deep."),
		postern.CountLimit("schema.payload.depth", maxPayloadDepth, "What a payload holds that is checked by a schema is nested at most so deep."),
		postern.CountLimit("schema.payload.values", maxValues, "It has at most so many values, objects and lists included."),
		postern.CountLimit("schema.steps", maxSteps, "A check takes at most so many steps: schemas that a value is held against, names that a pattern is."),
		postern.CountLimit("schema.digits", maxDigits, "A number in a schema, or in a payload that is checked, has at most so many characters."),
		postern.CountLimit("schema.exponent", maxExponent, "Its exponent has at most so many digits."),
		postern.CountLimit("schema.faults", maxFaults, "Of what is wrong with a payload by its schema so much is told at most."),
	}
}

// Schema checks payloads. It is safe for concurrent use.
type Schema struct {
	text  []byte
	steps int // that a check may take
	// checkers are compiled copies: each check counts its steps on one that it has
	// to itself.
	checkers sync.Pool
}

// Fault is one thing that is wrong with a payload.
type Fault struct {
	// Path is the way to it, empty for the payload itself.
	Path []string
	// Msg says what is wrong.
	Msg string
}

// Compile reads a schema. Its error says what is wrong with it, for whoever
// wrote it.
func Compile(text []byte) (*Schema, error) {
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("a schema has at most %d bytes", MaxBytes)
	}
	c, err := compile(text)
	if err != nil {
		return nil, err
	}
	s := &Schema{text: bytes.Clone(text), steps: maxSteps}
	s.checkers.Put(c)
	return s, nil
}

// checker is a compiled schema with what is left of the steps of the check that
// uses it.
type checker struct {
	compiled *jsonschema.Schema
	steps    int
}

func compile(text []byte) (*checker, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, errors.New("is not JSON")
	}
	if _, ok := document.(map[string]any); !ok {
		return nil, errors.New("is not a JSON object")
	}
	if err := bounded(document, maxDepth, new(int)); err != nil {
		return nil, err
	}
	c := &checker{steps: math.MaxInt}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft7)
	compiler.UseLoader(nothing{})
	compiler.UseRegexpEngine(c.pattern)
	compiler.RegisterVocabulary(&jsonschema.Vocabulary{URL: location + "steps", Compile: c.counted})
	compiler.AssertVocabs()
	if err := compiler.AddResource(location, document); err != nil {
		return nil, errors.New("cannot be read as a schema")
	}
	if c.compiled, err = compiler.Compile(location); err != nil {
		return nil, errors.New(reason(err))
	}
	return c, nil
}

// location is what a schema is called while it is compiled. Nothing is loaded
// from there.
const location = "schema:///"

// Check lists what is wrong with a payload, at most ten faults; none for one
// that the schema admits.
func (s *Schema) Check(payload []byte) []Fault {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return []Fault{{Msg: "is not JSON, which the event type's schema wants"}}
	}
	if err := bounded(value, maxPayloadDepth, new(int)); err != nil {
		return []Fault{{Msg: err.Error()}}
	}
	c, _ := s.checkers.Get().(*checker)
	if c == nil {
		if c, err = compile(s.text); err != nil {
			return []Fault{{Msg: "cannot be checked by the event type's schema"}} // it could be compiled once
		}
	}
	defer s.checkers.Put(c)
	c.steps = s.steps
	err = c.validate(value)
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return []Fault{{Msg: err.Error()}}
	}
	var faults []Fault
	collect(invalid, message.NewPrinter(language.English), &faults)
	return faults
}

// validate is the schema's, which is left by a panic where that takes too long:
// there is no other way out of it.
func (c *checker) validate(value any) (err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			if thrown != errSteps { //nolint:errorlint // it is the very one
				panic(thrown)
			}
			err = errSteps
		}
	}()
	return c.compiled.Validate(value)
}

var errSteps = errors.New("takes too long to be checked by the event type's schema")

// step is taken for each schema that a value is held against, and each name that
// a pattern is.
func (c *checker) step() {
	if c.steps--; c.steps < 0 {
		panic(errSteps)
	}
}

// Validate implements jsonschema.SchemaExt.
func (c *checker) Validate(*jsonschema.ValidatorContext, any) { c.step() }

// counted has every schema count.
func (c *checker) counted(*jsonschema.CompilerContext, map[string]any) (jsonschema.SchemaExt, error) {
	return c, nil
}

// collect takes the innermost causes: what is above them only repeats them.
func collect(e *jsonschema.ValidationError, p *message.Printer, faults *[]Fault) {
	if len(*faults) >= maxFaults {
		return
	}
	if len(e.Causes) == 0 {
		*faults = append(*faults, Fault{Path: e.InstanceLocation, Msg: shortened(e.ErrorKind.LocalizedString(p))})
		return
	}
	for _, cause := range e.Causes {
		collect(cause, p, faults)
	}
}

// shortened bounds a message: it may repeat what a payload has.
func shortened(text string) string {
	const most = 200
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}

// nothing loads nothing: a schema stands by itself, but for the drafts' own.
type nothing struct{}

// Load implements jsonschema.URLLoader.
func (nothing) Load(string) (any, error) {
	return nil, errors.New("a schema cannot refer to another document")
}

// pattern compiles a regular expression of bounded length.
func (c *checker) pattern(text string) (jsonschema.Regexp, error) {
	if len(text) > MaxPattern {
		return nil, fmt.Errorf("a pattern has at most %d bytes", MaxPattern)
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return countedPattern{compiled, c}, nil
}

// countedPattern counts what it is matched against.
type countedPattern struct {
	*regexp.Regexp
	checker *checker
}

// MatchString implements jsonschema.Regexp.
func (p countedPattern) MatchString(text string) bool {
	p.checker.step()
	return p.Regexp.MatchString(text)
}

// reason is what the compiler says, without the name that we gave the schema.
func reason(err error) string {
	var load *jsonschema.LoadURLError
	if errors.As(err, &load) {
		return "a schema cannot refer to another document: " + shortened(strings.TrimPrefix(load.URL, location))
	}
	text := strings.ReplaceAll(err.Error(), location, "")
	text = strings.Join(strings.Fields(text), " ")
	return "is not a JSON Schema: " + shortened(text)
}

// bounded refuses what is nested deeper than depth or has too many values, and
// numbers that take long to compare. Values are those that came before.
func bounded(value any, depth int, values *int) error {
	if depth < 0 {
		return errors.New("is nested too deep")
	}
	if *values++; *values > maxValues {
		return errors.New("has too many values to be checked by the event type's schema")
	}
	switch v := value.(type) {
	case map[string]any:
		for _, entry := range v {
			if err := bounded(entry, depth-1, values); err != nil {
				return err
			}
		}
	case []any:
		for _, entry := range v {
			if err := bounded(entry, depth-1, values); err != nil {
				return err
			}
		}
	case json.Number:
		_, exponent, _ := strings.Cut(strings.ToLower(v.String()), "e")
		if len(v) > maxDigits || len(strings.TrimLeft(exponent, "+-0")) > maxExponent {
			return errors.New("has a number that is too long to be compared")
		}
	}
	return nil
}

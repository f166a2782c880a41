package schema

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestCheck(t *testing.T) {
	s, err := Compile([]byte(`{
		"type":"object","required":["id"],"additionalProperties":false,
		"properties":{
			"id":{"type":"string","pattern":"^[a-z]+$"},
			"lines":{"type":"array","items":{"$ref":"#/definitions/line"}},
			"mail":{"format":"email"}},
		"definitions":{"line":{"type":"object","properties":{"n":{"type":"integer","minimum":1}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for payload, want := range map[string][]string{
		`{"id":"a"}`:                        nil,
		`{"id":"a","lines":[{"n":1}]}`:      nil,
		`{"id":"a","lines":[{"n":1.0}]}`:    nil,
		`{}`:                                {""},
		`[]`:                                {""},
		`{"id":"A"}`:                        {"id"},
		`{"id":7}`:                          {"id"},
		`{"id":"a","x":1}`:                  {""},
		`{"id":"a","lines":[{},{"n":0}]}`:   {"lines.1.n"},
		`{"id":"A","lines":[{"n":0.5}]}`:    {"id", "lines.0.n"},
		`{"id":"a","mail":"nobody"}`:        {"mail"},
		`not JSON`:                          {""},
		`{"id":"a","lines":[{"n":1e9999}]}`: {""},
	} {
		var got []string
		for _, f := range s.Check([]byte(payload)) {
			got = append(got, strings.Join(f.Path, "."))
			if f.Msg == "" || strings.Contains(f.Msg, location) {
				t.Errorf("%s: message %q", payload, f.Msg)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: faults at %q, want %q", payload, got, want)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	deep := strings.Repeat(`{"not":`, maxDepth+1) + "{}" + strings.Repeat("}", maxDepth+1)
	for schema, text := range map[string]string{
		`{"type":"nonsense"}`:   "is not a JSON Schema",
		`{"properties":[]}`:     "is not a JSON Schema",
		`{"pattern":"("}`:       "is not a JSON Schema",
		`{"minimum":1e1000000}`: "number",
		`[]`:                    "object",
		`{`:                     "JSON",
		`{"$ref":"https://example.com/schema.json"}`:      "cannot refer to another document",
		`{"$ref":"file:///etc/passwd"}`:                   "cannot refer to another document",
		`{"$ref":"other.json"}`:                           "cannot refer to another document",
		`{"$schema":"https://example.com/dialect"}`:       "cannot refer to another document",
		`{"$ref":"#/definitions/nothing"}`:                "is not a JSON Schema",
		`{"pattern":"` + strings.Repeat("a", 1001) + `"}`: "is not a JSON Schema",
		`{"x":"` + strings.Repeat("a", MaxBytes) + `"}`:   "at most",
		deep: "nested",
	} {
		_, err := Compile([]byte(schema))
		if err == nil || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), location) || len(err.Error()) > 400 {
			t.Errorf("%.60s: %v, want %q", schema, err, text)
		}
	}
}

// TestDrafts: a schema says which draft it is of, and draft 7 is the default.
func TestDrafts(t *testing.T) {
	for schema, payload := range map[string]string{
		`{"items":[{"type":"string"}]}`: `[1]`,
		`{"$schema":"https://json-schema.org/draft/2020-12/schema","prefixItems":[{"type":"string"}]}`: `[1]`,
		`{"$schema":"http://json-schema.org/draft-04/schema#","minimum":1,"exclusiveMinimum":true}`:    `1`,
	} {
		s, err := Compile([]byte(schema))
		if err != nil {
			t.Errorf("%s: %v", schema, err)
			continue
		}
		if len(s.Check([]byte(payload))) == 0 {
			t.Errorf("%s admits %s", schema, payload)
		}
	}
	if _, err := Compile([]byte(`{"$schema":"https://json-schema.org/draft/2020-12/schema","items":[{}]}`)); err == nil {
		t.Error("draft 7's tuples pass in 2020-12")
	}
}

// TestHostilePayloads are checked in no time, and their faults are few.
func TestHostilePayloads(t *testing.T) {
	s, err := Compile([]byte(`{"uniqueItems":true,"items":{"type":"number","multipleOf":0.1,"maximum":5}}`))
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	for name, payload := range map[string]string{
		"exponents": "[" + strings.Repeat("1e999999,", 10_000) + "1]",
		"digits":    "[" + strings.Repeat("9", 1<<20) + "]",
		"depth":     strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"faults":    "[" + strings.Repeat("7,", 10_000) + "7]",
	} {
		faults := s.Check([]byte(payload))
		if len(faults) == 0 || len(faults) > maxFaults {
			t.Errorf("%s: %d faults", name, len(faults))
		}
		for _, f := range faults {
			if len(f.Msg) > 300 {
				t.Errorf("%s: a message of %d bytes", name, len(f.Msg))
			}
		}
	}
	if took := time.Since(started); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestStepsAreBounded: what doubles with each level of a schema or a payload is
// given up, also beside others, and leaves the schema as good as before.
func TestStepsAreBounded(t *testing.T) {
	twice := func(last, each string) string {
		var b strings.Builder
		fmt.Fprintf(&b, `{"definitions":{"a0":%s`, last)
		for i := 1; i <= 24; i++ {
			fmt.Fprintf(&b, ",\"a%d\":"+each, i, i-1)
		}
		return b.String() + `},"allOf":[{"$ref":"#/definitions/a24"}]}`
	}
	deep := strings.Repeat(`{"c":`, 24) + "1" + strings.Repeat("}", 24)
	for schema, payload := range map[string]string{
		twice(`{}`, `{"allOf":[{"$ref":"#/definitions/a%[2]d"},{"$ref":"#/definitions/a%[2]d"}]}`):                                                 `{}`,
		twice(`{"type":"string"}`, `{"anyOf":[{"$ref":"#/definitions/a%[2]d"},{"$ref":"#/definitions/a%[2]d"}]}`):                                  `{}`,
		`{"allOf":[{"properties":{"c":{"$ref":"#"}}},{"properties":{"c":{"$ref":"#"}}}]}`:                                                          deep,
		`{"$schema":"https://json-schema.org/draft/2020-12/schema","allOf":[{"properties":{"c":{"$ref":"#"}}},{"properties":{"c":{"$ref":"#"}}}]}`: deep,
		`{"patternProperties":{"c":{"$ref":"#"},"^c":{"$ref":"#"}}}`:                                                                               deep,
	} {
		s, err := Compile([]byte(schema))
		if err != nil {
			t.Fatalf("%.100s: %v", schema, err)
		}
		s.steps /= 50
		var checks sync.WaitGroup
		for range 2 {
			checks.Go(func() {
				if got := s.Check([]byte(payload)); len(got) != 1 || !strings.Contains(got[0].Msg, "too long") {
					t.Errorf("%.100s: %v", schema, got)
				}
			})
		}
		checks.Wait()
	}
}

// TestManyValues: a payload of the most values is checked, and a larger one is
// refused before each of them can have a fault.
func TestManyValues(t *testing.T) {
	s, err := Compile([]byte(`{"items":{"type":"number"}}`))
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]int{maxValues - 1: 0, maxValues: 1} {
		if got := s.Check([]byte("[" + strings.Repeat("1,", n-1) + "1]")); len(got) != want {
			t.Errorf("%d values: %v", n, got)
		}
	}
}

// FuzzCompile: whatever is compiled and checked, nothing panics, and nothing is
// loaded.
func FuzzCompile(f *testing.F) {
	for _, schema := range []string{`{"type":"object"}`, `{"$ref":"#"}`, `{"allOf":[{"$ref":"#"}]}`, `{"$id":"x","$ref":"x"}`, `{"$dynamicRef":"#a"}`} {
		f.Add([]byte(schema), []byte(`{"a":[1]}`))
	}
	f.Fuzz(func(t *testing.T, schema, payload []byte) {
		s, err := Compile(schema)
		if err != nil {
			return
		}
		if faults := s.Check(payload); len(faults) > maxFaults {
			t.Error(fmt.Sprint(faults))
		}
	})
}

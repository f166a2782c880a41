package verify

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// catalogue is read-only: one file per provider, so that a lookup reads only
// what it is asked for and nothing is kept.
//
//go:embed providers/*.json
var catalogue embed.FS

// Lookup returns the definition of a provider by its id or an alias; false if
// there is none. '-' counts as '_', since people write both.
func Lookup(provider string) (Definition, bool) {
	id := strings.ReplaceAll(provider, "-", "_")
	if data, err := catalogue.ReadFile("providers/" + id + ".json"); err == nil {
		return embedded(id, data), true
	}
	for _, other := range Providers() {
		data, err := catalogue.ReadFile("providers/" + other + ".json")
		if err != nil || !bytes.Contains(data, []byte(`"aliases"`)) {
			continue
		}
		if def := embedded(other, data); slices.Contains(def.Aliases, id) {
			return def, true
		}
	}
	return Definition{}, false
}

// embedded reads a file of the program; a test reads every one.
func embedded(id string, data []byte) Definition {
	def, err := ParseDefinition(data)
	if err != nil {
		panic(fmt.Sprintf("verify: providers/%s.json: %v", id, err))
	}
	return def
}

// Providers lists the ids that Lookup knows, sorted, without aliases.
func Providers() []string {
	entries, err := catalogue.ReadDir("providers")
	if err != nil {
		panic(err) // the folder is embedded
	}
	ids := make([]string, len(entries))
	for i, entry := range entries {
		ids[i] = strings.TrimSuffix(entry.Name(), ".json")
	}
	return ids
}

// Catalogue is the definitions that a program knows: the built-in ones, and its
// own. Nil is the built-in ones alone. It is immutable and safe for concurrent
// use.
type Catalogue struct {
	own []Definition // sorted by id
}

// NewCatalogue adds definitions to the built-in ones. The error is a
// *DefinitionError for the first that cannot be used: every definition must be
// one that New can work with, and no id or alias may be taken, neither by a
// built-in definition nor by another of own. One that shadowed github would have
// requests verified otherwise than everybody who reads a source believes.
func NewCatalogue(own ...Definition) (*Catalogue, error) {
	c := &Catalogue{}
	for i, def := range own {
		if fields := append(c.taken(def), def.faults()...); len(fields) > 0 {
			return nil, &DefinitionError{Index: i, Fields: fields}
		}
		c.own = append(c.own, def)
	}
	slices.SortFunc(c.own, func(a, b Definition) int { return strings.Compare(a.ID, b.ID) })
	return c, nil
}

// Lookup returns the definition of a provider by its id or an alias, as the
// function Lookup does.
func (c *Catalogue) Lookup(provider string) (Definition, bool) {
	if c != nil {
		id := strings.ReplaceAll(provider, "-", "_")
		for _, def := range c.own {
			if def.ID == id || slices.Contains(def.Aliases, id) {
				return def, true
			}
		}
	}
	return Lookup(provider)
}

// Providers lists the ids of all definitions, sorted, without aliases.
func (c *Catalogue) Providers() []string {
	ids := Providers()
	if c != nil {
		for _, def := range c.own {
			ids = append(ids, def.ID)
		}
		slices.Sort(ids)
	}
	return ids
}

// taken are the ids of a definition that find another one.
func (c *Catalogue) taken(def Definition) []FieldError {
	var fields []FieldError
	check := func(field, id string) {
		if other, ok := c.Lookup(id); ok {
			fields = append(fields, FieldError{field, fmt.Sprintf("%q is taken by %s; choose another", id, other.Name)})
		}
	}
	check("id", def.ID)
	for i, alias := range def.Aliases {
		check(indexed("aliases", i), alias)
	}
	return fields
}

// faults is what is wrong with a definition whatever a source says. What only
// one value of a setting brings up is looked for, too.
func (d Definition) faults() []FieldError {
	var fields []FieldError
	add := func(field, detail string) {
		if !slices.ContainsFunc(fields, func(f FieldError) bool { return f.Field == field }) {
			fields = append(fields, FieldError{field, detail})
		}
	}
	name := regexp.MustCompile("^" + snake + "$")
	if !name.MatchString(d.ID) {
		add("id", "must be lower-case letters and digits, in words joined by '_'")
	}
	for i, alias := range d.Aliases {
		if !name.MatchString(alias) {
			add(indexed("aliases", i), "must be lower-case letters and digits, in words joined by '_'")
		}
	}
	if d.Name == "" {
		add("name", "is required")
	}
	for _, settings := range d.trials() {
		_, err := New(d, Config{Settings: settings})
		wrong, ok := errors.AsType[*ConfigError](err)
		if !ok {
			continue
		}
		for _, f := range wrong.Fields {
			unchosen := f.Field == "schemes" && len(d.Schemes) > 0
			if !unchosen && !strings.HasPrefix(f.Field, "secrets") && !strings.HasPrefix(f.Field, "config.") {
				add(f.Field, f.Detail)
			}
		}
	}
	return fields
}

// trials are settings that between them choose every scheme and handshake once.
func (d Definition) trials() []map[string]string {
	trials := []map[string]string{nil}
	for _, s := range d.Settings {
		for _, value := range s.Values {
			trials = append(trials, map[string]string{s.Name: value})
		}
	}
	choose := func(wanted map[string]string) {
		chosen := map[string]string{}
		for name, values := range wanted {
			chosen[name], _, _ = strings.Cut(values, "|")
		}
		trials = append(trials, chosen)
	}
	for _, s := range d.Schemes {
		choose(s.For)
	}
	for _, h := range d.Handshakes {
		choose(h.For)
	}
	return trials
}

// DefinitionError is what NewCatalogue refuses with.
type DefinitionError struct {
	// Index is the definition's place in the list.
	Index int
	// Fields are all that is wrong with it, by their path in it; at least one.
	Fields []FieldError
}

// Error lists all fields on one line.
func (e *DefinitionError) Error() string {
	return fmt.Sprintf("definition %d: %s", e.Index+1, strings.TrimPrefix((&ConfigError{e.Fields}).Error(), "verify: "))
}

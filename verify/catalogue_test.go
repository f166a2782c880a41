package verify_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/postern-dev/postern/verify"
)

// own is a definition that nobody else has.
func own(id string, change func(*verify.Definition)) verify.Definition {
	def := verify.Definition{
		ID: id, Name: "Own", Status: verify.StatusDocumented,
		Settings: []verify.Setting{{Name: "variant", Default: "one", Values: []string{"one", "two"}}},
		Schemes: []verify.Scheme{{
			Kind: verify.KindHMAC, Hash: "sha256", Key: verify.KeyForm{Form: "utf8"}, Template: "{body}",
			Signature: verify.Signature{From: []verify.Selector{"header:X-Own"}, Encoding: "hex"},
			For:       map[string]string{"variant": "one"},
		}, {
			Kind: verify.KindHMAC, Hash: "sha1", Key: verify.KeyForm{Form: "utf8"}, Template: "{body}",
			Signature: verify.Signature{From: []verify.Selector{"header:X-Own"}, Encoding: "hex"},
			For:       map[string]string{"variant": "two"},
		}},
	}
	if change != nil {
		change(&def)
	}
	return def
}

func TestCatalogueWithOwn(t *testing.T) {
	var builtIn *verify.Catalogue
	if _, ok := builtIn.Lookup("github"); !ok || !slices.Equal(builtIn.Providers(), verify.Providers()) {
		t.Error("nil is not the built-in catalogue")
	}
	c, err := verify.NewCatalogue(own("zz_top", nil), own("aa_bottom", func(d *verify.Definition) { d.Aliases = []string{"aa_b"} }))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"zz_top", "zz-top", "aa_bottom", "aa_b", "aa-b", "github"} {
		if _, ok := c.Lookup(id); !ok {
			t.Errorf("%s is not found", id)
		}
	}
	if _, ok := c.Lookup("zz"); ok {
		t.Error("zz is found")
	}
	ids := c.Providers()
	if len(ids) != len(verify.Providers())+2 || !slices.IsSorted(ids) || slices.Contains(ids, "aa_b") {
		t.Errorf("providers: %v", ids)
	}
}

// What is wrong with a definition is found before a source is made, whichever
// setting brings it up, and what only secrets or settings could be is not.
func TestCatalogueFaults(t *testing.T) {
	tests := map[string]struct {
		change func(*verify.Definition)
		field  string
	}{
		"nothing":                {func(*verify.Definition) {}, ""},
		"a setting is required":  {func(d *verify.Definition) { d.Settings[0].Default, d.Settings[0].Required = "", true }, ""},
		"its id":                 {func(d *verify.Definition) { d.ID = "Own" }, "id"},
		"an alias":               {func(d *verify.Definition) { d.Aliases = []string{"fine", "not fine"} }, "aliases[1]"},
		"no scheme":              {func(d *verify.Definition) { d.Schemes = nil }, "schemes"},
		"a scheme by default":    {func(d *verify.Definition) { d.Schemes[0].Hash = "crc" }, "schemes[0].hash"},
		"a scheme of a variant":  {func(d *verify.Definition) { d.Schemes[1].Hash = "crc" }, "schemes[1].hash"},
		"a scheme for no value":  {func(d *verify.Definition) { d.Settings[0].Values = nil; d.Schemes[1].Template = "x" }, "schemes[1].template"},
		"a setting undeclared":   {func(d *verify.Definition) { d.Schemes[0].Template = "{body}${other}" }, "schemes[0].template"},
		"a selector":             {func(d *verify.Definition) { d.EventType = []verify.Selector{"jason:type"} }, "eventType[0]"},
		"a kind that is unknown": {func(d *verify.Definition) { d.Schemes[0].Kind = "rot13" }, "schemes[0].kind"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := verify.NewCatalogue(own("first", nil), own("own", tt.change))
			var wrong *verify.DefinitionError
			switch {
			case tt.field == "" && err != nil:
				t.Error(err)
			case tt.field == "":
			case !errors.As(err, &wrong):
				t.Errorf("%v, want one about %s", err, tt.field)
			case wrong.Index != 1 || !slices.ContainsFunc(wrong.Fields, func(f verify.FieldError) bool { return f.Field == tt.field }):
				t.Errorf("%v, want %s of definition 2", err, tt.field)
			}
		})
	}
}

func TestCatalogueKeepsIDsApart(t *testing.T) {
	for name, defs := range map[string][]verify.Definition{
		"built-in":          {own("github", nil)},
		"twice":             {own("own", nil), own("own", nil)},
		"alias of built-in": {own("own", func(d *verify.Definition) { d.Aliases = []string{"standard_webhooks"} })},
		"alias of another":  {own("own", nil), own("other", func(d *verify.Definition) { d.Aliases = []string{"own"} })},
		"id is an alias":    {own("own", func(d *verify.Definition) { d.Aliases = []string{"other"} }), own("other", nil)},
	} {
		if _, err := verify.NewCatalogue(defs...); err == nil {
			t.Errorf("%s: taken twice", name)
		}
	}
}

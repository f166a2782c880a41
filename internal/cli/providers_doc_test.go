package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/postern-dev/postern/verify"
)

const (
	providersFile = "../../docs/providers.md"
	leftOutFile   = "../../verify/testdata/leftout.json"
)

// leftOut is a provider that is known of and not in the catalogue.
type leftOut struct{ ID, Name, Reason string }

// The page about providers is the catalogue, printed. `make docs` rewrites it.
func TestProvidersDocumentIsUpToDate(t *testing.T) {
	data, err := os.ReadFile(leftOutFile)
	if err != nil {
		t.Fatal(err)
	}
	var out []leftOut
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	for _, row := range out {
		if _, ok := verify.Lookup(row.ID); ok {
			t.Errorf("%s has %s, which is in the catalogue", leftOutFile, row.ID)
		}
		if row.Reason == "" {
			t.Errorf("%s: %s has no reason", leftOutFile, row.ID)
		}
	}
	document := providersDocument(out)
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(providersFile, []byte(document), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(providersFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != document {
		t.Errorf("%s differs from the catalogue; run: make docs", providersFile)
	}
}

// Every scheme that is code is described.
func TestCodeHasWords(t *testing.T) {
	for _, id := range verify.Providers() {
		def, _ := verify.Lookup(id)
		for _, s := range def.Schemes {
			if primitive, _ := codeWords(s.Code); s.Kind == verify.KindCode && primitive == "a scheme of its own" {
				t.Errorf("%s: %s has no words", id, s.Code)
			}
		}
	}
}

// providersDocument is docs/providers.md.
func providersDocument(out []leftOut) string {
	var b strings.Builder
	var defs []verify.Definition
	counts := map[verify.Status]int{}
	for _, id := range verify.Providers() {
		def, _ := verify.Lookup(id)
		defs = append(defs, def)
		counts[def.Status]++
	}
	fmt.Fprintf(&b, providersHead, len(defs))
	for _, s := range []verify.Status{verify.StatusGeneric, verify.StatusSDK, verify.StatusVector, verify.StatusDocumented, verify.StatusReported, verify.StatusExperimental} {
		fmt.Fprintf(&b, "| `%s` | %s | %d |\n", s, statusWords(verify.Definition{Status: s}), counts[s])
	}
	b.WriteString(providersWords)
	letter := ""
	for _, def := range defs {
		if first := strings.ToUpper(def.ID[:1]); first != letter {
			letter = first
			fmt.Fprintf(&b, "\n### %s\n\n| provider | name | scheme | handshake | body signed | status |\n|---|---|---|---|---|---|\n", letter)
		}
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s | %s | %s | %s |\n", def.ID, anchor(def.ID), cell(def.Name), cell(schemesShort(def)),
			cell(handshakeKinds(def)), bodySigned(def), def.Status)
	}
	b.WriteString("\n## Details\n")
	for _, def := range defs {
		fmt.Fprintf(&b, "\n### %s\n\n%s", def.ID, def.Name)
		if len(def.Aliases) > 0 {
			fmt.Fprintf(&b, "; also found as %s", codes(def.Aliases))
		}
		b.WriteString(".\n\n")
		for _, f := range sheetOf(def) {
			fmt.Fprintf(&b, "- **%s**: %s\n", f.Label, f.Text)
		}
	}
	b.WriteString(providersLeftOut)
	for _, row := range out {
		fmt.Fprintf(&b, "| %s | %s |\n", cell(row.Name), cell(row.Reason))
	}
	return b.String()
}

// handshakeKinds are the kinds of a definition's handshakes, each once.
func handshakeKinds(def verify.Definition) string {
	var kinds []string
	for _, h := range def.Handshakes {
		if kind := string(h.Kind); !strings.Contains(strings.Join(kinds, " "), kind) {
			kinds = append(kinds, kind)
		}
	}
	return strings.Join(kinds, ", ")
}

// bodySigned says whether a change of the body is always noticed.
func bodySigned(def verify.Definition) string {
	for _, s := range def.Schemes {
		if s.Unsigned || s.Kind == verify.KindNone {
			return "**no**"
		}
	}
	return "yes"
}

// anchor is what a heading is linked by.
func anchor(heading string) string { return strings.ToLower(heading) }

// cell keeps text within its cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

const providersHead = `# Providers

<!-- Written by make docs from verify/providers/*.json; a test compares the two. -->

Postern knows %d providers by name. A definition is data: a file of verify/providers
says how requests are signed, what they are called and how the provider's handshake
is answered. ` + "`postern providers`" + ` prints this list, ` + "`postern providers NAME`" + ` one of it.

How far a definition can be relied on is its status:

| status | it | how many |
|---|---|---|
`

const providersWords = `
For every provider: the raw bytes of the request are what is checked; comparisons
take constant time; an empty secret is refused; the algorithm is the definition's or
the source's, never the request's; a header that counts must be there once unless the
provider documents otherwise; a signed time must lie near now in both directions,
within five minutes unless said otherwise (setting ` + "`tolerance`" + `); whatever fails is
answered alike, with 401 unless the provider demands another status.

Where the table says that the body is not signed, whoever sees one request can send
another with the same signature: treat its content as a hint, and fetch what it is
about from the provider. Ids of deliveries are often unsigned; duplicates are
therefore recognised by id and body together.

[receiving.md](receiving.md) is about sources, handshakes, refusals, definitions of your
own, and about asking why a request does not verify.

## All of them

*Body signed* is no where a scheme of the provider leaves out the body or a part of it.
`

const providersLeftOut = `
## Left out

These are known of and not in the catalogue. Until they are, a source with the
provider ` + "`hmac` or `standard_webhooks`" + `, or a definition of your own, verifies those whose
scheme you know.

| provider | why |
|---|---|
`

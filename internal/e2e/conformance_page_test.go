package e2e_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const conformanceFile = "../../docs/conformance.md"

// comparePage holds the committed page to what was seen; `make docs` rewrites
// it.
func comparePage(t *testing.T, page string) {
	t.Helper()
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(conformanceFile, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(conformanceFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(written), "\n"), strings.Split(page, "\n")); diff != "" {
		t.Errorf("docs/conformance.md is not what was seen; `make docs` rewrites it (-page +seen):\n%s", diff)
	}
}

// conformancePage is docs/conformance.md: what a run has shown, and nothing
// that differs from run to run.
func conformancePage(api *apiDocument, callers []*caller, held []convention) string {
	var page strings.Builder
	page.WriteString(`# Conformance

What one run has seen: programs written with Svix's official SDKs, unmodified,
with this repository's ` + "`client`" + `, and with HTTP alone call the server's binary
over the wire. ` + "`TestConformanceUpToDate`" + ` makes the run and fails when it differs
from this page, which ` + "`make docs`" + ` writes.

## Operations

Paths lie below ` + "`/api/v1`" + `. A cell holds the statuses that a caller was seen to
get: of success, and after the stroke of refusals. ` + "`-`" + `: the library does not
have the operation, which is read in its sources; HTTP alone is for what no
library has. The run fails for an operation that a library has and that was not
seen both to succeed and to be refused, and for an answer that is not
documented, does not fit its schema, or cannot be read by the SDK. A wrong key
counts as a refusal only where nothing else can be wrong; ` + "`none`" + ` says that a
server in order refuses nothing.

`)
	writeOperations(&page, api, callers)
	page.WriteString("\n## Not served\n\nWhat the SDKs can call besides answers 501 and says so in a body that they read.\n\n")
	writeLacks(&page, callers)
	page.WriteString("\n## Conventions, limits, details\n\nEach is an assertion of `TestConventions`, made over the wire.\n")
	group := ""
	for _, c := range held {
		if c.group != group {
			group = c.group
			fmt.Fprintf(&page, "\n### %s\n\n", group)
		}
		fmt.Fprintf(&page, "- %s\n", c.text)
	}
	return page.String()
}

// writeOperations writes the table of rows.
func writeOperations(page *strings.Builder, api *apiDocument, callers []*caller) {
	page.WriteString("| operation | | |")
	for _, c := range callers {
		fmt.Fprintf(page, " %s |", c.name)
	}
	page.WriteString("\n|---|---|---|" + strings.Repeat("---|", len(callers)) + "\n")
	for _, o := range api.operations {
		fmt.Fprintf(page, "| %s | %s | `%s` |", o.id, o.method, strings.TrimPrefix(o.path, "/api/v1"))
		for _, c := range callers {
			fmt.Fprintf(page, " %s |", c.cell(o))
		}
		page.WriteString("\n")
	}
	counts := make([]string, 0, len(callers))
	for _, c := range callers {
		counts = append(counts, fmt.Sprintf("%s %d", c.name, len(c.has)))
	}
	fmt.Fprintf(page, "\nOf %d operations: %s.\n", len(api.operations), strings.Join(counts, ", "))
}

// cell is what was seen of an operation.
func (c *caller) cell(o *operation) string {
	if !c.has[o] {
		return "-"
	}
	refusals := "none"
	if o.refuses() {
		refusals = statuses(c.seen[o].refusals)
	}
	return statuses(c.seen[o].successes) + " / " + refusals
}

// statuses writes a list of them.
func statuses(list []int) string {
	words := make([]string, 0, len(list))
	for _, status := range list {
		words = append(words, strconv.Itoa(status))
	}
	return strings.Join(words, " ")
}

// writeLacks writes, for each path that is not served, which SDK calls it how.
func writeLacks(page *strings.Builder, callers []*caller) {
	page.WriteString("| |")
	var sdks []*caller
	for _, c := range callers {
		if len(c.lacks) > 0 {
			sdks = append(sdks, c)
			fmt.Fprintf(page, " %s |", c.name)
		}
	}
	page.WriteString("\n|---|" + strings.Repeat("---|", len(sdks)) + "\n")
	for _, path := range lackedPaths(sdks) {
		fmt.Fprintf(page, "| `%s` |", strings.TrimPrefix(path, "/api/v1"))
		for _, c := range sdks {
			var methods []string
			for _, call := range c.lacks {
				if call.path == path {
					methods = append(methods, call.method)
				}
			}
			fmt.Fprintf(page, " %s |", strings.Join(methods, " "))
		}
		page.WriteString("\n")
	}
}

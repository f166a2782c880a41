package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/auth"
)

// documentHead is how docs/api.md begins.
const documentHead = `# The API

Every operation, made of the table that serves them. A server describes itself
in OpenAPI 3.1, bodies included, at ` + "`GET /api/v1/openapi.json`" + `; the Go
package ` + "`client`" + ` calls it. What Svix's API has, has the same shape here, so
that Svix's SDKs work: give them the server's address and a key.

Where a path names an object, its uid will do for its id, and a message's
` + "`eventId`" + ` for the message's. Lists are pages: follow ` + "`iterator`" + ` until ` + "`done`" + `.
An error is ` + "`{\"code\", \"detail\"}`" + `; faults of an input are 422, and each says where
it is. Keys are sent as ` + "`Authorization: Bearer KEY`" + `; which scopes of keys open an
operation is in its line, the portal's visitors among them as far as they may do
everything there.
`

// Document is docs/api.md, which a test holds to the table: a section for each
// noun, in the order of the table, and the rest first.
func Document() string {
	sections, order := map[string][]string{}, []string{}
	for _, r := range table() {
		o := r.operation()
		section := noun(o.name)
		if !strings.Contains(o.name, ".") || section == "health" {
			section = "server"
		}
		if sections[section] == nil {
			order = append(order, section)
		}
		sections[section] = append(sections[section], documentLine(o))
	}
	var b strings.Builder
	b.WriteString(documentHead)
	for _, section := range order {
		fmt.Fprintf(&b, "\n## %s\n\n| | | answer | keys | query |\n|---|---|---|---|---|\n%s",
			exported(section), strings.Join(sections[section], ""))
	}
	return b.String()
}

// documentLine is an operation's.
func documentLine(o *operation) string {
	query := make([]string, 0, len(o.query))
	for _, p := range o.query {
		query = append(query, "`"+p.name+"`")
	}
	return fmt.Sprintf("| %s | `%s %s` | %d | %s | %s |\n",
		summary(o.name), o.method, o.path, o.status, strings.Join(scopes(o), ", "), strings.Join(query, ", "))
}

// scopes are those of the keys that an operation is for, in words.
func scopes(o *operation) []string {
	if o.access == open {
		return []string{"none needed"}
	}
	all := []postern.Scope{
		postern.ScopeAdmin, postern.ScopeApplication, postern.ScopeReadOnly, postern.ScopePublishOnly, postern.ScopePortal,
	}
	var names []string
	for _, scope := range all {
		who := auth.Principal{Scope: scope, Portal: &postern.Portal{}}
		if authorize(who, o, o.method == http.MethodGet) == nil {
			names = append(names, string(scope))
		}
	}
	return slices.Clip(names)
}

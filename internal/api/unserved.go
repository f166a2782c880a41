package api

import (
	"errors"
	"strings"

	"github.com/postern-dev/postern"
)

// sdkPaths are all that the official Svix SDKs call (Go v1.99.1, JavaScript
// 2.5.0): a path, "*" standing for a variable, and its methods. What the table
// serves of them is the table's; the others answer that they are not here, in
// the shape that SDKs can read, instead of an unknown path.
const sdkPaths = `
/app GET POST
/app/* GET PUT PATCH DELETE
/app/*/attempt/endpoint/* GET
/app/*/attempt/msg/* GET
/app/*/autoconfig POST
/app/*/autoconfig/* GET
/app/*/autoconfig/*/destination PUT
/app/*/autoconfig/*/endpoint PUT
/app/*/autoconfig/*/rotate POST
/app/*/destination GET POST
/app/*/destination/* GET PUT PATCH DELETE
/app/*/destination/*/transformation GET PATCH
/app/*/endpoint GET POST
/app/*/endpoint/* GET PUT PATCH DELETE
/app/*/endpoint/*/auto-config PUT
/app/*/endpoint/*/bulk-replay POST
/app/*/endpoint/*/headers GET PUT PATCH
/app/*/endpoint/*/msg GET
/app/*/endpoint/*/recover POST
/app/*/endpoint/*/replay-missing POST
/app/*/endpoint/*/secret GET
/app/*/endpoint/*/secret/rotate POST
/app/*/endpoint/*/send-example POST
/app/*/endpoint/*/stats GET
/app/*/endpoint/*/transformation GET PATCH
/app/*/integration GET POST
/app/*/integration/* GET PUT DELETE
/app/*/integration/*/key GET
/app/*/integration/*/key/rotate POST
/app/*/msg GET POST
/app/*/msg/* GET
/app/*/msg/*/attempt/* GET
/app/*/msg/*/attempt/*/content DELETE
/app/*/msg/*/content DELETE
/app/*/msg/*/endpoint GET
/app/*/msg/*/endpoint/*/resend POST
/app/*/msg/bulk-expunge POST
/app/*/msg/expunge-all-contents POST
/app/*/msg/precheck/active POST
/app/*/poller/* GET
/app/*/poller/*/consumer/* GET
/app/*/poller/*/consumer/*/seek POST
/app/*/polling-endpoint/*/consumer/* GET
/app/*/polling-endpoint/*/consumer/*/commit POST
/auth/app-portal-access/* POST
/auth/app/*/expire-all POST
/auth/dashboard-access/* POST
/auth/logout POST
/auth/stream-logout POST
/auth/stream-portal-access/* POST
/auth/stream/*/expire-all POST
/auth/stream/*/sink/*/poller/token GET
/auth/stream/*/sink/*/poller/token/rotate POST
/background-task GET
/background-task/* GET
/connector GET POST
/connector/* GET PUT PATCH DELETE
/environment/export POST
/environment/import POST
/event-type GET POST
/event-type/* GET PUT PATCH DELETE
/event-type/import/openapi POST
/health GET
/management/authentication/*/api-token POST
/management/authentication/*/api-token/* PATCH
/management/authentication/*/api-token/*/expire POST
/management/environment GET POST
/management/environment-settings GET PUT PATCH
/management/environment-settings/customer-otel GET PUT DELETE
/management/environment/* GET PUT DELETE
/operational-webhook/endpoint GET POST
/operational-webhook/endpoint/* GET PUT DELETE
/operational-webhook/endpoint/*/headers GET PUT
/operational-webhook/endpoint/*/secret GET
/operational-webhook/endpoint/*/secret/rotate POST
/stats/usage/app POST
/stats/usage/event-types PUT
/stream GET POST
/stream/* GET PUT PATCH DELETE
/stream/*/events POST
/stream/*/sink GET POST
/stream/*/sink/* GET PUT PATCH DELETE
/stream/*/sink/*/events GET
/stream/*/sink/*/headers GET PATCH
/stream/*/sink/*/secret GET
/stream/*/sink/*/secret/rotate POST
/stream/*/sink/*/transformation GET PATCH
/stream/event-type GET POST
/stream/event-type/* GET PUT PATCH DELETE
/ingest/api/v1/source GET POST
/ingest/api/v1/source/* GET PUT DELETE
/ingest/api/v1/source/*/dashboard POST
/ingest/api/v1/source/*/endpoint GET POST
/ingest/api/v1/source/*/endpoint/* GET PUT DELETE
/ingest/api/v1/source/*/endpoint/*/headers GET PUT
/ingest/api/v1/source/*/endpoint/*/secret GET
/ingest/api/v1/source/*/endpoint/*/secret/rotate POST
/ingest/api/v1/source/*/endpoint/*/transformation GET PATCH
/ingest/api/v1/source/*/token/rotate POST
`

// unserved is the tree of what SDKs call.
func unserved() *node {
	var rows []row
	for line := range strings.Lines(sdkPaths) {
		path, methods, _ := strings.Cut(strings.TrimSpace(line), " ")
		for method := range strings.FieldsSeq(methods) {
			rows = append(rows, raw{method: method, path: variables(path), access: open})
		}
	}
	return newRoutes(rows)
}

// variables writes "*" as the table writes variables.
func variables(path string) string { return strings.ReplaceAll(path, "*", "{}") }

// miss is the answer to a path that the table does not have, or not with this
// method; n is nil or where the table ends.
func (h *handler) miss(c *call, n *node) error {
	var values [maxParams]string
	asked := *c.r.URL
	if strings.HasPrefix(asked.Path, IngestPrefix) {
		asked.Path = Prefix + asked.Path
	}
	if u := h.unserved.at(&asked, &values); u != nil && u.operation(c.r.Method) != nil {
		return errUnserved
	}
	if n != nil {
		return &methodError{allow: n.allow}
	}
	return &postern.Error{Kind: postern.NotFound, Detail: "No such path"}
}

// errUnserved is an operation of Svix's that Postern does not have.
var errUnserved = errors.New("an operation of Svix's API that Postern does not have")

// IngestPrefix is where Svix's own inbound API begins, beside the rest. Mount
// the API there too, so that its callers are told that it is not here.
const IngestPrefix = "/ingest/"

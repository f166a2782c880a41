// Package api serves the HTTP API under /api/v1: Svix's shapes for what Svix
// knows, and our own nouns in the same conventions. Every operation is a row
// of one table, in table.go, from which routing, authorisation, decoding and
// errors follow, and the OpenAPI document and docs/api.md as well. unserved.go lists
// all that SDKs of Svix call: what the table lacks of it answers 501.
//
// A page looks at a bounded part of the history, ends where its payloads are
// many, and says where to go on. What the package needs of the engine is in
// needs.go.
package api

// Package api serves the HTTP API under /api/v1: Svix's shapes for what Svix
// knows, and our own nouns in the same conventions. Every operation is a row
// of one table, from which routing, authorisation, decoding and errors follow.
package api

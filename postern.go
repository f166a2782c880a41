// Package postern holds the nouns of a webhook platform: applications, event
// types, messages, sources, endpoints, deliveries, attempts and refusals, with
// their identifiers, their states and the one function that decides what
// follows from an attempt.
//
// A message is one immutable event of an application. It is routed once, to
// the endpoints that listen for it; each of these pairs is a delivery, which
// is tried until it is delivered, dead or canceled. Nothing here reads a
// clock, writes a log or knows a database: storing is package store's concern,
// running is package engine's.
package postern

// Package e2e holds tests of the postern binary as its users run it: a process
// of its own, spoken to over HTTP, configured by flags, stopped by signals.
//
// The tests build the binary once, start it on folders of their own, and look
// at nothing but what a user could: the API, /metrics, exit codes, standard
// error, and what a receiver in the test's process is sent. What a promise of
// the documentation says about the whole is proved here; what a part of it does
// is proved beside that part.
//
// Tests with a size of their own (internal/testkit) run small in `make test`
// and in full in `make soak`.
package e2e

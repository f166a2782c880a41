// Package engine is the whole of Postern as a value: it accepts messages,
// routes them, delivers them to endpoints with retries, and serves the HTTP
// API and the inbound addresses. The postern binary is a thin program around
// it, and any Go program can embed it.
//
//	eng, err := engine.New(ctx, engine.Config{Store: st})
//	...
//	go eng.Run(ctx)
//	http.Handle("/", eng.Handler())
//
// There is no global state: several engines can live in one process, each
// with a store of its own.
package engine

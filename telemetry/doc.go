// Package telemetry makes an engine's observations into metrics. It is an
// adapter that a user could have written: it knows the engine's exported names
// and nothing else, and the engine knows nothing of it.
//
//	var eng *engine.Engine
//	observer, metrics := telemetry.NewPrometheus(func(ctx context.Context) (engine.Stats, error) {
//		return eng.Stats(ctx)
//	})
//	eng, err = engine.New(ctx, engine.Config{Observer: observer, ...})
//	...
//	http.Handle("GET /metrics", metrics)
//
// Promises:
//
//  1. Observing costs the engine some atomic additions: no allocation, no lock,
//     no waiting, however often metrics are read.
//  2. The number of series is bounded, whatever the engine tells: a value of a
//     label that is not expected counts as "other".
//  3. Nothing is registered outside of the handler: two engines in one process
//     have metrics of their own.
package telemetry

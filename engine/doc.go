// Package engine is the whole of Postern as a value: it accepts messages,
// routes them, delivers them to endpoints with retries, and serves the HTTP
// API and the inbound addresses. The postern binary is a thin program around
// it, and any Go program can embed it.
//
//	eng, err := engine.New(ctx, engine.Config{Store: st})
//	...
//	err = eng.On("invoice.paid", func(ctx context.Context, msg *engine.Message) error {
//		...
//	})
//	...
//	go eng.Run(ctx)
//	http.Handle("/", eng.Handler())
//	...
//	eng.Publish(ctx, postern.Publish{EventType: "invoice.paid", Payload: payload})
//
// There is no global state: several engines can live in one process, each
// with a store of its own.
//
// # Handlers
//
// A function of the program is an endpoint of kind handler: messages are routed
// to it when they are accepted, it is retried by the same schedules as a URL, and
// has the same history and replays. Its name is who it is. Handlers are registered
// before Run, which stores them; what is published waits for that. One that a
// later version of the program does not register keeps its deliveries, and those
// that come, until one of that name is there again or its endpoint is deleted.
// It is called again after a crash and whenever it did not return nil, so that
// what it does should bear being done twice.
//
// Where several programs share a store, each calls its functions for what it
// accepted itself, and those that have a function also call it for what the others
// accepted that have not: so many at once as Concurrency says, or 32, beside its
// own. What comes of a call is stored where the message is, and a program that stops
// waits for it. If the caller dies, the message waits for half a minute before it is
// another's. What a handler listens for is what the program says that started last.
//
// # Applications
//
// A program without tenants need not know of them: handlers and messages without
// an application belong to Config.Application. EnsureApplication is for those
// that have some.
//
// # Listeners
//
// Listen is for what may be lost: functions that are told of messages as they
// are accepted, and of which nothing is stored.
package engine

// Package client calls the API of a Postern server.
//
//	c, err := client.New(client.Options{URL: "https://hooks.example.com", Key: key})
//	m, err := c.Messages.Create(ctx, "shop", client.MessageIn{EventType: "invoice.paid", Payload: payload})
//
// Wherever an object is named, its uid will do for its id, and a message's
// event id for the message's. What a server refuses is a *postern.Error, so
// that errors.Is(err, postern.ErrNotFound) works as it does in the engine; what
// stands between is the error of net/http.
//
// Client.Tail tells what happens as it happens. Everything else is one call, or
// one for each page of a list.
//
// Calls that change nothing the second time, and POSTs, which carry an
// idempotency key, are tried again when the server is unavailable or the
// connection breaks; see Options.Retries. A Client may be used by several
// goroutines at once and needs no closing.
package client

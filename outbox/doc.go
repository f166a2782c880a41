// Package outbox publishes in the user's own transaction: the message is
// accepted if the transaction commits, and never if it does not. Without it, a
// crash between the commit and the publish loses the event, and the other way
// around it announces what never happened.
//
//	tx, err := pool.Begin(ctx)
//	...
//	eventID, err := box.Publish(ctx, outbox.PGX(tx), postern.Publish{Application: app, EventType: "invoice.paid", Payload: body})
//	...
//	err = tx.Commit(ctx)
//
// Publish writes a row, and a Relay in any process, usually the one that runs the
// engine, takes it from there. It works with pgx and database/sql on PostgreSQL,
// and with database/sql on SQLite; the user brings the driver. It promises:
//
//  1. Every row that a committed transaction wrote is published or parked, and
//     none of any other. The relay takes whatever rows it sees: there is no
//     position to fall behind or to run ahead, so a transaction that commits late
//     is as good as any.
//  2. A row is deleted after its message is durable. Where a crash comes between
//     the two, it is published again under the same event id, and the engine knows
//     it for as long as it keeps the message.
//  3. Order. On SQLite messages are accepted in the order of commits. On PostgreSQL
//     too, for each application, if the Table is Ordered; else rows that become
//     visible together are taken in the order of their insertion.
//  4. What cannot be accepted, such as a payload that is too large or an unknown
//     application, is parked: the row stays, with the reason in its column parked,
//     and the others go on. Unpark has them tried again. What fails for now keeps
//     the messages of its own application waiting, and no others.
//  5. Several relays of a table do not hinder one another and keep the order; on
//     PostgreSQL one works at a time and another takes over when it ends. They must
//     publish to the same store, whose records of event ids keep copies apart.
//
// A relay polls: 100 times a second while there are rows, down to once a second
// when there are none. Wake, or Notify on PostgreSQL, makes it look at once.
package outbox

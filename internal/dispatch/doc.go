// Package dispatch decides which delivery is tried next. There is a dispatcher for
// each journal that a node holds. In it every endpoint with recent work has a lane: a
// short queue in memory, and a place in a rotation that is fair over applications,
// then over endpoints. What does not fit into memory is covered by a behind row and
// read back from the store; what failed waits in rows and is read when due. An
// in-flight limit that adapts is one for all of an endpoint's lanes.
//
// Promises, each held by a test:
//
//  1. A delivery is in its lane's set from queueing until its settle is synced,
//     and a delivery in the set is never queued a second time.
//  2. An attempt starts only from a claim whose row, if it came from one, is
//     the very row that is stored.
//  3. Low never passes a delivery that nothing else covers: each delivery in
//     memory counts at its position until a batch holds its settle, or a
//     behind row that covers it.
//  4. A behind row is removed only by a batch whose Low counts all that it
//     covered.
//  5. What was read from the store is queued only if nothing happened to the
//     delivery since the read began (the lane's touched set).
//  6. An attempt starts only while the journal's lease has time left, and within
//     this dispatcher's share of its endpoint's rate.
//  7. A batch that is refused and amended keeps to all of these: Low goes back
//     to before it, and Close has the last word.
//
// The dispatchers of a node share its places, its room in memory, whose turn it is
// and what is known of endpoints (pool.go). All state of all is under one mutex, held
// for short and never while waiting. Build
// methods run on the committer's goroutine, attempts on workers, reads from the
// store on refillers.
package dispatch

// Package bench is `postern bench`: reproducible load on the machine at hand, and
// the judge of every change to the hot path.
//
// A run names a fixture (how many endpoints, how they behave), a load shape and
// what it is compared with; one that is no steady load has a scenario, a function
// over the same processes. [Run] measures each one several times, interleaved,
// so that a noisy neighbour hurts all subjects alike. The parties are separate
// processes of the same binary, but for one, pinned to the same two cores:
//
//   - server: `postern serve`, the system under test; only its CPU time counts
//   - floor: the least that could do the job with net/http: receive, group-committed
//     fsynced log, forward; nothing else. Bars are ratios to it, as absolute
//     figures move with the machine
//   - before: the server of another build, where one is named; it has the same load
//     and receiver in the same rounds, and the server is held against it
//   - load: publishes over raw connections, to leave the cores to the subject
//   - receiver: answers as told, and knows every sequence number it has seen
//
// What a figure means:
//
//  1. A message counts as accepted when its 2xx was read, and as delivered when its
//     bytes reached the receiver. Lost is accepted and never delivered; duplicate is
//     any arrival of a sequence number after its first.
//  2. CPU is user and system time of the subject's process, from the first measured
//     publish until everything is delivered and background work is quiet.
//  3. Ack latency of an open loop runs from the intended send time, so that a stall
//     counts for everybody whom it made wait.
//  4. What a switched endpoint turns away has not arrived, and its retry is no
//     duplicate; nor is that of a neighbour which hangs longer than a delivery may.
//  5. Memory is the resident size, after as many scrapes as make the server collect
//     its garbage: nothing else makes one collect that has nothing to do.
//     It is in MB of a million bytes, as the promises are; what a store holds is in MiB.
//  6. A filled store holds delivered messages, or retries that are not due for hours:
//     what waits is to cost nothing, while what comes due would be work of its own. It
//     is made once. Measurements start on copies, which share the tables that are
//     never changed, and take turns with those on the empty store; no figure may be
//     worse by more than a fifth than there.
//  7. Times of different processes are compared on the machine's monotonic clock.
//  8. Foreign CPU is what the cores did meanwhile for anybody else. Where it is over a
//     tenth in any round, believe no latency; CPU per delivery suffers less.
//  9. A page takes from its request to the last byte of its answer, asked for by one
//     client over a connection that is kept, from a server that was started anew on
//     the store. A tail takes until the first event, or the first id, that it waits for.
//  10. On a database the CPU is that of the server and of all processes of the
//     database's server, those that ended among them: it must have nothing else to do.
//     A window begins behind a checkpoint and ends behind one, so that all that was
//     put off is counted, and no vacuum is under way at either end. A filled store is
//     vacuumed before it is copied. A soak's CPU and that of a rest are the server's
//     alone.
//  11. Nodes are servers that share a database, each with a publisher's turn of the
//     same load. Their CPU and counters are added up; peak memory is the first one's.
//     The share of each is that of the attempts that it has stored. Where nodes come
//     and go publishers act as a load balancer would have them: they take addresses in
//     turn, leave out those that are down, and repeat what has an unknown outcome.
//
// Role processes read commands as JSON lines from stdin, answer on stdout, and end
// when stdin does: none outlives the coordinator.
package bench

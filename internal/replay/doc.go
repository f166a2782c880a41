// Package replay delivers messages of the past once more. One goroutine walks
// all replays that run, in turns: it reads a few of the messages that a replay
// chooses, and hands them to Start as one slice, with the record that the
// replay has afterwards. What it promises:
//
//  1. Rows of a slice and the cursor behind it are one batch. After a crash a
//     replay goes on where its last durable slice ended: no delivery is missing,
//     and none is started twice. Of several nodes that holds for the messages of
//     the journal that the record is in; those of others are started before, and
//     Start is told when it may have been so far already, by whichever node.
//  2. A replay with a rate starts no more than that per second, in pieces of a
//     twentieth, and no burst after a restart or a pause: nothing is saved up.
//  3. The range of a replay is fixed when it is created. What was acknowledged
//     before is in it, and it ends.
//  4. Pause, resume and cancel are durable when they return, and no slice comes
//     after the first and the last.
//
// Of several nodes the one that leads walks, and the records are everybody's: each
// node is told with Learned what others have stored. Leadership may move at any
// moment, and then two nodes can be in the same replay for the length of a step or
// of what they believe. Hence:
//
//  5. Whoever begins to lead goes on from what is stored. What two nodes have
//     stored side by side is joined to the further cursor, so that nothing is left
//     out; a slice that both had may be started twice, as far as its deliveries
//     still stand as they were chosen.
//  6. Cancel and pause hold over such a slice: who set the state, while it leads,
//     stores it once more, and any node that knows of an end does.
//
// Expunging all of an application's messages is the same walk: it can take as
// long, and has to survive as much. Nothing is lost by expunging twice, so that
// it stores its cursor after the fact. Asked for anew, one that is under way goes
// further, up to what was acknowledged since.
//
// A replay to an endpoint that is paused or disabled waits, since what would be
// due meanwhile would come in one burst later.
package replay

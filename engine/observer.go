package engine

import (
	"time"

	"github.com/postern-dev/postern"
)

// Observer is told what happens, as it happens. Nil functions are not called.
// They are called on the engine's own goroutines, by several at once: they must
// not block, and must not keep what they are given.
type Observer struct {
	// Accepted is told of each message once it is durable.
	Accepted func(m *postern.Message)
	// Duplicate is told of a second copy that was recognised, Refused of an
	// inbound request that did not verify, with the reason's word, which is of
	// a closed set.
	Duplicate func()
	Refused   func(reason string)
	// Handshake is told of each handshake with a provider that was answered, by
	// its kind: echo, compute, fixed, consent, confirm, store.
	Handshake func(kind string)
	// Attempted is told of each attempt once it is durable.
	Attempted func(a *postern.Attempt)
	// OwnFault is told of each try that is no attempt because of a fault on our
	// own side, with its name: descriptors, memory, ports, route, resolver,
	// proxy.
	OwnFault func(fault string)
	// Ended is told of each delivery that ended without an attempt: expired,
	// canceled, or its endpoint deleted.
	Ended func(reason postern.Reason)
	// Committed is told of each durable batch.
	Committed func(b Batch)
	// Answered is told of each API request: its operation's name, of a closed
	// set, the HTTP status and the time it took.
	Answered func(operation string, status int, took time.Duration)
}

// Batch describes one durable batch: what it held, and how long the store took
// to commit it, the fsync included.
type Batch struct {
	Accepts, Settles, Commands int
	Commit                     time.Duration
}

// Stats is the state of an engine at one moment.
type Stats struct {
	// Lanes is the number of endpoints with recent work; LanesBehind how many
	// of them are read back from the store, and WentBehind how often one began
	// to be, since the start.
	Lanes, LanesBehind int
	WentBehind         uint64
	// LanesFailing counts lanes whose endpoint has failed repeatedly without a
	// success, LanesProbing those that only probes are sent to.
	LanesFailing, LanesProbing int
	// InFlight counts attempts under way, Queued deliveries that wait in memory,
	// QueuedBytes their payloads.
	InFlight, Queued, QueuedBytes int
	// Rows counts deliveries that wait for a retry or were resent.
	Rows int64
	// OldestWaiting is the age of the oldest delivery that waits for its first
	// try; 0 when none waits.
	OldestWaiting time.Duration
	// Leased counts deliveries that consumers of pull endpoints hold.
	Leased int
	// Unattended counts handlers that are stored and have no function in this
	// program, nor at another node: their deliveries wait.
	Unattended int
	// ListenersDropped counts messages that buffered listeners had no room for,
	// since the start.
	ListenersDropped uint64
	// Store has the store's figures, in bytes and counts; see store.Usage.
	Store Usage
}

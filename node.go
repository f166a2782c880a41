package postern

import "time"

// Node is a server among those that share a store; one that has its store alone is
// its only node.
type Node struct {
	// Name is what its operator calls it, else the host's name and the process's
	// number. Two may have the same.
	Name string
	// Since is when it took its journal.
	Since time.Time
	// ExpiresAt is until when its journals are its own unless it says a word; zero
	// where nobody else could take them.
	ExpiresAt time.Time
	// Live: its lease holds. One that does not live has journals that nobody has
	// taken yet.
	Live bool
	// Leads: what one node is enough for is this one's to do.
	Leads bool
	// Self: it is the one that was asked.
	Self bool
	// Journals are what it holds, by number.
	Journals []JournalLease
}

// JournalLease is a journal that a node holds: the deliveries of all messages that
// were accepted with it are the node's.
type JournalLease struct {
	// Number is part of the ids of its messages.
	Number uint16
	// Main: the node accepts messages with it. Others it has adopted.
	Main bool
	// Idle: nothing of it is left to be delivered.
	Idle bool
}

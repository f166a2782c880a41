package postern

import "time"

// Backup is a copy of a store as of one moment, in a folder that a server made.
type Backup struct {
	// Directory is its path on the server's machine.
	Directory string
	// Bytes is what its files come to. Those that the store has as well may take
	// their place on the disk once.
	Bytes int64
	// Files counts them.
	Files int
	// KeyRing: the ring that opens the store's secrets lies beside them, and the
	// backup is as secret as the store's folder. Without it they are lost unless the
	// ring is kept elsewhere.
	KeyRing bool
	// CreatedAt is when it was complete. All that was acknowledged before it was
	// asked for is in it.
	CreatedAt time.Time
}

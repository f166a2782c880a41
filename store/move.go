package store

import (
	"context"
	"time"
)

// Mover reads a store whole, and writes one whole: for moving to another driver
// or folder, and for proving that two hold the same. Both take that nobody else
// writes meanwhile.
type Mover interface {
	// Export calls fn for chunks of everything that is stored, of one moment, the
	// catalogue first, with the cursor to go on behind each. A cursor stays good for
	// as long as the store is not written to. The last chunk holds the head alone and
	// has no cursor. A chunk is fn's, to change as well, until it returns.
	Export(ctx context.Context, q ExportQuery, fn func(b *Batch, next Cursor) error) error
	// Import stores a chunk as it is: history and positions directly, not through
	// the rules of Commit. A chunk that comes twice changes nothing. The first one
	// asks for an empty store, else the error is of kind Conflict; the one whose
	// progress has no cursor is the last, and brings the head.
	//
	// Until then the store is half of one: Head and Commit refuse, with an error of
	// kind Conflict, and so nobody serves from it.
	Import(ctx context.Context, b *Batch, p Progress) error
	// Moved is what came with the last chunk that was imported; false for a store
	// that no move is under way into.
	Moved(ctx context.Context) (Progress, bool, error)
}

// Cursor is a place in an export, in its driver's terms; nil for the start.
type Cursor []byte

// ExportQuery asks for what a store holds.
type ExportQuery struct {
	// After is where to go on.
	After Cursor
	// Records and Bytes bound a chunk, which ends behind the record that reaches
	// one of them; both required.
	Records, Bytes int
}

// Progress is where a move stands. It is stored in the target with each chunk.
type Progress struct {
	// Source is the head of the store that is moved, which tells it from others,
	// and from itself with another batch.
	Source Head
	// Begun is when the move began, in its first run.
	Begun time.Time
	// Next is where the export goes on; nil with the last chunk.
	Next Cursor
}

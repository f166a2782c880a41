package replay

import (
	"context"
	"time"

	"github.com/postern-dev/postern"
)

// expunge takes an expunging over a few messages, and returns when it wants the
// next.
func (r *Runner) expunge(ctx context.Context, e *entry, record *postern.Replay) time.Duration {
	begun := time.Now()
	found, err := r.pick(ctx, record, record.Cursor, sliceSize)
	if err == nil && len(found.messages) > 0 {
		err = r.cfg.Expunge(ctx, record.Application, found.messages)
	}
	if err == nil {
		err = r.expunged(ctx, e, record, found)
	}
	return r.after(record, err, min(time.Since(begun), longestRest))
}

// expunged stores how far an expunging is. One that was asked for anew meanwhile
// has not come to its end, even where that is of the same moment: messages may
// have come since.
func (r *Runner) expunged(ctx context.Context, e *entry, picked *postern.Replay, found pick) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	before := r.recordOf(e)
	if before.Cursor != picked.Cursor { // another node was there as well, and has told
		return nil
	}
	if before != picked {
		found.done = false
	}
	record := found.record(before, r.now())
	record.Replayed += int64(len(found.messages))
	return r.commit(ctx, e, before, record)
}

package postgres

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

const findDigest statement = `SELECT application, message, status, answer FROM dedupe
	WHERE scope = $1::text::"char" AND digest = $2::text::uuid AND at_ms >= $3::int8`

// Dedupe implements store.Journal. An event's record holds as long as its message
// does, which goes with its day or with its application.
func (s *Store) Dedupe(ctx context.Context, scope store.Scope, digest store.Digest, since time.Time) (r store.DedupeRecord, found bool, err error) {
	r = store.DedupeRecord{Scope: scope, Digest: digest}
	var app postern.ApplicationNumber
	found, err = s.one(ctx, findDigest, func(row pgx.CollectableRow) error {
		return row.Scan(&app, (*id20)(&r.Message), &r.Status, &r.Answer)
	}, string(rune(scope)), hex.EncodeToString(digest[:]), since.UnixMilli())
	// No message is looked up for that: which are gone is known in memory.
	if scope == store.ScopeEvent && found {
		_, found = s.kept(app, r.Message)
	}
	if !found {
		return store.DedupeRecord{}, false, err
	}
	return r, true, nil
}

// outlived is the time before which dedupe records are too old, in Unix
// milliseconds, where newest is the newest id's. That alone does not tell: a clock that is set
// forth takes it along, and what was recorded just before would be forgotten at
// once. So no more counts than went by since the store was opened; a clock that
// was right to be set has records kept for longer, until the next start.
func (s *Store) outlived(newest int64) int64 {
	elapsed := s.began.Add(time.Since(s.mono)).UnixMilli()
	return min(newest, elapsed) - s.opts.DedupeWindow.Milliseconds()
}

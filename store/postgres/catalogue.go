package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
)

// The kinds of records in the table catalogue. They are stored: a letter keeps its
// meaning for good, and a new kind takes a new one.
const (
	kindApplication = "a"
	kindEndpoint    = "e"
	kindKey         = "k"
	kindReplay      = "r"
	kindSource      = "s"
	kindEventType   = "t"
)

// Load implements store.Catalogue. Applications come first, since theirs is the
// first kind.
func (s *Store) Load(ctx context.Context, fn func(record any) error) error {
	records, err := s.records(ctx)
	if err != nil {
		return s.unread(err)
	}
	for _, record := range records {
		if err := fn(record); err != nil {
			return err
		}
	}
	return nil
}

// records reads the whole catalogue. It is gathered before anybody is called, who
// may take long: a connection is not held for as long as that.
func (s *Store) records(ctx context.Context) ([]any, error) {
	rows, err := s.reads.Query(ctx, "SELECT kind::text, record::text FROM catalogue ORDER BY kind, application, name")
	if err != nil {
		return nil, err
	}
	records, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (any, error) {
		var kind string
		var text []byte
		if err := row.Scan(&kind, &text); err != nil {
			return nil, err
		}
		return decodeRecord(kind, text)
	})
	if err != nil {
		return nil, err
	}
	rows, err = s.reads.Query(ctx, "SELECT "+healthColumns+" FROM health h ORDER BY h.endpoint")
	if err != nil {
		return nil, err
	}
	healths, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (any, error) { return scanHealth(row) })
	return append(records, healths...), err
}

// decodeRecord reads one record. A kind that is not known was written by a newer
// version, which migrations should have kept us from.
func decodeRecord(kind string, text []byte) (any, error) {
	var record any
	switch kind {
	case kindApplication:
		record = &postern.Application{}
	case kindEventType:
		record = &postern.EventType{}
	case kindEndpoint:
		record = &postern.Endpoint{}
	case kindSource:
		record = &postern.Source{}
	case kindKey:
		record = &postern.Key{}
	case kindReplay:
		record = &postern.Replay{}
	default:
		return nil, &postern.Error{Kind: postern.Internal, Detail: fmt.Sprintf("the catalogue holds a record of kind %q", kind)}
	}
	if err := json.Unmarshal(text, record); err != nil {
		return nil, &postern.Error{Kind: postern.Internal, Detail: "the catalogue holds a record that cannot be read", Err: err}
	}
	return record, nil
}

// loadGone reads which history is not to be read.
func (s *Store) loadGone(ctx context.Context) error {
	value, err := s.setting(ctx, "dropped_day")
	if err != nil {
		return err
	}
	for day, known := parseDay(value), s.day.Load(); day > known && !s.day.CompareAndSwap(known, day); known = s.day.Load() {
	}
	rows, err := s.reads.Query(ctx, "SELECT application FROM tombstone")
	if err != nil {
		return err
	}
	var app int64
	_, err = pgx.ForEachRow(rows, []any{&app}, func() error {
		s.deleted.Store(postern.ApplicationNumber(app), true)
		return nil
	})
	return err
}

// parseDay reads the value of 'dropped_day'; 0 for none.
func parseDay(value []byte) (day uint32) {
	if _, err := fmt.Sscan(string(value), &day); err != nil {
		return 0
	}
	return day
}

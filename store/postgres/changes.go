package postgres

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Each batch that changes the catalogue makes a version of it and notes the keys of
// what it changed in catalogue_log, with its author. Whoever reads on takes the
// records as they are by then: of a record that was changed twice there is one.

// The kinds of entries in catalogue_log besides those of records.
const (
	kindDropped = "d"
	kindHealth  = "h"
)

const (
	// logged and loggedFor bound the log: what is beyond either is trimmed now and
	// then. A node that was away for longer reads all anew.
	logged    = 100_000
	loggedFor = time.Hour
)

// readChanges reads versions and entries in one picture; without entries it is one
// row of NULLs. What is deleted has no record.
const readChanges = `SELECT v.seq, v.trimmed, coalesce(l.kind::text, ''), coalesce(l.application, 0), coalesce(encode(l.name, 'hex'), ''), c.record::text,
		coalesce(h.failing_since_us, 0), coalesce(h.disabled, ''), coalesce(h.disabled_at_us, 0), coalesce(h.failures, 0)
	FROM catalogue_version v
	LEFT JOIN (SELECT DISTINCT kind, application, name FROM catalogue_log WHERE seq > $1::int8 AND author <> $2::int8) l ON true
	LEFT JOIN catalogue c ON c.kind = l.kind AND c.application = l.application AND c.name = l.name
	LEFT JOIN health h ON l.kind = 'h' AND h.endpoint = ('x' || encode(l.name, 'hex'))::bit(32)::int8
	ORDER BY l.kind, l.application, l.name`

// changed is an entry with what it is about by now.
type changed struct {
	seq, trimmed uint64
	kind         string
	application  int64
	name         []byte
	record       []byte // nil where there is none any more
	health       postern.Health
}

// Changed implements store.Cluster. What other processes have dropped or deleted is
// not read from then on.
func (s *Store) Changed(ctx context.Context, since uint64, fn func(change any) error) (version uint64, err error) {
	entries, err := s.changes(ctx, since)
	if err != nil {
		return 0, s.unread(err)
	}
	now := entries[0] // in each there is the version
	lost := since < now.trimmed || since > now.seq
	gone := lost
	for i := range entries {
		gone = gone || entries[i].gone()
	}
	if gone {
		if err := s.loadGone(ctx); err != nil {
			return 0, s.unread(err)
		}
		s.wake()
	}
	if lost {
		return 0, &postern.Error{Kind: postern.Conflict, Detail: fmt.Sprintf("what changed after version %d of the catalogue is not known any more, which is at %d", since, now.seq)}
	}
	for i := range entries {
		change, err := entries[i].change()
		if err == nil && change != nil {
			err = fn(change)
		}
		if err != nil {
			return 0, err
		}
	}
	return now.seq, nil
}

// changes reads what others changed; at least one entry, of no kind where there is
// none.
func (s *Store) changes(ctx context.Context, since uint64) ([]changed, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	author := binary.BigEndian.Uint64(s.writer.args.author[:])
	rows, err := s.node.control.Query(ctx, readChanges, int64(since), int64(author))
	if err != nil {
		return nil, err
	}
	entries, err := pgx.CollectRows(rows, scanChanged)
	if err == nil && len(entries) == 0 {
		err = &postern.Error{Kind: postern.Internal, Detail: "the database has no version of the catalogue"}
	}
	return entries, err
}

// scanChanged reads a row of readChanges.
func scanChanged(row pgx.CollectableRow) (c changed, err error) {
	var name string
	var failing, disabled int64
	err = row.Scan(&c.seq, &c.trimmed, &c.kind, &c.application, &name, &c.record, &failing, &c.health.Disabled, &disabled, &c.health.Failures)
	if err != nil {
		return c, err
	}
	c.health.FailingSince, c.health.DisabledAt = microseconds(failing), microseconds(disabled)
	c.name, err = hex.DecodeString(name)
	return c, err
}

// gone reports an entry that takes history with it.
func (c *changed) gone() bool {
	return c.kind == kindDropped || c.kind == kindApplication && c.record == nil
}

// change is what the entry says to who keeps the catalogue; nil for nothing.
func (c *changed) change() (any, error) {
	switch {
	case c.kind == "" || c.kind == kindDropped:
		return nil, nil
	case c.kind == kindHealth:
		return store.HealthChange{Endpoint: c.endpoint(), Health: c.health}, nil
	case c.record == nil:
		return c.deletion()
	}
	record, err := decodeRecord(c.kind, c.record)
	return store.Change{Put: record}, err
}

// deletion is that of a record of which no more is known than its key.
func (c *changed) deletion() (any, error) {
	app := postern.ApplicationNumber(c.application)
	var id [20]byte
	copy(id[:], c.name)
	switch c.kind {
	case kindApplication:
		return store.Change{Delete: &postern.Application{Number: app}}, nil
	case kindEventType:
		return store.Change{Delete: &postern.EventType{Name: string(c.name)}}, nil
	case kindEndpoint:
		return store.Change{Delete: &postern.Endpoint{Number: c.endpoint(), Application: app}}, nil
	case kindSource:
		return store.Change{Delete: &postern.Source{ID: id, Application: app}}, nil
	case kindKey:
		return store.Change{Delete: &postern.Key{ID: id, Application: app}}, nil
	case kindReplay:
		return store.Change{Delete: &postern.Replay{ID: id, Application: app}}, nil
	default:
		return nil, &postern.Error{Kind: postern.Internal, Detail: fmt.Sprintf("the catalogue's log holds an entry of kind %q", c.kind)}
	}
}

// endpoint is the number that an entry is of.
func (c *changed) endpoint() postern.EndpointNumber {
	var number [4]byte
	copy(number[:], c.name)
	return postern.EndpointNumber(binary.BigEndian.Uint32(number[:]))
}

// trimLog forgets entries that are old, or too many.
func (s *Store) trimLog(ctx context.Context) error {
	_, err := s.reads.Exec(ctx, "SELECT postern_trim($1::int8, $2::int8)", int64(logged), loggedFor.Milliseconds())
	return err
}

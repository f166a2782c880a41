package postgres

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// selectCovered tells of each message, also of those with nothing open, so that it
// is known how far a part came.
const selectCovered statement = `SELECT m.id, ARRAY(SELECT r.endpoint FROM unnest(m.routes) AS r (endpoint) WHERE r.endpoint = ANY ($7::bigint[]) AND ` + openRoutes + `)
	FROM message m WHERE m.application = $1::bigint AND m.day BETWEEN $2::int AND $3::int AND m.id >= $4::bytea AND m.id < $5::bytea
		AND m.journal = $6::int
	ORDER BY m.id LIMIT $8::bigint`

// coveredRead is how many messages Covered reads at a time, of a day that may have
// millions.
const coveredRead = 2000

// Covered implements store.Deliveries. Messages of other journals are left to
// their holders' rows.
func (s *Store) Covered(ctx context.Context, rows []store.BehindRow, until store.Day, fn func(d store.DeliveryKey) error) error {
	apps := map[postern.ApplicationNumber]map[postern.EndpointNumber]postern.MessageID{}
	for _, row := range rows {
		if s.gone(row.Application) {
			continue
		}
		if apps[row.Application] == nil {
			apps[row.Application] = map[postern.EndpointNumber]postern.MessageID{}
		}
		apps[row.Application][row.Endpoint] = row.From
	}
	for app, from := range apps {
		if err := s.covered(ctx, app, from, until, fn); err != nil {
			return err
		}
	}
	return nil
}

// covered reads one application's messages once. from is where each endpoint's
// row begins.
func (s *Store) covered(ctx context.Context, app postern.ApplicationNumber, from map[postern.EndpointNumber]postern.MessageID, until store.Day, fn func(d store.DeliveryKey) error) error {
	endpoints := numbers(slices.Collect(maps.Keys(from)))
	lo := [20]byte(slices.MinFunc(slices.Collect(maps.Values(from)), postern.MessageID.Compare))
	hi := firstOf((until + 1).Start().UnixMilli())
	for {
		in := days{first: max(dayOf(lo), int64(s.dropped())+1), last: int64(until)}
		if in.empty() {
			return nil
		}
		read, found := 0, make([]store.DeliveryKey, 0, 16)
		err := s.each(ctx, selectCovered, func(r pgx.CollectableRow) error {
			var id postern.MessageID
			var open []postern.EndpointNumber
			err := r.Scan((*id20)(&id), &open)
			for _, e := range open {
				if id.Compare(from[e]) >= 0 { // the parts begin with the earliest row of all
					found = append(found, store.DeliveryKey{Application: app, Endpoint: e, Message: id})
				}
			}
			lo, read = following(id), read+1
			return err
		}, int64(app), in.first, in.last, lo[:], hi[:], s.journal(), endpoints, int64(coveredRead))
		if err != nil {
			return err
		}
		for _, d := range found {
			if err := fn(d); err != nil {
				return err
			}
		}
		if read < coveredRead {
			return nil
		}
	}
}

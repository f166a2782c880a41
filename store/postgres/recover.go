package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
)

// openRoutes are the routes r of a message m that nobody ended and that have no
// row. What ended is read once for all routes of a message; a subquery, and not
// a join, goes by the message whatever the planner believes of sizes.
const openRoutes = `NOT r.endpoint = ANY (ARRAY(SELECT a.endpoint FROM attempt a
			WHERE a.application = m.application AND a.message = m.id AND a.day = m.day AND a.day >= $2::int AND a.state >= 3))
		AND NOT r.endpoint = ANY (ARRAY(SELECT f.endpoint FROM final f
			WHERE f.application = m.application AND f.message = m.id AND f.day = m.day AND f.day >= $2::int))
		AND (SELECT true FROM delivery d WHERE d.endpoint = r.endpoint AND d.message = m.id) IS NULL`

// selectJournal goes by position over all partitions: a position does not tell its
// day.
const selectJournal statement = `SELECT ` + messageColumns + `, ARRAY(SELECT r.endpoint FROM unnest(m.routes) AS r (endpoint) WHERE ` + openRoutes + `)
	FROM message m WHERE m.journal = $1::int AND m.day >= $2::int AND m.position >= $3::bigint AND m.position < $4::bigint
	ORDER BY m.position LIMIT $5::bigint`

// selectNext is where the journal ends: the position behind the last one that is
// committed.
const selectNext statement = `SELECT h.next FROM head h WHERE h.journal = $1::int`

// journalRead is how many messages Recover reads at a time: 8 ms' worth, of two
// routes each.
const journalRead = 1000

// Recover implements store.Deliveries. It ends with what was committed when it
// began, and tells what is open when it reads it. Positions whose message is
// gone, with its day or its application, are passed over.
func (s *Store) Recover(ctx context.Context, from uint64, fn func(m *postern.Message, open []postern.EndpointNumber) error) error {
	var end int64
	found, err := s.one(ctx, selectNext, func(r pgx.CollectableRow) error { return r.Scan(&end) }, s.journal())
	if err != nil || !found {
		return err
	}
	// What was read is told once the connection is given back: who is told may
	// well read for itself.
	type entry struct {
		message *postern.Message
		open    []postern.EndpointNumber
	}
	for {
		list := make([]entry, 0, 16)
		err := s.each(ctx, selectJournal, func(r pgx.CollectableRow) (err error) {
			var e entry
			e.message, err = scanMessage(r, &e.open)
			list = append(list, e)
			return err
		}, s.journal(), int64(s.dropped())+1, int64(from), end, int64(journalRead))
		if err != nil {
			return err
		}
		for _, e := range list {
			from = e.message.ID.Position() + 1
			if s.gone(e.message.Application) {
				continue
			}
			slices.Sort(e.open) // a message's routes are in order, a result's are not
			if err := fn(e.message, e.open); err != nil {
				return err
			}
		}
		if len(list) < journalRead {
			return nil
		}
	}
}

package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// selectEdge is the first message that a scan does not look at. It counts what an
// index holds, and costs a fraction of reading it.
const selectEdge statement = `SELECT m.id FROM message m
	WHERE m.application = $1::bigint AND m.day >= $2::int AND m.id >= $3::bytea ORDER BY m.id OFFSET $4::bigint LIMIT 1`

// selectScan is what of a scan's messages is open. A final record or a row is
// looked up by subqueries, one message at a time: of joins the planner would make
// one pass over all that the endpoint ever had, where it takes tables for small.
const selectScan statement = `SELECT ` + messageColumns + ` FROM message m
	WHERE m.application = $1::bigint AND m.day BETWEEN $2::int AND $3::int AND m.id >= $4::bytea AND m.id < $5::bytea
		AND m.journal = $6::int AND m.position < $7::bigint AND $8::bigint = ANY (m.routes)
		AND (SELECT true FROM attempt a WHERE a.application = m.application
			AND (a.message, a.endpoint) >= (m.id, $8::bigint) AND (a.message, a.endpoint) <= (m.id, $8::bigint)
			AND a.day = m.day AND a.day BETWEEN $2::int AND $3::int AND a.state >= 3 LIMIT 1) IS NULL
		AND (SELECT true FROM final f WHERE f.application = m.application AND f.message = m.id AND f.endpoint = $8::bigint
			AND f.day = m.day AND f.day BETWEEN $2::int AND $3::int) IS NULL
		AND (SELECT true FROM delivery d WHERE d.endpoint = $8::bigint AND d.message = m.id) IS NULL
	ORDER BY m.id LIMIT $9::bigint`

// Scan implements store.Deliveries: first how far it looks, then what is there.
// Messages that come between the two are behind both. Those of other journals
// count as looked at and are never returned: they belong to their holder, and
// their positions say nothing here.
func (s *Store) Scan(ctx context.Context, q store.ScanQuery) (result store.ScanResult, err error) {
	result.Next = q.From
	in := s.days(q.From, [20]byte([]byte(maxID)))
	if result.Done = s.gone(q.Application) || in.empty(); result.Done {
		return result, nil
	}
	edge := postern.MessageID([]byte(maxID))
	more, err := s.one(ctx, selectEdge, func(r pgx.CollectableRow) error { return r.Scan((*id20)(&edge)) },
		int64(q.Application), in.first, q.From[:], int64(q.Examine))
	if err != nil {
		return result, err
	}
	err = s.each(ctx, selectScan, func(r pgx.CollectableRow) error {
		m, err := scanMessage(r)
		result.Messages = append(result.Messages, m)
		return err
	}, int64(q.Application), in.first, dayOf(edge), q.From[:], edge[:],
		s.journal(), int64(q.Before), int64(q.Endpoint), int64(q.Limit))
	if n := len(result.Messages); n > 0 && n >= q.Limit {
		// Full: what lies between here and the edge is for the next call.
		result.Next = following(result.Messages[n-1].ID)
		return result, err
	}
	result.Next = edge
	result.Done = !more || (edge.Journal() == s.opts.Journal && edge.Position() >= q.Before)
	return result, err
}

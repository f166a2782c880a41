package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// selectDue compares next try and message at once, so that it begins exactly
// behind the cursor, however many rows are due at the same moment.
const selectDue statement = `SELECT ` + rowColumns + ` FROM delivery d
	WHERE d.journal = $1::int AND d.endpoint = $2::bigint AND (d.next_ms, d.message) > ($3::bigint, $4::bytea)
	ORDER BY d.next_ms, d.message LIMIT $5::bigint`

// Due implements store.Deliveries. Rows of other journals wait for their holder,
// and are not seen; the same goes for Schedules and Behind.
func (s *Store) Due(ctx context.Context, endpoint postern.EndpointNumber, after store.DueCursor, limit int) (rows []postern.Row, err error) {
	var next int64
	if !after.Next.IsZero() {
		next = after.Next.UnixMilli()
	}
	err = s.each(ctx, selectDue, func(r pgx.CollectableRow) error {
		row, err := scanRow(r)
		rows = append(rows, row)
		return err
	}, s.journal(), int64(endpoint), next, after.Message[:], int64(limit))
	return rows, err
}

// selectSchedules goes from endpoint to endpoint, a search for each, however
// many rows each has.
const selectSchedules statement = `WITH RECURSIVE first AS (
		(SELECT ` + rowColumns + ` FROM delivery d WHERE d.journal = $1::int AND d.endpoint > $2::bigint
			ORDER BY d.endpoint, d.next_ms, d.message LIMIT 1)
		UNION ALL
		SELECT later.* FROM first CROSS JOIN LATERAL (
			SELECT ` + rowColumns + ` FROM delivery d WHERE d.journal = $1::int AND d.endpoint > first.endpoint
			ORDER BY d.endpoint, d.next_ms, d.message LIMIT 1) later
	)
	SELECT ` + rowColumns + ` FROM first d LIMIT $3::bigint`

// schedulesRead is how many endpoints Schedules reads at a time. Here and elsewhere,
// what can be long is read in parts, each a statement of its own: who is told
// never holds a connection, nor the picture of the database that it began with,
// which would keep vacuum from its work.
const schedulesRead = 1000

// Schedules implements store.Deliveries. What changes meanwhile is told as it was
// or as it is: timers are set by it, and rows are read again when they fire.
func (s *Store) Schedules(ctx context.Context, fn func(first postern.Row) error) error {
	var last postern.EndpointNumber
	for {
		rows := make([]postern.Row, 0, 16)
		err := s.each(ctx, selectSchedules, func(r pgx.CollectableRow) error {
			row, err := scanRow(r)
			rows = append(rows, row)
			return err
		}, s.journal(), int64(last), int64(schedulesRead))
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := fn(row); err != nil {
				return err
			}
			last = row.Endpoint
		}
		if len(rows) < schedulesRead {
			return nil
		}
	}
}

// selectBehind needs no bound: there is at most one row for an endpoint.
const selectBehind statement = `SELECT b.endpoint, b.application, b.from_id FROM behind b WHERE b.journal = $1::int ORDER BY b.endpoint`

// Behind implements store.Deliveries.
func (s *Store) Behind(ctx context.Context) (rows []store.BehindRow, err error) {
	err = s.each(ctx, selectBehind, func(r pgx.CollectableRow) error {
		var row store.BehindRow
		err := r.Scan(&row.Endpoint, &row.Application, (*id20)(&row.From))
		rows = append(rows, row)
		return err
	}, s.journal())
	return rows, err
}

// waitingRows has no days: rows are of no partition, and outlive their message.
const waitingRows = `SELECT ` + rowColumns + ` FROM delivery d
	WHERE d.endpoint = $1::bigint AND d.message >= $2::bytea AND d.message < $3::bytea AND d.application = $4::bigint
	ORDER BY d.message `

const (
	selectWaitingOldest statement = waitingRows + `LIMIT $5::bigint`
	selectWaitingNewest statement = waitingRows + `DESC LIMIT $5::bigint`
)

// Waiting implements store.Outcomes. An endpoint belongs to one application: asked
// by another one, its rows are read and left out.
func (s *Store) Waiting(ctx context.Context, app postern.ApplicationNumber, endpoint postern.EndpointNumber, p store.Page) (page store.RowPage, err error) {
	lo, hi := window(p)
	q := selectWaitingNewest
	if p.Ascending {
		q = selectWaitingOldest
	}
	err = s.each(ctx, q, func(r pgx.CollectableRow) error {
		row, err := scanRow(r)
		page.Rows = append(page.Rows, row)
		return err
	}, int64(endpoint), lo[:], hi[:], int64(app), int64(p.Limit)+1)
	page.Rows, page.Next, page.Done = cut(page.Rows, p.Limit, func(r postern.Row) [20]byte { return r.Message })
	return page, err
}

// selectOutcomes walks the index of the endpoint's attempts over all partitions
// at once, the newest first, and reads no response.
const selectOutcomes statement = `SELECT a.id, a.succeeded, a.state, a.total_ns FROM attempt a
	WHERE a.endpoint = $1::bigint AND a.day BETWEEN $2::int AND $3::int AND a.id >= $4::bytea AND a.id < $5::bytea
	ORDER BY a.id DESC LIMIT $6::bigint`

// outcomesRead is how many attempts EachOutcome reads at a time.
const outcomesRead = 2000

// EachOutcome implements store.Outcomes. An attempt lies with its message, which
// may be older by as much as history is kept.
func (s *Store) EachOutcome(ctx context.Context, endpoint postern.EndpointNumber, since, until time.Time, fn func(store.Outcome) bool) error {
	lo, hi := window(store.Page{Since: since, Until: until})
	for { // hi comes down to the last one that was read
		in := s.days([20]byte{}, hi)
		if in.empty() {
			return nil
		}
		list := make([]store.Outcome, 0, 16)
		err := s.each(ctx, selectOutcomes, func(r pgx.CollectableRow) error {
			var o store.Outcome
			err := r.Scan((*id20)(&hi), &o.Succeeded, &o.State, (*int64)(&o.Took))
			o.At = postern.AttemptID(hi).Time()
			list = append(list, o)
			return err
		}, int64(endpoint), in.first, in.last, lo[:], hi[:], int64(outcomesRead))
		if err != nil {
			return err
		}
		for _, o := range list {
			if !fn(o) {
				return nil
			}
		}
		if len(list) < outcomesRead {
			return nil
		}
	}
}

package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// selectFinals has a row for a message without a final record, too: none means
// that there is no message.
const selectFinals statement = `SELECT COALESCE(f.endpoint, 0), COALESCE(f.state, 0), COALESCE(f.reason, ''),
		COALESCE(f.attempts, 0), COALESCE(f.at_us, 0)
	FROM message m LEFT JOIN final f ON f.application = m.application AND f.message = m.id AND f.day = $3::int
	WHERE m.application = $1::bigint AND m.id = $2::bytea AND m.day = $3::int`

// selectAttempts goes on behind an endpoint's n-th attempt.
const selectAttempts statement = `SELECT ` + attemptColumns + ` FROM attempt a
	WHERE a.application = $1::bigint AND a.message = $2::bytea AND a.day = $3::int AND (a.endpoint, a.n) > ($4::bigint, $5::bigint)
	ORDER BY a.endpoint, a.n LIMIT $6::bigint`

// attemptsRead is how many attempts EachAttempt reads at a time: with their
// responses they may come to 20 kB each.
const attemptsRead = 100

// EachAttempt implements store.History. The final records are read first: what
// comes meanwhile can show an attempt that they do not know of, as it would a
// moment later.
func (s *Store) EachAttempt(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID, fn func(*postern.Attempt) bool) ([]postern.Final, error) {
	finals, day, err := s.finals(ctx, app, id)
	if err != nil {
		return nil, err
	}
	var last postern.Attempt // the one told last; the zero one is before all
	for {
		list := make([]*postern.Attempt, 0, 4)
		err := s.each(ctx, selectAttempts, func(r pgx.CollectableRow) error {
			a, err := scanAttempt(r)
			list = append(list, a)
			return err
		}, int64(app), id[:], day, int64(last.Endpoint), int64(last.N), int64(attemptsRead))
		if err != nil {
			return nil, err
		}
		for _, a := range list {
			if last = *a; !fn(a) {
				return before(finals, last.Endpoint), nil
			}
		}
		if len(list) < attemptsRead {
			return finals, nil
		}
	}
}

// finals are a message's final records by endpoint, and its day.
func (s *Store) finals(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID) (finals []postern.Final, day int64, err error) {
	day, ok := s.kept(app, id)
	if !ok {
		return nil, 0, postern.ErrNotFound
	}
	found, err := s.one(ctx, selectFinals, func(r pgx.CollectableRow) error {
		f := postern.Final{Application: app, Message: id}
		var at int64
		if err := r.Scan(&f.Endpoint, &f.State, &f.Reason, &f.Attempts, &at); err != nil || f.Endpoint == 0 {
			return err
		}
		f.At = microseconds(at)
		finals = append(finals, f)
		return nil
	}, int64(app), id[:], day)
	if err == nil && !found {
		err = postern.ErrNotFound
	}
	slices.SortFunc(finals, func(a, b postern.Final) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	return finals, day, err
}

// before are the final records of endpoints that a reader is done with.
func before(finals []postern.Final, endpoint postern.EndpointNumber) []postern.Final {
	for i, f := range finals {
		if f.Endpoint >= endpoint {
			return finals[:i]
		}
	}
	return finals
}

// The list of an endpoint's attempts is a walk as that of messages is: see there.
// The window is of all days up to that of its newest attempt.
const (
	attemptsWindow = `SELECT ` + attemptColumns + `, a.seen, a.selected FROM (SELECT a.*,
			a.application = $7::bigint
			AND ($8::boolean IS NULL OR a.succeeded = $8::boolean)
			AND ($9::int IS NULL OR a.code / 100 = $9::int)
			AND (NOT $10::boolean OR (
				SELECT ($11::text[] IS NULL OR m.event_type = ANY ($11::text[]))
					AND ($12::text = '' OR COALESCE($12::text = ANY (m.channels), false))
					AND ($13::text = '' OR COALESCE($13::text = ANY (m.tags), false))
				FROM message m WHERE m.application = a.application AND m.id = a.message AND m.day = a.day
					AND m.day BETWEEN $2::int AND $3::int) IS TRUE) AS selected,
			row_number() OVER (ORDER BY a.id `
	attemptsFrom = `) AS seen FROM attempt a
		WHERE a.endpoint = $1::bigint AND a.day BETWEEN $2::int AND $3::int AND a.id >= $4::bytea AND a.id < $5::bytea
		ORDER BY a.id `
	attemptsPage = ` LIMIT $6::bigint) a WHERE a.selected OR a.seen = $6::bigint ORDER BY a.id `

	selectEndpointAttemptsOldest statement = attemptsWindow + attemptsFrom + attemptsPage + `LIMIT $14::bigint`
	selectEndpointAttemptsNewest statement = attemptsWindow + `DESC` + attemptsFrom + `DESC` + attemptsPage + `DESC LIMIT $14::bigint`
)

// EndpointAttempts implements store.History. An attempt lies with its message,
// which may be older by as much as history is kept.
func (s *Store) EndpointAttempts(ctx context.Context, app postern.ApplicationNumber, endpoint postern.EndpointNumber, f store.AttemptFilter, p store.Page) (page store.AttemptPage, err error) {
	lo, hi := window(p)
	in := s.days([20]byte{}, hi)
	if page.Done = in.empty() || s.gone(app); page.Done {
		return page, nil
	}
	q := selectEndpointAttemptsNewest
	if p.Ascending {
		q = selectEndpointAttemptsOldest
	}
	w := newWalk(p.Limit, f.OfMessages())
	err = s.each(ctx, q, func(r pgx.CollectableRow) error {
		var seen int
		var selected bool
		a, err := scanAttempt(r, &seen, &selected)
		if err == nil && w.take(a.ID, seen, selected) {
			page.Attempts = append(page.Attempts, *a)
		}
		return err
	}, int64(endpoint), in.first, in.last, lo[:], hi[:], int64(w.budget), int64(app),
		f.Succeeded, f.CodeClass, f.OfMessages(), texts(f.EventTypes), clean(f.Channel), clean(f.Tag), int64(p.Limit)+1)
	page.Next, page.Done = w.next, w.done
	return page, err
}

package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// selectMessage opens one partition alone: a message's id tells its day.
const selectMessage statement = `SELECT ` + messageColumns + ` FROM message m
	WHERE m.application = $1::bigint AND m.id = $2::bytea AND m.day = $3::int`

// Message implements store.History.
func (s *Store) Message(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID) (m *postern.Message, err error) {
	day, ok := s.kept(app, id)
	if !ok {
		return nil, postern.ErrNotFound
	}
	found, err := s.one(ctx, selectMessage, func(r pgx.CollectableRow) (err error) {
		m, err = scanMessage(r)
		return err
	}, int64(app), id[:], day)
	if err == nil && !found {
		err = postern.ErrNotFound
	}
	return m, err
}

const selectContent statement = `SELECT c.payload, c.request FROM content c
	WHERE c.application = $1::bigint AND c.message = $2::bytea AND c.day = $3::int`

// Content implements store.History. An expunged content is not there, though its
// message is.
func (s *Store) Content(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID) (*postern.Content, error) {
	day, ok := s.kept(app, id)
	if !ok {
		return nil, postern.ErrNotFound
	}
	var c postern.Content
	found, err := s.one(ctx, selectContent, func(r pgx.CollectableRow) error {
		var request []byte
		if err := r.Scan(&c.Payload, &request); err != nil {
			return err
		}
		var err error
		c.Request, err = decodeRequest(request)
		return err
	}, int64(app), id[:], day)
	if err == nil && !found {
		err = postern.ErrNotFound
	}
	return &c, err
}

// The lists that are filtered walk an index, number what they see, and stop when
// the page is full or the budget is used up: the innermost LIMIT. What else is
// looked up goes by a subquery, never by a join, which the planner could turn
// round. Attempts of a delivery are looked up by a comparison of rows, which the
// primary key alone can serve: by equations the planner would read all attempts of
// the endpoint where a partition is too young to tell the difference.
const (
	messagesWindow = `SELECT ` + messageColumns + `, m.seen, m.selected FROM (SELECT m.*,
			($7::text[] IS NULL OR m.event_type = ANY ($7::text[]))
			AND ($8::text = '' OR COALESCE($8::text = ANY (m.channels), false))
			AND ($9::text = '' OR COALESCE($9::text = ANY (m.tags), false))
			AND ($10::bigint = 0 OR COALESCE($10::bigint = ANY (m.routes), false) OR (
				SELECT a.n FROM attempt a WHERE ` + attemptKey + ` AND a.n = 1) IS NOT NULL) AS selected,
			row_number() OVER (ORDER BY m.id `
	messagesFrom = `) AS seen FROM message m
		WHERE m.application = $1::bigint AND m.day BETWEEN $2::int AND $3::int AND m.id >= $4::bytea AND m.id < $5::bytea
		ORDER BY m.id `
	messagesPage = ` LIMIT $6::bigint) m WHERE m.selected OR m.seen = $6::bigint ORDER BY m.id `
	attemptKey   = `a.application = m.application AND (a.message, a.endpoint) >= (m.id, $10::bigint) AND (a.message, a.endpoint) <= (m.id, $10::bigint)
					AND a.day = m.day AND a.day BETWEEN $2::int AND $3::int`

	selectMessagesOldest statement = messagesWindow + messagesFrom + messagesPage + `LIMIT $11::bigint`
	selectMessagesNewest statement = messagesWindow + `DESC` + messagesFrom + `DESC` + messagesPage + `DESC LIMIT $11::bigint`
)

// Messages implements store.History. Without a filter a page costs what its entries
// do, and a search in each partition of its window.
func (s *Store) Messages(ctx context.Context, app postern.ApplicationNumber, f store.MessageFilter, p store.Page) (page store.MessagePage, err error) {
	lo, hi := window(p)
	in := s.days(lo, hi)
	if page.Done = in.empty() || s.gone(app); page.Done {
		return page, nil
	}
	q := selectMessagesNewest
	if p.Ascending {
		q = selectMessagesOldest
	}
	w := newWalk(p.Limit, f.Endpoint != 0)
	err = s.each(ctx, q, func(r pgx.CollectableRow) error {
		var seen int
		var selected bool
		m, err := scanMessage(r, &seen, &selected)
		if err == nil && w.take(m.ID, seen, selected) {
			page.Messages = append(page.Messages, m)
		}
		return err
	}, int64(app), in.first, in.last, lo[:], hi[:], int64(w.budget),
		texts(f.EventTypes), clean(f.Channel), clean(f.Tag), int64(f.Endpoint), int64(p.Limit)+1)
	page.Next, page.Done = w.next, w.done
	return page, err
}

// deadDeliveries walks an index that holds nothing else.
const deadDeliveries = `SELECT d.message FROM dead d
	WHERE d.application = $1::bigint AND d.endpoint = $2::bigint AND d.day BETWEEN $3::int AND $4::int
		AND d.message >= $5::bytea AND d.message < $6::bytea
	ORDER BY d.message `

const (
	selectDeadOldest statement = deadDeliveries + `LIMIT $7::bigint`
	selectDeadNewest statement = deadDeliveries + `DESC LIMIT $7::bigint`
)

// Dead implements store.History.
func (s *Store) Dead(ctx context.Context, app postern.ApplicationNumber, endpoint postern.EndpointNumber, p store.Page) (page store.DeadPage, err error) {
	lo, hi := window(p)
	in := s.days(lo, hi)
	if page.Done = in.empty() || s.gone(app); page.Done {
		return page, nil
	}
	q := selectDeadNewest
	if p.Ascending {
		q = selectDeadOldest
	}
	err = s.each(ctx, q, func(r pgx.CollectableRow) error {
		var id postern.MessageID
		err := r.Scan((*id20)(&id))
		page.Messages = append(page.Messages, id)
		return err
	}, int64(app), int64(endpoint), in.first, in.last, lo[:], hi[:], int64(p.Limit)+1)
	page.Messages, page.Next, page.Done = cut(page.Messages, p.Limit, func(id postern.MessageID) [20]byte { return id })
	return page, err
}

// texts are names as a parameter: nil, which is NULL, for none. What PostgreSQL
// does not take for text is cleaned as it was when it was stored: asking for it
// is no error.
func texts(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = clean(name)
	}
	return list
}

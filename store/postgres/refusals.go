package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// refusalColumns are those of a refusal, of a table r, but for its body, which
// lists leave out: it may have megabytes.
const refusalColumns = `r.id, r.source, r.reason, r.detail, r.request, r.content_type, r.truncated, r.credentials`

// scanRefusal reads refusalColumns, and a body that follows them into more.
func scanRefusal(row pgx.CollectableRow, more ...any) (*postern.Refusal, error) {
	var r postern.Refusal
	var request []byte
	err := row.Scan(append([]any{
		(*id20)(&r.ID), (*id20)(&r.Source), &r.Reason, &r.Detail, &request, &r.ContentType, &r.BodyTruncated, (*[]byte)(&r.Credentials),
	}, more...)...)
	if err != nil {
		return nil, err
	}
	decoded, err := decodeRequest(request)
	if decoded != nil {
		r.Request = *decoded
	}
	if more != nil {
		r.Body = *more[0].(*[]byte)
	}
	return &r, err
}

const refusalsOf = `SELECT ` + refusalColumns + ` FROM refusal r
	WHERE r.source = $1::bytea AND r.id >= $2::bytea AND r.id < $3::bytea ORDER BY r.id `

const (
	selectRefusalsOldest statement = refusalsOf + `LIMIT $4::bigint`
	selectRefusalsNewest statement = refusalsOf + `DESC LIMIT $4::bigint`
)

// Refusals implements store.History. A source keeps few, so that there are no
// partitions, and no days.
func (s *Store) Refusals(ctx context.Context, source postern.SourceID, p store.Page) (page store.RefusalPage, err error) {
	lo, hi := window(p)
	q := selectRefusalsNewest
	if p.Ascending {
		q = selectRefusalsOldest
	}
	err = s.each(ctx, q, func(row pgx.CollectableRow) error {
		r, err := scanRefusal(row)
		page.Refusals = append(page.Refusals, r)
		return err
	}, source[:], lo[:], hi[:], int64(p.Limit)+1)
	page.Refusals, page.Next, page.Done = cut(page.Refusals, p.Limit, func(r *postern.Refusal) [20]byte { return r.ID })
	return page, err
}

const selectRefusal statement = `SELECT ` + refusalColumns + `, r.body FROM refusal r WHERE r.source = $1::bytea AND r.id = $2::bytea`

// Refusal implements store.History.
func (s *Store) Refusal(ctx context.Context, source postern.SourceID, id postern.RefusalID) (r *postern.Refusal, err error) {
	found, err := s.one(ctx, selectRefusal, func(row pgx.CollectableRow) (err error) {
		var body []byte
		r, err = scanRefusal(row, &body)
		return err
	}, source[:], id[:])
	if err == nil && !found {
		err = postern.ErrNotFound
	}
	return r, err
}

package embedded

import (
	"bytes"
	"context"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Waiting implements store.Outcomes. Rows have no day before them, so that the
// window is one range of keys.
func (s *Store) Waiting(_ context.Context, app postern.ApplicationNumber, endpoint postern.EndpointNumber, p store.Page) (page store.RowPage, err error) {
	v, err := s.view()
	if err != nil {
		return page, err
	}
	defer v.close(&err)
	it, err := v.keys(endpointKey(nil, kindRow, endpoint)...)
	if err != nil {
		return page, err
	}
	lo, hi := window(p)
	var ok bool
	if p.Ascending {
		ok = it.SeekGE(rowKey(nil, endpoint, lo))
	} else {
		ok = it.SeekLT(rowKey(nil, endpoint, hi))
	}
	for ok {
		id := postern.MessageID(it.Key()[5:])
		if bytes.Compare(id[:], lo[:]) < 0 || bytes.Compare(id[:], hi[:]) >= 0 {
			break
		}
		if len(page.Rows) == p.Limit {
			return page, nil
		}
		row, err := decodeRow(endpoint, id, it.Value())
		if err != nil {
			return page, err
		}
		page.Next = id
		if row.Application == app {
			page.Rows = append(page.Rows, row)
		}
		if p.Ascending {
			ok = it.Next()
		} else {
			ok = it.Prev()
		}
	}
	page.Done = true
	return page, nil
}

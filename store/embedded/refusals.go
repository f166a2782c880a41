package embedded

import (
	"context"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Refusals implements store.History. A source keeps few, so that its list has
// no days.
func (s *Store) Refusals(_ context.Context, source postern.SourceID, p store.Page) (page store.RefusalPage, err error) {
	v, err := s.view()
	if err != nil {
		return page, err
	}
	defer v.close(&err)
	it, err := v.keys(append([]byte{kindRefusal}, source[:]...)...)
	if err != nil {
		return page, err
	}
	lo, hi := window(p)
	seek, step, start := it.SeekLT, it.Prev, hi
	if p.Ascending {
		seek, step, start = it.SeekGE, it.Next, lo
	}
	for ok := seek(refusalKey(nil, kindRefusal, source, start)); ok; ok = step() {
		id := postern.RefusalID(it.Key()[21:])
		if id.Compare(lo) < 0 || id.Compare(hi) >= 0 {
			break
		}
		if len(page.Refusals) == p.Limit {
			return page, nil
		}
		r, err := decodeRefusal(source, id, it.Value())
		if err != nil {
			return page, err
		}
		page.Refusals = append(page.Refusals, r)
		page.Next = id
	}
	page.Done = true
	return page, nil
}

// Refusal implements store.History.
func (s *Store) Refusal(_ context.Context, source postern.SourceID, id postern.RefusalID) (r *postern.Refusal, err error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.close(&err)
	value, err := v.get(refusalKey(nil, kindRefusal, source, id))
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, postern.ErrNotFound
	}
	if r, err = decodeRefusal(source, id, value); err != nil {
		return nil, err
	}
	r.Body, err = v.get(refusalKey(nil, kindRefusalBody, source, id))
	return r, err
}

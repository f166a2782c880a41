package embedded

import (
	"cmp"
	"context"
	"slices"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// fewRows of one endpoint are looked up one by one: an iterator costs as much as
// some look-ups before it has read anything.
const fewRows = 4

// Standings implements store.Outcomes: one walk over headers, attempts and rows in
// the order of ids, where each by itself would search every table that is new.
func (s *Store) Standings(ctx context.Context, app postern.ApplicationNumber, keys []store.Placed) (standings []store.Standing, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.close(&err)
	order := make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(keys[a].Message.Compare(keys[b].Message), cmp.Compare(keys[a].Endpoint, keys[b].Endpoint))
	})
	p, err := v.parade(app, keys, keys[order[0]].Message, keys[order[len(order)-1]].Message)
	if err != nil {
		return nil, err
	}
	standings = make([]store.Standing, len(keys))
	for n, i := range order {
		if n%256 == 255 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if n > 0 && keys[order[n-1]] == keys[i] {
			standings[i] = standings[order[n-1]]
			continue
		}
		if err := p.read(keys[i], &standings[i]); err != nil {
			return nil, err
		}
	}
	return standings, nil
}

// parade is the iterators of a walk over one application's deliveries in the order
// of ids. It belongs to its view.
type parade struct {
	v                 *view
	app               postern.ApplicationNumber
	headers, attempts merge
	rows              map[postern.EndpointNumber]*merge
	buf               [maxKey]byte
}

// parade opens what lies between two messages, both included.
func (v *view) parade(app postern.ApplicationNumber, keys []store.Placed, first, last postern.MessageID) (*parade, error) {
	p := &parade{v: v, app: app, rows: map[postern.EndpointNumber]*merge{}}
	var err error
	if p.headers.it, err = v.between(headerKey(nil, app, first), headerKey(nil, app, last)); err != nil {
		return nil, err
	}
	if p.attempts.it, err = v.between(attemptsKey(nil, app, first), attemptsKey(nil, app, last)); err != nil {
		return nil, err
	}
	count := map[postern.EndpointNumber]int{}
	for _, key := range keys {
		if count[key.Endpoint]++; count[key.Endpoint] != fewRows+1 {
			continue
		}
		it, err := v.between(rowKey(nil, key.Endpoint, first), rowKey(nil, key.Endpoint, last))
		if err != nil {
			return nil, err
		}
		p.rows[key.Endpoint] = &merge{it: it}
	}
	return p, nil
}

// read is Standing for a delivery that does not come before the last one.
func (p *parade) read(key store.Placed, st *store.Standing) error {
	d := store.DeliveryKey{Application: p.app, Endpoint: key.Endpoint, Message: key.Message}
	st.Message = p.headers.to(headerKey(p.buf[:0], p.app, key.Message))
	prefix := deliveryKey(p.buf[:0], d)
	if p.attempts.to(prefix) {
		if err := ending(p.attempts.it, prefix, d, st); err != nil {
			return err
		}
	}
	row := rowKey(p.buf[:0], key.Endpoint, key.Message)
	if rows := p.rows[key.Endpoint]; rows == nil {
		value, err := p.v.get(row)
		if value == nil || err != nil {
			return err
		}
		return waiting(d, value, st)
	} else if rows.to(row) {
		return waiting(d, rows.it.Value(), st)
	}
	return nil
}

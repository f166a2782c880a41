package embedded

import (
	"bytes"
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Covered implements store.Deliveries: one walk over the headers of each
// application that has rows, however many endpoints are behind there. It is asked
// before a day is dropped, for what then ends as expired.
func (s *Store) Covered(ctx context.Context, rows []store.BehindRow, until store.Day, fn func(d store.DeliveryKey) error) (err error) {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.close(&err)
	apps := map[postern.ApplicationNumber]map[postern.EndpointNumber]postern.MessageID{}
	for _, row := range rows {
		if dayOf(row.From) > until {
			continue
		}
		if apps[row.Application] == nil {
			apps[row.Application] = map[postern.EndpointNumber]postern.MessageID{}
		}
		apps[row.Application][row.Endpoint] = row.From
	}
	if len(apps) == 0 {
		return nil
	}
	headers, err := v.keys(kindHeader)
	if err != nil {
		return err
	}
	attempts, err := v.keys(kindAttempt)
	if err != nil {
		return err
	}
	for app, from := range apps {
		c := covered{v: v, app: app, from: from, headers: headers, attempts: merge{it: attempts}}
		if err := c.walk(ctx, until, fn); err != nil {
			return err
		}
	}
	return nil
}

// covered walks one application. from is where each endpoint's row begins. Both
// iterators serve all walks of a call.
type covered struct {
	v        *view
	app      postern.ApplicationNumber
	from     map[postern.EndpointNumber]postern.MessageID
	headers  *pebble.Iterator
	attempts merge
	buf      [maxKey]byte
}

// walk begins with the message that the row furthest behind begins with, and ends
// with the day until.
func (c *covered) walk(ctx context.Context, until store.Day, fn func(d store.DeliveryKey) error) error {
	w := walk{it: c.headers, kind: kindHeader, owner: appendApp(nil, c.app), lo: [20]byte([]byte(maxID))}
	for _, from := range c.from {
		if from.Compare(postern.MessageID(w.lo)) < 0 {
			w.lo = from
		}
	}
	putMillis(&w.hi, (until + 1).Start().UnixMilli())
	looked := 0
	for ok := w.first(); ok; ok = w.next() {
		if looked++; looked%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := c.message(postern.MessageID(w.id()), fn); err != nil {
			return err
		}
	}
	return nil
}

// message looks at those of its routes that have a behind row, without decoding the
// rest of its header.
func (c *covered) message(id postern.MessageID, fn func(d store.DeliveryKey) error) error {
	d := newDecoder(c.headers.Value())
	var route int64
	for range d.count() {
		route += d.varint()
		key := store.DeliveryKey{Application: c.app, Endpoint: postern.EndpointNumber(route), Message: id}
		if from, ok := c.from[key.Endpoint]; !ok || id.Compare(from) < 0 {
			continue
		}
		ended, err := c.settled(key)
		if err != nil {
			return err
		}
		if ended {
			continue
		}
		if err := fn(key); err != nil {
			return err
		}
	}
	return d.err
}

// settled reports whether the delivery has a final record or a row. Attempts are in
// the order of the walk; rows lie by endpoint, of which there are many here, so that
// an iterator beside the walk, as scan has, would go to and fro.
func (c *covered) settled(key store.DeliveryKey) (bool, error) {
	prefix := deliveryKey(c.buf[:0], key)
	if c.attempts.to(prefix) {
		for it := c.attempts.it; it.Valid() && bytes.HasPrefix(it.Key(), prefix); it.Next() {
			if endsDelivery(it.Value()) {
				return true, nil
			}
		}
	}
	return c.v.has(rowKey(c.buf[:0], key.Endpoint, key.Message))
}

package embedded

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Recover implements store.Deliveries. Positions whose message is gone, with
// its day or its application, are passed over.
func (s *Store) Recover(ctx context.Context, from uint64, fn func(m *postern.Message, open []postern.EndpointNumber) error) (err error) {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.close(&err)
	journal, err := v.keys(kindJournal)
	if err != nil {
		return err
	}
	attempts, err := v.keys(kindAttempt)
	if err != nil {
		return err
	}
	var open []postern.EndpointNumber
	for journal.SeekGE(journalKey(nil, from)); journal.Valid(); journal.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		app, id, err := decodeJournal(journal.Value())
		if err != nil {
			return err
		}
		m, err := v.header(app, id)
		if err != nil {
			return err
		}
		if m == nil {
			continue
		}
		if open, err = v.open(attempts, m, open[:0]); err != nil {
			return err
		}
		if err := fn(m, open); err != nil {
			return err
		}
	}
	return nil
}

// decodeJournal reads an application's number and a message's id, which are what a
// position stands for.
func decodeJournal(value []byte) (postern.ApplicationNumber, postern.MessageID, error) {
	if len(value) != 24 {
		return 0, postern.MessageID{}, errCorrupt
	}
	return postern.ApplicationNumber(binary.BigEndian.Uint32(value)), postern.MessageID(value[4:24]), nil
}

// open appends the routes that have neither a final record nor a row. What ended is
// read in one go, since a message's attempts lie together; a row lies with its endpoint's,
// and is looked up.
func (v *view) open(attempts *pebble.Iterator, m *postern.Message, open []postern.EndpointNumber) ([]postern.EndpointNumber, error) {
	var buf [maxKey]byte
	var ended []postern.EndpointNumber
	prefix := attemptsKey(buf[:0], m.Application, m.ID)
	for ok := attempts.SeekGE(prefix); ok && bytes.HasPrefix(attempts.Key(), prefix); ok = attempts.Next() {
		if endsDelivery(attempts.Value()) {
			endpoint, _ := splitAttempt(attempts.Key())
			ended = append(ended, endpoint)
		}
	}
	for _, endpoint := range m.Routes {
		if _, found := slices.BinarySearch(ended, endpoint); found { // keys are in their order
			continue
		}
		row, err := v.has(rowKey(buf[:0], endpoint, m.ID))
		if err != nil {
			return open, err
		}
		if !row {
			open = append(open, endpoint)
		}
	}
	return open, nil
}

// splitAttempt is the end of an attempt's key: endpoint and number, finalN for a
// final record.
func splitAttempt(key []byte) (postern.EndpointNumber, int) {
	tail := key[len(key)-6:]
	return postern.EndpointNumber(binary.BigEndian.Uint32(tail)), int(binary.BigEndian.Uint16(tail[4:]))
}

// Scan implements store.Deliveries.
func (s *Store) Scan(ctx context.Context, q store.ScanQuery) (result store.ScanResult, err error) {
	v, err := s.view()
	if err != nil {
		return result, err
	}
	defer v.close(&err)
	it, err := v.scan(q)
	if err != nil {
		return result, err
	}
	examined := 0
	for ok := it.headers.first(); ok; ok = it.headers.next() {
		id := postern.MessageID(it.headers.id())
		result.Next = id // where to go on: what is not examined here is next time
		if id.Position() >= q.Before {
			break
		}
		if examined == q.Examine || len(result.Messages) == q.Limit {
			return result, nil
		}
		if examined++; examined%256 == 0 && ctx.Err() != nil { // which takes a lock
			return result, ctx.Err()
		}
		value := it.headers.it.Value()
		if !routesTo(value, q.Endpoint) || it.settled(id) {
			continue
		}
		m, err := decodeHeader(q.Application, id, value)
		if err != nil {
			return result, err
		}
		result.Messages = append(result.Messages, m)
	}
	result.Done = true
	return result, nil
}

// scan walks an application's headers, with what may have settled a delivery
// of one endpoint moving along beside them.
type scan struct {
	q              store.ScanQuery
	headers        walk
	attempts, rows merge
	buf            [maxKey]byte
}

func (v *view) scan(q store.ScanQuery) (*scan, error) {
	headers, err := v.keys(kindHeader)
	if err != nil {
		return nil, err
	}
	attempts, err := v.keys(kindAttempt)
	if err != nil {
		return nil, err
	}
	rows, err := v.keys(endpointKey(nil, kindRow, q.Endpoint)...)
	if err != nil {
		return nil, err
	}
	return &scan{
		q:        q,
		headers:  walk{it: headers, kind: kindHeader, owner: appendApp(nil, q.Application), lo: q.From, hi: [20]byte([]byte(maxID))},
		attempts: merge{it: attempts},
		rows:     merge{it: rows},
	}, nil
}

// settled reports whether the delivery has a final record or a row. Rows are asked
// first: they are few, and most that a lane gets back to have neither.
func (c *scan) settled(id postern.MessageID) bool {
	if c.rows.to(rowKey(c.buf[:0], c.q.Endpoint, id)) {
		return true
	}
	prefix := deliveryKey(c.buf[:0], store.DeliveryKey{Application: c.q.Application, Endpoint: c.q.Endpoint, Message: id})
	if !c.attempts.to(prefix) {
		return false
	}
	for it := c.attempts.it; it.Valid() && bytes.HasPrefix(it.Key(), prefix); it.Next() {
		if endsDelivery(it.Value()) {
			return true
		}
	}
	return false
}

// Due implements store.Deliveries. The schedule holds the row itself, so that no
// other key is read.
func (s *Store) Due(_ context.Context, endpoint postern.EndpointNumber, cursor store.DueCursor, limit int) (rows []postern.Row, err error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.close(&err)
	it, err := v.keys(endpointKey(nil, kindSchedule, endpoint)...)
	if err != nil {
		return nil, err
	}
	var next int64
	if !cursor.Next.IsZero() {
		next = cursor.Next.UnixMilli()
	}
	start := scheduleKey(nil, endpoint, next, cursor.Message)
	if cursor != (store.DueCursor{}) {
		start = append(start, 0) // behind it
	}
	for it.SeekGE(start); it.Valid() && len(rows) < limit; it.Next() {
		row, err := decodeScheduled(it.Key(), it.Value())
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func decodeScheduled(key, value []byte) (postern.Row, error) {
	endpoint := postern.EndpointNumber(binary.BigEndian.Uint32(key[1:5]))
	return decodeRow(endpoint, postern.MessageID(key[len(key)-20:]), value)
}

// Schedules implements store.Deliveries: a seek for each endpoint that has
// rows, however many.
func (s *Store) Schedules(_ context.Context, fn func(first postern.Row) error) (err error) {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.close(&err)
	it, err := v.keys(kindSchedule)
	if err != nil {
		return err
	}
	for ok := it.First(); ok; {
		row, err := decodeScheduled(it.Key(), it.Value())
		if err != nil {
			return err
		}
		if err := fn(row); err != nil {
			return err
		}
		ok = it.SeekGE(after(endpointKey(nil, kindSchedule, row.Endpoint)))
	}
	return nil
}

// Standing implements store.Deliveries. All that ended or began the delivery has
// one prefix; a row counts for more than any of that, for it is what comes next.
func (s *Store) Standing(_ context.Context, d store.DeliveryKey) (st store.Standing, err error) {
	v, err := s.view()
	if err != nil {
		return st, err
	}
	defer v.close(&err)
	if st.Message, err = v.has(headerKey(nil, d.Application, d.Message)); err != nil {
		return st, err
	}
	prefix := deliveryKey(nil, d)
	it, err := v.keys(prefix...)
	if err != nil {
		return st, err
	}
	it.First()
	if err := ending(it, prefix, d, &st); err != nil {
		return st, err
	}
	value, err := v.get(rowKey(nil, d.Endpoint, d.Message))
	if value == nil || err != nil {
		return st, err
	}
	return st, waiting(d, value, &st)
}

// waiting notes a delivery's row, which is what counts where there is one.
func waiting(d store.DeliveryKey, value []byte, st *store.Standing) error {
	row, err := decodeRow(d.Endpoint, d.Message, value)
	if err != nil || row.Application != d.Application {
		return err
	}
	st.Row, st.State, st.Reason = &row, postern.Retrying, postern.ReasonNone
	return nil
}

// ending reads a delivery's attempts and final record, at whose first the iterator
// is. Where both ended it, because a resend brought it back, the attempt tells the
// state if it came after the final record, by its number: clocks can be set.
func ending(it *pebble.Iterator, prefix []byte, d store.DeliveryKey, st *store.Standing) error {
	var last postern.Attempt
	var err error
	for ; it.Valid() && bytes.HasPrefix(it.Key(), prefix); it.Next() {
		if _, n := splitAttempt(it.Key()); n == finalN {
			final, err := decodeFinal(d, it.Value())
			if err != nil {
				return err
			}
			if !st.Final || last.N <= final.Attempts {
				st.State, st.Reason = final.State, final.Reason
			}
			st.Final = true
			continue
		}
		if last, err = decodeAttempt(d, it.Value()); err != nil {
			return err
		}
		st.Attempts++
		if last.State.Final() {
			st.Final, st.State, st.Reason = true, last.State, last.Reason
		}
	}
	return nil
}

// Behind implements store.Deliveries: one key for each lane that is behind, so that
// they are few.
func (s *Store) Behind(context.Context) (rows []store.BehindRow, err error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.close(&err)
	it, err := v.keys(kindBehind)
	if err != nil {
		return nil, err
	}
	for it.First(); it.Valid(); it.Next() {
		app, from, err := decodeJournal(it.Value()) // the same two columns
		if err != nil {
			return nil, err
		}
		endpoint := postern.EndpointNumber(binary.BigEndian.Uint32(it.Key()[1:]))
		rows = append(rows, store.BehindRow{Endpoint: endpoint, Application: app, From: from})
	}
	return rows, nil
}

package postgres

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// id20 reads an id out of a column; NULL is zero, which is how ids that name
// nothing are stored.
type id20 [20]byte

// ScanBytes implements pgtype.BytesScanner.
func (id *id20) ScanBytes(column []byte) error {
	if len(column) != len(id) && column != nil {
		return fmt.Errorf("store/postgres: an id of %d bytes", len(column))
	}
	*id = id20{}
	copy(id[:], column)
	return nil
}

// The columns of each noun stand in the order of its fields, and are read by the
// function below them, which is the only one to know the order. Values are scanned
// where they belong: what is decoded in between would be made again for every row.

// messageColumns are those of a header, of a table m.
const messageColumns = `m.id, m.application, m.event_type, m.content_type, m.event_id, m.channels, m.tags, m.routes,
	m.size, m.source, m.provider_event_type, m.caused_by, m.depth`

// scanMessage reads messageColumns, and what follows them into more.
func scanMessage(row pgx.CollectableRow, more ...any) (*postern.Message, error) {
	var m postern.Message
	err := row.Scan(append([]any{
		(*id20)(&m.ID), &m.Application, &m.EventType, &m.ContentType, &m.EventID, &m.Channels, &m.Tags, &m.Routes,
		&m.Size, (*id20)(&m.Source), &m.ProviderEventType, (*id20)(&m.CausedBy), &m.Depth,
	}, more...)...)
	return &m, err
}

// attemptColumns are those of an attempt, of a table a. Its Replay is not stored.
const attemptColumns = `a.id, a.message, a.application, a.endpoint, a.n, a.trigger, a.url, a.succeeded, a.code, a.failure,
	a.response, a.retry_after_ns, a.permanent, a.redialed, a.started_us, a.state, a.reason, a.next_us,
	a.dns_ns, a.connect_ns, a.tls_ns, a.first_byte_ns, a.total_ns`

// scanAttempt reads attemptColumns, and what follows them into more.
func scanAttempt(row pgx.CollectableRow, more ...any) (*postern.Attempt, error) {
	var a postern.Attempt
	var started, next int64
	t := &a.Timings
	err := row.Scan(append([]any{
		(*id20)(&a.ID), (*id20)(&a.Message), &a.Application, &a.Endpoint, &a.N, &a.Trigger, &a.URL, &a.Succeeded, &a.Code, &a.Failure,
		&a.Response, (*int64)(&a.RetryAfter), &a.Permanent, &a.Redialed, &started, &a.State, &a.Reason, &next,
		(*int64)(&t.DNS), (*int64)(&t.Connect), (*int64)(&t.TLS), (*int64)(&t.FirstByte), (*int64)(&t.Total),
	}, more...)...)
	a.Started, a.Next = microseconds(started), microseconds(next)
	return &a, err
}

// rowColumns are those of a row, of a table d. The journal is left out: it is that
// of the message's id.
const rowColumns = `d.endpoint, d.message, d.application, d.generation, d.tries, d.attempts, d.next_ms, d.wait_ns, d.trigger, d.replay`

// scanRow reads rowColumns.
func scanRow(row pgx.CollectableRow) (r postern.Row, err error) {
	var next int64
	err = row.Scan(&r.Endpoint, (*id20)(&r.Message), &r.Application, &r.Generation, &r.Tries, &r.Attempts,
		&next, (*int64)(&r.Wait), &r.Trigger, (*id20)(&r.Replay))
	r.Next = time.UnixMilli(next).UTC()
	return r, err
}

// healthColumns are those of an endpoint's health, of a table h.
const healthColumns = `h.endpoint, h.failing_since_us, h.disabled, h.disabled_at_us, h.failures`

// scanHealth reads healthColumns.
func scanHealth(row pgx.CollectableRow) (c store.HealthChange, err error) {
	var since, disabled int64
	err = row.Scan(&c.Endpoint, &since, &c.Health.Disabled, &disabled, &c.Health.Failures)
	c.Health.FailingSince, c.Health.DisabledAt = microseconds(since), microseconds(disabled)
	return c, err
}

// microseconds is the moment in a column, in UTC as all that a store returns; 0
// stands for none.
func microseconds(column int64) time.Time {
	if column == 0 {
		return time.Time{}
	}
	return time.UnixMicro(column).UTC()
}

// numbers are endpoints as a parameter: without asking the server what it expects,
// pgx knows the plain types alone.
func numbers(endpoints []postern.EndpointNumber) []int64 {
	list := make([]int64, len(endpoints))
	for i, n := range endpoints {
		list[i] = int64(n)
	}
	return list
}

package postgres

import (
	"encoding/hex"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// The statements of an export. Each goes by the primary key of its table, and of
// one partition where there are days, behind the key that it is given.
const (
	exportTombstones statement = `SELECT t.application FROM tombstone t WHERE t.application > $1::bigint ORDER BY t.application`
	exportCatalogue  statement = `SELECT c.kind::text, c.application, c.name, c.record::text FROM catalogue c
	WHERE (c.kind, c.application, c.name) > ($1::text::"char", $2::bigint, $3::bytea) ORDER BY c.kind, c.application, c.name`
	exportMessages statement = `SELECT ` + messageColumns + `, c.payload, c.request
	FROM message m LEFT JOIN content c ON c.application = m.application AND c.message = m.id AND c.day = $1::int
	WHERE m.day = $1::int AND (m.application, m.id) > ($2::bigint, $3::bytea) ORDER BY m.application, m.id`
	exportAttempts statement = `SELECT ` + attemptColumns + ` FROM attempt a
	WHERE a.day = $1::int AND (a.application, a.message, a.endpoint, a.n) > ($2::bigint, $3::bytea, $4::bigint, $5::int)
	ORDER BY a.application, a.message, a.endpoint, a.n`
	exportFinals statement = `SELECT f.application, f.message, f.endpoint, f.state, f.reason, f.attempts, f.at_us FROM final f
	WHERE f.day = $1::int AND (f.application, f.message, f.endpoint) > ($2::bigint, $3::bytea, $4::bigint)
	ORDER BY f.application, f.message, f.endpoint`
	exportDead statement = `SELECT d.application, d.endpoint, d.message FROM dead d
	WHERE d.day = $1::int AND (d.application, d.endpoint, d.message) > ($2::bigint, $3::bigint, $4::bytea)
	ORDER BY d.application, d.endpoint, d.message`
	exportRows statement = `SELECT ` + rowColumns + ` FROM delivery d
	WHERE (d.endpoint, d.message) > ($1::bigint, $2::bytea) ORDER BY d.endpoint, d.message`
	exportBehind statement = `SELECT b.journal, b.endpoint, b.application, b.from_id FROM behind b
	WHERE (b.journal, b.endpoint) > ($1::int, $2::bigint) ORDER BY b.journal, b.endpoint`
	exportHealth   statement = `SELECT ` + healthColumns + ` FROM health h WHERE h.endpoint > $1::bigint ORDER BY h.endpoint`
	exportRefusals statement = `SELECT ` + refusalColumns + `, r.body FROM refusal r
	WHERE (r.source, r.id) > ($1::bytea, $2::bytea) ORDER BY r.source, r.id`
	exportRecords statement = `SELECT d.scope::text, d.digest, d.application, d.message, d.status, d.answer FROM dedupe d
	WHERE (d.scope, d.digest) > ($1::text::"char", $2::uuid) ORDER BY d.scope, d.digest`
)

// none is before every key of bytes, and noDigest before those of every scope.
const (
	none     = `\x`
	noDigest = "00000000-0000-0000-0000-000000000000"
)

// parts are all, the catalogue first. History of dropped days and deleted
// applications is gone, whether its tables are or not.
func (e *export) parts() []part {
	return []part{
		{"tombstones", exportTombstones, false, []string{"0"}, e.tombstone},
		{"catalogue", exportCatalogue, false, []string{"", "-1", none}, e.record},
		{"messages", exportMessages, true, []string{"0", none}, e.message},
		{"attempts", exportAttempts, true, []string{"0", none, "0", "0"}, e.attempt},
		{"finals", exportFinals, true, []string{"0", none, "0"}, e.final},
		{"dead", exportDead, true, []string{"0", "0", none}, e.dead},
		{"rows", exportRows, false, []string{"0", none}, e.row},
		{"behind", exportBehind, false, []string{"-32769", "0"}, e.behind},
		{"health", exportHealth, false, []string{"0"}, e.health},
		{"refusals", exportRefusals, false, []string{none, none}, e.refusal},
		{"dedupe", exportRecords, false, []string{"", noDigest}, e.dedupe},
	}
}

func (e *export) tombstone(row pgx.CollectableRow) ([]any, error) {
	var a postern.Application
	err := row.Scan(&a.Number)
	e.chunk.Changes = append(e.chunk.Changes, store.Change{Delete: &a})
	return []any{int64(a.Number)}, err
}

func (e *export) record(row pgx.CollectableRow) ([]any, error) {
	var kind string
	var app int64
	var name, text []byte
	if err := row.Scan(&kind, &app, &name, &text); err != nil {
		return nil, err
	}
	record, err := decodeRecord(kind, text)
	e.chunk.Changes = append(e.chunk.Changes, store.Change{Put: record})
	return []any{kind, app, name}, err
}

// message joins a header with its content, which is NULL where it was expunged.
func (e *export) message(row pgx.CollectableRow) ([]any, error) {
	var payload, request []byte
	m, err := scanMessage(row, &payload, &request)
	if err != nil {
		return nil, err
	}
	key := []any{int64(m.Application), m.ID[:]}
	if e.s.gone(m.Application) {
		return key, nil
	}
	a := store.Accept{Message: m}
	if payload != nil {
		a.Content = &postern.Content{Payload: payload}
		a.Content.Request, err = decodeRequest(request)
	}
	e.chunk.Accepts = append(e.chunk.Accepts, a)
	return key, err
}

func (e *export) attempt(row pgx.CollectableRow) ([]any, error) {
	a, err := scanAttempt(row)
	if !e.s.gone(a.Application) {
		e.chunk.Attempts = append(e.chunk.Attempts, a)
	}
	return []any{int64(a.Application), a.Message[:], int64(a.Endpoint), int64(a.N)}, err
}

func (e *export) final(row pgx.CollectableRow) ([]any, error) {
	var f postern.Final
	var at int64
	err := row.Scan(&f.Application, (*id20)(&f.Message), &f.Endpoint, &f.State, &f.Reason, &f.Attempts, &at)
	f.At = microseconds(at)
	if !e.s.gone(f.Application) {
		e.chunk.Finals = append(e.chunk.Finals, f)
	}
	return []any{int64(f.Application), f.Message[:], int64(f.Endpoint)}, err
}

func (e *export) dead(row pgx.CollectableRow) ([]any, error) {
	var d store.DeliveryKey
	err := row.Scan(&d.Application, &d.Endpoint, (*id20)(&d.Message))
	if !e.s.gone(d.Application) {
		e.chunk.Dead = append(e.chunk.Dead, store.DeadChange{Key: d})
	}
	return []any{int64(d.Application), int64(d.Endpoint), d.Message[:]}, err
}

// row gives also those of messages that are gone, which end lazily.
func (e *export) row(row pgx.CollectableRow) ([]any, error) {
	r, err := scanRow(row)
	e.chunk.Rows = append(e.chunk.Rows, store.RowChange{Put: &r})
	return []any{int64(r.Endpoint), r.Message[:]}, err
}

func (e *export) behind(row pgx.CollectableRow) ([]any, error) {
	var journal int64
	var b store.BehindRow
	err := row.Scan(&journal, &b.Endpoint, &b.Application, (*id20)(&b.From))
	e.chunk.Behind = append(e.chunk.Behind, store.BehindChange{Row: b})
	return []any{journal, int64(b.Endpoint)}, err
}

func (e *export) health(row pgx.CollectableRow) ([]any, error) {
	h, err := scanHealth(row)
	e.chunk.Health = append(e.chunk.Health, h)
	return []any{int64(h.Endpoint)}, err
}

func (e *export) refusal(row pgx.CollectableRow) ([]any, error) {
	var body []byte
	r, err := scanRefusal(row, &body)
	if err != nil {
		return nil, err
	}
	e.chunk.Refusals = append(e.chunk.Refusals, r)
	return []any{r.Source[:], r.ID[:]}, nil
}

// dedupe gives a record, unless it is an event's whose message is gone: that
// counts as free.
func (e *export) dedupe(row pgx.CollectableRow) ([]any, error) {
	var r store.MovedRecord
	var scope string
	if err := row.Scan(&scope, (*[16]byte)(&r.Digest), &r.Application, (*id20)(&r.Message), &r.Status, &r.Answer); err != nil {
		return nil, err
	}
	r.Scope = store.Scope(scope[0])
	if _, kept := e.s.kept(r.Application, r.Message); kept || r.Scope != store.ScopeEvent {
		e.chunk.Records = append(e.chunk.Records, r)
	}
	return []any{scope, hex.EncodeToString(r.Digest[:])}, nil
}

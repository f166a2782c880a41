package outbox

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/event"
	"github.com/postern-dev/postern/internal/userdb"
)

// Table is where messages wait for a relay. Its zero value is usable. Publishers
// and relay of a table use the same settings, best the same value. It is safe
// for concurrent use and is not copied.
type Table struct {
	// Name is the table's, with its schema or not; "postern_outbox" if "".
	Name string
	// Ordered has the messages of an application accepted in the order of their
	// commits on PostgreSQL. The cost: from its Publish to its end, a transaction
	// holds an advisory lock that others wait for which publish in the same
	// application, so their commits come one after another. Transactions that
	// publish in several applications can run into a deadlock, which PostgreSQL ends
	// with an error for one, unless all take them in the same order. SQLite is
	// ordered without.
	Ordered bool
	// Notify has Publish wake relays that Listen on PostgreSQL. Commits that notify
	// wait for one another in the whole database, so that a process does it ten
	// times a second at most; in between, its relay is awake. It is a hint, and goes
	// with a transaction that rolls back: RelayConfig.MaxPoll makes up for it.
	Notify bool
	// MaxPayload bounds a payload in bytes; 1 MiB if 0. Publish refuses a larger
	// one, and a relay does not read it.
	MaxPayload int

	notified atomic.Int64 // when Publish last notified, in Unix ns
}

const (
	defaultName       = "postern_outbox"
	defaultMaxPayload = 1 << 20
	notifyEvery       = 100 * time.Millisecond
)

// Publish writes a message to the table postern_outbox; see Table.Publish.
func Publish(ctx context.Context, tx Tx, p postern.Publish) (eventID string, err error) {
	return new(Table).Publish(ctx, tx, p)
}

// Publish writes a message, which is accepted once tx has committed, and returns
// the event id under which it will be found: p.EventID, or a new one. A message
// with an EventID that the engine has already is dropped as its second copy.
//
// The zero Application stands for the engine's own, as in its Publish.
// Application, EventType, EventID, ContentType, Channels, Tags, Payload, CausedBy
// and Depth of p are kept; others may not be set. Within a handler, given the
// handler's context, the message notes what caused it, as in an engine's Publish,
// and a chain of more than sixteen is refused. Errors of kind Invalid and
// TooLarge say what is wrong with p and have changed nothing; others are the
// database's, and on PostgreSQL end the transaction.
func (t *Table) Publish(ctx context.Context, tx Tx, p postern.Publish) (eventID string, err error) {
	table, err := t.name()
	if err != nil {
		return "", err
	}
	if cause, ok := event.CauseOf(ctx); ok {
		cause.Note(&p) // a relay knows of no handler
	}
	if err := t.check(&p); err != nil {
		return "", err
	}
	if p.EventID == "" {
		p.EventID = "out_" + rand.Text()
	}
	postgres := userdb.DialectOf(tx) == userdb.Postgres
	if t.Ordered && postgres {
		// Taken before the row gets its place and let go after the commit is seen.
		if _, err := userdb.Exec(ctx, tx, `SELECT pg_advisory_xact_lock($1, $2)`, userdb.LockClass(table), int32(p.Application)); err != nil {
			return "", err
		}
	}
	_, err = userdb.Exec(ctx, tx, `INSERT INTO `+table+` (event_id, application, event_type, content_type, channels, tags, caused_by, payload)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		p.EventID, int64(p.Application), p.EventType, p.ContentType, list(p.Channels), list(p.Tags), causeText(&p), p.Payload)
	if err != nil {
		return "", err
	}
	if t.Notify && postgres && t.mayNotify(time.Now()) {
		if _, err := userdb.Exec(ctx, tx, `SELECT pg_notify($1, '')`, channel(table)); err != nil {
			return "", err
		}
	}
	return p.EventID, nil
}

// check finds what no engine would accept, while the caller can still be told.
func (t *Table) check(p *postern.Publish) error {
	switch {
	case !p.Source.IsZero() || p.ProviderEventType != "" || p.Request != nil || p.Only != 0 || p.Duplicate != (postern.DuplicateKey{}) || p.Repeat != [16]byte{}:
		return postern.InvalidField("Source, ProviderEventType, Request, Only, Duplicate and Repeat are for what comes in by a source or the API", "Publish")
	case len(p.Payload) > t.maxPayload():
		return &postern.Error{Kind: postern.TooLarge, Detail: "the payload is larger than Table.MaxPayload"}
	}
	if p.Payload == nil {
		p.Payload = []byte{} // nil is NULL
	}
	return event.Check(p)
}

// mayNotify reports whether the last notification is long enough ago.
func (t *Table) mayNotify(now time.Time) bool {
	last := t.notified.Load()
	return now.UnixNano()-last >= int64(notifyEvery) && t.notified.CompareAndSwap(last, now.UnixNano())
}

// Unpark has the rows that were parked tried again, and returns how many.
func (t *Table) Unpark(ctx context.Context, tx Tx) (rows int64, err error) {
	table, err := t.name()
	if err != nil {
		return 0, err
	}
	return userdb.Exec(ctx, tx, `UPDATE `+table+` SET parked = NULL, failures = 0 WHERE parked IS NOT NULL`)
}

// Create makes the table and its index if they are not there. It is an
// alternative to putting the text of a Schema method into one's own migrations.
func (t *Table) Create(ctx context.Context, tx Tx) error {
	statements, err := t.statements(userdb.DialectOf(tx))
	if err != nil {
		return err
	}
	return userdb.Create(ctx, tx, statements)
}

// PostgresSchema is what Create executes on PostgreSQL.
func (t *Table) PostgresSchema() (string, error) { return t.schema(userdb.Postgres) }

// SQLiteSchema is what Create executes on SQLite.
func (t *Table) SQLiteSchema() (string, error) { return t.schema(userdb.SQLite) }

func (t *Table) schema(d userdb.Dialect) (string, error) {
	statements, err := t.statements(d)
	if err != nil {
		return "", err
	}
	return strings.Join(statements, ";\n") + ";\n", nil
}

// statements make the table. seq is never given twice, also after its row is
// deleted: what a relay deletes is what it read. The index leaves out parked
// rows, however many there are.
func (t *Table) statements(d userdb.Dialect) ([]string, error) {
	table, err := t.name()
	if err != nil {
		return nil, err
	}
	seq, blob, settings := `bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY`, `bytea`,
		` WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)`
	if d == userdb.SQLite {
		seq, blob, settings = `integer PRIMARY KEY AUTOINCREMENT`, `blob`, ``
	}
	return []string{
		`CREATE TABLE IF NOT EXISTS ` + table + ` (
	seq ` + seq + `,
	event_id text NOT NULL,
	application bigint NOT NULL,
	event_type text NOT NULL,
	content_type text NOT NULL,
	channels text NOT NULL, -- a JSON array, or empty
	tags text NOT NULL, -- a JSON array, or empty
	caused_by text NOT NULL, -- a message's id and how many caused one another, or empty
	payload ` + blob + ` NOT NULL,
	failures integer NOT NULL DEFAULT 0,
	parked text -- why it cannot be published
)` + settings,
		userdb.Index(d, table, "waiting", "(seq) WHERE parked IS NULL"),
	}, nil
}

func (t *Table) name() (string, error) {
	if t == nil {
		return "", postern.InvalidField("is nil: new(Table) is the default one", "Table")
	}
	return userdb.Table(t.Name, defaultName)
}

// channel is what is notified and listened to: the table's name, unless PostgreSQL
// takes none so long.
func channel(table string) string {
	const longest = 63 // bytes
	if len(table) <= longest {
		return table
	}
	return fmt.Sprintf("%s_%08x", defaultName, uint32(userdb.LockClass(table)))
}

func (t *Table) maxPayload() int {
	if t.MaxPayload == 0 {
		return defaultMaxPayload
	}
	return t.MaxPayload
}

func list(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	text, _ := json.Marshal(texts) //nolint:errchkjson // strings can always be written
	return string(text)
}

// causeText is what caused a message, and how many did before it.
func causeText(p *postern.Publish) string {
	id := ""
	if !p.CausedBy.IsZero() {
		id = p.CausedBy.String()
	}
	if p.Depth == 0 {
		return id
	}
	return fmt.Sprintf("%s %d", id, p.Depth)
}

package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/userdb"
)

// row is a message on its way from the table to the engine.
type row struct {
	seq      int64
	publish  postern.Publish
	failures int
	outcome  outcome
	err      error // why it was parked or failed
}

// outcome is what became of a row.
type outcome uint8

const (
	left      outcome = iota // not tried: one before it failed
	published                // durable, by this try or an earlier one
	parked                   // never acceptable as it is
	failed                   // refused for now
)

// Bounds of a round: rows, their payloads in bytes, and how often a row may fail
// for a reason that nobody knows before it is parked.
const (
	maxRows     = 100
	maxBytes    = 8 << 20
	maxFailures = 10
)

// read takes the oldest rows that wait, in their order, but for those of some
// applications. On PostgreSQL it locks them, and passes over those that somebody
// else has locked.
func (t *Table) read(ctx context.Context, tx Tx, table string, without []string) ([]*row, error) {
	var rows []*row
	bytes, limit := 0, t.maxPayload()
	query := `SELECT seq, event_id, application, event_type, content_type, channels, tags, caused_by, failures, length(payload),
		CASE WHEN length(payload) <= $1 THEN payload END FROM ` + table + ` WHERE parked IS NULL`
	if len(without) > 0 { // numbers in the text, as in settle
		query += ` AND application NOT IN (` + strings.Join(without, ", ") + `)`
	}
	query += ` ORDER BY seq LIMIT $2`
	if userdb.DialectOf(tx) == userdb.Postgres {
		query += ` FOR UPDATE SKIP LOCKED`
	}
	err := userdb.Each(ctx, tx, func(scan func(...any) error) (bool, error) {
		var r row
		var application int64
		var channels, tags, cause string
		p := &r.publish
		var size int
		if err := scan(&r.seq, &p.EventID, &application, &p.EventType, &p.ContentType, &channels, &tags, &cause, &r.failures, &size, &p.Payload); err != nil {
			return false, err
		}
		p.Application = postern.ApplicationNumber(application)
		if r.err = errors.Join(parseList(channels, &p.Channels), parseList(tags, &p.Tags), parseCause(cause, p)); r.err != nil {
			r.outcome = parked
		}
		if p.Payload == nil {
			p.Payload = []byte{} // as it was published, whatever the library makes of it
		}
		if size > limit {
			r.outcome, r.err = parked, fmt.Errorf("the payload has %d bytes, and a relay takes %d", size, limit)
		}
		rows = append(rows, &r)
		bytes += len(p.Payload)
		return bytes < maxBytes, nil
	}, query, limit, maxRows)
	return rows, err
}

// publishAll publishes rows: those of an application one after another, up to
// the first that fails, the applications side by side. It returns when all have
// an outcome.
func (r *Relay) publishAll(ctx context.Context, rows []*row) {
	byApplication := map[postern.ApplicationNumber][]*row{}
	for _, row := range rows {
		if row.outcome == left {
			byApplication[row.publish.Application] = append(byApplication[row.publish.Application], row)
		}
	}
	var all sync.WaitGroup
	for _, rows := range byApplication {
		all.Go(func() {
			for _, row := range rows {
				if r.publishOne(ctx, row); row.outcome == failed {
					return
				}
			}
		})
	}
	all.Wait()
}

func (r *Relay) publishOne(ctx context.Context, row *row) {
	_, duplicate, err := r.cfg.Publisher.Publish(ctx, row.publish)
	if err == nil {
		row.outcome = published
		if duplicate {
			r.duplicates.Add(1)
		}
		return
	}
	row.outcome, row.err = failed, err
	if errors.Is(err, postern.ErrNotFound) {
		row.err = fmt.Errorf("application %d: %w", row.publish.Application, err)
	}
	switch postern.KindOf(err) {
	case postern.Unavailable, postern.RateLimited:
	case postern.Internal: // also that ctx has ended
		if ctx.Err() == nil {
			if row.failures++; row.failures >= maxFailures {
				row.outcome = parked
			}
		}
	default:
		row.outcome = parked
	}
}

// settle deletes what is published, and notes on rows why they stay.
func (t *Table) settle(ctx context.Context, tx Tx, table string, rows []*row) error {
	var done []string
	for _, r := range rows {
		var err error
		switch r.outcome {
		case published:
			done = append(done, strconv.FormatInt(r.seq, 10))
		case parked:
			_, err = userdb.Exec(ctx, tx, `UPDATE `+table+` SET parked = $1, failures = $2 WHERE seq = $3`, reason(r.err), r.failures, r.seq)
		case failed:
			_, err = userdb.Exec(ctx, tx, `UPDATE `+table+` SET failures = $1 WHERE seq = $2 AND failures <> $1`, r.failures, r.seq)
		}
		if err != nil {
			return err
		}
	}
	if done == nil {
		return nil
	}
	// Numbers in the text: lists are written differently by every library.
	_, err := userdb.Exec(ctx, tx, `DELETE FROM `+table+` WHERE seq IN (`+strings.Join(done, ", ")+`)`)
	return err
}

// reason is why a row is parked, for people.
func reason(err error) string {
	const most = 1000
	text := strings.ToValidUTF8(err.Error(), "?")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return strings.ReplaceAll(text, "\x00", "?") // PostgreSQL has no such texts
}

func parseList(text string, into *[]string) error {
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), into)
}

func parseCause(text string, p *postern.Publish) (err error) {
	id, depth, deep := strings.Cut(text, " ")
	if id != "" {
		p.CausedBy, err = postern.ParseMessageID(id)
	}
	if deep && err == nil {
		p.Depth, err = strconv.Atoi(depth)
	}
	return err
}

package outbox_test

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/outbox"
)

// printer stands in for an engine.
type printer struct{ done chan struct{} }

func (p printer) Publish(_ context.Context, in postern.Publish) (*postern.Message, bool, error) {
	fmt.Printf("%s %s\n", in.EventType, in.Payload)
	close(p.done)
	return &postern.Message{}, false, nil
}

// How do I publish a message if and only if my transaction commits?
func ExamplePublish() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	db, err := sql.Open("sqlite", "file:publish?mode=memory&cache=shared&_pragma=busy_timeout(5000)")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	pay := func(invoice string, goesWrong bool) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() // does nothing after a commit
		if err := new(outbox.Table).Create(ctx, outbox.SQLite(tx)); err != nil {
			return err
		}
		// ... what the program does in its own tables, by tx ...
		_, err = outbox.Publish(ctx, outbox.SQLite(tx), postern.Publish{
			Application: 1, EventType: "invoice.paid", Payload: []byte(`{"id":"` + invoice + `"}`),
		})
		if err != nil || goesWrong {
			return err
		}
		return tx.Commit()
	}
	for _, invoice := range []string{"in_1", "in_2"} {
		if err := pay(invoice, invoice == "in_1"); err != nil {
			fmt.Println(err)
		}
	}

	done := make(chan struct{})
	relay, err := outbox.NewRelay(outbox.RelayConfig{DB: outbox.SQLiteDB(db), Publisher: printer{done}})
	if err != nil {
		fmt.Println(err)
		return
	}
	stopped := make(chan struct{})
	go func() {
		relay.Run(ctx)
		close(stopped)
	}()
	<-done
	cancel()
	<-stopped
	// Output:
	// invoice.paid {"id":"in_2"}
}

// How do I keep the order of my commits on PostgreSQL, and have messages leave at
// once?
func ExampleTable_ordered() {
	run := func(ctx context.Context, pool *pgxpool.Pool, eng *engine.Engine) error {
		table := &outbox.Table{Ordered: true, Notify: true}
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return table.Create(ctx, outbox.PGX(tx)) })
		if err != nil {
			return err
		}
		relay, err := outbox.NewRelay(outbox.RelayConfig{
			Table: table, DB: outbox.PGXDB(pool), Publisher: eng,
			Listen: func(ctx context.Context) (*pgx.Conn, error) {
				return pgx.ConnectConfig(ctx, pool.Config().ConnConfig)
			},
		})
		if err != nil {
			return err
		}
		relay.Run(ctx)
		return nil
	}
	_ = run // where there is a PostgreSQL
}

// What do I put into my own migrations?
func ExampleTable_PostgresSchema() {
	schema, err := (&outbox.Table{Name: "billing.outbox"}).PostgresSchema()
	fmt.Print(schema, err)
	// Output:
	// CREATE TABLE IF NOT EXISTS billing.outbox (
	// 	seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	// 	event_id text NOT NULL,
	// 	application bigint NOT NULL,
	// 	event_type text NOT NULL,
	// 	content_type text NOT NULL,
	// 	channels text NOT NULL, -- a JSON array, or empty
	// 	tags text NOT NULL, -- a JSON array, or empty
	// 	caused_by text NOT NULL, -- a message's id and how many caused one another, or empty
	// 	payload bytea NOT NULL,
	// 	failures integer NOT NULL DEFAULT 0,
	// 	parked text -- why it cannot be published
	// ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
	// CREATE INDEX IF NOT EXISTS outbox_waiting ON billing.outbox (seq) WHERE parked IS NULL;
	// <nil>
}

package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/outbox"
	"github.com/postern-dev/postern/store/embedded"
)

// How do I run it all in one program: my database, the relay and the engine?
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	db, err := sql.Open("sqlite", "file:example?mode=memory&cache=shared&_pragma=busy_timeout(5000)")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	st, err := embedded.Open(ctx, "memory:", embedded.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	eng, err := engine.New(ctx, engine.Config{Store: st})
	if err != nil {
		log.Fatal(err)
	}
	handled := make(chan struct{})
	if err := eng.On("user.invited", func(_ context.Context, msg *engine.Message) error {
		fmt.Printf("mail to %s\n", msg.Payload)
		close(handled)
		return nil
	}); err != nil {
		log.Fatal(err)
	}
	relay, err := outbox.NewRelay(outbox.RelayConfig{DB: outbox.SQLiteDB(db), Publisher: eng})
	if err != nil {
		log.Fatal(err)
	}
	invite := func(name string) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() // does nothing after a commit
		if err := new(outbox.Table).Create(ctx, outbox.SQLite(tx)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "CREATE TABLE users (name text)"); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO users VALUES (?)", name); err != nil {
			return err
		}
		payload := []byte(`"` + name + `"`)
		if _, err := outbox.Publish(ctx, outbox.SQLite(tx), postern.Publish{EventType: "user.invited", Payload: payload}); err != nil {
			return err
		}
		return tx.Commit()
	}
	if err := invite("ann"); err != nil {
		log.Fatal(err)
	}
	relay.Wake() // or it looks by itself, within a second

	engineEnded, relayEnded := make(chan error, 1), make(chan struct{})
	go func() { engineEnded <- eng.Run(ctx) }()
	go func() { relay.Run(ctx); close(relayEnded) }()
	<-handled
	cancel()
	<-relayEnded
	fmt.Println(<-engineEnded)
	// Output:
	// mail to "ann"
	// <nil>
}

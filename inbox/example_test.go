package inbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/postern-dev/postern/inbox"
)

// How does a handler that is called twice for one message write once?
func ExampleOnce() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", "file:once?mode=memory&cache=shared")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	handle := func(id string) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() // does nothing after a commit
		if err := (inbox.Table{}).Create(ctx, inbox.SQLite(tx)); err != nil {
			return err
		}
		first, err := inbox.Once(ctx, inbox.SQLite(tx), inbox.Message{Handler: "billing", ID: id})
		if err != nil {
			return err
		}
		if !first {
			fmt.Println(id, "was handled before")
			return nil
		}
		fmt.Println(id, "is written")
		return tx.Commit()
	}
	for _, id := range []string{"msg_1", "msg_2", "msg_1"} {
		if err := handle(id); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// msg_1 is written
	// msg_2 is written
	// msg_1 was handled before
}

// How long are messages remembered?
func ExampleTable_Sweep() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", "file:sweep?mode=memory&cache=shared")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	monday := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	table := inbox.Table{Now: func() time.Time { return monday }}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tx.Rollback() // does nothing after a commit
	if err := table.Create(ctx, inbox.SQLite(tx)); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := table.Once(ctx, inbox.SQLite(tx), inbox.Message{Handler: "billing", ID: "msg_1"}); err != nil {
		fmt.Println(err)
		return
	}
	if err := tx.Commit(); err != nil {
		fmt.Println(err)
		return
	}
	// Longer than the engine keeps messages, which is 30 days unless set.
	const keep = 40 * 24 * time.Hour
	for _, days := range []int{30, 50} {
		table.Now = func() time.Time { return monday.AddDate(0, 0, days) }
		deleted, err := table.Sweep(ctx, inbox.SQLiteDB(db), keep)
		fmt.Println("after", days, "days:", deleted, err)
	}
	// Output:
	// after 30 days: 0 <nil>
	// after 50 days: 1 <nil>
}

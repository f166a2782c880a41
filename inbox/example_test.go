package inbox_test

import (
	"context"
	"database/sql"
	"fmt"

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

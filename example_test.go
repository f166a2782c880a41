package postern_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/postern-dev/postern"
)

// How does a handler say when to try again?
func ExampleRetryAfter() {
	closed := func() error {
		return fmt.Errorf("the ledger is closed: %w", postern.RetryAfter(time.Hour))
	}
	err := closed()
	fmt.Println(err)
	fmt.Println(postern.RetryAfterOf(err), postern.IsPermanent(err))
	// Output:
	// the ledger is closed: try again after 1h0m0s
	// 1h0m0s false
}

// How does a handler give up?
func ExamplePermanent() {
	err := postern.Permanent(errors.New("no such account"))
	fmt.Println(err, postern.IsPermanent(err))
	// Output: no such account true
}

// How do I tell what kind of failure it was?
func ExampleError() {
	_, err := postern.ParseMessageID("msg_1")
	fmt.Println(errors.Is(err, postern.ErrInvalid), postern.KindOf(err))
	fmt.Println(postern.KindOf(errors.New("nobody knows")))
	// Output:
	// true invalid
	// internal
}

// How many tries are there, and how long do they take?
func ExampleParseRetrySchedule() {
	schedule, err := postern.ParseRetrySchedule("1s,1m,1h")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(schedule)+1, "tries within", schedule.Longest())
	_, err = postern.ParseRetrySchedule("1s,soon")
	fmt.Println(err)
	// Output:
	// 4 tries within 1h13m13.2s
	// retry schedule: "soon" is not a duration such as 5s, 5m or 2h
}

// What does an id tell?
func ExampleParseMessageID() {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	id := postern.NewMessageID(at, 0, 7, 1)
	same, err := postern.ParseMessageID(id.String())
	fmt.Println(same == id, err)
	fmt.Println(id.Prefix(), id.Time(), "position", id.Position())
	// Output:
	// true <nil>
	// msg_ 2026-11-22 12:00:00 +0000 UTC position 7
}

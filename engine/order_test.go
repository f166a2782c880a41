package engine

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/dispatch"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
)

// Whoever asks on another node is told the same as on the one that does it.
func TestFailuresOfOthers(t *testing.T) {
	for _, err := range []error{
		postern.ErrNotFound,
		&postern.Error{Kind: postern.Conflict, Code: "taken", Detail: "somebody was faster", Err: errors.New("for the log")},
		&postern.Error{Kind: postern.Invalid, Fields: []postern.FieldError{{Loc: []string{"body", "since"}, Msg: "must be before until", Type: "value_error"}}},
	} {
		text, wrong := json.Marshal(result{Failure: failureOf(err)})
		if wrong != nil {
			t.Fatal(wrong)
		}
		var r result
		if wrong := json.Unmarshal(text, &r); wrong != nil {
			t.Fatal(wrong)
		}
		if diff := cmp.Diff(err, r.Failure.err(), cmpopts.IgnoreFields(postern.Error{}, "Err")); diff != "" {
			t.Error(diff)
		}
	}
	if got := failureOf(errors.New("of us")).err(); postern.KindOf(got) != postern.Internal {
		t.Errorf("a fault of ours comes as %v", got)
	}
}

// An order that lacks what it needs, as one of another version may, is refused.
func TestIncompleteOrders(t *testing.T) {
	memory, err := embedded.Open(t.Context(), "memory:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = memory.Close() })
	e, err := New(t.Context(), Config{Store: store.Store(memory)})
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []orderOp{orderResend, orderCancel, orderReplay, orderCreateReplay, orderSetReplay, "of tomorrow"} {
		if _, err := e.obey(t.Context(), 0, order{Op: op}); !errors.Is(err, postern.ErrUnavailable) {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// Whoever goes on with a slice of a replay learns from the attempts what was started.
func TestSlicesAreRecalled(t *testing.T) {
	inBubble(t, Config{}, func(l *life) {
		l.answers(200)
		since := l.now()
		var ids []postern.MessageID
		for range 5 {
			ids = append(ids, l.publish().Message)
		}
		l.pass(time.Second)
		record, err := l.eng.Replay(t.Context(), postern.Replay{
			Application: l.app, To: l.endpoint, Selection: postern.Selection{From: l.endpoint, Status: postern.StatusDelivered, Since: since},
		})
		if err != nil {
			t.Fatal(err)
		}
		l.pass(10 * time.Second)
		ids = append(ids, l.publish().Message) // and not replayed
		l.pass(time.Second)
		l.tried()
		taken, started, err := l.eng.shards.main.dispatcher.Replay(dispatch.Slice{
			Replay: record.ID, Application: l.app, Endpoint: l.endpoint, Messages: ids, Since: record.CreatedAt,
			Wants: func(store.Standing) bool { return true },
		})
		if taken != 6 || started != 6 || err != nil {
			t.Errorf("%d dealt with, %d started, %v", taken, started, err)
		}
		l.pass(10 * time.Second)
		if again := len(l.tried()); again != 1 { // what was not replayed before
			t.Errorf("%d were tried again", again)
		}
	})
}

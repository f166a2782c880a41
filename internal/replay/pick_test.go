package replay

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// world has messages in every state at endpoint 1; comments are their positions.
func world(r *rig) {
	tag := func(m *postern.Message) { m.Tags, m.Channels = []string{"t"}, []string{"c"} }
	other := func(m *postern.Message) { m.EventType = "x.y" }
	r.settle(r.publish(nil, 1), postern.Delivered) // 1
	r.settle(r.publish(tag, 1), postern.Dead)      // 2
	r.settle(r.publish(nil, 1), postern.Retrying)  // 3
	r.publish(nil, 1)                              // 4 is on its way
	r.publish(nil)                                 // 5 went nowhere
	r.publish(other)                               // 6 neither
	r.settle(r.publish(other, 1), postern.Dead)    // 7
	r.settle(r.publish(tag, 1, 2), postern.Retrying)
	r.settle(r.publish(nil), postern.Delivered) // 9 was resent by hand
}

// TestSelections replays each choice over a world of everything, and previews
// it.
func TestSelections(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(in *postern.Replay)
		want []uint64
	}{
		"all":             {nil, []uint64{1, 2, 3, 7, 8, 9}},
		"delivered":       {status(postern.StatusDelivered), []uint64{1, 9}},
		"dead":            {status(postern.StatusDead), []uint64{2, 7}},
		"failed":          {status(postern.StatusFailed), []uint64{2, 3, 7, 8}},
		"missing":         {status(postern.StatusMissing), []uint64{5, 6}},
		"all to another":  {func(in *postern.Replay) { in.To = 2 }, []uint64{1, 2, 3, 4, 7, 8, 9}},
		"dead to another": {func(in *postern.Replay) { in.To = 2; in.Selection.Status = postern.StatusDead }, []uint64{2, 7}},
		"messages":        {func(in *postern.Replay) { in.To = 2; in.Selection.From = 0 }, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		"of a type":       {func(in *postern.Replay) { in.To = 2; in.Selection.From = 0; in.Selection.EventTypes = []string{"x.y"} }, []uint64{6, 7}},
		"failed of a type": {func(in *postern.Replay) {
			in.Selection.Status = postern.StatusFailed
			in.Selection.EventTypes = []string{"x.y"}
		}, []uint64{7}},
		"failed with a tag": {func(in *postern.Replay) { in.Selection.Status = postern.StatusFailed; in.Selection.Tag = "t" }, []uint64{2, 8}},
		"dead of a channel": {func(in *postern.Replay) { in.Selection.Status = postern.StatusDead; in.Selection.Channel = "c" }, []uint64{2}},
		"missing, by filter": {func(in *postern.Replay) {
			in.Selection.Status = postern.StatusMissing
			in.Selection.EventTypes = []string{"x.y"}
		}, []uint64{6}},
		"of a time": {func(in *postern.Replay) {
			start := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
			in.Selection.Status = postern.StatusFailed
			in.Selection.Since, in.Selection.Until = start.Add(3*time.Second), start.Add(8*time.Second) // both are a message's
		}, []uint64{3, 7}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			world(r)
			in := postern.Replay{Application: app, To: 1, Selection: postern.Selection{From: 1, Since: r.now.Add(-time.Hour)}}
			if test.edit != nil {
				test.edit(&in)
			}
			if n, exact, err := r.PreviewReplay(t.Context(), in); n != int64(len(test.want)) || !exact || err != nil {
				t.Errorf("previewed: %d, %t, %v", n, exact, err)
			}
			record := r.create(test.edit)
			end := r.walk(record)
			if diff := cmp.Diff(test.want, r.replayed(record.To, record)); diff != "" {
				t.Errorf("replayed (-want +got):\n%s", diff)
			}
			want := int64(len(test.want))
			if end.State != postern.ReplayFinished || end.Replayed != want || end.Total != want || end.Skipped != 0 || end.Examined < want || end.FinishedAt.IsZero() {
				t.Errorf("%+v", end)
			}
		})
	}
}

func status(s postern.ReplayStatus) func(in *postern.Replay) {
	return func(in *postern.Replay) { in.Selection.Status = s }
}

// TestMissingFollowsTheEndpoint: what an endpoint would not get now is not sent.
func TestMissingFollowsTheEndpoint(t *testing.T) {
	r := newRig(t)
	world(r)
	r.views[1].EventTypes = []string{"x.y"}
	record := r.create(status(postern.StatusMissing))
	r.walk(record)
	if diff := cmp.Diff([]uint64{6}, r.replayed(1, record)); diff != "" {
		t.Error(diff)
	}
}

// TestFailedMerges walks two indexes in small pieces, whatever lies in which.
func TestFailedMerges(t *testing.T) {
	for _, period := range []int{1, 2, 3, 7, 90} {
		r := newRig(t)
		var want []uint64
		for i := range 300 {
			m := r.publish(nil, 1)
			state := postern.Dead
			if (i/period)%2 == 0 {
				state = postern.Retrying
			}
			r.settle(m, state)
			want = append(want, m.ID.Position())
		}
		record := r.create(status(postern.StatusFailed))
		end := r.walk(record)
		if diff := cmp.Diff(want, r.replayed(1, record)); diff != "" || end.Replayed != 300 || end.Examined != 300 {
			t.Errorf("period %d: %+v\n%s", period, end, diff)
		}
	}
}

// TestFailedWhileItDies: a delivery that is given up between the reads of the two
// indexes is in one of them.
func TestFailedWhileItDies(t *testing.T) {
	r := newRig(t)
	m := r.publish(nil, 1)
	r.settle(m, postern.Retrying)
	record := r.create(status(postern.StatusFailed))
	r.cfg.Store = &dying{Store: r.st, between: func() {
		standing, err := r.st.Standing(t.Context(), r.key(m, 1))
		if err != nil {
			t.Fatal(err)
		}
		r.commit(store.Batch{
			Dead: []store.DeadChange{{Key: r.key(m, 1)}}, Rows: []store.RowChange{{Delete: standing.Row}},
			Attempts: []*postern.Attempt{{
				ID: postern.NewAttemptID(r.now, 0, r.head.Batch+1, 0, 1), Message: m.ID, Application: app, Endpoint: 1, N: 2, State: postern.Dead, Started: r.now,
			}},
		})
	}}
	if end := r.walk(record); end.Replayed != 1 {
		t.Errorf("%+v", end)
	}
}

// dying has something happen between the first two reads of indexes.
type dying struct {
	Store
	reads   int
	between func()
}

func (d *dying) read() {
	if d.reads++; d.reads == 2 {
		d.between()
	}
}

func (d *dying) Dead(ctx context.Context, app postern.ApplicationNumber, n postern.EndpointNumber, p store.Page) (store.DeadPage, error) {
	d.read()
	return d.Store.Dead(ctx, app, n, p)
}

func (d *dying) Waiting(ctx context.Context, app postern.ApplicationNumber, n postern.EndpointNumber, p store.Page) (store.RowPage, error) {
	d.read()
	return d.Store.Waiting(ctx, app, n, p)
}

// TestSinceTheBeginning: a time before all others, as some programs write none,
// is before everything.
func TestSinceTheBeginning(t *testing.T) {
	for _, since := range []time.Time{{}, time.Date(1800, 1, 1, 0, 0, 0, 0, time.UTC), time.UnixMilli(-1), time.UnixMilli(0)} {
		r := newRig(t)
		r.settle(r.publish(nil, 1), postern.Delivered)
		record := r.create(func(in *postern.Replay) { in.Selection.Since = since })
		if end := r.walk(record); end.Replayed != 1 || end.Total != 1 {
			t.Errorf("since %v: %+v", since, end)
		}
	}
}

// TestRangeIsFixed: what is published after a replay began is not in it, and
// what stands otherwise when its turn comes is skipped.
func TestRangeIsFixed(t *testing.T) {
	r := newRig(t)
	for range 3 {
		r.settle(r.publish(nil, 1), postern.Dead)
	}
	record := r.create(status(postern.StatusDead))
	late := r.publish(nil, 1)
	r.settle(late, postern.Dead)
	found, err := r.pick(t.Context(), record, record.Cursor, 10)
	if err != nil || len(found.messages) != 3 {
		t.Fatalf("%+v, %v", found, err)
	}
	r.settle(&postern.Message{ID: found.messages[1], Application: app}, postern.Delivered) // meanwhile, by hand
	if end := r.walk(record); end.Replayed != 2 || end.Skipped != 1 || end.Total != 3 {
		t.Errorf("%+v", end)
	}
}

// TestEstimate counts a part of a long range, and is not far off.
func TestEstimate(t *testing.T) {
	r := newRig(t)
	for range 1200 {
		r.settle(r.publish(nil, 1), postern.Dead)
	}
	in := &postern.Replay{Application: app, To: 1, Selection: postern.Selection{From: 1, Status: postern.StatusDead, Since: r.now.Add(-time.Hour), Until: r.now.Add(time.Second)}}
	in.Cursor = postern.NewMessageID(in.Selection.Since, 0, 0, 0)
	n, exact, err := r.count(t.Context(), in, bounds{examined: 400, pages: 100})
	if err != nil || exact || n < 1100 || n > 1300 {
		t.Errorf("of 1200 it counts %d, exactly: %t, %v", n, exact, err)
	}
	if n, exact, err = r.count(t.Context(), in, bounds{examined: 5000, pages: 100}); err != nil || !exact || n != 1200 {
		t.Errorf("all of them: %d, %t, %v", n, exact, err)
	}
}

package replay

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// pick is what a part of a replay's range comes to.
type pick struct {
	messages []postern.MessageID
	cursor   postern.MessageID // the last that was looked at
	examined int
	done     bool // there is nothing behind it
}

// record is the replay's record behind the pick.
func (p pick) record(before *postern.Replay, now time.Time) *postern.Replay {
	record := *before
	record.Cursor = p.cursor
	record.Examined += int64(p.examined)
	record.UpdatedAt = now
	if p.done {
		return ended(&record, postern.ReplayFinished, "", now)
	}
	return &record
}

// pick looks at the messages behind a cursor until it has chosen limit of them,
// or has read a page.
func (r *Runner) pick(ctx context.Context, of *postern.Replay, cursor postern.MessageID, limit int) (pick, error) {
	q := query{r: r, of: of, sel: &of.Selection, page: store.Page{After: cursor, Ascending: true, Limit: limit, Until: of.Selection.Until}}
	var p pick
	var err error
	switch of.Selection.Status {
	case postern.StatusDead:
		p, err = q.dead(ctx)
	case postern.StatusFailed:
		p, err = q.failed(ctx)
	default:
		p, err = q.messages(ctx)
	}
	if p.cursor.IsZero() {
		p.cursor = cursor
	}
	return p, err
}

// query is one look at a replay's range.
type query struct {
	r    *Runner
	of   *postern.Replay
	sel  *postern.Selection
	page store.Page
}

// messages walks headers, and asks how deliveries stand where that matters.
func (q *query) messages(ctx context.Context) (pick, error) {
	var p pick
	filter := q.filter()
	if q.sel.Status != postern.StatusMissing {
		filter.Endpoint = q.sel.From
	}
	found, err := q.r.cfg.Store.Messages(ctx, q.of.Application, filter, q.page)
	if err != nil {
		return p, err
	}
	p.messages, err = q.choose(ctx, found.Messages)
	p.examined = len(found.Messages)
	p.cursor, p.done = found.Next, found.Done
	return p, err
}

// choose judges messages whose headers fit.
func (q *query) choose(ctx context.Context, messages []*postern.Message) (chosen []postern.MessageID, err error) {
	own := q.sel.From == q.of.To && q.of.To != 0
	var keys []store.Placed
	for _, m := range messages {
		switch {
		case q.sel.Status == postern.StatusAll && !own:
			chosen = append(chosen, m.ID)
		case q.sel.Status != postern.StatusMissing || q.misses(m):
			keys = append(keys, store.Placed{Endpoint: q.sel.From, Message: m.ID})
		}
	}
	standings, err := q.r.cfg.Store.Standings(ctx, q.of.Application, keys)
	for i, standing := range standings {
		if stands(q.sel.Status, standing) {
			chosen = append(chosen, keys[i].Message)
		}
	}
	return chosen, err
}

// misses reports whether an endpoint would get a message now that was not routed
// to it.
func (q *query) misses(m *postern.Message) bool {
	view := q.r.cfg.Endpoint(q.sel.From)
	return view != nil && !slices.Contains(m.Routes, q.sel.From) && q.r.cfg.Matches(view, m.EventType, m.Channels)
}

// dead walks the index of dead deliveries.
func (q *query) dead(ctx context.Context) (pick, error) {
	found, err := q.r.cfg.Store.Dead(ctx, q.of.Application, q.sel.From, q.page)
	if err != nil {
		return pick{}, err
	}
	return q.fitting(ctx, pick{messages: found.Messages, cursor: found.Next, done: found.Done})
}

// failed walks the dead deliveries and those that wait for a retry side by
// side, in the order of their messages.
func (q *query) failed(ctx context.Context) (pick, error) {
	// What is given up between the two reads goes from the rows to the dead, and
	// so is in one of them. Who resends takes it back by himself.
	rows, err := q.r.cfg.Store.Waiting(ctx, q.of.Application, q.sel.From, q.page)
	if err != nil {
		return pick{}, err
	}
	dead, err := q.r.cfg.Store.Dead(ctx, q.of.Application, q.sel.From, q.page)
	if err != nil {
		return pick{}, err
	}
	// Where one list goes on behind its page, the other is not known any better
	// than up to there.
	p := pick{done: dead.Done && rows.Done}
	bounds := []postern.MessageID{}
	if !dead.Done {
		bounds = append(bounds, dead.Next)
	}
	if !rows.Done {
		bounds = append(bounds, rows.Next)
	}
	if !p.done {
		p.cursor = slices.MinFunc(bounds, postern.MessageID.Compare)
	}
	known := func(id postern.MessageID) bool { return p.done || id.Compare(p.cursor) <= 0 }
	for _, id := range dead.Messages {
		if known(id) {
			p.messages = append(p.messages, id)
		}
	}
	for _, row := range rows.Rows {
		if known(row.Message) && row.Tries > 0 {
			p.messages = append(p.messages, row.Message)
		}
	}
	slices.SortFunc(p.messages, postern.MessageID.Compare)
	if p.messages = slices.Compact(p.messages); len(p.messages) > q.page.Limit {
		p.messages, p.done = p.messages[:q.page.Limit], false
		p.cursor = p.messages[len(p.messages)-1]
	}
	return q.fitting(ctx, p)
}

// fitting leaves out what the filter does, where an index was walked that does
// not know of it.
func (q *query) fitting(ctx context.Context, p pick) (pick, error) {
	p.examined = len(p.messages)
	if p.cursor.IsZero() && p.examined > 0 {
		p.cursor = p.messages[p.examined-1]
	}
	filter := q.filter()
	if len(filter.EventTypes) == 0 && filter.Channel == "" && filter.Tag == "" {
		return p, nil
	}
	var fitting []postern.MessageID
	for _, id := range p.messages {
		m, err := q.r.cfg.Store.Message(ctx, q.of.Application, id)
		if errors.Is(err, postern.ErrNotFound) {
			continue // dropped since
		}
		if err != nil {
			return pick{}, err
		}
		if fits(filter, m) {
			fitting = append(fitting, id)
		}
	}
	p.messages = fitting
	return p, nil
}

func (q *query) filter() store.MessageFilter {
	return store.MessageFilter{EventTypes: q.sel.EventTypes, Channel: q.sel.Channel, Tag: q.sel.Tag}
}

func fits(f store.MessageFilter, m *postern.Message) bool {
	return (len(f.EventTypes) == 0 || slices.Contains(f.EventTypes, m.EventType)) &&
		(f.Channel == "" || slices.Contains(m.Channels, f.Channel)) &&
		(f.Tag == "" || slices.Contains(m.Tags, f.Tag))
}

// Wants judges a delivery to a replay's endpoint when its turn has come: it can
// have changed since it was chosen. It goes by what is fixed when a replay is
// created, and so is the same on every node.
func Wants(of *postern.Replay) func(store.Standing) bool {
	if of.Selection.From != of.To { // it was chosen by how it stands elsewhere, or by nothing
		return func(s store.Standing) bool { return s.State != postern.Sending }
	}
	status := of.Selection.Status
	return func(s store.Standing) bool { return stands(status, s) }
}

// stands reports whether a delivery stands as a status says. What waits for its
// first try, or is being tried, is on its way: that is left alone.
func stands(status postern.ReplayStatus, s store.Standing) bool {
	switch status {
	case postern.StatusDead:
		return s.State == postern.Dead
	case postern.StatusFailed:
		return s.State == postern.Dead || s.State == postern.Retrying && s.Row != nil && s.Row.Tries > 0
	case postern.StatusDelivered:
		return s.State == postern.Delivered
	case postern.StatusMissing:
		return s.State == postern.Pending && s.Attempts == 0 && s.Row == nil && !s.Final
	}
	return s.State != postern.Pending && s.State != postern.Sending
}

// bounds of a count: the messages looked at, and the pages read, of which one
// may look at thousands in vain.
type bounds struct{ examined, pages int }

// boundsOf a count that somebody waits for: some milliseconds' worth. What an
// index lists is counted faster than what is asked about one by one.
func boundsOf(sel *postern.Selection) bounds {
	indexed := sel.Status == postern.StatusDead || sel.Status == postern.StatusFailed
	if indexed && len(sel.EventTypes) == 0 && sel.Channel == "" && sel.Tag == "" {
		return bounds{examined: 10 * countPage, pages: 10}
	}
	return bounds{examined: 4 * countPage, pages: 4}
}

// count is how many deliveries a replay would start, as far as the bounds go:
// then it is not exact, and estimated by the time that was looked at.
func (r *Runner) count(ctx context.Context, of *postern.Replay, b bounds) (n int64, exact bool, err error) {
	var first postern.MessageID
	examined, cursor := 0, of.Cursor
	for pages := 0; pages < b.pages && examined < b.examined; pages++ {
		p, err := r.pick(ctx, of, cursor, countPage)
		if err != nil {
			return 0, false, err
		}
		if n == 0 && len(p.messages) > 0 {
			first = p.messages[0]
		}
		n += int64(len(p.messages))
		if examined += p.examined; p.examined == 0 {
			pages++ // it has looked at thousands
		}
		if p.done {
			return n, true, nil
		}
		cursor = p.cursor
	}
	if n > 0 {
		seen, whole := cursor.Time().Sub(first.Time()), of.Selection.Until.Sub(first.Time())
		if seen > 0 && whole > seen {
			n = int64(float64(n) * float64(whole) / float64(seen))
		}
	}
	return n, false, nil
}

// countPage is how many are counted at a time.
const countPage = 500

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/dispatch"
	"github.com/postern-dev/postern/internal/replay"
	"github.com/postern-dev/postern/store"
)

// order is something that the holder of a journal does: this node, or another that
// is asked by way of the store.
type order struct {
	Op          orderOp                   `json:"op"`
	Application postern.ApplicationNumber `json:"application"`
	Endpoint    postern.EndpointNumber    `json:"endpoint,omitempty"`
	Messages    []postern.MessageID       `json:"messages,omitempty"` // of the journal
	// Replay is the record before a slice of it, one to be made, or one whose
	// state is to be set. Again: of that slice more may have been begun.
	Replay *postern.Replay `json:"replay,omitempty"`
	Again  bool            `json:"again,omitempty"`
	// Pull is of an order about leases.
	Pull *pullOrder `json:"pull,omitempty"`
	// Tail is who follows this node, and what it wants to hear.
	Tail *tailOrder `json:"tail,omitempty"`
}

// orderOp says what is to be done.
type orderOp string

const (
	orderResend  orderOp = "resend"
	orderCancel  orderOp = "cancel"
	orderExpunge orderOp = "expunge"
	orderReplay  orderOp = "replay"
	// What follows is for the node that gives the leases.
	orderWatch   orderOp = "watch"
	orderLease   orderOp = "lease"
	orderLend    orderOp = "lend"
	orderAck     orderOp = "ack"
	orderNack    orderOp = "nack"
	orderExtend  orderOp = "extend"
	orderRelease orderOp = "release"
	orderSettle  orderOp = "settle"
	// What follows is for the node that leads.
	orderCreateReplay orderOp = "create_replay"
	orderSetReplay    orderOp = "set_replay"
	orderExpungeAll   orderOp = "expunge_all"
	// And this is for any node, asked by its main journal.
	orderTail orderOp = "tail"
)

// result is what came of an order.
type result struct {
	// Missing counts messages that were not there to be expunged.
	Missing int `json:"missing,omitempty"`
	// Taken counts the messages that a replay's slice dealt with, and Started the
	// deliveries of these that it started.
	Taken   int `json:"taken,omitempty"`
	Started int `json:"started,omitempty"`
	// Replay is one that was made or changed.
	Replay *postern.Replay `json:"replay,omitempty"`
	// Pull is of an order about leases.
	Pull *pullResult `json:"pull,omitempty"`
	// Tail is what a node that follows has not heard yet.
	Tail *tailResult `json:"tail,omitempty"`
	// Failure is why it was not done, as far as it was not.
	Failure *failure `json:"failure,omitempty"`
}

// failure is an error on its way between nodes.
type failure struct {
	Kind   postern.Kind         `json:"kind"`
	Code   string               `json:"code,omitempty"`
	Detail string               `json:"detail"`
	Fields []postern.FieldError `json:"fields,omitempty"`
}

func (f *failure) err() error {
	return &postern.Error{Kind: f.Kind, Code: f.Code, Detail: f.Detail, Fields: f.Fields}
}

// Resend starts a delivery anew, whatever became of it so far: its schedule begins
// again, and the next attempt is marked as manual. It returns once that is durable.
// postern.ErrNotFound for a message that is not there, or has no payload any more.
func (e *Engine) Resend(ctx context.Context, d store.DeliveryKey) error {
	_, err := e.do(ctx, d.Message.Journal(), order{Op: orderResend, Application: d.Application, Endpoint: d.Endpoint, Messages: []postern.MessageID{d.Message}})
	return err
}

// Cancel ends an unfinished delivery, and returns once that is durable. An attempt
// under way goes on, and is the last. postern.ErrConflict for a finished one.
func (e *Engine) Cancel(ctx context.Context, d store.DeliveryKey) error {
	_, err := e.do(ctx, d.Message.Journal(), order{Op: orderCancel, Application: d.Application, Endpoint: d.Endpoint, Messages: []postern.MessageID{d.Message}})
	return err
}

// Expunge deletes a message's payload and ends its unfinished deliveries as
// canceled. The message itself stays. postern.ErrNotFound for none.
func (e *Engine) Expunge(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID) error {
	missing, err := e.expunge(ctx, app, []postern.MessageID{id})
	if err == nil && missing > 0 {
		return postern.ErrNotFound
	}
	return err
}

// expunge is Expunge for some messages; it tells how many are not there.
func (e *Engine) expunge(ctx context.Context, app postern.ApplicationNumber, ids []postern.MessageID) (missing int, err error) {
	for journal, some := range byJournal(ids) {
		r, err := e.do(ctx, journal, order{Op: orderExpunge, Application: app, Messages: some})
		missing += r.Missing
		if err != nil {
			return missing, err
		}
	}
	return missing, nil
}

// startSlice has a slice of a replay started, each delivery by its journal's
// holder. The record goes with the last of them, so that it is never ahead; where
// this node ends before, who goes on sees from the attempts what was started.
func (e *Engine) startSlice(s replay.Slice) (taken, started int, err error) {
	own := s.Messages
	var since time.Time
	if e.nodes != nil {
		before, err := e.replays.Task(s.Application, s.Replay)
		if err != nil {
			return 0, 0, err
		}
		if own, err = e.startElsewhere(s, before); err != nil {
			return 0, 0, err
		}
		since = begunSince(before, s.Begun.Again)
	}
	elsewhere := s.Begun.Started
	reached := func(taken int) int { // of all messages, when so many of the own are dealt with
		if taken == len(own) {
			return len(s.Messages)
		}
		return slices.Index(s.Messages, own[taken])
	}
	record := func(taken, started int) *postern.Replay { return s.Record(reached(taken), started+elsewhere) }
	if len(own) == 0 {
		err = e.store(context.Background(), 512, func(b *store.Batch) { // as all of a slice, it is not given up half-way
			b.Changes = append(b.Changes, store.Change{Put: record(0, 0)})
		})
	} else {
		taken, started, err = e.shards.main.dispatcher.Replay(dispatch.Slice{
			Replay: s.Replay, Application: s.Application, Endpoint: s.Endpoint, Messages: own, Wants: s.Wants, Since: since, Record: record,
		})
	}
	if err != nil && taken == 0 {
		return 0, 0, err
	}
	return reached(taken), started + elsewhere, err
}

// startElsewhere has those of a slice's messages dealt with that are of other
// journals than the main one, and returns the rest.
func (e *Engine) startElsewhere(s replay.Slice, before *postern.Replay) (own []postern.MessageID, err error) {
	ctx, cancel := e.patience(context.Background())
	defer cancel()
	journals := byJournal(s.Messages)
	own = s.Begun.Without(journals[e.shards.main.journal])
	delete(journals, e.shards.main.journal)
	for _, journal := range slices.Sorted(maps.Keys(journals)) {
		left := s.Begun.Without(journals[journal])
		if len(left) == 0 {
			continue
		}
		r, err := e.do(ctx, journal, order{
			Op: orderReplay, Application: s.Application, Endpoint: s.Endpoint, Messages: left, Replay: before, Again: s.Begun.Again,
		})
		s.Begun.Add(left[:min(r.Taken, len(left))], r.Started)
		if err != nil {
			return nil, err
		}
	}
	return own, nil
}

// patience is a context for what is not given up half-way, unless a stop has waited
// for long.
func (e *Engine) patience(of context.Context) (ctx context.Context, cancel func()) {
	ctx, end := context.WithCancelCause(context.WithoutCancel(of))
	go func() { // ends with ctx
		select {
		case <-e.impatient:
			end(errStopping)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { end(nil) }
}

// begunSince is since when a slice of a replay may have been begun by who led before,
// or without an answer; zero where it was not.
func begunSince(r *postern.Replay, again bool) time.Time {
	if !again {
		return time.Time{}
	}
	return r.CreatedAt
}

// byJournal sorts messages by the journal that they are of, in their order.
func byJournal(ids []postern.MessageID) map[uint16][]postern.MessageID {
	journals := make(map[uint16][]postern.MessageID, 1)
	for _, id := range ids {
		journals[id.Journal()] = append(journals[id.Journal()], id)
	}
	return journals
}

// lead has an order carried out by the node that leads.
func (e *Engine) lead(ctx context.Context, o order) (*postern.Replay, error) {
	journal := e.shards.main.journal
	if e.nodes != nil {
		var ok bool
		if journal, ok = e.nodes.leader(); !ok {
			return nil, &postern.Error{Kind: postern.Unavailable, Detail: "no node leads at the moment: try again"}
		}
	}
	r, err := e.do(ctx, journal, o)
	return r.Replay, err
}

// do has an order carried out by the holder of a journal.
func (e *Engine) do(ctx context.Context, journal uint16, o order) (result, error) {
	sh, err := e.borrow(ctx, journal)
	if err != nil {
		return result{}, err
	}
	if sh != nil {
		defer e.shards.giveBack(sh)
		return e.carryOut(ctx, sh, o)
	}
	return e.order(ctx, journal, o)
}

// order has an order carried out by another node, which holds a journal.
func (e *Engine) order(ctx context.Context, journal uint16, o order) (result, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return result{}, err
	}
	answer, err := e.nodes.cluster.Ask(ctx, journal, body)
	if err != nil {
		return result{}, err
	}
	var r result
	if err := json.Unmarshal(answer, &r); err != nil {
		return result{}, &postern.Error{Kind: postern.Internal, Detail: "another node's answer cannot be read", Err: err}
	}
	if r.Failure != nil {
		err = r.Failure.err()
	}
	return r, err
}

// borrow is the shard that has a journal, to be given back; nil where another node
// has it. A journal that nobody needed any more is taken.
func (e *Engine) borrow(ctx context.Context, journal uint16) (*shard, error) {
	if e.nodes == nil {
		return e.shards.borrow(e.shards.main.journal), nil // whose ids are of another journal were copied from elsewhere
	}
	for {
		if sh := e.shards.borrow(journal); sh != nil {
			return sh, nil
		}
		if sh, err := e.nodes.holder(ctx, journal); sh == nil { // else it may be let go before it is borrowed
			return nil, err
		}
	}
}

// carryOut does what an order asks for.
func (e *Engine) carryOut(ctx context.Context, sh *shard, o order) (r result, err error) {
	key := func(id postern.MessageID) store.DeliveryKey {
		return store.DeliveryKey{Application: o.Application, Endpoint: o.Endpoint, Message: id}
	}
	switch o.Op {
	case orderResend:
		err = sh.dispatcher.Resend(ctx, key(o.Messages[0]))
	case orderCancel:
		err = sh.dispatcher.Cancel(ctx, key(o.Messages[0]))
	case orderExpunge:
		r.Missing, err = sh.dispatcher.ExpungeSome(ctx, o.Application, o.Messages)
	case orderReplay:
		r.Taken, r.Started, err = sh.dispatcher.Replay(dispatch.Slice{
			Replay: o.Replay.ID, Application: o.Application, Endpoint: o.Endpoint, Messages: o.Messages, Wants: replay.Wants(o.Replay), Since: begunSince(o.Replay, o.Again),
		})
	case orderCreateReplay:
		r.Replay, err = e.replays.CreateReplay(ctx, *o.Replay)
	case orderSetReplay:
		r.Replay, err = e.replays.SetReplayState(ctx, o.Application, o.Replay.ID, o.Replay.State)
	case orderExpungeAll:
		r.Replay, err = e.replays.ExpungeAll(ctx, o.Application)
	case orderTail:
		r.Tail, err = e.nodes.tails.answer(ctx, sh.journal, o.Tail)
	default:
		err = o.unknown()
	}
	return r, err
}

func (o *order) unknown() error {
	return &postern.Error{Kind: postern.Unavailable, Detail: "a node of an older version does not know \"" + string(o.Op) + "\""}
}

// answer carries out what another node asks for, and tells it what came of it. err
// is of reading the order. errNotHeld where it is somebody else's to answer by now.
func (e *Engine) answer(ctx context.Context, request store.Request, o order, err error) error {
	var r result
	if err == nil {
		r, err = e.obey(ctx, request.Journal, o)
	}
	if errors.Is(err, errNotHeld) {
		return err
	}
	if err != nil {
		r.Failure = failureOf(err)
	}
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	told, err := e.reply(ctx, request.ID, body)
	if r.Pull != nil {
		e.granted(o.Endpoint, r.Pull.Granted, told)
	}
	return err
}

// answerFor is how long a node tries to tell what came of a request while the store
// is away. Who asked waits for the store as well.
const answerFor = 10 * time.Second

// told says whether an answer is known to who asked.
type told uint8

const (
	toldAsker  told = iota
	toldNobody      // for sure
	toldUnsure
)

// reply answers a request. What could not be told at first may have come all the same.
func (e *Engine) reply(ctx context.Context, id uint64, body []byte) (to told, err error) {
	for begun := time.Now(); ; to = toldUnsure {
		err = e.nodes.cluster.Answer(ctx, id, body)
		switch {
		case err == nil:
			return toldAsker, nil
		case errors.Is(err, postern.ErrNotFound) && to == toldUnsure:
			return toldUnsure, nil
		case errors.Is(err, postern.ErrNotFound):
			return toldNobody, nil
		case !errors.Is(err, postern.ErrUnavailable) || time.Since(begun) > answerFor:
			return toldUnsure, err
		}
		select {
		case <-time.After(tellAgain):
		case <-e.impatient:
			return toldUnsure, err
		}
	}
}

func (e *Engine) obey(ctx context.Context, journal uint16, o order) (result, error) {
	if o.Pull != nil {
		r, err := e.obeyPull(ctx, journal, o)
		return result{Pull: r}, err
	}
	sh := e.shards.borrow(journal)
	if sh == nil {
		if sh = e.nodes.awaited(journal); sh == nil {
			return result{}, errNotHeld
		}
	}
	defer e.shards.giveBack(sh)
	if slices.ContainsFunc(o.Messages, func(id postern.MessageID) bool { return id.Journal() != journal }) {
		return result{}, &postern.Error{Kind: postern.Internal, Detail: "another journal's holder was asked"}
	}
	if !o.complete() {
		return result{}, o.lacks()
	}
	return e.carryOut(ctx, sh, o)
}

// complete reports whether an order has what carrying it out goes by.
func (o *order) complete() bool {
	switch o.Op {
	case orderResend, orderCancel:
		return len(o.Messages) == 1
	case orderReplay, orderCreateReplay, orderSetReplay:
		return o.Replay != nil
	case orderTail:
		return o.Tail != nil
	default:
		return true
	}
}

func (o *order) lacks() error {
	return &postern.Error{Kind: postern.Unavailable, Detail: "a node of another version asks for \"" + string(o.Op) + "\" without all that it needs"}
}

// errNotHeld is of a request for a journal that was let go just now.
var errNotHeld = errors.New("the node does not hold the journal")

// failureOf leaves out what is of this process alone.
func failureOf(err error) *failure {
	known, ok := errors.AsType[*postern.Error](err)
	if !ok {
		return &failure{Kind: postern.Internal, Detail: err.Error()}
	}
	return &failure{Kind: known.Kind, Code: known.Code, Detail: known.Detail, Fields: known.Fields}
}

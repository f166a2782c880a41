package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Commit is a loop around one statement. Each round first makes sure of three
// things: that there is a connection, that no earlier round's outcome is open, and
// that the days of the batch have tables. Whatever goes wrong in a round ends it;
// persist decides by the error whether there is another.

const (
	// tryTimeout bounds one try of a batch; what became of it is then asked for.
	tryTimeout = time.Minute
	// statementName is what postern_commit's call is prepared under.
	statementName = "postern_commit"
)

// errClosed is what a closed store answers.
var errClosed = &postern.Error{Kind: postern.Unavailable, Code: "store_closed", Detail: "the store is closed"}

// errGivenUp is what becomes of a store whose caller gives a batch up. The next batch
// could pass for it.
var errGivenUp = &postern.Error{Kind: postern.Unavailable, Code: "batch_given_up", Detail: "a batch was given up while the database was away: whether it is stored shows when the store is opened again"}

// errAway is Admit's while the database is.
var errAway = &postern.Error{Kind: postern.Unavailable, Code: store.CodeAway, Detail: "the database takes nothing at the moment: try again"}

// writer is Commit's connection and memory. It has one user at a time.
type writer struct {
	// mu has a second user only in Close.
	mu   sync.Mutex
	conn *pgx.Conn // nil while there is none
	used time.Time // when a batch was last stored over it
	// prepared: the connection's session knows the statement by its name.
	prepared  bool
	args      *arguments
	statement string
	// abort ends the try under way, and sent one that has a connection.
	abort, sent abortion
}

// abortion cancels what is under way, from another goroutine.
type abortion struct {
	mu     sync.Mutex
	cancel context.CancelFunc
}

// set notes how to cancel, nil for nothing to cancel.
func (a *abortion) set(cancel context.CancelFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cancel = cancel
}

// call cancels what is under way, if anything is.
func (a *abortion) call() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cancel != nil {
		a.cancel()
	}
}

// Head implements store.Journal. Numbers of the catalogue are those that any journal
// has given out by now, and what is newest and dropped is so of all.
func (s *Store) Head(ctx context.Context) (store.Head, error) {
	if err := s.whole(); err != nil {
		return store.Head{}, err
	}
	head := *s.head.Load()
	stored, err := s.readHead(ctx, s.reads)
	head.Applications = max(head.Applications, stored.Applications)
	head.Endpoints = max(head.Endpoints, stored.Endpoints)
	head.Newest, head.Dropped = later(head.Newest, stored.Newest), later(head.Dropped, stored.Dropped)
	return head, s.unread(err)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// Admit implements store.Journal.
func (s *Store) Admit() error {
	if err := s.failed(); err != nil {
		return &postern.Error{Kind: postern.Unavailable, Detail: "the store has failed and accepts nothing until it is opened again", Err: err}
	}
	if s.outage.underWay() {
		return errAway
	}
	return nil
}

// Commit implements store.Journal. While the database is away it keeps the batch
// and tries again, until the store is closed or ctx ends; either ends the store.
func (s *Store) Commit(ctx context.Context, b *store.Batch) error {
	w := &s.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := s.whole(); err != nil {
		return err
	}
	if s.opts.ReadOnly {
		return errReadOnly
	}
	err := advances(s.head.Load(), &b.Head)
	if err == nil {
		err = w.args.fill(s.opts.Journal, b, int64(s.dropped()))
	}
	if err == nil {
		err = s.persist(ctx, b)
	}
	if errors.Is(err, errClosed) {
		return err
	}
	if amendable(err) {
		s.outage.end(s, byCommit) // it answers
		return err
	}
	if err != nil {
		s.fail(err)
		return s.failed()
	}
	head := b.Head
	s.head.Store(&head)
	s.outage.end(s, byCommit)
	s.committed(b)
	return nil
}

// advances refuses a head that goes back behind the last: it would give ids
// and positions out a second time.
func advances(last, next *store.Head) error {
	if next.Batch <= last.Batch || next.Next < last.Next || next.LastTime.Before(last.LastTime) {
		return fmt.Errorf("the head goes back: batch %d, next %d after batch %d, next %d", next.Batch, next.Next, last.Batch, last.Next)
	}
	return nil
}

// persist tries until the batch is stored or never will be.
func (s *Store) persist(ctx context.Context, b *store.Batch) error {
	var pause pauses
	missing := 0 // how often a partition was, which is made once and for all
	for {
		select {
		case <-s.closing:
			return errClosed
		default:
		}
		err := s.try(ctx, b)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errFenced), errors.Is(err, errUnexpected), amendable(err):
			return err
		case errors.Is(err, errNotTaken):
			continue // what stood in its way has gone meanwhile
		case s.address.notePooler(s, err):
			continue // the server did not know the name: nothing was done
		case code(err) == noPartition && missing < 3:
			// Somebody else dropped it, or the data was restored: what is known of
			// tables is not so any more.
			missing++
			s.ready.Clear()
			continue
		case !passing(err):
			// The same batch would be refused again and again.
			return &postern.Error{Kind: postern.Internal, Detail: "the database refused a batch", Err: s.address.scrub(err)}
		}
		s.outage.begin(s, byCommit, err)
		if !pause.wait(ctx, s.closing) && ctx.Err() != nil {
			return errGivenUp
		}
	}
}

// errUnexpected is a head in the database that is not the one that was written
// last: somebody else wrote, or took writes back.
var errUnexpected = &postern.Error{Kind: postern.Internal, Code: "unexpected_head", Detail: "the journal in the database does not end with the last batch: it was restored, or changed by hand"}

// try sends the batch once, over a connection that is known to be good, after
// what is in doubt is settled. It ends soon after abort.
func (s *Store) try(caller context.Context, b *store.Batch) (err error) {
	w := &s.writer
	// A caller that gives up would rather not leave a batch of unknown fate behind.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(caller), tryTimeout)
	defer cancel()
	w.abort.set(cancel)
	defer w.abort.set(nil)
	defer context.AfterFunc(caller, func() { time.AfterFunc(closeGrace, cancel) })()
	// A database that hangs is noticed before it is given up.
	defer s.outage.watch(s)()
	// After anything but an answer of the server's nobody knows what would be read
	// next. Where it refused, the next connection may lead to another server, or have
	// other settings: a session keeps those that it began with.
	defer func() {
		if err != nil && !amendable(err) {
			w.disconnect(ctx)
			return
		}
		w.used = time.Now()
	}()

	if err := w.connect(ctx, s.address); err != nil {
		return err
	}
	w.sent.set(cancel)
	defer w.sent.set(nil)
	if s.hold.doubt { // only this goroutine changes it
		last, err := s.settleDoubt(ctx, w.conn)
		if err != nil || last == b.Head.Batch {
			return err
		}
	}
	if err := s.makePartitions(ctx, w.conn, b); err != nil {
		return err
	}
	err = s.send(ctx)
	if code(err) == takenCode {
		return s.refusal(ctx)
	}
	return err
}

// send calls the function and reads its answer. Where the answer does not come,
// the batch is in doubt: it may be stored, or be stored yet.
func (s *Store) send(ctx context.Context) error {
	w := &s.writer
	conn := w.conn.PgConn()
	// Preparing does nothing yet: its failure leaves no doubt.
	if named := !s.address.unnamed.Load(); named && !w.prepared {
		if _, err := conn.Prepare(ctx, statementName, w.statement, w.args.types); err != nil {
			return err
		}
		w.prepared = true
	}
	values, text := w.args.list(s.hold.epoch), []int16{0}
	var result *pgconn.Result
	if w.prepared {
		result = conn.ExecPrepared(ctx, statementName, values, w.args.formats, text).Read()
	} else {
		result = conn.ExecParams(ctx, w.statement, values, w.args.types, w.args.formats, text).Read()
	}
	err := result.Err
	if err != nil {
		if unanswered(err) {
			s.hold.doubted()
		}
		return err
	}
	switch answer := string(result.Rows[0][0]); answer {
	case "ok":
		return nil
	case "fenced":
		return errFenced
	case "stale":
		return &store.Amend{Stale: true}
	default:
		return errUnexpected
	}
}

const (
	// rested is how long a connection may have lain idle that is trusted unasked.
	rested = time.Second
	// askTimeout is how long one that was idle may take to show that it is good.
	askTimeout = 2 * time.Second
)

// connect makes sure of a connection. One that was idle is asked first: it may have
// been cut by a limit of the server's or of what is between, and a batch sent over
// it would be in doubt.
func (w *writer) connect(ctx context.Context, a *address) (err error) {
	if w.conn != nil && time.Since(w.used) > rested {
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		if w.conn.Ping(asking) != nil {
			w.disconnect(ctx)
		}
	}
	if w.conn == nil {
		w.conn, err = a.connect(ctx)
	}
	return err
}

// disconnect drops the connection: the next try makes another.
func (w *writer) disconnect(ctx context.Context) {
	if w.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = w.conn.Close(ctx) // nothing is expected of it any more
	w.conn, w.prepared = nil, false
}

// committed takes note of what a stored batch changed for readers.
func (s *Store) committed(b *store.Batch) {
	// Readers that asked before see the day, or the application, for one more moment.
	if b.DropDay > s.dropped() {
		s.day.Store(uint32(b.DropDay))
		s.wake()
	}
	for i := range b.Changes {
		if app, ok := b.Changes[i].Delete.(*postern.Application); ok {
			s.deleted.Store(app.Number, true)
			s.wake()
		}
	}
}

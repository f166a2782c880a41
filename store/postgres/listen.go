package postgres

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// channel is what nodes tell one another by; migrations/ has its words.
	channel = "postern"
	// quiet is how long nothing may be heard before the connection is asked whether
	// it is still there.
	quiet = 10 * time.Second
	// proveWithin is how long the own words may take to be heard, deafFor how long it
	// then lasts until the next try.
	proveWithin, deafFor = 2 * time.Second, time.Minute
)

// errDeaf is what a listener learns that does not hear itself.
var errDeaf = errors.New("what is notified is not heard, as behind a pooler of transactions")

// hear listens until the store is closed, over a connection of its own. While it
// cannot, tick looks more often.
func (s *Store) hear(ctx context.Context) {
	var pause pauses
	for {
		err := s.listenOn(ctx, func() { pause = pauses{} })
		if s.node.listening.Swap(false) {
			poke(s.node.heard)
		}
		wait := pause.grow()
		if errors.Is(err, errDeaf) {
			wait = deafFor
		}
		if !rest(ctx, s.closing, wait) {
			return
		}
	}
}

// listenOn listens over one connection until it breaks; begun is called once it is
// known to hear.
func (s *Store) listenOn(ctx context.Context, begun func()) error {
	conn, err := s.listener(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // nothing is expected of it any more
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	if err := s.prove(ctx, conn); err != nil {
		return err
	}
	begun()
	s.node.listening.Store(true)
	poke(s.node.heard) // for what was told before
	for {
		if err := s.listenOnce(ctx, conn); err != nil {
			return err
		}
	}
}

// listener connects to where something may be heard. A pooler is left alone, whose
// sessions would go on listening: it gives its clients other numbers than the
// processes have that serve them.
func (s *Store) listener(ctx context.Context) (*pgx.Conn, error) {
	if s.listen != nil {
		return s.listen.connect(ctx)
	}
	if s.address.unnamed.Load() {
		return nil, errDeaf
	}
	conn, err := s.address.connect(ctx)
	if err != nil {
		return nil, err
	}
	var process uint32
	err = conn.QueryRow(ctx, "SELECT pg_backend_pid()::oid").Scan(&process)
	if err == nil && process == conn.PgConn().PID() {
		return conn, nil
	}
	_ = conn.Close(context.WithoutCancel(ctx)) // nothing is expected of it any more
	if err == nil {
		err = errDeaf
	}
	return nil, err
}

// prove has another session say something that only this listener waits for.
func (s *Store) prove(ctx context.Context, conn *pgx.Conn) error {
	word := "p" + strconv.FormatInt(random63(), 10)
	ctx, cancel := context.WithTimeout(ctx, proveWithin)
	defer cancel()
	if _, err := s.node.control.Exec(ctx, "SELECT pg_notify($1::text, $2::text)", channel, word); err != nil {
		return err
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if pgconn.Timeout(err) {
			return errDeaf
		}
		if err != nil || n.Payload == word {
			return err
		}
	}
}

// listenOnce waits for the next word. While it stays quiet it asks whether the
// connection is there.
func (s *Store) listenOnce(ctx context.Context, conn *pgx.Conn) error {
	waiting, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	n, err := conn.WaitForNotification(waiting)
	if err == nil {
		s.node.told(n.Payload)
		return nil
	}
	if ctx.Err() != nil || !pgconn.Timeout(err) || conn.IsClosed() {
		return err
	}
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return conn.Ping(asking)
}

// told passes a word of the channel on to whom it concerns.
func (n *node) told(word string) {
	if word == "" {
		n.ring()
		return
	}
	number, err := strconv.ParseInt(word[1:], 10, 64)
	if err != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch word[0] {
	case 'r':
		if n.journals[uint16(number)] != nil {
			n.ring()
		}
	case 'a':
		if c := n.asks[number]; c != nil {
			poke(c)
		}
	}
}

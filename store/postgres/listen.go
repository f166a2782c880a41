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
	// proveWithin is how long the own words may take to be heard.
	proveWithin = 2 * time.Second
)

// errDeaf is what a listener learns that does not hear itself.
var errDeaf = errors.New("what is notified is not heard, as behind a pooler of transactions")

// hear listens until the store is closed, over a connection of its own. While it
// cannot, tick looks more often.
func (s *Store) hear(ctx context.Context) {
	var pause pauses
	for {
		if a := s.listener(); a != nil {
			err := s.listenOn(ctx, a, func() { pause = pauses{} })
			if s.node.listening.Swap(false) {
				poke(s.node.heard)
			}
			if errors.Is(err, errDeaf) {
				return
			}
		}
		if !pause.wait(ctx, s.closing) {
			return
		}
	}
}

// listener is where to listen: nil where nothing would be heard.
func (s *Store) listener() *address {
	if s.listen != nil {
		return s.listen
	}
	if s.address.unnamed.Load() {
		return nil
	}
	return s.address
}

// listenOn listens over one connection until it breaks; begun is called once it is
// known to hear.
func (s *Store) listenOn(ctx context.Context, a *address, begun func()) error {
	conn, err := a.connect(ctx)
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

// prove has another session say something that only this listener waits for: a
// pooler would take LISTEN and pass nothing on.
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
		if n.journals[uint16(number)] {
			n.ring()
		}
	case 'a':
		if c := n.asks[number]; c != nil {
			poke(c)
		}
	}
}

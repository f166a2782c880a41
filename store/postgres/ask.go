package postgres

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern"
)

const (
	// maxRequest is what a request, and an answer, may have in bytes.
	maxRequest = 1 << 20
	// answerWithin is how long an answer is waited for at most; afterwards the
	// request counts no more, and whoever finds it removes it.
	answerWithin = time.Minute
	// firstLook grows to lookEvery between looks for an answer.
	firstLook = 20 * time.Millisecond
)

// errLost is what comes of a request that a crash of the database took with it. Nobody
// answers it any more.
var errLost = &postern.Error{Kind: postern.Unavailable, Code: "no_answer", Detail: "the database has lost what another node was asked: it may have done that or not"}

// Ask implements store.Cluster.
func (s *Store) Ask(ctx context.Context, journal uint16, request []byte) ([]byte, error) {
	request, err := bounded("request", request)
	if err != nil {
		return nil, err
	}
	if s.opts.ReadOnly {
		return nil, errReadOnly
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	id := random63()
	answered := s.node.expect(id)
	defer s.node.forget(id)
	_, err = s.node.control.Exec(ctx, "SELECT postern_ask($1::int8, $2::int2, $3::bytea, $4::int8)", id, int16(journal), request, answerWithin.Milliseconds())
	if err == nil || unanswered(err) { // else nobody has been asked
		var answer []byte
		if answer, err = s.await(ctx, id, answered); err == nil {
			return answer, nil
		}
	}
	if answer, answered := s.withdraw(ctx, id); answered {
		return answer, nil // what was done may have to be undone
	}
	if _, own := errors.AsType[*postern.Error](err); own {
		return nil, err
	}
	return nil, &postern.Error{Kind: postern.Unavailable, Code: "no_answer", Err: s.address.scrub(err),
		Detail: fmt.Sprintf("the node that holds journal %d has not answered in time: it may have done what was asked or not", journal)}
}

// await looks for the answer, at once when it is told of one, until ctx ends.
func (s *Store) await(ctx context.Context, id int64, answered <-chan struct{}) ([]byte, error) {
	for wait := firstLook; ; wait = min(2*wait, s.node.lookEvery()) {
		timer := time.NewTimer(wait)
		select {
		case <-answered:
		case <-timer.C:
		case <-s.closing:
			timer.Stop()
			return nil, errClosed
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		timer.Stop()
		var answer *string
		err := s.node.control.QueryRow(ctx, "SELECT encode(r.answer, 'hex') FROM request r WHERE r.id = $1::int8", id).Scan(&answer)
		switch {
		case err == nil && answer != nil:
			s.withdraw(ctx, id)
			return hex.DecodeString(*answer)
		case errors.Is(err, pgx.ErrNoRows):
			return nil, errLost
		case err != nil && !passing(err): // else the database may come back in time
			return nil, err
		}
	}
}

// withdraw removes a request that nobody waits for any more, and returns the answer if
// there is one by now. Where it fails the next one's asker does.
func (s *Store) withdraw(ctx context.Context, id int64) (answer []byte, answered bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	var text *string
	err := s.node.control.QueryRow(ctx, "DELETE FROM request WHERE id = $1::int8 RETURNING encode(answer, 'hex')", id).Scan(&text)
	if err != nil || text == nil {
		return nil, false
	}
	answer, err = hex.DecodeString(*text)
	return answer, err == nil
}

// Answer implements store.Cluster.
func (s *Store) Answer(ctx context.Context, id uint64, answer []byte) error {
	answer, err := bounded("answer", answer)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	var waits bool
	err = s.node.control.QueryRow(ctx, "SELECT postern_answer($1::int8, $2::bytea)", int64(id), answer).Scan(&waits)
	if err == nil && !waits {
		return postern.ErrNotFound
	}
	return s.unread(err)
}

// bounded refuses what is too large to go through a table. Nil would be NULL there.
func bounded(what string, body []byte) ([]byte, error) {
	switch {
	case body == nil:
		return []byte{}, nil
	case len(body) <= maxRequest:
		return body, nil
	}
	return nil, &postern.Error{Kind: postern.TooLarge, Detail: fmt.Sprintf("a %s to another node has %d bytes, and may have %d", what, len(body), maxRequest)}
}

// expect has told send to the channel when a request is answered.
func (n *node) expect(id int64) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := make(chan struct{}, 1)
	n.asks[id] = c
	return c
}

func (n *node) forget(id int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.asks, id)
}

// random63 is a positive number that nobody else has.
func random63() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return int64(binary.BigEndian.Uint64(b[:]) >> 1)
}

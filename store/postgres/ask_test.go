package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// echo answers what a store is asked, in capitals, until the test's end, and tells
// how often it looked.
func echo(t *testing.T, s *Store) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { stop(); <-done })
	go func() {
		defer close(done)
		for {
			select {
			case <-s.Wake():
			case <-ctx.Done():
				return
			}
			state, err := s.Poll(ctx)
			for _, r := range state.Requests {
				if err == nil {
					err = s.Answer(ctx, r.ID, bytes.ToUpper(r.Body))
				}
			}
			if err != nil && ctx.Err() == nil && postern.KindOf(err) != postern.Unavailable {
				t.Error(err)
			}
		}
	}()
}

// What is asked is answered by the journal's holder: at once where the database
// tells of it, else after a look or two, and also when its listeners were cut.
func TestAsk(t *testing.T) {
	for name, address := range map[string]string{"listening": "", "looking": "&default_query_exec_mode=exec"} {
		t.Run(name, func(t *testing.T) {
			url := cluster.Database(t)
			holder, asker := open(t, url+address, Options{Node: "holder"}), open(t, url+address, Options{Node: "asker"})
			ask := func(what string) time.Duration {
				t.Helper()
				began := time.Now()
				answer, err := asker.Ask(t.Context(), 0, []byte(what))
				if err != nil || string(answer) != strings.ToUpper(what) {
					t.Fatalf("answer %q, %v", answer, err)
				}
				return time.Since(began)
			}
			echo(t, holder)
			if name == "looking" {
				ask("hello\x00")
				if holder.node.listening.Load() {
					t.Error("it listens through a pooler")
				}
				return
			}
			until(t, func() bool { return holder.node.listening.Load() && asker.node.listening.Load() })
			ask("hello\x00")
			ask("")
			ask(strings.Repeat("x", maxRequest))
			query(t, url, "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN postern'")
			ask("once more")
			until(t, func() bool { return holder.node.listening.Load() })
			ask("and again")
			if n := query(t, url, "SELECT count(*) FROM request"); n != 0 {
				t.Errorf("%d requests are left", n)
			}
		})
	}
}

// Nobody's answer is one after the time that the asker has, and what the dead left
// behind goes when somebody asks.
func TestAskInVain(t *testing.T) {
	t.Parallel() // it waits
	url := cluster.Database(t)
	s := open(t, url, Options{})
	do(t, url, "INSERT INTO request VALUES (1, 0, postern_now() - 61000, 'old', NULL), (2, 0, postern_now() - 1000, 'new', NULL)")
	state, err := s.Poll(t.Context())
	if err != nil || len(state.Requests) != 1 || state.Requests[0].ID != 2 || string(state.Requests[0].Body) != "new" {
		t.Errorf("is asked %+v, %v", state.Requests, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // enough to ask
	defer cancel()
	if answer, err := s.Ask(ctx, 7, []byte("?")); postern.KindOf(err) != postern.Unavailable {
		t.Errorf("answer %q, %v", answer, err)
	}
	if n := query(t, url, "SELECT sum(id) FROM request"); n != 2 {
		t.Errorf("requests %d are left", n)
	}
	if err := s.Answer(t.Context(), 3, []byte("late")); !errors.Is(err, postern.ErrNotFound) {
		t.Errorf("an answer that nobody waits for: %v", err)
	}
	large := make([]byte, maxRequest+1)
	if _, err := s.Ask(t.Context(), 0, large); postern.KindOf(err) != postern.TooLarge {
		t.Errorf("a large request: %v", err)
	}
	if err := s.Answer(t.Context(), 2, large); postern.KindOf(err) != postern.TooLarge {
		t.Errorf("a large answer: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ask(t.Context(), 0, nil); postern.KindOf(err) != postern.Unavailable {
		t.Errorf("of a closed store: %v", err)
	}
}

// An answer that is there when its asker gives up reaches it all the same: whoever
// answered takes it for told.
func TestAskThatIsAnsweredAtLast(t *testing.T) {
	url := cluster.Database(t)
	s := open(t, url+"&default_query_exec_mode=exec", Options{}) // it looks, and seldom by then
	ctx, giveUp := context.WithCancel(t.Context())
	var answer []byte
	done := make(chan error, 1)
	go func() {
		var err error
		answer, err = s.Ask(ctx, 0, []byte("?"))
		done <- err
	}()
	wait := time.After(800 * time.Millisecond)
	until(t, func() bool { return query(t, url, "SELECT count(*) FROM request") > 0 })
	<-wait
	state, err := s.Poll(t.Context())
	if err != nil || len(state.Requests) != 1 {
		t.Fatalf("%+v, %v", state.Requests, err)
	}
	if err := s.Answer(t.Context(), state.Requests[0].ID, []byte("!")); err != nil {
		t.Fatal(err)
	}
	giveUp()
	if err := <-done; err != nil || string(answer) != "!" {
		t.Errorf("%q, %v", answer, err)
	}
	if n := query(t, url, "SELECT count(*) FROM request"); n != 0 {
		t.Errorf("%d requests are left", n)
	}
}

// Who does not know whether it has asked waits for the answer all the same: what it was
// given by that would be nobody's.
func TestAskUnheard(t *testing.T) {
	url := cluster.Database(t)
	p, through := newProxy(t, url)
	holder, asker := open(t, url, Options{Node: "holder"}), open(t, through, Options{Node: "asker"})
	echo(t, holder)
	p.mu.Lock()
	p.forgets = "postern_ask"
	p.mu.Unlock()
	if answer, err := asker.Ask(t.Context(), 0, []byte("hello")); err != nil || string(answer) != "HELLO" {
		t.Errorf("answer %q, %v", answer, err)
	}
	if n := query(t, url, "SELECT count(*) FROM request"); n != 0 {
		t.Errorf("%d requests are left", n)
	}
}

// An asker whose request a crash of the database took is not left waiting.
func TestAskThatIsLost(t *testing.T) {
	url := cluster.Database(t)
	s := open(t, url, Options{})
	failed := make(chan error, 1)
	go func() {
		_, err := s.Ask(t.Context(), 7, nil)
		failed <- err
	}()
	until(t, func() bool { return query(t, url, "SELECT count(*) FROM request") > 0 })
	do(t, url, "TRUNCATE request") // as recovery does
	begun := time.Now()
	if err := <-failed; postern.KindOf(err) != postern.Unavailable || time.Since(begun) > answerWithin/2 {
		t.Errorf("told %v after %v", err, time.Since(begun))
	}
}

// An asker whose store is closed is not left waiting.
func TestAskUntilClosed(t *testing.T) {
	url := cluster.Database(t)
	s := open(t, url, Options{})
	failed := make(chan error, 1)
	go func() {
		_, err := s.Ask(t.Context(), 7, nil)
		failed <- err
	}()
	until(t, func() bool { return query(t, url, "SELECT count(*) FROM request") > 0 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; postern.KindOf(err) != postern.Unavailable {
		t.Errorf("told %v", err)
	}
}

// Poll tells of all journals, and of requests for those that the process holds.
func TestPoll(t *testing.T) {
	url := cluster.Database(t)
	old, s := open(t, url, Options{Node: "old"}), open(t, url, Options{Node: "new"})
	unfinished(t, old)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	do(t, url, "INSERT INTO request VALUES (1, 0, postern_now(), '', NULL), (2, 1, postern_now(), '', NULL), (3, 1, postern_now(), '', 'done')")
	asked := func() (ids []uint64, state store.ClusterState) {
		t.Helper()
		state, err := s.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range state.Requests {
			ids = append(ids, r.ID)
		}
		return ids, state
	}
	ids, state := asked()
	if len(ids) != 1 || ids[0] != 2 || len(state.Leases) != 2 || state.Version == 0 {
		t.Fatalf("%+v", state)
	}
	if l := state.Leases[0]; l.Node != "old" || !l.Released || l.Idle || l.Held(s.Now()) {
		t.Errorf("what was released is told as %+v", l)
	}
	if l := state.Leases[1]; l.Journal != 1 || l.Node != "new" || !l.Main || l.Released || !l.Held(s.Now()) || l.Held(s.Now().Add(lease)) || s.Now().Sub(l.Since) > time.Minute {
		t.Errorf("what is held is told as %+v", l)
	}
	shard, err := s.Adopt(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if ids, state := asked(); len(ids) != 2 || state.Leases[0].Main {
		t.Errorf("of an adopted journal %+v", state)
	}
	head, err := shard.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	head.Batch, head.Low = head.Batch+1, head.Next
	if err := shard.Commit(t.Context(), &store.Batch{Head: head}); err != nil {
		t.Fatal(err)
	}
	if err := shard.Close(); err != nil {
		t.Fatal(err)
	}
	if _, state := asked(); state.Leases[0].Idle {
		t.Errorf("of a journal that is asked for something %+v", state)
	}
	do(t, url, "SELECT postern_answer(1, '')")
	if ids, state := asked(); len(ids) != 1 || !state.Leases[0].Idle {
		t.Errorf("of a journal with nothing left %+v", state)
	}
}

// Callers at the same time share a read, but none that began before they called.
func TestPollsAreShared(t *testing.T) {
	url := cluster.Database(t)
	s := still(t, url, "one")
	p := &s.node.polls
	p.turn <- struct{}{} // as if one were reading
	began := p.begun.Add(1)
	const callers = 20
	found := make(chan uint64, callers)
	for range callers {
		go func() {
			state, err := s.Poll(t.Context())
			if err != nil {
				t.Error(err)
			}
			found <- uint64(len(state.Leases))
		}()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Poll(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that gives up waits: %v", err)
	}
	p.of = began // with a state that is empty
	<-p.turn
	for range callers {
		if n := <-found; n != 1 {
			t.Errorf("%d leases: what was read before the call", n)
		}
	}
	if n := p.begun.Load() - began; n < 1 || n >= callers {
		t.Errorf("%d reads for %d callers", n, callers)
	}
}

// The end of a lease is looked at when it comes.
func TestLapse(t *testing.T) {
	t.Parallel() // it waits
	url := cluster.Database(t)
	still(t, url, "one")
	s := still(t, url, "two")
	do(t, url, "UPDATE heartbeat SET expires_ms = postern_now() + 3000 WHERE journal = 0")
	select {
	case <-s.Wake():
	default:
	}
	state, err := s.Poll(t.Context())
	if err != nil || !state.Leases[0].Held(s.Now()) {
		t.Fatalf("%+v, %v", state, err)
	}
	<-s.Wake()
	if state.Leases[0].Held(s.Now()) || !state.Leases[1].Held(s.Now()) {
		t.Error("rung too early, or too late")
	}
}

// Idle is a journal of which nothing is left at all.
func TestIdle(t *testing.T) {
	url := cluster.Database(t)
	open(t, url, Options{})
	idle := func() bool { return query(t, url, "SELECT postern_idle(0::int2)::int") == 1 }
	if !idle() {
		t.Error("a new one is not")
	}
	for _, left := range []struct{ make, unmake string }{
		{"UPDATE head SET next = 2", "UPDATE head SET low = 2"},
		{"UPDATE head SET rows = 1", "UPDATE head SET rows = 0"},
		{"INSERT INTO behind VALUES (0, 1, 1, '')", "DELETE FROM behind"},
		{"INSERT INTO delivery VALUES (1, '', 1, 0, 1, 1, 1, 1, 1, 1, NULL)", "DELETE FROM delivery"},
	} {
		do(t, url, left.make)
		if idle() {
			t.Errorf("after %s it is", left.make)
		}
		do(t, url, left.unmake)
		if !idle() {
			t.Errorf("after %s it is not", left.unmake)
		}
	}
}

// What one node is enough for is the one's with the smallest main journal.
func TestFirst(t *testing.T) {
	url := cluster.Database(t)
	one, two := still(t, url, "one"), open(t, url, Options{Node: "two"})
	first := func(s *Store) bool {
		t.Helper()
		is, err := s.first(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	if !first(one) || first(two) {
		t.Error("it is not the one with journal 0")
	}
	do(t, url, runOut, 0)
	if !first(two) {
		t.Error("nobody follows one whose lease has run out")
	}
}

// Nodes are told of what concerns them, by what the words are in all versions.
func TestWords(t *testing.T) {
	url := cluster.Database(t)
	s, conn := still(t, url, "one"), connect(t, url)
	if _, err := conn.Exec(t.Context(), "LISTEN postern"); err != nil {
		t.Fatal(err)
	}
	word := func() string {
		t.Helper()
		n, err := conn.WaitForNotification(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n.Payload
	}
	answered := make(chan error, 1)
	go func() {
		_, err := s.Ask(t.Context(), 40000, nil)
		answered <- err
	}()
	if got := word(); got != "r40000" {
		t.Errorf("a request is told as %q", got)
	}
	id := query(t, url, "SELECT id FROM request")
	if err := s.Answer(t.Context(), uint64(id), nil); err != nil {
		t.Fatal(err)
	}
	if got := word(); got != fmt.Sprint("a", id) {
		t.Errorf("an answer to %d is told as %q", id, got)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
	s.Tell(nil, true)
	if err := s.renew(t.Context()); err != nil || word() != "" {
		t.Errorf("a lease that says something is not told of: %v", err)
	}
	if err := s.Close(); err != nil || word() != "" {
		t.Errorf("a release is not told of: %v", err)
	}
	for _, heard := range []string{"", "r", "r0", "r70000", "r99999999999999999999", "a", "a1", "?0", "\x00"} {
		s.node.told(heard) // whatever somebody else says
	}
}

// Who hears nothing finds that out, and does not take it for silence.
func TestDeaf(t *testing.T) {
	t.Parallel() // it waits
	url := cluster.Database(t)
	s := open(t, url, Options{})
	if err := s.prove(t.Context(), connect(t, url)); !errors.Is(err, errDeaf) {
		t.Errorf("a connection that does not listen: %v", err)
	}
}

// A change that another node makes is told at once, and so is its end.
func TestWake(t *testing.T) {
	url := cluster.Database(t)
	one, two := open(t, url, Options{}), open(t, url, Options{})
	until(t, func() bool { return two.node.listening.Load() })
	state, err := two.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := state.Version
	if err := one.Commit(t.Context(), small(messageID(1))); err != nil {
		t.Fatal(err)
	}
	for state.Version == before {
		<-two.Wake()
		if state, err = two.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	for !state.Leases[0].Released {
		<-two.Wake()
		if state, err = two.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Who is at work on a digest keeps others from it, and nobody else.
func TestAlone(t *testing.T) {
	url := cluster.Database(t)
	a, b := open(t, url, Options{Node: "a"}), open(t, url, Options{Node: "b"})
	one, other := store.Digest{1}, store.Digest{2}
	release, err := a.Alone(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	releaseOther, err := b.Alone(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	releaseOther()
	brief, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := b.Alone(brief, one); err == nil {
		t.Error("two are alone with a digest")
	}
	got := make(chan error, 1)
	go func() {
		release, err := b.Alone(t.Context(), one)
		if err == nil {
			release()
		}
		got <- err
	}()
	release()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

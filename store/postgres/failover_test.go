package postgres

import (
	"errors"
	"testing"

	"github.com/postern-dev/postern"
)

const (
	// moved is as if another server had been the database's until now, and stayed as
	// if it had been this one for long.
	moved  = "UPDATE server SET started = started - interval '1 day'"
	stayed = "UPDATE server SET since_ms = since_ms - 10000"
)

// Where a standby took over, leases that have run out meanwhile say nothing of their
// holders, who are about to renew them: nobody takes one before it could have been
// renewed. A lease that is by a clock far ahead lasts no longer than one that is new.
func TestAdoptAfterAFailover(t *testing.T) {
	url := cluster.Database(t)
	live, heir := still(t, url, "live"), still(t, url, "heir")
	unfinished(t, live)
	do(t, url, stayed)
	do(t, url, settleIn, 1)
	do(t, url, runOut, 0)
	do(t, url, moved)
	refused := func(when string) {
		t.Helper()
		if _, err := heir.Adopt(t.Context(), 0); !errors.Is(err, postern.ErrConflict) {
			t.Fatalf("adopted %s: %v", when, err)
		}
	}
	refused("at once")
	refused("though it was met before")
	if s := open(t, url, Options{}); s.opts.Journal != 2 {
		t.Errorf("a node that starts got journal %d", s.opts.Journal)
	}
	if err := live.renew(t.Context()); err != nil {
		t.Errorf("its holder goes on: %v", err)
	}

	do(t, url, "UPDATE heartbeat SET since_ms = postern_now() + 3600000, expires_ms = postern_now() + 3600000")
	do(t, url, moved)
	if err := heir.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := query(t, url, "SELECT count(*) FROM heartbeat WHERE since_ms <= postern_now() AND expires_ms <= postern_now() + 10000"); n != 3 {
		t.Errorf("%d of 3 leases are by the clock that there is", n)
	}
	do(t, url, settleIn, 1)
	do(t, url, runOut, 0)
	refused("before its holder could come back")
	do(t, url, stayed)
	shard, err := heir.Adopt(t.Context(), 0)
	if err != nil {
		t.Fatalf("not adopted though it was time: %v", err)
	}
	if err := shard.Close(); err != nil {
		t.Error(err)
	}
}

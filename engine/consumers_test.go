package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// lapsing is a cluster of which some leases are known.
type lapsing struct {
	store.Cluster
	now    time.Time
	leases []store.Lease
}

func (c *lapsing) Now() time.Time { return c.now }

func (c *lapsing) Poll(context.Context) (store.ClusterState, error) {
	return store.ClusterState{Leases: c.leases}, nil
}

// A lease is missing once the node that gave it is gone for sure. One that did not
// renew its own in time, as none can while the database is away, may well have it.
func TestLeasesOfANodeThatMayLive(t *testing.T) {
	now := time.Now()
	held := store.Lease{Journal: 2, Main: true, Expires: now.Add(time.Second)}
	lapsed := held
	lapsed.Expires = now.Add(-time.Second)
	released, idle, adopted := lapsed, lapsed, held
	released.Released, idle.Idle, adopted.Main = true, true, false
	for name, test := range map[string]struct {
		lease   store.Lease
		missing bool
	}{"lapsed": {lapsed, false}, "released": {released, true}, "idle": {idle, true}, "adopted": {adopted, true}, "of another": {store.Lease{}, true}} {
		e := &Engine{}
		e.shards.main = &shard{journal: 1}
		e.nodes = &nodes{engine: e, cluster: &lapsing{now: now, leases: []store.Lease{test.lease}}}
		e.nodes.state.Store(&store.ClusterState{Leases: []store.Lease{test.lease}})
		id := postern.NewLeaseID(2, postern.LeaseID{7})
		missing, err := consumers{e}.Ack(t.Context(), 1, []postern.LeaseID{id})
		if len(missing) != 1 == test.missing || errors.Is(err, postern.ErrUnavailable) == test.missing {
			t.Errorf("%s: %v, %v", name, missing, err)
		}
	}
}

package api

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
)

// Nodes are shown as they are told, in their order and with nothing to follow.
func TestNodes(t *testing.T) {
	w := newWorld(t)
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.FixedZone("", 3600))
	w.nodes = []postern.Node{
		{Name: "b", Since: at, ExpiresAt: at.Add(10 * time.Second), Live: true, Leads: true, Self: true, Journals: []postern.JournalLease{{Number: 0, Main: true}, {Number: 2, Idle: true}}},
		{Name: "a", Since: at},
	}
	want := map[string]any{
		"data": []any{
			map[string]any{
				"name": "b", "since": "2026-11-23T09:00:00Z", "expiresAt": "2026-11-23T09:00:10Z", "live": true, "leader": true, "self": true,
				"journals": []any{
					map[string]any{"number": 0.0, "main": true, "idle": false}, map[string]any{"number": 2.0, "main": false, "idle": true},
				},
			},
			map[string]any{
				"name": "a", "since": "2026-11-23T09:00:00Z", "expiresAt": nil, "live": false, "leader": false, "self": false, "journals": []any{},
			},
		},
		"iterator": "a", "prevIterator": "-b", "done": true,
	}
	if diff := cmp.Diff(want, w.want(200, "GET", "/node", "")); diff != "" {
		t.Error(diff)
	}
	w.nodesFail = postern.ErrUnavailable
	w.refused(503, "", "GET", "/node", "")
}

// A server that shares its store with nobody lists itself.
func TestNodeAlone(t *testing.T) {
	out, err := (&handler{began: time.Unix(1, 0)}).listNodes(nil, none{})
	if err != nil || len(out.Data) != 1 || !out.Data[0].Self || !out.Data[0].Leader || !out.Data[0].Since.Equal(time.Unix(1, 0)) || out.Data[0].ExpiresAt != nil {
		t.Errorf("%+v, %v", out, err)
	}
}

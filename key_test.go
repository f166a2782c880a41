package postern_test

import (
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

func TestPortalMay(t *testing.T) {
	all := postern.Capabilities()
	for name, test := range map[string]struct {
		portal *postern.Portal
		may    []postern.Capability
	}{
		"nobody":     {nil, nil},
		"everything": {&postern.Portal{}, all},
		"reader":     {&postern.Portal{Capabilities: []postern.Capability{}}, []postern.Capability{postern.ViewBase}},
		"rotator": {
			&postern.Portal{Capabilities: []postern.Capability{postern.ManageEndpointSecret}},
			[]postern.Capability{postern.ViewBase, postern.ViewEndpointSecret, postern.ManageEndpointSecret},
		},
		"manager": {
			&postern.Portal{Capabilities: []postern.Capability{postern.ManageEndpoint}},
			[]postern.Capability{postern.ViewBase, postern.ViewEndpointSecret, postern.ManageEndpointSecret, postern.ManageEndpoint},
		},
		"sender": {
			&postern.Portal{Capabilities: []postern.Capability{postern.CreateAttempts}},
			[]postern.Capability{postern.ViewBase, postern.CreateAttempts},
		},
	} {
		var got []postern.Capability
		for _, c := range all {
			if test.portal.May(c) {
				got = append(got, c)
			}
		}
		if len(got) != len(test.may) {
			t.Errorf("%s may %v, want %v", name, got, test.may)
			continue
		}
		for i := range got {
			if got[i] != test.may[i] {
				t.Errorf("%s may %v, want %v", name, got, test.may)
			}
		}
	}
}

func TestKeyLive(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		expires time.Time
		want    bool
	}{
		{time.Time{}, true}, {now, false}, {now.Add(-1), false}, {now.Add(1), true},
	} {
		k := postern.Key{ExpiresAt: test.expires}
		if got := k.Live(now); got != test.want {
			t.Errorf("a key until %v is live: %t", test.expires, got)
		}
	}
}

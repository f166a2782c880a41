package postern_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

func TestStateNames(t *testing.T) {
	want := []string{"pending", "sending", "retrying", "delivered", "dead", "canceled"}
	for i, state := range postern.States() {
		if state.String() != want[i] {
			t.Errorf("state %d is %q, want %q", i, state, want[i])
		}
		if back, err := postern.ParseState(want[i]); err != nil || back != state {
			t.Errorf("%q reads as %v, %v", want[i], back, err)
		}
	}
	if got := postern.State(99).String(); got != "unknown" {
		t.Errorf("state 99 is %q", got)
	}
	for _, bad := range []string{"", "Dead", "unknown", "dead ", strings.Repeat("x", 1<<16)} {
		_, err := postern.ParseState(bad)
		if !errors.Is(err, postern.ErrInvalid) || len(err.Error()) > 300 {
			t.Errorf("%.20q: %.300v, want a short invalid-input error", bad, err)
		}
	}
}

func TestFinalStates(t *testing.T) {
	for _, state := range postern.States() {
		want := state == postern.Delivered || state == postern.Dead || state == postern.Canceled
		if state.Final() != want {
			t.Errorf("%v is final: %t", state, !want)
		}
	}
}

// Whether an endpoint is routed to, and whether its deliveries are tried.
func TestEndpointView(t *testing.T) {
	for name, tc := range map[string]struct {
		view                 postern.EndpointView
		enabled, deliverable bool
	}{
		"as created":             {postern.EndpointView{}, true, true},
		"paused by its owner":    {postern.EndpointView{Endpoint: postern.Endpoint{Paused: true}}, true, false},
		"disabled by its owner":  {postern.EndpointView{Endpoint: postern.Endpoint{Disabled: true}}, false, false},
		"disabled by the engine": {postern.EndpointView{Health: postern.Health{Disabled: postern.DisabledGone}}, false, false},
		"failing only":           {postern.EndpointView{Health: postern.Health{FailingSince: time.Unix(1, 0)}}, true, true},
		"deleted":                {postern.EndpointView{Deleted: true}, false, false},
	} {
		if tc.view.Enabled() != tc.enabled || tc.view.Deliverable() != tc.deliverable {
			t.Errorf("%s: enabled %t, deliverable %t", name, tc.view.Enabled(), tc.view.Deliverable())
		}
	}
}

func TestSecretLivesUntilItExpires(t *testing.T) {
	now := time.Unix(1_760_000_000, 0)
	for name, tc := range map[string]struct {
		expires time.Time
		want    bool
	}{
		"the current one": {time.Time{}, true},
		"rotated out":     {now.Add(time.Nanosecond), true},
		"at its end":      {now, false},
		"past its end":    {now.Add(-time.Hour), false},
	} {
		if got := (postern.EndpointSecret{ExpiresAt: tc.expires}).Live(now); got != tc.want {
			t.Errorf("%s: live %t", name, got)
		}
	}
}

func containsAny(s string, parts ...string) bool {
	for _, part := range parts {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}

package egress_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern/internal/egress"
)

// zones is a resolver that answers, denies, fails or hangs by name.
type zones map[string]func(ctx context.Context) ([]netip.Addr, error)

func (z zones) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	if zone := z[host]; zone != nil {
		return zone(ctx)
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func broken(context.Context) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "server misbehaving", IsTemporary: true}
}

func hanging(ctx context.Context) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, &net.DNSError{Err: "i/o timeout", IsTimeout: true}
}

func TestLookupFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		before []string // names that were looked up before, and denied
		down   bool     // no name is answered any more
		zone   func(context.Context) ([]netip.Addr, error)
		want   egress.Kind
		took   time.Duration
	}{
		"never answered anybody":          {zone: broken, want: egress.Local},
		"answered only for this name":     {before: []string{"it.example"}, zone: broken, want: egress.Local},
		"answers for another":             {before: []string{"other.example"}, zone: broken, want: egress.Resolve},
		"answered for this one last":      {before: []string{"other.example", "it.example"}, zone: broken, want: egress.Resolve},
		"answered a moment ago, and down": {before: []string{"other.example"}, down: true, zone: broken, want: egress.Local},
		"hangs for this name":             {before: []string{"other.example"}, zone: hanging, want: egress.Timeout, took: 13 * time.Second},
		"hangs for all":                   {before: []string{"other.example"}, down: true, zone: hanging, want: egress.Local, took: 15 * time.Second},
		"hangs for the only one":          {zone: hanging, want: egress.Local, took: 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := zones{}
				d := dialer(t, egress.Config{Resolver: z})
				dial := func(host string) error {
					ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
					defer cancel()
					_, _, err := d.Dial(ctx, host, 80)
					return err
				}
				for _, host := range tc.before {
					wantKind(t, dial(host), egress.Resolve)
				}
				z["it.example"] = tc.zone
				if tc.down {
					z["other.example"] = tc.zone
				}
				begun := time.Now()
				err := dial("it.example")
				wantKind(t, err, tc.want)
				if took := time.Since(begun); took != tc.took {
					t.Errorf("took %v, want %v", took, tc.took)
				}
				var e *egress.Error
				if errors.As(err, &e); (e.Fault == egress.ResolverDown) != (tc.want == egress.Local) {
					t.Errorf("fault %q", e.Fault)
				}
			})
		})
	}
}

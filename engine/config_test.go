package engine

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store/embedded"
)

// TestDialIsGuarded: a dialer of the program's own gets deliveries, and only to
// what is allowed.
func TestDialIsGuarded(t *testing.T) {
	st, err := embedded.Open(t.Context(), "memory:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	var asked []string
	cfg := Config{
		Store: st, EgressAllow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			asked = append(asked, address)
			return nil, errors.New("nobody is there")
		},
	}
	eng, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"192.0.2.1", "127.0.0.1"} {
		if _, _, err := eng.dialer.Dial(t.Context(), host, 80); err == nil {
			t.Errorf("%s: connected", host)
		}
	}
	if len(asked) != 1 || asked[0] != "192.0.2.1:80" {
		t.Errorf("asked for %q", asked)
	}
	cfg.EgressProxy = &url.URL{Scheme: "http", Host: "proxy:3128"}
	if _, err := New(t.Context(), cfg); !errors.Is(err, postern.ErrInvalid) || !strings.Contains(err.Error(), "configuration") {
		t.Errorf("beside a proxy: %v", err)
	}
}

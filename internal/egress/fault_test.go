package egress

import (
	"net/netip"
	"os"
	"testing"
)

func TestNoRoute(t *testing.T) {
	four, six := netip.MustParseAddrPort("203.0.113.1:80"), netip.MustParseAddrPort("[2001:db8::1]:80")
	for name, c := range map[string]struct {
		addr       netip.AddrPort
		has4, has6 bool
		ours       bool
	}{
		"IPv4, no network at all": {four, false, false, true},
		"IPv4, only IPv6 here":    {four, false, true, true},
		"IPv4, far router's word": {four, true, false, false},
		"IPv6, no network at all": {six, false, false, true},
		"IPv6, only IPv4 here":    {six, true, false, false},
		"IPv6, far router's word": {six, true, true, false},
	} {
		routed := func(a netip.AddrPort) bool { return a.Addr().Is4() && c.has4 || a.Addr().Is6() && c.has6 }
		if got := noRoute(c.addr, routed); got != c.ours {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// TestSocketHookChecksAgain: even what got past the check of the lookup's answer is
// stopped at the socket.
func TestSocketHookChecksAgain(t *testing.T) {
	d, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{"127.0.0.1:9", "[::1]:9"} {
		_, err := d.dial(t.Context(), "tcp", addr)
		if e := classify(t.Context(), err, netip.MustParseAddrPort(addr)); e.Kind != Forbidden {
			t.Errorf("%s: %v, kind %d", addr, err, e.Kind)
		}
	}
}

// TestUnreachableByFarRouter: loopback always has a route, so "unreachable" cannot have
// come from this machine's table.
func TestUnreachableByFarRouter(t *testing.T) {
	addr := netip.MustParseAddrPort("127.0.0.1:80")
	for _, no := range unreachable() {
		if e := classify(t.Context(), os.NewSyscallError("connect", no), addr); e.Kind != Connect {
			t.Errorf("%v: kind %d, want Connect", no, e.Kind)
		}
	}
}

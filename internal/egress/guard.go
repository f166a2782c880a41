// Package egress decides where Postern may connect to, and connects there.
//
// Promises:
//
//  1. No connection is opened to an address that [Guard.Check] refuses. The check runs
//     on the resolved address, and again inside the socket's control hook right before
//     connect, so a name that changes its answer between two lookups gains nothing.
//  2. An address that carries an IPv4 address inside an IPv6 one is judged by both.
//  3. Proxy settings of the environment are ignored. With a proxy in [Config] the name
//     is still resolved and checked here, and the proxy is asked for the address, never
//     for the name.
//  4. Every wait is bounded by the context's deadline, and nothing started for a dial
//     outlives it.
//
// An error from [Dialer.Dial] is always an *[Error] whose [Kind] tells whose fault it
// was.
package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"code.dny.dev/ssrf"
)

// ErrForbidden is wrapped by every refusal of an address.
var ErrForbidden = errors.New("address is not reachable from here by policy")

// Guard holds the address rules: public addresses, and what the operator opened. It is
// immutable and safe for concurrent use.
type Guard struct {
	allow  []netip.Prefix
	public *ssrf.Guardian
}

// NewGuard returns a guard that admits public addresses and those in allow.
func NewGuard(allow []netip.Prefix) *Guard {
	g := &Guard{
		public: ssrf.New(
			ssrf.WithAnyNetwork(),
			ssrf.WithAnyPort(),
			// A cloud's host agent and metadata channel on an address from public
			// space, the same on every machine there.
			ssrf.WithDeniedV4Prefixes(netip.PrefixFrom(netip.AddrFrom4([4]byte{168, 63, 129, 16}), 32)),
		),
	}
	for _, p := range allow {
		g.allow = append(g.allow, unmapPrefix(p).Masked())
	}
	return g
}

// Check returns nil when addr may be connected to, else an error that wraps
// [ErrForbidden] and names the address.
//
// An address inside an allowed prefix is admitted, but what it embeds is checked as
// well: opening 64:ff9b::/96 for a network with NAT64 does not open 64:ff9b::7f00:1.
func (g *Guard) Check(addr netip.Addr) error {
	if addr.Zone() != "" {
		return fmt.Errorf("%s: %w: zone ids are refused", addr, ErrForbidden)
	}
	addr = addr.Unmap()
	if inner, ok := embeddedIPv4(addr); ok {
		if err := g.checkPlain(inner); err != nil {
			return fmt.Errorf("%s embeds %w", addr, err)
		}
	}
	return g.checkPlain(addr)
}

// checkPlain judges an address without regard to what it may embed.
func (g *Guard) checkPlain(addr netip.Addr) error {
	if slices.ContainsFunc(g.allow, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return nil
	}
	if !addr.IsValid() || g.public.SafeAddr(addr) != nil || isISATAP(addr) {
		return fmt.Errorf("%s: %w", addr, ErrForbidden)
	}
	return nil
}

// embeddedIPv4 returns the IPv4 address that a transition mechanism would reach through
// addr. For Teredo that is the client's address, which is stored inverted.
func embeddedIPv4(addr netip.Addr) (netip.Addr, bool) {
	if !addr.Is6() {
		return netip.Addr{}, false
	}
	b := addr.As16()
	last := netip.AddrFrom4([4]byte(b[12:16]))
	switch {
	case b[0] == 0x20 && b[1] == 0x02: // 6to4, 2002::/16
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case [4]byte(b[:4]) == [4]byte{0x20, 0x01}: // Teredo, 2001::/32
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), true
	case isISATAP(addr), [12]byte(b[:12]) == [12]byte{0x00, 0x64, 0xff, 0x9b}: // NAT64, 64:ff9b::/96
		return last, true
	case [12]byte(b[:12]) == [12]byte{}: // IPv4-compatible, ::/96, but for the unspecified and the loopback address
		return last, !addr.IsUnspecified() && !addr.IsLoopback()
	case [12]byte(b[:12]) == [12]byte{8: 0xff, 9: 0xff}: // IPv4-translated, ::ffff:0:0/96
		return last, true
	}
	return netip.Addr{}, false
}

// isISATAP reports whether the interface identifier is that of a tunnel to the IPv4
// address in the last four bytes. Such a tunnel can live under any prefix, so that no
// list of prefixes finds it.
func isISATAP(addr netip.Addr) bool {
	if !addr.Is6() {
		return false
	}
	b := addr.As16()
	return b[8]&^0x02 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}

// unmapPrefix turns ::ffff:a.b.c.d/n into its IPv4 form, in which addresses are
// compared.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

package egress_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/postern-dev/postern/internal/egress"
)

func prefixes(s ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestGuardRefusesWhatIsNotPublic(t *testing.T) {
	guard := egress.NewGuard(nil)
	for addr, what := range map[string]string{
		"0.0.0.0": "unspecified", "::": "unspecified",
		"127.0.0.1": "loopback", "127.255.255.254": "loopback", "::1": "loopback",
		"10.0.0.1": "private", "172.16.0.1": "private", "172.31.255.255": "private", "192.168.1.1": "private", "fd00::1": "private",
		"169.254.1.1": "link-local", "fe80::1": "link-local", "fec0::1": "site-local",
		"100.64.0.1": "CGNAT", "100.127.255.255": "CGNAT",
		"224.0.0.1": "multicast", "ff02::1": "multicast", "255.255.255.255": "broadcast", "240.0.0.1": "reserved",
		"169.254.169.254": "metadata", "fd00:ec2::254": "metadata", "100.100.100.200": "metadata", "192.0.0.192": "metadata",
		"168.63.129.16": "metadata on a public address",
		"192.0.2.1":     "documentation", "198.18.0.1": "benchmarking", "2001:db8::1": "documentation",
		"::ffff:127.0.0.1": "IPv4-mapped", "::ffff:10.0.0.1": "IPv4-mapped", "::ffff:168.63.129.16": "IPv4-mapped",
		"::127.0.0.1": "IPv4-compatible", "::ffff:0:127.0.0.1": "IPv4-translated",
		"64:ff9b::7f00:1": "NAT64", "64:ff9b::808:808": "NAT64", "64:ff9b:1::1": "local NAT64",
		"2002:7f00:1::": "6to4", "2002:808:808::1": "6to4",
		"2001:0:4136:e378:8000:63bf:80ff:fffe": "Teredo",
		"2600:1f00::5efe:7f00:1":               "ISATAP", "2600:1f00::200:5efe:7f00:1": "ISATAP", "2600:1f00::5efe:808:808": "ISATAP",
		"fe80::1%eth0": "zone id",
	} {
		if err := guard.Check(netip.MustParseAddr(addr)); !errors.Is(err, egress.ErrForbidden) {
			t.Errorf("%s (%s): got %v, want ErrForbidden", addr, what, err)
		}
	}
	if err := guard.Check(netip.Addr{}); !errors.Is(err, egress.ErrForbidden) {
		t.Errorf("no address: got %v, want ErrForbidden", err)
	}
}

func TestGuardAdmitsPublic(t *testing.T) {
	guard := egress.NewGuard(nil)
	for _, addr := range []string{"8.8.8.8", "172.15.255.255", "172.32.0.1", "100.63.255.255", "::ffff:8.8.8.8", "2606:4700::1111"} {
		if err := guard.Check(netip.MustParseAddr(addr)); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestGuardAllowList(t *testing.T) {
	guard := egress.NewGuard(prefixes("127.0.0.0/8", "10.1.0.0/16", "64:ff9b::/96", "2002::/16", "::ffff:192.168.7.0/120", "fd00:1::/32"))
	for addr, want := range map[string]bool{
		"127.0.0.1": true, "::ffff:127.0.0.1": true, "10.1.2.3": true, "192.168.7.9": true, "fd00:1::5": true,
		"10.2.0.1": false, "::1": false, "192.168.8.1": false, "fd00:2::5": false,
		// The form is opened; what it carries is judged all the same.
		"64:ff9b::808:808": true, "64:ff9b::a01:203": true, "64:ff9b::a02:1": false, "64:ff9b::a9fe:a9fe": false,
		"2002:808:808::1": true, "2002:c0a8:801::1": false,
		"fd00:1::5efe:a02:1": false, "fd00:1::5efe:a01:1": true,
	} {
		if err := guard.Check(netip.MustParseAddr(addr)); (err == nil) != want {
			t.Errorf("%s: got %v, want admitted %v", addr, err, want)
		}
	}
}

package egress_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postern-dev/postern/internal/egress"
)

func TestParseURL(t *testing.T) {
	for raw, want := range map[string]egress.URL{
		"https://Example.COM":               {TLS: true, Host: "example.com", Port: 443, Header: "Example.COM", Target: "/"},
		"HTTP://example.com?a=%2f&b=c+d":    {Host: "example.com", Port: 80, Header: "example.com", Target: "/?a=%2f&b=c+d"},
		"http://example.com.:8080/%7euser/": {Host: "example.com", Port: 8080, Header: "example.com.:8080", Target: "/%7euser/"},
		"http://a_b.local/x//y/../z?q#frag": {Host: "a_b.local", Port: 80, Header: "a_b.local", Target: "/x//y/../z?q"},
		"http://h/?":                        {Host: "h", Port: 80, Header: "h", Target: "/?"},
		"http://h/{a}|b":                    {Host: "h", Port: 80, Header: "h", Target: "/{a}|b"},
		"https://8.8.8.8:443/":              {TLS: true, Host: "8.8.8.8", Addr: netip.MustParseAddr("8.8.8.8"), Port: 443, Header: "8.8.8.8:443", Target: "/"},
		"http://[2606:4700:0::1]:81/p":      {Host: "2606:4700::1", Addr: netip.MustParseAddr("2606:4700::1"), Port: 81, Header: "[2606:4700:0::1]:81", Target: "/p"},
	} {
		got, err := egress.ParseURL(raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
		} else if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", raw, diff)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	for _, raw := range []string{
		"", "example.com", "//example.com/", "ftp://example.com/", "file:///etc/passwd", "http:/example.com", "javascript://x",
		"http://", "http:///path", "http://:80/", "http://user@example.com/", "http://user:secret@example.com/", "http://@example.com/",
		"http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[::1", "http://[127.0.0.1]/", "http://[::1]x/", "http://::1/",
		"http://example.com:0/", "http://example.com:65536/", "http://example.com:/", "http://example.com:+80/", "http://example.com:http/",
		"http://2130706433/", "http://0x7f.1/", "http://0x7f000001/", "http://0177.0.0.1/", "http://127.1/", "http://127.0.0.1./",
		"http://1.2.3.4.5/", "http://foo.1/", "http://256.1.1.1/", "http://0x/", "http://0X7F.1/", "http://example.0xff/",
		"http://exa mple.com/", "http://example.com/a b", "http://example.com/\r\nX: y", "http://example.com/\x00", "http://bücher.example/",
		"http://１２７.0.0.1/", "http://example.com\\@evil.example/", "http://a\\b/", "http://%31%32%37.0.0.1/", "http://a..b/", "http://.a/",
		"http://example.com/%zz", "http://" + strings.Repeat("a", 64) + "/", "http://" + strings.Repeat("a.", 127) + "com/",
		"http://example.com/" + strings.Repeat("a", 9000),
	} {
		if u, err := egress.ParseURL(raw); !errors.Is(err, egress.ErrInvalidURL) {
			t.Errorf("%.80q: got %+v, %v, want ErrInvalidURL", raw, u, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error tells the credentials: %v", raw, err)
		}
	}
}

// FuzzParseURL checks that nothing that reaches the wire can break the request's head.
func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"https://a.example:8/x?y#z", "http://[::1]/", "http://0x7f.1/", "http://a@b/", "http://h\r\nX:y/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := egress.ParseURL(raw)
		if err != nil {
			return
		}
		if u.Port == 0 || u.Host == "" || u.Target == "" || u.Target[0] != '/' || strings.ContainsAny(u.Header+u.Target, "\r\n \x00@#"[:4]) {
			t.Fatalf("%q gave %+v", raw, u)
		}
		if !strings.Contains(raw, u.Header) {
			t.Fatalf("%q: Host header %q was not written so", raw, u.Header)
		}
	})
}

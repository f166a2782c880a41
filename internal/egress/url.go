package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// maxURL bounds an endpoint's URL in bytes.
const maxURL = 8 << 10

// ErrInvalidURL is wrapped by every refusal of a URL for its form.
var ErrInvalidURL = errors.New("invalid endpoint URL")

// URL is what an endpoint's URL says about where and how to connect. It is made by
// [ParseURL] and never changed.
type URL struct {
	TLS    bool       // https
	Host   string     // lower case, without brackets and trailing dot: for the dialer and for TLS
	Addr   netip.Addr // the address when Host is a literal, else the zero Addr
	Port   uint16     // never 0
	Header string     // the authority exactly as written: the Host header
	Target string     // path and query exactly as written, without the fragment: the request target
}

// ParseURL takes an endpoint's URL apart without normalising what will be sent. It
// refuses, with an error that wraps [ErrInvalidURL], all but http and https,
// credentials, zone ids, IPv4 addresses in any other than the usual notation (which
// resolvers read differently), and bytes that do not belong into a URL.
func ParseURL(raw string) (URL, error) {
	u, err := parseURL(raw)
	if err != nil {
		return URL{}, fmt.Errorf("%w: %w", ErrInvalidURL, err)
	}
	return u, nil
}

func parseURL(raw string) (URL, error) {
	if len(raw) > maxURL {
		return URL{}, fmt.Errorf("longer than %d bytes", maxURL)
	}
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c >= 0x7f {
			return URL{}, fmt.Errorf("byte %#x at offset %d must be percent-encoded (host names: punycode)", c, i)
		}
	}
	// The standard parser judges percent-encoding and the rest of the syntax; it is not
	// used further, as it normalises.
	if _, err := url.Parse(raw); err != nil {
		return URL{}, errors.New("malformed") // the cause would quote the URL, which may hold credentials
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	u := URL{TLS: strings.EqualFold(scheme, "https")}
	if !ok || !u.TLS && !strings.EqualFold(scheme, "http") {
		return URL{}, errors.New("the scheme must be http or https")
	}
	rest, _, _ = strings.Cut(rest, "#")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	u.Header, u.Target = rest[:end], rest[end:]
	if !strings.HasPrefix(u.Target, "/") {
		u.Target = "/" + u.Target
	}
	return u, u.parseAuthority()
}

// parseAuthority fills host, address and port from the authority.
func (u *URL) parseAuthority() error {
	// An "@" further to the right belongs to the path; here everything before it would
	// be credentials.
	if strings.Contains(u.Header, "@") {
		return errors.New("credentials are not allowed; use a header")
	}
	host, port, hasPort := u.Header, "", false
	if i := strings.LastIndexByte(host, ':'); i >= 0 && i > strings.LastIndexByte(host, ']') {
		host, port, hasPort = host[:i], host[i+1:], true
	}
	switch {
	case hasPort:
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return errors.New("the port must be a number from 1 to 65535")
		}
		u.Port = uint16(n)
	case u.TLS:
		u.Port = 443
	default:
		u.Port = 80
	}
	if strings.HasPrefix(host, "[") {
		return u.parseIPv6(host)
	}
	return u.parseName(strings.ToLower(host))
}

// parseIPv6 takes an address in brackets, its zone excepted: a zone names an interface
// of this machine.
func (u *URL) parseIPv6(host string) error {
	if strings.Contains(host, "%") {
		return errors.New("zone ids are not allowed")
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(host[1:], "]"))
	if err != nil || !addr.Is6() || !strings.HasSuffix(host, "]") {
		return errors.New("the host is not an IPv6 address")
	}
	u.Addr, u.Host = addr, addr.String()
	return nil
}

// parseName takes an IPv4 address in its one usual notation, or a name.
func (u *URL) parseName(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is4() {
		u.Addr, u.Host = addr, host
		return nil
	}
	u.Host = strings.TrimSuffix(host, ".")
	if u.Host == "" || len(u.Host) > 253 {
		return errors.New("the host must have 1 to 253 characters")
	}
	label := ""
	for label = range strings.SplitSeq(u.Host, ".") {
		if !isLabel(label) {
			return errors.New("the host is not a name")
		}
	}
	if isNumber(label) {
		return errors.New("an IPv4 address must be written as four decimal numbers")
	}
	return nil
}

// isLabel admits the underscore besides letters, digits and hyphen: container networks
// use it in names.
func isLabel(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

// isNumber reports whether a last label makes C libraries read the whole host as an
// IPv4 address: 2130706433, 0x7f.1, 0177.0.0.1.
func isNumber(label string) bool {
	digits, hex := strings.CutPrefix(label, "0x")
	for i := range len(digits) {
		if c := digits[i]; (c < '0' || c > '9') && (!hex || c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

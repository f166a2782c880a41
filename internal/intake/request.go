package intake

import (
	"bytes"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/postern-dev/postern"
)

// MaskedToken stands for the token in what is kept of a request, which would
// otherwise hold in plain text what the catalogue keeps sealed, and hand it to
// every endpoint that requests are forwarded to.
const MaskedToken = "***"

const (
	// eagerBody is how much memory is taken on a Content-Length's word alone.
	eagerBody = 64 << 10
	// maxHops bounds the proxies that are followed back.
	maxHops = 32
)

// read returns the whole body, within the bounds of size and time.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > h.MaxBody {
		return nil, errTooLarge()
	}
	if r.ContentLength == 0 {
		return nil, nil
	}
	// A writer that knows no deadlines belongs to a program whose server has
	// its own. net/http lifts the deadline at the body's end; after a failure
	// it stays, and ends net/http's reading of what is left.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(h.BodyTimeout))
	var body bytes.Buffer
	body.Grow(int(min(max(r.ContentLength, 0), eagerBody)) + bytes.MinRead)
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, h.MaxBody)); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, errTooLarge()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, errTooSlow()
		}
		return nil, errCutOff()
	}
	return body.Bytes(), nil
}

// url is a path of ours as the outside knows it, with the query behind it; ""
// when that is not known. For the path as it came it is the address that the
// API told for the source, which is the one that providers sign.
func (h *Handler) url(path, query string) string {
	if h.PublicURL == "" {
		return ""
	}
	return h.PublicURL + path + query
}

// query is a request's, with its question mark; "" for none.
func query(r *http.Request) string {
	if r.URL.RawQuery == "" && !r.URL.ForceQuery {
		return ""
	}
	return "?" + r.URL.RawQuery
}

// record is what is kept of a request besides its body. The order of different
// header names is lost in net/http; they are sorted.
func (h *Handler) record(r *http.Request) *postern.InboundRequest {
	path := Prefix + MaskedToken
	in := &postern.InboundRequest{
		Method: r.Method, Path: path, Query: r.URL.RawQuery,
		RemoteAddr: h.clientAddress(r), URL: h.url(path, query(r)),
	}
	in.Headers = make([]postern.Header, 0, len(r.Header))
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			in.Headers = append(in.Headers, postern.Header{Name: name, Value: value})
		}
	}
	return in
}

// clientAddress is the address of whoever sent the request, without a port:
// the peer's, or as long as that is a trusted proxy, the one that it says the
// request came from. What stands to the left of the first stranger in
// X-Forwarded-For is the stranger's word and is not looked at.
func (h *Handler) clientAddress(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr // a socket that is not TCP's
	}
	client := plainAddress(peer.Addr())
	rest := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	for range maxHops {
		if !h.trusts(client) || rest == "" {
			break
		}
		last := rest[strings.LastIndexByte(rest, ',')+1:]
		rest = strings.TrimSuffix(rest[:len(rest)-len(last)], ",")
		address, ok := parseHop(strings.TrimSpace(last))
		if !ok {
			break
		}
		client = address
	}
	return client.String()
}

func (h *Handler) trusts(address netip.Addr) bool {
	return slices.ContainsFunc(h.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(address) })
}

// parseHop reads one entry of X-Forwarded-For, which some proxies write with a
// port or in brackets.
func parseHop(text string) (netip.Addr, bool) {
	if hop, err := netip.ParseAddrPort(text); err == nil {
		return plainAddress(hop.Addr()), true
	}
	address, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return plainAddress(address), err == nil
}

// plainAddress gives an address the one form in which networks contain it.
func plainAddress(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

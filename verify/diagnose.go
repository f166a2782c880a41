package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// maxDiagnosed is the largest body that is looked into, in bytes: every change
// that is tried costs a verification.
const maxDiagnosed = 1 << 20

// Diagnose says what about a refused request would have to be otherwise for it
// to verify, as a clause that a person can act on; "" if nothing that is tried
// helps. previous are secrets that the source had. It is for the owner of the
// source, and costs some twenty verifications.
func (v *Verifier) Diagnose(ctx context.Context, req Request, now time.Time, previous []string) string {
	if len(req.Body) > maxDiagnosed {
		return ""
	}
	// Rotation first: it is the most frequent cause, and explains all the others.
	// A secret that does not fit the settings of today is no reason to stop. No key
	// is fetched: what this Verifier learns is forgotten with it, so that each
	// refused request would fetch again.
	if old, err := New(v.def, Config{Secrets: previous, Settings: v.given}); err == nil && len(previous) > 0 && old.verifies(ctx, req, now) {
		return "the signature matches the previous secret: the provider has not got the new one yet"
	}
	for _, change := range bodyChanges() {
		changed := change.of(req.Body)
		if changed == nil || bytes.Equal(changed, req.Body) {
			continue
		}
		other := req
		other.Body = changed
		if v.verifies(ctx, other, now) {
			return change.finding
		}
	}
	for _, change := range urlChanges(req.URL) {
		other := req
		other.URL = change.url
		if v.verifies(ctx, other, now) {
			return "the address is another than the provider signed: it verifies " + change.finding
		}
	}
	return ""
}

// verifies reports whether a request verifies now. Handshakes are left out: they
// are not signed, or no other way of writing them is known.
func (v *Verifier) verifies(ctx context.Context, req Request, now time.Time) bool {
	return v.accept(ctx, &input{req: req, now: now}) == nil
}

// bodyChange undoes what something on the way may have done to a body; of
// returns nil where that is nothing.
type bodyChange struct {
	finding string
	of      func(body []byte) []byte
}

// bodyChanges are what gateways, frameworks and editors do to bodies, those that
// change least in front: an ending that was cut off also compacts.
func bodyChanges() []bodyChange {
	const encoded = "the body was re-encoded on its way: it verifies "
	const ending = "the end of the body was changed on its way: it verifies "
	return []bodyChange{
		{ending + "without its last line break", func(b []byte) []byte { return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r")) }},
		{ending + "with a line break behind it", func(b []byte) []byte { return append(bytes.Clone(b), '\n') }},
		{ending + "with a CRLF behind it", func(b []byte) []byte { return append(bytes.Clone(b), "\r\n"...) }},
		{encoded + "compacted", compacted},
		{encoded + "with characters outside ASCII escaped", escaped},
		{encoded + "compacted, with characters outside ASCII escaped", func(b []byte) []byte { return escaped(compacted(b)) }},
		{encoded + "with slashes escaped", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("/"), []byte(`\/`)) }},
		{encoded + "with < > & escaped", htmlEscaped},
		{encoded + "decoded from base64", func(b []byte) []byte {
			raw, err := decodeText("base64", string(b))
			if err != nil {
				return nil
			}
			return raw
		}},
		{"the line breaks of the body were changed on its way: it verifies with CRLF", func(b []byte) []byte {
			return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
		}},
		{"the line breaks of the body were changed on its way: it verifies with LF", func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
		}},
	}
}

// compacted is a JSON text without white space between its parts, which is how
// most senders write it.
func compacted(body []byte) []byte {
	var out bytes.Buffer
	if json.Compact(&out, body) != nil {
		return nil
	}
	return out.Bytes()
}

// htmlEscaped is a JSON text as Go writes it, and some others do.
func htmlEscaped(body []byte) []byte {
	if !json.Valid(body) {
		return nil
	}
	var out bytes.Buffer
	json.HTMLEscape(&out, body)
	return out.Bytes()
}

// escaped writes every character outside ASCII of a JSON text as \uXXXX.
func escaped(body []byte) []byte {
	if !json.Valid(body) || !utf8.Valid(body) {
		return nil
	}
	var out []byte
	for _, r := range string(body) {
		if r < utf8.RuneSelf {
			out = append(out, byte(r))
		} else {
			out = appendEscaped(out, r)
		}
	}
	return out
}

// urlChange is another way to write an address.
type urlChange struct{ finding, url string }

// urlChanges are what proxies and people do to addresses.
func urlChanges(address string) []urlChange {
	scheme, rest, ok := strings.Cut(address, "://")
	parsed, err := url.Parse(address)
	if !ok || err != nil {
		return nil
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	host, target := rest[:end], rest[end:] // by hand, so that no byte is written otherwise
	path, query, asked := strings.Cut(target, "?")
	if asked {
		query = "?" + query
	}
	other := map[string]string{"http": "https", "https": "http"}[scheme]
	slashed := path + "/"
	named := "with a slash at the end of the path"
	if strings.HasSuffix(path, "/") {
		slashed, named = strings.TrimSuffix(path, "/"), "without the slash at the end of the path"
	}
	changes := []urlChange{
		{"with " + other, other + "://" + rest},
		{named, scheme + "://" + host + slashed + query},
	}
	if parsed.Port() != "" {
		changes = append(changes, urlChange{"without the port", scheme + "://" + strings.TrimSuffix(host, ":"+parsed.Port()) + target})
	} else {
		changes = append(changes, urlChange{"with the port", string(withPort(address, true))})
	}
	if query != "" {
		changes = append(changes, urlChange{"without the query", scheme + "://" + host + path})
	}
	return changes
}

package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// atlassianChecker checks a token whose claim qsh is the hash of method, path
// and query, written in one certain way.
type atlassianChecker struct{ jwtChecker }

func (c atlassianChecker) check(ctx context.Context, in *input) (proof, *Error) {
	if in.req.URL == "" {
		return proof{}, errURLMissing()
	}
	p, err := c.jwtChecker.check(ctx, in)
	if err != nil {
		return proof{}, err
	}
	base, err := c.base(in)
	if err != nil {
		return proof{}, err
	}
	text, ok := atlassianText(in.req.Method, in.target(), base)
	if !ok {
		return proof{}, &Error{ReasonBodyMalformed, "path or query has a wrong escape"}
	}
	// A token for no request in particular says context-qsh, which is no hash.
	got, _ := jsonText(p.claims, []string{"qsh"})
	sum := sha256.Sum256([]byte(text))
	if !equal([]byte(got), []byte(hex.EncodeToString(sum[:]))) {
		return proof{}, &Error{ReasonDigestMismatch, "claim:qsh is not the hash of method, path and query: another address, or a base path that is configured wrong"}
	}
	return p, nil
}

// base is the path of the app's baseUrl, which the definition has as a template.
func (c atlassianChecker) base(in *input) (string, *Error) {
	pieces, err := c.s.template.render(in, nil)
	return string(slices.Concat(pieces...)), err
}

// atlassianText is the canonical request: method, path below base and sorted
// query, joined by '&'; false for a wrong escape.
func atlassianText(method, target, base string) (string, bool) {
	path, rawQuery, _ := strings.Cut(target, "?")
	// Proxies differ in what they escape, so that the text is made of what the
	// path means and escaped in one way.
	path, err := url.PathUnescape(path)
	if err != nil {
		return "", false
	}
	// The base is taken off only as whole names of the path: /in is no base of /inner.
	if base = strings.TrimRight(base, "/"); strings.HasPrefix(path, base+"/") || path == base {
		path = path[len(base):]
	}
	if path = strings.TrimRight(path, "/"); path == "" {
		path = "/"
	}
	query, ok := atlassianQuery(rawQuery)
	return strings.ToUpper(method) + "&" + percentEncode(path, "/-._~") + "&" + query, ok
}

// atlassianQuery sorts the fields by name; the values of one name are sorted and
// joined by commas. The token itself is not part of it.
func atlassianQuery(raw string) (string, bool) {
	all, ok := parseForm([]byte(raw))
	values := map[string][]string{}
	for _, f := range all {
		if f.name != "jwt" {
			name := percentEncode(f.name, "-._~")
			values[name] = append(values[name], percentEncode(f.value, "-._~"))
		}
	}
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		slices.Sort(values[name])
		pairs = append(pairs, name+"="+strings.Join(values[name], ","))
	}
	return strings.Join(pairs, "&"), ok
}

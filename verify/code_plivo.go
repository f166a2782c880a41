package verify

import (
	"net/http"
	"slices"
	"strings"
)

// plivoV3Text is what Plivo signs from version 3 on: the URL with its query
// sorted, the form's fields sorted, and a nonce.
func plivoV3Text(in *input) ([][]byte, *Error) {
	base, err := plivoBase(in)
	if err != nil {
		return nil, err
	}
	nonce, err := in.header("X-Plivo-Signature-V3-Nonce")
	if err != nil {
		return nil, err
	}
	query, err := in.query()
	if err != nil {
		return nil, err
	}
	params, err := plivoParams(in)
	if err != nil {
		return nil, err
	}
	// With a form, '?' is there even if there is no query behind it.
	text := base
	if len(query) > 0 || len(params) > 0 {
		text += "?" + joinFields(query, "=", "&")
	}
	if len(query) > 0 && len(params) > 0 {
		text += "."
	}
	text += joinFields(params, "", "") + "." + nonce
	return [][]byte{[]byte(text)}, nil
}

// plivoV2Text leaves out the query and the body, so that the signature says no
// more than that Plivo sent something to this address with this nonce.
func plivoV2Text(in *input) ([][]byte, *Error) {
	base, err := plivoBase(in)
	if err != nil {
		return nil, err
	}
	nonce, err := in.header("X-Plivo-Signature-V2-Nonce")
	if err != nil {
		return nil, err
	}
	return [][]byte{[]byte(base + nonce)}, nil
}

// plivoBase is the URL up to its query, as it is written in Plivo's console:
// with its port if one is there, and without a user.
func plivoBase(in *input) (string, *Error) {
	if in.req.URL == "" {
		return "", errURLMissing()
	}
	base, _, _ := strings.Cut(in.req.URL, "?")
	scheme, rest, ok := strings.Cut(base, "://")
	if !ok {
		return base, nil
	}
	// Nothing is normalised: what Plivo signed is what was entered there.
	host, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	host = host[strings.LastIndexByte(host, '@')+1:]
	return scheme + "://" + host + path, nil
}

// plivoParams are the form's fields. A GET has none, and one with a body would
// bring in what nobody signed. The method is not part of the text, so that no
// other is taken.
func plivoParams(in *input) (fields, *Error) {
	switch in.req.Method {
	case http.MethodPost:
		return in.form()
	case http.MethodGet:
	default:
		return nil, &Error{ReasonSchemeUnmet, "the method is neither GET nor POST"}
	}
	if len(in.req.Body) > 0 {
		return nil, &Error{ReasonBodyMalformed, "a GET has a body, which the signature does not cover"}
	}
	return nil, nil
}

// joinFields sorts fields as JavaScript does, by name and then by value, and
// writes them with the given separators.
func joinFields(all fields, between, after string) string {
	sorted := slices.SortedFunc(slices.Values(all), func(a, b field) int {
		if a.name != b.name {
			return compareUTF16(a.name, b.name)
		}
		return compareUTF16(a.value, b.value)
	})
	pairs := make([]string, len(sorted))
	for i, f := range sorted {
		pairs[i] = f.name + between + f.value
	}
	return strings.Join(pairs, after)
}

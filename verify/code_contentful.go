package verify

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"
)

// maxSignedHeaders bounds the list that a request brings.
const maxSignedHeaders = 64

// The headers that are signed whether or not the list has them.
const (
	contentfulSigned    = "X-Contentful-Signed-Headers"
	contentfulTimestamp = "X-Contentful-Timestamp"
)

// contentfulText is what Contentful signs: method, path, headers and body, one
// to a line. Which headers is said by one of them.
func contentfulText(in *input) ([][]byte, *Error) {
	if in.req.URL == "" {
		return nil, errURLMissing()
	}
	headers, err := contentfulHeaders(in)
	if err != nil {
		return nil, err
	}
	head := in.req.Method + "\n" + contentfulPath(in.target()) + "\n" + headers + "\n"
	return [][]byte{[]byte(head), in.req.Body}, nil
}

// contentfulHeaders writes the listed headers as name:value, sorted. The list
// itself is signed in sorted order, whatever its order in the request.
func contentfulHeaders(in *input) (string, *Error) {
	list, _, err := in.only(contentfulSigned)
	if err != nil {
		return "", err
	}
	// Names are compared as they are written, which is in lower case; one in any
	// other form is of no header that is signed.
	names := append(strings.Split(list, ","), strings.ToLower(contentfulSigned), strings.ToLower(contentfulTimestamp))
	if len(names) > maxSignedHeaders {
		return "", &Error{ReasonSignatureMalformed, fmt.Sprintf("%s lists more than %d headers", contentfulSigned, maxSignedHeaders)}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	pairs := make([]string, len(names))
	for i, name := range names {
		key := textproto.CanonicalMIMEHeaderKey(name)
		value, present, err := in.only(key)
		if err != nil {
			return "", err
		}
		// An empty header is signed as such; one that is not there at all would
		// have the sender's list say more than the request.
		if !present && len(in.req.Header[key]) == 0 {
			return "", &Error{ReasonHeaderMissing, fmt.Sprintf("%q is listed in %s and is not there", name, contentfulSigned)}
		}
		if key == contentfulSigned {
			value = strings.Join(names, ",")
		}
		pairs[i] = name + ":" + strings.TrimSpace(value)
	}
	return strings.Join(pairs, ";"), nil
}

// contentfulPath is the path as JavaScript's encodeURI leaves it, and the query
// escaped as one value and then once more. A second '?' ends the query.
func contentfulPath(target string) string {
	const uri = ";,/?:@&=+$-_.!~*'()#"
	parts := strings.Split(target, "?")
	if len(parts) == 1 || parts[1] == "" {
		return percentEncode(parts[0], uri)
	}
	query := percentEncode(parts[1], "-_.!~*'()")
	return percentEncode(parts[0]+"?"+query, uri)
}

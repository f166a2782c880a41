package verify

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxFields bounds the fields of a form, a query and a multipart body.
const maxFields = 1000

// Request is what was received, byte for byte. Verify does not keep or change
// any of it.
type Request struct {
	Method string
	// URL is the public one, as the provider has it configured: behind a proxy
	// that is not what the server sees. Needed only where a signature covers it.
	URL string
	// Target is path and query as the server sees them. It counts where URL is
	// empty, for what is read and not signed, such as the token in a query.
	Target string
	// Header has its names in canonical form, as net/http delivers them, and all
	// repeats.
	Header http.Header
	// Body is the raw body, bounded by the caller.
	Body []byte
}

// input is a Request as schemes see it. It lives for one request and belongs to
// one goroutine; what is taken apart is taken apart once.
type input struct {
	req Request
	now time.Time

	queried, formed, multiparted parsed

	// What the scheme at hand has found; begin clears it.
	scheme        *scheme
	place         string // the value that the signatures were found in
	item          []byte // of Each
	id, timestamp string // as written: that is what is signed
	proof         proof  // once the signature is right
}

// parsed is a part of the request that was taken apart, or why it cannot be.
type parsed struct {
	done   bool
	fields fields
	err    *Error
}

// fields are names and values in the order in which they came.
type fields []field

type field struct{ name, value string }

// begin makes the input s's. What an earlier scheme found is not the next one's.
func (in *input) begin(s *scheme) {
	in.scheme, in.place, in.item, in.id, in.timestamp, in.proof = s, "", nil, "", "", proof{}
}

// only returns the value of a header, whose name is in canonical form. Repeats
// are refused even when equal: which one counts differs between proxies and
// servers.
func (in *input) only(name string) (value string, present bool, err *Error) {
	switch values := in.req.Header[name]; len(values) {
	case 0:
		return "", false, nil
	case 1:
		return values[0], values[0] != "", nil
	default:
		return "", true, &Error{ReasonDuplicateHeader, fmt.Sprintf("%s is there %d times", name, len(values))}
	}
}

// target is path and query as sent, "" when nobody said.
func (in *input) target() string {
	if in.req.URL == "" {
		return in.req.Target
	}
	_, rest, ok := strings.Cut(in.req.URL, "://")
	if !ok {
		return in.req.URL
	}
	i := strings.IndexAny(rest, "/?")
	if i < 0 {
		return "/"
	}
	if rest[i] == '?' {
		return "/" + rest[i:]
	}
	return rest[i:]
}

// query is the fields of the query.
func (in *input) query() (fields, *Error) {
	return in.queried.once(func() (fields, *Error) {
		_, raw, _ := strings.Cut(in.target(), "?")
		f, ok := parseForm([]byte(raw))
		if !ok {
			return nil, &Error{ReasonBodyMalformed, "the query cannot be read as name=value pairs"}
		}
		return f, nil
	})
}

// form is the fields of a body that is a form, whatever its Content-Type says.
func (in *input) form() (fields, *Error) {
	return in.formed.once(func() (fields, *Error) {
		f, ok := parseForm(in.req.Body)
		if !ok {
			return nil, &Error{ReasonBodyMalformed, "the body cannot be read as a form"}
		}
		return f, nil
	})
}

// multipart is the fields of a multipart body.
func (in *input) multipart() (fields, *Error) {
	return in.multiparted.once(func() (fields, *Error) {
		malformed := &Error{ReasonBodyMalformed, "the body cannot be read as multipart/form-data"}
		_, params, err := mime.ParseMediaType(in.req.Header.Get("Content-Type"))
		if err != nil || params["boundary"] == "" {
			return nil, malformed
		}
		f, ok := parseMultipart(in.req.Body, params["boundary"])
		if !ok {
			return nil, malformed
		}
		return f, nil
	})
}

// once keeps what parse makes.
func (p *parsed) once(parse func() (fields, *Error)) (fields, *Error) {
	if !p.done {
		p.fields, p.err = parse()
		p.done = true
	}
	return p.fields, p.err
}

// only returns the value of a name; one that is there twice is an error.
func (f fields) only(name string) (value string, present bool, err *Error) {
	for _, field := range f {
		if field.name != name {
			continue
		}
		if present {
			return "", true, &Error{ReasonDuplicateValue, fmt.Sprintf("%q is there more than once", name)}
		}
		value, present = field.value, true
	}
	return value, present, nil
}

// sorted is names and values sorted by name, without separators. Of a repeated
// name every different value counts, in sorted order, under the name again.
func (f fields) sorted() []byte {
	all := slices.Clone(f)
	slices.SortFunc(all, func(a, b field) int {
		if a.name != b.name {
			return strings.Compare(a.name, b.name)
		}
		return strings.Compare(a.value, b.value)
	})
	all = slices.Compact(all)
	size := 0
	for _, field := range all {
		size += len(field.name) + len(field.value)
	}
	text := make([]byte, 0, size)
	for _, field := range all {
		text = append(append(text, field.name...), field.value...)
	}
	return text
}

// parseForm takes name=value pairs apart, keeping order and repeats. ';' is no
// separator, and a wrong escape refuses all of it. All fields share one text:
// some providers send fifty of them with every request.
func parseForm(raw []byte) (fields, bool) {
	count := bytes.Count(raw, []byte("&")) + 1
	if count > maxFields {
		return nil, false
	}
	text := make([]byte, 0, len(raw))
	ends := make([]int, 0, 2*count) // of each name and of each value in text
	for pair := range bytes.SplitSeq(raw, []byte("&")) {
		if len(pair) == 0 {
			continue
		}
		name, value, _ := bytes.Cut(pair, []byte("="))
		for _, escaped := range [...][]byte{name, value} {
			var ok bool
			if text, ok = appendUnescaped(text, escaped); !ok {
				return nil, false
			}
			ends = append(ends, len(text))
		}
	}
	all, shared, from := make(fields, len(ends)/2), string(text), 0
	for i := range all {
		middle, end := ends[2*i], ends[2*i+1]
		all[i] = field{shared[from:middle], shared[middle:end]}
		from = end
	}
	return all, true
}

// appendUnescaped decodes %xx and '+'; false for a wrong escape.
func appendUnescaped(text, escaped []byte) ([]byte, bool) {
	for i := 0; i < len(escaped); i++ {
		switch escaped[i] {
		case '+':
			text = append(text, ' ')
		case '%':
			if i+3 > len(escaped) {
				return nil, false
			}
			var err error
			if text, err = hex.AppendDecode(text, escaped[i+1:i+3]); err != nil {
				return nil, false
			}
			i += 2
		default:
			text = append(text, escaped[i])
		}
	}
	return text, true
}

// parseMultipart takes the fields of a multipart body that is complete. Files
// are fields like any other: the body is bounded.
func parseMultipart(body []byte, boundary string) (fields, bool) {
	// The reader takes a body that breaks off inside a header for one that ends.
	if !bytes.Contains(body, []byte("\r\n--"+boundary+"--")) {
		return nil, false
	}
	var all fields
	parts := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return all, true
		}
		if err != nil || len(all) == maxFields {
			return nil, false
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, false
		}
		all = append(all, field{part.FormName(), string(value)})
	}
}

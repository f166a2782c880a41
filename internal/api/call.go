package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/auth"
)

// keepBuffer bounds the answer buffer that a call keeps for the next request.
const keepBuffer = 64 << 10

// call is one request under way. Calls are used again: nothing may hold on to
// one, or to its buffer, once the request is answered.
type call struct {
	w   http.ResponseWriter
	r   *http.Request
	who auth.Principal
	// operation is the row that is asked for, nil before it is found.
	operation *operation
	// app is the application that the path lies in, nil outside of any.
	app *postern.Application
	// names and values are the path's variables.
	names  []string
	values [maxParams]string
	// status is the answer's; operations may change it.
	status int
	query  url.Values // parsed at first use
	answer bytes.Buffer
	// digest is what the request's repetition is known by; zero unless the
	// caller wants that to last. published is the message it became.
	digest    [16]byte
	published postern.MessageID
	// behind: other nodes may have changed what this one does not know of.
	behind bool
}

// reset forgets the request and keeps the buffer, unless that has grown large.
func (c *call) reset() {
	answer := c.answer
	if answer.Cap() > keepBuffer {
		answer = bytes.Buffer{}
	}
	answer.Reset()
	*c = call{answer: answer}
}

// reads reports whether the request changes nothing.
func (c *call) reads() bool {
	return c.r.Method == http.MethodGet || c.r.Method == http.MethodHead
}

// param is a variable of the path.
func (c *call) param(name string) string {
	for i, n := range c.names {
		if n == name {
			return c.values[i]
		}
	}
	return ""
}

// decode reads a JSON body into what dst points to. Unknown properties are
// ignored; an empty body is an empty object.
func (c *call) decode(limit int64, dst any) error {
	body, err := readBody(c.r, limit)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	return decodeJSON(body, dst)
}

// decodeJSON turns the decoder's complaints into ours.
func decodeJSON(body []byte, dst any) error {
	err := json.Unmarshal(body, dst)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*postern.Error](err); ok {
		return e
	}
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return syntaxError()
	}
	loc := []string{"body"}
	if wrong.Field != "" {
		loc = append(loc, strings.Split(wrong.Field, ".")...)
	}
	return &postern.Error{Kind: postern.Invalid, Fields: []postern.FieldError{{
		Loc: loc, Type: "type_error", Msg: "a " + wrong.Value + " does not fit here",
	}}}
}

// syntaxError is Svix's for a body that is not JSON.
func syntaxError() error {
	return &postern.Error{Kind: postern.Invalid, Fields: []postern.FieldError{{
		Loc: []string{"body"}, Type: "value_error.jsondecode", Msg: "the body is not valid JSON",
	}}}
}

// eagerBody is how much memory a Content-Length gets on trust, in bytes. What
// is announced beyond it is allocated as it arrives, so that many who announce
// much and send nothing cost them more than us.
const eagerBody = 64 << 10

// readBody reads a request's body whole, into memory that is the caller's. It
// is one allocation of the right size for a body that says its length.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	announced := r.ContentLength
	if announced > limit {
		return nil, tooLarge(limit)
	}
	if announced == 0 {
		return nil, nil
	}
	end := announced
	if end < 0 {
		end = limit + 1 // one byte more than allowed tells what is too long
	}
	body := make([]byte, 0, min(end, eagerBody))
	for int64(len(body)) < end {
		if len(body) == cap(body) {
			grown := make([]byte, len(body), min(2*int64(cap(body)), end))
			copy(grown, body)
			body = grown
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF && (announced < 0 || int64(len(body)) == announced) {
			break
		}
		if err != nil {
			return nil, cutOff(err)
		}
	}
	if int64(len(body)) > limit {
		return nil, tooLarge(limit)
	}
	return body, nil
}

// tooLarge names the limit, which is the operator's to raise.
func tooLarge(limit int64) error {
	return &postern.Error{Kind: postern.TooLarge, Detail: "The body is larger than " + byteCount(limit)}
}

// cutOff is a body that ended early or took longer than the server waits: the
// sender's fault, and most likely it is gone.
func cutOff(cause error) error {
	if big, ok := errors.AsType[*http.MaxBytesError](cause); ok {
		return tooLarge(big.Limit)
	}
	return &postern.Error{Kind: postern.Invalid, Code: "incomplete_body", Detail: "The body ended before its length, or took too long", Err: cause}
}

// value is the first value of a query parameter, "" for none.
func (c *call) value(name string) (string, error) {
	if err := c.declared(name); err != nil {
		return "", err
	}
	query, err := c.parsedQuery()
	return query.Get(name), err
}

// parsedQuery parses once, and not at all without a query.
func (c *call) parsedQuery() (url.Values, error) {
	if c.query != nil || c.r.URL.RawQuery == "" {
		return c.query, nil
	}
	query, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return nil, badQuery("it cannot be parsed")
	}
	c.query = query
	return query, nil
}

// flag is a boolean of the query.
func (c *call) flag(name string, otherwise bool) (bool, error) {
	text, err := c.value(name)
	switch {
	case err != nil || text == "":
		return otherwise, err
	case text == "true":
		return true, nil
	case text == "false":
		return false, nil
	}
	return otherwise, badQuery(name + " is neither true nor false")
}

// moment is a time of the query in RFC 3339; zero for none.
func (c *call) moment(name string) (time.Time, error) {
	text, err := c.value(name)
	if err != nil || text == "" {
		return time.Time{}, err
	}
	// A plus sign of a zone, sent unescaped, arrives as a space.
	t, err := time.Parse(time.RFC3339, strings.Replace(text, " ", "+", 1))
	if err != nil {
		return time.Time{}, badQuery(name + " is not a time such as 2026-01-31T15:04:05Z")
	}
	return t, nil
}

// maxListed bounds the values of a list, each of which everything that is looked
// at is compared with.
const maxListed = 256

// list is a parameter with several values: a,b or repeated, also as name[] and
// name[0].
func (c *call) list(name string) ([]string, error) {
	if err := c.declared(name); err != nil {
		return nil, err
	}
	query, err := c.parsedQuery()
	if err != nil {
		return nil, err
	}
	var list []string
	for key, values := range query {
		base, _, _ := strings.Cut(key, "[")
		if base != name {
			continue
		}
		for _, value := range values {
			for part := range strings.SplitSeq(value, ",") {
				if part != "" {
					list = append(list, part)
				}
			}
		}
	}
	if len(list) > maxListed {
		return nil, postern.InvalidField("must be at most "+strconv.Itoa(maxListed), "query", name)
	}
	return list, nil
}

// badQuery is a query that cannot be read, which Svix answers with 400; what is
// read and out of bounds is 422.
func badQuery(what string) error {
	return &postern.Error{Kind: postern.Invalid, Code: "invalid_query", Detail: "Query: " + what}
}

package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/postern-dev/postern"
)

// Bounds of a call.
const (
	// prefix is where a server has its API.
	prefix = "/api/v1"
	// maxAnswer is what is read of an answer, in bytes. Pages end at 8 MiB of
	// payloads: an answer is larger only where one payload by itself is.
	maxAnswer = 64 << 20
	// defaultRetries and defaultTimeout stand in for zero options.
	defaultRetries = 3
	defaultTimeout = 30 * time.Second
	// firstWait is before the first retry; it doubles, each varied by half.
	// longestWait bounds what a server can ask for.
	firstWait   = 100 * time.Millisecond
	longestWait = 10 * time.Second
)

// Options say which server, and how it is called.
type Options struct {
	// URL is the server's address, without the API's path, http or https. It is
	// required but where there is a Handler.
	URL string
	// Handler is what calls go to instead, such as that of an engine in this
	// program: they are made without a socket. It needs no URL and no HTTP.
	Handler http.Handler
	// Key is an API key: required.
	Key string
	// HTTP makes the connections; nil for a client of its own, which follows no
	// redirect and gives up an exchange after 30 seconds.
	HTTP *http.Client
	// Retries is how often a call is tried again at most; 0 for three times,
	// negative for never.
	Retries int
	// UserAgent names the program; "" for "postern-client".
	UserAgent string
}

// Client calls one server with one key.
type Client struct {
	// Applications and what follows are the nouns of the API.
	Applications Applications
	Endpoints    Endpoints
	EventTypes   EventTypes
	Messages     Messages
	Attempts     Attempts
	Deliveries   Deliveries
	Sources      Sources
	Refusals     Refusals
	Replays      Replays
	Tasks        Tasks
	Keys         Keys
	Portal       Portal
	Leases       Leases

	base, key, agent string
	http             *http.Client
	retries          int
}

// New checks the options; it connects to nothing.
func New(o Options) (*Client, error) {
	if o.Handler != nil {
		o.URL = "http://postern.invalid"
		o.HTTP = &http.Client{Transport: within{o.Handler}, Timeout: defaultTimeout, CheckRedirect: stay}
	}
	at, err := url.Parse(o.URL)
	if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" {
		return nil, errors.New("client: the server's address must be http:// or https:// and a host")
	}
	if at.User != nil || at.RawQuery != "" || at.Fragment != "" {
		return nil, errors.New("client: the server's address may have a path, but no password, query or fragment")
	}
	if o.Key == "" || strings.ContainsFunc(o.Key, unicode.IsControl) {
		return nil, errors.New("client: a key is required, on a single line")
	}
	c := &Client{base: strings.TrimRight(o.URL, "/"), key: o.Key, agent: o.UserAgent, http: o.HTTP, retries: o.Retries}
	if c.agent == "" {
		c.agent = "postern-client"
	}
	if c.retries == 0 {
		c.retries = defaultRetries
	}
	if c.http == nil {
		c.http = &http.Client{Timeout: defaultTimeout, CheckRedirect: stay}
	}
	c.Applications, c.Endpoints, c.EventTypes = Applications{c}, Endpoints{c}, EventTypes{c}
	c.Messages, c.Attempts, c.Deliveries = Messages{c}, Attempts{c}, Deliveries{c}
	c.Sources, c.Refusals, c.Keys = Sources{c}, Refusals{c}, Keys{c}
	c.Replays, c.Tasks, c.Portal = Replays{c}, Tasks{c}, Portal{c}
	c.Leases = Leases{c}
	return c, nil
}

// stay keeps a key to the server that it was given for, wherever that points.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// String is the server's address: a client that is printed keeps its key.
func (c *Client) String() string { return "client of " + c.base }

// GoString is String.
func (c *Client) GoString() string { return c.String() }

// Patch names what a PATCH changes, in the API's names: what is absent stays,
// and nil takes away.
type Patch map[string]any

// request is one call before it is made.
type request struct {
	method, path string
	query        url.Values
	// body is marshalled, unless it is a json.RawMessage, whose bytes are kept.
	body any
	// key is the caller's idempotency key; "" for one of our own.
	key string
	// unkeyed: what is answered is of the moment, and not to be kept for a
	// repetition.
	unkeyed bool
}

// call makes a request and decodes its answer; Out is struct{} where there is
// none to decode.
func call[Out any](ctx context.Context, c *Client, r request) (*Out, error) {
	_, answer, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	out := new(Out)
	if _, nothing := any(out).(*struct{}); nothing {
		return out, nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return nil, fmt.Errorf("client: %s %s: not an answer of Postern's: %w", r.method, r.path, err)
	}
	return out, nil
}

// do makes a request, again where that may help, and returns the answer whole.
func (c *Client) do(ctx context.Context, r request) (http.Header, []byte, error) {
	if !named(r.path) {
		return nil, nil, &postern.Error{Kind: postern.Invalid, Detail: "An id or uid is empty, or is . or .., which no path can hold"}
	}
	body, err := r.text()
	if err != nil {
		return nil, nil, fmt.Errorf("client: %s %s: %w", r.method, r.path, err)
	}
	key := r.key
	if key == "" && r.method == http.MethodPost && !r.unkeyed {
		key = "auto_" + rand.Text() // the same for every try
	}
	for try := 0; ; try++ {
		header, answer, err := c.once(ctx, r, body, key)
		if err == nil || try >= c.retries || !again(err) {
			return header, answer, err
		}
		if !pause(ctx, try, asked(header)) {
			return nil, nil, err
		}
	}
}

// text is the body to send; nil for none.
func (r *request) text() ([]byte, error) {
	switch body := r.body.(type) {
	case nil:
		return nil, nil
	case json.RawMessage:
		return body, nil
	}
	return json.Marshal(r.body)
}

// once makes one exchange.
func (c *Client) once(ctx context.Context, r request, body []byte, key string) (http.Header, []byte, error) {
	req, err := c.signed(ctx, r, body)
	if err != nil {
		return nil, nil, err
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err == nil && len(answer) > maxAnswer {
		return nil, nil, &postern.Error{Kind: postern.TooLarge, Detail: "The answer is larger than 64 MiB: ask for fewer at a time"}
	}
	if err != nil {
		return nil, nil, err
	}
	if res.StatusCode/100 != 2 {
		return res.Header, nil, refusal(res.StatusCode, answer)
	}
	return res.Header, answer, nil
}

// signed is a request in HTTP's form, with this client's key and name.
func (c *Client) signed(ctx context.Context, r request, body []byte) (*http.Request, error) {
	target := c.base + prefix + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("User-Agent", c.agent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// again reports whether another try may end otherwise: the server was not
// there, or said that it will be. What it refused it will refuse again.
func again(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	refused, ok := errors.AsType[*postern.Error](err)
	return !ok || refused.Kind == postern.Unavailable
}

// asked is how long an answer asks to be left alone; 0 where it says nothing.
func asked(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// pause waits before another try, no less than the server asked for; it reports
// false when the context ends before.
func pause(ctx context.Context, try int, asked time.Duration) bool {
	wait := firstWait << min(try, 6)
	wait = wait/2 + mathrand.N(wait) //nolint:gosec // spreads retries, and is no secret
	timer := time.NewTimer(min(max(wait, asked), longestWait))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// refusal is an answer that is not 2xx as an error.
func refusal(status int, answer []byte) error {
	refused := &postern.Error{Kind: kindOf(status)}
	var said struct {
		Code   string          `json:"code"`
		Detail json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(answer, &said) != nil || said.Detail == nil {
		refused.Detail = fmt.Sprintf("%d %s, not an answer of Postern's", status, http.StatusText(status))
		return refused
	}
	refused.Code = said.Code
	if json.Unmarshal(said.Detail, &refused.Detail) == nil {
		return refused
	}
	// Otherwise they are the faults of an input.
	if err := json.Unmarshal(said.Detail, &refused.Fields); err != nil {
		refused.Detail = fmt.Sprintf("%d %s", status, http.StatusText(status))
	}
	return refused
}

// kindOf is the kind of a status that is not 2xx.
func kindOf(status int) postern.Kind {
	switch status {
	case http.StatusUnauthorized:
		return postern.Unauthorized
	case http.StatusForbidden:
		return postern.Forbidden
	case http.StatusNotFound:
		return postern.NotFound
	case http.StatusConflict:
		return postern.Conflict
	case http.StatusRequestEntityTooLarge:
		return postern.TooLarge
	case http.StatusTooManyRequests:
		return postern.RateLimited
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return postern.Unavailable
	}
	if status < http.StatusInternalServerError {
		return postern.Invalid
	}
	return postern.Internal
}

// named reports whether a path has a name wherever it wants one: without, or
// with one that is resolved on the way, it would be another operation's.
func named(path string) bool {
	for segment := range strings.SplitSeq(path[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

// path joins segments, each escaped.
func path(segments ...string) string {
	var b strings.Builder
	for _, segment := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(segment))
	}
	return b.String()
}

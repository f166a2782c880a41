package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/postern-dev/postern"
)

// silence is how long a server may say nothing before it is taken for gone:
// three of its heartbeats.
const silence = 45 * time.Second

// errSilent ends a connection over which nothing comes.
var errSilent = errors.New("client: the server has fallen silent")

// TailFilter says what to hear of. The zero value is everything that the key may
// see, from now on.
type TailFilter struct {
	// Application and Endpoint are ids or uids; Endpoint needs Application.
	Application, Endpoint string
	// EventTypes are exact names. With any, cancellations are not told.
	EventTypes []string
	// Outcomes are states that attempts led to: retrying, delivered, dead or
	// canceled. With any, messages are not told.
	Outcomes []string
	// After is a TailEvent.ID, or a TailSkip.After, to go on behind; "" for now.
	After string
}

// values are the filter as a query.
func (f TailFilter) values() url.Values {
	query := url.Values{}
	set(query, "app_id", f.Application)
	set(query, "endpoint_id", f.Endpoint)
	for _, name := range f.EventTypes {
		query.Add("event_types", name)
	}
	for _, state := range f.Outcomes {
		query.Add("outcome", state)
	}
	return query
}

// TailEvent is something that has happened: one of the pointers is set.
type TailEvent struct {
	// ID is its place in the history, for TailFilter.After.
	ID       string
	Message  *TailMessage
	Attempt  *TailAttempt
	Canceled *TailCancel
	Skipped  *TailSkip
}

// TailMessage is a message that was accepted.
type TailMessage struct {
	ApplicationID postern.ApplicationID `json:"applicationId"`
	// Endpoints counts those that it was routed to.
	Endpoints int `json:"endpoints"`
	// Message is without its payload.
	Message Message `json:"message"`
}

// TailAttempt is an attempt that was made, without its response.
type TailAttempt struct {
	ApplicationID postern.ApplicationID `json:"applicationId"`
	EventType     string                `json:"eventType"`
	Attempt
}

// TailCancel is a delivery that its owner has ended. It is told as it happens
// and never afterwards.
type TailCancel struct {
	ApplicationID postern.ApplicationID `json:"applicationId"`
	EndpointID    postern.EndpointID    `json:"endpointId"`
	MsgID         postern.MessageID     `json:"msgId"`
}

// TailSkip says that something was left out: it found no room, because it was
// read too slowly or is too much to go back to.
type TailSkip struct {
	// Count is of events; nil for nobody knows how many.
	Count *int `json:"count"`
	// After is TailFilter.After for another try at what was left out.
	After string `json:"after"`
}

// Tail tells what happens, for as long as the context lasts; with f.After, first
// what has happened since. A connection that breaks, or is silent for 45
// seconds, is made again with growing waits, and goes on where it broke; the
// first one is tried as often as Options.Retries says, and none twice where that
// is negative. The timeout of Options.HTTP does not hold for it.
//
// An error is the last thing it yields: the context's, or what will not be
// otherwise another time, such as ErrNotFound for an unknown application, and
// ErrUnauthorized once the key is revoked.
func (c *Client) Tail(ctx context.Context, f TailFilter) iter.Seq2[TailEvent, error] {
	r := request{method: http.MethodGet, path: "/tail", query: f.values()}
	return func(yield func(TailEvent, error) bool) {
		events, ever := &eventStream{id: f.After}, false
		for try := 0; ; try++ {
			told, err := c.listen(ctx, r, events, yield)
			if err == nil {
				return // yield wants no more
			}
			if told {
				ever, try = true, 0
			}
			if !passing(err) || c.retries < 0 || !ever && try >= c.retries || !pause(ctx, try, events.retry) {
				if ctx.Err() != nil {
					err = ctx.Err() // what it did to the connection says less
				}
				yield(TailEvent{}, err)
				return
			}
		}
	}
}

// passing reports whether another connection may fare better. A refusal stands,
// unless the server is only unavailable; other errors are of the network.
func passing(err error) bool {
	refused, ok := errors.AsType[*postern.Error](err)
	return !ok || refused.Kind == postern.Unavailable
}

// listen hands on what comes over one connection, and reports whether anything
// did. The error is nil when yield wants no more, and says otherwise why the
// connection has ended.
func (c *Client) listen(ctx context.Context, r request, events *eventStream, yield func(TailEvent, error) bool) (told bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watch.Stop()
	body, err := c.openTail(ctx, r, events)
	if err != nil {
		return false, because(ctx, err)
	}
	defer body.Close()
	events.begin()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		watch.Stop() // it is the caller's time now
		told = true
		e, complete, err := events.line(lines.Text())
		if err != nil {
			return told, err
		}
		if complete {
			event, err := e.decode()
			if err != nil {
				return told, err
			}
			if event != nil && !yield(*event, nil) {
				return told, nil
			}
		}
		watch.Reset(silence)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return told, tooLarge()
	case err != nil:
		return told, because(ctx, err)
	}
	return told, because(ctx, io.ErrUnexpectedEOF)
}

// because is why a context has ended, where that explains an error.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// openTail makes a connection and returns what comes over it.
func (c *Client) openTail(ctx context.Context, r request, events *eventStream) (io.ReadCloser, error) {
	req, err := c.signed(ctx, r, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	if events.id != "" {
		req.Header.Set("Last-Event-ID", events.id)
	}
	lasting := *c.http
	lasting.Timeout = 0 // it bounds exchanges whole, and this one has no end
	res, err := lasting.Do(req)
	if err != nil {
		return nil, err
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")) // "" is as wrong as any other
	if res.StatusCode == http.StatusOK && kind == "text/event-stream" {
		return res.Body, nil
	}
	defer res.Body.Close()
	if res.StatusCode/100 == 2 {
		return nil, strange(fmt.Errorf("%d %q", res.StatusCode, kind))
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxEvent))
	if err != nil {
		return nil, err
	}
	events.retry = max(events.retry, asked(res.Header))
	return nil, refusal(res.StatusCode, answer)
}

// decode reads an event; nil for one that is not of a kind known here, or has
// nothing to tell.
func (e *sent) decode() (*TailEvent, error) {
	event := &TailEvent{ID: e.id}
	var into any
	switch e.name {
	case "message":
		event.Message = new(TailMessage)
		into = event.Message
	case "attempt":
		event.Attempt = new(TailAttempt)
		into = event.Attempt
	case "canceled":
		event.Canceled = new(TailCancel)
		into = event.Canceled
	case "skipped":
		event.Skipped = new(TailSkip)
		into = event.Skipped
	}
	if into == nil || e.data == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(e.data), into); err != nil {
		return nil, strange(err)
	}
	return event, nil
}

// strange is an error of what another server would not have said, either: it is
// not worth another try.
func strange(err error) error {
	return &postern.Error{Kind: postern.Internal, Detail: "client: GET /tail: not an answer of Postern's", Err: err}
}

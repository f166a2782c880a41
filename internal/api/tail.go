package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/tail"
)

const (
	// heartbeat is how often a quiet tail says that it is alive.
	heartbeat = 15 * time.Second
	// tailPatience is how long a client may leave us waiting for room to write.
	tailPatience = 30 * time.Second
	// tailChunk is about how much is written at once, in bytes.
	tailChunk = 32 << 10
	// catchUps is how often a client is brought up to what came while it was
	// brought up.
	catchUps = 3
	// tailRecent is how far back a quiet client's place may lie before it is looked
	// whether there is anything behind it.
	tailRecent = 2 * time.Minute
)

// tailedAttempt is an attempt as tails show it: without its response.
type tailedAttempt struct {
	ApplicationID postern.ApplicationID `json:"applicationId"`
	EventType     string                `json:"eventType"`
	attemptOut
}

// getTail sends what happens as server-sent events, for as long as the client
// stays: "message", "attempt" and "canceled", and "skipped" for what found no
// room in the client's buffer. Ids are places in the history: with one as
// Last-Event-ID it goes on from there. Nobody waits for a client that is slow.
func (h *handler) getTail(c *call) error {
	filter, err := h.tailFilter(c)
	if err != nil {
		return err
	}
	s := &stream{h: h, c: c, filter: filter, control: http.NewResponseController(c.w)}
	resume := c.r.Header.Get("Last-Event-ID")
	if resume != "" {
		if s.cursor, err = tail.Parse(resume); err != nil {
			return postern.InvalidField("is not the id of an event", "header", "last-event-id")
		}
	}
	client, err := h.Tail.Listen(filter)
	if err != nil {
		return err
	}
	defer client.Close()
	horizon, err := s.horizon()
	if err != nil {
		return err
	}
	if resume == "" {
		s.cursor = horizon
	}
	s.cursor = s.cursor.Like(horizon)
	s.begin()
	if c.r.Method == http.MethodHead {
		return nil
	}
	if err = s.flush(); err == nil && resume != "" { // the client need not wait for the first event
		err = s.catchUp(client)
	}
	if err == nil {
		err = s.follow(client)
	}
	if err != nil && !errors.Is(err, errGone) {
		h.logFailure(c, c.operation.name, err) // the status is sent: all that is left is to hang up
	}
	return nil
}

// errGone is a client that has left, or may not stay.
var errGone = errors.New("api: the client is gone")

// tailFilter reads the query. A key of one application hears of that alone.
func (h *handler) tailFilter(c *call) (f tail.Filter, err error) {
	f.Application = c.who.Application
	ref, err := c.value("app_id")
	if err != nil {
		return f, err
	}
	if ref != "" {
		app, err := h.Applications.Application(ref)
		if err != nil {
			return f, notFound(err)
		}
		if f.Application != 0 && f.Application != app.Number {
			return f, postern.ErrNotFound
		}
		f.Application = app.Number
	}
	if ref, err = c.value("endpoint_id"); err != nil {
		return f, err
	}
	if ref != "" {
		if f.Application == 0 {
			return f, postern.InvalidField("is needed where endpoint_id is given", "query", "app_id")
		}
		v, err := h.Endpoints.Endpoint(f.Application, ref)
		if err != nil {
			return f, notFound(err)
		}
		f.Endpoint = v.Number
	}
	if f.EventTypes, err = c.list("event_types"); err != nil {
		return f, err
	}
	f.States, err = c.outcomes()
	return f, err
}

// outcomes are the states that an attempt can lead to, of the query.
func (c *call) outcomes() (states []postern.State, err error) {
	names, err := c.list("outcome")
	for _, name := range names {
		state, err := postern.ParseState(name)
		if err != nil || state < postern.Retrying {
			return nil, postern.InvalidField("must be some of retrying, delivered, dead, canceled", "query", "outcome")
		}
		states = append(states, state)
	}
	return states, err
}

// tailFilters is what tailFilter reads.
func tailFilters() params {
	return params{
		withText("app_id", "Only what happens in this application, an id or uid."),
		withText("endpoint_id", "Only messages routed to this endpoint of that application, and its attempts."),
		withList("event_types", "Only these event types, separated by commas or repeated."),
		withList("outcome", "Only attempts that led to these states, and no messages: retrying, delivered, dead, canceled."),
	}
}

// stream is one client's answer.
type stream struct {
	h       *handler
	c       *call
	filter  tail.Filter
	control *http.ResponseController
	// cursor is what the client knows of; its text is the id of what is sent.
	cursor tail.Cursor
	out    []byte // not yet written
}

// horizon is where the store ends now. What is stored up to there is read, what
// comes later is told to a client that listens already: nothing is missed between
// the two, and nothing told twice.
func (s *stream) horizon() (tail.Cursor, error) {
	if s.h.Horizon != nil {
		cursor, err := s.h.Horizon(s.c.r.Context())
		if err != nil && s.c.r.Context().Err() != nil {
			err = errGone
		}
		return cursor, err
	}
	head, err := s.h.Head(s.c.r.Context())
	return tail.Horizon(head), err
}

// begin sends the header, and where the client stands, so that it can come
// back to there before anything has happened.
func (s *stream) begin() {
	header := s.c.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // proxies that understand it pass on at once
	s.c.w.WriteHeader(s.c.status)
	_ = s.control.SetReadDeadline(time.Time{}) // the server's patience is for bodies; not every writer has one
	s.out = append(s.out, "retry: 2000\n"...)
	s.sendID()
}

// catchUp sends what has happened since the cursor, out of the store. What
// happens meanwhile waits in the client's buffer; what finds no room there is
// in the store by then. A client that is behind even so is told how much it
// misses, from there on.
func (s *stream) catchUp(client *tail.Client) error {
	for turn := 1; ; turn++ {
		if err := s.resume(); err != nil {
			return err
		}
		if b := client.Take(); b.Skipped == 0 || turn == catchUps {
			return s.send(b)
		}
	}
}

// follow sends what comes until the client leaves, or flush finds that it may
// not stay.
func (s *stream) follow(client *tail.Client) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		if err := s.flush(); err != nil {
			return err
		}
		select {
		case <-client.Ready():
			if err := s.send(client.Take()); err != nil {
				return err
			}
		case <-beat.C:
			if err := s.send(client.Take()); err != nil {
				return err
			}
			if err := s.settle(); err != nil {
				return err
			}
			s.out = append(s.out, ": heartbeat\n"...)
			s.sendID()
		case <-s.h.Tail.Done():
			return nil
		case <-s.c.r.Context().Done():
			return nil
		}
	}
}

// settle keeps the place of a client that hears of nothing from growing old, where
// there are several journals: who comes back with it looks from there on.
func (s *stream) settle() error {
	if s.h.Horizon == nil {
		return nil
	}
	horizon, err := s.horizon()
	if err != nil || s.cursor.Settle(horizon, tailRecent) {
		return nil //nolint:nilerr // the store is away: it is for the next time
	}
	return s.resume()
}

// send writes what has come, but for what the client has from the store.
func (s *stream) send(b tail.Batch) error {
	if b.Gap {
		if err := s.resume(); err != nil {
			return err
		}
		b.Skipped, b.Missed = 0, false // it was in the store by then
	}
	if b.Missed {
		s.skipped("null")
	}
	for _, e := range b.Events {
		if s.cursor.Before(e) {
			if err := s.tell(e); err != nil {
				return err
			}
		}
	}
	if b.Skipped > 0 {
		s.skipped(strconv.Itoa(b.Skipped))
	}
	s.cursor.Advance(b.Last)
	return nil
}

// tell writes one event, if the client wants it still that its message's type
// is known. What belongs to an application that is gone is left out.
func (s *stream) tell(e tail.Event) error {
	s.cursor.Advance(tail.Of(e))
	switch {
	case e.Message != nil:
		s.message(e.Message)
	case e.Attempt != nil:
		if err := s.attempt(e.Attempt); err != nil {
			return err
		}
	default:
		s.canceled(e)
	}
	if len(s.out) < tailChunk {
		return nil
	}
	return s.flush()
}

func (s *stream) message(m *postern.Message) {
	app := s.h.Applications.ApplicationByNumber(m.Application)
	if app == nil {
		return
	}
	s.head("message")
	s.out = append(s.out, `{"applicationId":"`...)
	s.out = app.ID.AppendTo(s.out)
	s.out = append(s.out, `","endpoints":`...)
	s.out = strconv.AppendInt(s.out, int64(len(m.Routes)), 10)
	s.out = append(s.out, `,"message":`...)
	s.out = append(appendMessage(s.out, m, nil), "}\n\n"...)
}

func (s *stream) attempt(a *postern.Attempt) error {
	app := s.h.Applications.ApplicationByNumber(a.Application)
	if app == nil {
		return nil
	}
	m, err := s.h.History.Message(s.c.r.Context(), a.Application, a.Message)
	if errors.Is(err, postern.ErrNotFound) {
		return nil // retention took it
	}
	if err != nil || !s.filter.WantsType(m.EventType) {
		return err
	}
	return s.json("attempt", tailedAttempt{app.ID, m.EventType, s.h.renderAttempt(a, false)})
}

// canceled tells of a delivery that its owner ended.
func (s *stream) canceled(e tail.Event) {
	app, v := s.h.Applications.ApplicationByNumber(e.Canceled.Application), s.h.Endpoints.EndpointByNumber(e.Canceled.Endpoint)
	if app == nil || v == nil || len(s.filter.EventTypes) > 0 {
		return
	}
	_ = s.json("canceled", map[string]string{ // of strings
		"applicationId": app.ID.String(), "endpointId": v.ID.String(), "msgId": e.Canceled.Message.String(),
	})
}

// skipped tells what was left out, "null" for nobody knows how many, and the id
// to come back with for it.
func (s *stream) skipped(count string) {
	s.out = append(s.out, "event: skipped\ndata: {\"count\":"+count+",\"after\":\""+s.cursor.String()+"\"}\n\n"...)
}

// head begins an event.
func (s *stream) head(event string) {
	s.out = append(s.out, "id: "+s.cursor.String()+"\nevent: "+event+"\ndata: "...)
}

func (s *stream) json(event string, data any) error {
	text, err := json.Marshal(data)
	if err == nil {
		s.head(event)
		s.out = append(append(s.out, text...), "\n\n"...)
	}
	return err
}

// sendID sends where the client stands, without an event.
func (s *stream) sendID() { s.out = append(s.out, "id: "+s.cursor.String()+"\n\n"...) }

// flush writes what there is, as long as the client may have it. One that takes
// nothing is let go.
func (s *stream) flush() error {
	if err := s.h.askAgain(s.c); err != nil {
		return errors.Join(errGone, err)
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(tailPatience)) // as above
	if _, err := s.c.w.Write(s.out); err != nil {
		return errors.Join(errGone, err)
	}
	s.out = s.out[:0]
	if err := s.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return errors.Join(errGone, err)
	}
	return nil
}

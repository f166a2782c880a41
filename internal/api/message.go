package api

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
	"github.com/tidwall/gjson"
)

// messageOut is a message as appendMessage writes it: one shape, written once.
type messageOut json.RawMessage

// MarshalJSON implements json.Marshaler.
func (m messageOut) MarshalJSON() ([]byte, error) { return m, nil }

// messageShape is what a messageOut holds.
type messageShape struct {
	ID        postern.MessageID `json:"id"`
	EventType string            `json:"eventType"`
	EventID   *string           `json:"eventId"`
	// Payload is an object: the message's own where that is one, else one that
	// has contentType and body or bodyBase64.
	Payload     map[string]json.RawMessage `json:"payload"`
	ContentType string                     `json:"contentType"`
	Channels    []string                   `json:"channels"`
	Tags        []string                   `json:"tags"`
	Timestamp   time.Time                  `json:"timestamp"`
	// SourceID and ProviderEventType are there for what came in by a source.
	SourceID          *postern.SourceID `json:"sourceId,omitempty"`
	ProviderEventType string            `json:"providerEventType,omitempty"`
}

// messageIn is what parseMessage reads.
type messageIn struct {
	// Application is made when there is none of the path's uid.
	Application *applicationIn             `json:"application"`
	EventType   string                     `json:"eventType" api:"required"`
	EventID     *string                    `json:"eventId"`
	Payload     map[string]json.RawMessage `json:"payload" api:"required"`
	Channels    []string                   `json:"channels"`
	Tags        []string                   `json:"tags"`
	// PayloadRetentionPeriod is in days, PayloadRetentionHours in hours, and only
	// one of the two may be there. Payloads are kept for as long as the server
	// keeps messages, whatever they say.
	PayloadRetentionPeriod *int `json:"payloadRetentionPeriod"`
	PayloadRetentionHours  *int `json:"payloadRetentionHours"`
	// TransformationsParams is how a payload is given that is no JSON object.
	TransformationsParams *rawPayloadIn `json:"transformationsParams"`
}

// rawPayloadIn is the text to deliver, and the header content-type.
type rawPayloadIn struct {
	RawPayload *string           `json:"rawPayload"`
	Headers    map[string]string `json:"headers"`
}

// expunged is the payload of a message whose payload was deleted.
const expunged = `{"expired":true}`

// message finds the message in the path.
func (h *handler) message(c *call) (*postern.Message, error) {
	return h.messageNamed(c, c.param("msg"))
}

// messageNamed finds a message of the path's application by id or event id.
func (h *handler) messageNamed(c *call, ref string) (*postern.Message, error) {
	id, err := postern.ParseMessageID(ref)
	if err != nil {
		if strings.HasPrefix(ref, id.Prefix()) || h.EventIDs == nil {
			return nil, postern.ErrNotFound
		}
		if id, err = h.EventIDs.MessageByEventID(c.r.Context(), c.app.Number, ref); err != nil {
			return nil, notFound(err)
		}
	}
	m, err := h.History.Message(c.r.Context(), c.app.Number, id)
	return m, notFound(err)
}

// renderMessage reads the payload where it is wanted.
func (h *handler) renderMessage(c *call, m *postern.Message, withContent bool) (messageOut, error) {
	if !withContent {
		return appendMessage(nil, m, nil), nil
	}
	content, err := h.History.Content(c.r.Context(), m.Application, m.ID)
	if errors.Is(err, postern.ErrNotFound) {
		return appendMessage(nil, m, []byte(expunged)), nil
	}
	if err != nil {
		return nil, err
	}
	payload := content.Payload
	if !isObject(payload) {
		payload = wrapPayload(m.ContentType, payload)
	}
	return appendMessage(make([]byte, 0, answerRoom+len(payload)), m, payload), nil
}

// getMessage shows the payload unless told not to.
func (h *handler) getMessage(c *call, _ none) (messageOut, error) {
	withContent, err := c.withContent()
	if err != nil {
		return nil, err
	}
	m, err := h.message(c)
	if err != nil {
		return nil, err
	}
	return h.renderMessage(c, m, withContent)
}

// listMessages lists the newest first. A page may be empty without being the
// last: filters look at a bounded number of messages at a time, and the
// iterator says where to go on.
func (h *handler) listMessages(c *call, _ none) (listing[messageOut], error) {
	var list listing[messageOut]
	w, page, filter, withContent, err := c.messageQuery()
	if err != nil {
		return list, err
	}
	found, err := h.History.Messages(c.r.Context(), c.app.Number, filter, page)
	if err != nil {
		return list, err
	}
	messages, done, next := found.Messages, found.Done, goOn[postern.MessageID](found.Next, found.Done)
	if withContent {
		messages, done, next = fitting(messages, done, next, sizeOf)
	}
	list = listed(w, messages, done, next,
		func(m *postern.Message) string { return m.ID.String() },
		func(m *postern.Message) messageOut {
			out, failed := h.renderMessage(c, m, withContent)
			err = errors.Join(err, failed)
			return out
		})
	return list, err
}

// sizeOf is how large a message's payload is; 0 for none.
func sizeOf(m *postern.Message) int {
	if m == nil {
		return 0
	}
	return m.Size
}

// messageQuery is what both lists of messages read of the query.
func (c *call) messageQuery() (w window, page store.Page, filter store.MessageFilter, withContent bool, err error) {
	if w, err = c.window(true); err != nil {
		return w, page, filter, false, err
	}
	if page, err = w.history(c, messageCursor); err != nil {
		return w, page, filter, false, err
	}
	if filter, err = c.messageFilter(); err != nil {
		return w, page, filter, false, err
	}
	withContent, err = c.withContent()
	return w, page, filter, withContent, err
}

// messageFilter is what lists of messages can be narrowed down by.
func (c *call) messageFilter() (filter store.MessageFilter, err error) {
	if filter.EventTypes, err = c.list("event_types"); err != nil {
		return filter, err
	}
	if filter.Channel, err = c.value("channel"); err != nil {
		return filter, err
	}
	filter.Tag, err = c.value("tag")
	return filter, err
}

// getRaw answers the payload's exact bytes. They are the publisher's, or those
// of whoever sent to a source: no browser is to make a page of them.
func (h *handler) getRaw(c *call) error {
	m, err := h.message(c)
	if err != nil {
		return err
	}
	content, err := h.History.Content(c.r.Context(), m.Application, m.ID)
	if err != nil {
		return err
	}
	header := c.w.Header()
	header.Set("Content-Type", m.ContentType)
	if m.ContentType == "" {
		header.Set("Content-Type", "application/octet-stream")
	}
	header.Set("Content-Length", strconv.Itoa(len(content.Payload)))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "sandbox")
	c.w.WriteHeader(c.status)
	_, _ = c.w.Write(content.Payload) // what fails is the connection
	return nil
}

// messageCursor reads an iterator of a list of messages.
func messageCursor(text string) ([20]byte, error) {
	id, err := postern.ParseMessageID(text)
	return id, err
}

// goOn is where an unfinished list goes on, as text; "" for a finished one.
func goOn[ID interface {
	~[20]byte
	String() string
}](next [20]byte, done bool) string {
	if done {
		return ""
	}
	return ID(next).String()
}

// isObject reports whether a payload is a JSON object, and so can stand in an
// answer as it is.
func isObject(payload []byte) bool {
	trimmed := strings.TrimLeft(string(payload[:min(len(payload), 64)]), " \t\r\n")
	return strings.HasPrefix(trimmed, "{") && validJSON(payload)
}

// wrapPayload is how Svix's shapes hold a payload that is no JSON object.
func wrapPayload(contentType string, payload []byte) []byte {
	wrapped := gjson.AppendJSONString([]byte(`{"contentType":`), contentType)
	wrapped = appendBody(append(wrapped, ','), payload)
	return append(wrapped, '}')
}

// appendBody writes bytes as the property body, or bodyBase64 where they are
// not UTF-8.
func appendBody(dst, body []byte) []byte {
	if utf8.Valid(body) {
		return gjson.AppendJSONString(append(dst, `"body":`...), string(body))
	}
	dst = append(dst, `"bodyBase64":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, body)
	return append(dst, '"')
}

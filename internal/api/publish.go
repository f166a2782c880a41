package api

import (
	"time"

	"github.com/postern-dev/postern"
	"github.com/tidwall/gjson"
)

// createMessage is the hot route. It reads the envelope without reflection,
// hands over the payload without copying it, and appends its answer to the
// call's buffer; what it allocates is the body, the labels and the parser's
// closure.
func (h *handler) createMessage(c *call) error {
	if h.Admit != nil {
		if err := h.Admit(c.r.ContentLength); err != nil {
			return err
		}
	}
	withContent, err := c.withContent()
	if err != nil {
		return err
	}
	wait, err := c.wait()
	if err != nil {
		return err
	}
	body, err := readBody(c.r, h.MaxBody)
	if err != nil {
		return err
	}
	p, err := parseMessage(body)
	if err != nil {
		return err
	}
	if c.app == nil || p.application != nil {
		if c.app, err = h.brought(c, p.application); err != nil {
			return err
		}
	}
	p.Application, p.Repeat = c.app.Number, c.digest
	m, duplicate, err := h.publish(c, p.Publish)
	if err != nil {
		return err
	}
	if duplicate {
		return &postern.Error{Kind: postern.Conflict, Detail: "A message with this eventId exists already: " + m.ID.String()}
	}
	c.published = m.ID
	var payload []byte
	if withContent {
		payload = p.Payload
	}
	if withContent && p.wrapped {
		payload = wrapPayload(p.ContentType, p.Payload)
	}
	c.answer.Grow(answerRoom + len(payload))
	c.answer.Write(appendMessage(c.answer.AvailableBuffer(), m, payload))
	h.sendMessage(c, m, wait)
	return nil
}

// brought is the application that a message brings along as JSON, nil for none,
// made if there is none of the path's uid.
func (h *handler) brought(c *call, text []byte) (*postern.Application, error) {
	if text == nil {
		return nil, postern.ErrNotFound
	}
	var in applicationIn
	if err := decodeJSON(text, &in); err != nil {
		return nil, inApplicationField(err)
	}
	if c.app != nil { // it was there, and whoever publishes may not be one who makes it again
		return c.app, c.same(&in)
	}
	return h.visited(c, &in)
}

// sendMessage sends the message that is in the call's buffer, with what becomes
// of it within the wait.
func (h *handler) sendMessage(c *call, m *postern.Message, wait time.Duration) {
	if wait > 0 {
		c.answer.Truncate(c.answer.Len() - len("}"))
		c.answer.WriteByte(',')
		c.answer.Write(h.outcomes(c, m, wait))
	}
	h.send(c)
}

// withContent tells whether payloads are wanted, as they are unless the query
// says otherwise. What SDKs send is recognised without parsing.
func (c *call) withContent() (bool, error) {
	switch c.r.URL.RawQuery {
	case "", "with_content=true":
		return true, nil
	case "with_content=false":
		return false, nil
	}
	return c.flag("with_content", true)
}

// answerRoom is about what an answer needs besides the payload, in bytes.
const answerRoom = 512

// appendMessage writes a message as callers read it. The payload is a JSON
// object; nil stands for one that is not wanted.
func appendMessage(dst []byte, m *postern.Message, payload []byte) []byte {
	dst = append(dst, `{"id":"`...)
	dst = m.ID.AppendTo(dst)
	dst = append(dst, `","eventType":`...)
	dst = gjson.AppendJSONString(dst, m.EventType)
	dst = append(dst, `,"eventId":`...)
	dst = appendNullable(dst, m.EventID)
	dst = append(dst, `,"payload":`...)
	if payload == nil {
		dst = append(dst, "{}"...)
	}
	dst = append(dst, payload...)
	dst = append(dst, `,"contentType":`...)
	dst = gjson.AppendJSONString(dst, m.ContentType)
	dst = append(dst, `,"channels":`...)
	dst = appendStrings(dst, m.Channels)
	dst = append(dst, `,"tags":`...)
	dst = appendStrings(dst, m.Tags)
	dst = append(dst, `,"timestamp":"`...)
	dst = m.CreatedAt().AppendFormat(dst, time.RFC3339Nano)
	if !m.Source.IsZero() {
		dst = append(dst, `","sourceId":"`...)
		dst = m.Source.AppendTo(dst)
	}
	dst = append(dst, '"')
	if m.ProviderEventType != "" {
		dst = append(dst, `,"providerEventType":`...)
		dst = gjson.AppendJSONString(dst, m.ProviderEventType)
	}
	return append(dst, '}')
}

// appendNullable writes "" as null.
func appendNullable(dst []byte, text string) []byte {
	if text == "" {
		return append(dst, "null"...)
	}
	return gjson.AppendJSONString(dst, text)
}

// appendStrings writes an empty list as null.
func appendStrings(dst []byte, list []string) []byte {
	if len(list) == 0 {
		return append(dst, "null"...)
	}
	separator := byte('[')
	for _, text := range list {
		dst = gjson.AppendJSONString(append(dst, separator), text)
		separator = ','
	}
	return append(dst, ']')
}

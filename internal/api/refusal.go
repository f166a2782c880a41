package api

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postern-dev/postern"
)

// refusalOut is a refused request as callers read it; lists leave out bodies.
type refusalOut struct {
	ID          postern.RefusalID `json:"id"`
	SourceID    postern.SourceID  `json:"sourceId"`
	Reason      string            `json:"reason"`
	Detail      string            `json:"detail"`
	Timestamp   time.Time         `json:"timestamp"`
	ContentType string            `json:"contentType"`
	Request     requestOut        `json:"request"`
	// Body is the body as text, BodyBase64 one that is not UTF-8.
	Body          *string `json:"body,omitempty"`
	BodyBase64    *string `json:"bodyBase64,omitempty"`
	BodyTruncated bool    `json:"bodyTruncated"`
}

// requestOut is an inbound request but for its body.
type requestOut struct {
	Method     string      `json:"method"`
	Path       string      `json:"path"`
	Query      string      `json:"query"`
	Headers    []headerOut `json:"headers" api:"list"`
	RemoteAddr string      `json:"remoteAddr"`
}

// headerOut is one field of a request; they keep their order.
type headerOut struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// renderRefusal masks the source's token and headers that hold credentials: a
// request that did not verify may well carry right ones.
func renderRefusal(r *postern.Refusal, token string) refusalOut {
	out := refusalOut{
		ID: r.ID, SourceID: r.Source, Reason: r.Reason, Detail: r.Detail, Timestamp: r.CreatedAt(),
		ContentType: r.ContentType, BodyTruncated: r.BodyTruncated,
		Request: requestOut{
			Method: r.Request.Method, Path: strings.ReplaceAll(r.Request.Path, token, masked),
			Query: r.Request.Query, RemoteAddr: r.Request.RemoteAddr,
			Headers: make([]headerOut, 0, len(r.Request.Headers)),
		},
	}
	for _, header := range r.Request.Headers {
		value := header.Value
		if sensitiveHeader(header.Name) {
			value = masked
		}
		out.Request.Headers = append(out.Request.Headers, headerOut{header.Name, value})
	}
	if r.Body == nil {
		return out
	}
	if text := string(r.Body); utf8.ValidString(text) {
		out.Body = &text
		return out
	}
	encoded := base64.StdEncoding.EncodeToString(r.Body)
	out.BodyBase64 = &encoded
	return out
}

// plainToken opens a source's token in order to mask it.
func (h *handler) plainToken(s *postern.Source) (string, error) {
	token, err := h.Secrets.Open(s.Token)
	if err == nil && len(token) == 0 {
		err = fmt.Errorf("the token is empty")
	}
	if err != nil {
		return "", fmt.Errorf("api: open the token of a source: %w", err)
	}
	return string(token), nil
}

// listRefusals lists the newest first.
func (h *handler) listRefusals(c *call, _ none) (listing[refusalOut], error) {
	var list listing[refusalOut]
	w, err := c.window(true)
	if err != nil {
		return list, err
	}
	page, err := w.history(c, refusalCursor)
	if err != nil {
		return list, err
	}
	s, err := h.source(c)
	if err != nil {
		return list, err
	}
	token, err := h.plainToken(s)
	if err != nil {
		return list, err
	}
	found, err := h.History.Refusals(c.r.Context(), s.ID, page)
	if err != nil {
		return list, err
	}
	return listed(w, found.Refusals, found.Done, goOn[postern.RefusalID](found.Next, found.Done),
		func(r *postern.Refusal) string { return r.ID.String() },
		func(r *postern.Refusal) refusalOut { return renderRefusal(r, token) }), nil
}

// getRefusal shows the body too, as far as it was kept.
func (h *handler) getRefusal(c *call, _ none) (refusalOut, error) {
	id, err := postern.ParseRefusalID(c.param("refusal"))
	if err != nil {
		return refusalOut{}, postern.ErrNotFound
	}
	s, err := h.source(c)
	if err != nil {
		return refusalOut{}, err
	}
	token, err := h.plainToken(s)
	if err != nil {
		return refusalOut{}, err
	}
	r, err := h.History.Refusal(c.r.Context(), s.ID, id)
	if err != nil {
		return refusalOut{}, err
	}
	if r.Body == nil {
		whole := *r
		whole.Body = []byte{} // an empty body is shown as one
		r = &whole
	}
	return renderRefusal(r, token), nil
}

// refusalCursor reads an iterator of a list of refusals.
func refusalCursor(text string) ([20]byte, error) {
	id, err := postern.ParseRefusalID(text)
	return id, err
}

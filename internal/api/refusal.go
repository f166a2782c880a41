package api

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
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
	// MessageID is the message that it was released as; null until then.
	MessageID *postern.MessageID `json:"messageId"`
}

// verificationOut is what came of checking a refused request once more.
type verificationOut struct {
	Verified bool `json:"verified"`
	// Reason and Detail say why not; null for one that verifies.
	Reason *string `json:"reason"`
	Detail *string `json:"detail"`
}

// releaseOut is the message that a refused request has become. Duplicate says
// that it had already: it was released before, or came in once more and
// verified.
type releaseOut struct {
	MessageID postern.MessageID `json:"messageId"`
	Duplicate bool              `json:"duplicate"`
	verificationOut
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
	list = listed(w, found.Refusals, found.Done, goOn[postern.RefusalID](found.Next, found.Done),
		func(r *postern.Refusal) string { return r.ID.String() },
		func(r *postern.Refusal) refusalOut {
			out := renderRefusal(r, token)
			m, failed := h.released(c, r.ID)
			out.MessageID, err = m, errors.Join(err, failed)
			return out
		})
	return list, err
}

// refusal finds the refusal in the path, with its body, and its source.
func (h *handler) refusal(c *call) (*postern.Source, *postern.Refusal, error) {
	id, err := postern.ParseRefusalID(c.param("refusal"))
	if err != nil {
		return nil, nil, postern.ErrNotFound
	}
	s, err := h.source(c)
	if err != nil {
		return nil, nil, err
	}
	r, err := h.History.Refusal(c.r.Context(), s.ID, id)
	return s, r, err
}

// getRefusal shows the body too, as far as it was kept.
func (h *handler) getRefusal(c *call, _ none) (refusalOut, error) {
	s, r, err := h.refusal(c)
	if err != nil {
		return refusalOut{}, err
	}
	token, err := h.plainToken(s)
	if err != nil {
		return refusalOut{}, err
	}
	if r.Body == nil {
		whole := *r
		whole.Body = []byte{} // an empty body is shown as one
		r = &whole
	}
	out := renderRefusal(r, token)
	out.MessageID, err = h.released(c, r.ID)
	return out, err
}

// released is the message that a refusal was released as: the one that has the
// refusal's id as its event id. nil for none.
func (h *handler) released(c *call, id postern.RefusalID) (*postern.MessageID, error) {
	if h.EventIDs == nil {
		return nil, nil //nolint:nilnil // said above
	}
	m, err := h.EventIDs.MessageByEventID(c.r.Context(), c.app.Number, id.String())
	switch {
	case errors.Is(err, postern.ErrNotFound):
		return nil, nil //nolint:nilnil // said above
	case err != nil:
		return nil, err
	}
	return &m, nil
}

// verifyRefusal changes nothing.
func (h *handler) verifyRefusal(c *call, _ none) (verificationOut, error) {
	s, r, err := h.refusal(c)
	if err != nil {
		return verificationOut{}, err
	}
	found, err := h.Inbound.Verify(c.r.Context(), s, r)
	return renderVerification(found), err
}

// releaseRefusal is for the owner who knows better. It may be repeated without
// effect; the refusal stays until its time comes.
func (h *handler) releaseRefusal(c *call, _ none) (releaseOut, error) {
	s, r, err := h.refusal(c)
	if err != nil {
		return releaseOut{}, err
	}
	m, found, duplicate, err := h.Inbound.Release(c.r.Context(), s, r)
	if err != nil {
		return releaseOut{}, err
	}
	if duplicate {
		c.status = http.StatusOK
	}
	return releaseOut{MessageID: m.ID, Duplicate: duplicate, verificationOut: renderVerification(found)}, nil
}

func renderVerification(v postern.Verification) verificationOut {
	return verificationOut{Verified: v.Verified(), Reason: null(v.Reason), Detail: null(v.Detail)}
}

// refusalCursor reads an iterator of a list of refusals.
func refusalCursor(text string) ([20]byte, error) {
	id, err := postern.ParseRefusalID(text)
	return id, err
}

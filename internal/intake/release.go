package intake

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/verify"
)

// Verify checks a refused request once more, against its source as it is now and
// as of the time it came: what was wrong may have been a secret. Errors of kind
// Conflict are of requests that cannot be checked.
func (h *Handler) Verify(ctx context.Context, s *postern.Source, r *postern.Refusal) (postern.Verification, error) {
	_, _, found, err := h.again(ctx, s, r)
	return found, err
}

// Release publishes a refused request, whether or not it verifies now. The
// message's event id is the refusal's id, so that a refusal becomes one message
// however often it is released; a copy that came in otherwise is recognised as
// any second copy is. The first one's message is then returned, with duplicate
// true. Errors are as Verify's.
func (h *Handler) Release(ctx context.Context, s *postern.Source, r *postern.Refusal) (m *postern.Message, found postern.Verification, duplicate bool, err error) {
	g, event, found, err := h.again(ctx, s, r)
	if err != nil {
		return nil, found, false, err
	}
	request := r.Request
	request.Headers = slices.Clone(request.Headers)
	g.mask(&request) // the source may have learnt since where its credential stands
	m, duplicate, err = h.publish(ctx, g, &arrival{
		request: &request, contentType: r.ContentType, body: r.Body, event: event, eventID: r.ID.String(),
	})
	return m, found, duplicate, err
}

// again verifies a refused request, and says what event it is.
func (h *Handler) again(ctx context.Context, s *postern.Source, r *postern.Refusal) (*gate, verify.Event, postern.Verification, error) {
	none := func(err error) (*gate, verify.Event, postern.Verification, error) {
		return nil, verify.Event{}, postern.Verification{}, err
	}
	if r.BodyTruncated {
		return none(&postern.Error{Kind: postern.Conflict, Code: "body_truncated", Detail: "The body was too long to be kept whole, and its beginning is no event"})
	}
	g := h.gate(ctx, s)
	if g.verifier == nil {
		return none(&postern.Error{Kind: postern.Conflict, Code: "source_unusable", Detail: "The source cannot be used as it is: its provider is unknown, or its secrets cannot be read"})
	}
	token, err := h.Secrets.Open(s.Token)
	if err != nil {
		return none(err)
	}
	request, err := h.unmasked(r)
	if err != nil {
		return none(err)
	}
	req := verify.Request{
		Method: request.Method, URL: h.signedURL(request, string(token)), Target: target(request, string(token)),
		Header: make(http.Header), Body: r.Body,
	}
	for _, header := range request.Headers {
		req.Header.Add(header.Name, header.Value)
	}
	event, err := g.verifier.Verify(ctx, req, r.CreatedAt())
	if err == nil {
		return g, event, postern.Verification{}, nil
	}
	refused, ok := errors.AsType[*verify.Error](err)
	if !ok {
		return none(err) // Verify promises an *Error
	}
	return g, g.verifier.Describe(req), postern.Verification{
		Reason: string(refused.Reason), Detail: h.diagnosed(ctx, g, req, r.CreatedAt(), refused),
	}, nil
}

// signedURL is the address that a kept request was sent to, as the outside knows
// it now.
func (h *Handler) signedURL(in *postern.InboundRequest, token string) string {
	return h.url(target(in, token), "")
}

// target is the path and query that a kept request was sent to. What is kept has
// a mask in the token's place.
func target(in *postern.InboundRequest, token string) string {
	path := strings.Replace(in.Path, MaskedToken, token, 1)
	if in.Query == "" && !strings.HasSuffix(in.URL, "?") {
		return path
	}
	return path + "?" + in.Query
}

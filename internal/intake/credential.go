package intake

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/postern-dev/postern"
)

// uncovered is what of a request was masked, as it came.
type uncovered struct {
	// Headers are the values of masked headers by their position.
	// They are bytes: a header need not be UTF-8, as JSON's texts are.
	Headers map[int][]byte `json:"headers,omitempty"`
	// Query is the whole one; nil where nothing of it was masked.
	Query []byte `json:"query,omitempty"`
}

// mask takes out of a request what it proves itself with word for word, and
// returns that: kept in plain text it would rest beside the sealed secret that
// it is, and be forwarded to whoever listens.
func (g *gate) mask(in *postern.InboundRequest) (was uncovered) {
	for i := range in.Headers {
		header := &in.Headers[i]
		masked := g.verifier.MaskHeader(header.Name, header.Value)
		if masked == header.Value {
			continue
		}
		if was.Headers == nil {
			was.Headers = make(map[int][]byte, 1)
		}
		was.Headers[i], header.Value = []byte(header.Value), masked
	}
	masked := g.verifier.MaskQuery(in.Query)
	if masked == in.Query {
		return was
	}
	if address, _, ok := strings.Cut(in.URL, "?"); ok {
		in.URL = address + "?" + masked
	}
	was.Query, in.Query = []byte(in.Query), masked
	return was
}

// seal is for the store; nil for nothing.
func (h *Handler) seal(was uncovered) (postern.Sealed, error) {
	if was.Headers == nil && was.Query == nil {
		return nil, nil
	}
	text, err := json.Marshal(was)
	if err != nil {
		return nil, err
	}
	return h.Secrets.Seal(text)
}

// unmasked is a refused request as it came.
func (h *Handler) unmasked(r *postern.Refusal) (*postern.InboundRequest, error) {
	in := r.Request
	if len(r.Credentials) == 0 {
		return &in, nil
	}
	text, err := h.Secrets.Open(r.Credentials)
	if err != nil {
		return nil, err
	}
	var was uncovered
	if err := json.Unmarshal(text, &was); err != nil {
		return nil, err
	}
	in.Headers = slices.Clone(in.Headers)
	for i, value := range was.Headers {
		if i < len(in.Headers) {
			in.Headers[i].Value = string(value)
		}
	}
	if was.Query != nil {
		in.Query = string(was.Query)
	}
	return &in, nil
}

package postgres

import (
	"encoding/json"
	"fmt"

	"github.com/postern-dev/postern"
)

// request is the JSON of an inbound request in the tables content and refusal.
// What came from outside need not be text: all of it is bytes, which JSON has in
// base64, so that it is read back byte for byte.
type request struct {
	Method     []byte      `json:"method,omitempty"`
	Path       []byte      `json:"path,omitempty"`
	Query      []byte      `json:"query,omitempty"`
	Headers    [][2][]byte `json:"headers,omitempty"` // name and value
	RemoteAddr []byte      `json:"remoteAddr,omitempty"`
	URL        []byte      `json:"url,omitempty"`
}

// encodeRequest makes a column's value, of about 4/3 the request's size; nil, which is NULL, for no request.
func encodeRequest(r *postern.InboundRequest) ([]byte, error) {
	if r == nil {
		return nil, nil
	}
	stored := request{
		Method: []byte(r.Method), Path: []byte(r.Path), Query: []byte(r.Query),
		RemoteAddr: []byte(r.RemoteAddr), URL: []byte(r.URL),
	}
	for _, h := range r.Headers {
		stored.Headers = append(stored.Headers, [2][]byte{[]byte(h.Name), []byte(h.Value)})
	}
	return json.Marshal(stored)
}

// decodeRequest reads what encodeRequest makes.
func decodeRequest(column []byte) (*postern.InboundRequest, error) {
	if column == nil {
		return nil, nil
	}
	var stored request
	if err := json.Unmarshal(column, &stored); err != nil {
		return nil, fmt.Errorf("store/postgres: a stored request: %w", err)
	}
	r := &postern.InboundRequest{
		Method: string(stored.Method), Path: string(stored.Path), Query: string(stored.Query),
		RemoteAddr: string(stored.RemoteAddr), URL: string(stored.URL),
	}
	for _, h := range stored.Headers {
		r.Headers = append(r.Headers, postern.Header{Name: string(h[0]), Value: string(h[1])})
	}
	return r, nil
}

package cli

import (
	"bytes"
	"maps"
	"net/http"
	"slices"

	"github.com/postern-dev/postern/internal/intake"
	"github.com/postern-dev/postern/verify"
)

// recorder keeps an answer. The zero value is ready.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

var _ http.ResponseWriter = (*recorder)(nil)

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header {
	if r.header == nil {
		r.header = http.Header{}
	}
	return r.header
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) { r.status = status }

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

// responseTo is what a source answers, with the headers sorted by name. The ids
// of messages in it are made up.
func responseTo(result *verify.Result, refused error) batchResponse {
	var r recorder
	intake.Preview(&r, result, refused)
	out := batchResponse{Status: r.status, Headers: [][2]string{}, Body: append([]byte{}, r.body.Bytes()...)}
	for _, name := range slices.Sorted(maps.Keys(r.Header())) {
		for _, value := range r.header[name] {
			out.Headers = append(out.Headers, [2]string{name, value})
		}
	}
	return out
}

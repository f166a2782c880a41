package engine

import (
	"net/http"
	"sync/atomic"
)

const (
	// smallBody is what a request's body may have without being counted.
	smallBody = 64 << 10
	// maxBodies bounds the bodies of larger requests that are under way, in
	// bytes: they lie in memory until they are stored.
	maxBodies = 128 << 20
)

// bodyGate bounds the memory that requests under way take. A body counts with
// the length that it announces; one that announces none, with a guess.
type bodyGate struct{ bytes atomic.Int64 }

// guard refuses requests with large bodies while too many are under way.
func (g *bodyGate) guard(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size := r.ContentLength
		if size < 0 {
			size = defaultMaxBody
		}
		if size <= smallBody {
			next(w, r)
			return
		}
		size = min(size, defaultInboundMaxBody)
		defer g.bytes.Add(-size)
		if g.bytes.Add(size) > maxBodies {
			w.Header().Set("Retry-After", "1")
			writeError(w, http.StatusServiceUnavailable, "unavailable", "too many large requests are under way; try again")
			return
		}
		next(w, r)
	})
}

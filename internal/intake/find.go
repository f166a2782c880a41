package intake

import (
	"crypto/sha256"
	"net/http"
	"strings"

	"golang.org/x/time/rate"

	"github.com/postern-dev/postern"
)

// missRate bounds, a second, the looks at other nodes' changes for sources that
// seem not to be there: tokens that nobody has must not become a load on the
// database. The API has a bound of its own, for here anybody may ask.
const missRate = 50

// newMisses spends no more than missRate in any second.
func newMisses() *rate.Limiter { return rate.NewLimiter(missRate/2, missRate/2) }

// find returns the source whose token is the rest of the path. The path is taken as
// it came, so that a token has one spelling. A source that seems not to be there may
// have been made on another node this moment: that there is none is said only
// where it is known.
func (h *Handler) find(r *http.Request) (*postern.Source, error) {
	token, ok := strings.CutPrefix(r.URL.EscapedPath(), Prefix)
	if !ok || token == "" || len(token) > maxToken {
		return nil, postern.ErrNotFound
	}
	hash := sha256.Sum256([]byte(token))
	source := h.Sources.SourceByTokenHash(hash)
	if source == nil && h.Fresh != nil && h.misses.Allow() {
		if err := h.Fresh(r.Context()); err != nil {
			h.Logger.DebugContext(r.Context(), "other nodes' changes are not known", logError, err)
			return nil, postern.ErrUnavailable
		}
		source = h.Sources.SourceByTokenHash(hash)
	}
	if source == nil {
		return nil, postern.ErrNotFound
	}
	return source, nil
}

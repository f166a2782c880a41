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
// database.
const missRate = 50

// newMisses spends no more than missRate in any second.
func newMisses() *rate.Limiter { return rate.NewLimiter(missRate/2, missRate/2) }

// find returns the source whose token is the rest of the path, nil for none.
// The path is taken as it came, so that a token has one spelling. A source that
// seems not to be there may have been made on another node this moment.
func (h *Handler) find(r *http.Request) *postern.Source {
	token, ok := strings.CutPrefix(r.URL.EscapedPath(), Prefix)
	if !ok || token == "" || len(token) > maxToken {
		return nil
	}
	hash := sha256.Sum256([]byte(token))
	source := h.Sources.SourceByTokenHash(hash)
	if source != nil || h.Fresh == nil || !h.misses.Allow() {
		return source
	}
	if err := h.Fresh(r.Context()); err != nil {
		h.Logger.DebugContext(r.Context(), "other nodes' changes are not known", logError, err)
		return nil
	}
	return h.Sources.SourceByTokenHash(hash)
}

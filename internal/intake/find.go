package intake

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"

	"golang.org/x/time/rate"

	"github.com/postern-dev/postern"
)

// missRate bounds, a second, the looks at other nodes' changes for sources that
// seem not to be there, or seem to have another secret: tokens that nobody has, and
// forged requests, must not become a load on the database. The API has a bound of its
// own, for here anybody may ask.
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
	if source == nil {
		looked, err := h.look(r.Context())
		if err != nil {
			return nil, err
		}
		if looked {
			source = h.Sources.SourceByTokenHash(hash)
		}
	}
	if source == nil {
		return nil, postern.ErrNotFound
	}
	return source, nil
}

// newer is a source as other nodes have changed it by now, nil where none has: a
// secret that was set or delivered there holds here, too.
func (h *Handler) newer(ctx context.Context, source *postern.Source) (*postern.Source, error) {
	looked, err := h.look(ctx)
	if err != nil || !looked {
		return nil, err
	}
	switch now := h.Sources.SourceByTokenHash(source.TokenHash); now {
	case nil:
		return nil, postern.ErrNotFound
	case source:
		return nil, nil //nolint:nilnil // nothing newer is no error
	default:
		return now, nil
	}
}

// look has what other nodes changed be known, and reports whether it did, which it
// does so often. Where it fails nothing is known for certain: the error is of kind
// Unavailable.
func (h *Handler) look(ctx context.Context) (bool, error) {
	if h.Fresh == nil || !h.misses.Allow() {
		return false, nil
	}
	if err := h.Fresh(ctx); err != nil {
		h.Logger.DebugContext(ctx, "other nodes' changes are not known", logError, err)
		return false, postern.ErrUnavailable
	}
	return true, nil
}

package intake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/verify"
)

// MaxRefusedBody is how much of a refused body is kept, in bytes.
const MaxRefusedBody = 1 << 20

const (
	// maxGates bounds the sources whose decoded secrets are in memory.
	maxGates = 4096
	// Refusals of one source are written at up to refusalRate a second, in
	// bursts of as many. One of refusalUnit bytes counts twice, one of two
	// units three times: a flood is held to some 100 commits and 6 MiB a second.
	refusalRate = 100
	refusalUnit = 64 << 10
	// What could be the matter is looked for in up to diagnosisRate of them a
	// second, by the same count: each takes some twenty verifications. The burst
	// is enough for the longest.
	diagnosisRate  = 5
	diagnosisBurst = 2 * (MaxRefusedBody / refusalUnit)
)

// gate is what a source's requests have to pass, made from one version of the
// source. All but the limiters is immutable.
type gate struct {
	source   *postern.Source
	provider verify.Definition
	// verifier is nil when the source cannot be used as it is.
	verifier *verify.Verifier
	// refusals and diagnoses outlive changes of the source.
	refusals, diagnoses *rate.Limiter
}

// gates holds those of sources with recent requests.
type gates struct {
	mu sync.RWMutex
	of map[postern.SourceID]*gate
}

func newGates() gates { return gates{of: make(map[postern.SourceID]*gate)} }

// gate returns the source's gate, made anew when the source has changed. A
// source that cannot be used is logged once, not for every request to it.
func (h *Handler) gate(ctx context.Context, source *postern.Source) *gate {
	if g := h.gates.get(source.ID); g != nil && g.source == source {
		return g
	}
	g := &gate{source: source}
	var err error
	if g.provider, g.verifier, err = h.verifier(source); err != nil {
		h.Logger.ErrorContext(ctx, "source cannot be used", logSource, source.ID, logProvider, source.Provider, logError, err)
	}
	h.gates.put(g)
	return g
}

// verifier joins what the provider demands with the source's opened secrets.
func (h *Handler) verifier(s *postern.Source) (verify.Definition, *verify.Verifier, error) {
	secrets := make([]string, len(s.Secrets))
	for i, sealed := range s.Secrets {
		plain, err := h.Secrets.Open(sealed)
		if err != nil {
			return verify.Definition{}, nil, fmt.Errorf("open secret %d: %w", i+1, err)
		}
		secrets[i] = string(plain)
	}
	def, ok := h.Providers.Lookup(s.Provider)
	if !ok {
		return def, nil, errors.New("its provider is not known to this version")
	}
	settings, err := h.settings(s)
	if err != nil {
		return def, nil, err
	}
	v, err := verify.New(def, verify.Config{Secrets: secrets, Settings: settings, EventTypePrefix: s.EventTypePrefix, Fetch: h.Fetch})
	return def, v, err
}

// settings are a source's, opened.
func (h *Handler) settings(s *postern.Source) (map[string]string, error) {
	settings := make(map[string]string, len(s.Config)+len(s.SealedConfig))
	maps.Copy(settings, s.Config)
	for name, sealed := range s.SealedConfig {
		plain, err := h.Secrets.Open(sealed)
		if err != nil {
			return nil, fmt.Errorf("open setting %s: %w", name, err)
		}
		settings[name] = string(plain)
	}
	return settings, nil
}

// previous is the secret that the source had before, for telling that a request
// was signed with it; none where it cannot be opened.
func (h *Handler) previous(ctx context.Context, s *postern.Source) []string {
	if len(s.Previous) == 0 {
		return nil
	}
	plain, err := h.Secrets.Open(s.Previous)
	if err != nil {
		h.Logger.WarnContext(ctx, "previous secret cannot be opened", logSource, s.ID, logError, err)
		return nil
	}
	return []string{string(plain)}
}

func (g *gates) get(id postern.SourceID) *gate {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.of[id]
}

// put shows a gate, which takes over the limiters of the one before it. Past the
// bound any other gate goes: the next request makes it again.
func (g *gates) put(made *gate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := made.source.ID
	if before := g.of[id]; before != nil {
		made.refusals, made.diagnoses = before.refusals, before.diagnoses
	} else {
		made.refusals = rate.NewLimiter(refusalRate, refusalRate)
		made.diagnoses = rate.NewLimiter(diagnosisRate, diagnosisBurst)
		for other := range g.of {
			if len(g.of) < maxGates {
				break
			}
			delete(g.of, other)
		}
	}
	g.of[id] = made
}

// mayKeep reports whether a refusal may be written now.
func (g *gate) mayKeep(r *postern.Refusal, now time.Time) bool {
	return g.refusals.AllowN(now, refusalCost(r))
}

// mayDiagnose reports whether what could be the matter with it may be looked for.
func (g *gate) mayDiagnose(r *postern.Refusal, now time.Time) bool {
	return g.diagnoses.AllowN(now, refusalCost(r))
}

func refusalCost(r *postern.Refusal) int { return 1 + int(refusalSize(r)/refusalUnit) }

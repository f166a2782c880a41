package intake

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// What is kept of a source's refusals.
const (
	MaxRefusals     = 10_000
	MaxRefusalBytes = 256 << 20
	MaxRefusalAge   = 7 * 24 * time.Hour
)

const (
	// refusalPage is how many refusals are read or dropped at a time.
	refusalPage = 500
	// shelfIdle is how long counts are remembered for a source that is quiet, and how
	// often those of quiet ones are looked for.
	shelfIdle = time.Hour
	// recountPart is after which part of a bound what is stored is counted again,
	// where others keep refusals as well.
	recountPart = 10
)

// History is what a Quota reads of the store.
type History interface {
	Refusals(ctx context.Context, source postern.SourceID, page store.Page) (store.RefusalPage, error)
	Refusal(ctx context.Context, source postern.SourceID, id postern.RefusalID) (*postern.Refusal, error)
}

// QuotaConfig is what a Quota needs; all but Shared is required.
type QuotaConfig struct {
	History History
	// Keep stores r and deletes drop, of which only Source and ID are set, in
	// one batch.
	Keep func(ctx context.Context, r *postern.Refusal, drop []*postern.Refusal) error
	Now  func() time.Time
	// Shared: other processes keep refusals in the same store. Each of them may
	// exceed a bound by a tenth.
	Shared bool
}

// Quota keeps refusals within MaxRefusals, MaxRefusalBytes and MaxRefusalAge
// for each source: the oldest make room for a new one. It counts in memory what
// the store holds, reading it when a source's first refusal since long comes.
// It is safe for concurrent use.
type Quota struct {
	cfg     QuotaConfig
	mu      sync.Mutex
	shelves map[postern.SourceID]*shelf
	// tidied is when idle shelves were last given up.
	tidied time.Time
}

var _ Refusals = (*Quota)(nil)

// shelf is what is kept for one source, oldest first.
type shelf struct {
	mu     sync.Mutex
	loaded bool
	kept   []keptRefusal
	bytes  int64
	// own and ownBytes are of what this process has kept since it was loaded.
	own      int
	ownBytes int64
}

type keptRefusal struct {
	id   postern.RefusalID
	size int64
}

// NewQuota makes a Quota over what the store holds already.
func NewQuota(cfg QuotaConfig) *Quota {
	return &Quota{cfg: cfg, shelves: make(map[postern.SourceID]*shelf)}
}

// Refuse keeps a refusal and drops those that are over the bounds. A sender
// that hangs up does not end it: whether r was stored has to be known, or the
// counts would drift, and with them what is dropped.
func (q *Quota) Refuse(ctx context.Context, r *postern.Refusal) error {
	ctx = context.WithoutCancel(ctx)
	s := q.shelf(r.Source)
	gone, err := q.makeRoom(ctx, s, r)
	if err != nil {
		return err
	}
	drop := make([]*postern.Refusal, len(gone))
	for i, old := range gone {
		drop[i] = &postern.Refusal{ID: old.id, Source: r.Source}
	}
	size := refusalSize(r) // r is Keep's from here on
	if err := q.cfg.Keep(ctx, r, drop); err != nil {
		s.undo(keptRefusal{r.ID, size}, gone)
		return err
	}
	return nil
}

// Expired lists refusals of a source that are too old, some hundreds at most:
// those of a source that refuses no more. The caller drops them and asks again
// until there are none.
func (q *Quota) Expired(ctx context.Context, source postern.SourceID) ([]*postern.Refusal, error) {
	now := q.cfg.Now()
	q.mu.Lock()
	q.tidy(now)
	q.mu.Unlock()
	page, err := q.cfg.History.Refusals(ctx, source, store.Page{Ascending: true, Limit: refusalPage, Until: now.Add(-MaxRefusalAge)})
	return page.Refusals, err
}

// makeRoom counts r in and takes out what has to go for it.
func (q *Quota) makeRoom(ctx context.Context, s *shelf, r *postern.Refusal) (gone []keptRefusal, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.loaded || q.cfg.Shared && s.stale() {
		if err := q.load(ctx, r.Source, s); err != nil {
			return nil, err
		}
	}
	size := refusalSize(r)
	over := s.over(size, q.cfg.Now().Add(-MaxRefusalAge))
	gone = s.kept[:over:over]
	for _, old := range gone {
		s.bytes -= old.size
	}
	s.kept = append(s.kept[over:], keptRefusal{r.ID, size})
	s.bytes += size
	s.own++
	s.ownBytes += size
	return gone, nil
}

// stale reports whether so much was kept since the counts were loaded that others
// may have kept as much.
func (s *shelf) stale() bool {
	return s.own >= MaxRefusals/recountPart || s.ownBytes >= MaxRefusalBytes/recountPart
}

// undo counts out what was not stored, and in again what was not dropped.
func (s *shelf) undo(in keptRefusal, gone []keptRefusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Else it was counted anew meanwhile. Those of the same moment are in any order.
	if at := slices.IndexFunc(s.kept, func(k keptRefusal) bool { return k.id == in.id }); at >= 0 {
		s.kept = slices.Delete(s.kept, at, at+1)
		s.bytes -= in.size
	}
	for _, old := range gone {
		at, found := slices.BinarySearchFunc(s.kept, old.id, func(k keptRefusal, id postern.RefusalID) int { return k.id.Compare(id) })
		if !found {
			s.kept = slices.Insert(s.kept, at, old)
			s.bytes += old.size
		}
	}
}

// over is how many of the oldest have to go before another one of size fits.
func (s *shelf) over(size int64, oldest time.Time) int {
	n, bytes := 0, s.bytes+size
	for n < len(s.kept) && (len(s.kept)-n >= MaxRefusals || bytes > MaxRefusalBytes || s.kept[n].id.Time().Before(oldest)) {
		bytes -= s.kept[n].size
		n++
	}
	return n
}

// load reads what the store holds of a source.
func (q *Quota) load(ctx context.Context, source postern.SourceID, s *shelf) error {
	s.loaded = false
	s.kept, s.bytes, s.own, s.ownBytes = nil, 0, 0, 0
	for page := (store.Page{Ascending: true, Limit: refusalPage}); ; {
		list, err := q.cfg.History.Refusals(ctx, source, page)
		if err != nil {
			return err
		}
		for _, r := range list.Refusals {
			size, err := q.storedSize(ctx, r)
			if errors.Is(err, postern.ErrNotFound) {
				continue // dropped meanwhile
			}
			if err != nil {
				return err
			}
			s.kept = append(s.kept, keptRefusal{r.ID, size})
			s.bytes += size
		}
		if list.Done {
			s.loaded = true
			return nil
		}
		page.After = list.Next
	}
}

// storedSize is the size of a listed refusal, whose body is not listed: net/http
// has made sure that a Content-Length was true. Only without one is it read.
func (q *Quota) storedSize(ctx context.Context, r *postern.Refusal) (int64, error) {
	for _, header := range r.Request.Headers {
		if header.Name != "Content-Length" {
			continue
		}
		if length, err := strconv.ParseInt(header.Value, 10, 64); err == nil && length >= 0 {
			return refusalSize(r) + min(length, MaxRefusedBody), nil
		}
	}
	whole, err := q.cfg.History.Refusal(ctx, r.Source, r.ID)
	if err != nil {
		return 0, err
	}
	return refusalSize(whole), nil
}

func (q *Quota) shelf(source postern.SourceID) *shelf {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tidy(q.cfg.Now())
	s := q.shelves[source]
	if s == nil {
		s = &shelf{}
		q.shelves[source] = s
	}
	return s
}

// tidy gives back the memory of sources that have refused nothing lately, deleted
// ones among them. It does so by itself: of several nodes only one asks for what is
// Expired. The caller holds mu.
func (q *Quota) tidy(now time.Time) {
	if now.Sub(q.tidied) <= shelfIdle {
		return
	}
	q.tidied = now
	for source, s := range q.shelves {
		if s.idle(now) {
			delete(q.shelves, source)
		}
	}
}

// idle reports whether nothing was refused lately. What is in use is not idle.
func (s *shelf) idle(now time.Time) bool {
	if !s.mu.TryLock() {
		return false
	}
	defer s.mu.Unlock()
	last := len(s.kept) - 1
	return last < 0 || now.Sub(s.kept[last].id.Time()) > shelfIdle
}

// refusalSize is what a refusal comes to on disk, nearly.
func refusalSize(r *postern.Refusal) int64 {
	size := 256 + len(r.Body) + len(r.Credentials) + len(r.Detail) + len(r.ContentType) + len(r.Request.Path) + len(r.Request.Query) + len(r.Request.URL)
	for _, header := range r.Request.Headers {
		size += len(header.Name) + len(header.Value)
	}
	return int64(size)
}

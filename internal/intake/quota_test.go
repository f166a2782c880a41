package intake_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/intake"
	"github.com/postern-dev/postern/store"
)

// shelf is a store of the refusals of one source, oldest first. It lists them
// without bodies, as a store does.
type shelf struct {
	mu      sync.Mutex
	kept    []*postern.Refusal
	dropped int
	read    int // single refusals read, for their bodies
	lists   int // pages read
	fail    error
}

func (s *shelf) Refusals(_ context.Context, _ postern.SourceID, p store.Page) (page store.RefusalPage, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	at, found := s.find(p.After)
	if found {
		at++
	}
	for _, r := range s.kept[at:] {
		if !p.Until.IsZero() && !r.ID.Time().Before(p.Until) {
			continue
		}
		if len(page.Refusals) == p.Limit {
			return page, nil
		}
		listed := *r
		listed.Body = nil
		page.Refusals, page.Next = append(page.Refusals, &listed), r.ID
	}
	page.Done = true
	return page, nil
}

func (s *shelf) Refusal(_ context.Context, _ postern.SourceID, id postern.RefusalID) (*postern.Refusal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read++
	for _, r := range s.kept {
		if r.ID == id {
			return r, nil
		}
	}
	return nil, postern.ErrNotFound
}

func (s *shelf) keep(ctx context.Context, r *postern.Refusal, drop []*postern.Refusal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.fail != nil {
		return s.fail
	}
	at, _ := s.find(r.ID)
	s.kept = slices.Insert(s.kept, at, r)
	for _, d := range drop {
		at, found := s.find(d.ID)
		if found && d.Source == s.kept[at].Source {
			s.kept = slices.Delete(s.kept, at, at+1)
			s.dropped++
		}
	}
	return nil
}

func (s *shelf) find(id postern.RefusalID) (at int, found bool) {
	return slices.BinarySearchFunc(s.kept, id, func(r *postern.Refusal, id postern.RefusalID) int { return r.ID.Compare(id) })
}

// office is a quota over a shelf, with a clock.
type office struct {
	*shelf
	t     *testing.T
	quota *intake.Quota
	now   time.Time
	next  uint64
}

func newOffice(t *testing.T) *office {
	o := &office{shelf: &shelf{}, t: t, now: time.UnixMilli(1_700_000_000_000)}
	o.restart()
	return o
}

func (o *office) restart() {
	o.quota = intake.NewQuota(intake.QuotaConfig{History: o.shelf, Keep: o.keep, Now: func() time.Time { return o.now }})
}

// refusal has the next id and a body of that many bytes.
func (o *office) refusal(body int, headers ...postern.Header) *postern.Refusal {
	o.next++
	return &postern.Refusal{
		ID: postern.RefusalID(postern.NewMessageID(o.now, 0, o.next, 0)), Source: postern.SourceID{1},
		Body: make([]byte, body), Request: postern.InboundRequest{Headers: headers},
	}
}

func (o *office) refuse(r *postern.Refusal) {
	o.t.Helper()
	if err := o.quota.Refuse(o.t.Context(), r); err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) bytes() (sum int) {
	for _, r := range o.kept {
		sum += len(r.Body)
	}
	return sum
}

func TestQuotaOfCount(t *testing.T) {
	o := newOffice(t)
	for range intake.MaxRefusals + 5 {
		o.refuse(o.refusal(1))
	}
	if len(o.kept) != intake.MaxRefusals || o.dropped != 5 || o.kept[0].ID.Position() != 6 {
		t.Errorf("kept %d from %d on, dropped %d", len(o.kept), o.kept[0].ID.Position(), o.dropped)
	}
	o.restart()
	o.refuse(o.refusal(1))
	if len(o.kept) != intake.MaxRefusals || o.kept[0].ID.Position() != 7 {
		t.Errorf("after a restart: kept %d from %d on", len(o.kept), o.kept[0].ID.Position())
	}
}

// Two processes that keep refusals of one source count one another's, a tenth late
// at most.
func TestQuotaOfTwo(t *testing.T) {
	for name, body := range map[string]int{"count": 1, "bytes": 64 << 10} {
		t.Run(name, func(t *testing.T) {
			one := newOffice(t)
			shared := intake.QuotaConfig{History: one.shelf, Keep: one.keep, Now: func() time.Time { return one.now }, Shared: true}
			quotas := []*intake.Quota{intake.NewQuota(shared), intake.NewQuota(shared)}
			most, mean := 0, min(intake.MaxRefusals, intake.MaxRefusalBytes/body)
			for i := range 2 * mean {
				if err := quotas[i%2].Refuse(t.Context(), one.refusal(body, postern.Header{Name: "Content-Length", Value: strconv.Itoa(body)})); err != nil {
					t.Fatal(err)
				}
				most = max(most, len(one.kept))
			}
			if most > mean+mean/10 || len(one.kept) < mean-mean/5 {
				t.Errorf("up to %d were kept, in the end %d, with room for %d", most, len(one.kept), mean)
			}
		})
	}
}

func TestQuotaOfBytes(t *testing.T) {
	const size = 1 << 20
	for name, header := range map[string][]postern.Header{
		"with a length":    {{Name: "Content-Length", Value: strconv.Itoa(size)}},
		"cut":              {{Name: "Content-Length", Value: strconv.Itoa(9 * size)}},
		"without a length": nil,
	} {
		o := newOffice(t)
		body := make([]byte, size)
		next := func() *postern.Refusal {
			r := o.refusal(0, header...)
			r.Body = body // shared, or the test takes a quarter of a gigabyte
			return r
		}
		for range 260 {
			o.refuse(next())
		}
		if o.bytes() > intake.MaxRefusalBytes || o.bytes() < intake.MaxRefusalBytes-2*size {
			t.Errorf("%s: kept %d bytes", name, o.bytes())
		}
		full := len(o.kept)
		o.restart()
		o.refuse(next())
		if len(o.kept) != full {
			t.Errorf("%s: kept %d after a restart, %d before", name, len(o.kept), full)
		}
		if (o.read == 0) != (header != nil) {
			t.Errorf("%s: read %d bodies to learn their sizes", name, o.read)
		}
	}
}

func TestQuotaOfAge(t *testing.T) {
	o := newOffice(t)
	o.refuse(o.refusal(1))
	o.now = o.now.Add(intake.MaxRefusalAge)
	o.refuse(o.refusal(1))
	if len(o.kept) != 2 {
		t.Fatalf("kept %d, want 2: the first is just old enough", len(o.kept))
	}
	o.now = o.now.Add(time.Millisecond)
	o.refuse(o.refusal(1))
	if len(o.kept) != 2 || o.kept[0].ID.Position() != 2 {
		t.Errorf("kept %d from %d on", len(o.kept), o.kept[0].ID.Position())
	}
}

func TestExpiredRefusalsOfAQuietSource(t *testing.T) {
	o := newOffice(t)
	for range 3 {
		o.refuse(o.refusal(1))
	}
	o.now = o.now.Add(intake.MaxRefusalAge)
	if got, err := o.quota.Expired(t.Context(), postern.SourceID{1}); err != nil || len(got) != 0 {
		t.Errorf("%d expired at the limit, %v", len(got), err)
	}
	o.now = o.now.Add(time.Millisecond)
	got, err := o.quota.Expired(t.Context(), postern.SourceID{1})
	if err != nil || len(got) != 3 || got[0].ID != o.kept[0].ID {
		t.Errorf("%d expired, %v", len(got), err)
	}
	o.kept, o.lists = nil, 0 // dropped by the caller
	o.refuse(o.refusal(1))
	o.refuse(o.refusal(1))
	if len(o.kept) != 2 || o.dropped != 0 || o.lists != 1 {
		t.Errorf("kept %d, dropped %d, listed %d times; want the counts of a quiet source forgotten once", len(o.kept), o.dropped, o.lists)
	}
}

// Nobody asks for what is expired of a source that is deleted, nor on a node that
// does not lead.
func TestCountsOfQuietSourcesAreForgotten(t *testing.T) {
	o := newOffice(t)
	o.refuse(o.refusal(1))
	refuseElsewhere := func() {
		r := o.refusal(1)
		r.Source = postern.SourceID{2}
		o.refuse(r)
	}
	o.now = o.now.Add(time.Hour)
	refuseElsewhere()
	lists := o.lists
	if o.refuse(o.refusal(1)); o.lists != lists {
		t.Error("forgotten within the hour")
	}
	for range 2 {
		o.now = o.now.Add(time.Hour + time.Millisecond)
		refuseElsewhere()
	}
	lists = o.lists
	if o.refuse(o.refusal(1)); o.lists != lists+1 {
		t.Errorf("the counts of a quiet source were read %d times, not once: they were never forgotten", o.lists-lists)
	}
}

// While refusals cannot be stored, those that are must not be counted out.
func TestQuotaAfterFailures(t *testing.T) {
	o := newOffice(t)
	for range intake.MaxRefusals {
		o.refuse(o.refusal(1))
	}
	o.fail = postern.ErrUnavailable
	for range 20 {
		if err := o.quota.Refuse(t.Context(), o.refusal(1)); !errors.Is(err, postern.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	o.fail = nil
	o.refuse(o.refusal(1))
	if len(o.kept) != intake.MaxRefusals || o.dropped != 1 || o.kept[0].ID.Position() != 2 {
		t.Errorf("kept %d from %d on, dropped %d; want %d from 2 on", len(o.kept), o.kept[0].ID.Position(), o.dropped, intake.MaxRefusals)
	}
}

func TestSenderThatHangsUpIsCountedAllTheSame(t *testing.T) {
	o := newOffice(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.quota.Refuse(ctx, o.refusal(1)); err != nil || len(o.kept) != 1 {
		t.Errorf("kept %d, %v", len(o.kept), err)
	}
}

func TestQuotaSideBySide(t *testing.T) {
	o := newOffice(t)
	for range intake.MaxRefusals {
		o.kept = append(o.kept, o.refusal(1))
	}
	var refusals []*postern.Refusal
	for range 64 {
		refusals = append(refusals, o.refusal(1))
	}
	var all sync.WaitGroup
	for _, r := range refusals {
		all.Go(func() {
			if err := o.quota.Refuse(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(o.kept) != intake.MaxRefusals || o.dropped != 64 {
		t.Errorf("kept %d, dropped %d", len(o.kept), o.dropped)
	}
	if !slices.IsSortedFunc(o.kept, func(a, b *postern.Refusal) int { return cmp.Compare(a.ID.Position(), b.ID.Position()) }) {
		t.Error("the newest were dropped")
	}
	if !bytes.Equal(o.kept[0].Body, []byte{0}) {
		t.Error("a body was changed")
	}
}

package catalogue

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/postern-dev/postern"
)

// index finds records by key and, if it has an order, lists them by it. Its
// lock is held for one look-up or one change of the maps.
type index[K comparable, V comparable] struct {
	// compare orders the keys; nil for an index that is never listed.
	compare func(a, b K) int

	mu      sync.RWMutex
	records map[K]V
	order   []K
	// claims are closed once their key has a record or is free again.
	claims map[K]chan struct{}
}

// uid is a user's own name for a record among those of one application; the
// applications' own are in application 0.
type uid struct {
	application postern.ApplicationNumber
	name        string
}

// noLimit in a page lists everything.
const noLimit = -1

func newIndex[K comparable, V comparable](compare func(a, b K) int) *index[K, V] {
	return &index[K, V]{compare: compare, records: map[K]V{}, claims: map[K]chan struct{}{}}
}

// get returns the record of a key; the zero V, which is nil, for none and for
// a key that is only claimed. It allocates nothing.
func (x *index[K, V]) get(key K) V {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.records[key]
}

// len counts the records, claimed keys included.
func (x *index[K, V]) len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.records)
}

// claim reserves a key that is free; its record is still none. The claim ends
// when a record is put there, whoever puts it, or with the function returned,
// which does nothing after that. Who claimed a key waits for nothing but its
// commit in between. A key that another claims is waited for: only then is it
// known whether it is taken, and who is told so, which a nil function says, can
// find the record.
func (x *index[K, V]) claim(ctx context.Context, key K) (end func(), err error) {
	for {
		claim, other, taken := x.reserve(key)
		switch {
		case claim != nil:
			return func() { x.unclaim(key, claim) }, nil
		case other == nil && taken:
			return nil, nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// reserve is a try of claim: it returns the claim, or another's, or whether the
// key has a record.
func (x *index[K, V]) reserve(key K) (claim, other chan struct{}, taken bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, taken := x.records[key]; taken {
		return nil, x.claims[key], true
	}
	claim = make(chan struct{})
	var none V
	x.records[key], x.claims[key] = none, claim
	return claim, nil, false
}

// unclaim frees a key that is still claimed as it was.
func (x *index[K, V]) unclaim(key K, claim chan struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.claims[key] == claim {
		delete(x.records, key)
		x.decided(key)
	}
}

// decided lets those go on who wait for a key. The caller holds the lock.
func (x *index[K, V]) decided(key K) {
	if claim := x.claims[key]; claim != nil {
		close(claim)
		delete(x.claims, key)
	}
}

// put adds or replaces a record. New ids sort behind old ones, so that adding
// to a list of any length mostly appends.
func (x *index[K, V]) put(key K, record V) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.compare != nil {
		if at, found := slices.BinarySearchFunc(x.order, key, x.compare); !found {
			x.order = slices.Insert(x.order, at, key)
		}
	}
	x.records[key] = record
	x.decided(key)
}

// remove frees a key.
func (x *index[K, V]) remove(key K) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.drop(key)
}

// free removes a key that leads to this record.
func (x *index[K, V]) free(key K, record V) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.records[key] == record {
		x.drop(key)
	}
}

// drop is remove with the lock held.
func (x *index[K, V]) drop(key K) {
	delete(x.records, key)
	x.decided(key)
	if x.compare == nil {
		return
	}
	if at, found := slices.BinarySearchFunc(x.order, key, x.compare); found {
		x.order = slices.Delete(x.order, at, at+1)
	}
}

// page lists the records behind a key, nil for the list's start, that keep lets
// through, nil for all, and tells whether there are more. The key itself may be
// gone. keep runs under the index's lock and must not take another.
func (x *index[K, V]) page(after *K, p postern.ListPage, keep func(V) bool) ([]V, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	at, found := 0, false
	if after != nil {
		at, found = slices.BinarySearchFunc(x.order, *after, x.compare)
	}
	return window(len(x.order), at, found, after != nil, p, func(i int) (V, bool) {
		record := x.records[x.order[i]]
		return record, keep == nil || keep(record)
	})
}

// window walks a sorted list of n from a place on, in the page's direction.
// With after, at is where the key to go on behind is, or would be if it is not
// found.
func window[V any](n, at int, found, after bool, p postern.ListPage, record func(i int) (V, bool)) ([]V, bool) {
	start, step := 0, 1
	switch {
	case p.Descending:
		start, step = n-1, -1
		if after {
			start = at - 1
		}
	case after && found:
		start = at + 1
	case after:
		start = at
	}
	// One record beyond a full page tells that there are more.
	var page []V
	for i := start; i >= 0 && i < n; i += step {
		r, ok := record(i)
		if !ok {
			continue
		}
		if len(page) == p.Limit {
			return page, true
		}
		page = append(page, r)
	}
	return page, false
}

// claimUID claims a record's uid for a change that may rename it; from and to
// may be "". No two changes can both get one. The caller calls end when the
// change is shown, which ends the claim, or has failed: the uid is then free
// again.
func claimUID[V comparable](ctx context.Context, x *index[uid, V], app postern.ApplicationNumber, from, to string) (end func(), err error) {
	if from == to || to == "" {
		return func() {}, nil
	}
	end, err = x.claim(ctx, uid{app, to})
	if err != nil {
		return nil, err
	}
	if end == nil {
		return nil, uidInUse(to)
	}
	return end, nil
}

func compareStrings(a, b string) int { return strings.Compare(a, b) }

package verify

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeFetcher answers from memory and counts. An address without an answer
// fails; while hold is open, nobody is answered.
type fakeFetcher struct {
	mu      sync.Mutex
	answers map[string]string
	asked   map[string]int
	hold    chan struct{}
}

func (f *fakeFetcher) Fetch(ctx context.Context, address string) ([]byte, error) {
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked == nil {
		f.asked = map[string]int{}
	}
	f.asked[address]++
	answer, ok := f.answers[address]
	if !ok {
		return nil, errors.New("answered 500")
	}
	return []byte(answer), nil
}

// count is how often an address was asked.
func (f *fakeFetcher) count(address string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[address]
}

// cacheOf parses an answer as the ids of its keys, one letter each.
func cacheOf(f *fakeFetcher) *keyCache {
	return &keyCache{fetch: f, ttl: time.Hour, parse: func(body []byte) ([]material, error) {
		var keys []material
		for _, id := range string(body) {
			keys = append(keys, material{public: ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)), id: string(id)})
		}
		if keys == nil {
			return nil, errors.New("answered nothing")
		}
		return keys, nil
	}}
}

func wantKeys(t *testing.T, c *keyCache, address, id string, want int) {
	t.Helper()
	keys, err := c.get(t.Context(), address, id)
	if len(keys) != want || (err == nil) != (want > 0) {
		t.Errorf("%s: %d keys, want %d: %v", address, len(keys), want, err)
	}
}

func wantAsked(t *testing.T, f *fakeFetcher, address string, want int) {
	t.Helper()
	if got := f.count(address); got != want {
		t.Errorf("%s was asked %d times, want %d", address, got, want)
	}
}

func TestKeysAreKeptForTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeFetcher{answers: map[string]string{"a": "xy"}}
		c := cacheOf(f)
		for range 3 {
			wantKeys(t, c, "a", "", 2)
			wantKeys(t, c, "a", "x", 2)
		}
		wantAsked(t, f, "a", 1)
		time.Sleep(time.Hour - time.Nanosecond)
		wantKeys(t, c, "a", "", 2)
		wantAsked(t, f, "a", 1)
		time.Sleep(time.Nanosecond)
		wantKeys(t, c, "a", "", 2)
		wantAsked(t, f, "a", 2)
		// Keys that are too old are not used, also when there are no others.
		delete(f.answers, "a")
		time.Sleep(time.Hour)
		wantKeys(t, c, "a", "", 0)
	})
}

func TestFailuresAreKeptToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeFetcher{answers: map[string]string{"empty": ""}}
		c := cacheOf(f)
		for _, address := range []string{"a", "empty"} {
			for range 5 {
				wantKeys(t, c, address, "", 0)
			}
			time.Sleep(fetchFailed - time.Nanosecond)
			wantKeys(t, c, address, "x", 0)
			wantAsked(t, f, address, 1)
			time.Sleep(time.Nanosecond)
			f.answers[address] = "x"
			wantKeys(t, c, address, "x", 1)
			wantAsked(t, f, address, 2)
		}
	})
}

func TestRotatedKeysAreFetchedOncePerWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeFetcher{answers: map[string]string{"a": "x"}}
		c := cacheOf(f)
		wantKeys(t, c, "a", "x", 1)
		f.answers["a"] = "xy"
		wantKeys(t, c, "a", "y", 1) // so soon after the last time there is no other
		wantAsked(t, f, "a", 1)
		time.Sleep(fetchRotated)
		wantKeys(t, c, "a", "y", 2)
		wantAsked(t, f, "a", 2)
		for range 5 {
			wantKeys(t, c, "a", "forged", 2)
		}
		wantAsked(t, f, "a", 2)
		// A failure in between leaves the keys that there are.
		delete(f.answers, "a")
		time.Sleep(fetchRotated)
		wantKeys(t, c, "a", "forged", 2)
		wantKeys(t, c, "a", "x", 2)
		time.Sleep(fetchRotated)
		wantKeys(t, c, "a", "forged", 2)
		wantAsked(t, f, "a", 3)
	})
}

func TestAnAddressIsFetchedByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, answers := range []map[string]string{{"a": "x"}, nil} {
			f := &fakeFetcher{answers: answers, hold: make(chan struct{})}
			c := cacheOf(f)
			ctx, hangUp := context.WithCancel(t.Context())
			results := make(chan *Error)
			for range 10 {
				go func() { _, err := c.get(ctx, "a", "x"); results <- err }()
			}
			synctest.Wait()
			// Nine wait and stop waiting; the tenth goes on for those to come.
			hangUp()
			for range 9 {
				if err := <-results; err == nil || err.Reason != ReasonKeyUnavailable {
					t.Errorf("who hung up got %v", err)
				}
			}
			late := make(chan *Error)
			go func() { _, err := c.get(t.Context(), "a", "x"); late <- err }()
			synctest.Wait()
			close(f.hold)
			for _, result := range []chan *Error{results, late} {
				if err := <-result; (err == nil) != (answers != nil) {
					t.Errorf("got %v", err)
				}
			}
			wantAsked(t, f, "a", 1)
		}
	})
}

// Forged requests can name any address that the definition allows. They cost a
// bounded number of fetches and of places, and what works goes on working.
func TestForgedAddressesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeFetcher{answers: map[string]string{"good": "x", "late": "x"}}
		c := cacheOf(f)
		wantKeys(t, c, "good", "x", 1)
		for round := range 8 {
			for n := range 100 {
				wantKeys(t, c, fmt.Sprintf("forged %d %d", round, n), "", 0)
			}
			wantKeys(t, c, "good", "x", 1)
			total := 0
			for _, n := range f.asked {
				total += n
			}
			if limit := fetchesWithin * (round + 1); total > limit || len(c.entries) > maxCached {
				t.Fatalf("round %d: fetched %d of %d times, keeps %d", round, total, limit, len(c.entries))
			}
			time.Sleep(fetchWindow)
		}
		wantAsked(t, f, "good", 1)
		wantKeys(t, c, "late", "x", 1)
		if len(c.entries) != maxCached {
			t.Errorf("keeps %d", len(c.entries))
		}
	})
}

func TestWorkingKeysAreForgottenOldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeFetcher{answers: map[string]string{}}
		c := cacheOf(f)
		for n := range maxCached + 1 {
			address := fmt.Sprint(n)
			f.answers[address] = "x"
			wantKeys(t, c, address, "x", 1)
			time.Sleep(fetchWindow)
		}
		wantKeys(t, c, "1", "x", 1)
		wantAsked(t, f, "1", 1)
		wantKeys(t, c, "0", "x", 1)
		wantAsked(t, f, "0", 2)
		// While all are being fetched there is no place for another.
		for _, e := range c.entries {
			e.busy = make(chan struct{})
		}
		wantKeys(t, c, "another", "x", 0)
	})
}

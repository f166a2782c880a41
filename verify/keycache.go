package verify

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Bounds of the keys that one source has fetched.
const (
	maxCached     = 64               // addresses
	fetchFailed   = 30 * time.Second // how long a failure is not tried again
	fetchRotated  = 10 * time.Second // how often at most a set is fetched for an id that it lacks
	fetchWindow   = 10 * time.Second // in which
	fetchesWithin = 16               // at most so many are begun, whatever forged requests name
)

// keyCache keeps the keys behind addresses, and for a while that there are
// none. Each address is fetched by one caller at a time, the others wait for
// it; nothing runs in the background.
type keyCache struct {
	fetch Fetcher
	parse func(body []byte) ([]material, error)
	ttl   time.Duration

	mu      sync.Mutex
	entries map[string]*cachedKeys
	begun   []time.Time // of the fetches within the last fetchWindow
}

// cachedKeys is what is known of one address.
type cachedKeys struct {
	// busy is open while somebody fetches; who does closes it.
	busy    chan struct{}
	keys    []material
	fetched time.Time // of keys; they count for the ttl from then on
	asked   time.Time // the last fetch, however it went
	err     error     // of the last fetch; nil if it went well
}

// get returns the keys behind an address, of which one has the id that is
// asked for if there is any.
func (c *keyCache) get(ctx context.Context, address, id string) ([]material, *Error) {
	for {
		c.mu.Lock()
		e := c.entries[address]
		if e != nil && e.busy != nil {
			busy := e.busy
			c.mu.Unlock()
			select {
			case <-busy:
				continue
			case <-ctx.Done():
				return nil, &Error{ReasonKeyUnavailable, "the sender hung up before the provider's key was there"}
			}
		}
		now := time.Now()
		if e != nil && !e.outdated(now, c.ttl, id) {
			defer c.mu.Unlock()
			return e.answer(now, c.ttl)
		}
		e, busy := c.begin(address, e, now)
		c.mu.Unlock()
		if busy {
			return nil, &Error{ReasonKeyUnavailable, "too many different keys were asked for in a short time"}
		}
		c.load(ctx, address, e)
	}
}

// outdated reports whether an entry does not answer a request any more.
func (e *cachedKeys) outdated(now time.Time, ttl time.Duration, id string) bool {
	if e.err != nil && now.Sub(e.asked) < fetchFailed {
		return false
	}
	if e.keys == nil || now.Sub(e.fetched) >= ttl {
		return true
	}
	known := id == "" || slices.ContainsFunc(e.keys, func(k material) bool { return k.id == id || k.id == "" })
	return !known && now.Sub(e.asked) >= fetchRotated
}

// answer is the keys while they count, also when fetching them again failed.
func (e *cachedKeys) answer(now time.Time, ttl time.Duration) ([]material, *Error) {
	if e.keys != nil && now.Sub(e.fetched) < ttl {
		return e.keys, nil
	}
	return nil, &Error{ReasonKeyUnavailable, "the provider's key could not be fetched: its address " + e.err.Error()}
}

// begin marks an address as being fetched; busy means that there have been too
// many of late.
func (c *keyCache) begin(address string, e *cachedKeys, now time.Time) (entry *cachedKeys, busy bool) {
	c.begun = slices.DeleteFunc(c.begun, func(t time.Time) bool { return now.Sub(t) >= fetchWindow })
	if len(c.begun) >= fetchesWithin {
		return nil, true
	}
	if e == nil {
		if len(c.entries) >= maxCached && !c.evict() {
			return nil, true
		}
		if c.entries == nil {
			c.entries = map[string]*cachedKeys{}
		}
		e = &cachedKeys{}
		c.entries[address] = e
	}
	c.begun = append(c.begun, now)
	e.busy = make(chan struct{})
	return e, false
}

// evict forgets one address: the oldest failure, or else the oldest keys, so
// that forged addresses do not push out those that work.
func (c *keyCache) evict() bool {
	var victim string
	var worst *cachedKeys
	for address, e := range c.entries {
		if e.busy != nil {
			continue
		}
		if worst == nil || (e.keys == nil) != (worst.keys == nil) && e.keys == nil ||
			(e.keys == nil) == (worst.keys == nil) && e.asked.Before(worst.asked) {
			victim, worst = address, e
		}
	}
	delete(c.entries, victim)
	return worst != nil
}

// load fetches for all who wait. It goes on when the sender hangs up: otherwise
// hanging up early would have every request fetch again, and none succeed. The
// Fetcher's own deadline ends it.
func (c *keyCache) load(ctx context.Context, address string, e *cachedKeys) {
	var keys []material
	body, err := c.fetch.Fetch(context.WithoutCancel(ctx), address)
	if err == nil {
		keys, err = c.parse(body)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e.asked, e.err = time.Now(), err
	if err == nil {
		e.keys, e.fetched = keys, e.asked
	}
	close(e.busy)
	e.busy = nil
}

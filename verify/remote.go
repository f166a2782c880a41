package verify

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// standardTTL is how long a fetched key is kept where a definition does not
	// say; no definition may say more than a day or less than a minute.
	standardTTL = time.Hour
	minTTL      = time.Minute
	maxTTL      = 24 * time.Hour
	// standardPattern is what a value that is put into an address must match: no
	// dot, slash or other character that could lead elsewhere.
	standardPattern = `[A-Za-z0-9_-]{1,128}`
)

// remoteKeys are the fetched keys of one scheme; safe for concurrent use. What a
// request says only fills gaps in an address that the definition has, and what
// comes of it must be https, on port 443, at a host of the definition.
type remoteKeys struct {
	address template
	pattern *regexp.Regexp   // of the values in address
	hosts   []*regexp.Regexp // of the address, one of which must match
	keyID   selector
	cache   *keyCache
}

// remote resolves where a scheme's keys come from, nil for nowhere; path is
// where def stands.
func (c *compiler) remote(path string, kind Kind, def *RemoteKey) *remoteKeys {
	if def == nil {
		return nil
	}
	r := &remoteKeys{address: c.parsed(def.URL, path+".url"), keyID: c.selector(def.KeyID, path+".keyId")}
	pattern := def.Pattern
	if pattern == "" {
		pattern = standardPattern
	}
	r.pattern = c.anchored(pattern, path+".pattern")
	for i, host := range def.Hosts {
		r.hosts = append(r.hosts, c.anchored(host, indexed(path+".hosts", i)))
	}
	if len(r.hosts) == 0 {
		c.fail(path+".hosts", "is required")
	}
	format := c.oneOf(def.Format, path+".format", "jwks", "pem", "spki", "x509", "jwk")
	if format == "jwks" && r.keyID.form == "" {
		r.keyID, _ = parseSelector("claim:kid")
	}
	var inside []string
	if def.Path != "" {
		var ok bool
		if inside, ok = parsePath(def.Path); !ok {
			c.fail(path+".path", "must be names joined by dots")
		}
	}
	ttl := standardTTL
	if def.TTL != "" {
		var err error
		if ttl, err = time.ParseDuration(def.TTL); err != nil || ttl < minTTL || ttl > maxTTL {
			c.fail(path+".ttl", fmt.Sprintf("must be a duration from %v to %v", minTTL, maxTTL))
		}
	}
	r.cache = &keyCache{fetch: c.fetch, ttl: ttl, parse: func(body []byte) ([]material, error) {
		return parseFetched(kind, format, inside, body)
	}}
	return r
}

// keys are those that the request names. Certificates count within their period
// at the time of receipt.
func (r *remoteKeys) keys(ctx context.Context, in *input) ([]key, *Error) {
	address, err := r.resolve(in)
	if err != nil {
		return nil, err
	}
	id := ""
	if r.keyID.form != "" {
		if id, _, err = in.text(r.keyID); err != nil {
			return nil, err
		}
	}
	if r.cache.fetch == nil {
		return nil, &Error{ReasonKeyUnavailable, "the provider's key is not configured, and none is fetched here"}
	}
	found, err := r.cache.get(ctx, address, id)
	if err != nil {
		return nil, err
	}
	var keys []key
	for _, m := range found {
		if m.validAt(in.now) && (id == "" || m.id == "" || m.id == id) {
			keys = append(keys, key{public: m.public, id: m.id})
		}
	}
	if len(keys) == 0 {
		return nil, &Error{ReasonKeyUnavailable, "the provider has no key of the id that the request names, or its certificate is not valid at this time"}
	}
	return keys, nil
}

// resolve fills the request's values into the address and refuses every one that
// the provider would not send.
func (r *remoteKeys) resolve(in *input) (string, *Error) {
	for _, section := range r.address.sections {
		for _, p := range section.parts {
			if p.value.form == "" {
				continue
			}
			value, err := in.required(p.value, ReasonValueMissing)
			if err != nil {
				return "", err
			}
			if !r.pattern.MatchString(value) {
				return "", &Error{ReasonKeyForbidden, p.value.label() + " is not written as the provider writes it"}
			}
		}
	}
	pieces, err := r.address.render(in, nil)
	if err != nil {
		return "", err
	}
	address := string(slices.Concat(pieces...))
	target, wrong := fetchable(address)
	if wrong != nil {
		return "", &Error{ReasonKeyForbidden, "the address of the key " + wrong.Error()}
	}
	host := strings.ToLower(target.Hostname())
	if !slices.ContainsFunc(r.hosts, func(re *regexp.Regexp) bool { return re.MatchString(host) }) {
		return "", &Error{ReasonKeyForbidden, "the address of the key is not at one of the provider's hosts"}
	}
	return address, nil
}

// parseFetched reads the keys of an answer. Its errors are kept and shown to the
// operator, and have nothing of the answer in them. Inside leads to the key in a
// JSON answer: a string, or for jwk an object. In a set, keys that are for
// another kind are left out.
func parseFetched(kind Kind, format string, inside []string, body []byte) ([]material, error) {
	text := string(body)
	if inside != nil {
		var ok bool
		if text, ok = jsonText(body, inside); !ok {
			text = string(jsonValue(body, inside))
		}
		if text == "" {
			return nil, errors.New("answered without a key")
		}
	}
	if format != "jwks" {
		m, err := parseMaterial(format, strings.TrimSpace(text))
		if err == nil {
			err = fitsKind(kind, m)
		}
		if err != nil {
			return nil, fmt.Errorf("answered with what %w", err)
		}
		return []material{m}, nil
	}
	set, err := parseKeySet([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("answered with what %w", err)
	}
	set = slices.DeleteFunc(set, func(m material) bool { return fitsKind(kind, m) != nil })
	if len(set) == 0 {
		return nil, errors.New("answered with a set without a key of the right type")
	}
	return set, nil
}

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

// outdated reports whether an entry does not answer a request any more: its time
// is over, or the provider may have a key by now that it had not then. A failure
// is news for a while, whatever else is known.
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

// answer is the keys while they count, also when fetching them again failed. An
// entry that is neither fresh nor failed is outdated, and is not asked.
func (e *cachedKeys) answer(now time.Time, ttl time.Duration) ([]material, *Error) {
	if e.keys != nil && now.Sub(e.fetched) < ttl {
		return e.keys, nil
	}
	return nil, &Error{ReasonKeyUnavailable, "the provider's key could not be fetched: its address " + e.err.Error()}
}

// begin marks an address as being fetched; busy means that there have been too
// many of late. The limit is for all addresses together: forged requests may
// hold up a key that is new, and none that is here.
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

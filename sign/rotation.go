package sign

import (
	"errors"
	"fmt"
	"time"
)

// Limits of rotation.
const (
	// DefaultGrace is how long a replaced key goes on signing unless said
	// otherwise.
	DefaultGrace = 24 * time.Hour
	// MaxGrace is the longest that it may.
	MaxGrace = 7 * 24 * time.Hour
	// MaxOldKeys bounds the replaced keys that still sign.
	MaxOldKeys = 10
)

// Why Rotate refuses, besides ErrKeyEmpty and ErrKeyKind.
var (
	ErrGrace       = errors.New("sign: grace period is out of range")
	ErrSameKey     = errors.New("sign: key is already in use")
	ErrTooManyKeys = errors.New("sign: too many old keys are still live")
)

// Secrets are the keys of one endpoint over time. Values are immutable: Rotate
// returns a new one.
type Secrets struct {
	// Current signs until it is replaced.
	Current Key
	// Old are replaced keys, the newest first.
	Old []OldKey
}

// OldKey is a replaced key that goes on signing, so that receivers can change
// over without refusing anything.
type OldKey struct {
	Key Key
	// Until is the first instant at which the key signs no more.
	Until time.Time
}

// Live returns the keys that sign at now, the current one first: what
// NewSigner takes.
func (s Secrets) Live(now time.Time) []Key {
	keys := []Key{s.Current}
	for _, old := range s.live(now) {
		keys = append(keys, old.Key)
	}
	return keys
}

// Rotate makes next the current key and lets the one before sign for another
// grace (0 to MaxGrace; 0 ends it at once). Keys that have ended are dropped.
// It refuses rather than ending a live key early when MaxOldKeys are reached.
func (s Secrets) Rotate(next Key, now time.Time, grace time.Duration) (Secrets, error) {
	if next.Kind() == 0 {
		return Secrets{}, ErrKeyEmpty
	}
	if next.Kind() == Public {
		return Secrets{}, fmt.Errorf("%w: a public key cannot sign", ErrKeyKind)
	}
	if grace < 0 || grace > MaxGrace {
		return Secrets{}, fmt.Errorf("%w: %v, want 0 to %v", ErrGrace, grace, MaxGrace)
	}
	for _, key := range s.Live(now) {
		if next.Equal(key) {
			return Secrets{}, ErrSameKey
		}
	}
	rotated := Secrets{Current: next}
	if grace > 0 && s.Current.Kind() != 0 {
		rotated.Old = append(rotated.Old, OldKey{Key: s.Current, Until: now.Add(grace)})
	}
	rotated.Old = append(rotated.Old, s.live(now)...)
	if len(rotated.Old) > MaxOldKeys {
		return Secrets{}, fmt.Errorf("%w: at most %d", ErrTooManyKeys, MaxOldKeys)
	}
	return rotated, nil
}

func (s Secrets) live(now time.Time) []OldKey {
	var live []OldKey
	for _, old := range s.Old {
		if now.Before(old.Until) {
			live = append(live, old)
		}
	}
	return live
}

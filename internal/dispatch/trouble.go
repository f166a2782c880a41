package dispatch

import (
	"sync"
	"time"
)

// troubleQuiet is how often trouble that lasts is logged anew.
const troubleQuiet = time.Minute

// troubles are what keeps deliveries waiting, as the operator is told of it. While
// a database is away every lane meets it every second: it is told once a minute.
type troubles struct {
	mu     sync.Mutex
	logged map[string]time.Time // by kind
}

// due reports whether a kind of trouble is to be logged, and takes it as logged.
func (t *troubles) due(now time.Time, kind string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, ok := t.logged[kind]; ok && now.Sub(last) < troubleQuiet {
		return false
	}
	if t.logged == nil {
		t.logged = make(map[string]time.Time)
	}
	t.logged[kind] = now
	return true
}

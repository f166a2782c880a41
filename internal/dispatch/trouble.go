package dispatch

import (
	"log/slog"
	"sync"
	"time"
)

// troubleQuiet is how often trouble that lasts is logged anew.
const troubleQuiet = time.Minute

// troubles tells the operator of what keeps deliveries waiting. While a database
// is away every lane meets it every second: it is told once a minute.
type troubles struct {
	log *slog.Logger

	mu     sync.Mutex
	logged map[string]time.Time // by what is said
}

// tell logs a trouble, unless it was logged within the last minute.
func (t *troubles) tell(now time.Time, what string, args ...any) {
	if t.due(now, what) {
		t.log.Error(what, args...)
	}
}

// due reports whether a trouble is to be logged, and takes it as logged.
func (t *troubles) due(now time.Time, what string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, ok := t.logged[what]; ok && now.Sub(last) < troubleQuiet {
		return false
	}
	if t.logged == nil {
		t.logged = make(map[string]time.Time)
	}
	t.logged[what] = now
	return true
}

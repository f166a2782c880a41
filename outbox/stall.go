package outbox

import (
	"strconv"
	"time"

	"github.com/postern-dev/postern"
)

// stalls are the applications whose rows are left alone for a while, because one of
// them failed: they would fail again, and fill rounds that others wait for. Their
// order is kept, since all their rows wait. Run owns it.
type stalls struct {
	least, most time.Duration // of a pause; it doubles with each failure in a row
	of          map[postern.ApplicationNumber]stall
}

type stall struct {
	pause time.Duration
	until time.Time
}

// maxStalls bounds the applications of which it is known; those beyond it are
// tried again at once.
const maxStalls = 1000

// note takes down how the rows of a round ended. It reports whether all that failed
// are left alone from here on, so that another round will find others.
func (s *stalls) note(rows []*row, now time.Time) (all bool) {
	all = true
	failing := map[postern.ApplicationNumber]bool{}
	for _, row := range rows {
		app := row.publish.Application
		failing[app] = failing[app] || row.outcome == failed
	}
	for app, yes := range failing {
		if !yes {
			delete(s.of, app)
		} else if was, known := s.of[app]; known || len(s.of) < maxStalls {
			pause := min(max(2*was.pause, s.least), s.most)
			s.of[app] = stall{pause, now.Add(pause)}
		} else {
			all = false
		}
	}
	return all
}

// now lists the applications to leave alone, as a statement has them.
func (s *stalls) now(now time.Time) (apps []string) {
	for app, stall := range s.of {
		if now.Before(stall.until) {
			apps = append(apps, strconv.FormatUint(uint64(app), 10))
		}
	}
	return apps
}

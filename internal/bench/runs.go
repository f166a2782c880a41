package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// The subjects of a run, as reports name them.
const (
	subjectServer  = "postern"
	subjectFloor   = "floor"
	subjectControl = "control" // the server again, with neighbours that behave
)

// run is one row of the bench: a fixture, a load shape, and what the outcome is held
// against. A new question is a new row in [allRuns].
type run struct {
	name  string // as --runs takes it
	title string // as reports show it
	// endpoints all get every message and answer at once; the figures are about them.
	endpoints int
	// neighbours join after the warm-up and get every message too. What they do is
	// the receiver's path for them; what they do in the control run is control.
	neighbours int
	neighbour  string
	control    string // empty: no control run
	floor      bool   // measure the floor with the same endpoints
	// rate is the open loop's messages a second for seconds; 0 is a closed loop over
	// the count that the options name.
	rate    float64
	seconds int
	bars    []bar
}

// allRuns is the catalogue, in the order of reports.
func allRuns() []run {
	return []run{
		{
			name: "one", title: "1 endpoint, full speed", endpoints: 1, floor: true,
			bars: []bar{
				{figure: figureCPU, against: subjectFloor, limit: func(f float64) float64 { return max(80, 1.35*f) }},
				{figure: figureDeliveries, against: subjectFloor, atLeast: true, limit: times(0.6)},
				{figure: figureAckP99, against: subjectFloor, limit: times(2)},
			},
		},
		{
			name: "ten", title: "10 endpoints, full speed", endpoints: 10, floor: true,
			bars: []bar{{figure: figureCPU, limit: fixed(45)}},
		},
		{
			name: "rate", title: "1 endpoint, 200/s", endpoints: 1, rate: 200, seconds: 20,
			bars: []bar{{figure: figureAfterP99, limit: fixed(5)}},
		},
		{
			name: "slow", title: "fast beside one of 2 s, 100/s", endpoints: 1,
			neighbours: 1, neighbour: "/slow/%d?ms=2000", control: "/fast/%d", rate: 100, seconds: 30,
			bars: []bar{{figure: figureE2EP99, against: subjectControl, limit: func(c float64) float64 { return 1.1*c + 1 }}},
		},
	}
}

// chooseRuns keeps the named rows in catalogue order; no names means all.
func chooseRuns(names []string) ([]run, error) {
	all := allRuns()
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	for _, r := range all {
		known = append(known, r.name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("no run %q: there are %s", name, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(all, func(r run) bool { return !slices.Contains(names, r.name) }), nil
}

// subjects lists who is measured in this run; they take turns in going first.
func (r run) subjects(round int) []string {
	list := []string{subjectServer}
	if r.floor {
		list = append(list, subjectFloor)
	}
	if r.control != "" {
		list = append(list, subjectControl)
	}
	first := round % len(list)
	return append(slices.Clone(list[first:]), list[:first]...)
}

// messages is how many are measured. A closed loop is counted in deliveries, so
// that a fan-out of ten takes no longer than one.
func (r run) messages(o Options) int {
	if r.rate == 0 {
		return max(1, o.Messages/r.endpoints)
	}
	seconds := r.seconds
	if o.Seconds > 0 {
		seconds = o.Seconds
	}
	return max(1, int(r.rate*float64(seconds)))
}

// fastURLs are the endpoints that the run is about.
func (r run) fastURLs(addrs []string) []string { return urls(addrs, "/fast/%d", 0, r.endpoints) }

// neighbourURLs are those that join later; none for a subject without them.
func (r run) neighbourURLs(addrs []string, subject string) []string {
	path := r.neighbour
	if subject == subjectControl {
		path = r.control
	}
	return urls(addrs, path, r.endpoints, r.neighbours)
}

// urls spreads count endpoints from index first over the receiver's ports.
func urls(addrs []string, path string, first, count int) []string {
	var out []string
	for i := first; i < first+count; i++ {
		out = append(out, "http://"+addrs[i%len(addrs)]+fmt.Sprintf(path, i))
	}
	return out
}

// bar is a limit that the server's median must keep.
type bar struct {
	figure  string                      // key of the figure
	against string                      // subject whose same figure limit gets; empty: an absolute bar
	atLeast bool                        // the figure must not fall below the limit
	limit   func(other float64) float64 // in the figure's unit
}

// always are the bars of every run: nothing lost, nothing twice.
func always() []bar {
	return []bar{
		{figure: figureLost, limit: fixed(0)},
		{figure: figureDuplicates, limit: fixed(0)},
	}
}

// keeps reports whether value is within limit; what was not measured is not.
func (b bar) keeps(value, limit float64) bool {
	if math.IsNaN(value) || math.IsNaN(limit) {
		return false
	}
	if b.atLeast {
		return value >= limit
	}
	return value <= limit
}

func times(factor float64) func(float64) float64 {
	return func(other float64) float64 { return factor * other }
}

func fixed(limit float64) func(float64) float64 {
	return func(float64) float64 { return limit }
}

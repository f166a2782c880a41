package bench

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// The subjects of a run, as reports name them.
const (
	subjectServer  = "postern"
	subjectFloor   = "floor"
	subjectControl = "control" // the server again, with neighbours that behave
	subjectAlone   = "alone"   // the server again, without neighbours
	subjectTwo     = "2 nodes" // the server, and another one that shares its store
	subjectThree   = "3 nodes"
)

// run is one row of the bench: a fixture, a load shape, and what the outcome is held
// against. A new question is a new row in [allRuns].
type run struct {
	name  string // as --runs takes it
	group string // that --runs takes as well; of one group or more, by a blank
	title string // as reports show it
	// endpoints all get every message and answer at once; the figures are about them.
	endpoints int
	// neighbours join after the warm-up. What they do is the receiver's path for
	// them; what they do in the control run is control.
	neighbours int
	neighbour  string
	control    string
	// inTurn gives each message to one of the neighbours only.
	inTurn bool
	// retried neighbours fail or hang: nobody waits for them, and what they see twice
	// is no duplicate.
	retried bool
	// retries is the schedule of the neighbours; nil means the server's own.
	retries []int
	// sameHost gives all endpoints one host and port.
	sameHost bool
	against  []string // the subjects measured beside the server
	// rate is the open loop's messages a second for seconds; 0 is a closed loop over
	// the count that the options name.
	rate    float64
	seconds int
	// size is how many messages wait, or endpoints exist, in a run about such.
	size int
	// scenario replaces one load that is measured once warm; nil means that.
	scenario func(context.Context, *session) (Sample, error)
	// nodes is with how many servers on one store it is made, unless the subject says
	// another number; 0 for a run that is about no such thing.
	nodes int
	// expired: the server, not its control, starts with that many messages of a day that
	// is past retention.
	expired bool
	bars    []bar
	// once makes the run in the first round only, as it takes long.
	once bool
}

// The groups of runs. Those of none are made when they are named only.
const (
	groupCore      = "core" // what is measured when nothing is named
	groupIsolation = "isolation"
	groupMemory    = "memory"
	groupNodes     = "nodes" // which is a run's name as well
)

// allRuns is the catalogue, in the order of reports.
func allRuns() []run {
	return slices.Concat(speedRuns(), isolationRuns(), memoryRuns(), backlogRuns(), pageRuns(), retentionRuns(), soakRuns(), nodeRuns())
}

// speedRuns are about cost and rate.
func speedRuns() []run {
	return []run{
		{
			name: "one", group: groupCore, title: "1 endpoint, full speed", endpoints: 1, against: []string{subjectFloor},
			bars: []bar{
				{figure: figureCPU, against: subjectFloor, limit: func(f float64) float64 { return max(80, 1.35*f) }},
				{figure: figureDeliveries, against: subjectFloor, atLeast: true, limit: times(0.6)},
				{figure: figureAckP99, against: subjectFloor, limit: times(2)},
			},
		},
		{
			name: "ten", group: groupCore, title: "10 endpoints, full speed", endpoints: 10, against: []string{subjectFloor},
			bars: []bar{{figure: figureCPU, limit: fixed(45)}},
		},
		{
			name: "rate", group: groupCore, title: "1 endpoint, 200/s", endpoints: 1, rate: 200, seconds: 20,
			bars: []bar{{figure: figureAfterP99, limit: fixed(5)}},
		},
		{
			name: "accept", group: groupCore, title: "1 endpoint, 5000/s", endpoints: 1, rate: 5000, seconds: 30,
			bars: []bar{{figure: figureAckP99, limit: fixed(10)}},
		},
	}
}

// isolationRuns are about nobody hurting anybody; each against neighbours that behave.
func isolationRuns() []run {
	unhurt := []bar{{figure: figureE2EP99, against: subjectControl, limit: unharmed}}
	return []run{
		{
			name: "slow", group: groupCore + " " + groupIsolation, title: "fast beside one of 2 s, 100/s", endpoints: 1,
			neighbours: 1, neighbour: "/slow/%d?ms=2000", control: "/fast/%d", rate: 100, seconds: 30,
			against: []string{subjectControl}, bars: unhurt,
		},
		{
			name: "hang", group: groupIsolation, title: "fast beside 500 that hang 30 s, 100/s", endpoints: 1,
			neighbours: 500, neighbour: "/slow/%d?ms=30000", control: "/fast/%d", inTurn: true, retried: true,
			rate: 100, seconds: 30, against: []string{subjectControl}, bars: unhurt,
		},
		{
			name: "host", group: groupIsolation, title: "fast beside one of 2 s on its host and port, 100/s", endpoints: 1,
			neighbours: 1, neighbour: "/slow/%d?ms=2000", control: "/fast/%d", sameHost: true,
			rate: 100, seconds: 30, against: []string{subjectControl}, bars: unhurt,
		},
		{
			name: "flood", group: groupIsolation, title: "100/s beside another application's flood", endpoints: 1,
			rate: 100, seconds: 30, against: []string{subjectControl, subjectAlone}, scenario: flood,
			// The flood is not to pay for it with more than half of its rate.
			bars: append(slices.Clone(unhurt), bar{figure: figureFlood, against: subjectControl, atLeast: true, limit: times(0.5)}),
		},
	}
}

// memoryRuns are about what a server holds when it has nothing to do.
func memoryRuns() []run {
	return []run{
		{
			name: "idle", group: groupMemory, title: "idle after full speed", endpoints: 1, seconds: 60, scenario: idle,
			bars: []bar{{figure: figureResident, limit: fixed(64)}, {figure: figureIdleCPU, limit: fixed(0.5)}},
		},
		{
			name: "pending", group: groupMemory, title: "retries pending", size: 1_000_000, seconds: 60, scenario: pending,
			bars: []bar{{figure: figureResident, limit: fixed(256)}},
		},
		{
			name: "endpoints", group: groupMemory, title: "endpoints of 1,000 applications", size: 100_000, seconds: 60, scenario: endpoints,
			bars: []bar{{figure: figureResident, limit: fixed(256)}},
		},
		{
			name: "fanout", group: groupMemory, title: "endpoints of one application", size: 10_000, seconds: 60, scenario: fanOut,
			bars: []bar{{figure: figureCreateP99, limit: fixed(5)}, {figure: figureAckShare, limit: fixed(0.1)}, {figure: figureAckBeside, limit: fixed(0.1)}},
		},
	}
}

// backlogRuns are about what waits behind an endpoint that does not answer.
func backlogRuns() []run {
	return []run{
		{
			name: "backlog", title: "fast beside one that hangs, then drains", endpoints: 1,
			neighbours: 1, neighbour: "/switch/%d", control: "/fast/%d", retried: true, retries: patientRetries(),
			size: 1_000_000, seconds: 30, against: []string{subjectControl}, scenario: backlog,
			bars: []bar{
				{figure: figurePeak, limit: fixed(256)},
				{figure: figureOthersP99, against: subjectControl, limit: unharmed},
				{figure: figureDrainP99, against: subjectControl, limit: unharmed},
			},
		},
		{
			name: "probe", title: "an endpoint that is down, then drains", size: 100_000, seconds: 60, scenario: probe,
			bars: []bar{{figure: figureProbes, limit: fixed(12)}},
		},
		{
			name: "ratelimit", title: "an endpoint of 50/s", endpoints: 1, seconds: 60, scenario: rateLimit,
			bars: []bar{
				{figure: figureRate, atLeast: true, limit: fixed(0.9 * limitedRate)},
				{figure: figureRate, limit: fixed(1.1 * limitedRate)},
				{figure: figureSlowest, atLeast: true, limit: fixed(0.9 * limitedRate)},
				{figure: figureFastest, limit: fixed(1.1 * limitedRate)},
			},
		},
		{
			name: "restart", title: "restart behind a backlog", size: 1_000_000, scenario: restart,
			bars: []bar{{figure: figureReady, limit: fixed(2)}, {figure: figureFirst, limit: fixed(1)}},
		},
	}
}

// pageRuns are about reading history.
func pageRuns() []run {
	return []run{{
		name: "pages", title: "pages of a history", size: 1_000_000, seconds: 60, once: true, scenario: pages,
		bars: []bar{
			{figure: figureSlowestPage, limit: fixed(20)},
			{figure: figureGrown, limit: fixed(8)},
		},
	}}
}

// retentionRuns are about history that is dropped.
func retentionRuns() []run {
	calm := func(other float64) float64 { return max(unmoved*other, other+jitter) }
	return []run{{
		name: "retention", title: "full speed while a day is dropped", endpoints: 1, size: 1_000_000, expired: true, seconds: 60,
		against: []string{subjectControl}, scenario: retention,
		bars: []bar{
			{figure: figureCPU, against: subjectControl, limit: times(unmoved)},
			{figure: figureDeliveries, against: subjectControl, atLeast: true, limit: times(2 - unmoved)},
			{figure: figureAckP99, against: subjectControl, limit: calm},
			{figure: figureStore, against: subjectControl, limit: times(1.5)},
			{figure: figureLate, limit: fixed(0)},
		},
	}}
}

// soakRuns are about what becomes of everything with time.
func soakRuns() []run {
	return []run{
		{
			name: "soak", title: "60 % of full speed, mixed endpoints, SIGKILLs", endpoints: 1, seconds: 1800, once: true, scenario: soak,
			bars: []bar{
				{figure: figureRowsLeft, limit: fixed(0)},
				{figure: figureResidentGrowth, limit: fixed(1.2)},
				{figure: figureCPUGrowth, limit: fixed(1.2)},
			},
		},
	}
}

// nodeRuns are about servers that share a database. Several do the same work as one
// alone, in smaller batches, for which each further one may cost a fifth more; and each
// has its part of it, a third more or less.
func nodeRuns() []run {
	r := run{
		name: "nodes", title: "1 endpoint, full speed, by nodes", endpoints: 1, nodes: 1,
		against: []string{subjectTwo, subjectThree},
	}
	for _, subject := range r.against {
		nodes := float64(r.nodesOf(subject))
		fair := 100 / nodes
		r.bars = append(append(r.bars, always(subject)...),
			bar{of: subject, figure: figureCPU, against: subjectServer, limit: times(1 + 0.2*(nodes-1))},
			bar{of: subject, figure: figureLeastShare, atLeast: true, limit: fixed(0.7 * fair)},
			bar{of: subject, figure: figureMostShare, limit: fixed(1.3 * fair)},
		)
	}
	return []run{r, {
		name: "join", group: groupNodes, title: "2 nodes, one joins, one leaves", endpoints: 1, nodes: 2, seconds: 20, scenario: join,
		bars: []bar{{figure: figureJoinerShare, atLeast: true, limit: fixed(0.7 * 100 / 3)}},
	}}
}

// chooseRuns keeps the named rows, and those of the named groups, in catalogue order;
// no names means the core.
func chooseRuns(names []string) ([]run, error) {
	all := allRuns()
	if len(names) == 0 {
		names = []string{groupCore}
	}
	var known []string
	for _, r := range all {
		known = append(known, r.name)
	}
	known = append(known, groupCore, groupIsolation, groupMemory)
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("no run %q: there are %s", name, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(all, func(r run) bool { return !r.named(names) }), nil
}

// named reports whether one of the names means this run.
func (r run) named(names []string) bool {
	own := append(strings.Fields(r.group), r.name)
	return slices.ContainsFunc(own, func(name string) bool { return slices.Contains(names, name) })
}

// subjects lists who is measured in this run; they take turns in going first.
func (r run) subjects(round int) []string {
	list := append([]string{subjectServer}, r.against...)
	first := round % len(list)
	return append(slices.Clone(list[first:]), list[:first]...)
}

// messages is how many are measured. A closed loop is counted in deliveries, so
// that a fan-out of ten takes no longer than one.
func (r run) messages(o Options) int {
	switch {
	case r.rate > 0:
		return max(1, int(r.rate*r.lasts(o).Seconds()))
	case r.size > 0 && !r.expired:
		return r.sized(o)
	}
	return max(1, o.Messages/r.endpoints)
}

// lasts is how long the run's open loop, or its rest, goes on.
func (r run) lasts(o Options) time.Duration {
	return time.Duration(or(o.Seconds, r.seconds)) * time.Second
}

// sized is the run's size under the options.
func (r run) sized(o Options) int {
	size := r.size
	if o.Quick {
		size = r.size / 100
	}
	return or(o.Size, size)
}

// listeners is how many ports the receiver needs.
func (r run) listeners() int {
	if r.sameHost {
		return 1
	}
	return max(2, min(r.endpoints+r.neighbours, maxListeners))
}

// fast are the endpoints that the run is about.
func (r run) fast(addrs []string) []endpoint { return spread(addrs, "/fast/%d", 0, r.endpoints) }

// beside are those that join later.
func (r run) beside(addrs []string, subject string) []endpoint {
	path := r.neighbour
	if subject == subjectControl {
		path = r.control
	}
	list := spread(addrs, path, r.endpoints, r.neighbours)
	for i := range list {
		if r.inTurn {
			list[i].Channels = []string{channelName(i)}
		}
		list[i].RetrySchedule = r.retries
	}
	return list
}

// spread lays count endpoints from index first over the receiver's ports.
func spread(addrs []string, path string, first, count int) []endpoint {
	var out []endpoint
	for i := first; i < first+count; i++ {
		out = append(out, endpoint{URL: "http://" + addrs[i%len(addrs)] + fmt.Sprintf(path, i)})
	}
	return out
}

// bar is a limit that a subject's median must keep.
type bar struct {
	of         string                      // the subject; empty: the server on the empty store
	figure     string                      // key of the figure
	against    string                      // subject whose same figure limit gets; empty: an absolute bar
	atLeast    bool                        // the figure must not fall below the limit
	ifMeasured bool                        // a figure that neither has is no miss
	limit      func(other float64) float64 // in the figure's unit
}

// always are the bars of every subject of every run: nothing lost, nothing twice.
func always(of string) []bar {
	return []bar{
		{of: of, figure: figureLost, limit: fixed(0)},
		{of: of, figure: figureDuplicates, limit: fixed(0)},
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

// unharmed is the bar of isolation: what the control has, by a tenth and 1 ms.
func unharmed(control float64) float64 { return 1.1*control + 1 }

func times(factor float64) func(float64) float64 {
	return func(other float64) float64 { return factor * other }
}

func fixed(limit float64) func(float64) float64 {
	return func(float64) float64 { return limit }
}

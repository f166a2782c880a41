package bench

import (
	"math"
	"runtime"
	"slices"
	"time"
)

// Sample is one measurement of one subject.
type Sample struct {
	Run     string `json:"run"`
	Subject string `json:"subject"`
	Round   int    `json:"round"` // from 1
	// Messages were acknowledged, Deliveries reached the receiver, neighbours
	// included.
	Messages   int `json:"messages"`
	Deliveries int `json:"deliveries"`
	// Figures by key; what the subject or the system does not tell is absent.
	Figures map[string]float64 `json:"figures"`
	// Quiet is false when background work was still going on after the longest wait:
	// the CPU figure then flatters.
	Quiet bool `json:"quiet"`
	// FirstError is why the first message of unknown fate failed, if one did.
	FirstError string     `json:"firstError,omitempty"`
	Ack        *Histogram `json:"ack"`      // publish to acknowledgement
	EndToEnd   *Histogram `json:"endToEnd"` // publish to arrival at the fast endpoints
	// Windows are what a soak was like over time.
	Windows []Window `json:"windows,omitempty"`
	// Curves are counts over time, by what was counted.
	Curves map[string]Curve `json:"curves,omitempty"`
	// Pages are what each kind of page was like.
	Pages    []Page     `json:"pages,omitempty"`
	AfterAck *Histogram `json:"afterAck,omitempty"` // acknowledgement to arrival, open loop only
	// TookSeconds is how long the measurement took, with what came before and after.
	TookSeconds float64 `json:"tookSeconds"`
}

// megabyte is the unit of memory in figures and bars, as it is of the promises.
const megabyte = 1e6

// The keys of a sample's figures; the unit is part of the key.
const (
	figureCPU         = "cpuUsPerDelivery"
	figureDeliveries  = "deliveriesPerSecond" // of the fast endpoints
	figureAcks        = "acksPerSecond"
	figureAckP50      = "ackP50Ms"
	figureAckP99      = "ackP99Ms"
	figureE2EP50      = "e2eP50Ms" // publish to arrival at the fast endpoints
	figureE2EP99      = "e2eP99Ms"
	figureAfterP50    = "afterAckP50Ms" // acknowledgement to arrival
	figureAfterP99    = "afterAckP99Ms"
	figureLost        = "lost"
	figureDuplicates  = "duplicates"
	figureUnfinished  = "unfinished" // of the neighbours, when the wait ended
	figureRejected    = "rejected"   // requests that the receiver could not read
	figureRefused     = "refused"    // 429 and 503 to publishers
	figureFsyncs      = "fsyncsPerSecond"
	figureBatch       = "meanBatch"           // operations per commit
	figureBehind      = "shareBehind"         // of the deliveries, went through a behind row
	figureAttempts    = "attemptsPerDelivery" // over 1: there were retries
	figureProcs       = "gomaxprocs"          // of the subject
	figureDebt        = "debtGrowthMiB"       // flush and compaction work put off
	figurePeak        = "peakResidentMB"      // of the subject
	figureResident    = "residentMB"          // at rest
	figureHeap        = "heapInUseMB"         // of that
	figureUnreturned  = "heapUnreturnedMB"    // of that: free, and kept by the runtime
	figureIdleCPU     = "idleCPUPercent"      // of one core
	figureWaiting     = "waiting"             // messages or retries that waited
	figureCreateP50   = "createP50Ms"         // of an endpoint
	figureCreateP99   = "createP99Ms"
	figureFanOut      = "fanOutMs"         // one message, publish to last arrival
	figureAckShare    = "ackShareOfFanOut" // p99 of the ack as a share of that
	figureAckBeside   = "ackShareBesideFanOut"
	figureFlood       = "floodAcksPerSecond" // of the neighbour
	figureOthersCPU   = "othersCPUPercent"   // of one core, of the subject meanwhile
	figureOthersP50   = "othersP50Ms"        // end to end, of another application
	figureOthersP99   = "othersP99Ms"
	figureDrainP99    = "othersWhileDrainingP99Ms"
	figureReturn      = "returnSeconds"  // from the endpoint's return to its first delivery
	figureDrained     = "drainedSeconds" // from there to its last
	figureDrain       = "drainPerSecond"
	figureProbing     = "probingAfterSeconds" // of being down
	figureProbes      = "probesPerMinute"
	figureRate        = "ratePerSecond"
	figureSlowest     = "slowestSecond" // deliveries
	figureFastest     = "fastestSecond"
	figureReady       = "readySeconds"         // from the start to health 200
	figureFirst       = "firstDeliverySeconds" // from there to the first to another endpoint
	figureStore       = "storeMB"              // on disk
	figureBefore      = "storeBeforeMB"
	figureExpired     = "expired"        // deliveries that ended with their messages
	figureLate        = "lateDeliveries" // that should have
	figureSeed        = "seed"
	figureRowsLeft    = "rowsLeft"           // retries, when everything has arrived
	figureFull        = "fullSpeedPerSecond" // deliveries, of a closed loop
	figureOffered     = "offeredPerSecond"   // deliveries, of the open loops together
	figureCrashes     = "crashes"            // of the server
	figureRepeats     = "publishRepeats"     // publishes of unknown outcome, made again
	figureRepeated    = "deliveredTwice"     // through crashes; duplicates are those beyond what crashes explain
	figureSlowestPage = "slowestPageP99Ms"   // of all kinds of pages
	figureGrown       = "residentGrowthMB"   // at rest, through reading pages
	figurePageWalk    = "emptyWalkPages"     // of a filter that nothing passes, to the end of the list
	// Of a database.
	figureServerCPU   = "serverCPUUsPerDelivery" // of the whole
	figureDatabaseCPU = "databaseCPUUsPerDelivery"
	figureLogged      = "logBytesPerDelivery"
	figureCheckpoints = "checkpoints" // in the window, the one that ends it among them
	// Of nodes.
	figureLeastShare  = "leastShareOfNodePercent" // of the deliveries
	figureMostShare   = "mostShareOfNodePercent"
	figureJoinerShare = "joinerSharePercent" // a while after it joined
	figureLeft        = "leftSeconds"        // from SIGTERM to its end
	// The last quarter of a soak as a multiple of the first one.
	figureResidentGrowth = "residentGrowth"
	figureCPUGrowth      = "cpuGrowth"
)

// furtherFigures are reported where they were measured; the others have a column.
func furtherFigures() []string {
	return []string{
		figureServerCPU, figureDatabaseCPU, figureLogged, figureCheckpoints,
		figureResident, figureHeap, figureUnreturned, figureIdleCPU, figureWaiting, figureCreateP50, figureCreateP99, figureFanOut, figureAckShare, figureAckBeside,
		figureFlood, figureOthersCPU, figureOthersP50, figureOthersP99, figureDrainP99, figureProbing, figureProbes, figureReturn, figureDrain, figureDrained,
		figureRate, figureSlowest, figureFastest, figureReady, figureFirst, figureBefore, figureStore, figureExpired, figureLate,
		figureSlowestPage, figurePageWalk, figureGrown,
		figureLeastShare, figureMostShare, figureJoinerShare, figureLeft,
		figureSeed, figureFull, figureOffered, figureCrashes, figureRepeats, figureRepeated, figureRowsLeft, figureResidentGrowth, figureCPUGrowth,
	}
}

// title is how a report calls a figure.
func title(figure string) string {
	switch figure {
	case figureCPU:
		return "CPU us per delivery"
	case figureDeliveries:
		return "deliveries/s"
	case figureAckP99:
		return "accept p99 ms"
	case figureE2EP99:
		return "end-to-end p99 ms, fast endpoint"
	case figureAfterP99:
		return "first attempt p99 ms after the ack"
	case figurePeak:
		return "peak resident MB"
	case figureResident:
		return "resident MB at rest"
	case figureIdleCPU:
		return "CPU at rest, % of a core"
	case figureWaiting:
		return "waiting"
	case figureCreateP99:
		return "endpoint creation p99 ms"
	case figureAckShare:
		return "accept p99 as a share of a fan-out"
	case figureAckBeside:
		return "the same in the midst of another"
	case figureOthersP99:
		return "end-to-end p99 ms, another application"
	case figureDrainP99:
		return "the same while the backlog drains"
	case figureProbes:
		return "requests/min while down"
	case figureStore:
		return "folder in MB, in the end"
	case figureLate:
		return "pending deliveries that did not expire"
	case figureRate:
		return "deliveries/s under the limit"
	case figureSlowest:
		return "deliveries in the slowest second"
	case figureFastest:
		return "deliveries in the fastest second"
	case figureDrain:
		return "drained, deliveries/s"
	case figureSlowestPage:
		return "p99 ms of the slowest kind of page"
	case figureGrown:
		return "resident MB more at rest than before the pages"
	case figureReady:
		return "ready after, s"
	case figureRowsLeft:
		return "retries left at the end"
	case figureResidentGrowth:
		return "resident memory, last quarter to first"
	case figureCPUGrowth:
		return "CPU per delivery, last quarter to first"
	case figureLeastShare:
		return "deliveries of the node with the fewest, %"
	case figureMostShare:
		return "deliveries of the node with the most, %"
	case figureJoinerShare:
		return "deliveries of the node that joined, %"
	case figureFirst:
		return "first delivery to others after that, s"
	}
	return figure
}

// evaluate turns what the parties report into figures.
func (s *session) evaluate(sent loadStats, got receiverStats, before, after snapshot) Sample {
	fast := got.Paths[:s.run.endpoints]
	expected := sent.Acked * s.run.neighbours // at all neighbours together
	if s.run.inTurn {
		expected = sent.Acked
	}
	sample := Sample{
		Messages:   sent.Acked,
		FirstError: sent.FirstError,
		Ack:        sent.Latency,
		EndToEnd:   &Histogram{},
	}
	var arrived, lost, duplicates int
	var lastNs int64
	for i, p := range got.Paths {
		sample.Deliveries += p.Unique
		if i >= len(fast) {
			expected -= p.Unique
			if !s.run.retried {
				duplicates += p.Duplicates
			}
			continue
		}
		duplicates += p.Duplicates
		arrived += p.Unique
		lost += p.Missing - common(p.Listed, sent.Unacked)
		lastNs = max(lastNs, p.LastNs)
		sample.EndToEnd.Merge(p.Latency)
	}
	if sent.Acks != nil {
		sample.AfterAck = afterAck(fast, sent.Acks)
	}
	sample.Figures = figuresOf(sample, sent, before, after, float64(lastNs-sent.StartNs)/1e9, float64(arrived))
	sample.Figures[figureLost] = float64(lost)
	sample.Figures[figureDuplicates] = float64(duplicates)
	sample.Figures[figureUnfinished] = float64(max(0, expected))
	sample.Figures[figureRejected] = float64(got.Rejected)
	return sample
}

// afterAck is the time from each acknowledgement, as the publisher saw it, to the
// arrival at each endpoint; an arrival before the ack was read counts as zero.
func afterAck(fast []pathStats, acks []int64) *Histogram {
	h := &Histogram{}
	for _, p := range fast {
		for n, at := range p.Arrivals {
			if at != 0 && acks[n] != 0 {
				h.Add(time.Duration(at - acks[n]))
			}
		}
	}
	return h
}

// common counts the numbers that both lists hold.
func common(a, b []uint64) int {
	n := 0
	for _, v := range a {
		if slices.Contains(b, v) {
			n++
		}
	}
	return n
}

// known removes what was not measured.
func known(figures map[string]float64) map[string]float64 {
	for key, value := range figures {
		if math.IsNaN(value) || math.IsInf(value, 0) {
			delete(figures, key)
		}
	}
	return figures
}

// figuresOf computes what follows from two snapshots and the histograms. seconds is
// from the first publish to the last arrival.
func figuresOf(sample Sample, sent loadStats, before, after snapshot, seconds, arrived float64) map[string]float64 {
	cpu := (after.cpu - before.cpu).Seconds() * 1e6
	if runtime.GOOS != "linux" {
		cpu = math.NaN()
	}
	ackSeconds := float64(sent.EndNs-sent.StartNs) / 1e9
	figures := map[string]float64{
		figureCPU:        cpu / float64(sample.Deliveries),
		figureDeliveries: arrived / seconds,
		figureAcks:       float64(sent.Acked) / ackSeconds,
		figureAckP50:     millis(sample.Ack.Quantile(0.50)),
		figureAckP99:     millis(sample.Ack.Quantile(0.99)),
		figureE2EP50:     millis(sample.EndToEnd.Quantile(0.50)),
		figureE2EP99:     millis(sample.EndToEnd.Quantile(0.99)),
		figureRefused:    float64(sent.Refused),
		figureFsyncs:     (after.fsyncs - before.fsyncs) / seconds,
		figureBatch:      (after.operations - before.operations) / (after.batches - before.batches),
		figureBehind:     (after.behind - before.behind) / float64(sample.Deliveries),
		figureAttempts:   (after.attempts - before.attempts) / float64(sample.Deliveries),
		figureProcs:      after.gomaxprocs,
		figureDebt:       (after.debt - before.debt) / (1 << 20),
	}
	if after.database > 0 {
		database := (after.database - before.database).Seconds() * 1e6
		figures[figureServerCPU] = (cpu - database) / float64(sample.Deliveries)
		figures[figureDatabaseCPU] = database / float64(sample.Deliveries)
		figures[figureLogged] = (after.stored.logged - before.stored.logged) / float64(sample.Deliveries)
		figures[figureCheckpoints] = after.stored.checkpoints - before.stored.checkpoints
	}
	if len(after.perNode) > 1 {
		shares := sharesOf(before.perNode, after.perNode)
		figures[figureLeastShare], figures[figureMostShare] = slices.Min(shares), slices.Max(shares)
	}
	if sample.AfterAck != nil {
		figures[figureAfterP50] = millis(sample.AfterAck.Quantile(0.50))
		figures[figureAfterP99] = millis(sample.AfterAck.Quantile(0.99))
	}
	return known(figures)
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

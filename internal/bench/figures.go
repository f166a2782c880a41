package bench

import (
	"math"
	"runtime"
	"time"
)

// The keys of a sample's figures; the unit is part of the key.
const (
	figureCPU        = "cpuUsPerDelivery"
	figureDeliveries = "deliveriesPerSecond" // of the fast endpoints
	figureAcks       = "acksPerSecond"
	figureAckP50     = "ackP50Ms"
	figureAckP99     = "ackP99Ms"
	figureE2EP50     = "e2eP50Ms" // publish to arrival at the fast endpoints
	figureE2EP99     = "e2eP99Ms"
	figureAfterP50   = "afterAckP50Ms" // acknowledgement to arrival
	figureAfterP99   = "afterAckP99Ms"
	figureLost       = "lost"
	figureDuplicates = "duplicates"
	figureUnfinished = "unfinished" // of the neighbours, when the wait ended
	figureRejected   = "rejected"   // requests that the receiver could not read
	figureRefused    = "refused"    // 429 and 503 to publishers
	figureFsyncs     = "fsyncsPerSecond"
	figureBatch      = "meanBatch"       // operations per commit
	figureBehind     = "shareBehind"     // of the deliveries, went through a behind row
	figureProcs      = "gomaxprocs"      // of the subject
	figurePeak       = "peakResidentMiB" // of the subject
)

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
	}
	return figure
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
		figureProcs:      after.gomaxprocs,
	}
	if sample.AfterAck != nil {
		figures[figureAfterP50] = millis(sample.AfterAck.Quantile(0.50))
		figures[figureAfterP99] = millis(sample.AfterAck.Quantile(0.99))
	}
	return known(figures)
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

package bench

import "time"

// clock tells nanoseconds that processes of one machine can compare. It costs one
// vDSO read, where asking the kernel for its monotonic clock through x/sys is a
// system call.
type clock struct {
	base  int64 // the machine's clock at start, in nanoseconds
	start time.Time
}

func newClock() clock {
	return clock{base: machineNanos(), start: time.Now()}
}

func (c clock) now() int64 { return c.at(time.Now()) }

// at converts a time taken in this process. It relies on t's monotonic reading.
func (c clock) at(t time.Time) int64 { return c.base + int64(t.Sub(c.start)) }

// until is how long from now until the instant ns, negative when it has passed.
func (c clock) until(ns int64) time.Duration { return time.Duration(ns - c.now()) }

package replay

import "time"

// pace spreads a rate over time. The zero value has saved up nothing.
type pace struct {
	tokens float64
	last   time.Time // when tokens was right
}

// slicesPerSecond is how many batches a rate is cut into, as far as one
// delivery per batch allows.
const slicesPerSecond = 20

// allows is how many deliveries may start at now, and how long none may. A rate
// of 0 has no bound.
func (p *pace) allows(rate int, now time.Time) (n int, wait time.Duration) {
	if rate == 0 {
		return sliceSize, 0
	}
	most := min(max(rate/slicesPerSecond, 1), sliceSize)
	if p.last.IsZero() {
		p.last = now
	}
	p.tokens = min(p.tokens+now.Sub(p.last).Seconds()*float64(rate), float64(most))
	p.last = now
	// What is missing is rounded off, or the wait for it would never end.
	if missing := float64(most) - p.tokens; missing > 1e-6 {
		return 0, time.Duration(missing/float64(rate)*float64(time.Second)) + time.Microsecond
	}
	return most, 0
}

// spend takes off what was started.
func (p *pace) spend(n int) { p.tokens = max(p.tokens-float64(n), 0) }

package dispatch

// cover counts, for every position from low on, the deliveries that only their
// message's place at or after Low covers. It is a ring indexed by position.
type cover struct {
	low    uint64  // the first position that counts
	next   uint64  // the first position without a message
	counts []int32 // a ring; its length is a power of two
}

func newCover(low, next uint64) *cover {
	c := &cover{low: low, next: low, counts: make([]int32, 1024)}
	c.extend(next)
	return c
}

// extend makes room for positions up to and without next.
func (c *cover) extend(next uint64) {
	if next <= c.next {
		return
	}
	c.fit(next - c.low)
	for p := c.next; p < next; p++ {
		c.counts[p%uint64(len(c.counts))] = 0
	}
	c.next = next
}

// fit has the ring hold so many positions.
func (c *cover) fit(size uint64) {
	if size <= uint64(len(c.counts)) {
		return
	}
	grown := make([]int32, ceilPow2(size))
	for p := c.low; p < c.next; p++ {
		grown[p%uint64(len(grown))] = c.counts[p%uint64(len(c.counts))]
	}
	c.counts = grown
}

// retreat moves low back to a position, if it is past it. What it went past counts
// for nothing.
func (c *cover) retreat(to uint64) {
	if to >= c.low {
		return
	}
	c.fit(c.next - to)
	for p := to; p < c.low; p++ {
		c.counts[p%uint64(len(c.counts))] = 0
	}
	c.low = to
}

// add has n more deliveries count at a position, which must not be below low.
func (c *cover) add(position uint64, n int) {
	c.counts[position%uint64(len(c.counts))] += int32(n)
}

// remove takes one off.
func (c *cover) remove(position uint64) { c.add(position, -1) }

// advance moves low to the first position that counts, at most to limit, and
// returns it.
func (c *cover) advance(limit uint64) uint64 {
	for c.low < min(c.next, limit) && c.counts[c.low%uint64(len(c.counts))] == 0 {
		c.low++
	}
	return c.low
}

func ceilPow2(n uint64) int {
	p := 1024
	for uint64(p) < n {
		p *= 2
	}
	return p
}

package catalogue

// UnderWay counts this node's changes that are under way, for tests that wait for
// one to begin.
func (c *Catalogue) UnderWay() int {
	c.underWay.mu.Lock()
	defer c.underWay.mu.Unlock()
	return len(c.underWay.own)
}

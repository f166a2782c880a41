//go:build !unix

package engine

// maxInFlight is what a system without a known limit of handles is given.
func maxInFlight() int { return mostInFlight / 4 }

//go:build !unix

package engine

// descriptorShare is what a system without a known limit of handles is given.
func descriptorShare(most int) int { return most / 4 }

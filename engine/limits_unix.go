//go:build unix

package engine

import "syscall"

// descriptorShare is a quarter of the file descriptors, but at most so many.
// Attempts under way have one share, connections kept for later ones another;
// half is left for requests and the store.
func descriptorShare(most int) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return most / 4
	}
	return min(int(min(max(limit.Cur/4, 64), mostInFlight)), most) // Cur is signed on some systems
}

//go:build unix

package engine

import "syscall"

// maxInFlight is a quarter of the file descriptors: an attempt takes one, a
// kept connection another, and half is left for requests and the store.
func maxInFlight() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return mostInFlight / 4
	}
	return int(min(max(limit.Cur/4, 64), mostInFlight))
}

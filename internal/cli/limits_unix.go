//go:build unix

package cli

import "syscall"

// inboundPlaces is how many connections are accepted at once: three eighths of
// the file descriptors. What goes out has four, the store the rest.
func inboundPlaces() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return mostInbound
	}
	return int(min(max(limit.Cur/8*3, 64), mostInbound))
}

//go:build unix

package embedded

import "syscall"

// openFiles is how many tables are kept open: an eighth of the file
// descriptors, or what is read often would hold those of connections for good.
func openFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return mostOpenFiles
	}
	return int(min(max(limit.Cur/8, leastOpenFiles), mostOpenFiles))
}

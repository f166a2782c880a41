//go:build !unix

package embedded

// openFiles is how many tables are kept open, on a system without a known limit
// of handles.
func openFiles() int { return mostOpenFiles }

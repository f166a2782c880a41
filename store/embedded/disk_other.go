//go:build !linux

package embedded

// preallocates: the file system reserves blocks without writing them.
const preallocates = false

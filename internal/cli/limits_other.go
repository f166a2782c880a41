//go:build !unix

package cli

// inboundPlaces is how many connections are accepted at once, on a system
// without a known limit of handles.
func inboundPlaces() int { return mostInbound }

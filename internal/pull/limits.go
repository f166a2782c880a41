package pull

import "github.com/postern-dev/postern"

// Limits lists what consumers are held to.
func Limits() []postern.Limit {
	return []postern.Limit{
		postern.CountLimit("lease.batch", postern.MaxLeases, "A request gets or names at most so many leases."),
		postern.BytesLimit("lease.payloads", batchBytes, "A request gets no more leases once their payloads come to so much."),
		postern.TimeLimit("lease.wait", postern.MaxLeaseWait, "A consumer waits for a message for at most so long."),
		postern.TimeLimit("lease.default", postern.DefaultLease, "A lease ends after so long unless asked otherwise."),
		postern.TimeLimit("lease.longest", postern.MaxLease, "A lease ends at most so long after it was made or extended."),
		postern.TimeLimit("lease.hold", postern.MaxHold, "However often it is extended, a lease ends after so long."),
		postern.BytesLimit("lease.error", maxError, "A consumer's error is at most so long."),
		postern.CountLimit("lease.held", mostHeld, "The consumers of an application hold at most so many leases; beyond it they are answered with 429."),
		postern.CountLimit("lease.total", mostLeases, "All consumers hold at most so many leases; beyond it they are answered with 503."),
		postern.CountLimit("lease.consumers", mostConsumers, "So many requests may wait at a pull endpoint; beyond it they are answered with 429."),
		postern.TimeLimit("lease.attended", gone, "The deliveries of a pull endpoint that nobody asked for so long leave memory, and are read back when somebody does."),
	}
}

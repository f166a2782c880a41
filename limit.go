package postern

import "time"

// Limit is a bound that users meet, with the value in force. Packages list
// their own from the constants that they check against, so that what is told is
// what holds.
type Limit struct {
	// Name is parts with dots between them, the noun first: "message.channels".
	Name string
	// Value is in Unit, one of the units below.
	Value int64
	Unit  string
	// Doc says what happens there, as a sentence.
	Doc string
}

// The units of limits.
const (
	UnitBytes   = "bytes"
	UnitSeconds = "seconds"
	UnitCount   = "count"
)

// BytesLimit is a limit in bytes.
func BytesLimit(name string, bytes int64, doc string) Limit {
	return Limit{Name: name, Value: bytes, Unit: UnitBytes, Doc: doc}
}

// TimeLimit is a limit in seconds; less than one is rounded up to it.
func TimeLimit(name string, d time.Duration, doc string) Limit {
	return Limit{Name: name, Value: int64((d + time.Second - 1) / time.Second), Unit: UnitSeconds, Doc: doc}
}

// CountLimit is a limit on how many there are.
func CountLimit(name string, n int, doc string) Limit {
	return Limit{Name: name, Value: int64(n), Unit: UnitCount, Doc: doc}
}

// Limits are the bounds of deliveries wherever they run.
func Limits() []Limit {
	return []Limit{
		CountLimit("retry.tries", maxTries, "A retry schedule has at most so many tries, the first included."),
		TimeLimit("retry.wait", maxWait, "A wait of a retry schedule is at most so long."),
		TimeLimit("retry.after", MaxRetryAfter, "An endpoint's Retry-After is obeyed up to so long."),
		TimeLimit("endpoint.failing", DisableAfter, "An endpoint that does nothing but fail for so long is disabled."),
		CountLimit("endpoint.failures", DisableFailures, "It must have failed so many times in a row at least."),
	}
}

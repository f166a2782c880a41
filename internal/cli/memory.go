package cli

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// idleWindow is how long little has to be allocated for the process to count
	// as idle; littleWork and muchWork bound what little is, and what makes
	// giving memory back worth a collection, in bytes.
	idleWindow = 20 * time.Second
	littleWork = 4 << 20
	muchWork   = 32 << 20
)

// giveBack returns memory to the system when work has died down: the collector
// is set to let garbage grow while there is work, and left alone it would keep
// what the last burst took. It ends with ctx.
func giveBack(ctx context.Context) {
	ticker := time.NewTicker(idleWindow)
	defer ticker.Stop()
	allocated := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(allocated)
	last := allocated[0].Value.Uint64()
	released := last
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		metrics.Read(allocated)
		now := allocated[0].Value.Uint64()
		if now-last < littleWork && now-released > muchWork {
			debug.FreeOSMemory()
			released = now
		}
		last = now
	}
}

//go:build unix

package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store/embedded"
)

// bench runs an engine for a benchmark.
func bench(b *testing.B, where string, register func(eng *Engine) error) *Engine {
	b.Helper()
	if where == "file" {
		where = "file:" + b.TempDir()
	} else {
		where = "memory:"
	}
	st, err := embedded.Open(b.Context(), where, embedded.Options{})
	if err != nil {
		b.Fatal(err)
	}
	eng, err := New(b.Context(), Config{Store: st, Secrets: openSecrets{}})
	if err != nil {
		b.Fatal(err)
	}
	if err := register(eng); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- eng.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			b.Error(err)
		}
		if err := st.Close(); err != nil {
			b.Error(err)
		}
	})
	return eng
}

// cpu is what the process has used so far.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// measure runs b.N rounds of work on so many goroutines, waits for wait, and
// reports the rate of messages and the CPU time of each.
func measure(b *testing.B, goroutines, each int, work func(n int), wait func(messages int)) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	before, begun := cpu(b), time.Now()
	b.ResetTimer()
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				work(each)
			}
		})
	}
	group.Wait()
	wait(b.N * each)
	b.StopTimer()
	n := float64(b.N * each)
	b.ReportMetric(n/time.Since(begun).Seconds(), "msgs/s")
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/n, "cpu-us/msg")
}

const benchPayload = `{"id":"in_1","amount":1200,"currency":"eur","customer":{"id":"cus_1","name":"Example"}}`

// BenchmarkHandler is messages through a handler without I/O: published in
// batches of 100 by eight, handled and settled. At most 900 are on their way, but
// for the flood, which is published as fast as can be: most of it is read back
// from the store when its turn comes.
func BenchmarkHandler(b *testing.B) {
	b.Run("memory", func(b *testing.B) { handle(b, "memory", 900) })
	b.Run("memory-flood", func(b *testing.B) { handle(b, "memory", 1<<40) })
	b.Run("file", func(b *testing.B) { handle(b, "file", 900) })
}

func handle(b *testing.B, where string, most int64) {
	b.Helper()
	var mu sync.Mutex
	var ahead, handled int64
	moved := sync.NewCond(&mu)
	eng := bench(b, where, func(eng *Engine) error {
		return eng.On("invoice.paid", func(context.Context, *Message) error {
			mu.Lock()
			ahead--
			handled++
			mu.Unlock()
			moved.Broadcast()
			return nil
		})
	})
	publish := func(n int) {
		mu.Lock()
		for ahead += int64(n); ahead > most; {
			moved.Wait()
		}
		mu.Unlock()
		batch := make([]postern.Publish, n)
		for i := range batch {
			batch[i] = postern.Publish{EventType: "invoice.paid", Payload: []byte(benchPayload)}
		}
		if _, err := eng.PublishBatch(context.Background(), batch); err != nil {
			b.Error(err)
		}
	}
	wait := func(messages int) {
		mu.Lock()
		defer mu.Unlock()
		for handled < int64(messages) {
			moved.Wait()
		}
		handled = 0
	}
	publish(1)
	wait(1)
	measure(b, 8, 100, publish, wait)
}

// BenchmarkPublish is what Publish costs at 64 publishers, with nobody who
// listens.
func BenchmarkPublish(b *testing.B) {
	for _, where := range []string{"memory", "file"} {
		b.Run(where, func(b *testing.B) {
			eng := bench(b, where, func(*Engine) error { return nil })
			publish := func(int) {
				if _, _, err := eng.Publish(context.Background(), postern.Publish{EventType: "invoice.paid", Payload: []byte(benchPayload)}); err != nil {
					b.Error(err)
				}
			}
			publish(1)
			measure(b, 64, 1, publish, func(int) {})
		})
	}
}

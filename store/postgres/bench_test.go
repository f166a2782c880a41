package postgres

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// BenchmarkCommit stores messages of 1 KiB and an attempt for each, in batches,
// and tells the CPU time of a message on both sides. No disk is waited for: the
// cluster does without fsync.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{16, 64, 256} {
		b.Run(fmt.Sprint(size), func(b *testing.B) { benchmarkCommit(b, size) })
	}
}

func benchmarkCommit(b *testing.B, size int) {
	s, err := Open(b.Context(), cluster.Database(b), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	head := store.Head{Next: 1, LastTime: time.Now()}
	payload := []byte(strings.Repeat("0123456789abcdef", 64))
	pid := int(s.writer.conn.PgConn().PID())
	client, server := cpuOf(os.Getpid()), cpuOf(pid)
	var own syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &own)
	var before []*postern.Message
	for range b.N {
		batch := store.Batch{}
		for i, m := range before {
			batch.Attempts = append(batch.Attempts, &postern.Attempt{
				ID: postern.NewAttemptID(head.LastTime, 0, head.Batch, i, 1), Message: m.ID, Application: 1, Endpoint: 1, N: 1, State: postern.Delivered,
				URL: "https://example.com/hook", Succeeded: true, Code: 200, Response: []byte("ok"), Started: head.LastTime, Timings: postern.Timings{Total: time.Millisecond},
			})
		}
		before = before[:0]
		head.LastTime = head.LastTime.Add(time.Millisecond)
		for range size {
			m := &postern.Message{ID: postern.NewMessageID(head.LastTime, 0, head.Next, head.Next*7919), Application: 1, EventType: "invoice.paid",
				ContentType: "application/json", Routes: []postern.EndpointNumber{1}, Size: len(payload)}
			head.Next++
			batch.Accepts = append(batch.Accepts, store.Accept{Message: m, Content: &postern.Content{Payload: payload}})
			before = append(before, m)
		}
		head.Batch++
		batch.Head, batch.Version = head, 1
		if err := s.Commit(b.Context(), &batch); err != nil {
			b.Fatal(err)
		}
	}
	messages := float64(b.N * size)
	b.ReportMetric(float64((cpuOf(os.Getpid())-client).Microseconds())/messages, "client-us/message")
	b.ReportMetric(float64((cpuOf(pid)-server).Microseconds())/messages, "server-us/message")
}

// cpuOf is the CPU time of a process so far, in hundredths of a second.
func cpuOf(pid int) time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	var ticks int
	for _, f := range fields[11:13] {
		n, _ := strconv.Atoi(f)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

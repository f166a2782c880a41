//go:build !linux

package bench

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// Elsewhere than on Linux the latencies and the loss counters hold; CPU time reads
// as unknown and nothing is pinned.

// machineNanos is wall time: a clock step during a run shows in its latencies.
func machineNanos() int64 { return time.Now().UnixNano() }

func processCPU(int) (time.Duration, error) { return 0, errors.ErrUnsupported }

// A database is not measured at all.

func postmasterOf(int) (int, error) {
	return 0, errors.New("a database is measured on Linux only")
}

func familyCPU(int) (time.Duration, error) { return 0, errors.ErrUnsupported }

func pinFamily(int, []int) (func() error, error) {
	return func() error { return nil }, errors.ErrUnsupported
}

func coresBusy([]int) (time.Duration, error) { return 0, errors.ErrUnsupported }

func processPeak(int) int64 { return 0 }

func processResident(int) int64 { return 0 }

func allowedCPUs() ([]int, error) { return nil, nil }

func startPinned(cmd *exec.Cmd, _ []int) error { return cmd.Start() }

func syncData(f *os.File) error { return f.Sync() }

// stopSignal ends the child at once: Windows has no signal that asks.
func stopSignal(p *os.Process) error { return p.Kill() }

func fileSystem(string) string { return "unknown" }

func kernel() string { return runtime.GOOS }

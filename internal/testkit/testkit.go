// Package testkit sizes and seeds the long tests.
//
// A crash or chaos test is written once and runs in two sizes: a small one in
// `make test`, the full one in `make soak`, which sets POSTERN_SOAK=1. Whatever
// is random in it comes from one seed, which is printed, so that a failure can
// be run again with POSTERN_SEED.
package testkit

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// Soaking reports whether the full counts were asked for.
func Soaking() bool { return os.Getenv("POSTERN_SOAK") == "1" }

// Count is small, or full when soaking.
func Count(small, full int) int {
	if Soaking() {
		return full
	}
	return small
}

// Seed is POSTERN_SEED where that is set, else a new one. It is logged with the
// command that repeats the run: go test shows it for a failed test and with -v.
// A POSTERN_SEED that is not a number ends the test.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("POSTERN_SEED"); text != "" {
		parsed, err := strconv.ParseUint(text, 0, 64)
		if err != nil {
			t.Fatalf("POSTERN_SEED=%q is not a number", text)
		}
		seed = parsed
	}
	t.Logf("seed %d; again: POSTERN_SEED=%d go test -run '^%s$'", seed, seed, t.Name())
	return seed
}

// Rand is a generator over Seed. Like any rand.Rand it belongs to one goroutine.
func Rand(t testing.TB) *rand.Rand {
	t.Helper()
	return rand.New(rand.NewPCG(Seed(t), 0)) //nolint:gosec // repeatable on purpose, and never a secret
}

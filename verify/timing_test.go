package verify_test

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern/verify"
)

// TestTimingOfMismatch compares how long a refusal takes when the first byte of
// the signature is wrong and when the last one is: Welch's t over the faster nine
// tenths of samples in random order, the median of five rounds. It needs a quiet
// machine, so it runs by hand:
//
//	TIMING=1 go test -run TestTimingOfMismatch -v ./verify
func TestTimingOfMismatch(t *testing.T) {
	if os.Getenv("TIMING") == "" {
		t.Skip("a statistical test, run by hand with TIMING=1")
	}
	token := strings.Repeat("t", 32)
	for name, tc := range map[string]struct {
		change func(*verify.Scheme)
		secret string
		right  string
	}{
		"hmac":  {func(*verify.Scheme) {}, "s", hexMAC("s", "b")},
		"token": {tokenScheme("header:X-Sig"), token, token},
	} {
		s := hmacScheme()
		tc.change(&s)
		v, err := verify.New(verify.Definition{ID: "sample", Schemes: []verify.Scheme{s}}, verify.Config{Secrets: []string{tc.secret}})
		if err != nil {
			t.Fatal(err)
		}
		requests := [2]verify.Request{
			post("b", "X-Sig", flip(tc.right, 0)),
			post("b", "X-Sig", flip(tc.right, len(tc.right)-1)),
		}
		var scores []float64
		for range 5 {
			scores = append(scores, welch(t, v, requests))
		}
		t.Logf("%s: t = %.2f", name, scores)
		slices.Sort(scores)
		if math.Abs(scores[2]) > 4.5 { // the usual bound of such tests: one in 100,000 by chance
			t.Errorf("%s: the position of the wrong byte shows", name)
		}
	}
}

// welch is t for the times of both requests, which must be refused.
func welch(t *testing.T, v *verify.Verifier, requests [2]verify.Request) float64 {
	t.Helper()
	var samples [2][]float64
	for range 400_000 {
		which := rand.IntN(2) // in turn, each would inherit what the other leaves in the caches
		start := time.Now()
		_, err := v.Verify(t.Context(), requests[which], now())
		samples[which] = append(samples[which], float64(time.Since(start)))
		if reasonOf(t, err) != verify.ReasonSignatureMismatch {
			t.Fatal(err)
		}
	}
	meanFirst, varianceFirst := moments(samples[0])
	meanLast, varianceLast := moments(samples[1])
	return (meanFirst - meanLast) / math.Sqrt(varianceFirst/float64(len(samples[0]))+varianceLast/float64(len(samples[1])))
}

// flip changes one hexadecimal digit for another.
func flip(text string, at int) string {
	digit := byte('0')
	if text[at] == digit {
		digit = '1'
	}
	return text[:at] + string(digit) + text[at+1:]
}

// moments are mean and variance without the slowest tenth, which the scheduler
// made.
func moments(samples []float64) (mean, variance float64) {
	slices.Sort(samples)
	samples = samples[:len(samples)*9/10]
	for _, x := range samples {
		mean += x / float64(len(samples))
	}
	for _, x := range samples {
		variance += (x - mean) * (x - mean) / float64(len(samples)-1)
	}
	return mean, variance
}

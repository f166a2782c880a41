package verify_test

import (
	"encoding/hex"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/verify"
)

// TestSoakTiming compares how long a signature takes that is wrong in its first
// byte with one that is wrong in its last: a comparison that stopped at the first
// difference would show in Welch's t of the two, which is printed. It is for a
// quiet machine and for people; only what no noise explains fails.
func TestSoakTiming(t *testing.T) {
	if !testkit.Soaking() {
		t.Skip("a statistic that needs a quiet machine: make soak RUN=TestSoakTiming")
	}
	const beyondNoise = 25
	body := signedSamples()[0]
	wrong := func(header, prefix, right string, at int) verify.Request {
		text := []byte(right)
		text[at] = map[bool]byte{true: '1', false: '0'}[text[at] == '0']
		return post("{}", header, prefix+string(text))
	}
	token := "0123456789012345678901234567890123456789012345678901234567890123"
	signature := hex.EncodeToString(body.sum())
	for _, c := range []struct {
		name        string
		v           *verify.Verifier
		first, last verify.Request
	}{
		{"HMAC", newVerifier(t, "github", verify.Config{Secrets: []string{body.secret}}),
			wrong("X-Hub-Signature-256", "sha256=", signature, 0), wrong("X-Hub-Signature-256", "sha256=", signature, len(signature)-1)},
		{"token", newVerifier(t, "telegram", verify.Config{Secrets: []string{token}}),
			wrong("X-Telegram-Bot-Api-Secret-Token", "", token, 0), wrong("X-Telegram-Bot-Api-Secret-Token", "", token, len(token)-1)},
	} {
		c.first.Body, c.last.Body = body.req.Body, body.req.Body
		var took [2][]float64
		for range 400_000 {
			which := rand.IntN(2)
			req := [2]verify.Request{c.first, c.last}[which]
			began := time.Now()
			_, err := c.v.Verify(t.Context(), req, now())
			took[which] = append(took[which], float64(time.Since(began)))
			if err == nil {
				t.Fatal("a wrong signature was accepted")
			}
		}
		first, last := trimmed(took[0]), trimmed(took[1])
		statistic := welch(first, last)
		m1, _ := moments(first)
		m2, _ := moments(last)
		t.Logf("%s: wrong first byte %.1f ns, wrong last byte %.1f ns, difference %.2f ns, t = %.2f (n = %d, %d)",
			c.name, m1, m2, m1-m2, statistic, len(first), len(last))
		if math.Abs(statistic) > beyondNoise {
			t.Errorf("%s: the time depends on where the first wrong byte is", c.name)
		}
	}
}

// trimmed leaves out the slowest twentieth: interrupts and collections.
func trimmed(took []float64) []float64 {
	slices.Sort(took)
	return took[:len(took)*19/20]
}

func moments(x []float64) (mean, variance float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		variance += (v - mean) * (v - mean) / float64(len(x)-1)
	}
	return mean, variance
}

// welch is the t of two samples' means.
func welch(a, b []float64) float64 {
	m1, v1 := moments(a)
	m2, v2 := moments(b)
	return (m1 - m2) / math.Sqrt(v1/float64(len(a))+v2/float64(len(b)))
}

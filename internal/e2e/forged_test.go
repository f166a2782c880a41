package e2e_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-dev/postern/internal/testkit"
)

// TestSoakForged has strangers send forged requests to a source while its
// provider goes on: every forged one is refused, every good one is delivered, and
// what is kept of the flood stays within the caps of refusals. How long the good
// ones took beside it is logged; tests do not time.
func TestSoakForged(t *testing.T) {
	const (
		secret, senders = "a-secret-of-the-provider", 4
		maxKept         = 10_000
		maxGrowth       = 300 << 20 // the cap of 256 MiB, and tables not merged yet
		maxMemory       = 256 << 20
	)
	folder := filepath.Join(t.TempDir(), "store")
	s := serve(t, "file:"+folder)
	target := newReceiver(t, nil)
	app := s.application("flooded")
	s.endpoint(app, target.URL+"/hook", nil)
	var source struct{ ID, IngestURL string }
	s.want(201, "POST", "/app/"+app+"/source", object{"name": "s", "provider": "github", "secrets": []string{secret}}, &source)
	path := strings.TrimPrefix(source.IngestURL, s.base)

	good := func(n int) time.Duration {
		body := forgedBody(n)
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		began := time.Now()
		if status := sendPush(t, s.client, path, fmt.Sprint("good-", n), hex.EncodeToString(mac.Sum(nil)), body); status != http.StatusAccepted {
			t.Errorf("a good request was answered %d", status)
		}
		return time.Since(began)
	}
	var alone, beside []time.Duration
	for n := range testkit.Count(100, 2000) {
		alone = append(alone, good(n))
	}

	forged := int64(testkit.Count(2000, 100_000))
	before := folderSize(t, folder)
	var sent, refused atomic.Int64
	var flood sync.WaitGroup
	for range senders {
		flood.Go(func() {
			for n := sent.Add(1); n <= forged; n = sent.Add(1) {
				if sendPush(t, s.client, path, fmt.Sprint("forged-", n), strings.Repeat("ab", sha256.Size), forgedBody(int(n))) == http.StatusUnauthorized {
					refused.Add(1)
				}
			}
		})
	}
	for sent.Load() < forged {
		beside = append(beside, good(len(alone)+len(beside)))
	}
	flood.Wait()

	if refused.Load() != forged {
		t.Errorf("%d of %d forged requests were refused", refused.Load(), forged)
	}
	kept := 0
	for iterator := ""; ; {
		var page struct {
			Data     []created
			Done     bool
			Iterator string
		}
		s.want(200, "GET", "/app/"+app+"/source/"+source.ID+"/refusal?limit=250&iterator="+iterator, nil, &page)
		kept += len(page.Data)
		if iterator = page.Iterator; page.Done {
			break
		}
	}
	if kept == 0 || kept > maxKept {
		t.Errorf("%d refusals are kept, want 1 to %d", kept, maxKept)
	}
	if growth := folderSize(t, folder) - before; growth > maxGrowth {
		t.Errorf("the folder grew by %d bytes", growth)
	}
	if memory := residentMemory(s.cmd.Process.Pid); memory > maxMemory {
		t.Errorf("the server holds %d bytes", memory)
	}
	want := len(alone) + len(beside)
	target.await(t, "/hook", want)
	t.Logf("%d forged requests, %d refusals kept; folder +%.1f MB, resident %.1f MB; good requests: %s alone, %s beside",
		forged, kept, float64(folderSize(t, folder)-before)/1e6, float64(residentMemory(s.cmd.Process.Pid))/1e6, quantiles(alone), quantiles(beside))
}

// sendPush sends a request as GitHub does and returns its status; 0 for none.
func sendPush(t *testing.T, c *client, path, delivery, signature string, body []byte) int {
	r, err := c.send("POST", path, http.Header{
		"Content-Type":        {"application/json"},
		"X-Github-Event":      {"push"},
		"X-Github-Delivery":   {delivery},
		"X-Hub-Signature-256": {"sha256=" + signature},
	}, bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0
	}
	return r.status
}

// forgedBody is a kilobyte of JSON, a different one for each n.
func forgedBody(n int) []byte {
	return fmt.Appendf(nil, `{"n":%d,"text":%q}`, n, strings.Repeat("x", 1000))
}

// folderSize is what a store's files come to, in bytes.
func folderSize(t *testing.T, folder string) int64 {
	t.Helper()
	var size int64
	add := func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() { // files come and go
			if info, err := entry.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	}
	if err := filepath.WalkDir(folder, add); err != nil {
		t.Fatal(err)
	}
	return size
}

// residentMemory is what a process holds of the machine's memory, in bytes; 0
// where the system does not say.
func residentMemory(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kilobytes int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kilobytes); err == nil {
			return kilobytes << 10
		}
	}
	return 0
}

// quantiles are the median and the 99th percentile, as text.
func quantiles(took []time.Duration) string {
	if len(took) == 0 {
		return "none"
	}
	slices.Sort(took)
	return fmt.Sprintf("p50 %v p99 %v", took[len(took)/2].Round(10*time.Microsecond), took[len(took)*99/100].Round(10*time.Microsecond))
}

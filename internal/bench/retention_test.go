package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern/internal/sweep"
	"github.com/postern-dev/postern/store"
)

// TestRetentionIsSeen: the server drops what is expired and tells of every delivery
// that ends with it; the control's store has nothing that could go.
func TestRetentionIsSeen(t *testing.T) {
	o := small(t, "retention")
	o.Size = 400
	var progress bytes.Buffer
	o.Progress = &progress
	got, err := runJSON(t, o)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(progress.String(), "filled   400 expired"); n != 1 {
		t.Errorf("the store was filled %d times", n)
	}
	checkFigures(t, got.Samples[0], []string{figureAckP99, figureE2EP99, figureBefore, figureStore, figureExpired})
	for _, s := range got.Samples {
		expired, told := s.Figures[figureExpired]
		if told != (s.Subject == subjectServer) {
			t.Errorf("%s: expired %v (measured: %v)", s.Subject, expired, told)
		}
		if s.Subject == subjectServer && (expired < 8 || s.Figures[figureLate] != 0) {
			t.Errorf("%v deliveries expired and %v did not, want 8 or more and none", expired, s.Figures[figureLate])
		}
		if _, ok := s.Curves[curveFolder]; !ok {
			t.Errorf("%s: no curve of the folder", s.Subject)
		}
	}
}

// TestThePastIsOneDay: however late it is, what is stored for an hour and more is of
// one day, and past retention.
func TestThePastIsOneDay(t *testing.T) {
	for _, hour := range []int{0, 1, 12, 23} {
		now := time.Date(2026, 3, 1, hour, 59, 59, 0, time.UTC)
		then := now.Add(-sinceDay(now, pastRetention))
		day := store.DayOf(then)
		if last := then.Add(20 * time.Hour); store.DayOf(last) != day {
			t.Errorf("at %v: from %v on it is another day", now, last)
		}
		if !sweep.Expired(day, now, now, 30*24*time.Hour) {
			t.Errorf("at %v: the day of %v is not past retention", now, then)
		}
	}
}

func TestFolderSize(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"1.sst": 1000, "sub/2.log": 200, ballastFile: 5000} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := folderSize(dir); err != nil || got != 1200 {
		t.Errorf("%d bytes, %v; want 1200, without the ballast", got, err)
	}
	if got, err := folderSize(filepath.Join(dir, "gone")); err != nil || got != 0 {
		t.Errorf("a folder that is gone: %d bytes, %v", got, err)
	}
}

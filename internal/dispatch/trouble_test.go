package dispatch

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// Trouble that lasts is told once a minute, and each kind for itself.
func TestTroubleIsToldOnce(t *testing.T) {
	var log bytes.Buffer
	told := troubles{log: slog.New(slog.NewTextHandler(&log, nil))}
	start := time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC)
	for second := range 90 {
		told.tell(start.Add(time.Duration(second)*time.Second), "first", "second", second)
		told.tell(start.Add(time.Duration(second)*time.Second), "other")
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 4 || !strings.Contains(lines[2], "msg=first second=60") || !strings.Contains(lines[3], "msg=other") {
		t.Errorf("told: %s", &log)
	}
}

package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/internal/config"
)

// clock is what differs between two runs of a logging test.
var clock = regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{3}`)

func TestTextLines(t *testing.T) {
	tests := map[string]struct {
		colour bool
		log    func(*slog.Logger)
		want   string
	}{
		"plain":         {log: func(l *slog.Logger) { l.Info("started") }, want: "T INFO  started\n"},
		"attributes":    {log: func(l *slog.Logger) { l.Warn("slow", "ms", 12, "name", "two words") }, want: "T WARN  slow ms=12 name=\"two words\"\n"},
		"with":          {log: func(l *slog.Logger) { l.With("id", "ep_1").Error("failed", "error", errors.New("a\nb")) }, want: "T ERROR failed id=ep_1 error=\"a\\nb\"\n"},
		"a group":       {log: func(l *slog.Logger) { l.WithGroup("g").With("time", 1).Info("m", "msg", 2) }, want: "T INFO  m g.time=1 g.msg=2\n"},
		"below":         {log: func(l *slog.Logger) { l.Debug("hidden") }, want: ""},
		"between":       {log: func(l *slog.Logger) { l.Log(t.Context(), slog.LevelInfo+1, "m") }, want: "T INFO+ m\n"},
		"a wild text":   {log: func(l *slog.Logger) { l.Info("a\n\x1b[2Jb") }, want: "T INFO  \"a\\n\\x1b[2Jb\"\n"},
		"a secret":      {log: func(l *slog.Logger) { l.Info("m", "key", config.NewSecret("hunter2")) }, want: "T INFO  m key=********\n"},
		"error colour":  {colour: true, log: func(l *slog.Logger) { l.Error("m") }, want: "T \x1b[31mERROR\x1b[0m m\n"},
		"warn colour":   {colour: true, log: func(l *slog.Logger) { l.Warn("m") }, want: "T \x1b[33mWARN \x1b[0m m\n"},
		"no colour":     {colour: true, log: func(l *slog.Logger) { l.Info("m") }, want: "T INFO  m\n"},
		"two in a line": {log: func(l *slog.Logger) { l.Info("a", "k", 1); l.Info("b") }, want: "T INFO  a k=1\nT INFO  b\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			tt.log(slog.New(newTextHandler(&out, slog.LevelInfo, tt.colour)))
			if diff := cmp.Diff(tt.want, clock.ReplaceAllString(out.String(), "T")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDebugIsDimmed(t *testing.T) {
	var out bytes.Buffer
	slog.New(newTextHandler(&out, slog.LevelDebug, true)).Debug("m")
	if !strings.Contains(out.String(), "\x1b[2mDEBUG\x1b[0m m\n") {
		t.Errorf("%q", out.String())
	}
}

// Lines of many goroutines and of loggers made from one another do not mix.
func TestTextLinesStayWhole(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(newTextHandler(&out, slog.LevelInfo, false))
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			for range 50 {
				log.With("a", 1).Info("line", "b", 2)
			}
		})
	}
	done.Wait()
	got := clock.ReplaceAllString(out.String(), "T")
	if want := strings.Repeat("T INFO  line a=1 b=2\n", 400); got != want {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
}

func TestLogFormats(t *testing.T) {
	for format, wantJSON := range map[config.LogFormat]bool{config.LogAuto: true, config.LogJSON: true, config.LogText: false} {
		var out bytes.Buffer
		p := &Program{Stderr: &out}
		p.newLogger(&config.Config{LogFormat: format, LogLevel: slog.LevelWarn}).Warn("m", "k", 1)
		p.newLogger(&config.Config{LogFormat: format, LogLevel: slog.LevelError}).Warn("hidden")
		if got := json.Valid(out.Bytes()); got != wantJSON || strings.Contains(out.String(), "hidden") {
			t.Errorf("%s: %q", format, out.String())
		}
	}
}

// A file is no terminal, so that auto writes JSON into it; only a setting of
// NO_COLOR that is not empty counts.
func TestTerminal(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if isTerminal(file) || isTerminal(&bytes.Buffer{}) {
		t.Error("taken for a terminal")
	}
	p := &Program{Environ: []string{"NO_COLOR=", "NO_COLORS=1", "TERM=x"}}
	if p.has("NO_COLOR") || !p.has("TERM") {
		t.Error("the environment is misread")
	}
}

func TestExitCodes(t *testing.T) {
	failure := errors.New("a failure")
	for want, err := range map[int]error{
		ExitOK: nil, ExitError: failure, ExitUsage: usage("no"),
		ExitDisk: errors.Join(failure, withCode(ExitDisk, failure)),
	} {
		if got := exitCode(err); got != want {
			t.Errorf("exitCode(%v) = %d, want %d", err, got, want)
		}
	}
	if got := []int{ExitOK, ExitError, ExitUsage, ExitDisk}; !cmp.Equal(got, []int{0, 1, 2, 3}) {
		t.Errorf("codes that scripts rely on have changed: %v", got)
	}
	if !errors.Is(withCode(ExitDisk, failure), failure) {
		t.Error("a code hides its error")
	}
}

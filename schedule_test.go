package postern_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
)

func TestParseRetrySchedule(t *testing.T) {
	week := 7 * 24 * time.Hour
	for text, want := range map[string]postern.RetrySchedule{
		"":                         {},
		"  ":                       {},
		"5s":                       {5 * time.Second},
		"1s,1s,2s":                 {time.Second, time.Second, 2 * time.Second},
		" 1ms , 1h30m ":            {time.Millisecond, 90 * time.Minute},
		"168h":                     {week},
		"5s,5m,30m,2h,5h,10h,10h":  postern.DefaultRetrySchedule(),
		"1s" + repeated(",1s", 62): slices.Repeat(postern.RetrySchedule{time.Second}, 63),
	} {
		got, err := postern.ParseRetrySchedule(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", text, err, diff)
		}
		if got == nil {
			t.Errorf("%q is nil, which would mean that none is set", text)
		}
	}
}

func TestBadRetrySchedules(t *testing.T) {
	for _, text := range []string{
		"5", "5 s", "s", ",", "5s,", ",5s", "5s;5s", "-5s", "0s", "999us", "168h0m1s", "9999999h", "1s" + repeated(",1s", 63),
		"NaNs", "1e3s", repeated("x", 1<<16),
	} {
		_, err := postern.ParseRetrySchedule(text)
		if !errors.Is(err, postern.ErrInvalid) {
			t.Errorf("%.40q: %v, want an invalid schedule", text, err)
			continue
		}
		if len(err.Error()) > 200 {
			t.Errorf("%.40q: the error repeats %d bytes of input", text, len(err.Error()))
		}
	}
}

func repeated(s string, n int) string { return strings.Repeat(s, n) }

func TestDefaultScheduleIsEightTries(t *testing.T) {
	schedule := postern.DefaultRetrySchedule()
	if err := schedule.Validate(); err != nil || len(schedule) != 7 {
		t.Errorf("%v: %d waits, %v", schedule, len(schedule), err)
	}
	schedule[0] = time.Hour // the caller's own copy
	if got := postern.DefaultRetrySchedule()[0]; got != 5*time.Second {
		t.Errorf("the default has become %v", got)
	}
	if got, want := (postern.RetrySchedule{10 * time.Second, time.Minute}).Longest(), 84*time.Second; got != want {
		t.Errorf("longest %v, want %v: a fifth above the waits", got, want)
	}
}

// What can be read is written in a form that reads as the same again.
func FuzzParseRetrySchedule(f *testing.F) {
	for _, text := range []string{"", "5s,5m,30m,2h,5h,10h,10h", "1s,1s,2s", "1.5h, 90m", "0s", "-1s", "5s,,5s", "9223372036854775807ns"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		schedule, err := postern.ParseRetrySchedule(text)
		if err != nil {
			if postern.KindOf(err) != postern.Invalid {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		again, err := postern.ParseRetrySchedule(schedule.String())
		if err != nil || !slices.Equal(again, schedule) {
			t.Errorf("%q reads as %v, and that as %v, %v", text, schedule, again, err)
		}
		if longest := schedule.Longest(); longest < 0 || len(schedule) > 63 {
			t.Errorf("%q: %d waits, longest %v", text, len(schedule), longest)
		}
	})
}

package config_test

import (
	"testing"
	"time"

	"github.com/postern-dev/postern/internal/config"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]config.Size{
		"0": 0, "1": 1, "512B": 512, "1kB": 1000, "1KiB": 1024, "25MiB": 25 << 20, "25 mib": 25 << 20, "2GB": 2e9, "3GiB": 3 << 30,
	} {
		if got, err := config.ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "B", "MiB", "-1", "1.5MiB", "1TiB", "9999999999GiB", "1 2", "0x10"} {
		if got, err := config.ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", text, got)
		}
	}
	for size, want := range map[config.Size]string{0: "0", 1: "1", 1023: "1023", 1024: "1KiB", 1 << 20: "1MiB", 1<<20 + 1: "1048577", 1 << 40: "1024GiB"} {
		if got := size.String(); got != want {
			t.Errorf("Size(%d) = %q, want %q", size, got, want)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0d": 0, "0s": 0, "20s": 20 * time.Second, "1h30m": 90 * time.Minute, "30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "500ms": time.Second / 2,
	} {
		if got, err := config.ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "30", "d", "-1d", "-5s", "1d-1h", "1.5d", "1d1d", "99999d", "1w", "1d 1h"} {
		if got, err := config.ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 20 * time.Second: "20s", 5 * time.Minute: "5m", 2 * time.Hour: "2h", 36 * time.Hour: "36h", 720 * time.Hour: "30d", 90 * time.Second: "1m30s", 10 * time.Second: "10s",
	} {
		if got := config.FormatDuration(d); got != want {
			t.Errorf("FormatDuration(%v) = %q, want %q", d, got, want)
		}
	}
}

func FuzzDuration(f *testing.F) {
	for _, seed := range []string{"30d", "1d12h", "20s", "1h0m1s", "0d", "d", "5dd", "106751d23h47m16.9s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := config.ParseDuration(text)
		if err != nil {
			return
		}
		if d < 0 {
			t.Fatalf("ParseDuration(%q) = %v", text, d)
		}
		if again, err := config.ParseDuration(config.FormatDuration(d)); err != nil || again != d {
			t.Fatalf("%q -> %v -> %q -> %v, %v", text, d, config.FormatDuration(d), again, err)
		}
	})
}

func FuzzSize(f *testing.F) {
	for _, seed := range []string{"0", "25MiB", "1 kB", "9223372036854775807", "8589934592GiB", "B"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		size, err := config.ParseSize(text)
		if err != nil {
			return
		}
		if again, err := config.ParseSize(size.String()); err != nil || again != size || size < 0 {
			t.Fatalf("%q -> %d -> %q -> %d, %v", text, size, size, again, err)
		}
	})
}

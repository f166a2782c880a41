package config

import (
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/postern-dev/postern"
)

// Size is a number of bytes. The zero value is no bytes.
type Size int64

// sizeUnits are the suffixes of a size, largest first among the binary ones,
// which String uses.
var sizeUnits = []struct {
	suffix string
	bytes  Size
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
}

// ParseSize reads bytes, or a whole number with one of the units B, kB, MB, GB
// (thousands), KiB, MiB, GiB (1024s); capitals do not matter.
func ParseSize(text string) (Size, error) {
	digits, unit := text, Size(1)
	for _, u := range sizeUnits {
		if n := len(text) - len(u.suffix); n > 0 && strings.EqualFold(text[n:], u.suffix) {
			digits, unit = strings.TrimSpace(text[:n]), u.bytes
			break
		}
	}
	count, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || Size(count) > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a size; write bytes or a whole number with KiB, MiB or GiB, such as 25MiB", text)
	}
	return Size(count) * unit, nil
}

// String is the form with the largest binary unit that loses nothing.
func (s Size) String() string {
	for _, u := range sizeUnits[:3] {
		if s >= u.bytes && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

const day = 24 * time.Hour

// ParseDuration reads what time.ParseDuration does, and whole days before it:
// 30d, 1d12h. Negative durations are refused.
func ParseDuration(text string) (time.Duration, error) {
	wrong := fmt.Errorf("%q is not a duration; write a number with a unit, such as 20s, 5m, 36h or 30d", text)
	var total time.Duration
	rest := text
	if days, after, found := strings.Cut(text, "d"); found {
		count, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, wrong
		}
		total, rest = time.Duration(count)*day, after
	}
	if rest != "" || total == 0 && text != "0d" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 || total > math.MaxInt64-d {
			return 0, wrong
		}
		total += d
	}
	return total, nil
}

// FormatDuration is the shortest text that ParseDuration reads as d: 30d, 36h,
// 1m30s.
func FormatDuration(d time.Duration) string {
	if d >= day && d%day == 0 && d/day <= math.MaxUint16 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// splitList takes a comma-separated list apart, without spaces around its
// parts and without empty parts.
func splitList(text string) []string {
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

func parseFiles(text string) ([]string, error) { return splitList(text), nil }

func formatFiles(files []string) string { return strings.Join(files, ",") }

// parseSchedule reads waits; "none" is an empty schedule, which is one try.
func parseSchedule(text string) (postern.RetrySchedule, error) {
	schedule := postern.RetrySchedule{}
	if text == "none" {
		return schedule, nil
	}
	for _, part := range splitList(text) {
		wait, err := ParseDuration(part)
		if err != nil {
			return nil, err
		}
		schedule = append(schedule, wait)
	}
	return schedule, nil
}

func formatSchedule(schedule postern.RetrySchedule) string {
	if len(schedule) == 0 {
		return "none"
	}
	parts := make([]string, len(schedule))
	for i, wait := range schedule {
		parts[i] = FormatDuration(wait)
	}
	return strings.Join(parts, ",")
}

// parseNetworks reads CIDRs; a bare address is the network of itself.
func parseNetworks(text string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, part := range splitList(text) {
		network, err := netip.ParsePrefix(part)
		if addr, addrErr := netip.ParseAddr(part); addrErr == nil && addr.Zone() == "" {
			network, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is not a network; write a CIDR such as 10.0.0.0/8 or an address", part)
		}
		if network.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is IPv4 written as IPv6; write it as IPv4", part)
		}
		networks = append(networks, network.Masked())
	}
	return networks, nil
}

func formatNetworks(networks []netip.Prefix) string {
	parts := make([]string, len(networks))
	for i, network := range networks {
		parts[i] = network.String()
	}
	return strings.Join(parts, ",")
}

func parseLevel(text string) (slog.Level, error) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if strings.EqualFold(text, level.String()) {
			return level, nil
		}
	}
	return 0, fmt.Errorf("%q is not a level; write debug, info, warn or error", text)
}

func formatLevel(level slog.Level) string { return strings.ToLower(level.String()) }

func parseFormat(text string) (LogFormat, error) {
	switch format := LogFormat(strings.ToLower(text)); format {
	case LogAuto, LogText, LogJSON:
		return format, nil
	}
	return "", fmt.Errorf("%q is not a format; write auto, text or json", text)
}

package verify

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// DefaultTolerance is the window where neither provider nor source name one.
const DefaultTolerance = 5 * time.Minute

// maxUnix is the last second of the year 9999, the last that prints.
const maxUnix = 253402300799

// units are those that a Timestamp may be written in.
func units() []string {
	return []string{"s", "ms", "ns", "s_ms", "rfc3339", "iso8601", "rfc1123"}
}

// clock is a Timestamp with settings filled in. Without from there is none.
type clock struct {
	from   selector
	unit   string
	window time.Duration
}

// parse is strict: what is signed is the text, so a number must be written in
// the one way in which it formats.
func (c clock) parse(text string) (time.Time, *Error) {
	at, ok := parseTime(c.unit, text)
	if !ok || at.Unix() < 0 || at.Unix() > maxUnix {
		return time.Time{}, &Error{ReasonTimestampMalformed, fmt.Sprintf("%s is not a time in %s", c.from.label(), c.unit)}
	}
	return at.UTC(), nil
}

// check looks both ways: a request dated into the future could be replayed until
// that time has come.
func (c clock) check(signedAt, now time.Time) *Error {
	age, direction := now.Sub(signedAt), "past"
	if age < 0 {
		direction = "future"
	}
	// Abs, because the smallest Duration negated is itself.
	if age = age.Abs(); age <= c.window {
		return nil
	}
	return &Error{ReasonTimestampOutsideWindow, fmt.Sprintf("%s is %.0f s in the %s; allowed are %.0f s",
		c.from.label(), age.Seconds(), direction, c.window.Seconds())}
}

// parseTime reads a time in one of units. Which one is the definition's to say; s_ms
// alone goes by the size of the number, for providers that write it either way.
func parseTime(unit, text string) (time.Time, bool) {
	layout := ""
	switch unit {
	case "rfc3339":
		layout = time.RFC3339Nano
	case "rfc1123":
		layout = http.TimeFormat
	case "iso8601":
		if at, err := time.Parse("2006-01-02T15:04:05.999999999", text); err == nil {
			return at, true
		}
		layout = time.RFC3339Nano
	}
	if layout != "" {
		at, err := time.Parse(layout, text)
		return at, err == nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != text {
		return time.Time{}, false
	}
	switch {
	case unit == "ns":
		return time.Unix(0, n), true
	case unit == "ms", unit == "s_ms" && n >= 1e11:
		return time.UnixMilli(n), true
	}
	return time.Unix(n, 0), true
}

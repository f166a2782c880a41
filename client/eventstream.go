package client

import (
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/postern-dev/postern"
)

// Bounds of a stream.
const (
	// maxLine bounds a line, and maxEvent the lines of one event together, in
	// bytes. Events are without payloads and responses.
	maxLine  = 1 << 20
	maxEvent = maxLine
	// maxID bounds an id, which goes back to the server in a header.
	maxID = 1 << 10
)

// sent is an event as it came; data is "" where only the id has changed.
type sent struct{ id, name, data string }

// eventStream reads server-sent events as the HTML standard describes them, but
// for lines that end in a lone carriage return.
type eventStream struct {
	id string // of the last event that was complete
	// retry is how long the server asks to be left alone before the next
	// connection; 0 where it said nothing.
	retry time.Duration

	// What is known of the next event; it has the last one's id unless it brings
	// its own.
	next, name string
	data       strings.Builder
}

// begin forgets what a connection did not finish.
func (s *eventStream) begin() {
	s.next, s.name = s.id, ""
	s.data.Reset()
}

// line takes the next line, without its end. It reports true with an event that
// is complete; ErrTooLarge for one that does not end.
func (s *eventStream) line(line string) (e sent, complete bool, err error) {
	if line == "" {
		s.id = s.next
		e = sent{s.id, s.name, strings.TrimSuffix(s.data.String(), "\n")}
		s.begin()
		return e, true, nil
	}
	field, value, _ := strings.Cut(line, ":") // a comment's field is ""
	value = strings.TrimPrefix(value, " ")
	switch field {
	case "event":
		s.name = value
	case "data":
		if s.data.Len()+len(value) >= maxEvent {
			return e, false, tooLarge()
		}
		s.data.WriteString(value)
		s.data.WriteByte('\n')
	case "id":
		if len(value) <= maxID && !strings.ContainsFunc(value, unicode.IsControl) {
			s.next = value
		}
	case "retry":
		if ms, err := strconv.ParseUint(value, 10, 31); err == nil {
			s.retry = time.Duration(ms) * time.Millisecond
		}
	}
	return e, false, nil
}

// tooLarge refuses what would fill the memory.
func tooLarge() error {
	return &postern.Error{Kind: postern.TooLarge, Detail: "An event of the tail is larger than 1 MiB"}
}

package client

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
)

// readAll are the events of a text that has come over one connection.
func (s *eventStream) readAll(text string) (events []sent, err error) {
	s.begin()
	for line := range strings.SplitSeq(text, "\n") {
		e, complete, err := s.line(line)
		if err != nil {
			return events, err
		}
		if complete {
			events = append(events, e)
		}
	}
	return events, nil
}

func TestEventStream(t *testing.T) {
	for about, test := range map[string]struct {
		text string
		want []sent
	}{
		"whole":             {"id: 1\nevent: a\ndata: x\ndata: y\n\n.", []sent{{"1", "a", "x\ny"}}},
		"one space goes":    {"data:x\n\ndata:  y\n\n.", []sent{{"", "", "x"}, {"", "", " y"}}},
		"a comment":         {": heartbeat\nid: 2\n\n.", []sent{{"2", "", ""}}},
		"ids last":          {"id: 1\ndata: x\n\nevent: b\ndata: y\n\n.", []sent{{"1", "", "x"}, {"1", "b", "y"}}},
		"without a value":   {"data\n\nid\ndata: x\n\n.", []sent{{"", "", ""}, {"", "", "x"}}},
		"unknown fields":    {"datum: x\ndata: y\n\n.", []sent{{"", "", "y"}}},
		"no id for headers": {"id: a\x00b\n\nid: a\rb\n\nid: " + strings.Repeat("a", maxID+1) + "\n\n.", []sent{{}, {}, {}}},
		"cut off":           {"id: 1\n\nid: 2\ndata: x", []sent{{"1", "", ""}}},
	} {
		got, err := new(eventStream).readAll(test.text)
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(sent{})); diff != "" || err != nil {
			t.Errorf("%s: %v %s", about, err, diff)
		}
	}
}

// TestEventStreamGoesOn has a connection cut an event off: the next one begins
// anew, behind the last event that was complete.
func TestEventStreamGoesOn(t *testing.T) {
	s := &eventStream{}
	if _, err := s.readAll("retry: 1500\nid: 1\ndata: x\n\nid: 2\nevent: a\ndata: y"); err != nil || s.id != "1" {
		t.Errorf("the place is %q: %v", s.id, err)
	}
	got, err := s.readAll("retry: soon\ndata: z\n\n.")
	if diff := cmp.Diff([]sent{{"1", "", "z"}}, got, cmp.AllowUnexported(sent{})); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	if s.retry != 1500*time.Millisecond {
		t.Errorf("to be left alone for %v", s.retry)
	}
}

func TestEventStreamIsBounded(t *testing.T) {
	line := "data: " + strings.Repeat("x", 1<<16) + "\n"
	if events, err := new(eventStream).readAll(strings.Repeat(line, 15) + "\n."); len(events) != 1 || err != nil {
		t.Errorf("%d events: %v", len(events), err)
	}
	if _, err := new(eventStream).readAll(strings.Repeat(line, 17)); !errors.Is(err, postern.ErrTooLarge) {
		t.Errorf("without an end: %v", err)
	}
}

// FuzzEventStream writes what it has read and reads it again.
func FuzzEventStream(f *testing.F) {
	f.Add("retry: 2000\nid: msg_1.atmpt_1\n\nid: 2\nevent: message\ndata: {}\n\n: heartbeat\n\n")
	f.Add("data\ndata:\ndata:  x\n\nid\nevent: a:b\n\nid: \x00\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		events, err := new(eventStream).readAll(text)
		if err != nil {
			return
		}
		var again strings.Builder
		for _, e := range events {
			again.WriteString("id: " + e.id + "\nevent: " + e.name + "\n")
			for line := range strings.SplitSeq(e.data, "\n") {
				again.WriteString("data: " + line + "\n")
			}
			again.WriteString("\n")
		}
		same, err := new(eventStream).readAll(again.String() + ".")
		if diff := cmp.Diff(events, same, cmp.AllowUnexported(sent{})); diff != "" || err != nil {
			t.Errorf("%q: %v %s", text, err, diff)
		}
	})
}

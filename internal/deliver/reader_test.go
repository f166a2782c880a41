package deliver

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// recording is a source that hands out a recorded answer.
type recording struct{ io.Reader }

func (recording) SetReadDeadline(time.Time) error { return nil }

// parsed is all that an answer's reader tells.
type parsed struct {
	head head
	body string
	left int
	herr bool
	cut  Cause
}

func parse(src io.Reader) parsed {
	var r reader
	var p parsed
	r.reset(recording{src}, time.Time{})
	if err := r.readHead(&p.head); err != nil {
		return parsed{herr: true}
	}
	body, err := r.readBody(&p.head, nil)
	p.body, p.left = string(body), r.buffered()
	if err != nil {
		p.cut = cutOf(err)
	}
	return p
}

// FuzzAnswer checks what must hold of any answer, however it is cut into reads.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-After: 5\r\n\r\nok",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\nContent-Type: a/b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;e\r\nok\r\n0\r\nT: v\r\n\r\nrest",
		"HTTP/1.0 200\nConnection: keep-alive, close\n\nuntil close",
		"HTTP/1.1 101 Switching\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"HTTP/1.1 200 OK\r\n X: folded\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("x", 30000),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		whole, dripped := parse(bytes.NewReader(answer)), parse(iotest.OneByteReader(bytes.NewReader(answer)))
		p := whole
		whole.left, dripped.left = 0, 0 // how much is read ahead is up to the reads
		if whole != dripped {
			t.Fatalf("at once %+v, by bytes %+v", whole, dripped)
		}
		if p.herr {
			return
		}
		h := p.head
		switch {
		case h.status < 100 || h.status > 999 || h.status < 200 && h.status != 101:
			t.Fatalf("status %d is not final", h.status)
		case len(p.body) > maxKept || len(p.body) > len(answer):
			t.Fatalf("%d bytes kept", len(p.body))
		case h.chunked && h.hasLength:
			t.Fatal("framed twice")
		case h.status == 204 && p.body != "":
			t.Fatal("204 with a body")
		case p.cut == None && !h.chunked && h.length >= 0 && int64(len(p.body)) != min(h.length, maxKept):
			t.Fatalf("%d of %d bytes, said to be all", len(p.body), h.length)
		case h.status == 101 && h.reusable(), h.minor == 0 && !h.keepAlive && h.reusable():
			t.Fatal("not to be reused")
		case strings.ContainsAny(h.retryAfter+h.contentType, "\r\n\x00"):
			t.Fatal("control characters kept")
		}
	})
}

// TestReaderGivesMemoryBack: one long header line must not be paid for by every later
// exchange.
func TestReaderGivesMemoryBack(t *testing.T) {
	var r reader
	var h head
	r.reset(recording{strings.NewReader("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 20_000) + "\r\n\r\n")}, time.Time{})
	if err := r.readHead(&h); err != nil {
		t.Fatal(err)
	}
	if len(r.buf) <= readBuffer {
		t.Fatalf("the line fitted into %d bytes", len(r.buf))
	}
	r.reset(recording{strings.NewReader("")}, time.Time{})
	if len(r.buf) != readBuffer {
		t.Errorf("%d bytes kept", len(r.buf))
	}
}

func TestCauseNames(t *testing.T) {
	seen := map[string]Cause{}
	for c := None; c <= Local; c++ {
		name := c.String()
		if other, twice := seen[name]; twice || name == "unknown" || name == "" && c != None {
			t.Errorf("cause %d and %d are both %q", c, other, name)
		}
		seen[name] = c
	}
	if got := (Local + 1).String(); got != "unknown" {
		t.Errorf("past the end: %q", got)
	}
}

package bench

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// readAll reads messages until the first error, as both sides do.
func readAll(text string) (bodies []string, err error) {
	in := bufio.NewReaderSize(strings.NewReader(text), wireBuffer)
	for {
		h, err := readHead(in, nil)
		if err != nil {
			return bodies, err
		}
		body, err := readBody(in, h, nil)
		if err != nil {
			return bodies, err
		}
		bodies = append(bodies, string(body))
	}
}

func TestReadMessages(t *testing.T) {
	long := strings.Repeat("x: y\r\n", maxHeaders+1)
	for _, tc := range []struct {
		name, text string
		bodies     []string
		err        error
	}{
		{"length", "A\r\nContent-Length: 3\r\n\r\nabc", []string{"abc"}, io.EOF},
		{"two in a row", "A\ncontent-length:1\n\naB\nCONTENT-LENGTH: 1\n\nb", []string{"a", "b"}, io.EOF},
		{"none", "A\r\nHost: h\r\n\r\n", []string{""}, io.EOF},
		{"chunked", "A\r\nTransfer-Encoding: chunked\r\n\r\n2;x=1\r\nab\r\n1\r\nc\r\n0\r\nT: v\r\n\r\n", []string{"abc"}, io.EOF},
		{"cut in the head", "A\r\nContent-", nil, io.ErrUnexpectedEOF},
		{"cut in the body", "A\r\nContent-Length: 3\r\n\r\na", nil, io.ErrUnexpectedEOF},
		{"cut in a chunk", "A\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", nil, io.ErrUnexpectedEOF},
		{"no colon", "A\r\nhello\r\n\r\n", nil, errMalformed},
		{"negative length", "A\r\nContent-Length: -1\r\n\r\n", nil, errMalformed},
		{"huge length", "A\r\nContent-Length: 99999999\r\n\r\n", nil, errMalformed},
		{"huge chunk", "A\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", nil, errMalformed},
		{"chunk without end", "A\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", nil, errMalformed},
		{"many headers", "A\r\n" + long + "\r\n", nil, errMalformed},
		{"long line", "A\r\nx: " + strings.Repeat("y", wireBuffer) + "\r\n\r\n", nil, bufio.ErrBufferFull},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bodies, err := readAll(tc.text)
			if strings.Join(bodies, "|") != strings.Join(tc.bodies, "|") || !errors.Is(err, tc.err) {
				t.Errorf("read %q, %v; want %q, %v", bodies, err, tc.bodies, tc.err)
			}
		})
	}
}

func TestStatusCode(t *testing.T) {
	if code, err := statusCode([]byte("HTTP/1.1 202 Accepted")); code != 202 || err != nil {
		t.Errorf("got %d, %v", code, err)
	}
	for _, line := range []string{"", "HTTP/1.1 2", "HTTP/2.0 200 OK", "HTTP/1.1 abc x"} {
		if code, err := statusCode([]byte(line)); !errors.Is(err, errMalformed) {
			t.Errorf("%q is %d, %v", line, code, err)
		}
	}
}

// FuzzReadMessage: whatever comes, reading ends, stays within its bounds and finds
// no more than was sent.
func FuzzReadMessage(f *testing.F) {
	f.Add("POST /fast/0 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
	f.Add("A\r\nConnection: close\r\nContent-Length: 0\r\n\r\nB\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		bodies, err := readAll(text)
		if err == nil {
			t.Fatal("reading went on without an error")
		}
		total := 0
		for _, body := range bodies {
			total += len(body)
		}
		if total > len(text) {
			t.Fatalf("%d bytes of bodies from %d bytes", total, len(text))
		}
	})
}

// FuzzParseMetrics: a scrape is read or refused, and never without a name.
func FuzzParseMetrics(f *testing.F) {
	f.Add("# HELP a b\na 1\na{x=\"}\"} 2 1700000000\nb NaN\n")
	f.Add("postern_fsyncs_total 12\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseMetrics(bytes.NewReader([]byte(text)))
		if err != nil {
			return
		}
		for name := range got {
			if name == "" || strings.ContainsAny(name, "{ \t") {
				t.Fatalf("a metric is called %q", name)
			}
		}
	})
}

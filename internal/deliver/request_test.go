package deliver_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/internal/deliver"
	"github.com/postern-dev/postern/internal/egress"
)

// fixedSigner returns the same two signatures for everything.
type fixedSigner struct{}

func (fixedSigner) AppendSignatures(dst []byte, id string, _ int64, body []byte) []byte {
	return append(append(append(dst, "v1,"...), id...), " v1a,x"...)
}

func header(tb testing.TB, name, value string) deliver.Header {
	tb.Helper()
	h, err := deliver.NewHeader(name, value)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// recorded sends req to an endpoint that records the bytes, and returns them.
func recorded(t *testing.T, path string, edit func(*deliver.Request)) string {
	t.Helper()
	got := make(chan string, 1)
	e := serve(t, func(v *visit) {
		var raw bytes.Buffer
		v.r = bufio.NewReader(io.TeeReader(v.Conn, &raw))
		v.next()
		v.say(ok)
		v.gone()
		got <- raw.String()
	})
	c := newClient(t, deliver.Config{UserAgent: "Postern/1.2"})
	req := request(t, "http://"+e.addr+path)
	edit(req)
	post(t, c, req, deliver.None)
	c.Close()
	return strings.ReplaceAll(<-got, e.addr, "HOST")
}

func TestRequestOnTheWire(t *testing.T) {
	got := recorded(t, "/a%2Fb//c?q=%7e&r={}", func(r *deliver.Request) {
		r.Signer, r.SvixNames = fixedSigner{}, true
		r.Headers = []deliver.Header{header(t, "X-camelCase-ID", " v é "), header(t, "AUTHORIZATION", "Bearer t")}
		r.Extra = []deliver.Header{header(t, "x-extra", "")}
	})
	want := strings.Join([]string{
		"POST /a%2Fb//c?q=%7e&r={} HTTP/1.1", "Host: HOST", "User-Agent: Postern/1.2",
		"Content-Type: application/json", "Content-Length: 7",
		"webhook-id: msg_1", "webhook-timestamp: 1700000000", "webhook-signature: v1,msg_1 v1a,x",
		"svix-id: msg_1", "svix-timestamp: 1700000000", "svix-signature: v1,msg_1 v1a,x",
		"X-camelCase-ID: v é", "AUTHORIZATION: Bearer t", "x-extra: ", "", `{"a":1}`,
	}, "\r\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestRequestWithoutOptions(t *testing.T) {
	got := recorded(t, "", func(r *deliver.Request) { r.ContentType, r.Body = "", nil })
	want := "POST / HTTP/1.1\r\nHost: HOST\r\nUser-Agent: Postern/1.2\r\nContent-Length: 0\r\n" +
		"webhook-id: msg_1\r\nwebhook-timestamp: 1700000000\r\n\r\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestLargeBodyArrivesWhole(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	got := recorded(t, "/", func(r *deliver.Request) { r.Body = body })
	if _, sent, _ := strings.Cut(got, "\r\n\r\n"); sent != string(body) {
		t.Errorf("%d of %d bytes arrived, or others", len(sent), len(body))
	}
}

func TestNewHeaderRefuses(t *testing.T) {
	for _, h := range [][2]string{
		{"", "v"}, {"a b", "v"}, {"a:", "v"}, {"ä", "v"}, {"a\r\nb", "v"}, {strings.Repeat("a", 257), "v"},
		{"x", "a\r\nb: c"}, {"x", "a\nb"}, {"x", "a\rb"}, {"x", "a\x00b"}, {"x", "\x7f"},
		{"Host", "h"}, {"content-length", "1"}, {"Content-Type", "t"}, {"USER-AGENT", "u"}, {"Transfer-Encoding", "chunked"},
		{"Connection", "close"}, {"Expect", "100-continue"}, {"webhook-id", "1"}, {"Webhook-Signature", "1"}, {"svix-timestamp", "1"},
	} {
		if _, err := deliver.NewHeader(h[0], h[1]); !errors.Is(err, deliver.ErrInvalidHeader) {
			t.Errorf("%q: %q: got %v", h[0], h[1], err)
		}
	}
}

func TestParseTargetRefuses(t *testing.T) {
	for _, raw := range []string{"ftp://h/", "http://u:p@h/", "http://[fe80::1%25eth0]/", "http://0x7f.1/"} {
		if _, err := deliver.ParseTarget(raw); !errors.Is(err, egress.ErrInvalidURL) {
			t.Errorf("%s: got %v", raw, err)
		}
	}
}

func TestControlCharactersAreNotSent(t *testing.T) {
	c := newClient(t, deliver.Config{})
	e := answers(t, ok)
	for _, edit := range []func(*deliver.Request){
		func(r *deliver.Request) { r.ContentType = "a\r\nX: y" },
		func(r *deliver.Request) { r.ID = "a\nb" },
	} {
		req := request(t, e.url())
		edit(req)
		if res := post(t, c, req, deliver.Write); res.Written {
			t.Error("written")
		}
	}
}

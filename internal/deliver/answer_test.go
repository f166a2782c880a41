package deliver_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/internal/deliver"
	"github.com/postern-dev/postern/internal/egress"
)

func TestAnswers(t *testing.T) {
	const body = "Content-Length: 2\r\n\r\nok"
	type want struct {
		status int
		body   string
		cut    deliver.Cause
		kept   bool // the connection is reused
	}
	for name, c := range map[string]struct {
		answer string
		want   want
	}{
		"content length":        {ok, want{200, "ok", deliver.None, true}},
		"no reason":             {"HTTP/1.1 200\r\n" + body, want{200, "ok", deliver.None, true}},
		"bare line feeds":       {"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", want{200, "ok", deliver.None, true}},
		"length twice the same": {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + body, want{200, "ok", deliver.None, true}},
		"no body":               {"HTTP/1.1 204 No Content\r\n\r\n", want{204, "", deliver.None, true}},
		"not modified":          {"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", want{304, "", deliver.None, true}},
		"redirect":              {"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n" + body, want{302, "ok", deliver.None, true}},
		"unusual code":          {"HTTP/1.1 999 Denied\r\n" + body, want{999, "ok", deliver.None, true}},
		"interim":               {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + ok, want{200, "ok", deliver.None, true}},
		"chunked": {
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1;x=y\r\no\r\n01 \r\nk\r\n0\r\nTrailer: dropped\r\n\r\n",
			want{200, "ok", deliver.None, true},
		},
		"until close":     {"HTTP/1.1 200 OK\r\n\r\nok", want{200, "ok", deliver.None, false}},
		"close":           {"HTTP/1.1 200 OK\r\nConnection: x, Close\r\n" + body, want{200, "ok", deliver.None, false}},
		"HTTP/1.0":        {"HTTP/1.0 200 OK\r\n" + body, want{200, "ok", deliver.None, false}},
		"HTTP/1.0 kept":   {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + body, want{200, "ok", deliver.None, true}},
		"switched":        {"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", want{101, "", deliver.None, false}},
		"leftover":        {ok + "HTTP", want{200, "ok", deliver.None, false}},
		"body on 204":     {"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nok", want{204, "", deliver.None, false}},
		"cut off":         {"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\npart", want{500, "part", deliver.ClosedEarly, false}},
		"chunk cut off":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\npart", want{200, "part", deliver.ClosedEarly, false}},
		"bad chunk size":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\n", want{200, "", deliver.Malformed, false}},
		"no chunk size":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n;x\r\n", want{200, "", deliver.Malformed, false}},
		"huge chunk":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", want{200, "", deliver.Malformed, false}},
		"long chunk":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nokay\r\n", want{200, "o", deliver.Malformed, false}},
		"long chunk line": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("x", 2000), want{200, "", deliver.TooLong, false}},
		"bad trailer":     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n bad\r\n\r\n", want{200, "", deliver.Malformed, false}},
		"long trailer":    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx:" + strings.Repeat("x", 33<<10), want{200, "", deliver.TooLong, false}},
		"20 kB are kept": {
			"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n" + strings.Repeat("x", 30000),
			want{200, strings.Repeat("x", 20000), deliver.None, true},
		},
		"a long line fits": {
			"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 30<<10) + "\r\n" + body,
			want{200, "ok", deliver.None, true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := serve(t, func(v *visit) {
				for {
					if _, more := v.next(); !more {
						return
					}
					v.say(c.answer)
					if !c.want.kept && c.want.cut == deliver.ClosedEarly || name == "until close" {
						return
					}
				}
			})
			client := newClient(t, deliver.Config{})
			res := post(t, client, request(t, e.url()), deliver.None)
			got := want{res.Status, string(res.Body), res.Cut, client.Stats().Idle == 1}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			again := post(t, client, request(t, e.url()), deliver.None)
			if again.Status != res.Status || again.Reused != c.want.kept {
				t.Errorf("second request: %+v", again)
			}
		})
	}
}

func TestAnswersWithoutStatus(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		want   deliver.Cause
	}{
		"nothing":                {"", deliver.ClosedEarly},
		"half a status line":     {"HTTP/1.", deliver.ClosedEarly},
		"half a header":          {"HTTP/1.1 200 OK\r\nContent-Le", deliver.ClosedEarly},
		"interim, then nothing":  {"HTTP/1.1 100 Continue\r\n\r\n", deliver.ClosedEarly},
		"garbage":                {"\x16\x03\x01\x02\x00\x01\r\n\r\n", deliver.Malformed},
		"another protocol":       {"SSH-2.0-OpenSSH_9.6\r\n", deliver.Malformed},
		"empty first line":       {"\r\n" + ok, deliver.Malformed},
		"HTTP/2":                 {"HTTP/2.0 200 OK\r\n\r\n", deliver.Malformed},
		"no code":                {"HTTP/1.1 OK OK OK\r\n\r\n", deliver.Malformed},
		"four digits":            {"HTTP/1.1 2000 OK\r\n\r\n", deliver.Malformed},
		"code below 100":         {"HTTP/1.1 099 OK\r\n\r\n", deliver.Malformed},
		"control in reason":      {"HTTP/1.1 200 \x00\r\n\r\n", deliver.Malformed},
		"folded header":          {"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", deliver.Malformed},
		"space before the colon": {"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", deliver.Malformed},
		"no colon":               {"HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n", deliver.Malformed},
		"control in a value":     {"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", deliver.Malformed},
		"length and chunked":     {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", deliver.Malformed},
		"two lengths":            {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", deliver.Malformed},
		"list of lengths":        {"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", deliver.Malformed},
		"signed length":          {"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", deliver.Malformed},
		"empty length":           {"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok", deliver.Malformed},
		"long length":            {"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\nok", deliver.Malformed},
		"chunked twice":          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", deliver.Malformed},
		"other encoding":         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", deliver.Malformed},
		"chunked in HTTP/1.0":    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", deliver.Malformed},
		"interim without end":    {strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 11) + ok, deliver.Malformed},
		"header too large":       {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 40) + "\r\n", deliver.HeaderTooLarge},
		"line too large":         {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 40<<10), deliver.HeaderTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			e := serve(t, func(v *visit) {
				v.next()
				v.say(c.answer)
			})
			client := newClient(t, deliver.Config{})
			res := post(t, client, request(t, e.url()), c.want)
			if !res.Written || client.Stats().Open != 0 || e.conns.Load() != 1 {
				t.Errorf("written %v, %+v, %d connections: want one connection, closed", res.Written, client.Stats(), e.conns.Load())
			}
		})
	}
}

func TestKeptHeaders(t *testing.T) {
	e := answers(t, "HTTP/1.1 429 Slow\r\nRETRY-after:  120 \r\ncontent-type: text/plain\r\nContent-Length: 0\r\n\r\n")
	c := newClient(t, deliver.Config{})
	for range 2 {
		res := post(t, c, request(t, e.url()), deliver.None)
		if res.RetryAfter != "120" || res.ContentType != "text/plain" || res.Proto != "HTTP/1.1" || res.RemoteAddr != e.addr {
			t.Errorf("%+v", res)
		}
	}
	long := answers(t, "HTTP/1.1 429 Slow\r\nRetry-After: "+strings.Repeat("1", 129)+"\r\nContent-Length: 0\r\n\r\n")
	res := post(t, c, request(t, long.url()), deliver.None)
	if res.RetryAfter != "" || res.ContentType != "" {
		t.Errorf("left over from another answer, or too long: %+v", res)
	}
}

// TestResultIsReusable: what a result held before does not show through, and its body's
// memory is used again.
func TestResultIsReusable(t *testing.T) {
	c := newClient(t, deliver.Config{})
	good := answers(t, "HTTP/1.1 200 OK\r\nContent-Type: t\r\nContent-Length: 4\r\n\r\nlong")
	bad := answers(t, "garbage\r\n")
	var res deliver.Result
	c.Post(t.Context(), request(t, good.url()), &res)
	c.Post(t.Context(), request(t, bad.url()), &res)
	if res.Cause != deliver.Malformed || res.Status != 0 || len(res.Body) != 0 || res.ContentType != "" {
		t.Errorf("%+v", res)
	}
	c.Post(t.Context(), request(t, good.url()), &res)
	if res.Cause != deliver.None || res.Err != nil || string(res.Body) != "long" {
		t.Errorf("%+v", res)
	}
}

func TestEndlessBodyIsBounded(t *testing.T) {
	for name, head := range map[string]string{
		"announced":   "HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n",
		"until close": "HTTP/1.1 200 OK\r\n\r\n",
		"chunks":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"one chunk":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2540be400\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			sent := make(chan int64, 1)
			e := serve(t, func(v *visit) {
				v.next()
				v.say(head)
				piece := strings.Repeat("x", 8192)
				if name == "chunks" {
					piece = fmt.Sprintf("2000\r\n%s\r\n", piece)
				}
				var n int64
				for {
					k, err := io.WriteString(v, piece)
					if n += int64(k); err != nil {
						sent <- n
						return
					}
				}
			})
			client := newClient(t, deliver.Config{})
			res := post(t, client, request(t, e.url()), deliver.None)
			if res.Status != 200 || len(res.Body) != 20000 || res.Cut != deliver.TooLong || client.Stats().Open != 0 {
				t.Errorf("status %d, %d bytes, cut %q, %+v", res.Status, len(res.Body), res.Cut, client.Stats())
			}
			if n := <-sent; n > 32<<20 {
				t.Errorf("the endpoint got rid of %d bytes", n)
			}
		})
	}
}

// deaf is a connection that takes some of the request and then no more, its answer
// already waiting.
type deaf struct {
	net.Conn
	answer *strings.Reader
}

func (deaf) Write(b []byte) (int, error) {
	return len(b) / 2, &net.OpError{Op: "write", Err: syscall.ECONNRESET}
}
func (d deaf) Read(b []byte) (int, error)    { return d.answer.Read(b) }
func (deaf) SetDeadline(time.Time) error     { return nil }
func (deaf) SetReadDeadline(time.Time) error { return nil }
func (d deaf) Dial(context.Context, string, uint16) (net.Conn, egress.Trace, error) {
	return d, egress.Trace{}, nil
}

func TestAnswerBehindAReset(t *testing.T) {
	for answer, want := range map[string]deliver.Cause{
		"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n": deliver.None,
		"":         deliver.ClosedEarly,
		"HTTP/1.1": deliver.ClosedEarly,
	} {
		pipe, _ := net.Pipe()
		c := newClient(t, deliver.Config{Dialer: deaf{pipe, strings.NewReader(answer)}})
		res := post(t, c, request(t, "http://h/"), want)
		if !res.Written || want == deliver.None && res.Status != 413 || c.Stats().Open != 0 {
			t.Errorf("%q: %+v, %+v", answer, res, c.Stats())
		}
	}
}

// TestAnswerBeforeTheEndOfTheRequest: an endpoint that refuses a large body without
// reading it has still answered.
func TestAnswerBeforeTheEndOfTheRequest(t *testing.T) {
	e := serve(t, func(v *visit) {
		v.r.ReadByte()
		v.say("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
		// Half-closed, and read on until the client has seen it: a full close could
		// overtake the answer.
		v.Conn.(interface{ CloseWrite() error }).CloseWrite()
		v.gone()
	})
	client := newClient(t, deliver.Config{})
	req := request(t, e.url())
	req.Body = make([]byte, 4<<20)
	if res := post(t, client, req, deliver.None); res.Status != 413 {
		t.Errorf("%+v", res)
	}
}

package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// collector is a server that keeps the sequence numbers of what it was sent.
type collector struct {
	mu     sync.Mutex
	seqs   []uint64
	bodies [][]byte
	auth   string
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	seq, _, parseErr := parseMessage(body)
	if err != nil || parseErr != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	c.seqs = append(c.seqs, seq)
	c.bodies = append(c.bodies, body)
	c.auth = r.Header.Get("Authorization")
	c.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
	io.WriteString(w, `{"id":"msg_1"}`)
}

// serve starts a server and returns the target of a load.
func serve(t *testing.T, h http.Handler) target {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return target{Addr: s.Listener.Addr().String(), Path: "/api/v1/app/app_1/msg", Token: "key", Envelope: true}
}

func TestClosedLoopPublishesEachNumberOnce(t *testing.T) {
	var c collector
	l := startLive(t, roleLoad)
	cmd := publishCommand{Target: serve(t, &c), Publishers: 8, First: 1000, Count: 300, Stamps: true}
	var got loadStats
	l.must(t, "publish", cmd, &got)

	slices.Sort(c.seqs)
	if len(c.seqs) != 300 || len(slices.Compact(c.seqs)) != 300 || c.seqs[0] != 1000 || c.seqs[299] != 1299 {
		t.Errorf("%d numbers from %d to %d, want each of 1000..1299 once", len(c.seqs), c.seqs[0], c.seqs[len(c.seqs)-1])
	}
	if got.Acked != 300 || got.Latency.Count() != 300 || len(got.Acks) != 300 || got.FirstError != "" {
		t.Errorf("acked %d, %d latencies, %d stamps, %q", got.Acked, got.Latency.Count(), len(got.Acks), got.FirstError)
	}
	for n, at := range got.Acks {
		if at < got.StartNs || at > got.EndNs {
			t.Fatalf("message %d acknowledged at %d, outside of %d..%d", n, at, got.StartNs, got.EndNs)
		}
	}
	if c.auth != "Bearer key" {
		t.Errorf("authorised with %q", c.auth)
	}
}

// TestMessagesAreWhatTheAPITakes also holds the size of the workload: a payload of
// 1 KiB, and another text in each.
func TestMessagesAreWhatTheAPITakes(t *testing.T) {
	m := newMessage(target{Envelope: true}, newCorpus(), 3)
	seen := map[string]bool{}
	for n := range uint64(50) {
		m.set(n, int64(n)*1e15)
		var in struct {
			EventType string          `json:"eventType"`
			Payload   json.RawMessage `json:"payload"`
		}
		if err := json.Unmarshal(m.body, &in); err != nil {
			t.Fatalf("not JSON: %v\n%s", err, m.body)
		}
		if in.EventType != eventType || len(in.Payload) != payloadSize {
			t.Fatalf("event type %q, payload of %d bytes", in.EventType, len(in.Payload))
		}
		seq, sent, err := parseMessage(in.Payload)
		if err != nil || seq != n || sent != int64(n)*1e15 {
			t.Fatalf("read back %d, %d, %v; want %d, %d", seq, sent, err, n, int64(n)*1e15)
		}
		seen[string(in.Payload[150:])] = true
	}
	if len(seen) < 45 {
		t.Errorf("%d different texts in 50 messages", len(seen))
	}
}

func TestParseMessageAllowsForSpace(t *testing.T) {
	seq, sent, err := parseMessage([]byte(`{ "sent": "0000000000000000042", "seq": 1000000007 }`))
	if err != nil || seq != 7 || sent != 42 {
		t.Errorf("got %d, %d, %v", seq, sent, err)
	}
	for _, body := range []string{``, `{}`, `{"seq":12}`, `{"seq":1000000007}`, `{"seq":99999999999999999999999}`} {
		if seq, sent, err := parseMessage([]byte(body)); err == nil {
			t.Errorf("%q read as %d, %d", body, seq, sent)
		}
	}
}

func TestRefusalsAreTriedAgain(t *testing.T) {
	var c collector
	var calls atomic.Int64
	to := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := calls.Add(1); n%2 == 1 {
			w.WriteHeader(503 - 74*int(n/2%2)) // 503 and 429 in turn
			return
		}
		c.ServeHTTP(w, r)
	}))
	got, err := publishAll(t.Context(), publishCommand{Target: to, Publishers: 1, Count: 10})
	if err != nil || got.Acked != 10 || got.Refused != 10 || len(c.seqs) != 10 {
		t.Errorf("acked %d, refused %d, arrived %d, %v; want 10 of each", got.Acked, got.Refused, len(c.seqs), err)
	}
}

// TestFailuresAreNamedAndNotRepeated: after a broken exchange nobody knows whether
// the message was taken, so that repeating it would make the bench's own duplicate.
func TestFailuresAreNamedAndNotRepeated(t *testing.T) {
	var c collector
	to := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch seq, _, _ := parseMessage(body); seq {
		case 2:
			panic(http.ErrAbortHandler) // the connection breaks
		case 4:
			w.WriteHeader(http.StatusUnprocessableEntity)
			io.WriteString(w, "no such type")
		default:
			r.Body = io.NopCloser(bytes.NewReader(body))
			c.ServeHTTP(w, r)
		}
	}))
	got, err := publishAll(t.Context(), publishCommand{Target: to, Publishers: 1, Count: 6})
	if err != nil {
		t.Fatal(err)
	}
	if got.Acked != 4 || !slices.Equal(got.Unacked, []uint64{2, 4}) || got.FirstError == "" {
		t.Errorf("acked %d, unacked %v, first error %q", got.Acked, got.Unacked, got.FirstError)
	}
	if !slices.Equal(c.seqs, []uint64{0, 1, 3, 5}) {
		t.Errorf("arrived %v", c.seqs)
	}
}

func TestLoadGivesUpOnADeadTarget(t *testing.T) {
	to := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	_, err := publishAll(t.Context(), publishCommand{Target: to, Publishers: 4, Count: 100_000})
	if err == nil || !strings.Contains(err.Error(), "over 1000 messages failed") || !strings.Contains(err.Error(), "status 500") {
		t.Errorf("error is %v", err)
	}
}

// TestOpenLoopCountsTheWait is what an open loop is for: one slow answer delays the
// messages behind it, and their latency says so though their own exchange was quick.
func TestOpenLoopCountsTheWait(t *testing.T) {
	const stall = 100 * time.Millisecond
	var c collector
	var first atomic.Bool
	to := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if first.CompareAndSwap(false, true) {
			<-time.After(stall) // the endpoint's fault, not the test's way to wait
		}
		c.ServeHTTP(w, r)
	}))
	got, err := publishAll(t.Context(), publishCommand{Target: to, Publishers: 1, Count: 20, Rate: 1000})
	if err != nil || got.Acked != 20 {
		t.Fatalf("acked %d, %v", got.Acked, err)
	}
	if median := got.Latency.Quantile(0.5); median < stall/2 {
		t.Errorf("median latency %s: the wait behind the stall of %s was left out", median, stall)
	}
}

func TestOpenLoopKeepsItsRate(t *testing.T) {
	var c collector
	got, err := publishAll(t.Context(), publishCommand{Target: serve(t, &c), Publishers: 8, Count: 100, Rate: 500})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Duration(got.EndNs - got.StartNs); took < 198*time.Millisecond {
		t.Errorf("100 messages at 500/s took %s", took)
	}
}

func TestPublishHasBounds(t *testing.T) {
	for _, cmd := range []publishCommand{
		{Count: 0, Publishers: 1}, {Count: 1, Publishers: 0}, {Count: 1, Publishers: maxPublishers + 1},
		{Count: 1, Publishers: 1, Rate: -1}, {Count: maxStamped + 1, Publishers: 1, Stamps: true},
	} {
		if _, err := publishAll(t.Context(), cmd); err == nil {
			t.Errorf("%+v is accepted", cmd)
		}
	}
}

// TestPublisherReadsWhatServersWrite covers the shapes of an answer that a server
// may choose: chunked, without a body, and closing the connection.
func TestPublisherReadsWhatServersWrite(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"chunked": func(w http.ResponseWriter, _ *http.Request) {
			for i := range 3 {
				fmt.Fprintf(w, "part %d", i)
				w.(http.Flusher).Flush()
			}
		},
		"no content": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"closing": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusAccepted)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPublisher(serve(t, answer), newCorpus(), 1)
			defer p.close()
			for n := range uint64(3) {
				if err := p.publish(t.Context(), n, 0); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

package main

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern/engine"
)

// patience is for what a slow machine needs; nothing waits that long.
const patience = time.Minute

// Each event gets to its functions, and whoever published hears of all of them.
func TestDispatch(t *testing.T) {
	p := start(t, t.TempDir(), engine.RecordUnhandled)
	for _, c := range []struct {
		eventType, payload string
		answer             string
		shown              []string
	}{
		{"order.placed", `{"number":1}`, "order.placed: delivered\n", []string{`map: order.placed {"number":1}`}},
		{"order.eaten", `{}`, "order.eaten: dead, because orders are not eaten\n", nil},
		{"invoice.paid", `{"number":2}`, "invoice.paid: delivered\n", []string{"method InvoicePaid: number 2"}},
		{"invoice.voided", `{"number":3}`, "invoice.voided: delivered\n", []string{"method InvoiceVoided: number 3"}},
		{"invoice.voided", `{}`, "invoice.voided: dead, because which invoice?\n", nil},
		{"refund.made", `{"order":4}`, "refund.any: delivered\nrefund.made: delivered\n", []string{"registered for refund.*: refund.made", "registered for refund.made: order 4"}},
		{"refund.denied", `{"order":5}`, "refund.any: delivered\n", []string{"registered for refund.*: refund.denied"}},
		{"refund.made", `[]`, "refund.any: delivered\nrefund.made: dead, because the payload of refund.made does not fit: the payload itself is a JSON array, want main.refund\n", []string{"registered for refund.*: refund.made"}},
	} {
		before := len(p.String())
		if status, answer := p.publish(c.eventType, c.payload); status != http.StatusOK || answer != c.answer {
			t.Errorf("%s %s is answered %d:\n%s\nwant:\n%s", c.eventType, c.payload, status, answer, c.answer)
		}
		shown := p.String()[before:]
		for _, want := range c.shown {
			if !strings.Contains(shown, want+"\n") {
				t.Errorf("%s %s shows no %q:\n%s", c.eventType, c.payload, want, shown)
			}
		}
		if n := strings.Count(shown, "\n"); n != len(c.shown) {
			t.Errorf("%s %s shows %d lines, want %d:\n%s", c.eventType, c.payload, n, len(c.shown), shown)
		}
	}
}

// What nobody handles is kept or refused, and what is handled is neither.
func TestUnknownEvents(t *testing.T) {
	for _, c := range []struct {
		policy engine.Unhandled
		status int
		answer string
		stored bool
	}{
		{engine.RecordUnhandled, http.StatusOK, "nobody handles coffee.brewed: recorded as msg_", true},
		{engine.RefuseUnhandled, http.StatusUnprocessableEntity, "nobody listens for coffee.brewed", false},
	} {
		t.Run(c.answer, func(t *testing.T) {
			p := start(t, t.TempDir(), c.policy)
			if status, answer := p.publish("coffee.brewed", `{}`); status != c.status || !strings.HasPrefix(answer, c.answer) {
				t.Errorf("answered %d, %s", status, answer)
			}
			if status, answer := p.publish("invoice.paid", `{}`); status != http.StatusOK || answer != "invoice.paid: delivered\n" {
				t.Errorf("what is handled is answered %d, %s", status, answer)
			}
			if status, answer := p.publish("not%20a%20name", `{}`); status != http.StatusUnprocessableEntity || !strings.Contains(answer, "EventType") {
				t.Errorf("what is no name is answered %d, %s", status, answer)
			}
			status, list := p.do(http.MethodGet, "/api/v1/app/default/msg?event_types=coffee.brewed", "")
			if status != http.StatusOK || strings.Contains(list, `"coffee.brewed"`) != c.stored {
				t.Errorf("the list is answered %d: %s", status, list)
			}
		})
	}
}

// The same functions are found again after a restart, on the same folder.
func TestRestart(t *testing.T) {
	data := t.TempDir()
	for range 2 {
		p := start(t, data, engine.RefuseUnhandled)
		if status, answer := p.publish("refund.made", `{"order":1}`); status != http.StatusOK || answer != "refund.any: delivered\nrefund.made: delivered\n" {
			t.Errorf("answered %d, %s", status, answer)
		}
		p.stop()
	}
}

// The commands of the README work as they are printed: the last ones against a
// program that refuses.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(readme), "```sh\n")[1:]
	if len(blocks) != 3 {
		t.Fatalf("%d blocks of commands", len(blocks))
	}
	for i, policy := range []engine.Unhandled{engine.RecordUnhandled, engine.RecordUnhandled, engine.RefuseUnhandled} {
		p := start(t, t.TempDir(), policy)
		script, _, _ := strings.Cut(blocks[i], "```")
		script = strings.ReplaceAll(script, "http://127.0.0.1:8080", p.url)
		out, err := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script).CombinedOutput()
		if err != nil {
			t.Errorf("%s\n%v: %s", script, err, out)
		}
		rest := string(out)
		for line := range strings.Lines(script) {
			want, shown := strings.CutPrefix(strings.TrimSpace(line), "# ")
			for part := range strings.SplitSeq(want, " ... ") {
				if !shown {
					continue
				}
				var found bool
				if _, rest, found = strings.Cut(rest, part); !found {
					t.Fatalf("%s\nwant %s, got:\n%s", script, part, out)
				}
			}
		}
	}
}

// program is the program while it runs.
type program struct {
	*transcript
	url  string
	stop func()
}

// start runs the program until it is stopped, or the test ends.
func start(t *testing.T, data string, policy engine.Unhandled) *program {
	p := &program{transcript: &transcript{t: t, line: make(chan struct{})}}
	o := options{listen: "127.0.0.1:0", data: data, key: "demo", unhandled: policy, log: log.New(p, "", 0)}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, o) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the program ended: %v", err)
		}
	})
	t.Cleanup(p.stop)
	select {
	case <-p.line:
		p.url = strings.TrimSpace(strings.TrimPrefix(p.String(), "ready: "))
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	case <-time.After(patience):
		t.Fatal("the program is not ready")
	}
	return p
}

func (p *program) publish(eventType, payload string) (status int, answer string) {
	p.t.Helper()
	return p.do(http.MethodPost, "/events/"+eventType, payload)
}

// do makes a request to the program.
func (p *program) do(method, path, body string) (status int, answer string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer demo")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	read, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, string(read)
}

// transcript is what the program shows.
type transcript struct {
	t     *testing.T
	mu    sync.Mutex
	said  bytes.Buffer
	line  chan struct{} // closed by the first line
	begun bool
}

func (p *transcript) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.begun {
		p.begun = true
		defer close(p.line)
	}
	return p.said.Write(b)
}

func (p *transcript) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

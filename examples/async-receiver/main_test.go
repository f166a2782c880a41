package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
	"github.com/postern-dev/postern/posterntest"
)

const (
	key       = "demo"
	secret    = "demo-github-secret"
	published = `{"action":"published","release":{"tag_name":"v1.2.0"}}`
	// patience is for what a slow machine needs; nothing waits that long.
	patience = time.Minute
)

// TestMain is the program itself where a test starts it as a process.
func TestMain(m *testing.M) {
	if os.Getenv("ASYNC_RECEIVER") == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

// GitHub has its answer while the services are still asked, side by side; then
// everybody hears of what they said.
func TestAnswersFirstAndGathersThen(t *testing.T) {
	services, p := newServices(t), &transcript{t: t}
	url := start(t, p, t.TempDir(), services, nil)

	if status := post(t, source(t, url), "first", published, secret); status != http.StatusAccepted {
		t.Fatalf("GitHub is answered %d, not 202", status)
	}
	asked := []call{services.next(), services.next()} // neither has an answer yet
	slices.SortFunc(asked, func(a, b call) int { return strings.Compare(a.name, b.name) })
	for i, name := range []string{"licences", "scan"} {
		if c := asked[i]; c.name != name || c.body != published || c.header.Get("Idempotency-Key") == "" {
			t.Errorf("%s was asked %q with %v, want %s", c.name, c.body, c.header, name)
		}
		asked[i].answer(http.StatusOK, "no fault found")
	}
	told := []call{services.next(), services.next()}
	slices.SortFunc(told, func(a, b call) int { return strings.Compare(a.name, b.name) })
	const checked = `{"answers":[{"service":"scan","says":"no fault found"},{"service":"licences","says":"no fault found"}],"tag":"v1.2.0"}`
	for i, name := range []string{"chat", "mirror"} {
		if c := told[i]; c.name != name || c.body != checked || !strings.HasPrefix(c.header.Get("Webhook-Signature"), "v1,") {
			t.Errorf("%s was told %q with %v, want %s", c.name, c.body, c.header, name)
		}
		told[i].answer(http.StatusNoContent, "")
	}
	p.await("release v1.2.0, attempt 1", "scan says: no fault found", "licences says: no fault found",
		"chat: delivered, attempts: 1", "mirror: delivered, attempts: 1", "release v1.2.0 is done")
}

// What is forged, sent twice or of no interest is not worked on.
func TestWorksOnNothingElse(t *testing.T) {
	services, p := newServices(t), &transcript{t: t}
	in := source(t, start(t, p, t.TempDir(), services, nil))
	for _, c := range []struct {
		delivery, body, signedWith string
		want                       int
	}{
		{"first", published, "mallory's", http.StatusUnauthorized},
		{"first", `{"action":"deleted","release":{"tag_name":"v1.1.0"}}`, secret, http.StatusAccepted},
		{"second", published, secret, http.StatusAccepted},
		{"second", published, secret, http.StatusAccepted},
	} {
		if got := post(t, in, c.delivery, c.body, c.signedWith); got != c.want {
			t.Errorf("%s signed with %s: %d, want %d", c.body, c.signedWith, got, c.want)
		}
	}
	for range 4 {
		services.next().answer(http.StatusOK, "fine")
	}
	p.await("release v1.2.0 is done")
	if n := strings.Count(p.String(), "attempt 1: msg_"); n != 1 {
		t.Errorf("%d releases were worked on, want 1:\n%s", n, p)
	}
}

// A service that fails has all of them asked again, under the same key; an
// endpoint that fails has only itself told again.
func TestTriesAgain(t *testing.T) {
	services, p := newServices(t), &transcript{t: t}
	short := postern.RetrySchedule{time.Millisecond, time.Millisecond}
	url := start(t, p, t.TempDir(), services, short)
	post(t, source(t, url), "first", published, secret)

	failures, keys, told := map[string]int{"licences": 1, "chat": 1}, map[string]bool{}, map[string]int{}
	for range 4 + 3 {
		c := services.next()
		if k := c.header.Get("Idempotency-Key"); k != "" {
			keys[k] = true
		}
		told[c.name]++
		status := http.StatusOK
		if failures[c.name] > 0 {
			failures[c.name]--
			status = http.StatusServiceUnavailable
		}
		c.answer(status, "fine")
	}
	p.await("attempt 1 failed: licences answered 503 Service Unavailable", "release v1.2.0, attempt 2",
		"chat: delivered, attempts: 2", "mirror: delivered, attempts: 1", "release v1.2.0 is done")
	if told["scan"] != 2 || told["licences"] != 2 || told["chat"] != 2 || told["mirror"] != 1 || len(keys) != 1 {
		t.Errorf("asked and told: %v, under %d keys", told, len(keys))
	}
}

// What was answered is worked on, although the program is killed while it asks,
// or while it tells; and nobody is told of a release under a second id.
func TestSurvivesKill(t *testing.T) {
	for stage, answered := range map[string]int{"asking": 0, "telling": 2} {
		t.Run(stage, func(t *testing.T) {
			services, data := newServices(t), t.TempDir()
			first, second := &transcript{t: t}, &transcript{t: t}
			kill, url := startProcess(t, first, data, services)
			if status := post(t, source(t, url), "first", published, secret); status != http.StatusAccepted {
				t.Fatalf("GitHub is answered %d, not 202", status)
			}
			ids := map[string]bool{}
			take := func() call {
				c := services.next()
				ids[c.header.Get("Idempotency-Key")+c.header.Get("Webhook-Id")] = true
				return c
			}
			for range answered {
				take().answer(http.StatusOK, "fine")
			}
			take()
			take()
			kill()

			_, url = startProcess(t, second, data, services)
			for range 4 {
				take().answer(http.StatusOK, "fine")
			}
			second.await("chat: delivered", "mirror: delivered", "release v1.2.0 is done")
			if len(ids) != 2 {
				t.Errorf("want one id for those that are asked and one for those that are told: %v", ids)
			}
			// It is done: a copy that GitHub sends is not worked on.
			if status := post(t, source(t, url), "first", published, secret); status != http.StatusAccepted {
				t.Errorf("the copy is answered %d", status)
			}
			if n := strings.Count(second.String(), "msg_"); n != 1 {
				t.Errorf("worked on %d times after the restart:\n%s", n, second)
			}
		})
	}
}

// The commands of the README work as they are printed.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	p := &transcript{t: t}
	url := start(t, p, t.TempDir(), nil, nil)
	blocks := strings.Split(string(readme), "```sh\n")[1:]
	if len(blocks) < 2 {
		t.Fatalf("%d blocks of commands", len(blocks))
	}
	for i, block := range blocks {
		script, _, _ := strings.Cut(block, "```")
		script = strings.ReplaceAll(script, "http://127.0.0.1:8080", url)
		out, err := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script).CombinedOutput()
		if err != nil {
			t.Errorf("%s\n%v: %s", script, err, out)
		}
		for line := range strings.Lines(script) {
			for part := range strings.SplitSeq(strings.TrimSpace(strings.TrimPrefix(line, "# ")), " ... ") {
				if strings.HasPrefix(line, "# ") && !strings.Contains(string(out), part) {
					t.Errorf("%s\nwant %s, got:\n%s", script, part, out)
				}
			}
		}
		if i == 0 {
			p.await("release v1.2.0 is done")
		}
	}
}

// start runs the program until the test's end; services are its own stand-ins for
// nil. It returns the address that the program says it has.
func start(t *testing.T, p *transcript, data string, services *services, retries postern.RetrySchedule) (url string) {
	o := options{listen: "127.0.0.1:0", data: data, secret: secret, key: key, retries: retries, log: log.New(p, "", 0)}
	if services != nil {
		o.services = services.url
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, o) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the program ended: %v", err)
		}
	})
	return p.await("ready: ")
}

// startProcess is start in a process of its own, which kill ends with SIGKILL.
func startProcess(t *testing.T, p *transcript, data string, services *services) (kill func(), url string) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-listen", "127.0.0.1:0", "-data", data, "-services", services.url)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), "ASYNC_RECEIVER=1"), p, p
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // says that it was killed
	})
	t.Cleanup(kill)
	return kill, p.await("ready: ")
}

// source is the address that GitHub is given.
func source(t *testing.T, url string) string {
	api, err := client.New(client.Options{URL: url, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	github, err := api.Sources.Get(t.Context(), "default", "github")
	if err != nil {
		t.Fatal(err)
	}
	return github.IngestURL
}

// post sends a release event as GitHub does, and returns the answer's status.
func post(t *testing.T, in, delivery, body, secret string) int {
	req, err := posterntest.Sign("github", secret, []byte(body), posterntest.SignOptions{
		URL: in, Header: http.Header{"X-Github-Event": {"release"}, "X-Github-Delivery": {delivery}},
	})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct{ ID string }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode == http.StatusAccepted && answer.ID == "" {
		t.Errorf("answered %d without a message's id: %v", res.StatusCode, err)
	}
	return res.StatusCode
}

// services are those that the program asks and tells. Each request waits for the
// test to answer it.
type services struct {
	t     *testing.T
	url   string
	calls chan call
}

// call is one request to a service.
type call struct {
	name, body string
	header     http.Header
	reply      chan func(http.ResponseWriter)
}

func newServices(t *testing.T) *services {
	s := &services{t: t, calls: make(chan call, 100)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // of a killed process
		}
		c := call{strings.TrimPrefix(r.URL.Path, "/"), string(body), r.Header, make(chan func(http.ResponseWriter), 1)}
		s.calls <- c
		select {
		case reply := <-c.reply:
			reply(w)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// next is the next request.
func (s *services) next() call {
	s.t.Helper()
	select {
	case c := <-s.calls:
		return c
	case <-time.After(patience):
		s.t.Fatal("nobody asks the services")
		return call{}
	}
}

func (c call) answer(status int, body string) {
	c.reply <- func(w http.ResponseWriter) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// transcript is what the program shows.
type transcript struct {
	t    *testing.T
	mu   sync.Mutex
	said bytes.Buffer
	more chan struct{} // closed by the next line
}

func (p *transcript) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.more != nil {
		close(p.more)
		p.more = nil
	}
	return p.said.Write(b)
}

func (p *transcript) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// await waits until all the texts were shown, and returns what follows the last
// in its line.
func (p *transcript) await(texts ...string) (rest string) {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		if p.more == nil {
			p.more = make(chan struct{})
		}
		said, more := p.said.String(), p.more
		p.mu.Unlock()
		missing := slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return strings.Contains(said, text) })
		if len(missing) == 0 {
			_, rest, _ = strings.Cut(said, texts[len(texts)-1])
			rest, _, _ = strings.Cut(rest, "\n")
			return rest
		}
		select {
		case <-more:
		case <-deadline:
			p.t.Fatalf("the program does not say %q:\n%s", missing, said)
		}
	}
}

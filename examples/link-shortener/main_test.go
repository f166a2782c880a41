package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern/client"
	"github.com/postern-dev/postern/internal/pgtest"
	"github.com/postern-dev/postern/sign"
)

var cluster = pgtest.New(pgtest.Config{})

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

const adminKey = "the tests' own"

// A visitor is redirected. Because of that the link's figure goes up, a line is
// logged, and a third party is told, with a signature that it can check.
func TestAClickIsToldToAll(t *testing.T) {
	p := start(t, cluster.Database(t), t.TempDir())
	third := newThirdParty(t)
	p.registerWebhook(t, third, linkCreated, linkClicked)
	made := p.shorten(t, "https://example.com/long?a=1")

	res := p.do(t, http.MethodGet, "/"+made.Code, "")
	if at := res.header.Get("Location"); res.status != http.StatusFound || at != "https://example.com/long?a=1" {
		t.Errorf("redirect: %d to %q", res.status, at)
	}
	if line := p.log.await(t, 1, "msg=event", "type=link.clicked"); !strings.Contains(line, "code="+made.Code) {
		t.Errorf("logged: %s", line)
	}
	p.log.await(t, 1, "a handler returned", "analytics", "error=<nil>")
	if clicks := p.clicks(t, made.Code); clicks != 1 {
		t.Errorf("%d clicks after one", clicks)
	}
	// Deliveries of two messages pass one another.
	got := map[string]link{}
	for range 2 {
		eventType, of := third.next(t)
		got[eventType] = of
	}
	if got[linkCreated] != made || got[linkClicked] != made {
		t.Errorf("told by webhook: %v, want %v twice", got, made)
	}
}

// What is delivered again is not counted again.
func TestAClickCountsOnce(t *testing.T) {
	p := start(t, cluster.Database(t), t.TempDir())
	made := p.shorten(t, "https://example.com/")
	for n := range 3 {
		p.do(t, http.MethodGet, "/"+made.Code, "")
		p.log.await(t, n+1, "a handler returned", "analytics", "error=<nil>")
	}
	api := p.api(t)
	for m, err := range api.Messages.All(t.Context(), application, client.History{}) {
		if err != nil {
			t.Fatal(err)
		}
		if m.EventType != linkClicked {
			continue
		}
		if err := api.Messages.Resend(t.Context(), application, m.ID.String(), "analytics"); err != nil {
			t.Fatal(err)
		}
	}
	p.log.await(t, 6, "a handler returned", "analytics", "error=<nil>")
	if clicks := p.clicks(t, made.Code); clicks != 3 {
		t.Errorf("%d clicks, each delivered twice, after three", clicks)
	}
}

// A transaction that fails at its very end, with the event published in it, tells
// nobody.
func TestALinkThatIsRolledBackIsNotPublished(t *testing.T) {
	database := cluster.Database(t)
	p := start(t, database, t.TempDir())
	third := newThirdParty(t)
	p.registerWebhook(t, third)
	p.shorten(t, "https://example.com/first") // by now there are tables
	query(t, database, `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
		CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON links DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW WHEN (NEW.url LIKE '%refused%') EXECUTE FUNCTION refuse()`)
	if res := p.do(t, http.MethodPost, "/links", `{"url":"https://example.com/refused"}`); res.status != http.StatusInternalServerError {
		t.Errorf("a commit that failed was answered with %d %s", res.status, res.body)
	}
	p.shorten(t, "https://example.com/last")

	var told []string
	for range 2 {
		_, of := third.next(t)
		told = append(told, of.URL)
	}
	if all := strings.Join(told, " "); !strings.Contains(all, "/first") || !strings.Contains(all, "/last") {
		t.Errorf("told of %s", all)
	}
	// The relay takes rows in their order: there is none left, nor was there one.
	events := 0
	for _, err := range p.api(t).Messages.All(t.Context(), application, client.History{}) {
		if err != nil {
			t.Fatal(err)
		}
		events++
	}
	if events != 2 {
		t.Errorf("%d events of two links", events)
	}
}

// Webhooks, links and figures are there after a restart.
func TestRestart(t *testing.T) {
	database, data := cluster.Database(t), t.TempDir()
	p := start(t, database, data)
	third := newThirdParty(t)
	p.registerWebhook(t, third, linkClicked)
	made := p.shorten(t, "https://example.com/")
	p.do(t, http.MethodGet, "/"+made.Code, "")
	third.next(t)
	p.log.await(t, 1, "a handler returned", "analytics", "error=<nil>") // or it is called after the restart
	p.stop(t)

	p = start(t, database, data)
	p.do(t, http.MethodGet, "/"+made.Code, "")
	third.next(t)
	p.log.await(t, 1, "a handler returned", "analytics", "error=<nil>")
	if clicks := p.clicks(t, made.Code); clicks != 2 {
		t.Errorf("%d clicks after one before and one after a restart", clicks)
	}
}

func TestRefusals(t *testing.T) {
	p := start(t, cluster.Database(t), t.TempDir())
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{http.MethodGet, "/nothing", "", http.StatusNotFound, "no such link"},
		{http.MethodGet, "/links/nothing", "", http.StatusNotFound, "no such link"},
		{http.MethodPost, "/links", `{"url":"javascript:alert(1)"}`, http.StatusBadRequest, "want http"},
		{http.MethodPost, "/links", `url`, http.StatusBadRequest, "not the JSON"},
		{http.MethodPost, "/webhooks", `{"url":"https://93.184.215.14/","events":["link.burnt"]}`, http.StatusBadRequest, "link.burnt does not exist"},
		{http.MethodPost, "/webhooks", `{"url":"http://10.0.0.1/"}`, http.StatusBadRequest, "10.0.0.1"},
		{http.MethodGet, "/api/v1/app", "", http.StatusUnauthorized, ""},
		{http.MethodGet, "/api/v1/health", "", http.StatusOK, ""},
	} {
		if res := p.do(t, c.method, c.path, c.body); res.status != c.status || !strings.Contains(res.body, c.says) {
			t.Errorf("%s %s %s: %d %s, want %d %s", c.method, c.path, c.body, res.status, res.body, c.status, c.says)
		}
	}
}

func TestSettingsThatCannotWork(t *testing.T) {
	for name, cfg := range map[string]config{
		"no database": {},
		"no address":  {Database: "nonsense://"},
	} {
		if err := listenAndRun(t.Context(), "127.0.0.1:0", cfg); err == nil {
			t.Errorf("%s: it ran", name)
		}
	}
	if err := listenAndRun(t.Context(), "nowhere", config{}); err == nil {
		t.Error("it listened nowhere")
	}
}

// program is the program as it runs.
type program struct {
	url  string
	log  *lines
	stop func(t *testing.T)
}

// start runs the program until the test's end, or stop.
func start(t *testing.T, database, data string) *program {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &program{url: "http://" + l.Addr().String(), log: newLines()}
	log := slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, l, config{Database: database, Data: data, AdminKey: adminKey, Local: true, Log: log})
	}()
	var once sync.Once
	p.stop = func(t *testing.T) {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	t.Cleanup(func() { p.stop(t) })
	return p
}

type response struct {
	status int
	header http.Header
	body   string
}

// do makes a request and follows no redirect.
func (p *program) do(t *testing.T, method, path, body string) response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{res.StatusCode, res.Header, string(text)}
}

// ask makes a request that succeeds, and decodes the answer.
func (p *program) ask(t *testing.T, method, path string, in, out any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	res := p.do(t, method, path, string(body))
	if res.status/100 != 2 {
		t.Fatalf("%s %s: %d %s", method, path, res.status, res.body)
	}
	if err := json.Unmarshal([]byte(res.body), out); err != nil {
		t.Fatalf("%s %s: %v in %s", method, path, err, res.body)
	}
}

func (p *program) shorten(t *testing.T, url string) (made link) {
	t.Helper()
	p.ask(t, http.MethodPost, "/links", link{URL: url}, &made)
	return made
}

func (p *program) clicks(t *testing.T, code string) int {
	t.Helper()
	var out struct{ Clicks int }
	p.ask(t, http.MethodGet, "/links/"+code, nil, &out)
	return out.Clicks
}

// registerWebhook has a third party told, and gives it the secret.
func (p *program) registerWebhook(t *testing.T, to *thirdParty, events ...string) {
	t.Helper()
	var out struct{ Secret string }
	p.ask(t, http.MethodPost, "/webhooks", map[string]any{"url": to.URL, "events": events}, &out)
	key, err := sign.ParseKey(out.Secret)
	if err != nil {
		t.Fatal(err)
	}
	to.secret = sign.Verifier{Keys: []sign.Key{key}}
}

func (p *program) api(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{URL: p.url, Key: adminKey})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// thirdParty is a server of somebody else.
type thirdParty struct {
	*httptest.Server
	secret sign.Verifier
	got    chan received
}

type received struct {
	header http.Header
	body   []byte
}

func newThirdParty(t *testing.T) *thirdParty {
	p := &thirdParty{got: make(chan received, 16)}
	p.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		p.got <- received{r.Header, body}
	}))
	t.Cleanup(p.Close)
	return p
}

// next waits for a webhook and checks its signature.
func (p *thirdParty) next(t *testing.T) (eventType string, of link) {
	t.Helper()
	select {
	case r := <-p.got:
		if err := p.secret.Verify(r.header, r.body, time.Now()); err != nil {
			t.Errorf("a webhook does not verify: %v", err)
		}
		var payload struct {
			Type string
			link
		}
		if err := json.Unmarshal(r.body, &payload); err != nil {
			t.Errorf("%v in %s", err, r.body)
		}
		return payload.Type, payload.link
	case <-time.After(patience):
		t.Fatal("no webhook came")
		return "", link{}
	}
}

// patience is how long something may take that is on its way.
const patience = 30 * time.Second

// lines collects what is logged.
type lines struct {
	mu      sync.Mutex
	all     []string
	written chan struct{} // closed at the next line
}

func newLines() *lines { return &lines{written: make(chan struct{})} }

// Write implements io.Writer.
func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(bytes.TrimSpace(line)))
	close(l.written)
	l.written = make(chan struct{})
	return len(line), nil
}

// await waits for the nth line that has all of the parts.
func (l *lines) await(t *testing.T, n int, parts ...string) string {
	t.Helper()
	timeout := time.After(patience)
	for {
		found, line, written := l.find(parts)
		if found >= n {
			return line
		}
		select {
		case <-written:
		case <-timeout:
			t.Fatalf("%d lines of %d with %q", found, n, parts)
		}
	}
}

// find counts the lines that have all of the parts, and returns the last.
func (l *lines) find(parts []string) (n int, last string, written <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		has := true
		for _, part := range parts {
			has = has && strings.Contains(line, part)
		}
		if has {
			n, last = n+1, line
		}
	}
	return n, last, l.written
}

// query changes the database behind the program's back.
func query(t *testing.T, database, text string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), text); err != nil {
		t.Fatal(err)
	}
}

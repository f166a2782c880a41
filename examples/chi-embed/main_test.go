package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern/client"
	"github.com/postern-dev/postern/posterntest"
	"github.com/postern-dev/postern/sign"
)

const (
	password     = "open sesame"
	adminKey     = "the tests' own"
	stripeSecret = "whsec_of_the_test"
)

// The shop is as it was: its login, its routes, its log.
func TestTheShopGoesOn(t *testing.T) {
	p := start(t, t.TempDir())
	if res := p.do(t, http.MethodPost, "/orders", `{"item":"tea"}`); res.status != http.StatusUnauthorized {
		t.Errorf("an order of nobody: %d", res.status)
	}
	if res := p.enter(t, "guess"); res.status != http.StatusUnauthorized {
		t.Errorf("a wrong password: %d", res.status)
	}
	p.login(t)
	placed := p.place(t, "tea")
	if got := p.order(t, placed.Number); got != placed || got.Item != "tea" || got.Paid {
		t.Errorf("order: %+v, placed %+v", got, placed)
	}
	for path, want := range map[string]int{"/orders/none": http.StatusNotFound, "/elsewhere": http.StatusNotFound} {
		if res := p.do(t, http.MethodGet, path, ""); res.status != want {
			t.Errorf("%s: %d, want %d", path, res.status, want)
		}
	}
	if res := p.do(t, http.MethodPost, "/orders", `{}`); res.status != http.StatusBadRequest {
		t.Errorf("an order of nothing: %d", res.status)
	}
	p.log.await(t, "path=/orders/"+placed.Number)
}

// A customer's endpoint, made over the API under its prefix, is told of orders.
func TestCustomersAreToldOfOrders(t *testing.T) {
	p := start(t, t.TempDir())
	customer := newCustomer(t, p)
	p.login(t)
	placed := p.place(t, "tea")
	if got := customer.next(t); got != placed {
		t.Errorf("told of %+v, placed %+v", got, placed)
	}
}

// Stripe posts to the address that its source has, under the prefix.
func TestStripeTellsOfPayments(t *testing.T) {
	p := start(t, t.TempDir())
	p.login(t)
	address := p.newSource(t)
	if !strings.HasPrefix(address, p.url+"/hooks/in/") {
		t.Errorf("Stripe's address: %s", address)
	}
	placed := p.place(t, "tea")
	if res := p.post(t, address, "another's", placed.Number); res.status != http.StatusUnauthorized {
		t.Errorf("a payment that Stripe did not sign: %d %s", res.status, res.body)
	}
	if res := p.post(t, address, stripeSecret, placed.Number); res.status/100 != 2 {
		t.Errorf("a payment: %d %s", res.status, res.body)
	}
	p.log.await(t, "a handler returned", "stripe.checkout.session.completed", "error=<nil>")
	if !p.order(t, placed.Number).Paid {
		t.Error("the order is not paid")
	}
	p.post(t, address, stripeSecret, "none")
	p.log.await(t, "a handler returned", `no order \"none\"`)
	if token := strings.TrimPrefix(address, p.url+"/hooks/in/"); strings.Contains(p.log.String(), token) {
		t.Error("the address that is Stripe's secret is in the log")
	}
}

// Each part of the engine has its own door.
func TestDoors(t *testing.T) {
	p := start(t, t.TempDir())
	want := func(path string, status int) string {
		t.Helper()
		res := p.do(t, http.MethodGet, path, "")
		if res.status != status {
			t.Errorf("%s: %d, want %d", path, res.status, status)
		}
		return res.body
	}
	want("/hooks/", http.StatusUnauthorized)
	want("/hooks/api/v1/app", http.StatusUnauthorized)
	want("/hooks/api/v1/health", http.StatusOK)
	want("/hooks/in/guess", http.StatusNotFound)
	want("/api/v1/health", http.StatusNotFound)
	p.login(t)
	if page := want("/hooks/", http.StatusOK); !strings.Contains(page, "<h1>Postern</h1>") {
		t.Errorf("the page: %s", page)
	}
	want("/hooks/api/v1/app", http.StatusUnauthorized) // a login is no API key
}

// Told to stop, it answers the request that is under way, and lets the delivery
// end that is under way; nothing is lost and nothing is sent twice.
func TestStopIsGraceful(t *testing.T) {
	data := t.TempDir()
	p := start(t, data)
	customer := newCustomer(t, p)
	hold := customer.hold()
	p.login(t)
	p.place(t, "tea")
	<-customer.begun // and is not answered yet

	body, rest := io.Pipe()
	answered := make(chan int, 1)
	go func() {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, p.url+"/orders", body)
		if err != nil {
			panic(err)
		}
		req.Header.Set("Expect", "100-continue") // the body is read once the shop has asked for it
		req.Header.Set("Cookie", p.cookie)
		res, err := patientTransport.RoundTrip(req)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		defer res.Body.Close()
		answered <- res.StatusCode
	}()
	fmt.Fprint(rest, `{"item":`)
	p.cancel()
	p.log.await(t, "msg=stopping")
	fmt.Fprint(rest, `"cake"}`)
	rest.Close()
	if status := <-answered; status != http.StatusCreated {
		t.Errorf("the request under way: %d", status)
	}
	close(hold)
	p.stop(t)

	p = start(t, data) // which delivers what the first had no time to begin
	told := map[string]int{customer.next(t).Item: 1}
	told[customer.next(t).Item]++
	p.stop(t)
	if told["tea"] != 1 || told["cake"] != 1 || len(customer.told) > 0 {
		t.Errorf("told of %v and %d more, not of each order once", told, len(customer.told))
	}
}

func TestSettingsThatCannotWork(t *testing.T) {
	for name, cfg := range map[string]config{
		"no password": {Data: t.TempDir()},
		"no folder":   {Password: password, Data: "main.go/folder"},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := run(t.Context(), l, cfg); err == nil {
			t.Errorf("%s: it ran", name)
		}
	}
}

// patientTransport waits for a server's leave to send a body.
var patientTransport = &http.Transport{ExpectContinueTimeout: patience}

// patience is how long something may take that is on its way.
const patience = 30 * time.Second

// program is the program as it runs.
type program struct {
	url    string
	cookie string // of the login; "" before
	log    *lines
	cancel context.CancelFunc
	stop   func(t *testing.T)
}

// start runs the program until the test's end, or stop.
func start(t *testing.T, data string) *program {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &program{url: "http://" + l.Addr().String(), log: &lines{written: make(chan struct{})}}
	log := slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, l, config{Password: password, AdminKey: adminKey, Data: data, Local: true, Log: log})
	}()
	var once sync.Once
	p.stop = func(t *testing.T) {
		once.Do(func() {
			p.cancel()
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

// do makes a request of the logged-in user, if there is one.
func (p *program) do(t *testing.T, method, path, body string) response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Cookie", p.cookie)
	return send(t, req)
}

func send(t *testing.T, req *http.Request) response {
	t.Helper()
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

// enter posts the form of the login.
func (p *program) enter(t *testing.T, password string) response {
	t.Helper()
	form := url.Values{"password": {password}}.Encode()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/login", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return send(t, req)
}

func (p *program) login(t *testing.T) {
	t.Helper()
	res := p.enter(t, password)
	p.cookie, _, _ = strings.Cut(res.header.Get("Set-Cookie"), ";")
	if res.status != http.StatusOK || p.cookie == "" {
		t.Fatalf("login: %d %s", res.status, res.body)
	}
}

func (p *program) place(t *testing.T, item string) (o order) {
	t.Helper()
	res := p.do(t, http.MethodPost, "/orders", `{"item":"`+item+`"}`)
	if err := json.Unmarshal([]byte(res.body), &o); err != nil || res.status != http.StatusCreated {
		t.Fatalf("placing an order: %d %s", res.status, res.body)
	}
	return o
}

func (p *program) order(t *testing.T, number string) (o order) {
	t.Helper()
	res := p.do(t, http.MethodGet, "/orders/"+number, "")
	if err := json.Unmarshal([]byte(res.body), &o); err != nil {
		t.Fatalf("an order: %d %s", res.status, res.body)
	}
	return o
}

// api is the engine's, under its prefix, once there is the shop's application:
// the engine makes it as it starts, unless somebody is faster.
func (p *program) api(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{URL: p.url + "/hooks", Key: adminKey})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Applications.GetOrCreate(t.Context(), client.ApplicationIn{Name: "shop", UID: "shop"}); err != nil {
		t.Fatal(err)
	}
	return c
}

// newSource is the address that Stripe is given.
func (p *program) newSource(t *testing.T) string {
	t.Helper()
	s, err := p.api(t).Sources.Create(t.Context(), "shop", client.SourceIn{
		Name: "Stripe", Provider: "stripe", Secrets: []string{stripeSecret}, EventTypePrefix: "stripe.",
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.IngestURL
}

// post posts what Stripe posts when an order is paid.
func (p *program) post(t *testing.T, address, secret, number string) response {
	t.Helper()
	body := fmt.Sprintf(`{"id":"evt_%s","type":"checkout.session.completed","data":{"object":{"client_reference_id":%[1]q}}}`, number)
	req, err := posterntest.Sign("stripe", secret, []byte(body), posterntest.SignOptions{URL: address})
	if err != nil {
		t.Fatal(err)
	}
	return send(t, req.WithContext(t.Context()))
}

// customer is a server of somebody who has an endpoint.
type customer struct {
	begun chan struct{} // a value for each webhook that has come
	told  chan order    // and one once it was answered

	mu     sync.Mutex
	answer <-chan struct{} // waited for before an answer; nil for nothing
	secret sign.Verifier
}

func newCustomer(t *testing.T, p *program) *customer {
	t.Helper()
	c := &customer{begun: make(chan struct{}, 16), told: make(chan order, 16)}
	server := httptest.NewServer(c.serve(t))
	t.Cleanup(server.Close)
	api := p.api(t)
	made, err := api.Endpoints.Create(t.Context(), "shop", client.EndpointIn{URL: server.URL, EventTypes: []string{"order.*"}})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := api.Endpoints.Secret(t.Context(), "shop", made.ID.String())
	if err != nil {
		t.Fatal(err)
	}
	key, err := sign.ParseKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	c.secret = sign.Verifier{Keys: []sign.Key{key}}
	c.mu.Unlock()
	return c
}

func (c *customer) serve(t *testing.T) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		wait, secret := c.answer, c.secret
		c.mu.Unlock()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		c.begun <- struct{}{}
		if wait != nil {
			<-wait
		}
		var o order
		if err := secret.Verify(r.Header, body, time.Now()); err != nil {
			t.Errorf("a webhook does not verify: %v", err)
		}
		if err := json.Unmarshal(body, &o); err != nil {
			t.Errorf("%v in %s", err, body)
		}
		c.told <- o
	})
}

// hold has webhooks wait for their answer until what it returns is closed.
func (c *customer) hold() chan<- struct{} {
	wait := make(chan struct{})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = wait
	return wait
}

// next waits for a webhook.
func (c *customer) next(t *testing.T) order {
	t.Helper()
	select {
	case o := <-c.told:
		return o
	case <-time.After(patience):
		t.Fatal("no webhook came")
		return order{}
	}
}

// lines collects what is logged.
type lines struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{} // closed at the next line
}

// Write implements io.Writer.
func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.written)
	l.written = make(chan struct{})
	return l.text.Write(line)
}

// String is all of it.
func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await waits for a line that has all of the parts.
func (l *lines) await(t *testing.T, parts ...string) {
	t.Helper()
	timeout := time.After(patience)
	for {
		l.mu.Lock()
		text, written := l.text.String(), l.written
		l.mu.Unlock()
		for line := range strings.Lines(text) {
			has := true
			for _, part := range parts {
				has = has && strings.Contains(line, part)
			}
			if has {
				return
			}
		}
		select {
		case <-written:
		case <-timeout:
			t.Fatalf("no line with %q in:\n%s", parts, text)
		}
	}
}

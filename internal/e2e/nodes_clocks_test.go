package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/testkit"
)

// clocks are two nodes whose machines' clocks are wrong by an hour, one in either
// direction, on a database whose clock is right.
type clocks struct {
	*nodesWorld
	t    *testing.T
	app  string
	a, b *node
}

// aheadVariable tells a binary of newWrongBinary by how many seconds it is wrong.
const aheadVariable = "TEST_CLOCK_AHEAD"

// newWrongBinary builds the server with a time.Now that is ahead of the machine's by
// a setting. Its monotonic clock is the machine's: so is that of a machine whose
// clock is wrong.
func newWrongBinary(t *testing.T) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir, source := t.TempDir(), filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	text, err := os.ReadFile(filepath.Join(source, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	const reads = "\tsec, nsec, mono := runtimeNow()\n"
	if strings.Count(string(text), reads) != 1 {
		t.Fatal("package time reads the clock in another way than this test knows")
	}
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	overlay, err := json.Marshal(object{"Replace": object{
		filepath.Join(source, "time.go"):  write("time.go", strings.Replace(string(text), reads, reads+"\tsec += ahead\n", 1)),
		filepath.Join(source, "ahead.go"): write("ahead.go", aheadSource),
	}})
	if err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(dir, "postern")
	build := exec.Command("go", "build", "-overlay", write("overlay.json", string(overlay)), "-o", wrong, "github.com/postern-dev/postern/cmd/postern")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return wrong
}

// aheadSource is a file of package time, which can import little.
const aheadSource = `package time

import "syscall"

var ahead = func() (n int64) {
	text, _ := syscall.Getenv("` + aheadVariable + `")
	sign := int64(1)
	for i := range len(text) {
		if text[i] == '-' {
			sign = -1
		} else {
			n = 10*n + int64(text[i]-'0')
		}
	}
	return sign * n
}()
`

// beginAhead starts a node whose clock is wrong.
func (c *clocks) beginAhead(wrong string, ahead time.Duration) *node {
	c.t.Helper()
	c.edit = func(cmd *exec.Cmd) {
		cmd.Path = wrong
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", aheadVariable, int(ahead.Seconds())))
	}
	n := c.begin()
	n.await()
	var entry struct{ Time time.Time }
	if err := json.Unmarshal([]byte(strings.SplitN(n.stderr.String(), "\n", 2)[0]), &entry); err != nil {
		c.t.Fatal(err)
	}
	if off := time.Until(entry.Time) - ahead; off.Abs() > time.Minute {
		c.t.Fatalf("its clock is %v ahead, want %v", time.Until(entry.Time), ahead)
	}
	return n
}

// right reports whether a time is about that of the database.
func (c *clocks) right(what string, at time.Time) {
	c.t.Helper()
	if off := time.Until(at); off.Abs() > 2*time.Second+busy() {
		c.t.Errorf("%s is %v off", what, off)
	}
}

// Clocks that differ by hours between nodes change nothing: ids, attempts, signatures
// and what is verified are of the database's time, retries are made when they are due,
// also on another node than planned them, a replay is of what it says, copies are
// recognised, and leases last as long as they should.
func TestSoakClocks(t *testing.T) {
	if !testkit.Soaking() {
		t.Skip("it compiles everything anew, with another clock: make soak")
	}
	t.Parallel()
	c := &clocks{t: t}
	c.nodesWorld = newNodesWorld(t, func(got *request, _ *http.Request) int {
		if got.path == "/failing" || got.path == "/flaky" && len(c.tries("/flaky", got.id)) == 0 {
			return 503
		}
		return 200
	}, "--retry-schedule=3s,3s,3s,3s,3s,3s,3s,3s,3s,3s,3s,3s,3s,3s,3s,3s,3s,3s,3s,3s")
	wrong := newWrongBinary(t)
	c.a, c.b = c.beginAhead(wrong, time.Hour), c.beginAhead(wrong, -time.Hour)
	c.app = c.a.application("clocks")
	for _, path := range []string{"plain", "flaky", "failing"} {
		c.a.endpoint(c.app, c.receiver.URL+"/"+path, object{"eventTypes": []string{path + ".*"}})
	}
	c.stamps()
	c.retries()
	c.replays()
	c.copies()
	c.verifies()
	c.leaves(wrong)
}

// tries are the requests of a message to a path.
func (c *clocks) tries(path, id string) (all []request) {
	for _, r := range c.receiver.requests(path) {
		if r.id == id {
			all = append(all, r)
		}
	}
	return all
}

// stamps looks at the times that are told, and whether both nodes list all.
func (c *clocks) stamps() {
	c.t.Helper()
	var ids []string
	for i := range 20 {
		n := []*node{c.a, c.b}[i%2]
		text := n.publish(c.app, "plain.made", object{})
		id, err := postern.ParseMessageID(text)
		if err != nil {
			c.t.Fatal(err)
		}
		c.right("an id of "+n.name, id.Time())
		ids = append(ids, text)
	}
	c.receiver.await(c.t, "/plain", len(ids))
	for _, r := range c.receiver.requests("/plain") {
		stamp, err := strconv.ParseInt(r.header.Get("webhook-timestamp"), 10, 64)
		if err != nil {
			c.t.Fatal(err)
		}
		if off := r.start.Sub(time.Unix(stamp, 0)); off.Abs() > 3*time.Second+busy() {
			c.t.Errorf("a signature is %v off", off)
		}
	}
	for _, n := range []*node{c.a, c.b} {
		if rows := n.all("/app/" + c.app + "/msg?order=ascending"); len(rows) != len(ids) || rows[0].Get("id").Str != ids[0] {
			c.t.Errorf("%s lists %d of %d, first %s of %s", n.name, len(rows), len(ids), rows[0].Get("id").Str, ids[0])
		}
		await(c.t, "attempts are listed", func() bool { return len(n.all("/app/"+c.app+"/attempt/msg/"+ids[0]+"?status=0")) == 1 })
		c.right("an attempt at "+n.name, n.all("/app/" + c.app + "/attempt/msg/" + ids[0] + "?status=0")[0].Get("timestamp").Time())
	}
}

// retries looks at the pause before a second try.
func (c *clocks) retries() {
	c.t.Helper()
	for _, n := range []*node{c.a, c.b} {
		id := n.publish(c.app, "flaky.made", object{})
		await(c.t, n.name+" tries again", func() bool { return len(c.tries("/flaky", id)) == 2 })
		tries := c.tries("/flaky", id)
		c.due(n.name, tries[0], tries[1], 0)
	}
}

// due checks that a try came when it was due after another, or somewhat later.
func (c *clocks) due(what string, first, second request, later time.Duration) {
	c.t.Helper()
	if pause := second.start.Sub(first.end); pause < 2*time.Second || pause > 5*time.Second+later+busy() {
		c.t.Errorf("%s: a retry after %v, want 3 s and at most %v more", what, pause, later)
	}
}

// replays replays what came after a moment, as each node reads it.
func (c *clocks) replays() {
	c.t.Helper()
	for i, n := range []*node{c.a, c.b} {
		pass(10 * time.Millisecond)
		since := time.Now().UTC()
		pass(10 * time.Millisecond)
		for range 5 {
			c.a.publish(c.app, "plain.made", object{})
			c.b.publish(c.app, "plain.made", object{})
		}
		path := fmt.Sprint("/replayed-", i)
		to := n.endpoint(c.app, c.receiver.URL+path, object{"eventTypes": []string{"never.*"}})
		var replay replayState
		n.want(201, "POST", "/app/"+c.app+"/replay", object{"toEndpointId": to, "since": since.Format(time.RFC3339Nano)}, &replay)
		await(c.t, "the replay ends", func() bool {
			n.want(200, "GET", "/app/"+c.app+"/replay/"+replay.ID, nil, &replay)
			return replay.State == "finished"
		})
		if replay.Replayed != 10 {
			c.t.Errorf("asked for at %s, a replay is of %d messages, want 10", n.name, replay.Replayed)
		}
	}
}

// copies has each node answer what the other was asked before.
func (c *clocks) copies() {
	c.t.Helper()
	for i, pair := range [][2]*node{{c.a, c.b}, {c.b, c.a}} {
		body := fmt.Sprintf(`{"eventType":"plain.made","payload":{},"eventId":"event-%d"}`, i)
		if first, second := pair[0].call("POST", "/app/"+c.app+"/msg", body), pair[1].call("POST", "/app/"+c.app+"/msg", body); first.status != 202 || second.status != 409 {
			c.t.Errorf("an event and its copy are answered %d and %d", first.status, second.status)
		}
		keyed := func(n *node) string {
			r, err := n.send("POST", "/api/v1/app/"+c.app+"/msg", http.Header{"Idempotency-Key": {fmt.Sprint("key-", i)}}, strings.NewReader(`{"eventType":"plain.made","payload":{}}`))
			if err != nil || r.status != 202 {
				c.t.Fatalf("%+v, %v", r, err)
			}
			return idOf(r.body)
		}
		if first, second := keyed(pair[0]), keyed(pair[1]); first != second {
			c.t.Errorf("one key makes %s and %s", first, second)
		}
	}
}

// verifies sends requests that say when they were signed, which has to be now.
func (c *clocks) verifies() {
	c.t.Helper()
	const secret = "whsec_8tLBkHeWt9p0L2Eyj4u5dVnC"
	for _, n := range []*node{c.a, c.b} {
		in := (&server{n.process, n.client}).inlet(c.t, "stripe", object{"name": n.name, "secrets": []string{secret}})
		for at, want := range map[time.Time]int{time.Now(): 202, time.Now().Add(-time.Hour): 401, time.Now().Add(time.Hour): 401} {
			body := fmt.Sprintf(`{"id":"evt_%d","type":"plain.made"}`, at.UnixNano())
			stamp := strconv.FormatInt(at.Unix(), 10)
			r := in.ask("POST", "", http.Header{"Content-Type": {"application/json"}, "Stripe-Signature": {"t=" + stamp + ",v1=" + hexMAC(secret, stamp+"."+body)}}, []byte(body))
			if r.status != want {
				c.t.Errorf("%s: signed %v ago, it is answered %d %s, want %d", n.name, time.Since(at).Round(time.Second), r.status, r.body, want)
			}
		}
	}
}

// leaves has the other node go on where one leaves, and where one dies.
func (c *clocks) leaves(wrong string) {
	c.t.Helper()
	begun := time.Now()
	await(c.t, "all could adopt by now", func() bool { return time.Since(begun) > leaseLasts+time.Second })
	for _, n := range []*node{c.a, c.b} {
		if n.told("adopted a journal: its deliveries go on here")+n.told("serving again") != 0 {
			c.t.Errorf("%s adopted something", n.name)
		}
	}
	id := c.a.publish(c.app, "failing.made", object{})
	c.receiver.await(c.t, "/failing", 1)
	if code := c.a.terminate(patience); code != 0 {
		c.t.Errorf("%s ends with code %d", c.a.name, code)
	}
	c.continues(id, c.b, handover)

	d := c.beginAhead(wrong, time.Hour)
	id = d.publish(c.app, "failing.made", object{})
	await(c.t, "it is tried", func() bool { return len(c.tries("/failing", id)) > 0 })
	d.crash()
	c.continues(id, c.b, leaseLasts+handover)
}

// continues waits until a node tries a message that another one did.
func (c *clocks) continues(id string, n *node, later time.Duration) {
	c.t.Helper()
	await(c.t, n.name+" goes on", func() bool {
		tries := c.tries("/failing", id)
		return tries[len(tries)-1].life == n.life
	})
	tries := c.tries("/failing", id)
	for i := range tries[1:] {
		c.due(n.name, tries[i], tries[i+1], later)
	}
}

package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-dev/postern/internal/pgtest"
	"github.com/postern-dev/postern/store/postgres"
)

const (
	// leaseLasts is how long a lease holds, and how long a node has to have held its
	// own before it adopts another's journal.
	leaseLasts = 10 * time.Second
	// handover is how long the deliveries of a journal may rest once it may be
	// adopted, on a machine that is not busy.
	handover = time.Second
)

// nodesWorld is several servers on one database, and the receiver that they deliver
// to, which knows them apart.
type nodesWorld struct {
	t        *testing.T
	cluster  *pgtest.Cluster // of this test alone
	database string
	flags    []string
	edit     func(*exec.Cmd) // of nodes that begin, nil for nothing
	receiver *receiver

	mu sync.Mutex
	// nodes are all that ever were; a request's life is the index of the one that
	// sent it. origins are the addresses that their deliveries come from.
	nodes   []*node
	origins map[string]int64
}

// node is a server, with a network of its own to the database.
type node struct {
	world *nodesWorld
	*process
	*client
	name string
	link *link
	life int64

	mu      sync.Mutex
	losses  []loss
	longest time.Duration // the longest commit, rounded up to a bucket
	proven  time.Time     // when the last publish began that it acknowledged
}

// loss is a time in which a node could not store what came of its attempts, as it
// was dead, stopped or without its lease. What ended shortly before may be lost too.
type loss struct{ from, to, proven time.Time }

// newNodesWorld makes one without a node. decide tells what endpoints answer; nil: 200.
func newNodesWorld(t *testing.T, decide func(*request, *http.Request) int, flags ...string) *nodesWorld {
	t.Helper()
	w := &nodesWorld{t: t, flags: flags, origins: map[string]int64{}, cluster: pgtest.New(pgtest.Config{Prepare: postgres.Migrate})}
	w.cluster.Run(t)
	w.database = w.cluster.Database(t)
	w.receiver = newReceiver(t, func(got *request, in *http.Request) int {
		w.mu.Lock()
		got.life = w.origins[got.remote]
		w.mu.Unlock()
		if decide == nil {
			return 200
		}
		return decide(got, in)
	})
	return w
}

// join starts a node and waits until it serves.
func (w *nodesWorld) join() *node {
	w.t.Helper()
	n := w.begin()
	n.await()
	return n
}

// three starts three nodes side by side and waits until they serve.
func (w *nodesWorld) three() (a, b, c *node) {
	w.t.Helper()
	nodes := []*node{w.begin(), w.begin(), w.begin()}
	for _, n := range nodes {
		n.await()
	}
	return nodes[0], nodes[1], nodes[2]
}

// begin starts a node without waiting for it. Its name is nobody else's, so that it
// takes nothing back.
func (w *nodesWorld) begin() *node {
	w.t.Helper()
	l := newLink(w.t, w.database)
	l.address.User = url.User("postgres")
	return w.beginOn(l, l.address.String())
}

// beginOn is begin on a store that is reached through a link, at least.
func (w *nodesWorld) beginOn(l *link, store string) *node {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	n := &node{world: w, life: int64(len(w.nodes)), link: l, client: newClient(w.t, "")}
	n.name = fmt.Sprint("node-", n.life)
	proxy := newWayOut(w.t, func(local string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.origins[local] = n.life
	})
	flags := append([]string{"--node=" + n.name, "--egress-proxy=http://" + proxy}, w.flags...)
	n.process = launch(w.t, w.edit, serveArgs(store, flags...)...)
	w.nodes = append(w.nodes, n)
	return n
}

// await waits until the node serves.
func (n *node) await() {
	n.process.t.Helper()
	base := n.process.url()
	n.world.mu.Lock()
	n.base = base // from now on publishers ask it
	n.world.mu.Unlock()
	if base == "" {
		n.process.t.Fatalf("%s ended with code %d:\n%s", n.name, n.code(patience), tail(n.stderr.String(), 4000))
	}
}

// lose notes that from a moment on nothing may have been stored; regain ends that.
func (n *node) lose(from time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.losses = append(n.losses, loss{from: from, proven: n.proven})
}

func (n *node) regain() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.losses[len(n.losses)-1].to = time.Now()
}

// crash kills the node.
func (n *node) crash() {
	n.lose(time.Now())
	n.kill()
}

// scrape reads the longest commit so far.
func (n *node) scrape() {
	scraper := *n.client
	quick := *n.http
	quick.Timeout = time.Second
	scraper.http = &quick
	samples, err := scraper.metrics()
	if err != nil {
		return // dead, or stopped
	}
	longest := longestCommit(n.process.t, samples)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.longest = max(n.longest, longest)
}

// lost reports whether the outcome of a request may have been: it was under way
// while the node could store nothing, or had ended so shortly before that it was
// not committed. What nothing younger was acknowledged after counts as well: a commit
// that did not end is in no histogram, and one that waited for a database tells
// nothing of others.
func (n *node) lost(r *request) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.losses, func(l loss) bool {
		begun := l.to.IsZero() || r.start.Before(l.to)
		late := r.end.After(l.from.Add(-settleWait - min(n.longest, readWait())))
		return begun && (late || l.proven.Before(r.end.Add(readWait())))
	})
}

// lease is what the database says of a journal.
type lease struct {
	Journal  int
	Epoch    int64
	Node     string
	Main     bool
	Held     bool
	Released bool
	Since    int64
}

// leases are those of all journals, by number.
func (w *nodesWorld) leases() []lease {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, w.database)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, "SELECT journal, epoch, node, main, NOT released AND expires_ms > postern_now() AS held, released, since_ms AS since FROM heartbeat ORDER BY journal")
	if err != nil {
		w.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByNameLax[lease])
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// senders are the nodes that live, as publishers choose among them.
func (w *nodesWorld) senders() []*node {
	w.mu.Lock()
	defer w.mu.Unlock()
	var living []*node
	for _, n := range w.nodes {
		select {
		case <-n.exited:
		default:
			if n.base != "" {
				living = append(living, n)
			}
		}
	}
	return living
}

// sent counts the requests to a path by the node that sent them.
func (w *nodesWorld) sent(path string) map[int64]int {
	counts := map[int64]int{}
	for _, r := range w.receiver.requests(path) {
		counts[r.life]++
	}
	return counts
}

// at returns the node that sent a request.
func (w *nodesWorld) at(r *request) *node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nodes[r.life]
}

// newWayOut is a proxy for one server's deliveries. It tells the address that each
// connection goes on from before anything passes, and returns its own.
func newWayOut(t *testing.T, tell func(local string)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { leadOut(ctx, client, tell) })
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		running.Wait()
	})
	return listener.Addr().String()
}

// leadOut serves one CONNECT until either end closes, or ctx is done.
func leadOut(ctx context.Context, client net.Conn, tell func(local string)) {
	defer client.Close()
	from := bufio.NewReader(client)
	r, err := http.ReadRequest(from)
	if err != nil {
		return
	}
	target, err := net.Dial("tcp", r.Host)
	if err != nil {
		_, _ = io.WriteString(client, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	defer target.Close()
	tell(target.LocalAddr().String())
	stop := context.AfterFunc(ctx, func() {
		_ = client.Close()
		_ = target.Close()
	})
	defer stop()
	if _, err := io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(target, from) // what failed is either's end
		_ = target.Close()
	})
	_, _ = io.Copy(client, target)
	_ = client.Close()
	both.Wait()
}

// pass lets time go by.
func pass(span time.Duration) { <-time.After(span) }

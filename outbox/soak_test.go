package outbox_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/internal/keyring"
	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/internal/userdb"
	"github.com/postern-dev/postern/outbox"
	"github.com/postern-dev/postern/store/embedded"
)

// victim tells this binary that it is a process to be killed; its value is an
// order in JSON.
const victim = "POSTERN_TEST_OUTBOX_VICTIM"

// order is what such a process is told.
type order struct {
	Kind, Address  string // of the user's database
	Store, Ring    string // of the engine
	Receiver       string
	First, Count   int // numbers of the transactions to make
	Seed           uint64
	Drain, Ordered bool
}

// A process that writes to the user's database, relays and delivers is killed
// again and again. What its transactions committed is delivered, what they
// rolled back is not, and the order of commits is that of messages.
func TestSoakKilledBetweenCommitAndDelivery(t *testing.T) {
	if text := os.Getenv(victim); text != "" {
		var o order
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			t.Fatal(err)
		}
		work(t, o)
		return
	}
	transactions, kills := testkit.Count(600, 10_000), testkit.Count(3, 10)
	random := testkit.Rand(t)
	for _, kind := range []string{"pgx", "sqlite"} {
		t.Run(kind, func(t *testing.T) {
			b := newBase(t, kind)
			b.create(t, &outbox.Table{})
			b.in(t, func(tx transaction) error { // the user's own table: place is of the commit, in an application
				place := "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
				if kind == "sqlite" {
					place = "integer PRIMARY KEY AUTOINCREMENT"
				}
				_, err := userdb.Exec(t.Context(), tx.Tx, "CREATE TABLE orders (place "+place+", number bigint NOT NULL, application bigint NOT NULL)")
				return err
			})
			got := newReceiver(t)
			o := order{
				Kind: kind, Address: b.address, Store: "file:" + t.TempDir() + "/store", Ring: keyring.New().Reveal(),
				Receiver: got.URL, Ordered: true,
			}
			made, life := 0, 0
			for share := transactions / (kills + 1); life < kills; life++ {
				// Numbers of a life are its own: what was under way at its end is not known.
				o.First, o.Count, o.Seed = life*1_000_000, 10*share, random.Uint64()
				made += live(t, o, share/2+random.IntN(share), nil)
			}
			o.First, o.Count, o.Drain = life*1_000_000, max(transactions-made, 1), true
			want := map[int][]string{}
			made += live(t, o, 0, func() {
				want = b.committed(t)
				got.wait(t, want)
			})
			got.compare(t, want)
			t.Logf("%d transactions, %d of them committed, %d kills", made, len(want[1])+len(want[2]), kills)
		})
	}
}

// live runs a process until it has ended so many transactions and kills it then,
// or, where drained is given, until its outbox is empty and drained has returned.
// It returns how many transactions it has ended.
func live(t *testing.T, o order, until int, drained func()) (ended int) {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestSoakKilledBetweenCommitAndDelivery$")
	child.Env = append(os.Environ(), victim+"="+string(text))
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	hold, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var said []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch lines.Text() {
		case ".":
			if ended++; ended == until {
				_ = child.Process.Kill() // what it is for
			}
		case "drained":
			drained()
			_ = hold.Close()
		default:
			said = append(said, lines.Text())
		}
	}
	if err := child.Wait(); drained != nil && err != nil || ended < until {
		t.Fatalf("a process ended %d of %d transactions, %v:\n%s", ended, until, err, strings.Join(said, "\n"))
	}
	return ended
}

// work makes transactions from several goroutines, a third of which roll back,
// while a relay and an engine run.
func work(t *testing.T, o order) {
	b := openBase(t, o.Kind, o.Address)
	eng := startEngine(t, o)
	table := &outbox.Table{Ordered: o.Ordered, Notify: o.Kind == "pgx"}
	cfg := outbox.RelayConfig{DB: b.db, Publisher: eng, Table: table}
	if o.Kind == "pgx" {
		cfg.Listen = b.listens
	}
	relay(t, cfg)
	var next atomic.Int64
	var writers sync.WaitGroup
	for worker := range 6 {
		random := rand.New(rand.NewPCG(o.Seed, uint64(worker)))
		writers.Go(func() {
			for n := int(next.Add(1)); n <= o.Count; n = int(next.Add(1)) {
				if err := b.order(table, o.First+n, random); err != nil {
					t.Error(err)
					return
				}
				fmt.Println(".")
			}
		})
	}
	writers.Wait()
	if o.Drain {
		b.untilEmpty(t)
		fmt.Println("drained")
		_, _ = io.Copy(io.Discard, os.Stdin) // until all is delivered
	}
}

// order is a transaction of the user's: a row of theirs, and a message about it.
func (b *base) order(table *outbox.Table, number int, random *rand.Rand) error {
	ctx := context.Background()
	tx, err := b.begin(ctx)
	if err != nil {
		return err
	}
	app := 1 + random.IntN(2)
	p := postern.Publish{Application: postern.ApplicationNumber(app), EventType: "order.placed", ContentType: "text/plain", Payload: []byte(strconv.Itoa(number))}
	_, err = table.Publish(ctx, tx.Tx, p)
	if err == nil { // after Publish, whose lock orders this row as well
		_, err = userdb.Exec(ctx, tx.Tx, "INSERT INTO orders (number, application) VALUES ($1, $2)", number, app)
	}
	if err != nil || random.IntN(3) == 0 {
		return errors.Join(err, tx.rollback())
	}
	return tx.commit()
}

// committed are the orders that were placed, by application, in their order.
func (b *base) committed(t *testing.T) map[int][]string {
	t.Helper()
	placed := map[int][]string{}
	b.in(t, func(tx transaction) error {
		return userdb.Each(t.Context(), tx.Tx, func(scan func(...any) error) (bool, error) {
			var number int64
			var app int
			err := scan(&number, &app)
			placed[app] = append(placed[app], strconv.FormatInt(number, 10))
			return true, err
		}, "SELECT number, application FROM orders ORDER BY place")
	})
	return placed
}

// startEngine runs an engine of two applications, whose endpoints are paths of
// the receiver named after their numbers.
func startEngine(t *testing.T, o order) *engine.Engine {
	t.Helper()
	st, err := embedded.Open(t.Context(), o.Store, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := engine.ParseSecrets(o.Ring)
	if err != nil {
		t.Fatal(err)
	}
	eng, err := engine.New(t.Context(), engine.Config{
		Store: st, Secrets: secrets, AdminKey: "admin",
		EgressAllow:   []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		RetrySchedule: slices.Repeat(postern.RetrySchedule{time.Second}, 20),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := eng.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		run.Wait()
		_ = st.Close()
	})
	for _, number := range []string{"1", "2"} {
		post(t, eng, "/api/v1/app?get_if_exists=true", `{"name":"`+number+`","uid":"`+number+`"}`)
		post(t, eng, "/api/v1/app/"+number+"/endpoint", `{"uid":"only","url":"`+o.Receiver+`/`+number+`"}`)
	}
	return eng
}

// post creates what may be there from an earlier life.
func post(t *testing.T, eng *engine.Engine, path, body string) {
	t.Helper()
	req := httptest.NewRequest("POST", path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer admin")
	resp := httptest.NewRecorder()
	eng.Handler().ServeHTTP(resp, req)
	if resp.Code >= 400 && resp.Code != http.StatusConflict {
		t.Fatalf("POST %s: %d %s", path, resp.Code, resp.Body)
	}
}

// receiver keeps what was delivered: the orders' numbers, by application and
// message.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	got     map[int]map[string]string
	changed chan struct{}
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{got: map[int]map[string]string{1: {}, 2: {}}, changed: make(chan struct{}, 1)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // cut off by a kill
		}
		app, _ := strconv.Atoi(req.URL.Path[1:])
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got[app][req.Header.Get("webhook-id")] = string(body)
		select {
		case r.changed <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// wait blocks until as many messages came as are wanted.
func (r *receiver) wait(t *testing.T, want map[int][]string) {
	t.Helper()
	until(t, "all is delivered", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.got[1]) >= len(want[1]) && len(r.got[2]) >= len(want[2])
	})
}

// compare holds what came, in the order of messages' ids, against what was
// committed.
func (r *receiver) compare(t *testing.T, want map[int][]string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	got := map[int][]string{}
	for app, messages := range r.got {
		ids := make([]string, 0, len(messages))
		for id := range messages {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		for _, id := range ids {
			got[app] = append(got[app], messages[id])
		}
	}
	if len(want[1]) == 0 || len(want[2]) == 0 {
		t.Error("nothing was committed: the test proves nothing")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("delivered (-committed +got):\n%s", diff)
	}
}

// Package pgtest gives tests a real PostgreSQL: one cluster for a test binary,
// on a Unix socket in a temporary directory, and a database of its own for each
// test. A main_test.go is all that a package needs:
//
//	var cluster = pgtest.New(pgtest.Config{})
//
//	func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }
//
// The cluster starts when the first test asks for a database. It ends with the
// test binary, however that ends: a shell beside it waits for the end of a pipe
// that only the test binary holds.
package pgtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Config says how a cluster is run. Its zero value is good for most tests.
type Config struct {
	// Fsync has PostgreSQL wait for the disk, for tests that take its power away.
	// A test that kills processes of ours needs none.
	Fsync bool
	// Settings are PostgreSQL's, by name, besides those that every cluster has.
	Settings map[string]string
	// Prepare makes the tables of a database once, at the address it is given.
	// The databases of all tests are copies of it. Nil leaves them empty.
	Prepare func(ctx context.Context, url string) error
}

// Cluster is a PostgreSQL of a test binary. It is safe for concurrent use.
type Cluster struct {
	cfg   Config
	start sync.Once
	err   error  // of the start; read after it
	from  string // the folder of the cluster that it follows from its start on, "" for none
	dir   string
	guard *exec.Cmd
	// stopped: by Stop, and not started again.
	stopped bool
	hold    io.WriteCloser // the guard obeys it, and lives as long as it is open
	told    *bufio.Reader  // what the guard answers
	count   atomic.Int64
}

// New makes a cluster that is not started yet.
func New(cfg Config) *Cluster { return &Cluster{cfg: cfg} }

// Main runs the tests and stops the cluster; it returns the exit code.
func (c *Cluster) Main(m *testing.M) int {
	defer c.stop()
	return m.Run()
}

// Run gives a test a cluster of its own, which ends with the test: for what would
// disturb others.
func (c *Cluster) Run(t testing.TB) { t.Cleanup(c.stop) }

// Database makes a database for a test and returns its address, postgres://...
// The test's end drops it with all its connections, unless the cluster is stopped. Without
// a PostgreSQL on this machine the test is skipped, or fails where CI is "true".
func (c *Cluster) Database(t testing.TB) string {
	t.Helper()
	c.start.Do(func() { c.err = c.run() })
	if errors.Is(c.err, errMissing) && os.Getenv("CI") != "true" {
		t.Skip(c.err)
	}
	if c.err != nil {
		t.Fatal(c.err)
	}
	name := "test" + strconv.FormatInt(c.count.Add(1), 10)
	if err := c.admin(context.Background(), "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.stopped {
			return // it ends with the cluster
		}
		if err := c.admin(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return c.url(name)
}

// template is the database that others are copies of.
const template = "prepared"

var errMissing = errors.New("no PostgreSQL on this machine: install its server, or run .ci/need-postgres")

// run starts the cluster and prepares the template.
func (c *Cluster) run() error {
	bin, err := binaries()
	if err != nil {
		return err
	}
	if err := c.begin(bin); err != nil {
		return err
	}
	ctx := context.Background()
	if err := c.admin(ctx, "CREATE DATABASE "+template); err != nil {
		return err
	}
	if c.cfg.Prepare == nil {
		return nil
	}
	return c.cfg.Prepare(ctx, c.url(template))
}

// begin makes the cluster's folder and starts it.
func (c *Cluster) begin(bin string) (err error) {
	if c.dir, err = os.MkdirTemp("", "pg"); err != nil { // short: a socket's path has 100 bytes
		return err
	}
	if err := c.startGuard(bin); err != nil {
		log, _ := os.ReadFile(filepath.Join(c.dir, "log")) // nothing to show without it
		c.stop()
		return fmt.Errorf("starting PostgreSQL: %w\n%s", err, log)
	}
	return nil
}

// Stop ends the server as an operator would, or worse, and waits until it is
// gone: "fast" breaks connections and ends in order, "immediate" is a crash, from
// which Start recovers. Databases outlive it. It is for one test at a time.
func (c *Cluster) Stop(t testing.TB, mode string) {
	t.Helper()
	signals := map[string]string{"fast": "INT", "immediate": "QUIT"}
	if err := c.order(signals[mode], "stopped"); err != nil {
		t.Fatal(err)
	}
	c.stopped = true
}

// Start starts the server again, and returns once it takes connections.
func (c *Cluster) Start(t testing.TB) {
	t.Helper()
	if err := c.order("START", "ready"); err != nil {
		t.Fatal(err)
	}
	c.stopped = false
}

// Standby gives a test a server that follows this one, which has to run, until it is
// promoted. It answers reads. Whoever writes here waits for it where
// synchronous_standby_names says so, to which it is "walreceiver".
func (c *Cluster) Standby(t testing.TB) *Cluster {
	t.Helper()
	s := &Cluster{cfg: c.cfg, from: c.dir}
	s.Run(t)
	bin, err := binaries()
	if err == nil {
		err = s.begin(bin)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Promote has a standby follow nobody any more, and returns once it takes writes.
func (c *Cluster) Promote(t testing.TB) {
	t.Helper()
	if err := c.admin(context.Background(), "SELECT pg_promote()"); err != nil {
		t.Fatal(err)
	}
}

// Same is the address that a database of a server has at this one, which follows it.
func (c *Cluster) Same(t testing.TB, url string) string {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	return c.url(config.Database)
}

// order has the guard do something, which it answers with want.
func (c *Cluster) order(what, want string) error {
	if _, err := fmt.Fprintln(c.hold, what); err != nil {
		return err
	}
	line, err := c.told.ReadString('\n')
	if line != want+"\n" {
		return fmt.Errorf("told %s, PostgreSQL is not %s: %q, %w", what, want, line, err)
	}
	return nil
}

// guard makes a cluster in $2 with the programs in $1, as a standby of the one in $3
// where that is not empty, says so when it can be used, stops and starts it as it is
// told by its standard input, and takes it away when that ends. What follows $3 is
// given to the server.
const guard = `
bin=$1 dir=$2 from=$3
shift 3
exec 2>"$dir/log"
trap '' INT TERM HUP
case $from in
"") "$bin/initdb" --no-sync -A trust -U postgres -E UTF8 --locale=C -D "$dir/data" >&2 || exit 1 ;;
*) "$bin/pg_basebackup" --no-sync -c fast -R -h "$from" -p 5432 -U postgres -D "$dir/data" >&2 || exit 1 ;;
esac
order=START
while
	case $order in
	START)
		"$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= "$@" >&2 &
		server=$!
		until "$bin/pg_isready" -q -h "$dir" -p 5432 -U postgres; do
			kill -0 "$server" || exit 1
			sleep 0.02
		done
		echo ready
		;;
	*)
		kill -"$order" "$server"
		wait "$server"
		echo stopped
		;;
	esac
	read -r order
do :; done
kill -QUIT "$server"
wait "$server"
rm -rf "$dir"/*
`

func (c *Cluster) startGuard(bin string) error {
	settings := map[string]string{"fsync": "off", "max_connections": "200"}
	if c.cfg.Fsync {
		settings["fsync"] = "on"
	}
	maps.Copy(settings, c.cfg.Settings)
	args := []string{"-c", guard, "sh", bin, c.dir, c.from}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	cmd := exec.Command("/bin/sh", args...) //nolint:gosec,noctx // the script above, which outlives every context on purpose
	cmd.Dir = c.dir
	if err := asOrdinaryUser(cmd, c.dir); err != nil {
		return err
	}
	hold, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.guard, c.hold, c.told = cmd, hold, bufio.NewReader(out)
	if line, err := c.told.ReadString('\n'); line != "ready\n" {
		return fmt.Errorf("it did not get ready: %w", err)
	}
	return nil
}

// stop ends the cluster, if it was started, and waits until it is gone.
func (c *Cluster) stop() {
	if c.guard != nil {
		_ = c.hold.Close()
		_ = c.guard.Wait() // it was told to kill what it ran
	}
	if c.dir != "" {
		_ = os.RemoveAll(c.dir) // in the temporary directory, which others tidy up too
	}
}

// admin runs a command that is about databases. It waits for no standby.
func (c *Cluster) admin(ctx context.Context, command string) error {
	config, err := pgx.ParseConfig(c.url("postgres"))
	if err != nil {
		return err
	}
	config.RuntimeParams["synchronous_commit"] = "local"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // what it did is answered
	_, err = conn.Exec(ctx, command)
	return err
}

// url says everything, so that PGHOST and the like change nothing.
func (c *Cluster) url(database string) string {
	return "postgres://postgres@/" + database + "?" + url.Values{"host": {c.dir}, "port": {"5432"}, "sslmode": {"disable"}}.Encode()
}

// binaries is the folder of PostgreSQL's programs: where postgres on PATH comes
// from, else the newest of where distributions put them.
func binaries() (string, error) {
	complete := func(folder string) bool {
		_, err := os.Stat(filepath.Join(folder, "initdb"))
		return err == nil
	}
	if program, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(program); err == nil && complete(filepath.Dir(real)) {
			return filepath.Dir(real), nil
		}
	}
	best := ""
	for _, pattern := range [...]string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*",
		"/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin",
	} {
		found, _ := filepath.Glob(pattern) // the patterns are well formed
		for _, folder := range found {
			if complete(folder) && (best == "" || version(folder) > version(best)) {
				best = folder
			}
		}
	}
	if best == "" {
		return "", errMissing
	}
	return best, nil
}

// version is the number in a folder's name, 0 for none.
func version(folder string) int {
	digits := strings.FieldsFunc(folder, func(r rune) bool { return r < '0' || r > '9' })
	if len(digits) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(digits[0]) // digits alone; one too long is no version
	return n
}

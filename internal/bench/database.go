package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// database is a PostgreSQL server that stores are made on, each in a database of its
// own. Its processes are this machine's and run on the cores of the measurement until
// it is closed. It belongs to one goroutine.
type database struct {
	conn       *pgx.Conn
	address    *url.URL
	info       databaseInfo
	postmaster int
	unpin      func() error
	// made are the names of the databases, by the folder that a store would have.
	made  map[string]string
	count int // that were made so far
}

// databaseInfo is what a reader must know of it to compare figures.
type databaseInfo struct {
	Version  string            `json:"version"`
	Settings []databaseSetting `json:"settings"`
	files    string            // the folder of its data
}

// databaseSetting is one in PostgreSQL's own words.
type databaseSetting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// telling are the settings that decide what a commit costs and what it puts off.
func telling() []string {
	return []string{
		"shared_buffers", "max_wal_size", "checkpoint_timeout", "synchronous_commit", "fsync", "full_page_writes",
		"wal_compression", "wal_level", "autovacuum",
	}
}

// openDatabase connects to the server that o names, and takes its processes to the
// cores of the measurement.
func openDatabase(ctx context.Context, o Options) (*database, error) {
	address, err := url.Parse(o.Store)
	if err != nil {
		return nil, errors.New("store: not a URL; write postgres://USER@HOST/DATABASE, with special characters of the password percent-encoded")
	}
	conn, err := connect(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	d := &database{conn: conn, address: address, made: map[string]string{}, unpin: func() error { return nil }}
	if err := d.attach(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("store: %w", err), d.close(ctx))
	}
	return d, nil
}

// connect opens a connection. Errors leave the password out.
func connect(ctx context.Context, address *url.URL) (*pgx.Conn, error) {
	config, err := pgxpool.ParseConfig(plain(address).String()) // it knows a pool's settings, too
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, config.ConnConfig)
}

// plain is an address without what is for the server of Postern alone.
func plain(address *url.URL) *url.URL {
	u := *address
	query := u.Query()
	query.Del("listen_url")
	u.RawQuery = query.Encode()
	return &u
}

// attach refuses a server that cannot be measured, and pins the processes of one that
// can.
func (d *database) attach(ctx context.Context, o Options) error {
	if err := d.describe(ctx); err != nil {
		return err
	}
	if off := d.info.careless(); off != "" && !o.Quick {
		return fmt.Errorf("%s is off, so that what it acknowledges can be lost: no figure of it is a measurement (--quick takes a look all the same)", off)
	}
	var backend int
	var local bool
	err := d.conn.QueryRow(ctx, "SELECT pg_backend_pid(), coalesce(inet_server_addr() << '127.0.0.0/8' OR inet_server_addr() = '::1', true)").Scan(&backend, &local)
	if err != nil {
		return err
	}
	if !local {
		return errors.New("the CPU time of a database on another machine cannot be read: measure where it runs, over its socket or 127.0.0.1")
	}
	if d.postmaster, err = postmasterOf(backend); err != nil {
		return err
	}
	d.unpin, err = pinFamily(d.postmaster, o.CPUs)
	return err
}

// describe reads version and settings.
func (d *database) describe(ctx context.Context) error {
	rows, err := d.conn.Query(ctx, `SELECT n, current_setting(n) FROM unnest($1::text[]) WITH ORDINALITY AS x (n, i) ORDER BY i`, telling())
	if err != nil {
		return err
	}
	if d.info.Settings, err = pgx.CollectRows(rows, pgx.RowToStructByPos[databaseSetting]); err != nil {
		return err
	}
	return d.conn.QueryRow(ctx, "SELECT current_setting('server_version'), coalesce((SELECT setting FROM pg_settings WHERE name = 'data_directory'), '')").
		Scan(&d.info.Version, &d.info.files) // only some roles are told the folder
}

// careless names the first setting by which an acknowledged commit can be lost; ""
// for none.
func (i databaseInfo) careless() string {
	for _, s := range i.Settings {
		if (s.Name == "fsync" || s.Name == "synchronous_commit") && s.Value == "off" {
			return s.Name
		}
	}
	return ""
}

// note is a line for the head of a report; "" without a database.
func (i *databaseInfo) note() string {
	if i == nil {
		return ""
	}
	line := "PostgreSQL " + i.Version
	for _, s := range i.Settings {
		line += ", " + s.Name + "=" + s.Value
	}
	if off := i.careless(); off != "" {
		line += "\nNOT A MEASUREMENT: " + off + " is off"
	}
	return line + "\n"
}

// storeAt is the address of the store that belongs to a folder; an empty database is
// made where there is none yet.
func (d *database) storeAt(ctx context.Context, dir string) (string, error) {
	name, ok := d.made[dir]
	if !ok {
		var err error
		if name, err = d.create(ctx, dir, ""); err != nil {
			return "", err
		}
	}
	return d.named(name).String(), nil
}

// named is the address of a database on this server.
func (d *database) named(name string) *url.URL {
	u := *d.address
	query := u.Query()
	query.Del("dbname") // it would be stronger than the path
	u.Path, u.RawQuery = "/"+name, query.Encode()
	return &u
}

// vacuum pays what the store of a folder owes for having been filled: else each copy
// of it would be vacuumed whole, at some moment of a measurement.
func (d *database) vacuum(ctx context.Context, dir string) error {
	conn, err := connect(ctx, d.named(d.made[dir]))
	if err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	_, err = conn.Exec(ctx, "VACUUM ANALYZE")
	return errors.Join(err, conn.Close(ctx))
}

// copy makes the store of a folder a copy of another folder's, which no server has
// open any more.
func (d *database) copy(ctx context.Context, from, to string) error {
	how := " TEMPLATE " + d.made[from]
	if d.conn.PgConn().ParameterStatus("server_version") >= "15" {
		how += " STRATEGY file_copy" // and not all of it through the log
	}
	_, err := d.create(ctx, to, how)
	return err
}

func (d *database) create(ctx context.Context, dir, how string) (string, error) {
	d.count++
	name := fmt.Sprintf("postern_bench_%d_%d", os.Getpid(), d.count)
	if _, err := d.conn.Exec(ctx, "CREATE DATABASE "+name+how); err != nil {
		return "", fmt.Errorf("make a database to measure on: %w", err)
	}
	d.made[dir] = name
	return name, nil
}

// drop removes the store of a folder, if there is one.
func (d *database) drop(ctx context.Context, dir string) error {
	name, ok := d.made[dir]
	if !ok {
		return nil
	}
	delete(d.made, dir)
	if _, err := d.conn.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("remove what was measured on: %w", err)
	}
	return nil
}

// dropBelow removes the stores of a folder and of those in it.
func (d *database) dropBelow(ctx context.Context, dir string) error {
	var errs []error
	for made := range d.made {
		if made == dir || strings.HasPrefix(made, dir+string(os.PathSeparator)) {
			errs = append(errs, d.drop(ctx, made))
		}
	}
	return errors.Join(errs...)
}

// size is that of the store of a folder, in bytes.
func (d *database) size(ctx context.Context, dir string) (bytes int64, err error) {
	err = d.conn.QueryRow(ctx, "SELECT pg_database_size($1::name)", d.made[dir]).Scan(&bytes)
	return bytes, err
}

// checkpoint has the server write what it put off, and waits for it.
func (d *database) checkpoint(ctx context.Context) error {
	_, err := d.conn.Exec(ctx, "CHECKPOINT")
	return err
}

// cpu is what all processes of the server have used so far.
func (d *database) cpu() (time.Duration, error) { return familyCPU(d.postmaster) }

// databaseCounters are of the whole server, since it started.
type databaseCounters struct {
	logged      float64 // bytes of the write-ahead log
	checkpoints float64
	vacuums     float64 // vacuum workers at this moment
}

func (d *database) counters(ctx context.Context) (c databaseCounters, err error) {
	checkpoints := "SELECT checkpoints_timed + checkpoints_req FROM pg_stat_bgwriter"
	if d.conn.PgConn().ParameterStatus("server_version") >= "17" {
		checkpoints = "SELECT num_timed + num_requested FROM pg_stat_checkpointer"
	}
	err = d.conn.QueryRow(ctx, `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8, (`+checkpoints+`)::float8,
			(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker')::float8`).
		Scan(&c.logged, &c.checkpoints, &c.vacuums)
	return c, err
}

// closeGrace is how long removing what was made may take.
const closeGrace = time.Minute

// close removes all databases that were made, and lets the server's processes run
// where they did before. It is done however ctx ends.
func (d *database) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeGrace)
	defer cancel()
	var errs []error
	for dir := range d.made {
		errs = append(errs, d.drop(ctx, dir))
	}
	return errors.Join(append(errs, d.unpin(), d.conn.Close(ctx))...)
}

// onDatabase has the cost of a database judged as such: the floor is one process
// that appends to a file.
func onDatabase(runs []run) []run {
	out := slices.Clone(runs)
	for i, r := range out {
		out[i].bars = slices.DeleteFunc(slices.Clone(r.bars), func(b bar) bool {
			return b.against == subjectFloor || b.against == "" && b.figure == figureCPU
		})
		if r.name == "one" {
			out[i].bars = append(out[i].bars, bar{figure: figureCPU, limit: fixed(120)}, bar{figure: figureDeliveries, atLeast: true, limit: fixed(5000)})
		}
	}
	return out
}

package postgres

import (
	"context"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/postern-dev/postern"
)

// lineage knows which server of a database is the youngest: each standby that takes
// over begins a timeline of its own. The one before may come back and still take
// itself for the primary. What is written to it is lost, and a lease that is renewed
// there holds nowhere else.
type lineage struct {
	mu sync.Mutex
	// system is the database's number, which all its servers have, timeline the
	// youngest that was met; zero for none yet.
	system, timeline int64
	// younger is called when a younger one is met, nil for nobody. Whoever connects
	// at that moment waits for it.
	younger func()
}

// errElder is why a connection is not used.
var errElder = &postern.Error{Kind: postern.Unavailable, Code: "elder_server", Detail: "this server was the database's before a failover: what is written to it is lost"}

// selectTimeline is on a primary. It reads no table: a database may have none yet.
const selectTimeline = "SELECT system_identifier, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int8 FROM pg_control_system()"

// meet asks the server of a new connection which one it is, and refuses one that is
// elder than another was. A server that does not tell, or another database, is
// taken as it is.
func (l *lineage) meet(ctx context.Context, conn *pgconn.PgConn) error {
	results, err := conn.Exec(ctx, selectTimeline).ReadAll()
	if err != nil {
		if code(err) != "" && !fatal(err) {
			return nil // it has no such functions, or not for this role
		}
		return err
	}
	row := results[0].Rows[0]
	system, _ := strconv.ParseInt(string(row[0]), 10, 64) // numbers, as the statement casts them
	timeline, _ := strconv.ParseInt(string(row[1]), 10, 64)
	return l.saw(system, timeline)
}

// tell has fn called when a younger server is met.
func (l *lineage) tell(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.younger = fn
}

// saw takes note of a server.
func (l *lineage) saw(system, timeline int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	same := l.system == system
	if same && timeline < l.timeline {
		return errElder
	}
	if same && timeline > l.timeline && l.younger != nil {
		l.younger()
	}
	l.system, l.timeline = system, timeline
	return nil
}

// primary refuses servers that follow another one: they would read what is old. A
// name that points to one, after a failover, is tried again until it does not. Nor
// are servers taken that are of before a failover.
func (a *address) primary(l *lineage) {
	c := a.config.ConnConfig
	valid := c.ValidateConnect // by target_session_attrs, where the address has it
	if valid == nil {
		valid = pgconn.ValidateConnectTargetSessionAttrsPrimary
	}
	c.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if err := valid(ctx, conn); err != nil {
			return err
		}
		return l.meet(ctx, conn)
	}
}

// follow leaves the servers of before to themselves: connections to them that rest
// are closed, and a batch that waits for an answer from there is looked for at the
// one that is there now.
func (s *Store) follow() {
	s.reads.Reset()
	s.node.control.Reset()
	s.node.alone.Reset()
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	for _, held := range s.node.journals {
		held.writer.sent.call()
	}
}

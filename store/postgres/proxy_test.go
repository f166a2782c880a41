package postgres

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

// fate is what a proxy does with a batch that passes.
type fate int

const (
	passes fate = iota
	// lost: the connection breaks before the server has the batch.
	lost
	// unheard: the server has it, and the connection breaks before its answer.
	unheard
	// panicked: the server has it, and says that it panicked over the end.
	panicked
)

// proxy stands between a store and its database, and breaks connections.
type proxy struct {
	listener net.Listener
	socket   string
	mu       sync.Mutex
	next     []fate // of the batches to come
	met      []fate // of those that came
	conns    []net.Conn
	away     bool   // everybody is turned away
	silent   bool   // whoever comes gets no answer
	forgets  string // of the next statement with this text nothing is heard, which the server has
	pooler   bool   // sessions are told numbers that are not their server's, and names of statements mean nothing
}

// newProxy returns one for a database, and the address through it.
func newProxy(t *testing.T, database string) (*proxy, string) {
	t.Helper()
	config, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, socket: filepath.Join(config.Host, ".s.PGSQL.5432")}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
		running.Wait()
	})
	u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", "hunter2"), Host: listener.Addr().String(), Path: config.Database, RawQuery: "sslmode=disable"}
	return p, u.String()
}

// cut breaks all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// turnAway has everybody turned away who comes, and breaks the connections there are.
func (p *proxy) turnAway(away bool) {
	p.mu.Lock()
	p.away = away
	p.mu.Unlock()
	if away {
		p.cut()
	}
}

// take is the fate of a batch that has come.
func (p *proxy) take() fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := passes
	if len(p.next) > 0 {
		f, p.next = p.next[0], p.next[1:]
	}
	p.met = append(p.met, f)
	return f
}

// swallows reports whether what is said to a message gets lost.
func (p *proxy) swallows(message []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.forgets == "" || !bytes.Contains(message, []byte(p.forgets)) {
		return false
	}
	p.forgets = ""
	return true
}

// cancelRequest asks the server to give a statement up.
const cancelRequest = 80877102

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("unix", p.socket)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	away, silent, pooler := p.away, p.silent, p.pooler
	p.mu.Unlock()
	if away {
		_, _ = client.Read(make([]byte, 1<<12))
		_, _ = client.Write(answer("FATAL", "XX000"))
		_, _ = client.Close(), server.Close()
		return
	}
	if silent {
		_, _ = io.Copy(io.Discard, client)
		_, _ = client.Close(), server.Close()
		return
	}
	deaf := make(chan struct{})
	var last []byte // what is said after the end
	var back sync.WaitGroup
	back.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := server.Read(buf)
			select {
			case <-deaf:
				_, _ = client.Write(last)
				_ = client.Close()
				return
			default:
			}
			if key := bytes.Index(buf[:n], []byte("K\x00\x00\x00\x0c")); pooler && key >= 0 {
				buf[key+5] ^= 1
			}
			if _, werr := client.Write(buf[:n]); err != nil || werr != nil {
				_ = client.Close()
				return
			}
		}
	})
	buf := make([]byte, 1<<20)
	for {
		n, err := client.Read(buf)
		if n == 16 && binary.BigEndian.Uint32(buf[4:]) == cancelRequest { // gets lost as well
			break
		}
		if bytes.Contains(buf[:n], []byte("postern_commit\x00")) && buf[0] == 'B' { // Bind: a batch
			switch p.take() {
			case lost:
				_ = client.Close()
				_ = server.Close()
			case unheard:
				close(deaf)
			case panicked:
				last = answer("PANIC", "58030")
				close(deaf)
			case passes:
			}
		}
		if p.swallows(buf[:n]) {
			close(deaf)
		}
		if pooler && buf[0] == 'B' {
			copy(buf, bytes.ReplaceAll(buf[:n], []byte("\x00stmtcache_"), []byte("\x00elsewhere_")))
		}
		if n > 0 {
			if _, werr := server.Write(buf[:n]); werr != nil {
				err = werr
			}
		}
		if err != nil {
			break
		}
	}
	_ = client.Close()
	_ = server.Close()
	back.Wait()
}

// answer is an error as a server tells it.
func answer(severity, code string) []byte {
	message, err := (&pgproto3.ErrorResponse{Severity: severity, SeverityUnlocalized: severity, Code: code, Message: "no"}).Encode(nil)
	if err != nil {
		panic(err)
	}
	return message
}

package e2e_test

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// nameServer answers for names at 127.0.0.1:53, with 127.0.0.1: all but
// denied.example, which is not there, and broken.example, which fails.
type nameServer struct {
	conn net.PacketConn
	how  atomic.Value // "", "silent" or "failing": for all names
}

// The codes of RFC 1035, section 4.1.1.
const (
	dnsFails  = 2
	dnsDenies = 3
)

func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{conn: conn}
	s.answer("")
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serve()
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return s
}

// answer has all names be answered for in another way from now on.
func (s *nameServer) answer(how string) { s.how.Store(how) }

func (s *nameServer) serve() {
	query := make([]byte, 512)
	for {
		n, from, err := s.conn.ReadFrom(query)
		if err != nil {
			return
		}
		if how := s.how.Load(); how != "silent" && n > 12 {
			_, _ = s.conn.WriteTo(resolved(query[:n], how == "failing"), from) // a lost answer is asked for again
		}
	}
}

// resolved is the answer to a query of one question.
func resolved(query []byte, failing bool) []byte {
	end, name := 12, []string{}
	for query[end] != 0 { // length, label
		name = append(name, string(query[end+1:end+1+int(query[end])]))
		end += 1 + int(query[end])
	}
	question := query[12 : end+5]
	kind := question[len(question)-3] // of two bytes, of which the first is 0 for all that are asked here
	code := 0
	switch host := strings.Join(name, "."); {
	case failing || host == "broken.example":
		code = dnsFails
	case host == "denied.example":
		code = dnsDenies
	}
	answers := byte(0)
	if kind == 1 && code == 0 { // an address of IPv4
		answers = 1
	}
	out := append([]byte{}, query[0], query[1], 0x81, 0x80|byte(code), 0, 1, 0, answers, 0, 0, 0, 0)
	out = append(out, question...)
	if answers == 1 { // the name as above, A, IN, no time to live
		out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1)
	}
	return out
}

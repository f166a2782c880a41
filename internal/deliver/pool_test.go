package deliver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern/internal/deliver"
	"github.com/postern-dev/postern/internal/egress"
)

func TestConnectionIsReused(t *testing.T) {
	e := answers(t, ok)
	c := newClient(t, deliver.Config{})
	first := post(t, c, request(t, e.url()), deliver.None)
	second := post(t, c, request(t, e.url()), deliver.None)
	if first.Reused || !second.Reused || second.Redialed || e.conns.Load() != 1 {
		t.Errorf("first %+v, second %+v, %d connections", first, second, e.conns.Load())
	}
	if first.Timings.Connect <= 0 || second.Timings.Connect != 0 || second.Timings.FirstByte <= 0 || second.Timings.Total < second.Timings.FirstByte {
		t.Errorf("timings %+v, %+v", first.Timings, second.Timings)
	}
	if s := c.Stats(); s.Dials != 1 || s.Open != 1 || s.Idle != 1 {
		t.Errorf("%+v", s)
	}
}

func TestPoolsAreApart(t *testing.T) {
	e, other := answers(t, ok), answers(t, ok)
	c := newClient(t, deliver.Config{})
	post(t, c, request(t, e.url()), deliver.None)
	if res := post(t, c, request(t, other.url()), deliver.None); res.Reused {
		t.Error("another port's connection was used")
	}
	// The same socket address by another name is another identity.
	_, port, _ := net.SplitHostPort(e.addr)
	if res := post(t, c, request(t, "http://127.0.0.2:"+port+"/"), deliver.ConnectRefused); res.Reused || res.Written {
		t.Errorf("%+v", res)
	}
	if res := post(t, c, request(t, "http://"+e.addr+"/other/path?q"), deliver.None); !res.Reused {
		t.Error("another path of the same host was not reused")
	}
}

// TestClosedIdleConnectionIsNotWrittenTo: the peer's FIN, or bytes that nobody asked
// for, are seen before writing.
func TestClosedIdleConnectionIsNotWrittenTo(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("this system cannot look at a socket: the redial covers it")
	}
	for name, spoil := range map[string]func(*visit){
		"closed":  func(v *visit) { v.Close() },
		"timeout": func(v *visit) { v.say("HTTP/1.1 408 Request Timeout\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			idle, spoilt := make(chan struct{}), make(chan struct{})
			e := serve(t, func(v *visit) {
				v.next()
				v.say(ok)
				if v.n == 1 {
					<-idle
					spoil(v)
					close(spoilt)
				}
				v.gone()
			})
			c := newClient(t, deliver.Config{})
			post(t, c, request(t, e.url()), deliver.None)
			close(idle)
			<-spoilt // on loopback what was sent or closed has arrived by now
			res := post(t, c, request(t, e.url()), deliver.None)
			if res.Status != 200 || res.Reused || res.Redialed || e.conns.Load() != 2 {
				t.Errorf("%+v, %d connections", res, e.conns.Load())
			}
		})
	}
}

// TestDeadReusedConnectionIsRedialledOnce: the endpoint closes when it sees the second
// request, which no look beforehand finds.
func TestDeadReusedConnectionIsRedialledOnce(t *testing.T) {
	for name, c := range map[string]struct {
		second string // what follows the second request on the first connection
		fresh  string // what the second connection answers
		want   deliver.Cause
		conns  int32
	}{
		"and answered":    {"", ok, deliver.None, 2},
		"and dead again":  {"", "", deliver.ClosedEarly, 2},
		"after one byte":  {"H", ok, deliver.ClosedEarly, 1},
		"after an answer": {"HTTP/1.1 garbage\r\n", ok, deliver.Malformed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			e := serve(t, func(v *visit) {
				v.next()
				if v.n > 1 {
					v.say(c.fresh)
					return
				}
				v.say(ok)
				v.next()
				v.say(c.second)
			})
			client := newClient(t, deliver.Config{})
			post(t, client, request(t, e.url()), deliver.None)
			res := post(t, client, request(t, e.url()), c.want)
			if res.Redialed != (c.conns == 2) || !res.Written || e.conns.Load() != c.conns {
				t.Errorf("%+v, %d connections", res, e.conns.Load())
			}
			if got := client.Stats().Redials; got != uint64(c.conns-1) {
				t.Errorf("%d redials", got)
			}
		})
	}
}

// TestWrittenOutlivesAFailedRedial: what the first connection took may have been acted
// upon.
func TestWrittenOutlivesAFailedRedial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{limit: 1, handle: func(v *visit) {
			v.next()
			v.say(ok)
			v.next()
		}}
		defer p.wg.Wait()
		c := newClient(t, deliver.Config{Dialer: p})
		defer c.Close()
		post(t, c, request(t, "http://h/"), deliver.None)
		if res := post(t, c, request(t, "http://h/"), deliver.ConnectRefused); !res.Redialed || !res.Written {
			t.Errorf("%+v", res)
		}
	})
}

// TestUnaskableConnectionIsRedialled: where the socket cannot be looked at, a closed
// connection is found out by using it.
func TestUnaskableConnectionIsRedialled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{handle: func(v *visit) {
			v.next()
			v.say(ok)
		}}
		defer p.wg.Wait()
		c := newClient(t, deliver.Config{Dialer: p})
		defer c.Close()
		post(t, c, request(t, "http://h/"), deliver.None)
		synctest.Wait()
		if res := post(t, c, request(t, "http://h/"), deliver.None); !res.Redialed || !res.Written || p.dials != 2 {
			t.Errorf("%+v", res)
		}
	})
}

// TestRedialKeepsTheDeadline: both tries share one deadline.
func TestRedialKeepsTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{handle: func(v *visit) {
			v.next()
			if v.n == 1 {
				v.say(ok)
				v.next()
				time.Sleep(10 * time.Second) // fake time
				return
			}
			v.gone()
		}}
		defer p.wg.Wait()
		c := newClient(t, deliver.Config{Dialer: p})
		defer c.Close()
		post(t, c, request(t, "http://h/"), deliver.None)
		res := post(t, c, request(t, "http://h/"), deliver.Timeout)
		if !res.Redialed || res.Timings.Total != 15*time.Second {
			t.Errorf("%+v", res)
		}
	})
}

func TestIdleConnectionsAreEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{handle: func(v *visit) {
			for {
				if _, more := v.next(); !more {
					return
				}
				v.say(ok)
			}
		}}
		defer p.wg.Wait()
		c := newClient(t, deliver.Config{Dialer: p, IdleTimeout: time.Minute})
		defer c.Close()
		post(t, c, request(t, "http://a/"), deliver.None)
		time.Sleep(40 * time.Second) // fake time
		post(t, c, request(t, "http://b/"), deliver.None)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if s := c.Stats(); s.Idle != 1 || s.Open != 1 {
			t.Errorf("after the first one's minute: %+v", s)
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if s := c.Stats(); s.Idle != 0 || s.Open != 0 {
			t.Errorf("after everyone's minute: %+v", s)
		}
	})
}

func TestIdleConnectionsAreBounded(t *testing.T) {
	c := newClient(t, deliver.Config{MaxIdle: 2})
	var es []*endpoint
	for range 4 {
		es = append(es, answers(t, ok))
		post(t, c, request(t, es[len(es)-1].url()), deliver.None)
	}
	if s := c.Stats(); s.Idle != 2 || s.Open != 2 {
		t.Errorf("%+v", s)
	}
	for i, e := range es[1:] { // from the second on, so that the bound is not hit again before each look
		if res := post(t, c, request(t, e.url()), deliver.None); res.Reused != (i > 0) {
			t.Errorf("endpoint %d: reused %v; the oldest go first", i+1, res.Reused)
		}
		if i == 0 {
			post(t, c, request(t, es[2].url()), deliver.None)
			post(t, c, request(t, es[3].url()), deliver.None)
		}
	}
}

func TestLastUsedIsReusedFirst(t *testing.T) {
	both := make(chan struct{})
	var meet sync.WaitGroup
	meet.Add(2)
	e := serve(t, func(v *visit) {
		v.next()
		meet.Done()
		<-both
		for more := true; more; _, more = v.next() {
			v.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", v.n))
		}
	})
	c := newClient(t, deliver.Config{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { post(t, c, request(t, e.url()), deliver.None) })
	}
	meet.Wait()
	close(both)
	wg.Wait()
	first := post(t, c, request(t, e.url()), deliver.None)
	for range 5 {
		if res := post(t, c, request(t, e.url()), deliver.None); !res.Reused || string(res.Body) != string(first.Body) {
			t.Errorf("reused %v, connection %s; want %s again", res.Reused, res.Body, first.Body)
		}
	}
	if s := c.Stats(); s.Idle != 2 || s.Dials != 2 {
		t.Errorf("%+v", s)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, p := range map[string]*pipes{
			"while waiting for an answer": {handle: func(v *visit) { v.next(); v.gone() }},
			"while connecting":            {handle: func(v *visit) { v.gone() }, wait: time.Hour},
			"while reading a body":        {handle: func(v *visit) { v.next(); v.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"); v.gone() }},
		} {
			c := deliver.New(deliver.Config{Dialer: p})
			var res deliver.Result
			done := make(chan struct{})
			go func() {
				defer close(done)
				c.Post(t.Context(), request(t, "http://h/"), &res)
			}()
			synctest.Wait()
			start := time.Now()
			c.Close()
			<-done
			if took := time.Since(start); took > 0 {
				t.Errorf("%s: took %v", name, took)
			}
			if cut := name == "while reading a body"; res.Cause != deliver.Canceled && !cut || cut && (res.Status != 200 || res.Cut != deliver.Canceled) {
				t.Errorf("%s: %+v", name, res)
			}
			p.wg.Wait()
			c.Close()
			if res := post(t, c, request(t, "http://h/"), deliver.Canceled); res.Written {
				t.Errorf("%s: a closed client wrote", name)
			}
			if s := c.Stats(); s.Open != 0 || s.Idle != 0 {
				t.Errorf("%s: %+v", name, s)
			}
		}
	})
}

func TestContextEndsTheExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{handle: func(v *visit) { v.next(); v.gone() }}
		defer p.wg.Wait()
		c := newClient(t, deliver.Config{Dialer: p})
		defer c.Close()
		for want, ctx := range map[deliver.Cause]func() (context.Context, context.CancelFunc){
			deliver.Timeout: func() (context.Context, context.CancelFunc) { return context.WithTimeout(t.Context(), time.Second) },
			deliver.Canceled: func() (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				return ctx, cancel
			},
		} {
			ctx, cancel := ctx()
			var res deliver.Result
			c.Post(ctx, request(t, "http://h/"), &res)
			if res.Cause != want || res.Timings.Total != time.Second || !res.Written {
				t.Errorf("%s: %+v", want, res)
			}
			dials := p.dials
			if c.Post(ctx, request(t, "http://h/"), &res); res.Cause != want || p.dials != dials {
				t.Errorf("%s, once it has ended: %+v", want, res)
			}
			cancel()
		}
	})
}

// TestContextOfAFinishedExchange: ending it afterwards does not touch the kept
// connection.
func TestContextOfAFinishedExchange(t *testing.T) {
	e := answers(t, ok)
	c := newClient(t, deliver.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	var res deliver.Result
	c.Post(ctx, request(t, e.url()), &res)
	cancel()
	if res := post(t, c, request(t, e.url()), deliver.None); !res.Reused {
		t.Error("not reused")
	}
}

// failing is a dialer that only fails.
type failing struct{ err error }

func (f failing) Dial(context.Context, string, uint16) (net.Conn, egress.Trace, error) {
	return nil, egress.Trace{DNS: time.Second}, f.err
}

func TestCausesOfADial(t *testing.T) {
	for kind, want := range map[egress.Kind]deliver.Cause{
		egress.Forbidden: deliver.ForbiddenAddress, egress.Resolve: deliver.DNS, egress.Refused: deliver.ConnectRefused,
		egress.Connect: deliver.Connect, egress.Timeout: deliver.Timeout, egress.Canceled: deliver.Canceled, egress.Local: deliver.Local,
	} {
		err := &egress.Error{Kind: kind, Err: errors.New("no")}
		res := post(t, newClient(t, deliver.Config{Dialer: failing{err}}), request(t, "http://h/"), want)
		if res.Written || res.RemoteAddr != "" || res.Timings.DNS != time.Second {
			t.Errorf("%s: %+v", want, res)
		}
	}
}

// starved is a connection whose every write fails for want of memory.
type starved struct{ net.Conn }

func (starved) Write([]byte) (int, error) { return 0, &net.OpError{Op: "write", Err: syscall.ENOBUFS} }

type starving struct{}

func (starving) Dial(context.Context, string, uint16) (net.Conn, egress.Trace, error) {
	c, _ := net.Pipe()
	return starved{c}, egress.Trace{}, nil
}

func TestShortageIsLocal(t *testing.T) {
	res := post(t, newClient(t, deliver.Config{Dialer: starving{}}), request(t, "http://h/"), deliver.Local)
	if res.Written {
		t.Error("written")
	}
}

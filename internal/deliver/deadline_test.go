package deliver_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern/internal/deliver"
)

// TestDeadline: in fake time, to the nanosecond.
func TestDeadline(t *testing.T) {
	drip := func(v *visit, s string) {
		for i := range len(s) {
			if _, err := v.Write([]byte{s[i]}); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}
	for name, c := range map[string]struct {
		wait   time.Duration // to connect
		handle func(*visit)
		cause  deliver.Cause
		cut    deliver.Cause
		took   time.Duration
	}{
		"connect hangs": {time.Hour, nil, deliver.Timeout, deliver.None, 15 * time.Second},
		"nothing read":  {0, func(*visit) { time.Sleep(time.Minute) }, deliver.Timeout, deliver.None, 15 * time.Second},
		"no answer":     {5 * time.Second, func(v *visit) { v.next(); v.gone() }, deliver.Timeout, deliver.None, 15 * time.Second},
		"header drips":  {0, func(v *visit) { v.next(); drip(v, ok) }, deliver.Timeout, deliver.None, 15 * time.Second},
		"late answer":   {10 * time.Second, func(v *visit) { v.next(); time.Sleep(4 * time.Second); v.say(ok) }, deliver.None, deliver.None, 14 * time.Second},
		"body drips":    {0, func(v *visit) { v.next(); v.say("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"); drip(v, ok) }, deliver.None, deliver.Timeout, 2 * time.Second},
		"chunks drip": {0, func(v *visit) {
			v.next()
			v.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			drip(v, "000000")
		}, deliver.None, deliver.Timeout, 2 * time.Second},
		"body at 14.5 s": {14500 * time.Millisecond, func(v *visit) { v.next(); v.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"); v.gone() }, deliver.None, deliver.Timeout, 15 * time.Second},
		"body in time": {0, func(v *visit) {
			v.next()
			v.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
			time.Sleep(time.Second)
			v.say("ok")
		}, deliver.None, deliver.None, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &pipes{handle: c.handle, wait: c.wait}
				defer p.wg.Wait()
				client := newClient(t, deliver.Config{Dialer: p})
				defer client.Close()
				res := post(t, client, request(t, "http://h/"), c.cause)
				if res.Timings.Total != c.took || res.Cut != c.cut {
					t.Errorf("took %v, cut %q; want %v, %q", res.Timings.Total, res.Cut, c.took, c.cut)
				}
				if kept := client.Stats().Idle == 1; kept != (c.cause == deliver.None && c.cut == deliver.None) {
					t.Errorf("connection kept: %v", kept)
				}
			})
		})
	}
}

func TestDeadlineOfTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{handle: func(v *visit) { v.next(); v.gone() }}
		defer p.wg.Wait()
		c := newClient(t, deliver.Config{Dialer: p})
		defer c.Close()
		req := request(t, "http://h/")
		req.Deadline = time.Now().Add(3 * time.Second)
		if res := post(t, c, req, deliver.Timeout); res.Timings.Total != 3*time.Second {
			t.Errorf("took %v", res.Timings.Total)
		}
		if res := post(t, c, req, deliver.Timeout); res.Timings.Total != 0 || res.Written {
			t.Errorf("after it has passed: %+v", res)
		}
	})
}

// TestDeadlineIsNotInherited: a body that took its two seconds leaves no short deadline
// to the next exchange.
func TestDeadlineIsNotInherited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{handle: func(v *visit) {
			for {
				if _, more := v.next(); !more {
					return
				}
				v.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
				time.Sleep(time.Second)
				v.say("ok")
				time.Sleep(time.Second)
			}
		}}
		defer p.wg.Wait()
		c := newClient(t, deliver.Config{Dialer: p})
		defer c.Close()
		for range 20 {
			if res := post(t, c, request(t, "http://h/"), deliver.None); res.Cut != deliver.None || string(res.Body) != "ok" {
				t.Fatalf("%+v", res)
			}
		}
		if p.dials != 1 {
			t.Errorf("%d connections", p.dials)
		}
	})
}

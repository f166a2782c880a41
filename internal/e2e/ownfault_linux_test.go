package e2e_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Without a free file descriptor nothing is lost, refused for good, or held
// against an endpoint: deliveries and connections wait for one.
func TestNoDescriptors(t *testing.T) {
	t.Parallel()
	s := serve(t, "file:"+t.TempDir()+"/store", "--retry-schedule=1s")
	r := newReceiver(t, nil)
	app := s.application("a")
	endpoint := s.endpoint(app, r.URL, nil)
	restore := s.noDescriptors(t)
	w := s.wait(t, app, endpoint)
	w.held("descriptors", 0)
	stranger := newClient(t, s.base)
	stranger.http.Timeout = time.Second
	if answer, err := stranger.try("GET", "/health", nil); err == nil {
		t.Errorf("a new connection was answered: %d", answer.status)
	}
	before := s.cpu(t)
	<-time.After(3 * time.Second)
	if used := s.cpu(t) - before; used > 600*time.Millisecond {
		t.Errorf("%v of CPU in 3 s of waiting", used)
	}
	w.untouched()
	restore()
	w.goesOut()
	stranger.http.Timeout = patience
	stranger.want(200, "GET", "/health", nil, nil)
}

// The store's own files wait for a descriptor like everything else: the server
// lives, and what it acknowledged is there.
func TestNoDescriptorsForTheStore(t *testing.T) {
	t.Parallel()
	store := "file:" + t.TempDir() + "/store"
	s := serve(t, store)
	r := newReceiver(t, nil)
	app := s.application("a")
	s.endpoint(app, r.URL, nil)
	s.publish(app, "a.b", object{}) // a kept connection, so that deliveries go on
	r.await(t, "", 1)
	restore := s.noDescriptors(t)
	const messages = 40 // several logs and tables
	var acknowledged []string
	var publishing sync.WaitGroup
	publishing.Go(func() {
		payload := strings.Repeat("x", 900<<10)
		for i := range messages {
			answer, err := s.try("POST", "/app/"+app+"/msg", object{"eventType": "a.b", "payload": object{"n": i, "x": payload}})
			if err != nil || answer.status != 202 {
				t.Errorf("message %d: %v, %v", i, answer, err)
				return
			}
			acknowledged = append(acknowledged, idOf(answer.body))
		}
	})
	<-time.After(3 * time.Second)
	restore()
	publishing.Wait()
	await(t, "all are delivered", func() bool { return len(r.requests("")) >= messages+1 })
	if code := s.terminate(patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s = serve(t, store)
	for _, id := range acknowledged {
		await(t, "the attempt is on record", func() bool {
			tried := s.attempts(app, id)
			return len(tried) == 1 && tried[0].State == "delivered"
		})
	}
}

// noDescriptors has the server get no further file descriptor until the
// returned function is called.
func (s *server) noDescriptors(t *testing.T) (restore func()) {
	t.Helper()
	pid := s.cmd.Process.Pid
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	none := unix.Rlimit{Cur: lowestFree(t, pid), Max: before.Max}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &none, nil); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil); err != nil {
			t.Error(err)
		}
	}
}

// lowestFree is the descriptor that a process would be given next.
func lowestFree(t *testing.T, pid int) uint64 {
	t.Helper()
	for n := uint64(0); ; n++ {
		_, err := os.Lstat(fmt.Sprintf("/proc/%d/fd/%d", pid, n))
		if os.IsNotExist(err) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// cpu is the processor time that the server has used.
func (s *server) cpu(t *testing.T) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	// The name, in parentheses, may hold anything; then comes the third field.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	var ticks int
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 for programs, whatever the kernel's is
}

// While no name server answers for any name, deliveries to names wait; one to
// an address, or to a name of the hosts file, does not.
func TestResolverDown(t *testing.T) {
	t.Parallel()
	inNamespace(t, unix.CLONE_NEWNS|unix.CLONE_NEWNET, func(t *testing.T) {
		replace(t, "/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
		replace(t, "/etc/hosts", "127.0.0.1 localhost\n")
		s := serve(t, "memory:", "--retry-schedule=1h")
		r := unstartedReceiver(nil)
		r.Config.SetKeepAlivesEnabled(false) // each attempt looks its name up
		r.Start()
		t.Cleanup(r.Close)
		port := r.URL[strings.LastIndexByte(r.URL, ':'):]
		app, near := s.application("far"), s.application("near")
		endpoint := s.endpoint(app, "http://hooks.example"+port+"/far", nil)
		s.endpoint(near, "http://localhost"+port+"/near", nil)

		s.publish(near, "a.b", object{})
		r.await(t, "/near", 1)
		w := s.wait(t, app, endpoint)
		w.held("resolver", 0) // nobody listens
		s.publish(near, "a.b", object{})
		r.await(t, "/near", 2)
		ns := newNameServer(t)
		for _, how := range []string{"silent", "failing"} {
			ns.answer(how)
			w.held("resolver", s.faults(t, "resolver"))
		}
		ns.answer("")
		w.goesOut()

		// It answered a moment ago, and goes down again.
		other := s.application("other")
		s.endpoint(other, "http://other.example"+port+"/other", nil)
		s.publish(other, "a.b", object{})
		r.await(t, "/other", 1)
		ns.answer("failing")
		w = s.wait(t, app, endpoint)
		w.held("resolver", s.faults(t, "resolver"))
		ns.answer("")
		w.goesOut()

		// While others are answered for, a name that is not is the endpoint's.
		for _, host := range []string{"denied.example", "broken.example"} {
			app := s.application(host)
			s.endpoint(app, "http://"+host+port+"/", nil)
			id := s.publish(app, "a.b", object{})
			await(t, "an attempt: "+host, func() bool { return len(s.attempts(app, id)) == 1 })
			if a := s.attempts(app, id)[0]; a.ResponseStatusCode != 0 || a.Failure == nil || *a.Failure != "dns" || a.State != "retrying" {
				t.Errorf("%s: %+v", host, a)
			}
		}
	})
}

// replace puts a file over another, for this mount namespace.
func replace(t *testing.T, path, content string) {
	t.Helper()
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(file, path, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) }) // the namespace ends anyway
}

// Without a route to an endpoint its deliveries wait; once there is one they go
// out.
func TestNoRoute(t *testing.T) {
	t.Parallel()
	inNamespace(t, unix.CLONE_NEWNET, func(t *testing.T) {
		const address = "203.0.113.7"
		s := serve(t, "memory:", "--retry-schedule=1h", "--egress-allow=203.0.113.0/24,2001:db8::/32")
		app := s.application("a")
		endpoint := s.endpoint(app, "http://"+address+":8099/", nil)
		w := s.wait(t, app, endpoint)
		w.held("route", 0)

		r := unstartedReceiver(nil)
		r.Listener.Close()
		if err := addAddress("lo:1", address); err != nil {
			t.Fatal(err)
		}
		var err error
		if r.Listener, err = new(net.ListenConfig).Listen(context.Background(), "tcp", address+":8099"); err != nil {
			t.Fatal(err)
		}
		r.Start()
		t.Cleanup(r.Close)
		w.goesOut()
		if got := r.await(t, "", 1); len(got) != 1 || got[0].status != http.StatusOK {
			t.Errorf("received %+v", got)
		}
	})
}

// addAddress gives an interface an IPv4 address, with the route that it brings.
func addAddress(name, address string) error {
	return onInterface(name, func(socket int, r *unix.Ifreq) error {
		if err := r.SetInet4Addr(net.ParseIP(address).To4()); err != nil {
			return err
		}
		return unix.IoctlIfreq(socket, unix.SIOCSIFADDR, r)
	})
}

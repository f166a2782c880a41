package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
)

func TestOptions(t *testing.T) {
	for about, o := range map[string]client.Options{
		"no address": {Key: "k"}, "no key": {URL: "https://example.com"}, "no scheme": {URL: "example.com:80", Key: "k"},
		"no host": {URL: "https://", Key: "k"}, "no URL": {URL: "http://me:s3cret@[", Key: "k"},
		"a password": {URL: "https://me:s3cret@example.com", Key: "k"}, "a query": {URL: "https://example.com?a=b", Key: "k"},
		"a fragment": {URL: "https://example.com/#a", Key: "k"}, "two lines": {URL: "https://example.com", Key: "s3cret\nX: y"},
	} {
		if _, err := client.New(o); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", about, err)
		}
	}
	c, err := client.New(client.Options{URL: "https://example.com/", Key: "s3cret"})
	if err != nil {
		t.Fatal(err)
	}
	if shown := fmt.Sprintf("%v %+v %#v %s", c, c, c, c); strings.Contains(shown, "s3cret") || !strings.Contains(shown, "https://example.com") {
		t.Errorf("it is printed as %s", shown)
	}
}

// TestRetries breaks the first exchanges of a call in ways that another try may
// mend, and looks at what the server saw.
func TestRetries(t *testing.T) {
	for about, broken := range map[string]func(http.ResponseWriter){
		"unavailable": func(rw http.ResponseWriter) {
			rw.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(rw, `{"code":"unavailable","detail":"later"}`)
		},
		"a proxy's error": func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusBadGateway) },
		"cut off": func(rw http.ResponseWriter) {
			conn, _, err := http.NewResponseController(rw).Hijack()
			if err != nil {
				panic(err)
			}
			conn.Close()
		},
	} {
		t.Run(about, func(t *testing.T) {
			w, ctx := newWorld(t), t.Context()
			var keys, bodies []string
			w.front = func(rw http.ResponseWriter, r *http.Request) bool {
				keys = append(keys, r.Header.Get("Idempotency-Key"))
				body, _ := io.ReadAll(r.Body)
				bodies = append(bodies, string(body))
				if len(keys) < 3 {
					broken(rw)
					return true
				}
				r.Body = io.NopCloser(strings.NewReader(string(body)))
				return false
			}
			app, err := w.Applications.Create(ctx, client.ApplicationIn{Name: "Shop"})
			if err != nil || app.Name != "Shop" {
				t.Fatalf("%+v, %v", app, err)
			}
			if len(keys) != 3 || keys[0] != keys[1] || keys[1] != keys[2] || !strings.HasPrefix(keys[0], "auto_") {
				t.Errorf("idempotency keys: %q", keys)
			}
			if diff := cmp.Diff([]string{bodies[0], bodies[0], bodies[0]}, bodies); diff != "" || bodies[0] == "" {
				t.Errorf("bodies: %q", bodies)
			}
			keys = make([]string, 2)
			if _, err := w.Applications.Get(ctx, app.ID.String()); err != nil || keys[2] != "" {
				t.Errorf("a GET with key %q: %v", keys[2], err)
			}
		})
	}
}

func TestNoRetry(t *testing.T) {
	w := newWorld(t)
	seen, answer := 0, 0
	w.front = func(rw http.ResponseWriter, _ *http.Request) bool {
		seen++
		if answer != 0 {
			rw.Header().Set("Location", "/elsewhere")
			rw.WriteHeader(answer)
		}
		return answer != 0
	}
	for status, kind := range map[int]*postern.Error{
		422: postern.ErrInvalid, 302: postern.ErrInvalid, 405: postern.ErrInvalid, 413: postern.ErrTooLarge, 429: postern.ErrRateLimited,
		500: {Kind: postern.Internal},
	} {
		seen, answer = 0, status
		_, err := w.Applications.Get(t.Context(), "a")
		if !errors.Is(err, kind) || seen != 1 {
			t.Errorf("%d: %v after %d tries", status, err, seen)
		}
	}
	seen, answer = 0, 503
	if _, err := w.client(t, client.Options{Retries: -1}).Applications.Get(t.Context(), "a"); !errors.Is(err, postern.ErrUnavailable) || seen != 1 {
		t.Errorf("without retries: %v after %d", err, seen)
	}
	seen = 0
	if _, err := w.client(t, client.Options{Retries: 1}).Applications.Get(t.Context(), "a"); !errors.Is(err, postern.ErrUnavailable) || seen != 2 {
		t.Errorf("with one retry: %v after %d", err, seen)
	}
}

func TestContextEndsRetries(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.front = func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.Header().Set("Retry-After", "3600")
		rw.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	time.AfterFunc(50*time.Millisecond, cancel)
	started := time.Now()
	if _, err := w.Applications.Get(ctx, "a"); err == nil || time.Since(started) > time.Minute {
		t.Errorf("%v after %v", err, time.Since(started))
	}
	if _, err := w.Applications.Get(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that may not begin: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	ok(t, err)
	defer conn.Close() // nobody listens at its own address, nor will
	c, err := client.New(client.Options{URL: "http://" + conn.LocalAddr().String(), Key: "k", Retries: 1})
	ok(t, err)
	if _, err := c.Applications.Get(t.Context(), "a"); err == nil || postern.KindOf(err) != postern.Internal {
		t.Errorf("%v", err)
	}
}

// TestRefusals reads what a server says is wrong.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	_, err := w.Applications.Create(t.Context(), client.ApplicationIn{Name: "Shop", UID: "a b"})
	refused, found := errors.AsType[*postern.Error](err)
	if !found || refused.Kind != postern.Invalid || len(refused.Fields) != 1 || strings.Join(refused.Fields[0].Loc, ".") != "body.uid" || refused.Fields[0].Msg == "" {
		t.Errorf("fields: %+v", refused)
	}
	_, err = w.Applications.Get(t.Context(), "../key") // one segment, whatever it holds
	if refused, _ := errors.AsType[*postern.Error](err); refused == nil || refused.Code != "not_found" || refused.Detail == "" {
		t.Errorf("code and detail: %+v", refused)
	}
	answer := ""
	w.front = func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.WriteHeader(http.StatusTeapot)
		fmt.Fprint(rw, answer)
		return true
	}
	for _, answer = range []string{"", "<html>", `{"detail":7}`, "null", "[]"} {
		if _, err := w.Applications.Get(t.Context(), "a"); !errors.Is(err, postern.ErrInvalid) || !strings.Contains(err.Error(), "418") {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

// TestNamesThatNoPathHolds: a call without a name, or with one that is resolved
// on the way, would be another operation's.
func TestNamesThatNoPathHolds(t *testing.T) {
	w := newWorld(t)
	w.front = func(_ http.ResponseWriter, r *http.Request) bool {
		t.Errorf("%s %s was sent", r.Method, r.URL)
		return false
	}
	for _, name := range []string{"", ".", ".."} {
		_, got := w.Applications.Get(t.Context(), name)
		for about, err := range map[string]error{
			"get": got, "delete": w.Endpoints.Delete(t.Context(), "shop", name), "inside": w.Endpoints.Delete(t.Context(), name, "a"),
		} {
			if !errors.Is(err, postern.ErrInvalid) {
				t.Errorf("%s %q: %v", about, name, err)
			}
		}
	}
}

func TestStrangeAnswers(t *testing.T) {
	w := newWorld(t)
	w.front = func(rw http.ResponseWriter, _ *http.Request) bool {
		fmt.Fprint(rw, "<html>")
		return true
	}
	if _, err := w.Applications.Get(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "not an answer of Postern's") {
		t.Errorf("%v", err)
	}
	for _, err := range w.Applications.All(t.Context(), client.Page{}) {
		if err == nil {
			t.Error("an entry of nothing")
		}
	}
	w.front = func(http.ResponseWriter, *http.Request) bool { return true }
	if app, err := w.Applications.Create(t.Context(), client.ApplicationIn{Name: "Shop"}); err == nil {
		t.Errorf("an empty answer: %+v", app)
	}
	w.front = func(rw http.ResponseWriter, _ *http.Request) bool {
		chunk := make([]byte, 1<<20)
		for range 65 {
			if _, err := rw.Write(chunk); err != nil {
				break
			}
		}
		return true
	}
	if _, _, err := w.Messages.Raw(t.Context(), "a", "b"); !errors.Is(err, postern.ErrTooLarge) {
		t.Errorf("65 MiB: %v", err)
	}
}

// TestListWithoutEnd walks a list that leads back to where it was.
func TestListWithoutEnd(t *testing.T) {
	w := newWorld(t)
	asked := 0
	w.front = func(rw http.ResponseWriter, _ *http.Request) bool {
		asked++
		fmt.Fprint(rw, `{"data":[],"iterator":"a","prevIterator":null,"done":false}`)
		return true
	}
	var last error
	for _, last = range w.Applications.All(t.Context(), client.Page{}) {
		if asked > 5 {
			break
		}
	}
	if last == nil || !strings.Contains(last.Error(), "does not go on") || asked != 2 {
		t.Errorf("%v after %d pages", last, asked)
	}
}

// TestAllStops ends a walk early: nothing more is asked for.
func TestAllStops(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	for range 5 {
		must[*client.Application](t)(w.Applications.Create(ctx, client.ApplicationIn{Name: "Shop"}))
	}
	asked := 0
	w.front = func(http.ResponseWriter, *http.Request) bool { asked++; return false }
	if all := collect(t, w.Applications.All(ctx, client.Page{Limit: 2})); len(all) != 5 || asked != 3 {
		t.Errorf("%d in %d pages", len(all), asked)
	}
	asked = 0
	for range w.Applications.All(ctx, client.Page{Limit: 2}) {
		break
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

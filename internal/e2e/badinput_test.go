package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/internal/testkit"
)

// bodyCap is the --max-body and --inbound-max-body of the servers under test.
const bodyCap = 64 << 10

// badInputWorld is a server with one of everything.
type badInputWorld struct {
	*server
	t                          *testing.T
	app, endpoint, ingest, msg string
}

func newBadInputWorld(t *testing.T, flags ...string) *badInputWorld {
	s := serve(t, "memory:", append([]string{fmt.Sprintf("--max-body=%d", bodyCap), fmt.Sprintf("--inbound-max-body=%d", bodyCap)}, flags...)...)
	w := &badInputWorld{server: s, t: t}
	w.want(201, "POST", "/app", object{"name": "a", "uid": "app-uid"}, nil)
	w.app = "/app/app-uid"
	w.want(201, "POST", "/event-type", object{"name": "known", "description": "d"}, nil)
	w.want(201, "POST", w.app+"/endpoint", object{"url": "https://example.com/hook", "uid": "ep-uid", "disabled": true}, nil)
	w.endpoint = w.app + "/endpoint/ep-uid"
	var source struct{ IngestURL string }
	w.want(201, "POST", w.app+"/source", object{"name": "s", "uid": "src-uid", "provider": "none"}, &source)
	w.ingest = strings.TrimPrefix(source.IngestURL, s.base)
	w.msg = w.publish("app-uid", "known", object{"n": 1})
	return w
}

// everything is all that the API shows, to be compared before and after.
func (w *badInputWorld) everything() map[string]string {
	w.t.Helper()
	seen := map[string]string{}
	for _, path := range []string{
		"/app", "/event-type", "/key", w.app + "/endpoint", w.endpoint + "/headers", w.endpoint + "/secret", w.app + "/source",
		w.app + "/msg", w.app + "/source/src-uid/refusal", w.app + "/attempt/endpoint/ep-uid",
	} {
		r := w.call("GET", path, nil)
		if r.status != 200 {
			w.t.Fatalf("GET %s: %d %s", path, r.status, r.body)
		}
		seen[path] = string(r.body)
	}
	return seen
}

// unchanged runs do, and fails if anything is different after it.
func (w *badInputWorld) unchanged(t *testing.T, do func(t *testing.T)) {
	before := w.everything()
	do(t)
	if diff := cmp.Diff(before, w.everything()); diff != "" {
		t.Errorf("something changed (-before +after):\n%s", diff)
	}
	if got := w.call("GET", "/health", nil); got.status != 200 {
		t.Errorf("health afterwards: %d %s", got.status, got.body)
	}
}

// checkError fails unless the answer has the documented shape: code and
// detail, or a list of faults with 422.
func checkError(t *testing.T, r *reply, status int, code string) {
	t.Helper()
	if r.status != status {
		t.Errorf("status %d, want %d: %s", r.status, status, r.body)
		return
	}
	if kind := r.header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("content type %q", kind)
	}
	if status == http.StatusUnprocessableEntity {
		var list struct {
			Detail []struct {
				Loc       []string
				Msg, Type string
			}
		}
		if err := json.Unmarshal(r.body, &list); err != nil || len(list.Detail) == 0 {
			t.Fatalf("want a list of faults: %v in %s", err, r.body)
		}
		if fault := list.Detail[0]; len(fault.Loc) == 0 || fault.Msg == "" || fault.Type == "" {
			t.Errorf("a fault lacks something: %s", r.body)
		} else if at := strings.Join(fault.Loc, "."); at != code {
			t.Errorf("the fault is at %s, want %s: %s", at, code, r.body)
		}
		return
	}
	var one struct{ Code, Detail string }
	if err := json.Unmarshal(r.body, &one); err != nil || one.Code != code || one.Detail == "" {
		t.Errorf("want code %s and a detail: %v in %s", code, err, r.body)
	}
}

// What is wrong with a request is said in the documented shape, and nothing
// comes of the request.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	w := newBadInputWorld(t)
	const invalid = http.StatusUnprocessableEntity
	message := func(more string) string { return `{"eventType":"known","payload":{}` + more + `}` }
	for _, tc := range []struct {
		name, method, path string
		body               any
		status             int
		code               string // for 422 where the fault is
	}{
		{"invalid JSON", "POST", "/app", `{"name":`, invalid, "body"},
		{"invalid JSON of a message", "POST", w.app + "/msg", `{"eventType":"known","payload":{]}`, invalid, "body"},
		{"no JSON at all", "POST", w.app + "/msg", "eventType=known", invalid, "body"},
		{"invalid UTF-8", "POST", w.app + "/msg", "{\"eventType\":\"known\",\"payload\":{\"a\":\"\xff\"}}", invalid, "body"},
		{"endless nesting", "POST", w.app + "/msg", `{"eventType":"known","payload":` + strings.Repeat(`{"a":`, 11_000), invalid, "body"},
		{"a list for a message", "POST", w.app + "/msg", `[]`, invalid, "body"},
		{"an empty body", "POST", w.app + "/msg", nil, invalid, "body"},

		{"unknown application", "GET", "/app/nobody", nil, 404, "not_found"},
		{"unknown application's messages", "POST", "/app/nobody/msg", message(""), 404, "not_found"},
		{"unknown endpoint", "PATCH", w.app + "/endpoint/ep_000000000000000000000000000", object{"description": "x"}, 404, "not_found"},
		{"malformed endpoint id", "DELETE", w.app + "/endpoint/ep_!", nil, 404, "not_found"},
		{"unknown message", "GET", w.app + "/msg/msg_000000000000000000000000000", nil, 404, "not_found"},
		{"malformed message id", "GET", w.app + "/msg/msg_x", nil, 404, "not_found"},
		{"unknown event type", "DELETE", "/event-type/unheard.of", nil, 404, "not_found"},
		{"unknown source", "POST", w.app + "/source/src_000000000000000000000000000/pause", nil, 404, "not_found"},
		{"unknown refusal", "GET", w.app + "/source/src-uid/refusal/rfs_000000000000000000000000000", nil, 404, "not_found"},
		{"unknown attempt", "GET", w.app + "/msg/" + w.msg + "/attempt/atmpt_000000000000000000000000000", nil, 404, "not_found"},
		{"unknown key", "DELETE", "/key/key_000000000000000000000000000", nil, 404, "not_found"},
		{"resend to nowhere", "POST", w.app + "/msg/" + w.msg + "/endpoint/nowhere/resend", nil, 404, "not_found"},
		{"unknown path", "GET", "/nothing/here", nil, 404, "not_found"},

		{"name of a wrong type", "POST", "/app", `{"name":7}`, invalid, "body.name"},
		{"url of a wrong type", "PATCH", w.endpoint, `{"url":["https://example.com"]}`, invalid, "body.url"},
		{"disabled of a wrong type", "PATCH", w.endpoint, `{"disabled":"yes"}`, invalid, "body.disabled"},
		{"event type of a wrong type", "POST", w.app + "/msg", `{"eventType":1,"payload":{}}`, invalid, "body.eventType"},
		{"payload of a wrong type", "POST", w.app + "/msg", `{"eventType":"known","payload":"text"}`, invalid, "body.payload"},
		{"channels of a wrong type", "POST", w.app + "/msg", message(`,"channels":"one"`), invalid, "body.channels"},
		{"rate of a wrong size", "PATCH", w.endpoint, `{"throttleRate":0}`, invalid, "body.throttleRate"},
		{"limit of a wrong type", "GET", w.app + "/msg?limit=many", nil, 400, "invalid_query"},
		{"iterator of another list", "GET", w.app + "/msg?iterator=ep_x", nil, invalid, "query.iterator"},
		{"a missing name", "POST", "/app", `{}`, invalid, "body.name"},
		{"a missing payload", "POST", w.app + "/msg", `{"eventType":"known"}`, invalid, "body.payload"},
		{"a reserved header", "PUT", w.endpoint + "/headers", `{"headers":{"webhook-id":"x"}}`, invalid, "body.headers.webhook-id"},
		{"a header with a line break", "PUT", w.endpoint + "/headers", `{"headers":{"X-A":"a\r\nX-B: b"}}`, invalid, "body.headers.X-A"},
		{"a short secret", "POST", w.endpoint + "/secret/rotate", `{"key":"whsec_c2hvcnQ="}`, invalid, "body.key"},

		{"illegal characters of a message's type", "POST", w.app + "/msg", `{"eventType":"a b","payload":{}}`, invalid, "body.eventType"},
		{"illegal characters of an event type", "POST", "/event-type", `{"name":"a/b","description":"d"}`, invalid, "body.name"},
		{"illegal characters of an endpoint's type", "PATCH", w.endpoint, `{"eventTypes":["a*"]}`, invalid, "body.eventTypes.0"},

		{"duplicate uid of an application", "POST", "/app", `{"name":"b","uid":"app-uid"}`, 409, "conflict"},
		{"duplicate uid of an endpoint", "POST", w.app + "/endpoint", `{"url":"https://example.com","uid":"ep-uid"}`, 409, "conflict"},
		{"duplicate uid of a source", "POST", w.app + "/source", `{"name":"s","provider":"none","uid":"src-uid"}`, 409, "conflict"},
		{"duplicate event type", "POST", "/event-type", `{"name":"known","description":"d"}`, 409, "event_type_exists"},

		{"wrong method", "PUT", w.app + "/msg", `{}`, 405, "method_not_allowed"},
		{"unknown method", "BREW", "/app", nil, 405, "method_not_allowed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.unchanged(t, func(t *testing.T) {
				r := w.call(tc.method, tc.path, tc.body)
				checkError(t, r, tc.status, tc.code)
				if allow := r.header.Get("Allow"); (tc.status == 405) != (allow != "") {
					t.Errorf("status %d with Allow %q", r.status, allow)
				}
			})
		})
	}
	t.Run("no key", func(t *testing.T) {
		r, err := w.send("POST", "/api/v1"+w.app+"/msg", http.Header{"Authorization": nil}, strings.NewReader(message("")))
		if err != nil {
			t.Fatal(err)
		}
		checkError(t, r, 401, "authentication_failed")
	})
	t.Run("wrong method of a source", func(t *testing.T) {
		w.unchanged(t, func(t *testing.T) {
			r, err := w.send("DELETE", w.ingest, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			checkError(t, r, 405, "method_not_allowed")
			if allow := r.header.Get("Allow"); allow != "POST" {
				t.Errorf("Allow %q", allow)
			}
		})
	})
	t.Run("unknown token", func(t *testing.T) {
		r, err := w.send("POST", "/in/nobody", nil, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		checkError(t, r, 404, "not_found")
	})
}

// A body over the cap is refused as soon as that is known, whether it says its
// length or not, on the API and on inbound addresses.
func TestBodiesOverTheCap(t *testing.T) {
	t.Parallel()
	w := newBadInputWorld(t)
	// Of valid JSON, so that the size is the only fault.
	large := `{"eventType":"known","payload":{"a":"` + strings.Repeat("x", 2*bodyCap) + `"}}`
	for name, path := range map[string]string{"API": "/api/v1" + w.app + "/msg", "inbound": w.ingest} {
		for framing, body := range map[string]func() io.Reader{
			"with Content-Length":    func() io.Reader { return strings.NewReader(large) },
			"without Content-Length": func() io.Reader { return io.MultiReader(strings.NewReader(large)) }, // of unknown length: chunked
		} {
			t.Run(name+" "+framing, func(t *testing.T) {
				w.unchanged(t, func(t *testing.T) {
					r, err := w.send("POST", path, nil, body())
					if err != nil {
						t.Fatal(err)
					}
					checkError(t, r, 413, "payload_too_large")
				})
			})
		}
		t.Run(name+" announced and never sent", func(t *testing.T) {
			w.unchanged(t, func(t *testing.T) {
				conn := w.dial(t, path, "Content-Length: 1000000000000\r\n")
				checkError(t, readReply(t, conn), 413, "payload_too_large")
			})
		})
		t.Run(name+" at the cap", func(t *testing.T) {
			exact := `{"eventType":"known","payload":{"a":"` + strings.Repeat("x", bodyCap-len(`{"eventType":"known","payload":{"a":""}}`)) + `"}}`
			r, err := w.send("POST", path, nil, strings.NewReader(exact))
			if err != nil || r.status != 202 {
				t.Errorf("a body of the cap's size: %+v, %v", r, err)
			}
		})
	}
}

// A body that is cut off is not a message, and one that comes slowly holds
// nobody else up.
func TestBodiesThatDoNotEnd(t *testing.T) {
	t.Parallel()
	w := newBadInputWorld(t)
	for name, path := range map[string]string{"API": "/api/v1" + w.app + "/msg", "inbound": w.ingest} {
		t.Run(name+" cut off", func(t *testing.T) {
			w.unchanged(t, func(t *testing.T) {
				conn := w.dial(t, path, "Content-Length: 1000\r\n")
				fmt.Fprint(conn, `{"eventType":"known","payload":{}}`)
				if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				checkError(t, readReply(t, conn), 400, "incomplete_body")
			})
		})
		t.Run(name+" cut off in a chunk", func(t *testing.T) {
			w.unchanged(t, func(t *testing.T) {
				conn := w.dial(t, path, "Transfer-Encoding: chunked\r\n")
				fmt.Fprint(conn, "40\r\n{\"eventType\"")
				if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				checkError(t, readReply(t, conn), 400, "incomplete_body")
			})
		})
	}
	t.Run("slow", func(t *testing.T) {
		w.unchanged(t, func(t *testing.T) {
			const slow = 50
			var conns []net.Conn
			for range slow {
				conn := w.dial(t, "/api/v1"+w.app+"/msg", "Content-Length: 1000\r\n")
				fmt.Fprint(conn, `{`)
				conns = append(conns, conn)
			}
			begun := time.Now()
			for range 20 {
				if r := w.call("GET", w.app, nil); r.status != 200 {
					t.Errorf("beside slow bodies: %d %s", r.status, r.body)
				}
			}
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("20 requests beside %d slow ones took %v", slow, took)
			}
			if testkit.Soaking() { // a body may take a minute
				for _, conn := range conns {
					checkError(t, readReply(t, conn), 400, "incomplete_body")
				}
			}
			for _, conn := range conns {
				conn.Close()
			}
		})
	})
}

// dial sends a request up to its body. The connection is the test's.
func (w *badInputWorld) dial(t *testing.T, path, framing string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: postern\r\nAuthorization: Bearer %s\r\n%s\r\n", path, adminKey, framing)
	return conn
}

// readReply reads an answer from a connection.
func readReply(t *testing.T, conn net.Conn) *reply {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(bodyPatience())); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &reply{response.StatusCode, response.Header, body}
}

// bodyPatience is longer than a server waits for a body, in the size that waits.
func bodyPatience() time.Duration {
	return time.Duration(testkit.Count(60, 90)) * time.Second
}

// URLs that nobody may be sent to are refused when they are given, on every
// way to give them.
func TestForbiddenEndpointURLs(t *testing.T) {
	t.Parallel()
	w := newBadInputWorld(t, "--egress-allow=")
	urls := map[string]string{
		"private 10/8":           "http://10.0.0.1/",
		"private 172.16/12":      "http://172.16.3.4/",
		"private 192.168/16":     "https://192.168.1.1/",
		"carrier-grade NAT":      "http://100.64.0.1/",
		"loopback":               "http://127.0.0.1:8080/",
		"other loopback":         "http://127.255.0.9/",
		"unspecified":            "http://0.0.0.0/",
		"broadcast":              "http://255.255.255.255/",
		"multicast":              "http://224.0.0.1/",
		"link-local":             "http://169.254.10.10/",
		"metadata":               "http://169.254.169.254/latest/meta-data/",
		"metadata of Azure":      "http://168.63.129.16/",
		"metadata of IPv6":       "http://[fd00:ec2::254]/",
		"loopback of IPv6":       "http://[::1]/",
		"unspecified IPv6":       "http://[::]/",
		"link-local of IPv6":     "http://[fe80::1]/",
		"zone":                   "http://[fe80::1%25eth0]/",
		"unique local":           "http://[fc00::1]/",
		"mapped":                 "http://[::ffff:127.0.0.1]/",
		"mapped in hex":          "http://[::ffff:7f00:1]/",
		"compatible":             "http://[::127.0.0.1]/",
		"NAT64":                  "http://[64:ff9b::7f00:1]/",
		"NAT64 of metadata":      "http://[64:ff9b::a9fe:a9fe]/",
		"6to4":                   "http://[2002:7f00:1::]/",
		"Teredo":                 "http://[2001:0:0:0:0:0:80ff:fffe]/",
		"ISATAP":                 "http://[2606:4700::5efe:7f00:1]/",
		"translated":             "http://[::ffff:0:7f00:1]/",
		"one number":             "http://2130706433/",
		"hexadecimal":            "http://0x7f.1/",
		"octal":                  "http://0177.0.0.1/",
		"localhost":              "http://localhost:1234/",
		"localhost with a dot":   "http://LOCALHOST./",
		"credentials":            "https://user:pass@example.com/",
		"a user":                 "https://user@example.com/",
		"a scheme of files":      "file:///etc/passwd",
		"a scheme of gophers":    "gopher://example.com/",
		"a scheme of sockets":    "ws://example.com/",
		"no scheme":              "example.com/hook",
		"no host":                "https:///hook",
		"port 0":                 "https://example.com:0/",
		"port too large":         "https://example.com:65536/",
		"a line break":           "https://example.com/\r\nX: y",
		"a space":                "https://example.com/a b",
		"longer than 2048 bytes": "https://example.com/" + strings.Repeat("a", 2048),
	}
	if name, private := privateName(); private {
		urls["a name that resolves to a private address"] = "http://" + name + "/"
	}
	for name, url := range urls {
		t.Run(name, func(t *testing.T) {
			w.unchanged(t, func(t *testing.T) {
				in := object{"url": url}
				checkError(t, w.call("POST", w.app+"/endpoint", in), 422, "body.url")
				checkError(t, w.call("PATCH", w.endpoint, in), 422, "body.url")
				checkError(t, w.call("PUT", w.endpoint, in), 422, "body.url")
				checkError(t, w.call("PUT", w.app+"/endpoint/new-uid", in), 422, "body.url")
			})
		})
	}
}

// privateName is this machine's name, if that resolves to addresses that are
// not public.
func privateName() (string, bool) {
	name, err := os.Hostname()
	if err != nil {
		return "", false
	}
	addrs, err := net.LookupIP(name)
	for _, addr := range addrs {
		if !addr.IsPrivate() && !addr.IsLoopback() {
			return "", false
		}
	}
	return name, err == nil && len(addrs) > 0
}

// What was allowed when an endpoint was made is judged again at each connect.
func TestForbiddenAtConnect(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	store := "file:" + t.TempDir() + "/store"
	open := serve(t, store, "--retry-schedule=none")
	app := open.application("a")
	endpoints := map[string]string{}
	port := r.URL[strings.LastIndexByte(r.URL, ':'):]
	for _, host := range []string{"127.0.0.1", "localhost"} {
		endpoints[host] = open.endpoint(app, "http://"+host+port+"/"+host, nil)
	}
	before := open.publish(app, "a.b", object{})
	r.await(t, "", 2)
	await(t, "both are delivered", func() bool {
		states := open.states(app, before)
		return states[endpoints["127.0.0.1"]] == "delivered" && states[endpoints["localhost"]] == "delivered"
	})
	if code := open.terminate(patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	closed := serve(t, store, "--retry-schedule=none", "--egress-allow=")
	message := closed.publish(app, "a.b", object{})
	await(t, "both are dead", func() bool {
		states := closed.states(app, message)
		return states[endpoints["127.0.0.1"]] == "dead" && states[endpoints["localhost"]] == "dead"
	})
	for _, a := range closed.attempts(app, message) {
		if a.ResponseStatusCode != 0 || a.Failure == nil || *a.Failure != "forbidden_address" {
			t.Errorf("attempt %+v: want code 0, forbidden_address", a)
		}
	}
	if got := len(r.requests("")); got != 2 {
		t.Errorf("%d requests arrived, want the 2 that were allowed", got)
	}
}

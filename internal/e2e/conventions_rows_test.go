package e2e_test

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/tidwall/gjson"
)

// These checks are about every operation of the server, as its own document
// lists them: a new one is asked for like the others.

// documented is an operation of the server's document.
type documented struct {
	id, method, path string // the path below /api/v1
}

// operations are all of them.
func (w *conventionWorld) operations() (list []documented) {
	w.t.Helper()
	w.ask(200, "GET", "/openapi.json", nil).Get("paths").ForEach(func(path, methods gjson.Result) bool {
		methods.ForEach(func(method, described gjson.Result) bool {
			list = append(list, documented{described.Get("operationId").Str, strings.ToUpper(method.Str), strings.TrimPrefix(path.Str, "/api/v1")})
			return true
		})
		return true
	})
	if len(list) < 80 {
		w.t.Fatalf("%d operations: the check would hold for nothing", len(list))
	}
	return list
}

// record is what a variable of a path stands for: an id, and a name that the
// record answers to as well, "" for none.
type record struct{ id, name string }

// stock makes an application with one record of every kind, by the variables of
// paths. What is delivered goes to hook.
func (w *conventionWorld) stock(uid, hook string) map[string]record {
	w.t.Helper()
	own := *w
	own.app = w.ask(201, "POST", "/app", object{"name": "stock", "uid": uid}).Get("id").Str
	endpoint := w.client.endpoint(own.app, hook, object{"uid": "e"})
	message := own.message("a.b", object{"eventId": "m"}).Get("id").Str
	source := own.ask(201, "POST", own.of("/source"), object{"name": "s", "provider": "github", "secrets": []string{githubSecret}, "uid": "s"})
	own.inbound(401, source, signedByGitHub("{}", "wrong"), []byte("{}"))
	replay := own.ask(201, "POST", own.of("/replay"), object{"endpointId": endpoint, "since": ago(hour)}).Get("id").Str
	return map[string]record{
		"app": {own.app, uid}, "endpoint": {endpoint, "e"}, "msg": {message, "m"}, "source": {source.Get("id").Str, "s"},
		"attempt": {id: w.attempts(own.app, message)[0].ID}, "refusal": {id: own.page(own.of("/source/s/refusal")).Get("data.0.id").Str},
		"replay": {id: replay}, "task": {id: "qtask_" + strings.TrimPrefix(replay, "rpl_")},
	}
}

// filled puts records in place of the variables of a path.
func (w *conventionWorld) filled(path string, records map[string]record, by func(variable string, r record) string) string {
	w.t.Helper()
	for variable, r := range records {
		path = strings.ReplaceAll(path, "{"+variable+"}", by(variable, r))
	}
	if strings.Contains(path, "{") {
		w.t.Fatalf("%s: there is nothing to put there", path)
	}
	return path
}

// answersToNames asks every operation of an application for records by their
// names, each in an application of its own, since some delete what they are
// asked for. Another name in the same place is not found.
func answersToNames(w *conventionWorld) {
	hook := newReceiver(w.t, nil).URL + "/hook"
	for i, o := range w.operations() {
		if !strings.Contains(o.path, "{app}") {
			continue
		}
		uid := fmt.Sprint(w.uid, ".", i)
		records := w.stock(uid, hook)
		var in any
		if o.method != "GET" && o.method != "DELETE" { // all that any of them needs; the others ignore it
			in = object{
				"name": "n", "provider": "github", "secrets": []string{githubSecret}, "url": hook, "headers": object{}, "eventType": "svix.ping", "payload": object{},
				"since": ago(hour), "endpointId": "e", "ids": []string{"m"}, "key": symmetricOf(24),
			}
		}
		if strings.Contains(o.path, "/lease") {
			in = object{"leases": []string{"lse_0ERbNHTM6fguHUOiI43R1TLOQzZ"}, "leaseSeconds": 1} // payload is how to show it
		}
		for variable, r := range records {
			if r.name == "" || !strings.Contains(o.path, "{"+variable+"}") || o.method == "PUT" && strings.HasSuffix(o.path, "{"+variable+"}") {
				continue // it has no name, is not there, or would be made
			}
			strange := w.filled(o.path, records, func(name string, r record) string {
				if name == variable {
					return uid + ".nobody"
				}
				return r.id
			})
			w.fails(404, "not_found", o.method, strange, in)
		}
		named := w.filled(o.path, records, func(_ string, r record) string {
			if r.name != "" {
				return r.name
			}
			return r.id
		})
		// What has ended is not ended again, and what is there is not made.
		r := w.reply(o.method, named, in)
		if r.status >= 300 && r.status != http.StatusConflict || o.method == "PUT" && r.status == http.StatusCreated {
			w.t.Errorf("%s %s: %d %s", o.method, named, r.status, tail(string(r.body), 500))
		}
	}
}

// answersHeads asks for everything that can be read. The tail has no end, and
// is asked for its head alone.
func answersHeads(w *conventionWorld) {
	records := w.stock(w.uid+".stock", newReceiver(w.t, nil).URL+"/hook")
	_, key := w.key("read-only")
	w.ask(201, "POST", "/event-type", object{"name": w.uid, "description": "d"})
	records["key"], records["name"] = record{id: key}, record{id: w.uid}
	for _, o := range w.operations() {
		if o.method != "GET" {
			continue
		}
		path := w.filled(o.path, records, func(_ string, r record) string { return r.id })
		head := w.reply("HEAD", path, nil)
		status, kind := 200, "text/event-stream"
		if o.id != "tail" {
			got := w.reply("GET", path, nil)
			status, kind = got.status, got.header.Get("Content-Type")
		}
		w.same("HEAD "+path, []any{head.status, head.header.Get("Content-Type"), len(head.body)}, []any{status, kind, 0})
		if status != 200 && o.id != "healthPing" {
			w.t.Errorf("GET %s: %d", path, status)
		}
	}
	w.ask(404, "HEAD", "/app/nowhere", nil)
}

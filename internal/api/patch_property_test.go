package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/internal/testkit"
)

// patchable is a noun with a PATCH and a PUT, and what its fields may be.
type patchable struct {
	// path names it by id, so that its uid can come and go.
	path   string
	fields map[string]patchField
	// hidden are fields that are not read back as they were written, with the
	// test that looks at them.
	hidden map[string]string
	// wrong is what is wrong with values that are good by themselves; optional.
	wrong func(state map[string]any) bool
}

// patchField is a property. Texts are JSON.
type patchField struct {
	values, bad []string
	// reset is what null means, and in a PUT absence; required fields have none.
	reset    string
	required bool
	// older is an older name. A list of one may be under it as that one.
	older       string
	olderSingle bool
}

// patchables are all nouns with a PATCH, by the row, made in a world.
func patchables(w *world) map[string]patchable {
	app := w.must("/app", `{"name":"Shop"}`)
	w.want(201, "POST", "/event-type", `{"name":"invoice.paid","description":"d"}`)
	endpoint := w.must("/app/"+app+"/endpoint", `{"url":"https://example.com"}`)
	source := w.must("/app/"+app+"/source", `{"name":"s","provider":"github"}`)
	flag := patchField{values: []string{"true", "false"}, bad: []string{`"yes"`, "1"}, reset: "false"}
	rate := patchField{values: []string{"1", "65535"}, bad: []string{"0", "-1", "65536", `"1"`}, reset: "null", older: "rateLimit"}
	metadata := patchField{values: []string{`{"a":"b"}`, `{}`, `{"é":""}`}, bad: []string{`{"a":1}`, `[]`, `{"a":"` + strings.Repeat("x", 4096) + `"}`}, reset: "{}"}
	schedule := patchField{values: []string{"[]", "[5,60]", "[0.5]"}, bad: []string{"[-1]", `"5s"`, "[1e12]"}, reset: "null"}
	uid := func(prefix string) patchField {
		return patchField{values: []string{`"one"`, `"two.2"`}, bad: []string{`""`, `"a b"`, "7", `"` + prefix + `x"`}, reset: "null"}
	}
	text := func(required bool, reset string) patchField {
		return patchField{values: []string{`"x"`, `"Ünïcode"`}, bad: []string{"7", `["x"]`}, required: required, reset: reset}
	}
	names := func(values, bad []string, older string) patchField {
		return patchField{values: values, bad: bad, reset: "null", older: older}
	}
	flags := names([]string{`["beta"]`, `["beta","gamma"]`}, []string{`["a b"]`, `"beta"`}, "featureFlag")
	flags.olderSingle = true
	return map[string]patchable{
		"application.patch": {path: "/app/" + app, fields: map[string]patchField{
			"name": text(true, ""), "uid": uid("app_"), "throttleRate": rate, "metadata": metadata,
		}},
		"endpoint.patch": {path: "/app/" + app + "/endpoint/" + endpoint, fields: map[string]patchField{
			"url": {values: []string{`"https://example.com/a"`, `"https://example.com/b?c=d"`}, bad: []string{`""`, `"http://10.0.0.1"`, "7"}, required: true},
			"uid": uid("ep_"), "description": text(false, `""`), "disabled": flag, "svixHeaders": flag, "throttleRate": rate, "metadata": metadata, "retrySchedule": schedule,
			"version":    {values: []string{"1", "2", "2147483647"}, bad: []string{"0", "-1", "2147483648", `"1"`}, reset: "1"},
			"eventTypes": names([]string{`["invoice.*"]`, `["invoice.paid","b.*"]`}, []string{`[]`, `["no.such"]`, `"invoice.*"`}, "filterTypes"),
			"channels":   names([]string{`["eu"]`, `["eu","us"]`}, []string{`[]`, `["a b"]`, `"eu"`}, ""),
		}, hidden: map[string]string{"kind": "TestEndpointChanges", "headers": "TestSoakHeaders", "secret": "TestSecretRotation"}},
		"event-type.patch": {path: "/event-type/invoice.paid", fields: map[string]patchField{
			"description": text(true, ""), "retrySchedule": schedule, "archived": flag, "deprecated": flag, "enforceSchema": flag,
			"groupName":    {values: []string{`"g"`}, bad: []string{`"a b"`, "7"}, reset: "null"},
			"featureFlags": flags,
			"schemas":      {values: []string{`{"1":{"type":"object"}}`, `{"1":{},"2":{"type":"object","title":"t"}}`}, bad: []string{`{"1":{"type":"nothing"}}`, `[]`}, reset: "null"},
		}, hidden: map[string]string{"name": "TestEventTypes"}, wrong: func(state map[string]any) bool {
			return state["enforceSchema"] == true && state["schemas"] == nil
		}},
		"source.patch": {path: "/app/" + app + "/source/" + source, fields: map[string]patchField{
			"name": text(true, ""), "provider": text(true, ""), "uid": uid("src_"), "forward": flag, "dedupeBody": flag,
			"config":            {values: []string{`{"a":"b"}`, `{}`}, bad: []string{`{"a":1}`, `[]`}, reset: "{}"},
			"eventTypePrefix":   {values: []string{`"shop."`}, bad: []string{`"a b"`, "7"}, reset: `""`},
			"methods":           names([]string{`["GET"]`, `["GET","PUT"]`}, []string{`["get"]`, `"GET"`}, ""),
			"answer":            {values: []string{"200", "299"}, bad: []string{"199", "300", `"200"`}, reset: "null"},
			"answerBody":        {values: []string{`"[accepted]"`}, bad: []string{"7"}, reset: "null"},
			"answerContentType": {values: []string{`"text/plain"`}, bad: []string{`"text/html"`, "7"}, reset: "null"},
			"eventTypes":        {values: []string{`{"a/b":"a.b"}`, `{}`}, bad: []string{`{"a":"b c"}`, `{"":"a"}`, `[]`}, reset: "{}"},
			"forwardHeaders":    names([]string{`["X-A"]`, `["x-a","X-B"]`}, []string{`["a b"]`, `"X-A"`}, ""),
		}, hidden: map[string]string{"secrets": "TestSourceSecretRotation"}},
	}
}

// TestEveryFieldIsPatched: a new PATCH, and a new field of one, has to be among
// patchables.
func TestEveryFieldIsPatched(t *testing.T) {
	w := newWorld(t)
	nouns := patchables(w)
	for _, o := range w.rows() {
		if o.method != "PATCH" || o.name == "endpoint.headers.patch" { // TestSoakHeaders
			continue
		}
		for _, field := range reflect.VisibleFields(o.in) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			known := nouns[o.name].fields[name].values != nil || nouns[o.name].hidden[name] != ""
			for _, f := range nouns[o.name].fields {
				known = known || f.older == name
			}
			if !known {
				t.Errorf("%s takes %q, which patchables does not know", o.name, name)
			}
		}
	}
}

// TestSoakPatch compares random PATCHes and PUTs, each property absent, null or
// given, right or wrong, by its older name, its newer one or both, with a model:
// absent keeps in a PATCH and resets in a PUT, null resets, and what is wrong
// changes nothing.
func TestSoakPatch(t *testing.T) {
	seed := testkit.Seed(t)
	for i := range testkit.Count(2, 300) {
		w := newWorld(t)
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		nouns := patchables(w)
		for _, name := range slices.Sorted(maps.Keys(nouns)) {
			m := &patchModel{w: w, r: r, noun: nouns[name]}
			m.state = m.visible(w.want(200, "GET", m.noun.path, ""))
			for range 60 {
				m.step()
				if t.Failed() {
					t.Fatalf("seed %d run %d", seed, i)
				}
			}
		}
	}
}

// patchModel knows what a noun has to read like.
type patchModel struct {
	w     *world
	r     *rand.Rand
	noun  patchable
	state map[string]any
}

// visible are the model's fields of what is read.
func (m *patchModel) visible(read map[string]any) map[string]any {
	fields := map[string]any{}
	for name := range m.noun.fields {
		fields[name] = read[name]
	}
	return fields
}

// step sends one request and compares.
func (m *patchModel) step() {
	m.w.t.Helper()
	method := "PATCH"
	if m.r.IntN(3) == 0 {
		method = "PUT"
	}
	body, next, wrong := m.request(method)
	text, err := json.Marshal(body)
	if err != nil {
		m.w.t.Fatal(err)
	}
	wrong = wrong || m.noun.wrong != nil && m.noun.wrong(next)
	got := m.w.do(method, m.noun.path, string(text))
	switch {
	case wrong && got.StatusCode != 422, !wrong && got.StatusCode != 200:
		m.w.t.Errorf("%s %s %s: %d %s, wrong: %v", method, m.noun.path, text, got.StatusCode, got.body, wrong)
	case !wrong:
		m.state = next
		var answer map[string]any
		if err := json.Unmarshal([]byte(got.body), &answer); err != nil {
			m.w.t.Fatal(err)
		}
		if diff := cmp.Diff(m.state, m.visible(answer)); diff != "" {
			m.w.t.Errorf("%s %s %s answers (-want +got): %s", method, m.noun.path, text, diff)
		}
	}
	read := m.w.want(200, "GET", m.noun.path, "")
	if diff := cmp.Diff(m.state, m.visible(read)); diff != "" {
		m.w.t.Errorf("after %s %s %s it reads (-want +got): %s", method, m.noun.path, text, diff)
	}
	for name, f := range m.noun.fields {
		if f.older == "" {
			continue
		}
		want := m.state[name]
		if list, ok := want.([]any); ok && f.olderSingle {
			want = list[0]
		}
		if diff := cmp.Diff(want, read[f.older]); diff != "" {
			m.w.t.Errorf("after %s %s %s its %s reads: %s", method, m.noun.path, text, f.older, diff)
		}
	}
}

// request makes a body, and what it makes of the state unless it is wrong.
func (m *patchModel) request(method string) (body map[string]json.RawMessage, next map[string]any, wrong bool) {
	body, next = map[string]json.RawMessage{}, maps.Clone(m.state)
	absent := 1 + m.r.IntN(5) // of six
	for _, name := range slices.Sorted(maps.Keys(m.noun.fields)) {
		f := m.noun.fields[name]
		given := ""
		switch n := m.r.IntN(6); {
		case n < absent && (!f.required || method == "PATCH" || m.r.IntN(20) > 0 && n > 0):
		case m.r.IntN(40) == 0:
			given, wrong = f.bad[m.r.IntN(len(f.bad))], true
		case m.r.IntN(4) == 0 && !f.required || m.r.IntN(60) == 0:
			given = "null"
		default:
			given = f.values[m.r.IntN(len(f.values))]
		}
		if given == "" && f.required && method == "PUT" && m.r.IntN(10) > 0 {
			given = f.values[0]
		}
		if wrong && given != "" && !json.Valid([]byte(given)) {
			m.w.t.Fatalf("%s is no JSON", given)
		}
		wrong = wrong || f.required && (given == "null" || given == "" && method == "PUT")
		m.give(body, name, given)
		switch {
		case given == "" && method == "PATCH":
		case given == "" || given == "null":
			next[name] = m.parsed(f.reset)
		default:
			next[name] = m.parsed(given)
		}
	}
	return body, next, wrong
}

// give puts a value under the newer name, the older one, or both, in which case
// the older one's does not count.
func (m *patchModel) give(body map[string]json.RawMessage, name, given string) {
	f := m.noun.fields[name]
	if given == "" {
		return
	}
	if f.older == "" || m.r.IntN(2) == 0 {
		body[name] = json.RawMessage(given)
		if f.older != "" && m.r.IntN(3) == 0 {
			body[f.older] = json.RawMessage("null")
		}
		return
	}
	list, isList := m.parsed(given).([]any)
	switch {
	case !f.olderSingle || given == "null":
		body[f.older] = json.RawMessage(given)
	case isList && len(list) == 1:
		body[f.older], _ = json.Marshal(list[0])
	default:
		body[name] = json.RawMessage(given)
	}
}

// parsed is a value as it is read back.
func (m *patchModel) parsed(text string) (value any) {
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		m.w.t.Fatalf("%s: %v", text, err)
	}
	return value
}

// TestSoakHeaders does the same with an endpoint's headers, each of which is
// absent, null or given in a PATCH, under a name in any case.
func TestSoakHeaders(t *testing.T) {
	seed := testkit.Seed(t)
	r := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	w.must("/app/shop/endpoint", `{"url":"https://example.com","uid":"e"}`)
	state := map[string]string{} // the name as it is written, and the value
	for i := range testkit.Count(300, 20_000) {
		method := []string{"PATCH", "PATCH", "PUT"}[r.IntN(3)]
		next := maps.Clone(state)
		if method == "PUT" {
			next = map[string]string{}
		}
		drop := func(name string) {
			maps.DeleteFunc(next, func(other, _ string) bool { return strings.EqualFold(other, name) })
		}
		given, deleted, set := map[string]any{}, []string{}, map[string]string{}
		twice := false
		for range r.IntN(4) {
			name := []string{"X-A", "x-a", "X-B", "x-B", "X-C"}[r.IntN(5)]
			switch r.IntN(4) {
			case 0:
				deleted = append(deleted, name)
			case 1:
				given[name] = nil
			default:
				given[name] = fmt.Sprint(i)
			}
		}
		if method == "PUT" {
			deleted = nil
		}
		for _, name := range deleted {
			drop(name)
		}
		for name, value := range given {
			drop(name)
			if text, ok := value.(string); ok {
				for other := range set {
					twice = twice || strings.EqualFold(other, name)
				}
				set[name] = text
			}
		}
		maps.Copy(next, set)
		body, err := json.Marshal(map[string]any{"headers": given, "deleteHeaders": deleted})
		if err != nil {
			t.Fatal(err)
		}
		want := 204
		if twice {
			want = 422
		} else {
			state = next
		}
		if got := w.do(method, "/app/shop/endpoint/e/headers", string(body)); got.StatusCode != want {
			t.Fatalf("seed %d: %s %s: %d %s, want %d", seed, method, body, got.StatusCode, got.body, want)
		}
		read := map[string]string{}
		for name, value := range w.want(200, "GET", "/app/shop/endpoint/e/headers", "")["headers"].(map[string]any) {
			read[name], _ = value.(string)
		}
		if diff := cmp.Diff(state, read); diff != "" {
			t.Fatalf("seed %d: after %s %s (-want +got): %s", seed, method, body, diff)
		}
	}
}

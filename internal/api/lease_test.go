package api

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

const workerPath = "/app/shop/endpoint/worker"

// newWorker is a world with a pull endpoint at workerPath, where nothing waits.
func newWorker(t testing.TB) *world {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	w.must("/app/shop/endpoint", `{"kind":"pull","uid":"worker"}`)
	return w
}

// job publishes a message for the worker.
func (w *world) job(payload string) (message string) {
	w.t.Helper()
	return w.must("/app/shop/msg", `{"eventType":"job.made","eventId":"`+fmt.Sprint("e", w.head.Batch)+`",`+payload+`}`)
}

// lease asks for what waits and returns the leases as they are shown.
func (w *world) lease(body string) (leases []map[string]any) {
	w.t.Helper()
	list, ok := w.want(200, "POST", workerPath+"/lease", body)["data"].([]any)
	if !ok {
		w.t.Fatal("data is no list")
	}
	for _, one := range list {
		lease, _ := one.(map[string]any)
		leases = append(leases, lease)
	}
	return leases
}

// leasesNamed is the property of a body that names leases.
func leasesNamed(ids ...any) string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = fmt.Sprintf("%q", id)
	}
	return `"leases":[` + strings.Join(list, ",") + `]`
}

func TestLeaseShowsTheMessage(t *testing.T) {
	const object, text = `"payload":{"n": 1.0}`, `"payload":{},"transformationsParams":{"rawPayload":"no JSON","headers":{"content-type":"text/plain"}}`
	for name, test := range map[string]struct {
		published, body string
		payload         any
	}{
		"an object":            {object, `{}`, map[string]any{"n": 1.0}},
		"as messages have it":  {object, `{"payload":"json"}`, map[string]any{"n": 1.0}},
		"something else":       {text, `{"limit":1000,"waitSeconds":60,"leaseSeconds":30}`, map[string]any{"contentType": "text/plain", "body": "no JSON"}},
		"exactly":              {object, `{"payload":"base64"}`, map[string]any{"contentType": "application/json", "bodyBase64": "eyJuIjogMS4wfQ=="}},
		"something else, too":  {text, `{"payload":"base64"}`, map[string]any{"contentType": "text/plain", "bodyBase64": "bm8gSlNPTg=="}},
		"null is the default":  {object, `{"limit":null,"waitSeconds":null,"leaseSeconds":null,"payload":null}`, map[string]any{"n": 1.0}},
		"no body is a default": {object, ``, map[string]any{"n": 1.0}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorker(t)
			message := w.job(test.published)
			leases := w.lease(test.body)
			if len(leases) != 1 {
				t.Fatalf("%d leases", len(leases))
			}
			l := leases[0]
			shown, _ := l["message"].(map[string]any)
			if diff := cmp.Diff(test.payload, shown["payload"]); diff != "" || shown["id"] != message {
				t.Errorf("%v: %s", shown, diff)
			}
			want := w.now.Add(postern.DefaultLease).Format(time.RFC3339)
			if _, replayed := l["replayId"]; l["attempt"] != 1.0 || l["expiresAt"] != want || replayed {
				t.Errorf("%v, want it to end at %s", l, want)
			}
			if again := w.lease(`{"waitSeconds":0}`); len(again) != 0 {
				t.Errorf("held and given out: %v", again)
			}
		})
	}
}

// TestLeaseReplay tells which replay a delivery is of.
func TestLeaseReplay(t *testing.T) {
	replay := postern.ReplayID(newWorld(t).newID())
	m := &postern.Message{ID: postern.NewMessageID(time.Now(), 1, 1, 2), EventType: "a", ContentType: jsonContentType}
	out := renderLease(&postern.Lease{Message: m, Content: &postern.Content{Payload: []byte("{}")}, Replay: replay}, false)
	if out.ReplayID == nil || *out.ReplayID != replay {
		t.Errorf("%v", out.ReplayID)
	}
}

// TestLeaseBatches takes the oldest first, and what there is room for.
func TestLeaseBatches(t *testing.T) {
	w := newWorker(t)
	var published []string
	for range 25 {
		published = append(published, w.job(`"payload":{}`))
	}
	var got []string
	for _, want := range []int{10, 3, 12} {
		leases := w.lease([]string{10: `{}`, 3: `{"limit":3}`, 12: `{"limit":1000}`}[want])
		if len(leases) != want {
			t.Errorf("%d leases, want %d", len(leases), want)
		}
		for _, l := range leases {
			message, _ := l["message"].(map[string]any)
			got = append(got, fmt.Sprint(message["id"]))
		}
	}
	if diff := cmp.Diff(published, got); diff != "" {
		t.Error(diff)
	}
}

// TestLeaseEnds has each operation do what it says to the delivery.
func TestLeaseEnds(t *testing.T) {
	for name, test := range map[string]struct {
		verb, more string
		// The attempt, where there is one.
		code     any
		state    postern.State
		reason   postern.Reason
		response string
		after    time.Duration // until the next try
	}{
		"acknowledged":     {verb: "ack", code: 200.0, state: postern.Delivered},
		"refused":          {verb: "nack", code: 500.0, state: postern.Retrying, after: time.Minute},
		"refused, and why": {verb: "nack", more: `,"error":"out of stock","permanent":false`, code: 500.0, state: postern.Retrying, response: "out of stock", after: time.Minute},
		"later":            {verb: "nack", more: `,"delaySeconds":3600`, code: 500.0, state: postern.Retrying, after: time.Hour},
		"for good":         {verb: "nack", more: `,"permanent":true`, code: 500.0, state: postern.Dead, reason: postern.ReasonPermanent},
		"given back":       {verb: "release"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorker(t)
			message := w.job(`"payload":{}`)
			id := w.lease(`{}`)[0]["id"]
			body := `{` + leasesNamed(id, id) + test.more + `}`
			for _, missing := range [][]any{{}, {id}} { // the second time it has ended
				answer := w.want(200, "POST", workerPath+"/lease/"+test.verb, body)
				if diff := cmp.Diff(map[string]any{"missing": missing}, answer); diff != "" {
					t.Error(diff)
				}
			}
			attempts, _ := w.want(200, "GET", "/app/shop/attempt/endpoint/worker", "")["data"].([]any)
			if test.code == nil {
				if again := w.lease(`{"waitSeconds":0}`); len(attempts) != 0 || len(again) != 1 || again[0]["attempt"] != 1.0 {
					t.Errorf("%v, attempts %v", again, attempts)
				}
				return
			}
			if len(attempts) != 1 || w.leases.Held() != 0 {
				t.Fatalf("%d attempts, %d held", len(attempts), w.leases.Held())
			}
			a, _ := attempts[0].(map[string]any)
			if a["responseStatusCode"] != test.code || a["response"] != test.response || a["url"] != "postern:pull" {
				t.Errorf("%v", a)
			}
			w.checkStanding(message, test.state, test.reason, test.after)
		})
	}
}

// checkStanding looks how the worker's delivery of a message stands; after is
// until its next try, 0 for none.
func (w *world) checkStanding(message string, state postern.State, reason postern.Reason, after time.Duration) {
	w.t.Helper()
	id, err := postern.ParseMessageID(message)
	if err != nil {
		w.t.Fatal(err)
	}
	standing, err := w.store.Standing(w.t.Context(), store.DeliveryKey{Application: 1, Endpoint: 1, Message: id})
	if err != nil {
		w.t.Fatal(err)
	}
	var waits time.Duration
	if standing.Row != nil {
		waits = standing.Row.Next.Sub(w.now)
	}
	// The schedule's wait is spread by a fifth.
	if standing.State != state || standing.Reason != reason || waits < after-after/5 || waits > after+after/5 {
		w.t.Errorf("%v %q, due in %v", standing.State, standing.Reason, waits)
	}
}

// TestLeasesOfOthers: a lease that another endpoint's consumers hold is as good
// as ended, and nothing happens to it.
func TestLeasesOfOthers(t *testing.T) {
	w := newWorker(t)
	w.must("/app/shop/endpoint", `{"kind":"pull","uid":"second"}`)
	w.must("/app", `{"name":"Other","uid":"other"}`)
	_, theirs := w.addWorker("other", "worker")
	w.job(`"payload":{}`)
	own := w.lease(`{}`)[0]["id"]
	second := leaseID(t, w.want(200, "POST", "/app/shop/endpoint/second/lease", `{}`), 0)
	nobodys := postern.LeaseID(w.newID()).String()
	held, batch := w.leases.Held(), w.head.Batch
	missing := []any{second, theirs, nobodys}
	for verb, more := range map[string]string{"ack": "", "nack": `,"permanent":true`, "extend": `,"leaseSeconds":3600`, "release": ""} {
		got, _ := w.want(200, "POST", workerPath+"/lease/"+verb, `{`+leasesNamed(missing...)+more+`}`)["missing"].([]any)
		if diff := cmp.Diff(missing, got, cmpopts.SortSlices(func(a, b any) bool { return fmt.Sprint(a) < fmt.Sprint(b) })); diff != "" {
			t.Errorf("%s: %s", verb, diff)
		}
	}
	if w.leases.Held() != held || w.head.Batch != batch {
		t.Errorf("%d of %d are held, %d batches were stored", w.leases.Held(), held, w.head.Batch-batch)
	}
	// Beside others, the own ones end all the same.
	got, _ := w.want(200, "POST", workerPath+"/lease/ack", `{`+leasesNamed(second, own)+`}`)["missing"].([]any)
	if diff := cmp.Diff([]any{second}, got); diff != "" || w.leases.Held() != held-1 {
		t.Errorf("%d held: %s", w.leases.Held(), diff)
	}
}

func TestLeaseExtends(t *testing.T) {
	w := newWorker(t)
	w.job(`"payload":{}`)
	id := w.lease(`{"leaseSeconds":1}`)[0]["id"]
	for range 2 {
		w.now = w.now.Add(10 * time.Minute)
		answer := w.want(200, "POST", workerPath+"/lease/extend", `{`+leasesNamed(id)+`,"leaseSeconds":3600}`)
		if diff := cmp.Diff(map[string]any{"missing": []any{}, "expiresAt": w.now.Add(time.Hour).Format(time.RFC3339)}, answer); diff != "" {
			t.Error(diff)
		}
	}
}

// TestLeaseBounds refuses what is wrong, whether something waits or not.
func TestLeaseBounds(t *testing.T) {
	w := newWorker(t)
	w.job(`"payload":{}`)
	id := postern.LeaseID(w.newID()).String()
	many := make([]any, postern.MaxLeases+1)
	for i := range many {
		many[i] = id
	}
	for _, test := range []struct{ verb, body, text string }{
		{"", `{"limit":0}`, `["body","limit"]`},
		{"", `{"limit":1001}`, `["body","limit"]`},
		{"", `{"limit":"1"}`, `["body","limit"]`},
		{"", `{"waitSeconds":-1}`, `["body","waitSeconds"]`},
		{"", `{"waitSeconds":61}`, `["body","waitSeconds"]`},
		{"", `{"waitSeconds":0.5}`, `["body","waitSeconds"]`},
		{"", `{"leaseSeconds":0}`, `["body","leaseSeconds"]`},
		{"", `{"leaseSeconds":3601}`, `["body","leaseSeconds"]`},
		{"", `{"payload":"raw"}`, `["body","payload"]`},
		{"", `[]`, `"body"`},
		{"/ack", `{}`, `["body","leases"]`},
		{"/ack", `{"leases":null}`, `["body","leases"]`},
		{"/ack", `{"leases":[]}`, `["body","leases"]`},
		{"/ack", `{"leases":"` + id + `"}`, `["body","leases"]`},
		{"/ack", `{` + leasesNamed(many...) + `}`, `must name 1 to 1000 leases`},
		{"/ack", `{` + leasesNamed(id, "lse_x") + `}`, `["body","leases","1"]`},
		{"/ack", `{` + leasesNamed(strings.Replace(id, "lse_", "msg_", 1)) + `}`, `["body","leases","0"]`},
		{"/release", `{` + leasesNamed("") + `}`, `["body","leases","0"]`},
		{"/nack", `{"delaySeconds":1}`, `["body","leases"]`},
		{"/nack", `{` + leasesNamed(id) + `,"delaySeconds":-1}`, `["body","delaySeconds"]`},
		{"/nack", `{` + leasesNamed(id) + `,"delaySeconds":86401}`, `["body","delaySeconds"]`},
		{"/nack", `{` + leasesNamed(id) + `,"permanent":"yes"}`, `["body","permanent"]`},
		{"/nack", `{` + leasesNamed(id) + `,"error":"` + strings.Repeat("x", maxNackError+1) + `"}`, `["body","error"]`},
		{"/extend", `{` + leasesNamed(id) + `}`, `["body","leaseSeconds"]`},
		{"/extend", `{` + leasesNamed(id) + `,"leaseSeconds":null}`, `["body","leaseSeconds"]`},
		{"/extend", `{` + leasesNamed(id) + `,"leaseSeconds":0}`, `["body","leaseSeconds"]`},
		{"/extend", `{` + leasesNamed(id) + `,"leaseSeconds":3601}`, `["body","leaseSeconds"]`},
		{"/extend", `{"leaseSeconds":1}`, `["body","leases"]`},
	} {
		w.refused(422, test.text, "POST", workerPath+"/lease"+test.verb, test.body)
	}
	if w.leases.Held() != 0 {
		t.Error("a refused request took something")
	}
	for _, body := range []string{`{` + leasesNamed(many[1:]...) + `}`, `{` + leasesNamed(id) + `,"error":"` + strings.Repeat("x", maxNackError) + `","delaySeconds":86400}`} {
		w.want(200, "POST", workerPath+"/lease/nack", body)
	}
}

// TestOnlyPullEndpointsAreAsked: of others there is nothing to lease, though
// they have deliveries that wait.
func TestOnlyPullEndpointsAreAsked(t *testing.T) {
	w := newWorld(t)
	w.must("/app", `{"name":"Shop","uid":"shop"}`)
	w.must("/app/shop/endpoint", `{"url":"https://example.com","uid":"hooks"}`)
	if _, err := w.cat.CreateEndpoint(t.Context(), postern.Endpoint{Application: 1, Kind: postern.HandlerEndpoint, UID: "billing"}); err != nil {
		t.Fatal(err)
	}
	for _, uid := range []string{"hooks", "billing"} {
		for _, verb := range []string{"", "/ack", "/nack", "/extend", "/release"} {
			path := "/app/shop/endpoint/" + uid + "/lease" + verb
			w.refused(409, `"code":"not_pull"`, "POST", path, `{"leaseSeconds":1,`+leasesNamed(postern.LeaseID(w.newID()))+`}`)
		}
	}
}

// TestLeasesAreGivenOutAnew: who asks again under one idempotency key wants what
// waits now; who acknowledges again is told the same.
func TestLeasesAreGivenOutAnew(t *testing.T) {
	w := newWorker(t)
	w.job(`"payload":{}`)
	w.job(`"payload":{}`)
	var first string
	for range 2 {
		got := w.keyed(adminToken, "my key", "POST", workerPath+"/lease", `{"limit":1}`)
		if got.StatusCode != 200 || got.body == first || !strings.Contains(got.body, "lse_") {
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
		first = got.body
	}
	w.job(`"payload":{}`)
	body := `{` + leasesNamed(w.lease(`{}`)[0]["id"]) + `}`
	for range 2 {
		if got := w.keyed(adminToken, "another key", "POST", workerPath+"/lease/ack", body); strings.TrimSpace(got.body) != `{"missing":[]}` {
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
	}
	w.want(200, "POST", workerPath+"/lease/ack", body)
}

// TestStoppingLeases: a server that stops says so to all.
func TestStoppingLeases(t *testing.T) {
	w := newWorker(t)
	w.job(`"payload":{}`)
	body := `{` + leasesNamed(w.lease(`{}`)[0]["id"]) + `,"leaseSeconds":1}`
	w.leases.Close()
	for _, verb := range []string{"", "/ack", "/nack", "/extend", "/release"} {
		if got := w.do("POST", workerPath+"/lease"+verb, body); got.StatusCode != 503 || got.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", verb, got.StatusCode, got.body)
		}
	}
	if n := w.lanes.count(1); n != 1 {
		t.Errorf("%d deliveries were given back", n)
	}
}

// TestManyConsumers are told to go.
func TestManyConsumers(t *testing.T) {
	w := newWorker(t)
	h, ok := w.handler.(*handler)
	if !ok {
		t.Fatal("another handler")
	}
	h.Leases = crowded{}
	got := w.do("POST", workerPath+"/lease", `{}`)
	if got.StatusCode != 429 || !strings.Contains(got.body, "too_many_consumers") {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

// crowded has no room for another consumer.
type crowded struct{ Leases }

func (crowded) Lease(context.Context, *EndpointView, postern.LeaseRequest) ([]postern.Lease, error) {
	return nil, &postern.Error{Kind: postern.RateLimited, Code: "too_many_consumers"}
}

// polling has a request for leases wait in a bubble; meanwhile goes on then.
func polling(t *testing.T, token func(w *world) string, meanwhile func(w *world, leave func())) (got response, took time.Duration, w *world) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w = newWorker(t)
		w.unobserved()
		r := httptest.NewRequest("POST", Prefix+workerPath+"/lease", strings.NewReader(`{"waitSeconds":60}`))
		ctx, leave := context.WithCancel(r.Context())
		defer leave()
		r.Header.Set("Authorization", "Bearer "+token(w))
		answered := make(chan struct{})
		began := time.Now()
		go func() {
			defer close(answered)
			got = w.send(r.WithContext(ctx))
			took = time.Since(began)
		}()
		<-time.After(5 * time.Second)
		meanwhile(w, leave)
		<-answered
		if w.leases.Held()+w.lanes.count(1) > 1 {
			t.Errorf("%d held, %d wait", w.leases.Held(), w.lanes.count(1))
		}
	})
	return got, took, w
}

func admin(*world) string { return adminToken }

func TestLeasePolls(t *testing.T) {
	got, took, w := polling(t, admin, func(w *world, _ func()) { w.job(`"payload":{}`) })
	if got.StatusCode != 200 || !strings.Contains(got.body, "lse_") || took != 5*time.Second || w.log.Len() > 0 {
		t.Errorf("%d %s after %v, log %s", got.StatusCode, got.body, took, w.log)
	}
	got, took, _ = polling(t, admin, func(*world, func()) {})
	if got.StatusCode != 200 || strings.TrimSpace(got.body) != `{"data":[]}` || took != time.Minute {
		t.Errorf("%d %s after %v", got.StatusCode, got.body, took)
	}
	got, took, _ = polling(t, admin, func(w *world, _ func()) { w.leases.Close() })
	if got.StatusCode != 503 || took != 5*time.Second {
		t.Errorf("%d %s after %v", got.StatusCode, got.body, took)
	}
}

// TestLeaseOfARevokedKey: what came while the key was revoked goes to another.
func TestLeaseOfARevokedKey(t *testing.T) {
	var revoke func()
	key := func(w *world) (token string) {
		token, revoke = w.newKey(`{"name":"k","scope":"application","application":"shop"}`)
		return token
	}
	waits := 0
	got, _, _ := polling(t, key, func(w *world, _ func()) {
		revoke()
		w.job(`"payload":{"n":1}`)
		synctest.Wait()
		waits = w.lanes.count(1)
	})
	if got.StatusCode != http.StatusUnauthorized || strings.Contains(got.body, "lse_") || waits != 1 {
		t.Errorf("%d %s, %d given back", got.StatusCode, got.body, waits)
	}
}

// TestLeaseForWhoHasLeft: nobody holds what was found for a consumer that is
// gone.
func TestLeaseForWhoHasLeft(t *testing.T) {
	waits := 0
	_, took, w := polling(t, admin, func(w *world, leave func()) {
		leave()
		synctest.Wait()
		w.job(`"payload":{}`)
		waits = w.lanes.count(1)
	})
	if took != 5*time.Second || waits != 1 || w.log.Len() > 0 {
		t.Errorf("after %v, %d wait, log %s", took, waits, w.log)
	}
}

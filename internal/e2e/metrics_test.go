package e2e_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern/internal/testkit"
)

// metricsWorld is a server with endpoints of every kind.
type metricsWorld struct {
	*server
	t        *testing.T
	receiver *receiver
	release  chan struct{} // closed to let the hanging endpoint answer
	app      string        // has good and failing endpoints
	paused   string        // an application whose endpoint is paused
	hanging  string        // an application whose endpoint hangs
	ingest   string        // the inbound address of a GitHub source
	lease    string        // what a consumer holds
}

// githubSecret is the secret of the source.
const githubSecret = "It's a Secret to Everybody"

func newMetricsWorld(t *testing.T) *metricsWorld {
	w := &metricsWorld{t: t, release: make(chan struct{})}
	w.receiver = newReceiver(t, func(got *request, _ *http.Request) int {
		switch got.path {
		case "/failing":
			return 500
		case "/hanging":
			<-w.release
		}
		return 200
	})
	w.server = serve(t, "file:"+t.TempDir()+"/store", "--retry-schedule=1h")
	w.app = w.application("metrics")
	w.want(201, "POST", "/event-type", object{"name": "good", "description": "d"}, nil)
	w.want(201, "POST", "/event-type", object{"name": "failing", "description": "d"}, nil)
	w.want(201, "POST", "/event-type", object{"name": "dying", "description": "d"}, nil)
	w.endpoint(w.app, w.receiver.URL+"/good", object{"eventTypes": []string{"good"}})
	w.endpoint(w.app, w.receiver.URL+"/failing", object{"eventTypes": []string{"failing"}, "uid": "failing"})
	w.endpoint(w.app, w.receiver.URL+"/failing", object{"eventTypes": []string{"dying"}, "retrySchedule": []float64{}})
	w.paused = w.application("paused")
	paused := w.endpoint(w.paused, w.receiver.URL+"/paused", object{"uid": "paused"})
	w.want(200, "POST", "/app/"+w.paused+"/endpoint/"+paused+"/pause", nil, nil)
	w.hanging = w.application("hanging")
	w.endpoint(w.hanging, w.receiver.URL+"/hanging", nil)
	var source struct{ IngestURL string }
	w.want(201, "POST", "/app/"+w.app+"/source", object{"name": "s", "provider": "github", "secrets": []string{githubSecret}}, &source)
	w.ingest = strings.TrimPrefix(source.IngestURL, w.base)
	return w
}

// inbound sends a request as GitHub would, signed with a secret.
func (w *metricsWorld) inbound(status int, delivery, secret string) {
	w.t.Helper()
	body := []byte(`{"action":"opened"}`)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	r, err := w.send("POST", w.ingest, http.Header{
		"Content-Type": {"application/json"}, "X-Github-Event": {"issues"}, "X-Github-Delivery": {delivery},
		"X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(mac.Sum(nil))},
	}, bytes.NewReader(body))
	if err != nil || r.status != status {
		w.t.Fatalf("inbound request: %+v, %v; want %d", r, err, status)
	}
}

// movement is something that happens, and the metrics that have to rise by it;
// undo brings the gauges among them down again.
type movement struct {
	what   string
	do     func(w *metricsWorld)
	rise   []string
	undo   func(w *metricsWorld)
	gauges []string
}

// movements are what moves each metric, in an order in which they do not hide
// one another.
func movements() []movement {
	return []movement{
		{what: "a message is accepted and delivered", do: func(w *metricsWorld) { w.publish(w.app, "good", object{}) }, rise: []string{
			"postern_messages_accepted_total", `postern_attempts_total{outcome="succeeded"}`, `postern_deliveries_ended_total{state="delivered"}`,
			"postern_attempt_duration_seconds_count", "postern_attempt_duration_seconds_sum", `postern_attempt_duration_seconds_bucket{le="+Inf"}`,
			"postern_lanes", "postern_fsyncs_total", "postern_batches_total", "postern_batch_operations_total",
			"postern_batch_size_count", "postern_batch_size_sum", `postern_batch_size_bucket{le="1"}`,
			"postern_commit_duration_seconds_count", "postern_commit_duration_seconds_sum", `postern_commit_duration_seconds_bucket{le="+Inf"}`,
			`postern_api_requests_total{code="202",operation="message.create"}`, "postern_api_request_duration_seconds_count",
			"postern_api_request_duration_seconds_sum", `postern_api_request_duration_seconds_bucket{le="+Inf"}`,
		}},
		{what: "an inbound request is accepted", do: func(w *metricsWorld) { w.inbound(202, "one", githubSecret) }, rise: []string{
			"postern_messages_accepted_total",
		}},
		{what: "an inbound request comes twice", do: func(w *metricsWorld) { w.inbound(202, "one", githubSecret) }, rise: []string{
			"postern_messages_duplicate_total",
		}},
		{what: "a message comes twice", do: func(w *metricsWorld) {
			in := object{"eventType": "good", "eventId": "once", "payload": object{}}
			w.want(202, "POST", "/app/"+w.app+"/msg", in, nil)
			w.want(409, "POST", "/app/"+w.app+"/msg", in, nil)
		}, rise: []string{"postern_messages_duplicate_total", `postern_api_requests_total{code="409",operation="message.create"}`}},
		{what: "an inbound request is refused", do: func(w *metricsWorld) { w.inbound(401, "two", "wrong") }, rise: []string{
			`postern_requests_refused_total{reason="signature_mismatch"}`,
		}},
		{what: "a handshake is answered", do: func(w *metricsWorld) {
			var source struct{ IngestURL string }
			w.want(201, "POST", "/app/"+w.app+"/source", object{"name": "s", "provider": "dropbox", "secrets": []string{"s3cret"}}, &source)
			r, err := w.send("GET", strings.TrimPrefix(source.IngestURL, w.base)+"?challenge=abc", nil, nil)
			if err != nil || r.status != 200 || string(r.body) != "abc" {
				w.t.Errorf("the challenge was answered with %v, %v", r, err)
			}
		}, rise: []string{`postern_handshakes_answered_total{kind="echo"}`}},
		{what: "deliveries fail and wait for a retry", do: func(w *metricsWorld) {
			for range 6 {
				w.publish(w.app, "failing", object{})
			}
		}, rise: []string{`postern_attempts_total{outcome="failed"}`, "postern_rows", "postern_lanes_failing"}},
		{what: "a delivery is dead", do: func(w *metricsWorld) { w.publish(w.app, "dying", object{}) }, rise: []string{
			`postern_deliveries_ended_total{state="dead"}`,
		}},
		{what: "a delivery is canceled", do: func(w *metricsWorld) {
			id := w.publish(w.app, "failing", object{})
			endpoint := "/app/" + w.app + "/msg/" + id + "/endpoint/failing"
			await(w.t, "it has failed once", func() bool { return len(w.attempts(w.app, id)) == 1 })
			w.want(204, "POST", endpoint+"/cancel", nil, nil)
		}, rise: []string{`postern_deliveries_ended_total{state="canceled"}`, `postern_deliveries_without_attempt_total{reason="canceled"}`}},
		{what: "an endpoint goes before the retry", do: func(w *metricsWorld) {
			// There is time for it, and another retry is never far.
			schedule := slices.Repeat([]float64{0.5}, 40)
			doomed := w.endpoint(w.app, w.receiver.URL+"/failing", object{"eventTypes": []string{"dying"}, "retrySchedule": schedule})
			id := w.publish(w.app, "dying", object{})
			await(w.t, "it has failed once", func() bool { return w.states(w.app, id)[doomed] == "retrying" })
			w.want(204, "DELETE", "/app/"+w.app+"/endpoint/"+doomed, nil, nil)
		}, rise: []string{`postern_deliveries_ended_total{state="canceled"}`, `postern_deliveries_without_attempt_total{reason="deleted"}`}},
		{what: "a delivery waits for a paused endpoint", do: func(w *metricsWorld) { w.publish(w.paused, "good", object{}) },
			rise: []string{"postern_lanes_behind", "postern_deliveries_behind_total", "postern_oldest_undelivered_seconds"},
			undo: func(w *metricsWorld) {
				w.want(200, "POST", "/app/"+w.paused+"/endpoint/paused/resume", nil, nil)
				w.publish(w.paused, "good", object{})
			},
			gauges: []string{"postern_lanes_behind", "postern_oldest_undelivered_seconds"}},
		{what: "a consumer holds a delivery", do: func(w *metricsWorld) {
			w.want(201, "POST", "/app/"+w.app+"/endpoint", object{"kind": "pull", "uid": "worker", "channels": []string{"pulled"}}, nil)
			w.want(202, "POST", "/app/"+w.app+"/msg", object{"eventType": "good", "channels": []string{"pulled"}, "payload": object{}}, nil)
			var got struct{ Data []struct{ ID string } }
			w.want(200, "POST", "/app/"+w.app+"/endpoint/worker/lease", object{}, &got)
			w.lease = got.Data[0].ID
		}, rise: []string{"postern_leases", `postern_api_requests_total{code="200",operation="lease.create"}`},
			undo: func(w *metricsWorld) {
				w.want(200, "POST", "/app/"+w.app+"/endpoint/worker/lease/ack", object{"leases": []string{w.lease}}, nil)
			},
			gauges: []string{"postern_leases"}},
		{what: "an endpoint hangs", do: func(w *metricsWorld) {
			for range 60 { // more than are sent at once
				w.publish(w.hanging, "good", object{"a": strings.Repeat("x", 1000)})
			}
		}, rise: []string{"postern_attempts_in_flight", "postern_deliveries_queued", "postern_deliveries_queued_bytes", "postern_oldest_undelivered_seconds"},
			undo:   func(w *metricsWorld) { close(w.release) },
			gauges: []string{"postern_attempts_in_flight", "postern_deliveries_queued", "postern_deliveries_queued_bytes", "postern_oldest_undelivered_seconds"}},
		{what: "much is stored", do: func(w *metricsWorld) {
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					for range 12 {
						if r, err := w.try("POST", "/app/"+w.app+"/msg", object{"eventType": "good", "payload": object{"a": strings.Repeat("x", 900<<10)}}); err != nil || r.status != 202 {
							w.t.Errorf("publishing: %v, %v", r, err)
						}
					}
				})
			}
			all.Wait()
		}, rise: []string{"postern_store_bytes", "postern_store_memtable_bytes"}},
	}
}

// seldom are the metrics that no test of a second moves; each has to be there.
var seldom = map[string]string{
	"postern_lanes_probing":               "probing starts after half a minute of failures: moved by the soak",
	"postern_own_faults_total":            "the tests of own faults move it",
	"postern_store_compaction_debt_bytes": "there is a debt only under a load of minutes",
	"postern_store_compactions":           "under way for milliseconds",
	"postern_store_flushes":               "under way for milliseconds",
	"postern_store_free_bytes":            "others use the disk as well",
	"postern_store_full":                  "is 1 on a full disk alone",
	"postern_store_reserve_bytes":         "follows from the size of the disk",
}

// Every metric is there and moves by what it is named after.
func TestEveryMetricMoves(t *testing.T) {
	t.Parallel()
	w := newMetricsWorld(t)
	moved := map[string]bool{}
	for _, m := range movements() {
		before := w.scrape()
		m.do(w)
		var still []string
		holds(patience/2, func() bool {
			now := w.scrape()
			still = slices.DeleteFunc(slices.Clone(m.rise), func(series string) bool { return now[series] > before[series] })
			return len(still) == 0
		})
		for _, series := range still {
			t.Errorf("%s: %s stays at %v", m.what, series, before[series])
		}
		for _, series := range m.rise {
			moved[family(series)] = true
		}
		if m.undo == nil {
			continue
		}
		m.undo(w)
		await(t, fmt.Sprint(m.what, " no more: ", m.gauges, " are 0 again"), func() bool {
			now := w.scrape()
			return !slices.ContainsFunc(m.gauges, func(series string) bool { return now[series] != 0 })
		})
	}
	families := map[string]bool{}
	for series := range w.scrape() {
		if strings.HasPrefix(series, "postern_") {
			families[family(series)] = true
		}
	}
	for name := range families {
		if !moved[name] && seldom[name] == "" {
			t.Errorf("%s is shown, and nothing here moves it", name)
		}
	}
	for name := range maps.Keys(seldom) {
		if !families[name] {
			t.Errorf("%s is not shown", name)
		}
	}
	if now := w.scrape(); now["postern_store_free_bytes"] <= 0 || now["postern_store_reserve_bytes"] <= 0 {
		t.Errorf("free %v, reserve %v", now["postern_store_free_bytes"], now["postern_store_reserve_bytes"])
	}
}

// An endpoint that does nothing but fail for half a minute is probed.
func TestSoakProbingIsShown(t *testing.T) {
	t.Parallel()
	if !testkit.Soaking() {
		t.Skip("takes half a minute: make soak")
	}
	r := newReceiver(t, func(*request, *http.Request) int { return 500 })
	s := serve(t, "memory:", "--retry-schedule=1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s")
	app := s.application("a")
	s.endpoint(app, r.URL, nil)
	s.publish(app, "a.b", object{})
	if !holds(90*time.Second, func() bool {
		m, err := s.metrics()
		return err == nil && m["postern_lanes_probing"] == 1
	}) {
		t.Error("not probed after 90 s of failures")
	}
}

// scrape reads the metrics of a server that lives.
func (w *metricsWorld) scrape() map[string]float64 {
	w.t.Helper()
	samples, err := w.metrics()
	if err != nil {
		w.t.Fatal(err)
	}
	return samples
}

// family is the metric that a series belongs to.
func family(series string) string {
	name, _, _ := strings.Cut(series, "{")
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		if cut, ok := strings.CutSuffix(name, suffix); ok {
			return cut
		}
	}
	return name
}

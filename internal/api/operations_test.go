package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postern-dev/postern"
)

// story is a world with one of everything, whose ids stand in for {names} in
// paths.
type story struct {
	*world
	names map[string]string
}

func newStory(t testing.TB) *story {
	w := newWorld(t)
	s := &story{world: w, names: map[string]string{}}
	s.names["app"] = w.must("/app", `{"name":"Shop","uid":"shop"}`)
	w.must("/app", `{"name":"Other","uid":"other"}`)
	w.want(201, "POST", "/event-type", `{"name":"invoice.paid","description":"An invoice was paid"}`)
	s.names["endpoint"] = w.must("/app/shop/endpoint", `{"url":"https://example.com/a","uid":"a","eventTypes":["invoice.*"]}`)
	s.names["source"] = w.must("/app/shop/source", `{"name":"GitHub","provider":"github","uid":"gh","secrets":["s3cret"]}`)
	s.names["msg"] = w.must("/app/shop/msg", `{"eventType":"invoice.paid","eventId":"evt-1","payload":{"n":1.0}}`)
	s.names["attempt"] = s.attempt(postern.Attempt{N: 1, Succeeded: true, Code: 200, State: postern.Delivered})
	s.names["refusal"] = s.refusal()
	s.addReplays()
	s.names["key"] = w.must("/key", `{"name":"reader","scope":"read-only"}`)
	return s
}

// attempt stores one of the story's message at its endpoint.
func (s *story) attempt(a postern.Attempt) string {
	s.t.Helper()
	id, err := (&postern.IDSource{Now: s.clock, Random: strings.NewReader("fourteen bytes and more")}).Next()
	if err != nil {
		s.t.Fatal(err)
	}
	if a.ID.IsZero() {
		a.ID = id
	}
	if a.Message, err = postern.ParseMessageID(s.names["msg"]); err != nil {
		s.t.Fatal(err)
	}
	a.Application, a.Endpoint = 1, 1
	a.URL, a.Started = "https://example.com/a", s.now
	s.settle(a)
	return a.ID.String()
}

// path puts the story's ids in place of names in braces.
func (s *story) path(path string) string {
	for name, id := range s.names {
		path = strings.ReplaceAll(path, "{"+name+"}", id)
	}
	return path
}

// operationCase is a row's request, and what of it is refused.
type operationCase struct {
	path, body string
	// badPath or badBody is what differs in the refusal.
	badPath, badBody string
	badStatus        int
}

// operationCases has one for every row of the table.
func operationCases() map[string]operationCase {
	const source, worker, lease = "/app/{app}/source/{source}", "/app/{app}/endpoint/{worker}", `{"leases":["{lease}"]}`
	return map[string]operationCase{
		"health":                        {},
		"health.ping":                   {},
		"openapi":                       {},
		"tail":                          {badPath: "/tail?outcome=pending", badStatus: 422},
		"limits":                        {}, // asks for nothing that could be refused
		"application.list":              {badPath: "/app?limit=251", badStatus: 422},
		"application.create":            {body: `{"name":"New"}`, badBody: `{"name":"New","uid":"shop"}`, badStatus: 409},
		"application.get":               {badPath: "/app/nobody", badStatus: 404},
		"application.put":               {body: `{"name":"New"}`, badBody: `{}`, badStatus: 422},
		"application.patch":             {body: `{"uid":null}`, badBody: `{"name":null}`, badStatus: 422},
		"application.delete":            {badPath: "/app/nobody", badStatus: 404},
		"event-type.list":               {badPath: "/event-type?limit=x", badStatus: 400},
		"event-type.create":             {body: `{"name":"a.b","description":"d"}`, badBody: `{"name":"a b","description":"d"}`, badStatus: 422},
		"event-type.get":                {path: "/event-type/invoice.paid", badPath: "/event-type/nothing", badStatus: 404},
		"event-type.put":                {path: "/event-type/invoice.paid", body: `{"description":"d"}`, badBody: `{"description":7}`, badStatus: 422},
		"event-type.patch":              {path: "/event-type/invoice.paid", body: `{"deprecated":true}`, badBody: `{"description":null}`, badStatus: 422},
		"event-type.retry-schedule.get": {path: "/event-type/invoice.paid/retry-schedule", badPath: "/event-type/nothing/retry-schedule", badStatus: 404},
		"event-type.retry-schedule.put": {path: "/event-type/invoice.paid/retry-schedule", body: `{"retrySchedule":[1,60]}`, badBody: `{"retrySchedule":[-1]}`, badStatus: 422},
		"event-type.delete":             {path: "/event-type/invoice.paid", badPath: "/event-type/nothing", badStatus: 404},
		"endpoint.list":                 {badPath: "/app/nobody/endpoint", badStatus: 404},
		"endpoint.create":               {body: `{"url":"https://example.com"}`, badBody: `{"url":"http://10.0.0.1"}`, badStatus: 422},
		"endpoint.get":                  {badPath: "/app/other/endpoint/{endpoint}", badStatus: 404},
		"endpoint.put":                  {body: `{"url":"https://example.com/b"}`, badBody: `{}`, badStatus: 422},
		"endpoint.patch":                {body: `{"disabled":true}`, badBody: `{"throttleRate":0}`, badStatus: 422},
		"endpoint.delete":               {badPath: "/app/{app}/endpoint/nobody", badStatus: 404},
		"endpoint.pause":                {badPath: "/app/{app}/endpoint/nobody/pause", badStatus: 404},
		"endpoint.resume":               {badPath: "/app/{app}/endpoint/nobody/resume", badStatus: 404},
		"lease.create":                  {path: worker + "/lease", body: `{"limit":1,"waitSeconds":0,"leaseSeconds":3600}`, badBody: `{"limit":1001}`, badStatus: 422},
		"lease.ack":                     {path: worker + "/lease/ack", body: lease, badPath: "/app/{app}/endpoint/{endpoint}/lease/ack", badStatus: 409},
		"lease.nack":                    {path: worker + "/lease/nack", body: lease, badBody: `{"leases":["x"]}`, badStatus: 422},
		"lease.extend":                  {path: worker + "/lease/extend", body: `{"leases":["{lease}"],"leaseSeconds":3600}`, badBody: lease, badStatus: 422},
		"lease.release":                 {path: worker + "/lease/release", body: lease, badPath: "/app/other/endpoint/{worker}/lease/release", badStatus: 404},
		"endpoint.headers.get":          {badPath: "/app/{app}/endpoint/nobody/headers", badStatus: 404},
		"endpoint.headers.put":          {body: `{"headers":{"X-A":"b"}}`, badBody: `{"headers":{"User-Agent":"b"}}`, badStatus: 422},
		"endpoint.headers.patch": {
			body: `{"headers":{"X-A":"b"}}`, badBody: `{"headers":{"X-A":"b\r\nX-B: c"}}`, badStatus: 422,
		},
		"endpoint.secret.get":      {badPath: "/app/other/endpoint/{endpoint}/secret", badStatus: 404},
		"endpoint.secret.rotate":   {body: `{}`, badBody: `{"gracePeriodSeconds":604801}`, badStatus: 422},
		"endpoint.send-example":    {body: `{"eventType":"svix.ping"}`, badBody: `{"eventType":"no.such"}`, badStatus: 404},
		"endpoint.stats":           {badPath: "/app/{app}/endpoint/{endpoint}/stats?since=2020-01-01T00:00:00Z", badStatus: 400},
		"endpoint.messages":        {badPath: "/app/{app}/endpoint/{endpoint}/msg?status=9", badStatus: 422},
		"message.expunge":          {badPath: "/app/other/msg/{msg}/content", badStatus: 404},
		"message.bulk-expunge":     {body: `{"ids":["{msg}"]}`, badBody: `{"ids":7}`, badStatus: 422},
		"message.expunge-all":      {badPath: "/app/nobody/msg/expunge-all-contents", badStatus: 404},
		"attempt.expunge":          {badPath: "/app/{app}/msg/{msg}/attempt/{msg}/content", badStatus: 404},
		"message.precheck":         {body: `{"eventType":"invoice.paid"}`, badBody: `{"channels":[]}`, badStatus: 422},
		"attempt.list-of-message":  {badPath: "/app/other/msg/{msg}/attempt", badStatus: 404},
		"attempt.list-of-delivery": {badPath: "/app/{app}/msg/{msg}/endpoint/nobody/attempt", badStatus: 404},
		"message.create":           {body: `{"eventType":"a","payload":{}}`, badBody: `{"eventType":"a","payload":[]}`, badStatus: 422},
		"message.list":             {badPath: "/app/{app}/msg?before=yesterday", badStatus: 400},
		"message.get":              {badPath: "/app/other/msg/{msg}", badStatus: 404},
		"message.raw":              {badPath: "/app/other/msg/{msg}/raw", badStatus: 404},
		"message.endpoints":        {badPath: "/app/other/msg/{msg}/endpoint", badStatus: 404},
		"message.explain":          {badPath: "/app/other/msg/{msg}/explain", badStatus: 404},
		"message.resend":           {badPath: "/app/{app}/msg/{msg}/endpoint/nobody/resend", badStatus: 404},
		"message.cancel":           {badStatus: 409}, // it is delivered; see TestCancel for the success
		"attempt.get":              {badPath: "/app/{app}/msg/{msg}/attempt/{msg}", badStatus: 404},
		"attempt.list-by-message":  {badPath: "/app/{app}/attempt/msg/{msg}?status=5", badStatus: 422},
		"attempt.list-by-endpoint": {badPath: "/app/{app}/attempt/endpoint/{endpoint}?iterator=x", badStatus: 422},
		"stats":                    {badPath: "/app/{app}/stats?bucket=1ms", badStatus: 422},
		"delivery.list":            {badPath: "/app/{app}/delivery?state=sending", badStatus: 422},
		"endpoint.recover":         {body: `{"since":"` + recent() + `"}`, badBody: `{"since":"2020-01-01T00:00:00Z"}`, badStatus: 422},
		"endpoint.replay-missing":  {body: `{"since":"2020-01-01T00:00:00Z"}`, badBody: `{"since":"yesterday"}`, badStatus: 422},
		"endpoint.bulk-replay":     {body: `{"since":"2020-01-01T00:00:00Z","status":2}`, badBody: `{"since":"2020-01-01T00:00:00Z","status":1}`, badStatus: 422},
		"replay.list":              {badPath: "/app/{app}/replay?state=idle", badStatus: 422},
		"replay.create":            {body: `{"endpointId":"a","since":"2020-01-01T00:00:00Z"}`, badBody: `{"endpointId":"nobody","since":"2020-01-01T00:00:00Z"}`, badStatus: 422},
		"replay.preview":           {body: `{"toEndpointId":"a","since":"2020-01-01T00:00:00Z"}`, badBody: `{"endpointId":"a","since":"2090-01-01T00:00:00Z"}`, badStatus: 422},
		"replay.get":               {badPath: "/app/other/replay/{replay}", badStatus: 404},
		"replay.pause":             {badPath: "/app/{app}/replay/{ended}/pause", badStatus: 409},
		"replay.resume":            {badPath: "/app/{app}/replay/{ended}/resume", badStatus: 409},
		"replay.cancel":            {badPath: "/app/{app}/replay/{ended}/cancel", badStatus: 409},
		"background-task.list":     {badPath: "/background-task?status=pending", badStatus: 422},
		"background-task.get":      {badPath: "/background-task/{replay}", badStatus: 404},
		"source.list":              {badPath: "/app/{app}/source?order=up", badStatus: 422},
		"source.create":            {body: `{"name":"n","provider":"github"}`, badBody: `{"name":"n"}`, badStatus: 422},
		"source.get":               {badPath: "/app/other/source/{source}", badStatus: 404},
		"source.put":               {body: `{"name":"n","provider":"github"}`, badBody: `{"name":"n","provider":"github","answer":302}`, badStatus: 422},
		"source.patch":             {body: `{"methods":["GET"]}`, badBody: `{"methods":["get"]}`, badStatus: 422},
		"source.delete":            {badPath: "/app/{app}/source/nobody", badStatus: 404},
		"source.pause":             {badPath: "/app/{app}/source/nobody/pause", badStatus: 404},
		"source.resume":            {badPath: "/app/{app}/source/nobody/resume", badStatus: 404},
		"source.secret.get":        {badPath: "/app/other/source/{source}/secret", badStatus: 404},
		"source.secret.rotate":     {body: `{"key":"new"}`, badBody: `{}`, badStatus: 422},
		"refusal.list":             {badPath: source + "/refusal?after=x", badStatus: 400},
		"refusal.get":              {badPath: source + "/refusal/{msg}", badStatus: 404},
		"refusal.verify":           {badPath: source + "/refusal/{msg}/verify", badStatus: 404},
		"refusal.release":          {badPath: source + "/refusal/{msg}/release", badStatus: 404},
		"key.list":                 {badPath: "/key?limit=0", badStatus: 422},
		"key.create":               {body: `{"name":"k","scope":"admin"}`, badBody: `{"name":"k","scope":"root"}`, badStatus: 422},
		"key.get":                  {badPath: "/key/{app}", badStatus: 404},
		"key.delete":               {badPath: "/key/nobody", badStatus: 404},
		"node.list":                {}, // asks for nothing that could be refused
		"backup.create":            {body: `{"directory":"nightly"}`, badBody: `{"directory":"../nightly"}`, badStatus: 422},
		"auth.app-portal-access":   {body: `{}`, badBody: `{"expiry":3599}`, badStatus: 422},
		"auth.dashboard-access":    {badPath: "/auth/dashboard-access/nobody", badStatus: 404},
		"auth.expire-all":          {body: `{}`, badBody: `{"expiry":-1}`, badStatus: 422},
		"auth.logout":              {badStatus: 403}, // an admin's token; see TestLogout for the success
	}
}

// TestOperations has a success and a refusal for every row of the table, and
// fails for a row that has none.
func TestOperations(t *testing.T) {
	cases := operationCases()
	for _, r := range table() {
		name := r.operation().name
		if _, ok := cases[name]; !ok {
			t.Errorf("%s has no case in operationCases", name)
		}
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.addWorker()
			o := named(t, name)
			if test.path == "" {
				test.path = o.path
			}
			if test.badBody == "" && test.badPath == "" && o.access != open && o.name != "message.cancel" && o.name != "limits" && o.name != "node.list" && o.access != visit {
				t.Fatal("the row has no refusal")
			}
			if test.badPath == "" {
				test.badPath = test.path
			}
			if test.badStatus != 0 {
				if got := s.do(o.method, s.path(test.badPath), s.path(test.badBody)); got.StatusCode != test.badStatus {
					t.Errorf("refusal: status %d, want %d: %s", got.StatusCode, test.badStatus, got.body)
				}
				if name == "message.cancel" || o.access == visit {
					return
				}
			}
			if got := s.do(o.method, s.path(test.path), s.path(test.body)); got.StatusCode != o.status {
				t.Errorf("success: status %d, want %d: %s", got.StatusCode, o.status, got.body)
			}
			if last := s.observed[len(s.observed)-1]; last != name {
				t.Errorf("counted as %q", last)
			}
			if s.log.Len() > 0 {
				t.Errorf("logged: %s", s.log)
			}
		})
	}
}

// named finds a row.
func named(t testing.TB, name string) *operation {
	t.Helper()
	for _, r := range table() {
		if o := r.operation(); o.name == name {
			return o
		}
	}
	t.Fatalf("no row is called %s", name)
	return nil
}

func TestTable(t *testing.T) {
	names, paths := map[string]bool{}, map[string]bool{}
	for _, r := range table() {
		o := r.operation()
		if names[o.name] {
			t.Errorf("two rows are called %s", o.name)
		}
		if paths[o.method+o.path] {
			t.Errorf("two rows serve %s %s", o.method, o.path)
		}
		names[o.name], paths[o.method+o.path] = true, true
		if n := strings.Count(o.path, "{"); n > maxParams {
			t.Errorf("%s has %d variables, more than maxParams", o.path, n)
		}
		if o.method == "GET" && o.in != nil {
			t.Errorf("%s: a GET with a body", o.name)
		}
		if (o.status == http.StatusNoContent) != (o.out == nil && o.media == "") {
			t.Errorf("%s: status %d with body %v", o.name, o.status, o.out)
		}
	}
}

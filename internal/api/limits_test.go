package api_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/store/embedded"
)

// reach is how a limit is gone to: by a request, or not at all for a reason.
type reach struct {
	// ask goes to n.
	ask func(n int) request
	// least: the limit is a lower one, and beyond it is below.
	least bool
	// step is what a request can go by, in the limit's unit; 1 when it is 0.
	step int
	// why is the reason that no one request goes there.
	why string
}

// request is one to the API, or below it where the path begins with /in/.
type request struct {
	method, path, body string
	header             []string
}

// TestLimits goes with a request to every limit that is told, and one beyond. A
// limit that no request goes to has to say why.
func TestLimits(t *testing.T) {
	w := newMeasured(t)
	var page struct {
		Data []struct {
			Name, Unit, Description string
			Value                   int
		}
		Done bool
	}
	if err := json.Unmarshal(w.send(request{method: "GET", path: "/limits"}).body, &page); err != nil {
		t.Fatal(err)
	}
	ways, told := w.ways(), map[string]bool{}
	for _, l := range page.Data {
		if told[l.Name] || l.Value <= 0 || l.Description == "" || l.Unit == "" {
			t.Errorf("%+v", l)
		}
		told[l.Name] = true
		way := ways[l.Name]
		switch {
		case (way.ask == nil) == (way.why == ""):
			t.Errorf("%s needs a request that goes there, or a reason why none does", l.Name)
		case way.ask != nil:
			w.goTo(l.Name, l.Value, way)
		}
	}
	for name := range ways {
		if !told[name] {
			t.Errorf("%s is not told", name)
		}
	}
	if !page.Done {
		t.Error("there is more than a page")
	}
}

// measured is an engine whose clock stands still, so that a request can go to a
// time exactly.
type measured struct {
	*server
	now     time.Time
	address string // of a source
}

// newMeasured has two applications: what is published to quiet goes nowhere, and
// shop has an endpoint.
func newMeasured(t *testing.T) *measured {
	t.Helper()
	st, err := embedded.Open(t.Context(), "memory:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &measured{server: &server{t: t}, now: time.Now().UTC().Truncate(time.Second)}
	eng, err := engine.New(t.Context(), engine.Config{
		Store: st, AdminKey: "admin", PublicURL: "http://here", InboundMaxBody: 64 << 10,
		EgressAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Now:         func() time.Time { return w.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ran := make(chan error, 1)
	go func() { ran <- eng.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := st.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	w.handler = eng.Handler()
	w.do("POST", "/app", `{"name":"Quiet","uid":"quiet"}`)
	w.do("POST", "/app", `{"name":"Shop","uid":"shop"}`)
	w.do("POST", "/app/shop/endpoint", `{"url":"`+nowhere+`","uid":"a"}`)
	w.do("POST", "/app/shop/endpoint", `{"kind":"pull","uid":"worker","channels":["pulled"]}`)
	w.do("POST", "/app/shop/msg", `{"eventType":"a","payload":{},"channels":["pulled"]}`)
	w.address = strings.TrimPrefix(text(w.do("POST", "/app/quiet/source", `{"name":"s","provider":"none"}`), "ingestUrl"), "http://here")
	for name, schema := range map[string]string{"checked": `{"title":"t"}`, "counted": countedSchema} {
		w.do("POST", "/event-type", `{"name":"`+name+`","description":"d","enforceSchema":true,"schemas":{"1":`+schema+`}}`)
	}
	return w
}

// answer is a request's.
type answer struct {
	status int
	body   []byte
}

func (w *measured) send(r request) answer {
	path := r.path
	if !strings.HasPrefix(path, "/in/") {
		path = "/api/v1" + path
	}
	got := w.ask(w.t.Context(), r.method, path, r.body, r.header...)
	return answer{got.Code, got.Body.Bytes()}
}

// goTo sends the request that goes to the limit, which is taken, and the one that
// goes beyond, which is refused.
func (w *measured) goTo(name string, limit int, way reach) {
	w.t.Helper()
	step := max(way.step, 1)
	if way.least {
		step = -step
	}
	if got := w.send(way.ask(limit)); got.status < 200 || got.status >= 300 {
		w.t.Errorf("%s at %d: %d %.300s", name, limit, got.status, got.body)
	}
	if got := w.send(way.ask(limit + step)); got.status < 400 || got.status >= 500 {
		w.t.Errorf("%s at %d, beyond %d: %d %.300s", name, limit+step, limit, got.status, got.body)
	}
}

// ago is a moment so many seconds back, for a query or a body.
func (w *measured) ago(seconds int) string {
	return w.now.Add(-time.Duration(seconds) * time.Second).Format(time.RFC3339)
}

// ways are how each limit is gone to.
func (w *measured) ways() map[string]reach {
	all := unreached()
	for _, some := range []map[string]reach{w.toMessages(), w.toEndpoints(), w.toSources(), toLeases(), toSchemas(), w.toTheRest()} {
		for name, way := range some {
			if _, twice := all[name]; twice {
				w.t.Errorf("%s is gone to twice", name)
			}
			all[name] = way
		}
	}
	return all
}

// unreached are the limits that one request does not go to.
func unreached() map[string]reach {
	const (
		chosen = "is what holds where a request says nothing, and refuses none"
		ends   = "ends what is read or told, and refuses none"
		lasts  = "ends with time, and refuses none"
		many   = "takes many requests"
		theirs = "bounds what an endpoint does"
	)
	reasons := map[string]string{
		"page.default": chosen, "retry.default": chosen, "secret.grace.default": chosen, "portal.default": chosen, "lease.default": chosen,
		"page.payloads": ends, "request.faults": ends, "schema.faults": ends,
		"endpoint.stats.attempts": ends, "stats.attempts": ends, "tail.buffer": ends, "refusal.body": ends, "lease.payloads": ends,
		"refusal.count": "takes many requests, and then the oldest go", "refusal.bytes": "takes many requests, and then the oldest go",
		"refusal.age": lasts, "inbound.duplicates": lasts, "idempotency.kept": lasts, "idempotency.auto": lasts, "message.retention": lasts,
		"lease.hold": lasts, "lease.attended": lasts, "lease.held": many, "lease.total": many, "lease.consumers": many,
		"request.underway": many, "attempt.underway": many, "message.queued": many, "message.waiting": many,
		"tail.clients": many, "tail.application": many, "endpoint.secrets": many, "eventType.declared": many, "stats.endpoints": many,
		"replay.active": many, "replay.ended": many, "replay.slice": "is how a replay goes on by itself",
		"attempt.timeout": theirs, "response.kept": theirs, "response.read": theirs, "retry.after": theirs,
		"endpoint.failing": theirs, "endpoint.failures": theirs,
	}
	all := make(map[string]reach, len(reasons))
	for name, why := range reasons {
		all[name] = reach{why: why}
	}
	return all
}

// toMessages are the limits of what is published.
func (w *measured) toMessages() map[string]reach {
	publish := func(format string, value func(n int) any) func(n int) request {
		return func(n int) request {
			return post("/app/quiet/msg", `{"eventType":"a","payload":{},`+fmt.Sprintf(format, value(n))+`}`)
		}
	}
	return map[string]reach{
		"message.channels": {ask: publish(`"channels":[%s]`, func(n int) any { return names(n) })},
		"message.tags":     {ask: publish(`"tags":[%s]`, func(n int) any { return names(n) })},
		"message.tag":      {ask: publish(`"tags":["%s"]`, func(n int) any { return xs(n) })},
		"message.contentType": {ask: publish(`"transformationsParams":{"rawPayload":"x","headers":{"content-type":"text/%s"}}`, func(n int) any {
			return xs(n - len("text/"))
		})},
		"message.retention.shortest": {least: true, step: 24 * 3600, ask: publish(`"payloadRetentionPeriod":%d`, func(n int) any { return n / (24 * 3600) })},
		"message.retention.longest":  {step: 3600, ask: publish(`"payloadRetentionHours":%d`, func(n int) any { return n / 3600 })},
		"message.wait": {ask: func(n int) request {
			return post(fmt.Sprintf("/app/quiet/msg?wait=%ds", n), `{"eventType":"a","payload":{}}`)
		}},
		"expunge.messages": {ask: func(n int) request { return post("/app/quiet/msg/bulk-expunge", `{"ids":[`+names(n)+`]}`) }},
		"request.depth": {ask: func(n int) request {
			return post("/app/quiet/msg", `{"eventType":"a","payload":{"a":`+nested(n-2)+`}}`)
		}},
	}
}

// toEndpoints are the limits of endpoints and of what is asked of them.
func (w *measured) toEndpoints() map[string]reach {
	create := func(field string, value func(n int) any) func(n int) request {
		return func(n int) request {
			in := map[string]any{"url": nowhere}
			in[field] = value(n)
			return post("/app/shop/endpoint", inJSON(in))
		}
	}
	secret := func(n int) any { return "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, n)) }
	rate := create("throttleRate", func(n int) any { return n })
	return map[string]reach{
		"endpoint.url":           {ask: create("url", func(n int) any { return nowhere + xs(n-len(nowhere)) })},
		"description.characters": {ask: create("description", func(n int) any { return strings.Repeat("ä", n) })},
		"endpoint.channels":      {ask: create("channels", func(n int) any { return json.RawMessage("[" + names(n) + "]") })},
		"endpoint.headers":       {ask: create("headers", func(n int) any { return map[string]string{"X-A": xs(n - len("X-A"))} })},
		"metadata.size":          {ask: create("metadata", func(n int) any { return map[string]string{"k": xs(n - len(`{"k":""}`))} })},
		"endpoint.rate":          {ask: rate},
		"endpoint.rate.least":    {ask: rate, least: true},
		"secret.size":            {ask: create("secret", secret)},
		"secret.smallest":        {ask: create("secret", secret), least: true},
		"retry.tries":            {ask: create("retrySchedule", func(n int) any { return slices.Repeat([]int{1}, n-1) })},
		"retry.wait":             {ask: create("retrySchedule", func(n int) any { return []int{n} })},
		"secret.grace": {ask: func(n int) request {
			return post("/app/shop/endpoint/a/secret/rotate", fmt.Sprintf(`{"gracePeriodSeconds":%d}`, n))
		}},
		"recover.since": {ask: func(n int) request {
			return post("/app/shop/endpoint/a/recover", `{"since":"`+w.ago(n)+`"}`)
		}},
		"endpoint.stats.since": {ask: func(n int) request {
			return get("/app/shop/endpoint/a/stats?since=" + w.ago(n+5*60)) // and the skew that is tolerated
		}},
		"endpoint.stats.skew": {ask: func(n int) request { return get("/app/shop/endpoint/a/stats?until=" + w.ago(-n)) }},
	}
}

// toLeases are the limits of a pull endpoint's consumers.
func toLeases() map[string]reach {
	const lease = "/app/shop/endpoint/worker/lease"
	const some = `"leases":["lse_0ERbNHTM6fguHUOiI43R1TLOQzZ"]`
	return map[string]reach{
		"lease.batch":   {ask: func(n int) request { return post(lease, fmt.Sprintf(`{"waitSeconds":0,"limit":%d}`, n)) }},
		"lease.longest": {ask: func(n int) request { return post(lease+"/extend", fmt.Sprintf(`{%s,"leaseSeconds":%d}`, some, n)) }},
		"lease.error":   {ask: func(n int) request { return post(lease+"/nack", fmt.Sprintf(`{%s,"error":"%s"}`, some, xs(n))) }},
		// Something waits, or the request would wait for as long as it may.
		"lease.wait": {ask: func(n int) request { return post(lease, fmt.Sprintf(`{"limit":1,"waitSeconds":%d}`, n)) }},
	}
}

// toSources are the limits of sources, some of which their providers hold.
func (w *measured) toSources() map[string]reach {
	create := func(provider string, in map[string]any) request {
		in["name"], in["provider"] = "s", provider
		return post("/app/quiet/source", inJSON(in))
	}
	tolerates := func(n int) request {
		return create("standard_webhooks", map[string]any{
			"secrets": []string{"whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 24))},
			"config":  map[string]string{"tolerance": fmt.Sprintf("%ds", n)},
		})
	}
	signed := func(config map[string]string) request {
		config["header"] = "X-Signature"
		return create("hmac", map[string]any{"secrets": []string{"s3cret"}, "config": config})
	}
	return map[string]reach{
		"source.secret": {ask: func(n int) request { return create("github", map[string]any{"secrets": []string{xs(n)}}) }},
		"source.secrets": {ask: func(n int) request {
			return create("github", map[string]any{"secrets": json.RawMessage("[" + names(n) + "]")})
		}},
		"source.eventTypes": {ask: func(n int) request {
			types := map[string]string{}
			for i := range n {
				types[fmt.Sprint(i)] = "a"
			}
			return create("github", map[string]any{"secrets": []string{"s3cret"}, "eventTypes": types})
		}},
		"source.forwardHeaders": {ask: func(n int) request {
			return create("github", map[string]any{"secrets": []string{"s3cret"}, "forwardHeaders": json.RawMessage("[" + names(n) + "]")})
		}},
		"source.answer": {ask: func(n int) request {
			return create("github", map[string]any{"secrets": []string{"s3cret"}, "answerBody": xs(n)})
		}},
		"source.prefix": {ask: func(n int) request {
			return create("github", map[string]any{"secrets": []string{"s3cret"}, "eventTypePrefix": xs(n)})
		}},
		"source.setting": {ask: func(n int) request {
			return signed(map[string]string{"template": "{body}" + xs(n-len("{body}"))})
		}},
		"source.config": {ask: func(n int) request {
			// Six bytes of JSON each: no one setting is too long.
			config := map[string]string{
				"header": "X-Signature", "template": "{body}", "prefix": strings.Repeat("<", 1000), "separator": strings.Repeat("<", 1000),
			}
			rest := n - len(inJSON(config))
			config["template"] += strings.Repeat("<", rest/6) + xs(rest%6)
			return signed(config)
		}},
		"source.tolerance.shortest": {ask: tolerates, least: true},
		"source.tolerance.longest":  {ask: tolerates},
		"inbound.body":              {ask: func(n int) request { return request{method: "POST", path: w.address, body: xs(n)} }},
	}
}

// countedSchema takes a step for itself, one for each of its two properties, four
// for each entry of a and one for each of b.
const countedSchema = `{"properties":{
	"a":{"items":{"allOf":[{"title":"1"},{"title":"2"},{"title":"3"}]}},
	"b":{"items":{"title":"4"}}}}`

// toSchemas are the limits of event types' schemas and of what they check.
func toSchemas() map[string]reach {
	describe := func(schema func(n int) string) func(n int) request {
		return func(n int) request {
			return request{method: "PUT", path: "/event-type/described", body: `{"description":"d","schemas":{"1":` + schema(n) + `}}`}
		}
	}
	check := func(eventType string, payload func(n int) string) func(n int) request {
		return func(n int) request {
			return post("/app/quiet/msg?with_content=false", `{"eventType":"`+eventType+`","payload":`+payload(n)+`}`)
		}
	}
	return map[string]reach{
		"eventType.schemas": {ask: func(n int) request {
			schemas := map[string]any{}
			for i := range n {
				schemas[fmt.Sprint(i)] = map[string]string{"title": "t"}
			}
			return request{method: "PUT", path: "/event-type/described", body: inJSON(map[string]any{"description": "d", "schemas": schemas})}
		}},
		"schema.size":     {ask: describe(func(n int) string { return `{"x":"` + xs(n-len(`{"x":""}`)) + `"}` })},
		"schema.pattern":  {ask: describe(func(n int) string { return `{"pattern":"` + xs(n) + `"}` })},
		"schema.depth":    {ask: describe(func(n int) string { return strings.Repeat(`{"not":`, n) + "{}" + strings.Repeat("}", n) })},
		"schema.digits":   {ask: describe(func(n int) string { return `{"minimum":` + strings.Repeat("9", n) + `}` })},
		"schema.exponent": {ask: describe(func(n int) string { return `{"minimum":1e` + strings.Repeat("9", n) + `}` })},

		"schema.payload.depth":  {ask: check("checked", func(n int) string { return `{"a":` + nested(n) + `}` })},
		"schema.payload.values": {ask: check("checked", func(n int) string { return `{"a":` + ones(n-2) + `}` })},
		"schema.steps": {ask: check("counted", func(n int) string {
			return `{"a":` + ones((n-3)/4) + `,"b":` + ones((n-3)%4) + `}`
		})},
	}
}

// toTheRest are the limits of requests, pages, stats and the portal.
func (w *measured) toTheRest() map[string]reach {
	visit := func(n int) request { return post("/auth/app-portal-access/quiet", fmt.Sprintf(`{"expiry":%d}`, n)) }
	return map[string]reach{
		"request.body": {ask: func(n int) request {
			return post("/app", `{"name":"x"`+strings.Repeat(" ", n-len(`{"name":"x"}`))+`}`)
		}},
		"idempotency.key": {ask: func(n int) request {
			return request{method: "POST", path: "/app", body: `{"name":"x"}`, header: []string{"Idempotency-Key", xs(n)}}
		}},
		"name.characters": {ask: func(n int) request { return post("/app", `{"name":"`+strings.Repeat("ä", n)+`"}`) }},
		"page.entries":    {ask: func(n int) request { return get(fmt.Sprintf("/app?limit=%d", n)) }},
		"query.values":    {ask: func(n int) request { return get("/app/quiet/msg?event_types=" + strings.Repeat("a,", n)) }},

		"stats.buckets": {ask: func(n int) request {
			return get("/app/quiet/stats?bucket=1s&since=" + w.ago(n) + "&until=" + w.ago(0))
		}},
		"stats.bucket.shortest": {least: true, ask: func(n int) request {
			return get(fmt.Sprintf("/app/quiet/stats?bucket=%ds&since=%s&until=%s", n, w.ago(60), w.ago(0)))
		}},
		"stats.span": {ask: func(n int) request {
			return get("/app/quiet/stats?since=1970-01-01T00:00:00Z&until=" + time.Unix(int64(n), 0).UTC().Format(time.RFC3339))
		}},

		"portal.shortest": {ask: visit, least: true},
		"portal.longest":  {ask: visit},
		"portal.flags": {ask: func(n int) request {
			return post("/auth/app-portal-access/quiet", `{"featureFlags":[`+names(n)+`]}`)
		}},
		"portal.sessions": {ask: func(n int) request {
			return post("/auth/app/quiet/expire-all", `{"sessionIds":[`+names(n)+`]}`)
		}},
	}
}

// nowhere is an address that takes nothing.
const nowhere = "http://127.0.0.1:9/"

func get(path string) request { return request{method: "GET", path: path} }

func post(path, body string) request { return request{method: "POST", path: path, body: body} }

// inJSON is what json.Marshal makes of texts and lists, which cannot fail.
func inJSON(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(out)
}

func xs(n int) string { return strings.Repeat("x", n) }

// nested are so many lists, each in the one before.
func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// ones is a list of so many numbers.
func ones(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("1,", n), ",") + "]" }

// names are so many different strings of a JSON list.
func names(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`"c%d"`, i)
	}
	return strings.Join(all, ",")
}

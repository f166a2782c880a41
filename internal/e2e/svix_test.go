package e2e_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// TestSvixGoSDK runs the Go SDK's own tests of a server, unmodified. They skip
// where they find none, so each must be seen to pass.
func TestSvixGoSDK(t *testing.T) {
	t.Parallel()
	dir := svixGoFolder(t)
	s := serve(t, "memory:")
	stdout, all, err := outside(dir, append(svixEnvironment(s), "GOWORK=off"), nil,
		"go", "test", "-count=1", "-json", "-run", "KitchenSink|AgainstServer", "github.com/svix/svix-webhooks/go")
	if err != nil {
		t.Fatalf("%v:\n%s", err, tail(string(all), 4000))
	}
	want := map[string]string{
		"TestKitchenSink": "pass", "TestApplicationPatchNullableAgainstServer": "pass", "TestEndpointPatchNullableAgainstServer": "pass",
	}
	for name, outcome := range outcomes(t, stdout) {
		if want[name] != outcome {
			t.Errorf("%s: %s, want %s", name, outcome, want[name])
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s did not run", name)
	}
}

// outcomes reads how each test of `go test -json` ended.
func outcomes(t *testing.T, stdout []byte) map[string]string {
	t.Helper()
	ended := map[string]string{}
	for line := range bytes.Lines(stdout) {
		var event struct{ Action, Test string }
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if event.Test != "" && (event.Action == "pass" || event.Action == "fail" || event.Action == "skip") {
			ended[event.Test] = event.Action
		}
	}
	return ended
}

// TestSvixNodeSDK runs the end-to-end test that npm's svix brings, unmodified.
func TestSvixNodeSDK(t *testing.T) {
	t.Parallel()
	dir := nodeFolder(t)
	s := serve(t, "memory:")
	stdout, all, err := outside(dir, svixEnvironment(s), nil,
		tool(dir, "tsx"), "--test", "--test-reporter=tap", "node_modules/svix/src/KitchenSink.test.ts")
	if err != nil {
		t.Fatalf("%v:\n%s", err, tail(string(all), 4000))
	}
	passed := regexp.MustCompile(`(?m)^\s*ok \d+ - (.+)$`).FindAllStringSubmatch(string(stdout), -1)
	if len(passed) != 2 || passed[0][1] != "endpoint crud" || passed[1][1] != "e2e tests" || !strings.Contains(string(stdout), "\n# skipped 0\n") {
		t.Errorf("not two passes without a skip:\n%s", stdout)
	}
}

// delivery is what a verifier is given, and what it should say.
type delivery struct {
	Secret  string            `json:"secret"`
	Headers map[string]string `json:"headers"`
	Body    []byte            `json:"body"`

	about string
	valid bool
}

// TestSignaturesForOthers has the three official verifiers check what arrives
// before, during and after a rotation of the secret.
func TestSignaturesForOthers(t *testing.T) {
	t.Parallel()
	dir := nodeFolder(t, "verify.ts")
	s, receiver := serve(t, "memory:"), newReceiver(t, nil)
	app := s.application("signatures")
	gentle := s.endpoint(app, receiver.URL+"/gentle", object{"svixHeaders": true})
	abrupt := s.endpoint(app, receiver.URL+"/abrupt", nil)

	before := map[string]string{gentle: s.secret(app, gentle), abrupt: s.secret(app, abrupt)}
	payload := `{"amount": 1.0, "big": 12345678901234567890, "of": "<Zoë & \u00fc>"}`
	s.publish(app, "invoice.paid", json.RawMessage(payload))
	receiver.await(t, "/gentle", 1)
	receiver.await(t, "/abrupt", 1)
	// The first keeps its old secret beside the new one, the second does not.
	s.want(204, "POST", "/app/"+app+"/endpoint/"+gentle+"/secret/rotate", object{"gracePeriodSeconds": 3600}, nil)
	s.want(204, "POST", "/app/"+app+"/endpoint/"+abrupt+"/secret/rotate", object{"gracePeriodSeconds": 0}, nil)
	after := map[string]string{gentle: s.secret(app, gentle), abrupt: s.secret(app, abrupt)}
	s.publish(app, "invoice.paid", json.RawMessage(payload))

	first, second := receiver.await(t, "/gentle", 2), receiver.await(t, "/abrupt", 2)
	deliveries := []delivery{
		first[0].signed("before, gentle", before[gentle], true),
		first[0].signed("before, by the secret to come", after[gentle], false),
		first[1].signed("during, by the old secret", before[gentle], true),
		first[1].signed("during, by the new secret", after[gentle], true),
		second[0].signed("before, abrupt", before[abrupt], true),
		second[1].signed("after, by the old secret", before[abrupt], false),
		second[1].signed("after, by the new secret", after[abrupt], true),
		second[1].signed("another endpoint's secret", after[gentle], false),
	}
	changed := first[1].signed("another body", after[gentle], false)
	changed.Body = bytes.Replace(changed.Body, []byte("1.0"), []byte("1.1"), 1)
	deliveries = append(deliveries, changed)
	checkByGo(t, deliveries)
	checkByNode(t, dir, deliveries)
}

// secret is an endpoint's current secret.
func (c *client) secret(app, endpoint string) string {
	c.t.Helper()
	var out struct{ Key string }
	c.want(200, "GET", "/app/"+app+"/endpoint/"+endpoint+"/secret", nil, &out)
	return out.Key
}

// signed is a request for a verifier.
func (r *request) signed(about, secret string, valid bool) delivery {
	headers := map[string]string{}
	for name := range r.header {
		headers[strings.ToLower(name)] = r.header.Get(name)
	}
	return delivery{Secret: secret, Headers: headers, Body: r.body, about: about, valid: valid}
}

// checkByGo asks the Standard Webhooks library.
func checkByGo(t *testing.T, deliveries []delivery) {
	t.Helper()
	for _, d := range deliveries {
		verifier, err := standardwebhooks.NewWebhook(d.Secret)
		if err != nil {
			t.Fatal(err)
		}
		header := http.Header{}
		for name, value := range d.Headers {
			header.Set(name, value)
		}
		if err := verifier.Verify(d.Body, header); (err == nil) != d.valid {
			t.Errorf("%s: Go says %v, want valid %t", d.about, err, d.valid)
		}
	}
}

// checkByNode asks npm's svix and standardwebhooks.
func checkByNode(t *testing.T, dir string, deliveries []delivery) {
	t.Helper()
	in, err := json.Marshal(deliveries)
	if err != nil {
		t.Fatal(err)
	}
	stdout, all, err := outside(dir, nil, in, tool(dir, "tsx"), "verify.ts")
	if err != nil {
		t.Fatalf("%v:\n%s", err, tail(string(all), 4000))
	}
	var said []struct{ Svix, Standardwebhooks bool }
	if err := json.Unmarshal(stdout, &said); err != nil || len(said) != len(deliveries) {
		t.Fatalf("%v: %s", err, all)
	}
	for i, d := range deliveries {
		if said[i].Svix != d.valid || said[i].Standardwebhooks != d.valid {
			t.Errorf("%s: npm says %+v, want %t", d.about, said[i], d.valid)
		}
	}
}

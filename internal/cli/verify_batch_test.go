package cli_test

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/internal/cli"
)

// verdict is a line of what a batch prints.
type verdict struct {
	ID         any
	Accepted   bool
	Reason     string
	EventType  string `json:"event_type"`
	DeliveryID string `json:"delivery_id"`
	Response   struct {
		Status  int
		Headers [][2]string
		Body    []byte `json:"body_base64"`
	}
}

// batchOf runs a batch over the lines of in.
func batchOf(t *testing.T, in string, args ...string) []verdict {
	t.Helper()
	var out, errs bytes.Buffer
	p := cli.Program{Stdin: strings.NewReader(in), Stdout: &out, Stderr: &errs}
	if code := p.Run(t.Context(), append([]string{"verify", "--batch", "-"}, args...)); code != cli.ExitOK {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	var all []verdict
	dec := json.NewDecoder(&out)
	dec.DisallowUnknownFields()
	for dec.More() {
		var v verdict
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		if v.Accepted != (v.Reason == "") || v.Response.Status == 0 {
			t.Errorf("a verdict that is none: %+v", v)
		}
		all = append(all, v)
	}
	return all
}

// Every request that vendors' own code made or judged is judged alike.
func TestBatchAgreesWithVectors(t *testing.T) {
	for file, atLeast := range map[string]int{"vectors.jsonl": 734, "derived.jsonl": 1000, "derived1.jsonl": 100, "derived_code.jsonl": 100, "sdk_a.jsonl": 400} {
		text, err := os.ReadFile("../../verify/testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		verdicts := batchOf(t, string(text))
		lines := bufio.NewScanner(bytes.NewReader(text))
		lines.Buffer(nil, 1<<20)
		for _, got := range verdicts {
			lines.Scan()
			var want struct {
				ID, Expect, Grade, Reason string
				Meta                      struct {
					EventType  string `json:"event_type"`
					DeliveryID string `json:"delivery_id"`
				}
			}
			if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
				t.Fatal(err)
			}
			if got.ID != want.ID {
				t.Fatalf("%v is the verdict on %s", got.ID, want.ID)
			}
			if want.Grade != "either" && got.Accepted != (want.Expect == "accept") {
				t.Errorf("%s (%s): accepted %v (%s), want %s", want.ID, want.Reason, got.Accepted, got.Reason, want.Expect)
			}
			if got.Accepted && (want.Meta.EventType != "" && got.EventType != want.Meta.EventType ||
				want.Meta.DeliveryID != "" && got.DeliveryID != want.Meta.DeliveryID) {
				t.Errorf("%s: type %q and id %q, want %+v", want.ID, got.EventType, got.DeliveryID, want.Meta)
			}
			if status := got.Response.Status; got.Accepted != (status/100 == 2) {
				t.Errorf("%s: accepted %v, and answered with %d", want.ID, got.Accepted, status)
			}
		}
		if len(verdicts) < atLeast || lines.Scan() {
			t.Errorf("%d verdicts on %s, which has more", len(verdicts), file)
		}
	}
}

// What a batch shows is what a server would have said.
func TestBatchShowsTheServersWords(t *testing.T) {
	got := batchOf(t, `{"provider":"none","body_base64":"e30="}`+"\n"+`{"provider":"github","secrets":["s"]}`+"\n"+`{"provider":"ebay","method":"POST","secrets":[]}`)
	for i, want := range []struct {
		status int
		body   string
	}{
		{202, `{"id":"msg_`},
		{401, `{"code":"authentication_failed","detail":"The request could not be verified"}`},
		{412, `{"code":"authentication_failed","detail":"The request could not be verified"}`},
	} {
		if r := got[i].Response; r.Status != want.status || !strings.HasPrefix(string(r.Body), want.body) {
			t.Errorf("answered with %d %s, want %d %s", r.Status, r.Body, want.status, want.body)
		}
	}
}

// What is wrong with a line is told in its verdict, and the run goes on.
func TestBatchGoesOn(t *testing.T) {
	body := []byte("{}")
	good := object{"id": "good", "provider": "github", "secrets": []string{"old", "new"}, "body_base64": body, "headers": [][2]string{
		{"X-Hub-Signature-256", "sha256=" + hex.EncodeToString(mac(sha256.New, "new", "{}"))}, {"X-GitHub-Event", "push"}, {"X-GitHub-Delivery", "d1"}}}
	line := func(change object) string {
		all := object{}
		for _, part := range []object{good, change} {
			for name, value := range part {
				all[name] = value
			}
		}
		text, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	tests := []struct{ line, want string }{
		{line(object{"id": 1}), ""},
		{"no JSON", "invalid_request: the line is not a request in JSON"},
		{line(object{"secrets": "text"}), "invalid_request: "},
		{line(object{"body_base64": "%"}), "invalid_request: "},
		{line(object{"headers": [][]string{{"only a name"}}}), "invalid_request: headers must be pairs"},
		{line(object{"provider": "githb"}), "unknown_provider: "},
		{line(object{"secrets": []string{""}}), "invalid_config: secrets[0]: is empty"},
		{line(object{"secrets": []string{"new", ""}}), "invalid_config: secrets[1]: is empty"},
		{line(object{"secrets": nil}), "secret_missing: "},
		{line(object{"secrets": []string{"old"}}), "signature_mismatch: "},
		{line(object{"variant": "v9"}), "invalid_config: config.variant: "},
		{line(object{"config": object{"verify_tokn": "x"}}), "invalid_config: config.verify_tokn: "},
		{line(object{"config": object{"verify_token": []any{object{}}}}), "invalid_config: config.verify_token: "},
		{line(object{"config": object{"verify_token": "for others", "endpoint": "x"}, "extra": object{"api_key": "x", "key_type": "y", "tolerance_s": 5}}), ""},
		{`{"padding":"` + strings.Repeat("x", 33<<20) + `"}`, "invalid_request: the line is longer than 32 MiB"},
		{"   ", "-"}, // no verdict
		{line(object{"id": "last", "method": "PATCH", "now": nil}), ""},
	}
	var in strings.Builder
	var want []string
	for _, tt := range tests {
		in.WriteString(tt.line + "\n")
		if tt.want != "-" {
			want = append(want, tt.want)
		}
	}
	got := batchOf(t, strings.TrimSuffix(in.String(), "\n"))
	if len(got) != len(want) {
		t.Fatalf("%d verdicts on %d lines", len(got), len(want))
	}
	for i, v := range got {
		if !strings.HasPrefix(v.Reason, want[i]) || v.Accepted != (want[i] == "") {
			t.Errorf("line %d: %q, want %q", i+1, v.Reason, want[i])
		}
	}
	if got[0].ID != 1.0 || got[len(got)-1].ID != "last" || got[1].ID != nil || got[2].ID != "good" {
		t.Error("ids do not come back as they were")
	}
	if diff := cmp.Diff([]string{"push", "d1"}, []string{got[0].EventType, got[0].DeliveryID}); diff != "" {
		t.Error(diff)
	}
	if got[0].Response.Status != 202 || got[1].Response.Status != 401 {
		t.Errorf("answers %d and %d", got[0].Response.Status, got[1].Response.Status)
	}
}

// Configured identities must be the request's.
func TestBatchIdentities(t *testing.T) {
	body := `{"time_ms":1750000000000,"events":[{"name":"channel_occupied"}]}`
	pusher := func(extra object) string {
		line, err := json.Marshal(object{"provider": "pusher", "secrets": []string{"s"}, "body_base64": []byte(body), "now": 1750000000, "extra": extra, "headers": [][2]string{
			{"X-Pusher-Key", "k1"}, {"X-Pusher-Signature", hex.EncodeToString(mac(sha256.New, "s", body))}}})
		if err != nil {
			t.Fatal(err)
		}
		return string(line)
	}
	got := batchOf(t, pusher(object{"app_key": "k1"})+"\n"+pusher(object{"app_key": "k2"})+"\n"+pusher(object{}))
	if !got[0].Accepted || got[1].Accepted || !strings.HasPrefix(got[1].Reason, "value_mismatch") || !got[2].Accepted {
		t.Errorf("%+v", got)
	}
}

// A description chooses what an account can choose, and nothing else does.
func TestBatchDescriptions(t *testing.T) {
	line := func(algorithm string) string {
		text := `{"provider":"sumsub","secrets":["s"],"body_base64":"e30=","extra":{"algorithm":"` + algorithm + `"},"headers":[["X-Payload-Digest-Alg","HMAC_SHA1_HEX"],["X-Payload-Digest","` +
			hex.EncodeToString(mac(sha1.New, "s", "{}")) + `"]]}`
		return text
	}
	got := batchOf(t, line("HMAC-SHA1, hex")+"\n"+line("HMAC_SHA256_HEX")+"\n"+line(""))
	if !got[0].Accepted || got[1].Accepted || got[2].Accepted {
		t.Errorf("%+v", got)
	}
}

// The window is the line's, within what a source can have.
func TestBatchWindows(t *testing.T) {
	line := func(age int, tolerance string) string {
		return fmt.Sprintf(`{"provider":"slack","secrets":["s"],"now":%d,"extra":{"tolerance_s":%s},"headers":[["X-Slack-Request-Timestamp","1750000000"],["X-Slack-Signature","v0=%x"]]}`+"\n",
			1750000000+age, tolerance, mac(sha256.New, "s", "v0:1750000000:"))
	}
	tests := []struct {
		age       int
		tolerance string
		want      bool
	}{
		{299, "null", true}, {301, "null", false}, {301, "0", false}, {299, "0", true}, {301, "600", true}, {-301, "600", true},
		{-301, "300", false}, {6, "5", false}, {5, "5.0", true}, {1, "0.5", true}, {80000, "1e9", true}, {90000, "1e9", false}, {301, `"x"`, false},
	}
	var in strings.Builder
	for _, tt := range tests {
		in.WriteString(line(tt.age, tt.tolerance))
	}
	for i, got := range batchOf(t, in.String()) {
		if got.Accepted != tests[i].want {
			t.Errorf("%d s with a window of %s: %v (%s)", tests[i].age, tests[i].tolerance, got.Accepted, got.Reason)
		}
	}
}

// Whatever is in a file, each line that is not blank has a verdict.
func FuzzBatch(f *testing.F) {
	f.Add(`{"id":1,"provider":"stripe","secrets":["a"],"headers":[["Stripe-Signature","t=1,v1=00"]],"now":1}` + "\n\n{}")
	f.Add(`{"provider":"twilio","url":"https://x.example/?bodySHA256=1","secrets":["a"],"method":"GET","extra":{"tolerance_s":1e400}}`)
	f.Add(`{"provider":"meta","config":{"verify_token":["a",1,true,null,{}]},"headers":[["a"],["","\u0000"]],"body_base64":"e30="}`)
	f.Fuzz(func(t *testing.T, in string) {
		want := 0
		for line := range strings.Lines(in) {
			if len(bytes.TrimSpace([]byte(line))) > 0 {
				want++
			}
		}
		if got := batchOf(t, in); len(got) != want {
			t.Fatalf("%d verdicts on %d lines", len(got), want)
		}
	})
}

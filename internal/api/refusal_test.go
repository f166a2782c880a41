package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// refusal stores a refusal of the story's source, as its intake would.
func (s *story) refusal() string {
	s.t.Helper()
	source, err := s.cat.Source(1, "gh")
	if err != nil {
		s.t.Fatal(err)
	}
	token, err := s.box.Open(source.Token)
	if err != nil {
		s.t.Fatal(err)
	}
	id, err := (&postern.IDSource{Now: s.clock, Random: strings.NewReader("fourteen bytes and more")}).Next()
	if err != nil {
		s.t.Fatal(err)
	}
	r := &postern.Refusal{
		ID: id, Source: source.ID, Reason: "signature_mismatch", Detail: "no secret matches",
		ContentType: "application/json", Body: []byte(`{"zen":1}`),
		Request: postern.InboundRequest{
			Method: "POST", Path: "/in/" + string(token), RemoteAddr: "192.0.2.1:7",
			Headers: []postern.Header{
				{Name: "X-Github-Event", Value: "push"}, {Name: "Authorization", Value: "Bearer right"},
				{Name: "X-Hub-Signature-256", Value: "sha256=" + hmacOf("theirs", `{"zen":1}`)},
			},
		},
	}
	if err := s.commit(s.t.Context(), func(b *store.Batch) { b.Refusals = []*postern.Refusal{r} }); err != nil {
		s.t.Fatal(err)
	}
	return r.ID.String()
}

// hmacOf is GitHub's signature of a body.
func hmacOf(secret, body string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(body))
	return hex.EncodeToString(h.Sum(nil))
}

func TestRefusalShowsNoCredential(t *testing.T) {
	s := newStory(t)
	one := s.do("GET", s.path("/app/shop/source/gh/refusal/{refusal}"), "")
	list := s.do("GET", "/app/shop/source/gh/refusal", "")
	for _, got := range []response{one, list} {
		for _, want := range []string{`"reason":"signature_mismatch"`, `"path":"/in/***"`, `"name":"Authorization","value":"***"`, `"value":"push"`} {
			if !strings.Contains(got.body, want) {
				t.Errorf("%s lacks %s", got.body, want)
			}
		}
	}
	if !strings.Contains(one.body, `"body":"{\"zen\":1}"`) {
		t.Errorf("one refusal lacks its body: %s", one.body)
	}
	if strings.Contains(list.body, "zen") {
		t.Errorf("a list has bodies: %s", list.body)
	}
}

// TestVerifyRefusal: once the secret is the sender's, the request verifies, and
// is still kept.
func TestVerifyRefusal(t *testing.T) {
	s := newStory(t)
	path := s.path("/app/shop/source/gh/refusal/{refusal}/verify")
	if got := s.want(200, "POST", path, ""); got["verified"] != false || got["reason"] != "signature_mismatch" || got["detail"] == "" {
		t.Errorf("with the wrong secret: %v", got)
	}
	s.want(200, "PATCH", "/app/shop/source/gh", `{"secrets":["theirs"]}`)
	if got := s.want(200, "POST", path, ""); got["verified"] != true || got["reason"] != nil || got["detail"] != nil || len(got) != 3 {
		t.Errorf("with theirs: %v", got)
	}
	if got := s.want(200, "GET", s.path("/app/shop/source/gh/refusal/{refusal}"), ""); got["messageId"] != nil || got["reason"] != "signature_mismatch" {
		t.Errorf("what was refused reads %v", got)
	}
	s.must("/app/shop/source", `{"name":"Another","provider":"github","uid":"another","secrets":["theirs"]}`)
	s.refused(404, "not_found", "POST", s.path("/app/shop/source/another/refusal/{refusal}/verify"), "")
}

// TestReleaseRefusal publishes it once, and says so wherever it is shown.
func TestReleaseRefusal(t *testing.T) {
	s := newStory(t)
	path := s.path("/app/shop/source/gh/refusal/{refusal}")
	first := s.want(202, "POST", path+"/release", "")
	want := map[string]any{"messageId": first["messageId"], "duplicate": false, "verified": false, "reason": "signature_mismatch", "detail": first["detail"]}
	if diff := cmp.Diff(want, first); diff != "" || first["detail"] == nil {
		t.Errorf("%v: %s", first, diff)
	}
	m := s.want(200, "GET", "/app/shop/msg/"+s.names["refusal"], "")
	if m["id"] != first["messageId"] || m["eventId"] != s.names["refusal"] || m["eventType"] != "push" || m["sourceId"] != s.names["source"] || cmp.Diff(map[string]any{"zen": 1.0}, m["payload"]) != "" {
		t.Errorf("the message: %v", m)
	}
	s.want(200, "PATCH", "/app/shop/source/gh", `{"secrets":["theirs"]}`)
	again := s.want(200, "POST", path+"/release", "")
	if again["messageId"] != first["messageId"] || again["duplicate"] != true || again["verified"] != true {
		t.Errorf("again: %v", again)
	}
	if got := s.want(200, "GET", path, ""); got["messageId"] != first["messageId"] {
		t.Errorf("the refusal: %v", got)
	}
	if got := s.do("GET", "/app/shop/source/gh/refusal", ""); !strings.Contains(got.body, `"messageId":"msg_`) {
		t.Errorf("listed: %s", got.body)
	}
	if got := ids(t, s.want(200, "GET", "/app/shop/msg", "")); len(got) != 2 {
		t.Errorf("messages: %v", got)
	}
	s.refused(422, `"eventId"`, "POST", "/app/shop/msg", `{"eventType":"a","payload":{},"eventId":"`+s.names["refusal"]+`"}`)
}

// TestTruncatedRefusal is one that nobody can check or release.
func TestTruncatedRefusal(t *testing.T) {
	s := newStory(t)
	id, err := postern.ParseRefusalID(s.names["refusal"])
	if err != nil {
		t.Fatal(err)
	}
	source, err := s.cat.Source(1, "gh")
	if err != nil {
		t.Fatal(err)
	}
	r := &postern.Refusal{ID: id, Source: source.ID, Reason: "signature_mismatch", Body: []byte("{"), BodyTruncated: true}
	if err := s.commit(t.Context(), func(b *store.Batch) { b.Refusals = []*postern.Refusal{r} }); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"verify", "release"} {
		s.refused(409, "body_truncated", "POST", s.path("/app/shop/source/gh/refusal/{refusal}/"+verb), "")
	}
}

func TestSourceAddressIsForWriters(t *testing.T) {
	s := newStory(t)
	reader, _ := s.want(201, "POST", "/key", `{"name":"r","scope":"read-only","application":"shop"}`)["token"].(string)
	address, _ := s.want(200, "GET", "/app/shop/source/gh", "")["ingestUrl"].(string)
	if len(address) < len(publicURL+"/in/")+20 || !strings.HasPrefix(address, publicURL+"/in/") {
		t.Errorf("ingestUrl %q", address)
	}
	if got := s.as(reader, "GET", "/app/shop/source/gh", ""); !strings.Contains(got.body, publicURL+`/in/***"`) {
		t.Errorf("a reader sees %s", got.body)
	}
	if got := s.do("GET", "/app/shop/source", ""); strings.Contains(got.body, "s3cret") {
		t.Errorf("a secret is echoed: %s", got.body)
	}
}

// TestSourcePut makes a source, and replaces it: its address and its secrets
// stay.
func TestSourcePut(t *testing.T) {
	s := newStory(t)
	made := s.want(201, "PUT", "/app/shop/source/new", `{"name":"New","provider":"github","secrets":["x"],"methods":["GET"]}`)
	if made["uid"] != "new" || made["ingestUrl"] == nil || len(ids(t, s.want(200, "GET", "/app/shop/source", ""))) != 2 {
		t.Errorf("made: %v", made)
	}
	again := s.want(200, "PUT", "/app/shop/source/new", `{"name":"Again","provider":"github"}`)
	if again["id"] != made["id"] || again["ingestUrl"] != made["ingestUrl"] || again["name"] != "Again" || again["methods"] != nil {
		t.Errorf("replaced: %v", again)
	}
	source, err := s.cat.Source(1, "new")
	if err != nil || len(source.Secrets) != 1 {
		t.Errorf("its secrets: %v, %v", source, err)
	}
	id, _ := made["id"].(string)
	if got := s.want(200, "PUT", "/app/shop/source/"+id, `{"name":"Nameless","provider":"github"}`); got["uid"] != nil {
		t.Errorf("by its id, without a uid: %v", got)
	}
	if got := s.want(201, "PUT", "/app/shop/source/one", `{"name":"Other","provider":"github","uid":"two"}`); got["uid"] != "two" {
		t.Errorf("under another uid: %v", got)
	}
	s.refused(404, "not_found", "PUT", "/app/other/source/"+id, `{"name":"New","provider":"github"}`)
	s.refused(409, "conflict", "PUT", "/app/shop/source/three", `{"name":"New","provider":"github","uid":"gh"}`)
	s.refused(422, `"name"`, "PUT", "/app/shop/source/three", `{"provider":"github"}`)
}

func TestSourceSecretRotation(t *testing.T) {
	s := newStory(t)
	secrets := func() string {
		source, err := s.cat.Source(1, "gh")
		if err != nil {
			t.Fatal(err)
		}
		var plain []string
		for _, sealed := range source.Secrets {
			text, err := s.box.Open(sealed)
			if err != nil {
				t.Fatal(err)
			}
			plain = append(plain, string(text))
		}
		return strings.Join(plain, ",")
	}
	for _, step := range []struct{ method, path, body, want string }{
		{"POST", "/secret/rotate", `{"key":"two"}`, "two,s3cret"},
		{"POST", "/secret/rotate", `{"key":"three"}`, "three,two"},
		{"POST", "/secret/rotate", `{"key":"four","keepOld":false}`, "four"},
		{"PATCH", "", `{"name":"renamed"}`, "four"},
		{"PUT", "", `{"name":"n","provider":"github"}`, "four"},
		{"PATCH", "", `{"secrets":["a","b"]}`, "a,b"},
		{"PATCH", "", `{"secrets":null}`, ""},
	} {
		if got := s.do(step.method, "/app/shop/source/gh"+step.path, step.body); got.StatusCode >= 300 {
			t.Fatalf("%s %s: %d %s", step.method, step.body, got.StatusCode, got.body)
		}
		if got := secrets(); got != step.want {
			t.Errorf("after %s %s: secrets %q, want %q", step.method, step.body, got, step.want)
		}
	}
	s.refused(422, `"loc":["body","secrets","1"]`, "PATCH", "/app/shop/source/gh", `{"secrets":["a",""]}`)
}

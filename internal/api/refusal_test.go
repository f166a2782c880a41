package api

import (
	"strings"
	"testing"

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
			Headers: []postern.Header{{Name: "X-Github-Event", Value: "push"}, {Name: "Authorization", Value: "Bearer right"}},
		},
	}
	if err := s.commit(s.t.Context(), func(b *store.Batch) { b.Refusals = []*postern.Refusal{r} }); err != nil {
		s.t.Fatal(err)
	}
	return r.ID.String()
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

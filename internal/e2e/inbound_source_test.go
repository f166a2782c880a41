package e2e_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const pushSecret = "It's a Secret to Everybody"

// push sends a body as GitHub does, signed with a secret.
func (in *inlet) push(secret, event, delivery, body string) *reply {
	in.t.Helper()
	return in.ask("POST", "", http.Header{
		"Content-Type": {"application/json"}, "X-Github-Event": {event}, "X-Github-Delivery": {delivery}, "X-Hub-Signature-256": {"sha256=" + hexMAC(secret, body)},
	}, []byte(body))
}

// accepted is push for a request that has to be taken; the message's id.
func (in *inlet) accepted(secret, event, delivery, body string) string {
	in.t.Helper()
	r := in.push(secret, event, delivery, body)
	if r.status != 202 {
		in.t.Fatalf("answered %d %s", r.status, r.body)
	}
	return idOf(r.body)
}

// GitHub does not sign the id of a delivery. Whoever has seen a request can send
// it under another id, and an id with another request: neither makes a new event
// pass for a copy, and what does not verify marks nothing as seen.
func TestForgedDeliveryID(t *testing.T) {
	t.Parallel()
	s := serve(t, "file:"+t.TempDir()+"/store")
	target := newReceiver(t, nil)
	in := s.inlet(t, "github", object{"secrets": []string{pushSecret}})
	in.endpoint(in.app, target.URL+"/hook", nil)

	const first, second, third = `{"n":1}`, `{"n":2}`, `{"n":3}`
	one := in.accepted(pushSecret, "push", "id-1", first)
	if copied := in.accepted(pushSecret, "push", "id-1", first); copied != one {
		t.Errorf("a second copy is %s, the first %s", copied, one)
	}
	if other := in.accepted(pushSecret, "push", "id-1", second); other == one {
		t.Error("another body under a known id passed for a copy")
	}
	// Before GitHub sends the third, a stranger uses its id: with a body of his
	// own, and with one that was seen before.
	if r := in.push("a guess", "push", "id-3", third); r.status != 401 {
		t.Errorf("forged: answered %d", r.status)
	}
	in.accepted(pushSecret, "push", "id-3", first)
	real := in.accepted(pushSecret, "push", "id-3", third)
	target.await(t, "/hook", 4)
	var bodies []string
	for _, got := range target.requests("/hook") {
		bodies = append(bodies, string(got.body))
		if string(got.body) == third && got.id != real {
			t.Errorf("the real event was delivered as %s, and accepted as %s", got.id, real)
		}
	}
	slices.Sort(bodies)
	if want := []string{first, first, second, third}; !slices.Equal(bodies, want) {
		t.Errorf("delivered %q, want %q", bodies, want)
	}
}

// What the owner of a source chooses: its answer, the types of its events, when
// it takes any, and by which secret.
func TestSourceSettings(t *testing.T) {
	t.Parallel()
	s := serve(t, "memory:")
	t.Run("answer", func(t *testing.T) {
		in := s.inlet(t, "github", object{"secrets": []string{pushSecret}, "answer": 200, "answerBody": "<ok/>", "answerContentType": "text/xml"})
		r := in.push(pushSecret, "push", "1", "{}")
		if r.status != 200 || string(r.body) != "<ok/>" || r.header.Get("Content-Type") != "text/xml" || r.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("answered %d %s %v", r.status, r.body, r.header)
		}
		if r := in.push("a guess", "push", "1", "{}"); r.status != 401 || bytes.Contains(r.body, []byte("ok")) {
			t.Errorf("refused: answered %d %s", r.status, r.body)
		}
	})
	t.Run("event types", func(t *testing.T) {
		in := s.inlet(t, "github", object{"secrets": []string{pushSecret}, "eventTypePrefix": "github.", "eventTypes": object{"push": "code.changed"}})
		target := newReceiver(t, nil)
		in.endpoint(in.app, target.URL+"/changes", object{"filterTypes": []string{"code.*"}})
		in.accepted(pushSecret, "workflow_run", "1", "{}")
		in.accepted(pushSecret, "push", "2", "{}")
		var got []string
		for _, m := range in.messages() {
			got = append(got, m.EventType+" from "+m.ProviderEventType)
		}
		if want := []string{"github.workflow_run from workflow_run", "code.changed from push"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		if got := target.await(t, "/changes", 1); len(got) != 1 || got[0].id != in.messages()[1].ID {
			t.Errorf("delivered %+v", got)
		}
		in.want(200, "GET", "/event-type/code.changed", nil, nil)
	})
	t.Run("pause", func(t *testing.T) {
		in := s.inlet(t, "github", object{"secrets": []string{pushSecret}})
		in.want(200, "POST", in.of("/pause"), nil, nil)
		if r := in.push(pushSecret, "push", "1", "{}"); r.status != 503 || r.header.Get("Retry-After") == "" {
			t.Errorf("paused: answered %d %v", r.status, r.header)
		}
		in.want(200, "POST", in.of("/resume"), nil, nil)
		in.accepted(pushSecret, "push", "1", "{}") // what was turned away is no copy of anything
		if n := len(in.messages()); n != 1 {
			t.Errorf("%d messages", n)
		}
	})
	t.Run("rotation", func(t *testing.T) {
		in := s.inlet(t, "github", object{"secrets": []string{"the first"}})
		n := 0
		takes := func(secret string) bool {
			n++
			return in.push(secret, "push", fmt.Sprint(n), "{}").status == 202
		}
		in.want(204, "POST", in.of("/secret/rotate"), object{"key": "the second"}, nil)
		if !takes("the first") || !takes("the second") {
			t.Error("while secrets overlap, one is refused")
		}
		in.want(204, "POST", in.of("/secret/rotate"), object{"key": "the third", "keepOld": false}, nil)
		if !takes("the third") || takes("the second") || takes("the first") {
			t.Error("after the overlap, another than the last is accepted")
		}
		if kept := in.refusals(); len(kept) != 2 || !strings.Contains(kept[1].Detail, "previous secret") || strings.Contains(fmt.Sprint(kept), "the second") {
			t.Errorf("refusals %+v", kept)
		}
		if text := in.call("GET", in.of(""), nil).body; bytes.Contains(text, []byte("the third")) {
			t.Errorf("the source tells its secret: %s", text)
		}
	})
}

// A request that came before its source had the right secret is not lost: the
// owner mends the source, looks, and releases it, once.
func TestRefusalIsReleased(t *testing.T) {
	t.Parallel()
	onDurableStores(t, func(t *testing.T, store string) {
		s := serve(t, store, "--public-url="+outsideURL)
		target := newReceiver(t, nil)
		body := payload(t, "github_push.json")
		in := s.inlet(t, "github", object{"secrets": []string{"mistyped"}})
		in.endpoint(in.app, target.URL+"/hook", nil)
		if r := in.push(pushSecret, "push", "1", string(body)); r.status != 401 {
			t.Fatalf("answered %d", r.status)
		}
		kept := in.refusals()
		if len(kept) != 1 || kept[0].MessageID != nil {
			t.Fatalf("refusals %+v", kept)
		}
		var whole struct{ Body string }
		in.want(200, "GET", in.of("/refusal/"+kept[0].ID), nil, &whole)
		if whole.Body != string(body) {
			t.Errorf("kept as %q", whole.Body)
		}
		verified := func() bool {
			var found struct{ Verified bool }
			in.want(200, "POST", in.of("/refusal/"+kept[0].ID+"/verify"), nil, &found)
			return found.Verified
		}
		if verified() {
			t.Error("verified with the mistyped secret")
		}
		s.kill()
		s = serve(t, store, "--public-url="+outsideURL)
		in.client = newClient(t, s.base)
		in.want(204, "POST", in.of("/secret/rotate"), object{"key": pushSecret, "keepOld": false}, nil)
		if !verified() || len(target.requests("/hook")) != 0 {
			t.Error("after the secret was mended it does not verify, or was delivered already")
		}
		var released struct {
			MessageID           string
			Verified, Duplicate bool
		}
		in.want(202, "POST", in.of("/refusal/"+kept[0].ID+"/release"), nil, &released)
		got := target.await(t, "/hook", 1)[0]
		if !released.Verified || released.Duplicate || got.id != released.MessageID || !bytes.Equal(got.body, body) {
			t.Errorf("released as %+v, delivered %s:\n%s", released, got.id, got.body)
		}
		in.want(200, "POST", in.of("/refusal/"+kept[0].ID+"/release"), nil, &released)
		if !released.Duplicate || released.MessageID != got.id || len(in.messages()) != 1 {
			t.Errorf("released again: %+v", released)
		}
		if kept := in.refusals(); kept[0].MessageID == nil || *kept[0].MessageID != got.id {
			t.Errorf("the refusal knows nothing of its release: %+v", kept)
		}
	})
}

// A source that forwards passes on the original request: its headers, all or
// those chosen, and its query.
func TestForwardedRequest(t *testing.T) {
	t.Parallel()
	s := serve(t, "memory:")
	for name, test := range map[string]struct {
		chosen []string
		has    []string
		lacks  []string
	}{
		"all":    {nil, []string{"X-Github-Event", "X-Hub-Signature-256", "X-Own"}, nil},
		"chosen": {[]string{"x-github-event", "X-Own", "X-Nowhere"}, []string{"X-Github-Event", "X-Own"}, []string{"X-Hub-Signature-256", "X-Github-Delivery"}},
	} {
		t.Run(name, func(t *testing.T) {
			target := newReceiver(t, nil)
			in := s.inlet(t, "github", object{"secrets": []string{pushSecret}, "forward": true, "forwardHeaders": test.chosen})
			in.endpoint(in.app, target.URL+"/hook", nil)
			body := payload(t, "github_push.json")
			header := http.Header{
				"Content-Type": {"application/json"}, "X-Github-Event": {"push"}, "X-Github-Delivery": {"1"}, "X-Own": {"größer", "two"},
				"X-Hub-Signature-256": {"sha256=" + hexMAC(pushSecret, string(body))}, "Webhook-Id": {"forged"},
			}
			r := in.ask("POST", "?a=%2F&b", header, body)
			if r.status != 202 {
				t.Fatalf("answered %d %s", r.status, r.body)
			}
			got := target.await(t, "/hook", 1)[0]
			if !bytes.Equal(got.body, body) || got.id != idOf(r.body) {
				t.Errorf("delivered %s:\n%s", got.id, got.body)
			}
			for _, name := range test.has {
				if !slices.Equal(got.header[name], header[name]) {
					t.Errorf("%s is %q, want %q", name, got.header[name], header[name])
				}
			}
			for _, name := range test.lacks {
				if got.header[name] != nil {
					t.Errorf("%s is passed on", name)
				}
			}
			if got.header.Get("Postern-Method") != "POST" || got.header.Get("Postern-Path") != "/in/***" || got.header.Get("Postern-Query") != "a=%2F&b" {
				t.Errorf("the request line became %v", got.header)
			}
			if token := in.path[len("/in/"):]; strings.Contains(fmt.Sprint(got.header), token) {
				t.Error("the endpoint is told the source's token")
			}
		})
	}
}

// TestCredentialsStayInside: a shared token, a password or a bearer token is
// masked in what endpoints are sent, in what the API tells, and in the store,
// whether or not it was the right one; and still verifies a refused request.
func TestCredentialsStayInside(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "store")
	s := serve(t, "file:"+folder)
	const credential, marker = "gT7pQ2vXw9Lk4Zr", "mR3nB8yJd5Hs6Fc"
	basic := base64.StdEncoding.EncodeToString([]byte("hook:" + credential))
	event := `{"specversion":"1.0","id":"1","source":"/s","type":"a.b","data":"` + marker + `"}`
	for name, test := range map[string]struct {
		provider, secret string
		config           object
		query            string
		header           http.Header
		forwarded        http.Header
		forwardedQuery   string
	}{
		"token":  {"gitlab", credential, nil, "?a=1", http.Header{"X-Gitlab-Token": {credential}}, http.Header{"X-Gitlab-Token": {"***"}}, "a=1"},
		"basic":  {"chargebee", "hook:" + credential, nil, "", http.Header{"Authorization": {"Basic " + basic}}, http.Header{"Authorization": {"Basic ***"}}, ""},
		"bearer": {"cloudevents", credential, nil, "", http.Header{"Authorization": {"Bearer " + credential}, "Content-Type": {"application/cloudevents+json"}}, http.Header{"Authorization": {"Bearer ***"}}, ""},
		"query":  {"cloudevents", credential, nil, "?a=1&access_token=" + credential, http.Header{"Content-Type": {"application/cloudevents+json"}}, nil, "a=1&access_token=***"},
	} {
		t.Run(name, func(t *testing.T) {
			target := newReceiver(t, nil)
			wantMasked := func(got request) {
				t.Helper()
				if text := fmt.Sprint(got.header); strings.Contains(text, credential) || strings.Contains(text, basic) {
					t.Errorf("the endpoint is told: %s", text)
				}
				for name := range test.forwarded {
					if !slices.Equal(got.header[name], test.forwarded[name]) {
						t.Errorf("%s was passed on as %q", name, got.header[name])
					}
				}
				if got.header.Get("Postern-Query") != test.forwardedQuery || string(got.body) != event {
					t.Errorf("passed on with the query %q: %s", got.header.Get("Postern-Query"), got.body)
				}
			}
			in := s.inlet(t, test.provider, object{"secrets": []string{test.secret}, "forward": true})
			in.endpoint(in.app, target.URL+"/hook", nil)
			if r := in.ask("POST", test.query, test.header, []byte(event)); r.status/100 != 2 {
				t.Fatalf("answered %d %s", r.status, r.body)
			}
			wantMasked(target.await(t, "/hook", 1)[0])

			// The same to a source that has another secret.
			in = s.inlet(t, test.provider, object{"secrets": []string{"other:than this"}, "forward": true})
			in.endpoint(in.app, target.URL+"/refused", nil)
			if r := in.ask("POST", test.query, test.header, []byte(event)); r.status != 401 {
				t.Fatalf("answered %d %s", r.status, r.body)
			}
			kept := in.refusals()
			if len(kept) != 1 {
				t.Fatalf("refusals %+v", kept)
			}
			text := string(in.call("GET", in.of("/refusal"), nil).body) + string(in.call("GET", in.of("/refusal/"+kept[0].ID), nil).body)
			if strings.Contains(text, credential) || strings.Contains(text, basic) || kept[0].Request.Query != test.forwardedQuery {
				t.Errorf("the API tells: %s", text)
			}
			in.want(204, "POST", in.of("/secret/rotate"), object{"key": test.secret, "keepOld": false}, nil)
			var released struct{ Verified bool }
			if in.want(202, "POST", in.of("/refusal/"+kept[0].ID+"/release"), nil, &released); !released.Verified {
				t.Error("the refusal does not verify once the source has the secret")
			}
			wantMasked(target.await(t, "/refused", 1)[0])
		})
	}
	if code := s.terminate(patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	// A payload can be found in the store's files, so that a credential could.
	if !inFolder(t, folder, marker) {
		t.Error("the store's files hold nothing that can be read")
	}
	if inFolder(t, folder, credential) || inFolder(t, folder, basic) {
		t.Error("the store has a credential in plain text")
	}
}

// inFolder looks for a text in all files of a folder.
func inFolder(t *testing.T, folder, text string) (found bool) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		found = found || bytes.Contains(content, []byte(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

package cli_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// A source can have a provider of one's own, and is told of one that is not
// there when it is made.
func TestServeWithOwnProviders(t *testing.T) {
	r := serve(t, nil, "--store=memory:", "--admin-key=k", "--providers="+acme(t))
	post := func(url, body string, header http.Header) (status int, out map[string]any) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range header {
			req.Header[name] = values
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, out
	}
	admin := http.Header{"Authorization": {"Bearer k"}, "Content-Type": {"application/json"}}
	if status, out := post(r.url+"/api/v1/app", `{"name":"a","uid":"a"}`, admin); status != http.StatusCreated {
		t.Fatal(status, out)
	}
	sources := r.url + "/api/v1/app/a/source"
	if status, out := post(sources, `{"name":"s","provider":"acmee","secrets":["s"]}`, admin); status != http.StatusUnprocessableEntity {
		t.Errorf("a provider that is not there: %d %v", status, out)
	}
	status, source := post(sources, `{"name":"s","provider":"acme","secrets":["s3cret"],"config":{"account":"a1"}}`, admin)
	if status != http.StatusCreated {
		t.Fatal(status, source)
	}
	ingest, _ := source["ingestUrl"].(string)
	signed := func(body string) http.Header {
		now := strconv.FormatInt(time.Now().Unix(), 10)
		return http.Header{"Acme-Signature": {"t=" + now + ",v1=" + hex.EncodeToString(mac(sha1.New, "s3cret", now+"."+body))}}
	}
	right := `{"type":"paid","account":"a1"}`
	if status, out := post(ingest, right, signed(right)); status != http.StatusAccepted || out["id"] == nil {
		t.Errorf("a request of acme's: %d %v", status, out)
	}
	other := `{"type":"paid","account":"a2"}`
	for name, header := range map[string]http.Header{"another account": signed(other), "another body": signed(right)} {
		if status, _ := post(ingest, other, header); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, status)
		}
	}
}

package engine_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/store/embedded"
)

// TestRepeatedAfterARestart: requests with an idempotency key are answered the
// same by the next process, a message in its own batch and everything else in
// one of its own.
func TestRepeatedAfterARestart(t *testing.T) {
	dir := "file:" + t.TempDir()
	secrets, err := engine.ParseSecrets("k1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	if err != nil {
		t.Fatal(err)
	}
	requests := []struct{ path, body string }{
		{"/app", `{"name":"Shop","uid":"shop"}`},
		{"/app/shop/endpoint", `{"url":"https://example.com/","uid":"a"}`},
		{"/app/shop/msg", `{"eventType":"a.b","payload":{"n":1.0}}`},
		{"/key", `{"name":"k","scope":"admin"}`},
		{"/app/shop/endpoint/a/secret/rotate", `{}`},
		{"/auth/app-portal-access/shop", `{}`},
	}
	type answer struct {
		status int
		body   string
	}
	var before []answer
	for life := range 3 {
		st, err := embedded.Open(t.Context(), dir, embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		eng, err := engine.New(t.Context(), engine.Config{Store: st, AdminKey: "admin", Secrets: secrets})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- eng.Run(ctx) }()
		for i, in := range requests {
			r := httptest.NewRequest("POST", "/api/v1"+in.path, bytes.NewBufferString(in.body))
			r.Header.Set("Authorization", "Bearer admin")
			r.Header.Set("Idempotency-Key", "chosen")
			w := httptest.NewRecorder()
			eng.Handler().ServeHTTP(w, r)
			body, _ := io.ReadAll(w.Body) // from memory
			got := answer{w.Code, string(body)}
			if life == 0 {
				before = append(before, got)
			}
			if got != before[i] || got.status >= http.StatusMultipleChoices {
				t.Errorf("life %d, %s: %+v, before %+v", life, in.path, got, before[i])
			}
		}
		stop()
		if err := <-ran; err != nil {
			t.Fatal(err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

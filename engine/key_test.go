package engine_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/store/embedded"
)

// TestLastUseSurvivesAStop: a stop does not wait for the next time that the use
// of keys is stored.
func TestLastUseSurvivesAStop(t *testing.T) {
	st, err := embedded.Open(t.Context(), "memory:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	eng, err := engine.New(t.Context(), engine.Config{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- eng.Run(ctx) }()
	tokens := map[string]string{}
	for _, name := range []string{"used", "unused"} {
		if tokens[name], err = eng.NewKey(t.Context(), postern.Key{Name: name, Scope: postern.ScopeAdmin}); err != nil {
			t.Fatal(err)
		}
	}
	r := httptest.NewRequest("GET", "/api/v1/app", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+tokens["used"])
	w := httptest.NewRecorder()
	if eng.Handler().ServeHTTP(w, r); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	stop()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	err = st.Load(t.Context(), func(record any) error {
		if k, ok := record.(*postern.Key); ok && (time.Since(k.LastUsedAt) < time.Minute) != (k.Name == "used") {
			t.Errorf("key %q was last used %v", k.Name, k.LastUsedAt)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

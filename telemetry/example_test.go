package telemetry_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/store/embedded"
	"github.com/postern-dev/postern/telemetry"
)

// How do I have my engine's metrics at /metrics?
func ExampleNewPrometheus() {
	ctx := context.Background()
	st, err := embedded.Open(ctx, "memory:", embedded.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	var eng *engine.Engine
	observer, metrics := telemetry.NewPrometheus(func(ctx context.Context) (engine.Stats, error) {
		return eng.Stats(ctx)
	})
	if eng, err = engine.New(ctx, engine.Config{Store: st, Observer: observer}); err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.Handle("/", eng.Handler())

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "postern_messages_accepted_total") {
			fmt.Print(line)
		}
	}
	fmt.Println(w.Code)
	// Output:
	// postern_messages_accepted_total 0
	// 200
}

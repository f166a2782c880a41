// Command verify-chi receives webhooks of GitHub in a chi router: what does not
// verify never gets to the handler.
package main

import (
	"encoding/json"
	"log"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/postern-dev/postern/verify"
)

func main() {
	// Two secrets while one is being replaced; any of them may have signed.
	github, err := verify.For("github", os.Args[1:]...)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		Addr: "127.0.0.1:8080", Handler: routes(github),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
	}
	log.Fatal(server.ListenAndServe())
}

// routes protects one route. The rest of the router is as it was.
func routes(github *verify.Verifier) http.Handler {
	r := chi.NewRouter()
	r.With(verify.Middleware(github, verify.Options{OnRefusal: refused})).Post("/hooks/github", receive)
	return r
}

// receive is reached by verified requests only, and reads the very bytes that
// were signed.
func receive(w http.ResponseWriter, r *http.Request) {
	event, _ := verify.EventFrom(r.Context())
	var payload struct {
		Action string `json:"action"`
	}
	if err := json.NewDecoder(r.Body).Decode(&payload); err != nil {
		http.Error(w, "not JSON", http.StatusBadRequest)
		return
	}
	log.Printf("%s %s, delivery %s", event.Type, payload.Action, event.DeliveryID)
	w.WriteHeader(http.StatusAccepted)
}

// refused is for whoever runs the server. The sender is told nothing but 401.
func refused(r *http.Request, err error) {
	slog.WarnContext(r.Context(), "webhook refused", "from", r.RemoteAddr, "error", err)
}

// Command receiver is the other side: a program of somebody who registered a
// webhook. It believes what verifies, and prints it.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/postern-dev/postern/verify"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: receiver ADDRESS SECRET")
	}
	handler, err := receive(os.Args[2], os.Stdout)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: os.Args[1], Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute}
	log.Fatal(server.ListenAndServe())
}

// receive prints webhooks that were signed with secret. Others are answered with
// 401 before they get here.
func receive(secret string, out io.Writer) (http.Handler, error) {
	signed, err := verify.For("standard_webhooks", secret)
	if err != nil {
		return nil, err
	}
	show := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body) // the bytes that were signed, of bounded length
		if err != nil {
			http.Error(w, "cut off", http.StatusBadRequest)
			return
		}
		event, _ := verify.EventFrom(r.Context())
		fmt.Fprintf(out, "%s %s %s\n", event.DeliveryID, event.Type, body)
		w.WriteHeader(http.StatusNoContent)
	})
	return verify.Middleware(signed, verify.Options{})(show), nil
}

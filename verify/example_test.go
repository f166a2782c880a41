package verify_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/postern-dev/postern/verify"
)

// Check a request from GitHub by hand.
func Example() {
	v, err := verify.For("github", "It's a Secret to Everybody")
	if err != nil {
		fmt.Println(err)
		return
	}
	req := verify.Request{
		Method: "POST",
		Header: http.Header{
			"X-Hub-Signature-256": {"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
			"X-Github-Event":      {"push"},
		},
		Body: []byte("Hello, World!"),
	}
	event, err := v.Verify(context.Background(), req, time.Now())
	fmt.Println(event.Type, err)

	req.Body = []byte("Hello, Mallory!")
	_, err = v.Verify(context.Background(), req, time.Now())
	var refused *verify.Error
	fmt.Println(errors.As(err, &refused), refused.Reason)
	// Output:
	// push <nil>
	// true signature_mismatch
}

// Protect a handler; whoever gets through has an Event.
func ExampleMiddleware() {
	const newSecret, oldSecret = "It's a Secret to Everybody", "It was a Secret to Everybody"

	github, err := verify.For("github", newSecret, oldSecret) // any of them may have signed
	if err != nil {
		log.Fatal(err)
	}
	hooks := verify.Middleware(github, verify.Options{})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		event, _ := verify.EventFrom(r.Context()) // and r.Body has the bytes that were signed
		fmt.Println("got", event.Type)
		w.WriteHeader(http.StatusAccepted)
	}))

	good := httptest.NewRequest("POST", "/hooks", strings.NewReader("Hello, World!"))
	good.Header.Set("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
	good.Header.Set("X-GitHub-Event", "push")
	forged := httptest.NewRequest("POST", "/hooks", strings.NewReader("Hello, Mallory!"))
	for _, r := range []*http.Request{good, forged} {
		w := httptest.NewRecorder()
		hooks.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// got push
	// 202
	// 401
}

// A provider that is not in the catalogue, by the generic scheme.
func ExampleNew() {
	def, _ := verify.Lookup("hmac")
	_, err := verify.New(def, verify.Config{
		Secrets: []string{"8f742231b10e8888abcd99yyyzzz85a5"},
		Settings: map[string]string{
			"header":           "X-Slack-Signature",
			"prefix":           "v0=",
			"template":         "v0:{timestamp}:{body}",
			"timestamp_header": "X-Slack-Request-Timestamp",
			"event_type":       "json:event.type",
		},
	})
	fmt.Println(err)

	_, err = verify.New(def, verify.Config{Secrets: []string{""}})
	fmt.Println(err)
	// Output:
	// <nil>
	// verify: config.header: is required; secrets[0]: is empty
}

// Command verify-gin receives webhooks of Stripe in a gin router: what does not
// verify never gets to the handler.
package main

import (
	"log"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/postern-dev/postern/verify"
)

func main() {
	// Two secrets while one is being replaced; any of them may have signed.
	stripe, err := verify.For("stripe", os.Args[1:]...)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		Addr: "127.0.0.1:8080", Handler: routes(stripe),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
	}
	log.Fatal(server.ListenAndServe())
}

// routes protects one route. The rest of the router is as it was.
func routes(stripe *verify.Verifier) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.POST("/hooks/stripe", adapt(verify.Middleware(stripe, verify.Options{OnRefusal: refused})), receive)
	return r
}

// adapt makes a middleware of net/http one of gin. What it does not let through
// it has answered, and gin's chain ends.
func adapt(middleware func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request = r // has the event in its context
			c.Next()
		})
		middleware(next).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort()
		}
	}
}

// receive is reached by verified requests only, and reads the very bytes that
// were signed.
func receive(c *gin.Context) {
	event, _ := verify.EventFrom(c.Request.Context())
	var payload struct {
		Livemode bool `json:"livemode"`
	}
	if err := c.ShouldBindJSON(&payload); err != nil {
		c.String(http.StatusBadRequest, "not JSON")
		return
	}
	log.Printf("%s (live: %t), event %s of %v", event.Type, payload.Livemode, event.DeliveryID, event.Timestamp)
	c.Status(http.StatusAccepted)
}

// refused is for whoever runs the server. The sender is told nothing but 401.
func refused(r *http.Request, err error) {
	slog.WarnContext(r.Context(), "webhook refused", "from", r.RemoteAddr, "error", err)
}

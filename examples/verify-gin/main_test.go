package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern/verify"
)

const secret = "whsec_test_secret"

func TestRoutes(t *testing.T) {
	stripe, err := verify.For("stripe", "whsec_before", secret)
	if err != nil {
		t.Fatal(err)
	}
	handler := routes(stripe)
	const body = `{"id":"evt_1","type":"invoice.paid","livemode":false}`
	for name, c := range map[string]struct {
		path, signedWith, body string
		age                    time.Duration
		want                   int
	}{
		"signed":           {"/hooks/stripe", secret, body, 0, http.StatusAccepted},
		"signed, no JSON":  {"/hooks/stripe", secret, `{`, 0, http.StatusBadRequest},
		"another's secret": {"/hooks/stripe", "mallory's", body, 0, http.StatusUnauthorized},
		"an old one":       {"/hooks/stripe", secret, body, time.Hour, http.StatusUnauthorized},
		"not signed":       {"/hooks/stripe", "", body, 0, http.StatusUnauthorized},
		"another path":     {"/elsewhere", secret, body, 0, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, c.path, strings.NewReader(c.body))
			if c.signedWith != "" {
				at := time.Now().Add(-c.age).Unix()
				mac := hmac.New(sha256.New, []byte(c.signedWith))
				fmt.Fprintf(mac, "%d.%s", at, c.body)
				r.Header.Set("Stripe-Signature", fmt.Sprintf("t=%d,v1=%x", at, mac.Sum(nil)))
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("status %d, want %d: %s", w.Code, c.want, w.Body)
			}
		})
	}
}

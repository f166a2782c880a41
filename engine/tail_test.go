package engine

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

// waited publishes over HTTP and returns the states of the deliveries, and how
// long the answer took.
func (l *life) waited(wait string) (states string, took time.Duration) {
	l.t.Helper()
	r := httptest.NewRequest("POST", "/api/v1/app/"+l.appID()+"/msg?wait="+wait, strings.NewReader(`{"eventType":"a.b","payload":{}}`))
	r.Header.Set("Authorization", "Bearer admin")
	answer := httptest.NewRecorder()
	began := time.Now()
	l.eng.Handler().ServeHTTP(answer, r)
	took = time.Since(began)
	var out struct{ Deliveries []struct{ State string } }
	if err := json.Unmarshal(answer.Body.Bytes(), &out); err != nil || answer.Code != 202 {
		l.t.Fatalf("%d %s: %v", answer.Code, answer.Body, err)
	}
	for _, d := range out.Deliveries {
		states += d.State + " "
	}
	return strings.TrimSpace(states), took
}

func (l *life) appID() string { return l.eng.catalogue.ApplicationByNumber(l.app).ID.String() }

// A publisher that waits learns what became of its message as soon as that is
// stored, and no later than it asked for.
func TestPublisherWaits(t *testing.T) {
	inBubble(t, Config{AdminKey: "admin"}, func(l *life) {
		l.answers(200)
		if states, took := l.waited("5s"); states != "delivered" || took > time.Second {
			t.Errorf("%s after %v", states, took)
		}
		l.answers(500)
		if states, took := l.waited("2s"); states != "retrying" || took > time.Second { // in five seconds
			t.Errorf("%s after %v", states, took)
		}
	})
	inBubble(t, Config{AdminKey: "admin"}, func(l *life) {
		l.replies(func(_ context.Context, a *postern.Attempt) bool {
			<-time.After(3 * time.Second)
			a.Code, a.Succeeded = 200, true
			return true
		})
		if states, took := l.waited("10s"); states != "delivered" || took < 3*time.Second || took > 4*time.Second {
			t.Errorf("%s after %v", states, took)
		}
		if states, took := l.waited("1s"); states != "pending" || took.Round(time.Millisecond) != time.Second { // a batch may wait for others
			t.Errorf("%s after %v", states, took)
		}
	})
}

package engine

import (
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

// TestWhoseSchedule: the endpoint's schedule goes before the event type's, and
// that before the general one. A change holds for what fails after it.
func TestWhoseSchedule(t *testing.T) {
	for name, tc := range map[string]struct {
		ofType, ofEndpoint postern.RetrySchedule
		tries              int
	}{
		"general":        {nil, nil, 2},
		"the type's":     {postern.RetrySchedule{time.Second, time.Second}, nil, 3},
		"the endpoint's": {postern.RetrySchedule{time.Second, time.Second}, postern.RetrySchedule{time.Second, time.Second, time.Second}, 4},
		"one try":        {postern.RetrySchedule{}, nil, 1},
		"one try here":   {postern.RetrySchedule{time.Second, time.Second}, postern.RetrySchedule{}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{RetrySchedule: postern.RetrySchedule{time.Second}}, func(l *life) {
				_, _, err := l.eng.catalogue.PutEventType(t.Context(), postern.EventType{Name: "a.b", Description: "d", RetrySchedule: tc.ofType}, false)
				if err != nil {
					t.Fatal(err)
				}
				_, err = l.eng.catalogue.UpdateEndpoint(t.Context(), l.app, l.endpoint, false, func(e *postern.Endpoint) error {
					e.RetrySchedule = tc.ofEndpoint
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				l.answers(500)
				d := l.publish()
				l.pass(time.Minute)
				if tries := l.tried(); len(tries) != tc.tries || l.standing(d).State != postern.Dead {
					t.Errorf("%d tries, want %d: %+v", len(tries), tc.tries, l.standing(d))
				}
			})
		})
	}
}

package postgres

import (
	"slices"
	"testing"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// An attempt never changes once it is written. One that comes again is left out,
// and what came with it is stored.
func TestAttemptsThatComeAgain(t *testing.T) {
	s := open(t, cluster.Database(t), Options{})
	c := newCommitter(t)
	first := c.batch()
	m := first.Accepts[0].Message
	try := func(n int, response string) *postern.Attempt {
		return &postern.Attempt{ID: postern.AttemptID{byte(n)}, Message: m.ID, Application: 1, Endpoint: 1, N: n, Response: []byte(response)}
	}
	first.Attempts = []*postern.Attempt{try(1, "a")}
	c.commit(s, first)
	second := c.batch()
	second.Attempts = []*postern.Attempt{try(1, "b"), try(2, "c"), try(2, "d")}
	c.commit(s, second)

	var responses []string
	_, err := s.EachAttempt(t.Context(), 1, m.ID, func(a *postern.Attempt) bool {
		responses = append(responses, string(a.Response))
		return true
	})
	if err != nil || !slices.Equal(responses, []string{"a", "c"}) {
		t.Errorf("attempts %v, %v; want the first of each number", responses, err)
	}
	page, err := s.EndpointAttempts(t.Context(), 1, 1, store.AttemptFilter{}, store.Page{Limit: 9})
	if err != nil || len(page.Attempts) != 2 {
		t.Errorf("the endpoint has %d attempts, %v; want 2", len(page.Attempts), err)
	}
	if got := stored(t, s); len(got) != 2 {
		t.Errorf("positions %v, want both messages", got)
	}
}

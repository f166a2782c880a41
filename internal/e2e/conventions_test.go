package e2e_test

import "testing"

// convention is something that holds over the operations: a rule of the API, a
// limit, or a detail that programs rely on.
type convention struct {
	// group and text are a line of docs/conformance.md: the heading, and the
	// sentence, which says what holds and depends on nothing of the run.
	group, text string
	// check fails the test when it does not hold. Its client speaks to a server
	// that all checks share, at the same time, so that each makes applications
	// (and event types) of its own.
	check func(t *testing.T, c *client)
}

// conventions are all of them, the lines of a group together.
func conventions() []convention {
	return []convention{
		{"Ids", "An application answers to its uid as to its id.", func(t *testing.T, c *client) {
			id := c.application("convention")
			c.want(200, "PATCH", "/app/"+id, object{"uid": "convention.uid"}, nil)
			var app created
			if c.want(200, "GET", "/app/convention.uid", nil, &app); app.ID != id {
				t.Errorf("got %s, want %s", app.ID, id)
			}
		}},
	}
}

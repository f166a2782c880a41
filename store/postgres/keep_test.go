package postgres

import "testing"

func TestKeep(t *testing.T) {
	url := cluster.Database(t)
	s := open(t, url, Options{})
	for i, value := range []string{"first", "second"} {
		kept, made, err := s.Keep(t.Context(), "ring", []byte(value))
		if err != nil || string(kept) != "first" || made != (i == 0) {
			t.Errorf("%q, made %t, %v", kept, made, err)
		}
	}
}

// TestHeld tells of a store that is open, and of none that was closed.
func TestHeld(t *testing.T) {
	url := cluster.Database(t)
	held := func() string {
		t.Helper()
		node, err := Held(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		return node
	}
	if node := held(); node != "" {
		t.Errorf("before: %q", node)
	}
	s := open(t, url, Options{Node: "here"})
	if node := held(); node != "here" {
		t.Errorf("while it is open: %q", node)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if node := held(); node != "" {
		t.Errorf("after: %q", node)
	}
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
	"github.com/postern-dev/postern/internal/config"
	"github.com/postern-dev/postern/store"
)

// While a node is replaced, requests are told to come again, and metrics are shown
// without the engine's.
func TestAnswersWithoutANode(t *testing.T) {
	s := &server{}
	w := httptest.NewRecorder()
	s.answer(w, httptest.NewRequest("POST", "/api/v1/app/a/msg", strings.NewReader("{}")))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), `"code":"unavailable"`) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if _, err := s.stats(t.Context()); !errors.Is(err, errAbsent) {
		t.Errorf("stats: %v", err)
	}
}

// A rejoin waits for a database that is away until the server is told to stop, and
// gives up on what waiting does not help.
func TestRejoinWaits(t *testing.T) {
	start := func(store string) *server {
		settings, err := config.Load(config.Input{Preset: map[string]string{"listen": "127.0.0.1:0", "store": "memory:", "log-level": "error"}})
		if err != nil {
			t.Fatal(err)
		}
		p := (&Program{}).withDefaults()
		s, err := openServer(t.Context(), settings, "test", p.newLogger(settings))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.listener.Close() }) // nothing was accepted
		settings.Store = config.NewLocation(store)
		return s
	}
	ctx, cancel := context.WithCancel(t.Context())
	away := start("postgres://127.0.0.1:1/none")
	done := make(chan error, 1)
	go func() { done <- away.rejoin(ctx) }()
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) || away.node.Load() != nil {
		t.Errorf("of a database that is away: %v", err)
	}
	if err := start("postgres://host:port/none").rejoin(t.Context()); !errors.Is(err, postern.ErrInvalid) && exitCode(err) != ExitUsage {
		t.Errorf("of a wrong address: %v", err)
	}
	again := start("memory:")
	first := again.node.Load()
	if err := again.rejoin(t.Context()); err != nil || again.node.Load() == nil || again.node.Load() == first {
		t.Errorf("of a store that opens: %v", err)
	}
	if err := again.node.Load().store.Close(); err != nil {
		t.Error(err)
	}
}

// What the list of nodes says of one in words.
func TestNodeInWords(t *testing.T) {
	for _, test := range []struct {
		node            client.Node
		state, journals string
	}{
		{client.Node{}, "gone", ""},
		{client.Node{Live: true, Journals: []client.Journal{{Number: 1}, {Number: 3, Main: true}}}, "live", "1 (adopted), 3"},
		{client.Node{Live: true, Leader: true, Self: true, Journals: []client.Journal{{Main: true}}}, "live, leads, answers", "0"},
	} {
		if state, journals := stateOf(&test.node), journalsOf(&test.node); state != test.state || journals != test.journals {
			t.Errorf("%+v: %q with %q", test.node, state, journals)
		}
	}
}

// A name that was given takes back what its namesake had; one that was made does not.
func TestIdentity(t *testing.T) {
	if got := identityOf(&config.Config{Node: "a"}); got != (identity{"a", true}) {
		t.Errorf("a name of its own: %+v", got)
	}
	if got := identityOf(&config.Config{}); got != (identity{processName(), false}) || !strings.Contains(got.name, "/") {
		t.Errorf("without a name: %+v", got)
	}
}

func TestIsFenced(t *testing.T) {
	fenced := &postern.Error{Kind: postern.Unavailable, Code: store.CodeFenced}
	for err, want := range map[error]bool{
		nil: false, errors.New("a disk"): false, postern.ErrUnavailable: false,
		fenced: true, fmt.Errorf("storing: %w", fenced): true,
		&postern.Error{Kind: postern.Unavailable, Detail: "the store has failed", Err: fenced}: true,
	} {
		if got := isFenced(err); got != want {
			t.Errorf("%v: %t", err, got)
		}
	}
}

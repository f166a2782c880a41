package e2e_test

import (
	"bufio"
	"context"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/postern-dev/postern/internal/testkit"
)

// Who listens to one node hears once of everything that all acknowledge, though one
// of them be killed and another come, and so does who leaves again and again and comes
// back to another node.
func TestTailWhileNodesDie(t *testing.T) {
	t.Parallel()
	seed := testkit.Seed(t)
	w := newNodesWorld(t, nil)
	a, b, c := w.three()
	l := newNodesLedger(w, a, map[string][]string{"/good": nil})
	stays, roams := newHearing(l), newHearing(l)
	ctx, cancel := context.WithCancel(t.Context())
	var hearings sync.WaitGroup
	began := make(chan struct{}, 2)
	hearings.Go(func() {
		for ctx.Err() == nil { // a tail that cannot read the store hangs up
			stays.hear(ctx, a, -1, began)
		}
	})
	hearings.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			roams.hear(ctx, []*node{a, b}[i%2], 25, began)
		}
	})
	defer hearings.Wait()
	defer cancel()
	<-began
	<-began

	stop := l.publishers(4, 30*time.Millisecond, seed, []string{"user.made"})
	for _, change := range []func(){func() { c.crash() }, func() { w.join() }, func() {}} {
		before := len(l.known())
		await(t, "it goes on", func() bool { return len(l.known()) > before+testkit.Count(50, 1000) })
		change()
	}
	stop()
	known := l.known()
	for name, h := range map[string]*hearing{"who stays": stays, "who roams": roams} {
		if !holds(patience, func() bool { return h.has(known) }) {
			t.Errorf("%s does not hear of all: of %d messages %d, of %d attempts at least %d", name, len(known), len(h.messages), len(known), len(h.attempts))
		}
	}
	cancel()
	hearings.Wait()
	for name, h := range map[string]*hearing{"who stays": stays, "who roams": roams} {
		for id, times := range h.messages {
			if times != 1 {
				t.Errorf("%s hears %d times of %s", name, times, id)
			}
		}
		for id, times := range h.attempts {
			if times != 1 {
				t.Errorf("%s hears %d times of attempt %s", name, times, id)
			}
		}
		if h.skipped > 0 {
			t.Errorf("%s is told %d times that something is left out", name, h.skipped)
		}
	}
	l.check()
}

// hearing is what a client of the tail has heard of.
type hearing struct {
	ledger *nodesLedger
	last   string // id, for its next connection

	mu sync.Mutex
	// messages and attempts count what came, by ids; delivered are messages.
	messages, attempts map[string]int
	delivered          map[string]bool
	skipped            int
}

func newHearing(l *nodesLedger) *hearing {
	return &hearing{ledger: l, messages: map[string]int{}, attempts: map[string]int{}, delivered: map[string]bool{}}
}

// hear listens to a node for some events, -1 for all there are, and goes on where it
// was. began gets a value when it listens.
func (h *hearing) hear(ctx context.Context, n *node, events int, began chan<- struct{}) {
	request, err := http.NewRequestWithContext(ctx, "GET", n.base+"/api/v1/tail?app_id="+h.ledger.app, nil)
	if err != nil {
		h.ledger.w.t.Error(err)
		return
	}
	request.Header.Set("Authorization", "Bearer "+adminKey)
	if h.last != "" {
		request.Header.Set("Last-Event-ID", h.last)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return // the test has ended, or the loop tries again
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for name := ""; events != 0 && lines.Scan(); {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			if h.last == "" {
				began <- struct{}{}
			}
			h.last = value
		case "event":
			name = value
		case "data":
			h.told(name, value)
			events--
		}
	}
}

// told notes one event.
func (h *hearing) told(name, data string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch name {
	case "message":
		h.messages[gjson.Get(data, "message.id").Str]++
	case "attempt":
		h.attempts[gjson.Get(data, "id").Str]++
		h.delivered[gjson.Get(data, "msgId").Str] = true
	case "skipped":
		h.skipped++
	}
}

// has reports whether it has heard of all these messages, and of their delivery.
func (h *hearing) has(known map[string]string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range maps.Values(known) {
		if h.messages[id] == 0 || !h.delivered[id] {
			return false
		}
	}
	return true
}

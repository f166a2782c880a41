package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// meddler changes things by hand while the server is killed: it pauses an
// endpoint and has it resume, and has deliveries made again. What was
// acknowledged of it has to last, like messages.
type meddler struct {
	w       *crashWorld
	random  *rand.Rand
	quit    chan struct{}
	done    sync.WaitGroup
	resends []resend
	pauses  int
	// paused is what the endpoint has to be, while known.
	paused, known bool
}

// resend is one that was acknowledged, and when it was asked for.
type resend struct {
	message string
	begun   time.Time
}

func newMeddler(w *crashWorld, random *rand.Rand) *meddler {
	m := &meddler{w: w, random: random, quit: make(chan struct{}), known: true}
	m.done.Go(m.run)
	return m
}

// run meddles until stop.
func (m *meddler) run() {
	c := newClient(m.w.t, "")
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-pace.C:
		case <-m.quit:
			return
		}
		c.base = *m.w.address.Load()
		if m.random.IntN(3) == 0 {
			m.pause(c)
		} else {
			m.resend(c)
		}
	}
}

// pause pauses the endpoint, or has it resume.
func (m *meddler) pause(c *client) {
	paused := m.random.IntN(2) == 0
	verb := map[bool]string{true: "/pause", false: "/resume"}[paused]
	r, err := c.try("POST", "/app/"+m.w.app+"/endpoint/"+m.w.endpoints["/paused"]+verb, nil)
	switch {
	case err != nil && !refusedToConnect(err):
		m.known = false
	case err == nil && r.status == 200:
		m.paused, m.known = paused, true
		m.pauses++
	case err == nil && r.status != 503:
		m.w.t.Errorf("%s: %d %s", verb, r.status, r.body)
	}
}

// refusedToConnect reports an error of a request that reached nobody.
func refusedToConnect(err error) bool { return strings.Contains(err.Error(), "connection refused") }

// resend has a message delivered again.
func (m *meddler) resend(c *client) {
	message := m.w.any(m.random)
	if message == "" {
		return
	}
	begun := time.Now()
	path := fmt.Sprintf("/app/%s/msg/%s/endpoint/%s/resend", m.w.app, message, m.w.endpoints["/resent"])
	r, err := c.try("POST", path, nil)
	switch {
	case err != nil:
	case r.status == 202:
		m.resends = append(m.resends, resend{message, begun})
	case r.status != 503:
		m.w.t.Errorf("resending: %d %s", r.status, r.body)
	}
}

// any is one of the acknowledged messages that go to the resent endpoint, ""
// for none yet.
func (w *crashWorld) any(random *rand.Rand) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	skip := random.IntN(20)
	for id, eventType := range w.acknowledged { // in no order
		if strings.HasPrefix(eventType, "order.") {
			if skip--; skip < 0 {
				return id
			}
		}
	}
	return ""
}

// stop ends the meddling.
func (m *meddler) stop() {
	close(m.quit)
	m.done.Wait()
}

// end lets all endpoints have what waits for them.
func (m *meddler) end() {
	m.w.t.Helper()
	path := "/app/" + m.w.app + "/endpoint/"
	var endpoint struct{ Paused bool }
	m.w.api.want(200, "GET", path+m.w.endpoints["/paused"], nil, &endpoint)
	if m.known && endpoint.Paused != m.paused {
		m.w.t.Errorf("the endpoint's pause is %t, acknowledged was %t", endpoint.Paused, m.paused)
	}
	m.w.api.want(200, "POST", path+m.w.endpoints["/paused"]+"/resume", nil, nil)
	for _, limited := range []string{"/limited", "/steady"} {
		m.w.api.want(200, "PATCH", path+m.w.endpoints[limited], object{"throttleRate": nil}, nil)
	}
}

// check waits until each resend that was acknowledged was followed by a
// delivery.
func (m *meddler) check() {
	m.w.t.Helper()
	var missing []string
	if holds(patience, func() bool {
		last := map[string]time.Time{}
		for _, r := range m.w.receiver.requests("/resent") {
			if r.status == 200 && r.start.After(last[r.id]) {
				last[r.id] = r.start
			}
		}
		missing = nil
		for _, r := range m.resends {
			if last[r.message].Before(r.begun) {
				missing = append(missing, r.message)
			}
		}
		return len(missing) == 0
	}) {
		return
	}
	m.w.t.Errorf("of %d resends %d were followed by no delivery, such as of %s", len(m.resends), len(missing), missing[0])
}

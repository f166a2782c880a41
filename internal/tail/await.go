package tail

import (
	"context"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// lookAgain is how often the store is asked about deliveries that may be another
// node's: of these nobody is stirred here.
const lookAgain = 5 * time.Second

// Standings tells how single deliveries stand; a store.Store does.
type Standings interface {
	Standing(ctx context.Context, d store.DeliveryKey) (store.Standing, error)
}

// Awaited are deliveries of one message whose outcomes somebody waits for.
type Awaited struct {
	Message    postern.MessageID
	Deliveries []store.DeliveryKey
	// Wait is how long, and Until when that is over by the clock of stored
	// times: a delivery whose next try comes later is not waited for.
	Wait  time.Duration
	Until time.Time
}

// Await reads how the deliveries stand now and again whenever something has
// become of one, until all have ended, or will not be tried within the wait. It
// returns a standing for each, as they were at the end: also when ctx is done,
// and with an error what was read until then.
func (h *Hub) Await(ctx context.Context, from Standings, of Awaited) ([]store.Standing, error) {
	stirred, stop := h.Wait(of.Message)
	defer stop()
	timer := time.NewTimer(of.Wait)
	defer timer.Stop()
	var elsewhere <-chan time.Time
	if h.others != nil {
		again := time.NewTicker(lookAgain)
		defer again.Stop()
		elsewhere = again.C
	}
	found := make([]store.Standing, len(of.Deliveries))
	for {
		open, err := look(ctx, from, of, found)
		if err != nil || !open {
			return found, err
		}
		select {
		case <-stirred:
			continue
		case <-elsewhere:
			continue
		case <-timer.C:
		case <-h.done:
		case <-ctx.Done():
		}
		_, err = look(context.WithoutCancel(ctx), from, of, found) // a last one, bounded as every read
		return found, err
	}
}

// look reads those deliveries that have not ended, and reports whether waiting
// may tell more.
func look(ctx context.Context, from Standings, of Awaited, found []store.Standing) (open bool, err error) {
	for i, key := range of.Deliveries {
		s := &found[i]
		if s.State.Final() {
			continue
		}
		if *s, err = from.Standing(ctx, key); err != nil {
			return false, err
		}
		open = open || !s.State.Final() && (s.Row == nil || s.Row.Next.Before(of.Until))
	}
	return open, nil
}

package pull

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern"
)

// TestNothingIsHeldForNobody has a request fail, or lose who made it, in the
// middle of its batch: what it had taken waits again.
func TestNothingIsHeldForNobody(t *testing.T) {
	left := errors.New("left")
	for name, test := range map[string]struct {
		random io.Reader
		leave  bool // while the second delivery is read
		want   error
	}{
		"no ids any more": {random: io.LimitReader(rand.Reader, 20), want: io.ErrUnexpectedEOF},
		"nobody there":    {random: rand.Reader, leave: true, want: left},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &lanes{t: t, queue: map[postern.EndpointNumber][]*delivery{}, attended: map[postern.EndpointNumber]bool{}}
				ctx, leave := context.WithCancelCause(t.Context())
				taken := 0
				take := func(ctx context.Context, n postern.EndpointNumber) (Taken, *postern.Content) {
					if taken++; taken == 2 && test.leave {
						leave(left)
					}
					return l.take(ctx, n)
				}
				l.book = New(Config{Take: take, Attend: l.attend, IDs: &postern.IDSource{Now: time.Now, Random: test.random}, Now: time.Now})
				defer l.book.Close()
				e := endpoint(1)
				l.publish(e, 5)
				leases, err := l.book.Lease(ctx, e, postern.LeaseRequest{Limit: 5, Wait: time.Second})
				if len(leases) != 0 || !errors.Is(err, test.want) {
					t.Errorf("%d leases, %v", len(leases), err)
				}
				if l.book.Held() != 0 || len(l.queue[1]) != 5 || len(l.book.held) != 0 {
					t.Errorf("%d are held (%v), %d wait", l.book.Held(), l.book.held, len(l.queue[1]))
				}
			})
		})
	}
}

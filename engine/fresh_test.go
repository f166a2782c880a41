package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Each gets a look that began after it came, and those that come together share
// one.
func TestLooksAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l looks
		var began atomic.Int64
		see := func() error {
			began.Add(1)
			time.Sleep(time.Second)
			return nil
		}
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 30 * time.Millisecond)
				came := began.Load()
				if err := l.do(t.Context(), see); err != nil {
					t.Error(err)
				}
				if began.Load() <= came {
					t.Errorf("caller %d has an older look", i)
				}
			})
		}
		all.Wait()
		if n := began.Load(); n > 6 {
			t.Errorf("%d looks for callers of three seconds", n)
		}
	})
}

// A look that panics fails those who wait for it, and none that comes later.
func TestLooksOutliveAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l looks
		var all sync.WaitGroup
		all.Go(func() {
			defer func() { _ = recover() }() // as net/http does
			_ = l.do(t.Context(), func() error { panic("looking") })
		})
		all.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		all.Go(func() {
			if err := l.do(ctx, func() error { return nil }); err != nil {
				t.Error(err)
			}
			if ctx.Err() != nil {
				t.Error("it waited for the one that panicked")
			}
		})
		all.Wait()
	})
}

// Who gives up does not wait for a look that hangs.
func TestLooksAreNotWaitedForByTheImpatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l looks
		var all sync.WaitGroup
		all.Go(func() { _ = l.do(t.Context(), func() error { time.Sleep(time.Minute); return nil }) })
		synctest.Wait()
		all.Go(func() { _ = l.do(t.Context(), func() error { return nil }) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.do(ctx, func() error { return nil }); err == nil {
			t.Error("it waited")
		}
		all.Wait()
	})
}

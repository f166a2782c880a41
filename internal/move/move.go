// Package move copies whole stores through the seam and proves that two hold the
// same.
//
// A copy takes what store.Mover exports in chunks, seals every secret anew under
// the target's key ring, and imports it. Where it stands is kept in the target, so
// that a second run goes on. The last chunk, without which nobody can serve from
// the target, is held back until both stores were read whole and compared, part by
// part, by count and checksum.
//
// Tallies, the counts and checksums of a store's parts, are also what a backup is
// checked by.
package move

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Store is what can be copied from and to.
type Store interface {
	store.Mover
	Head(ctx context.Context) (store.Head, error)
}

// Secrets seals and opens what rests sealed in a store.
type Secrets interface {
	Seal(plain []byte) (postern.Sealed, error)
	Open(sealed postern.Sealed) ([]byte, error)
}

// Side is one end of a copy. Nobody else may use its store meanwhile.
type Side struct {
	Store   Store
	Secrets Secrets
}

// Options of a copy.
type Options struct {
	From, To Side
	// Records and Bytes bound a chunk, which is one write of the target; 0 for
	// 1,000 and 1 MiB.
	Records, Bytes int
	// Now is the wall clock; nil for time.Now.
	Now func() time.Time
	// Told is called after each chunk with what was read so far; nil for nobody.
	Told func(Stage, *Tally)
}

// Stage is what a copy is about.
type Stage string

// The stages, in their order.
const (
	Copying       Stage = "copying"
	CheckingFrom  Stage = "reading the source again"
	CheckingTo    Stage = "reading the target back"
	defaultCount        = 1000
	defaultVolume       = 1 << 20
)

// Report is what a copy came to.
type Report struct {
	// Tally is of the target, and the same as the source's.
	Tally Tally
	// Copied counts the records that this run copied.
	Copied int64
	// Begun is when the first run began, and Resumed whether that was another one.
	Begun   time.Time
	Resumed bool
	// Already: the target held it all, and was only compared.
	Already bool
}

// Copy copies what From holds into To, which must be empty or hold what an earlier
// run left; else the error is of kind Conflict. Once it returns nil the two are
// the same and To is ready to be served from. After an error To is still half of a
// store, or as it was.
func Copy(ctx context.Context, o Options) (Report, error) {
	if o.Records == 0 {
		o.Records = defaultCount
	}
	if o.Bytes == 0 {
		o.Bytes = defaultVolume
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Told == nil {
		o.Told = func(Stage, *Tally) {}
	}
	head, err := o.From.Store.Head(ctx)
	if err != nil {
		return Report{}, err
	}
	c := copying{o: o, progress: store.Progress{Source: head, Begun: o.Now().UTC()}}
	if err := c.begin(ctx); err != nil {
		return c.report, err
	}
	if !c.report.Already {
		if err := c.copy(ctx); err != nil {
			return c.report, err
		}
	}
	if c.report.Tally, err = c.compare(ctx); err != nil || c.report.Already {
		return c.report, err
	}
	c.progress.Next = nil
	return c.report, o.To.Store.Import(ctx, &store.Batch{Head: head}, c.progress)
}

type copying struct {
	o        Options
	progress store.Progress
	report   Report
}

// begin finds out what an earlier run left.
func (c *copying) begin(ctx context.Context) error {
	c.report.Begun = c.progress.Begun
	earlier, under, err := c.o.To.Store.Moved(ctx)
	if err != nil {
		return err
	}
	if under {
		if !sameHead(earlier.Source, c.progress.Source) {
			return &postern.Error{Kind: postern.Conflict, Detail: "the target holds half of another copy, or the source was served from since: remove the target and begin anew"}
		}
		c.progress, c.report.Begun, c.report.Resumed = earlier, earlier.Begun, true
		return nil
	}
	head, err := c.o.To.Store.Head(ctx)
	c.report.Already = head.Batch > 0 && sameHead(head, c.progress.Source)
	return err
}

// copy imports all but the last chunk.
func (c *copying) copy(ctx context.Context) error {
	var read Tally
	q := store.ExportQuery{After: c.progress.Next, Records: c.o.Records, Bytes: c.o.Bytes}
	return c.o.From.Store.Export(ctx, q, func(b *store.Batch, next store.Cursor) error {
		if next == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := reseal(b, c.o.From.Secrets, c.o.To.Secrets); err != nil {
			return err
		}
		c.progress.Next = next
		if err := c.o.To.Store.Import(ctx, b, c.progress); err != nil {
			return err
		}
		c.report.Copied += read.count(b)
		c.o.Told(Copying, &read)
		return nil
	})
}

// compare reads both sides. The sums are of secrets in the clear, since those are
// sealed differently, and so under a key of this comparison alone.
func (c *copying) compare(ctx context.Context) (Tally, error) {
	key := make([]byte, 32)
	rand.Read(key)
	take := func(stage Stage, side Side) (Tally, error) {
		return Take(ctx, side.Store, TakeOptions{
			Key: key, Open: side.Secrets.Open, Told: func(t *Tally) { c.o.Told(stage, t) },
		})
	}
	from, err := take(CheckingFrom, c.o.From)
	if err != nil {
		return from, err
	}
	to, err := take(CheckingTo, c.o.To)
	if err != nil {
		return to, err
	}
	if differences := from.Differences(&to); len(differences) > 0 {
		return to, fmt.Errorf("the target differs from the source, and is not to be used:\n%s", strings.Join(differences, "\n"))
	}
	return to, nil
}

// sameHead compares what any driver keeps of a head to the last digit.
func sameHead(a, b store.Head) bool {
	return a.Batch == b.Batch && a.Next == b.Next && a.Low == b.Low && a.Rows == b.Rows &&
		a.Applications == b.Applications && a.Endpoints == b.Endpoints && a.LastTime.UnixMilli() == b.LastTime.UnixMilli()
}

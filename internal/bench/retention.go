package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/postern-dev/postern/internal/sweep"
)

const (
	// pastRetention is how many days ago the expired messages were stored: more than
	// the server keeps unless told otherwise.
	pastRetention = 40
	// lateShare of the expired messages wait for a retry when they go, and as many
	// for their first try.
	lateShare = 100
	// sweepLead is how long the load has been going on when the server looks for what
	// has expired.
	sweepLead  = 3 * time.Second
	folderStep = 2 * time.Second
	// The curves of a sample: deliveries, and the size of the store's folder.
	curveLoad   = "deliveries under load"
	curveFolder = "folder in MB after the load"
)

// late is an endpoint that is paused, and what waits for it: messages that are past
// retention.
type late struct {
	app, endpoint string
	count         int
}

// retention measures full speed while the server drops a day with many messages, of
// which some were never delivered. The control's store has none of them.
func retention(ctx context.Context, s *session) (Sample, error) {
	swept := time.Now().Add(sweep.First) // it started a moment ago
	sample := newSample()
	folder := filepath.Join(s.dir, storeName)
	before, err := folderSize(folder)
	if err != nil {
		return sample, err
	}
	if err := s.warm(ctx); err != nil {
		return sample, err
	}
	if err := pause(ctx, time.Until(swept.Add(-sweepLead))); err != nil {
		return sample, err
	}
	if sample, err = s.take(ctx); err != nil {
		return sample, err
	}
	got, err := s.received(ctx)
	if err != nil {
		return sample, err
	}
	sample.Figures[figureBefore] = float64(before) / megabyte
	curve, err := watchFolder(ctx, folder, time.Until(swept.Add(s.run.lasts(s.options))))
	if err != nil {
		return sample, err
	}
	sample.Curves = map[string]Curve{
		curveFolder: {StepSeconds: folderStep.Seconds(), Counts: curve},
		curveLoad:   newCurve(got.Paths[0].Curve),
	}
	after, err := folderSize(folder)
	if err != nil {
		return sample, err
	}
	sample.Figures[figureStore] = float64(after) / megabyte
	if s.template != nil && s.template.late.count > 0 {
		return sample, s.expire(ctx, &sample, s.template.late)
	}
	return sample, nil
}

// expire has the paused endpoint go on, and counts how many of its deliveries are told
// to have ended with their messages, before that and since.
func (s *session) expire(ctx context.Context, sample *Sample, l late) error {
	path := "/api/v1/app/" + l.app + "/endpoint/" + l.endpoint + "/resume"
	if err := s.server.call(ctx, http.MethodPost, path, nil, nil); err != nil {
		return err
	}
	for last, since := -1.0, time.Now(); ; {
		c, err := s.subject.counters(ctx)
		if err != nil {
			return err
		}
		if c.ended > last {
			last, since = c.ended, time.Now()
		}
		left := float64(l.count) - c.ended
		sample.Figures[figureExpired], sample.Figures[figureLate] = c.ended, left
		if left <= 0 && !(c.rows > 0) || time.Since(since) > s.options.Stall {
			known(sample.Figures)
			return nil
		}
		if err := pause(ctx, rowsPoll); err != nil {
			return err
		}
	}
}

// templateFor is the store that a measurement starts on; nil for an empty one. That
// of expired messages is made when a run first wants it.
func (b *bench) templateFor(ctx context.Context, r run, subject string) (*template, error) {
	if !r.expired || subject != subjectServer {
		return b.templates[subject], nil
	}
	if b.expired != nil {
		return b.expired, nil
	}
	began := time.Now()
	t := &template{dir: filepath.Join(b.dir, "template-expired")}
	if err := t.growOld(ctx, b.options, r.sized(b.options)); err != nil {
		return nil, fmt.Errorf("fill a store with expired messages: %w", err)
	}
	b.expired = t
	note(b.options.Progress, "filled   %s expired  (%s)\n", shortly(r.sized(b.options)), time.Since(began).Round(time.Second))
	return t, nil
}

// growOld makes a store of messages of one day that is past retention. A share of
// them is left over to an endpoint that is paused.
func (t *template) growOld(ctx context.Context, o Options, count int) error {
	return t.growOn(ctx, o, func(ctx context.Context) (*serverSubject, error) {
		return startPast(ctx, o, t.dir, sinceDay(time.Now(), pastRetention))
	}, func(s *session) error {
		few := max(1, count/lateShare)
		if err := s.store(ctx, max(1, count-2*few)); err != nil {
			return err
		}
		var err error
		t.late, err = s.leaveLate(ctx, few)
		return err
	})
}

// sinceDay is how long before now the day of so many days ago began, less an hour.
func sinceDay(now time.Time, days int) time.Duration {
	then := now.UTC().AddDate(0, 0, -days).Truncate(24 * time.Hour)
	return now.Sub(then.Add(time.Hour))
}

// leaveLate leaves retries, and as many deliveries that were never tried, to an
// endpoint that is paused: else the retries would be due when the clock goes right.
func (s *session) leaveLate(ctx context.Context, count int) (late, error) {
	app, id, err := s.newPending(ctx, count)
	if err != nil {
		return late{}, err
	}
	path := "/api/v1/app/" + app + "/endpoint/" + id + "/pause"
	if err := s.server.call(ctx, http.MethodPost, path, nil, nil); err != nil {
		return late{}, err
	}
	c, err := s.subject.counters(ctx)
	if err != nil {
		return late{}, err
	}
	cmd := publishCommand{Target: s.server.targetOf(app), Count: count, First: s.reserve(count)}
	sent, err := s.send(ctx, s.load, cmd)
	return late{app: app, endpoint: id, count: int(c.rows) + sent.Acked}, err
}

// watchFolder notes the size of a folder now and then.
func watchFolder(ctx context.Context, folder string, lasts time.Duration) ([]int, error) {
	var curve []int
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		size, err := folderSize(folder)
		if err != nil {
			return nil, err
		}
		curve = append(curve, int(size/megabyte))
		if err := pause(ctx, min(folderStep, time.Until(end))); err != nil {
			return nil, err
		}
	}
	return curve, nil
}

// folderSize adds up the files of a store but for its ballast. What goes meanwhile
// does not count.
func folderSize(folder string) (bytes int64, err error) {
	err = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil || !entry.Type().IsRegular() || entry.Name() == ballastFile {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			bytes += info.Size()
		} else if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	})
	return bytes, err
}

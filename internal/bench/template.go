package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// tableSuffix ends the names of the store's files that are never changed once
	// written: a copy may share them.
	tableSuffix = ".sst"
	// ballastFile holds disk space free and nothing else; each store makes its own.
	ballastFile = "ballast"
	// patience, in seconds, is a wait that no measurement sees the end of.
	patience = 36_000
	rowsPoll = 200 * time.Millisecond
)

// template is a store with history, filled once; measurements start on copies of it.
// It belongs to one goroutine.
type template struct {
	dir             string
	app             string // of the stored messages; the load goes there, too
	stored, pending int
	late            late // what is past retention and not delivered
}

// grow fills the store up to so many delivered messages and pending retries. The
// server that does it has ended in good order when it returns.
func (t *template) grow(ctx context.Context, o Options, stored, pending int) error {
	return t.growOn(ctx, o, func(ctx context.Context) (*serverSubject, error) {
		return startServer(ctx, o, t.dir, t.app)
	}, func(s *session) error {
		if err := s.store(ctx, stored-t.stored); err != nil {
			return err
		}
		t.stored = max(t.stored, stored)
		if err := s.leavePending(ctx, pending-t.pending); err != nil {
			return err
		}
		t.pending = max(t.pending, pending)
		return nil
	})
}

// growOn has a server that start starts fill the store, until it is quiet again.
func (t *template) growOn(ctx context.Context, o Options, start func(context.Context) (*serverSubject, error), fill func(*session) error) error {
	if err := os.MkdirAll(t.dir, 0o700); err != nil {
		return err
	}
	s := &session{options: o, dir: t.dir, run: run{endpoints: 0}, as: subjectServer}
	defer s.stop()
	server, err := start(ctx)
	if err != nil {
		return err
	}
	s.server, s.subject = server, server
	if s.receiver, s.addrs, err = startRole(ctx, roleReceiver, o.Exe, o.CPUs, "--listeners", "1"); err != nil {
		return err
	}
	if s.load, _, err = startRole(ctx, roleLoad, o.Exe, o.CPUs); err != nil {
		return err
	}
	t.app = server.app
	if err := fill(s); err != nil {
		return err
	}
	if o.database != nil {
		if err := o.database.vacuum(ctx, t.dir); err != nil {
			return err
		}
	}
	_, err = s.quiet(ctx)
	return err
}

// store has count messages delivered to an endpoint that is deleted afterwards.
func (s *session) store(ctx context.Context, count int) error {
	if count <= 0 {
		return nil
	}
	id, err := s.server.newEndpoint(ctx, s.server.app, endpoint{URL: s.url(kindFast, 0)})
	if err != nil {
		return err
	}
	s.endpoints = 1
	if err := s.fill(ctx, count); err != nil {
		return err
	}
	s.endpoints = 0
	return s.server.disconnect(ctx, s.server.app, id)
}

// leavePending leaves count more retries that are not due for hours, in an
// application of their own. Their endpoint answers now and then, so that it is not
// taken for one that is down.
func (s *session) leavePending(ctx context.Context, count int) error {
	if count <= 0 {
		return nil
	}
	_, _, err := s.newPending(ctx, count)
	return err
}

// newPending is leavePending, and returns the application and its endpoint.
func (s *session) newPending(ctx context.Context, count int) (app, id string, err error) {
	if app, err = s.server.newApplication(ctx, "pending"); err != nil {
		return "", "", err
	}
	flaky := endpoint{URL: s.url(kindFlaky, 0), RetrySchedule: []int{patience, patience}}
	if id, err = s.server.newEndpoint(ctx, app, flaky); err != nil {
		return "", "", err
	}
	before, err := s.subject.counters(ctx)
	if err != nil {
		return "", "", err
	}
	// With a whole round more than needed, wherever the flaky one's count stands.
	messages := count*flakyEvery/(flakyEvery-1) + flakyEvery
	cmd := publishCommand{Target: s.server.targetOf(app), Count: messages, First: s.reserve(messages)}
	if _, err := s.send(ctx, s.load, cmd); err != nil {
		return "", "", err
	}
	return app, id, s.awaitRows(ctx, before.rows+float64(count), before.attempts+float64(messages))
}

// awaitRows waits until so many deliveries wait for a retry, and so many attempts have
// ended: none of them becomes another row. A server that does not tell is believed.
func (s *session) awaitRows(ctx context.Context, want, attempts float64) error {
	last, since := -1.0, time.Now()
	for {
		c, err := s.subject.counters(ctx)
		if err != nil {
			return err
		}
		switch {
		case math.IsNaN(c.rows) || c.rows >= want && !(c.attempts < attempts):
			return nil
		case c.rows > last:
			last, since = c.rows, time.Now()
		case time.Since(since) > s.options.Stall:
			return fmt.Errorf("%.0f of %.0f retries are pending, and no more come", c.rows, want)
		}
		if err := pause(ctx, rowsPoll); err != nil {
			return err
		}
	}
}

// copyTo makes the store of another folder a copy of this one.
func (t *template) copyTo(ctx context.Context, o Options, dir string) error {
	if o.database != nil {
		return o.database.copy(ctx, t.dir, dir)
	}
	from := filepath.Join(t.dir, storeName)
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rest, err := filepath.Rel(t.dir, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, rest)
		switch {
		case entry.IsDir():
			return os.Mkdir(to, 0o700)
		case !entry.Type().IsRegular() || entry.Name() == ballastFile:
			return nil
		case strings.HasSuffix(entry.Name(), tableSuffix) && os.Link(path, to) == nil: //nolint:gosec // the folder is the bench's own
			return nil
		}
		return copyFile(path, to)
	})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() // only read
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/postern-dev/postern/internal/config"
)

// demoCmd runs the whole story once.
type demoCmd struct {
	JSON bool `help:"Print one JSON document instead."`
}

const (
	// demoTimeout is when a story that hangs has failed; one that holds takes
	// as long as its one retry.
	demoTimeout = 12 * time.Second
	// demoRetries lets a delivery that failed succeed soon, and once more for a
	// machine that is busy.
	demoRetries = "1s,1s,1s"
	// loopback is what a receiver on this machine needs opened.
	loopback = "127.0.0.0/8,::1/128"
)

// Run tells the story, and fails with what was expected if a step of it does
// not hold. It leaves nothing behind.
func (c *demoCmd) Run(ctx context.Context, p *Program) error {
	told := &narrator{out: p.Stdout}
	if c.JSON {
		told.out = io.Discard
	}
	started := time.Now()
	var report demoReport
	err := p.demo(ctx, told, &report)
	report.OK, report.Seconds = err == nil, time.Since(started).Seconds()
	if err != nil {
		report.Failure = err.Error()
	}
	if c.JSON {
		return errors.Join(err, printJSON(p.Stdout, report))
	}
	if err == nil {
		told.line("")
		told.line("Everything held, in %.1f s. Nothing is left behind; to try it yourself: postern serve --demo", report.Seconds)
	}
	return errors.Join(err, told.failed)
}

// demo tells the story on a server and a receiver of its own, which are gone
// when it returns.
func (p *Program) demo(ctx context.Context, told *narrator, report *demoReport) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, demoTimeout, fmt.Errorf("the story was not over after %s", demoTimeout))
	defer cancel()
	dir, err := os.MkdirTemp("", "postern-demo-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	key := rand.Text()
	// No variable and no file has a say: the story is the same everywhere.
	settings, err := config.Load(config.Input{PresetOrigin: "demo", Preset: map[string]string{
		"listen": "127.0.0.1:0", "store": "file:" + dir, "admin-key": key, "egress-allow": loopback,
		"retry-schedule": demoRetries, "log-level": "warn",
	}})
	if err != nil {
		return err
	}
	s, err := openServer(ctx, settings, p.Version, p.newLogger(settings))
	if err != nil {
		return err
	}
	st := newStory(newCaller(s.url(), key), told, report)
	// The server runs as long as the story is told, not as long as it may take.
	running, stop := context.WithCancel(ctx)
	defer stop()
	var failure error
	err = s.run(running, func(ctx context.Context) error {
		defer stop() // the server's end, once the story is told
		failure = p.withReceiver(ctx, st)
		return nil
	})
	return errors.Join(failure, err)
}

// withReceiver tells the story while a receiver of deliveries listens.
func (p *Program) withReceiver(ctx context.Context, st *story) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: st.receiver, ReadHeaderTimeout: headerTimeout}
	done := make(chan struct{})
	go func() { // waited for below
		defer close(done)
		_ = server.Serve(listener) // ends with Close; before that the deliveries would show it
	}()
	err = st.tell(ctx, "http://"+listener.Addr().String())
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (%w)", err, cause)
	}
	_ = server.Close() // what is cut off has no more to tell
	<-done
	return err
}

// narrator prints lines as things happen. The first line that cannot be
// written is kept in failed, and silences it.
type narrator struct {
	out    io.Writer
	failed error
}

// line prints one line.
func (n *narrator) line(format string, args ...any) {
	if n.failed == nil {
		_, n.failed = fmt.Fprintf(n.out, format+"\n", args...)
	}
}

// printJSON writes a document for people and programs.
func printJSON(out io.Writer, document any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(document)
}

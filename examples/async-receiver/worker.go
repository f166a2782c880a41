package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"sync"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/engine"
)

// worker does in the background what a webhook asks for.
type worker struct {
	eng      *engine.Engine
	services string
	log      *log.Logger
}

// release is what is read of GitHub's payload.
type release struct {
	Action  string `json:"action"`
	Release struct {
		Tag string `json:"tag_name"`
	} `json:"release"`
}

// answer is what a service said.
type answer struct {
	Service string `json:"service"`
	Says    string `json:"says"`
}

// released is called for every release event, after GitHub has had its answer,
// and again until it returns nil: when it fails, and when the program died.
func (w *worker) released(ctx context.Context, msg engine.MessageOf[release]) error {
	if msg.Data.Action != "published" {
		return nil
	}
	w.log.Printf("release %s, attempt %d: %s", msg.Data.Release.Tag, msg.Attempt, msg.ID)
	answers, err := w.ask(ctx, msg.Message, "scan", "licences")
	if err != nil {
		return err
	}
	return w.announce(ctx, msg, answers)
}

// ask posts to services side by side and gathers their answers, as one would
// without an engine: they are all tried again when one of them fails.
func (w *worker) ask(ctx context.Context, msg *engine.Message, services ...string) ([]answer, error) {
	answers, errs := make([]answer, len(services)), make([]error, len(services))
	var all sync.WaitGroup
	for i, name := range services {
		all.Go(func() { answers[i], errs[i] = w.post(ctx, msg, name) })
	}
	all.Wait()
	for _, a := range answers {
		if a.Says != "" {
			w.log.Printf("  %s says: %s", a.Service, a.Says)
		}
	}
	return answers, errors.Join(errs...)
}

// post asks one service.
func (w *worker) post(ctx context.Context, msg *engine.Message, name string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.services+"/"+name, bytes.NewReader(msg.Payload))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", msg.ContentType)
	req.Header.Set("Idempotency-Key", msg.ID.String()) // the same in every attempt
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s", name, res.Status)
	}
	if err != nil {
		return answer{}, err
	}
	return answer{name, string(body)}, nil
}

// announce publishes what was found, and gathers what became of it at every
// endpoint that listens. Each has retries and a history of its own, so that
// one that fails is no reason to tell the others again.
func (w *worker) announce(ctx context.Context, msg engine.MessageOf[release], answers []answer) error {
	payload, err := json.Marshal(map[string]any{"tag": msg.Data.Release.Tag, "answers": answers})
	if err != nil {
		return postern.Permanent(err)
	}
	const patience = 6 * time.Second // the first retry included
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, outcomes, err := w.eng.PublishWait(ctx, postern.Publish{
		EventType: "release.checked", Payload: payload,
		EventID: "checked-" + msg.ID.String(), // a later attempt finds the first one's message
	})
	if err != nil {
		return err
	}
	for _, o := range outcomes {
		w.log.Printf("  %s: %v, attempts: %d", o.Endpoint.UID, o.State, o.Attempts)
	}
	w.log.Printf("release %s is done", msg.Data.Release.Tag)
	return nil
}

// tellFailures shows what handlers return, which the engine keeps to its history.
func (w *worker) tellFailures(next engine.HandlerFunc) engine.HandlerFunc {
	return func(ctx context.Context, msg *engine.Message) error {
		err := next(ctx, msg)
		if err != nil {
			w.log.Printf("  attempt %d failed: %v", msg.Attempt, err)
		}
		return err
	}
}

// standIn plays the services, slowly.
func standIn(out *log.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out.Printf("    (%s is asked)", r.PathValue("name"))
		select {
		case <-time.After(2 * time.Second):
			fmt.Fprint(w, "fine")
		case <-r.Context().Done():
		}
	}
}

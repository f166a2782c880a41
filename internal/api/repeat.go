package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/http"
	"strings"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// A POST with an idempotency key is answered once: who repeats it under the same
// credential, key and URI gets the first one's answer, and who repeats it while
// that is under way waits for it. Bodies are not compared. What was refused is
// not kept, so that it can be tried again.
//
// Keys that a caller chose are kept for 12 hours: with a message in its own
// batch, else in one that follows the change and is synced before the answer
// goes out. A crash between the two leaves a change whose repetition is run
// anew. Copies that reach two nodes at once go one after the other. Keys that begin
// with auto_, which SDKs make up for each request, live in memory for minutes, are
// bounded, and are lost with the process.

const (
	maxKey     = 256
	autoPrefix = "auto_"
)

// repeatable runs an operation that its caller may repeat, or answers as it was
// answered before.
func (h *handler) repeatable(c *call, o *operation, keys []string) error {
	if len(keys) != 1 || !validKey(keys[0]) {
		return &postern.Error{Kind: postern.Invalid, Fields: []postern.FieldError{{
			Loc: []string{"header", "idempotency-key"}, Type: "value_error", Msg: "must be one of 1 to 256 printable ASCII characters",
		}}}
	}
	digest, auto := requestDigest(c.r, keys[0]), strings.HasPrefix(keys[0], autoPrefix)
	ctx := c.r.Context()
	for {
		other := h.answered.reserve(digest)
		if other == nil {
			break
		}
		select {
		case <-other:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := h.askAgain(c); err != nil {
			return err
		}
	}
	defer h.answered.release(digest)
	if !auto && o.access != publish { // a message's record is stored with it, once
		release, err := h.Repeats.Alone(ctx, digest)
		if err != nil {
			return err
		}
		defer release()
	}
	record, known, err := h.recall(ctx, digest, auto)
	if err != nil {
		return err
	}
	if known {
		if err := h.repeat(c, &record); !errors.Is(err, postern.ErrNotFound) {
			return err
		} // the message is gone, with the application that it was in
	}
	err = h.first(c, o, digest, auto)
	if known, ok := errors.AsType[*postern.Error](err); ok && known.Code == store.CodeRepeated {
		// Another node was faster, and its answer is there.
		if record, found, again := h.recall(ctx, digest, auto); again == nil && found {
			return h.repeat(c, &record)
		}
	}
	return err
}

// recall looks for the answer to an earlier copy.
func (h *handler) recall(ctx context.Context, digest store.Digest, auto bool) (store.DedupeRecord, bool, error) {
	if !auto {
		return h.Repeats.Repeated(ctx, digest)
	}
	record, known := h.answered.find(digest, h.Now())
	return record, known, nil
}

// first runs the operation and keeps its answer before it goes out. It goes on
// when the caller goes away: that is when the answer will be asked for again.
func (h *handler) first(c *call, o *operation, digest store.Digest, auto bool) error {
	held := &heldAnswer{ResponseWriter: c.w}
	ctx := context.WithoutCancel(c.r.Context())
	c.w, c.r = held, c.r.WithContext(ctx)
	if !auto {
		c.digest = digest
	}
	err := o.run(h, c)
	c.w = held.ResponseWriter
	if err != nil {
		return err
	}
	if c.status < 300 {
		record := store.DedupeRecord{Scope: store.ScopeIdempotency, Digest: digest, Message: c.published, Status: c.status}
		if err := h.keep(ctx, &record, held.body, auto); err != nil {
			// What was asked for is done, and to say so is worth more.
			h.logFailure(c, o.name, err)
		}
	}
	c.w.WriteHeader(c.status)
	_, _ = c.w.Write(held.body) // what fails is the connection
	return nil
}

// keep remembers an answer. That of a message is made of it again; all others
// are sealed, since some hold a credential, and with their digest, so that none
// can be moved to where another would be read.
func (h *handler) keep(ctx context.Context, record *store.DedupeRecord, body []byte, auto bool) error {
	if record.Message.IsZero() {
		sealed, err := h.Secrets.Seal(append(record.Digest[:len(record.Digest):len(record.Digest)], body...))
		if err != nil {
			return err
		}
		record.Answer = sealed
	}
	switch {
	case auto:
		h.answered.keep(record, h.Now())
	case record.Answer != nil:
		return h.Repeats.KeepAnswer(ctx, *record)
	}
	return nil
}

// repeat answers as the first copy was answered.
func (h *handler) repeat(c *call, record *store.DedupeRecord) error {
	c.status = record.Status
	if record.Answer == nil {
		return h.repeatMessage(c, record.Message)
	}
	plain, err := h.Secrets.Open(record.Answer)
	if err != nil {
		return err
	}
	body, ok := bytes.CutPrefix(plain, record.Digest[:])
	if !ok {
		return errors.New("api: a kept answer is another request's")
	}
	if len(body) == 0 {
		c.w.WriteHeader(c.status)
		return nil
	}
	c.answer.Reset()
	c.answer.Write(body)
	h.send(c)
	return nil
}

// repeatMessage answers a second publish with the first one's message.
func (h *handler) repeatMessage(c *call, id postern.MessageID) error {
	if c.app == nil { // it is gone, and is brought along once more
		return postern.ErrNotFound
	}
	withContent, err := c.withContent()
	if err != nil {
		return err
	}
	wait, err := c.wait()
	if err != nil {
		return err
	}
	m, err := h.History.Message(c.r.Context(), c.app.Number, id)
	if err != nil {
		return err
	}
	out, err := h.renderMessage(c, m, withContent)
	if err != nil {
		return err
	}
	c.answer.Write(out)
	h.sendMessage(c, m, wait)
	return nil
}

// requestDigest tells requests apart: two are the same when credential, key,
// method and URI are.
func requestDigest(r *http.Request, key string) store.Digest {
	var stack [512]byte
	text := stack[:0]
	for _, part := range [...]string{r.Header.Get("Authorization"), key, r.Method, r.URL.RequestURI()} {
		text = append(binary.AppendUvarint(text, uint64(len(part))), part...)
	}
	sum := sha256.Sum256(text)
	return store.Digest(sum[:16])
}

// validKey bounds what is hashed, and keeps out what no header should hold.
func validKey(key string) bool {
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return false
		}
	}
	return key != "" && len(key) <= maxKey
}

// heldAnswer holds an answer back until it is kept.
type heldAnswer struct {
	http.ResponseWriter
	body []byte
}

// WriteHeader implements http.ResponseWriter; the call knows the status.
func (a *heldAnswer) WriteHeader(int) {}

// Write implements http.ResponseWriter.
func (a *heldAnswer) Write(p []byte) (int, error) {
	a.body = append(a.body, p...)
	return len(p), nil
}

// Unwrap is for http.ResponseController.
func (a *heldAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

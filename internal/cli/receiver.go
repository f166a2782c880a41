package cli

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/postern-dev/postern/sign"
)

// maxDelivery bounds what the receiver reads of a delivery, in bytes: what a
// source takes unless told otherwise, and some room.
const maxDelivery = 32 << 20

// receiver is what a user of webhooks writes: it checks the signature over the
// raw body before it believes anything, and answers quickly.
type receiver struct {
	// keys are those that may sign for a path; set before the first delivery.
	keys atomic.Pointer[map[string]sign.Key]
	// answer chooses the status for a delivery whose signature is right. It is
	// called by many goroutines.
	answer func(*arrival) int
	// arrived is told of each delivery before it is answered, also by many.
	arrived func(*arrival)
}

// arrival is one delivery as the receiver saw it.
type arrival struct {
	At     time.Time
	Path   string
	Header http.Header
	Body   []byte
	// Signature is nil for one that is right, else what is wrong with it.
	Signature error
	// Status is what it is answered with.
	Status int
}

// MessageID is the message that the delivery says it carries.
func (a *arrival) MessageID() string { return a.Header.Get("Webhook-Id") }

// use sets the keys by path.
func (r *receiver) use(keys map[string]sign.Key) { r.keys.Store(&keys) }

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "deliveries are posted here", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxDelivery))
	if err != nil {
		http.Error(w, "the body is too large, or broke off", http.StatusBadRequest)
		return
	}
	a := &arrival{At: time.Now(), Path: req.URL.Path, Header: req.Header.Clone(), Body: body}
	a.Signature = r.check(a)
	a.Status = http.StatusUnauthorized
	if a.Signature == nil {
		a.Status = r.answer(a)
	}
	r.arrived(a)
	w.WriteHeader(a.Status)
}

// check verifies a delivery with the official library of Standard Webhooks, as
// a receiver that knows nothing of Postern would.
func (r *receiver) check(a *arrival) error {
	keys := r.keys.Load()
	if keys == nil {
		return errNoKey
	}
	key, ok := (*keys)[a.Path]
	if !ok {
		return errNoKey
	}
	webhook, err := standardwebhooks.NewWebhook(key.Reveal())
	if err != nil {
		return err
	}
	return webhook.Verify(a.Body, a.Header)
}

var errNoKey = errors.New("nobody signs for this path")

// excerpt is the beginning of a payload for one line of a terminal: anything
// that is not printable shows as a dot.
func excerpt(payload []byte, limit int) string {
	text := string(bytes.ToValidUTF8(payload[:min(len(payload), limit)], []byte("."))) // may end within a character
	clean := make([]rune, 0, len(text))
	for _, r := range text {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x2028 && r <= 0x202e {
			r = '.'
		}
		clean = append(clean, r)
	}
	if len(payload) > limit {
		return string(clean) + "..."
	}
	return string(clean)
}

package client

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/postern-dev/postern"
)

// Source is an inbound address for a provider.
type Source struct {
	ID       postern.SourceID `json:"id"`
	UID      string           `json:"uid"` // "" for none
	Name     string           `json:"name"`
	Provider string           `json:"provider"`
	// IngestURL is what the provider is given. It is a credential: keys that
	// may only read see it masked.
	IngestURL       string            `json:"ingestUrl"`
	Config          map[string]string `json:"config"`
	EventTypePrefix string            `json:"eventTypePrefix"`
	// EventTypes gives event types by the provider's names.
	EventTypes map[string]string `json:"eventTypes"`
	Methods    []string          `json:"methods"`
	// Answer is the status of success; 0 for the provider's own. AnswerBody, as
	// AnswerContentType, is said with it; "" for the provider's.
	Answer            int    `json:"answer"`
	AnswerBody        string `json:"answerBody"`
	AnswerContentType string `json:"answerContentType"`
	// Forward passes on the requests' headers; where ForwardHeaders has any,
	// only these.
	Forward        bool      `json:"forward"`
	ForwardHeaders []string  `json:"forwardHeaders"`
	DedupeBody     bool      `json:"dedupeBody"`
	Paused         bool      `json:"paused"`
	CreatedAt      time.Time `json:"createdAt"`
	UpdatedAt      time.Time `json:"updatedAt"`
}

// SourceIn is a source to make or to replace. Name and Provider are needed, and
// Secrets where the provider signs; a replacement without them keeps the old.
type SourceIn struct {
	Name            string            `json:"name"`
	UID             string            `json:"uid,omitempty"`
	Provider        string            `json:"provider"`
	Secrets         []string          `json:"secrets,omitempty"`
	Config          map[string]string `json:"config,omitempty"`
	EventTypePrefix string            `json:"eventTypePrefix,omitempty"`
	EventTypes      map[string]string `json:"eventTypes,omitempty"`
	Methods         []string          `json:"methods,omitempty"`
	Answer          int               `json:"answer,omitempty"`
	// AnswerBody and AnswerContentType are as a Source's.
	AnswerBody        string   `json:"answerBody,omitempty"`
	AnswerContentType string   `json:"answerContentType,omitempty"`
	Forward           bool     `json:"forward,omitempty"`
	ForwardHeaders    []string `json:"forwardHeaders,omitempty"`
	DedupeBody        bool     `json:"dedupeBody,omitempty"`
}

// Sources are those of applications.
type Sources struct{ c *Client }

// List reads a page, the newest first unless told otherwise.
func (s Sources) List(ctx context.Context, app string, p Page) (*List[Source], error) {
	return list[Source](ctx, s.c, path("app", app, "source"), p.values())
}

// All walks all sources of an application.
func (s Sources) All(ctx context.Context, app string, p Page) iter.Seq2[Source, error] {
	return all[Source](ctx, s.c, path("app", app, "source"), p.values())
}

// Create makes one, with the address for its provider.
func (s Sources) Create(ctx context.Context, app string, in SourceIn) (*Source, error) {
	return call[Source](ctx, s.c, request{method: http.MethodPost, path: path("app", app, "source"), body: in})
}

// Get finds one.
func (s Sources) Get(ctx context.Context, app, source string) (*Source, error) {
	return call[Source](ctx, s.c, request{method: http.MethodGet, path: path("app", app, "source", source)})
}

// Put replaces one, or makes one whose uid is source.
func (s Sources) Put(ctx context.Context, app, source string, in SourceIn) (*Source, error) {
	return call[Source](ctx, s.c, request{method: http.MethodPut, path: path("app", app, "source", source), body: in})
}

// Patch changes what is given.
func (s Sources) Patch(ctx context.Context, app, source string, changes Patch) (*Source, error) {
	return call[Source](ctx, s.c, request{method: http.MethodPatch, path: path("app", app, "source", source), body: changes})
}

// Delete makes its address unknown; its messages stay.
func (s Sources) Delete(ctx context.Context, app, source string) error {
	_, err := call[struct{}](ctx, s.c, request{method: http.MethodDelete, path: path("app", app, "source", source)})
	return err
}

// Pause has it take nothing in.
func (s Sources) Pause(ctx context.Context, app, source string) (*Source, error) {
	return call[Source](ctx, s.c, request{method: http.MethodPost, path: path("app", app, "source", source, "pause")})
}

// Resume has it take in again.
func (s Sources) Resume(ctx context.Context, app, source string) (*Source, error) {
	return call[Source](ctx, s.c, request{method: http.MethodPost, path: path("app", app, "source", source, "resume")})
}

// Secret is what its provider delivered in a handshake; not found where there
// was none.
func (s Sources) Secret(ctx context.Context, app, source string) (string, error) {
	out, err := call[struct {
		Key string `json:"key"`
	}](ctx, s.c, request{method: http.MethodGet, path: path("app", app, "source", source, "secret")})
	if err != nil {
		return "", err
	}
	return out.Key, nil
}

// RotateSecret has it accept a new secret, and the one before until the next
// rotation.
func (s Sources) RotateSecret(ctx context.Context, app, source, secret string) error {
	_, err := call[struct{}](ctx, s.c, request{
		method: http.MethodPost, path: path("app", app, "source", source, "secret", "rotate"), body: Patch{"key": secret},
	})
	return err
}

// Refusal is an inbound request that did not verify.
type Refusal struct {
	ID          postern.RefusalID `json:"id"`
	SourceID    postern.SourceID  `json:"sourceId"`
	Reason      string            `json:"reason"`
	Detail      string            `json:"detail"`
	Timestamp   time.Time         `json:"timestamp"`
	ContentType string            `json:"contentType"`
	Request     InboundRequest    `json:"request"`
	// Body is the body as text, BodyBase64 one that is not UTF-8; both nil in
	// lists.
	Body          *string `json:"body"`
	BodyBase64    *string `json:"bodyBase64"`
	BodyTruncated bool    `json:"bodyTruncated"`
	// MessageID is the message that it was released as; nil until then.
	MessageID *postern.MessageID `json:"messageId"`
}

// Verification is what came of checking a refused request once more.
type Verification struct {
	Verified bool `json:"verified"`
	// Reason and Detail say why not; "" for one that verifies.
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// Release is what a refused request has become.
type Release struct {
	MessageID postern.MessageID `json:"messageId"`
	// Duplicate: it had already; it was released before, or came in once more
	// and verified.
	Duplicate bool `json:"duplicate"`
	Verification
}

// InboundRequest is a request but for its body. Credentials are masked.
type InboundRequest struct {
	Method     string   `json:"method"`
	Path       string   `json:"path"`
	Query      string   `json:"query"`
	Headers    []Header `json:"headers"`
	RemoteAddr string   `json:"remoteAddr"`
}

// Header is one field of a request.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Refusals are those of sources.
type Refusals struct{ c *Client }

// All walks a source's refusals, the newest first unless told otherwise.
func (r Refusals) All(ctx context.Context, app, source string, p Page) iter.Seq2[Refusal, error] {
	return all[Refusal](ctx, r.c, path("app", app, "source", source, "refusal"), p.values())
}

// Get finds one, with its body.
func (r Refusals) Get(ctx context.Context, app, source, refusal string) (*Refusal, error) {
	return call[Refusal](ctx, r.c, request{method: http.MethodGet, path: path("app", app, "source", source, "refusal", refusal)})
}

// Verify checks one against its source as it is now. ErrConflict for one whose
// body was not kept whole.
func (r Refusals) Verify(ctx context.Context, app, source, refusal string) (*Verification, error) {
	return call[Verification](ctx, r.c, request{method: http.MethodPost, path: path("app", app, "source", source, "refusal", refusal, "verify")})
}

// Release publishes one as a message, whether or not it verifies now: once,
// however often it is called. Errors are as Verify's.
func (r Refusals) Release(ctx context.Context, app, source, refusal string) (*Release, error) {
	return call[Release](ctx, r.c, request{method: http.MethodPost, path: path("app", app, "source", source, "refusal", refusal, "release")})
}

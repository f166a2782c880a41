// Package intake takes inbound webhooks: it finds the source of a request,
// verifies the request and publishes it as a message.
//
// What a sender may rely on:
//
//   - 2xx is answered only once the message is durable. A second copy within
//     24 hours is answered as the first one was, with the same id.
//   - 503 and 500 mean "send it again": nothing was wrong with the request. A
//     paused source answers 503, because senders retry it and would give up on
//     a 4xx; those that never retry lose what they send meanwhile.
//   - 401, or what the provider's definition has in its place, is one and the
//     same answer whatever did not verify. Why is kept as a refusal for the
//     source's owner, and never told to the sender.
//   - Handshakes are answered as the provider demands, and are no messages.
//   - There are no redirects and no cookies. A path that is not exactly
//     /in/TOKEN is 404, a slash at its end included.
//
// What the operator may rely on: nothing of a request is looked at before it is
// bounded, duplicates are looked for only after the signature has been checked,
// a body that broke off leaves nothing behind, and refusals of a flood are
// counted but not all written. The token is a credential: no log line has it,
// and what is kept of a request has [MaskedToken] in its place. So it is with
// what a request is believed for word for word, a shared token or a password in
// a header or the query: it is kept of refusals alone, sealed.
package intake

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/verify"
)

// Prefix is the path that source tokens stand behind.
const Prefix = "/in/"

// Defaults and fixed bounds.
const (
	// DefaultMaxBody bounds a body in bytes.
	DefaultMaxBody = 25 << 20
	// DefaultBodyTimeout is how long a body may take to arrive.
	DefaultBodyTimeout = time.Minute
	// DuplicateWindow is how long a second copy is recognised.
	DuplicateWindow = 24 * time.Hour

	// maxToken is far above a token's length: what is longer is not hashed.
	maxToken = 128
	// maxEventType is the longest event type there is.
	maxEventType = 256
)

// Sources finds sources.
type Sources interface {
	// SourceByTokenHash finds by SHA-256 of the token, paused ones included;
	// nil for none. A record is never changed: a changed source is another
	// pointer, which is how intake knows that it has to look again.
	SourceByTokenHash(hash [32]byte) *postern.Source
}

// Secrets opens the secrets of sources, and seals credentials of refused requests.
type Secrets interface {
	Seal(plain []byte) (postern.Sealed, error)
	Open(sealed postern.Sealed) ([]byte, error)
}

// Publisher accepts messages.
type Publisher interface {
	// Publish returns the message once it is durable, or with duplicate true
	// the first copy of it.
	Publish(ctx context.Context, in postern.Publish) (m *postern.Message, duplicate bool, err error)
}

// Refusals keeps refusals; a [Quota] does, within its bounds.
type Refusals interface {
	// Refuse returns once the refusal, which is its own from then on, is kept.
	Refuse(ctx context.Context, r *postern.Refusal) error
}

// EventTypes is the catalogue of event types.
type EventTypes interface {
	// DeclareEventType describes a type unless it is known.
	DeclareEventType(ctx context.Context, name, description string) error
}

// Config is what intake needs of the rest.
type Config struct {
	// These are required; IDs names refusals.
	Sources    Sources
	Secrets    Secrets
	Publisher  Publisher
	Refusals   Refusals
	EventTypes EventTypes
	IDs        *postern.IDSource

	// Delivered keeps secrets of handshakes, Fetch confirms subscriptions and
	// fetches keys: it decides what it does not reach. Without them a source that
	// needs one answers 500.
	Delivered Delivered
	Fetch     verify.Fetcher
	// Providers are the definitions that sources name; nil for the built-in ones.
	Providers *verify.Catalogue
	// Admit is asked before a body is read, given its length or -1: overload is
	// refused while it is cheap, with an error of kind Unavailable. Optional.
	Admit func(size int64) error
	// Fresh has what other nodes have changed be known, and bounds by itself how
	// long it takes. It is asked before a token is said to be nobody's, and before a
	// request is refused. Optional.
	Fresh func(ctx context.Context) error
	// MaxBody bounds a body in bytes; 0 for DefaultMaxBody.
	MaxBody int64
	// BodyTimeout bounds the time a body may take; 0 for DefaultBodyTimeout.
	BodyTimeout time.Duration
	// PublicURL is how the outside reaches us, without a slash at its end. What
	// a request says of its own host is not believed: without PublicURL,
	// providers that sign the URL are refused.
	PublicURL string
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// Now is the receiver's clock; nil for time.Now.
	Now func() time.Time
	// Logger gets what went wrong on our side; nil for silence.
	Logger *slog.Logger
	// Duplicate is told of each second copy, Refused of each request that did
	// not verify, with a word of verify.Reasons, Handshake of each that was
	// answered, with its kind. Optional.
	Duplicate func()
	Refused   func(reason string)
	Handshake func(kind string)
}

// Log keys.
const (
	logError     = "error"
	logSource    = "source"
	logProvider  = "provider"
	logEventType = "event_type"
	logHandshake = "handshake"
)

// Handler takes inbound requests, and looks at refused ones once more. It is
// safe for concurrent use.
type Handler struct {
	Config
	gates  gates
	misses *rate.Limiter
}

// New returns the handler of everything below Prefix. Hand it requests with
// their whole path and by prefix: an http.ServeMux in front would redirect
// paths that are not clean, and senders do not follow.
func New(config Config) *Handler {
	if config.MaxBody == 0 {
		config.MaxBody = DefaultMaxBody
	}
	if config.BodyTimeout == 0 {
		config.BodyTimeout = DefaultBodyTimeout
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Duplicate == nil {
		config.Duplicate = func() {}
	}
	if config.Handshake == nil {
		config.Handshake = func(string) {}
	}
	if config.Refused == nil {
		config.Refused = func(string) {}
	}
	return &Handler{Config: config, gates: newGates(), misses: newMisses()}
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	received := h.Now()
	source, err := h.find(r)
	if err != nil {
		h.answerError(w, r, nil, err)
		return
	}
	out, err := h.receive(w, r, source, received)
	if err != nil {
		h.answerError(w, r, source, err)
		return
	}
	out.write(w)
}

// receive takes a request to a source through its life: received, verified and
// published, or answered as a handshake, or refused.
func (h *Handler) receive(w http.ResponseWriter, r *http.Request, source *postern.Source, received time.Time) (*reply, error) {
	g, takesBody, err := h.enter(r, source)
	if err != nil {
		return nil, err
	}
	if h.Admit != nil {
		if err := h.Admit(r.ContentLength); err != nil {
			return nil, err
		}
	}
	var body []byte
	if takesBody {
		if body, err = h.read(w, r); err != nil {
			return nil, err
		}
	}
	in := &arrival{request: h.record(r), contentType: r.Header.Get("Content-Type"), body: body}
	req := verify.Request{
		Method: r.Method, URL: h.url(r.URL.EscapedPath(), query(r)), Target: r.RequestURI, Header: r.Header, Body: body,
	}
	g, result, err := h.verify(r, g, req, received)
	if refused, ok := errors.AsType[*verify.Error](err); ok {
		h.refuse(r, g, in, req, received, refused)
		return nil, errUnverified(result.Answer.Status)
	}
	if err != nil {
		return nil, err
	}
	if _, takesEvent, _ := g.admits(r.Method); result.Handshake == "" && !takesEvent { // an address that is opened in a browser is no event
		return nil, methodNotAllowed(g)
	}
	g.mask(in.request)
	ids, err := h.publishAll(r.Context(), g, in, result.Events)
	if err != nil {
		return nil, err
	}
	return accepted(g.source, &result, ids), nil
}

// enter returns what a request to a source has to pass, and whether its body counts;
// an error for one that is not looked at. A method that the source does not take may
// be one that another node was told of this moment.
func (h *Handler) enter(r *http.Request, source *postern.Source) (*gate, bool, error) {
	g, takesBody, err := h.pass(r, source)
	if no, ok := errors.AsType[*rejection](err); !ok || no.status != http.StatusMethodNotAllowed {
		return g, takesBody, err
	}
	newer, failed := h.newer(r.Context(), source)
	if failed != nil || newer == nil {
		return nil, false, cmp.Or(failed, err)
	}
	return h.pass(r, newer)
}

// pass is enter by what is known of the source.
func (h *Handler) pass(r *http.Request, source *postern.Source) (g *gate, takesBody bool, err error) {
	g = h.gate(r.Context(), source)
	if g.verifier == nil && !source.Paused {
		return nil, false, errMisconfigured()
	}
	if g.verifier != nil {
		var ok bool
		if ok, _, takesBody = g.admits(r.Method); !ok {
			return nil, false, methodNotAllowed(g)
		}
	}
	if source.Paused {
		return nil, false, errPaused()
	}
	return g, takesBody, nil
}

// verify judges a request, once more where its source was changed on another node
// this moment, and returns the gate that the outcome is of.
func (h *Handler) verify(r *http.Request, g *gate, req verify.Request, received time.Time) (*gate, verify.Result, error) {
	result, err := h.judge(r.Context(), g, req, received)
	if _, refused := errors.AsType[*verify.Error](err); !refused {
		return g, result, err
	}
	newer, failed := h.newer(r.Context(), g.source)
	if failed != nil {
		return g, result, failed
	}
	if newer == nil {
		return g, result, err
	}
	if g, _, err = h.pass(r, newer); err != nil {
		return nil, result, err
	}
	result, err = h.judge(r.Context(), g, req, received)
	return g, result, err
}

// judge verifies a request, and does what a handshake asks for before its answer.
func (h *Handler) judge(ctx context.Context, g *gate, req verify.Request, received time.Time) (verify.Result, error) {
	result, err := g.verifier.Receive(ctx, req, received)
	if err == nil && result.Handshake != "" {
		err = h.settle(ctx, g, &result)
	}
	return result, err
}

// publishAll makes messages of a request's events. One that fails fails the
// request: the sender sends all of them again, and those that are messages by
// then are recognised as second copies.
func (h *Handler) publishAll(ctx context.Context, g *gate, in *arrival, events []verify.Event) ([]postern.MessageID, error) {
	ids := make([]postern.MessageID, 0, len(events))
	for _, event := range events {
		one := *in
		one.event = event
		if event.ContentType != "" {
			one.body, one.contentType = event.Payload, event.ContentType
		}
		m, duplicate, err := h.publish(ctx, g, &one)
		if err != nil {
			return nil, err
		}
		if duplicate {
			h.Duplicate()
		}
		ids = append(ids, m.ID)
	}
	return ids, nil
}

// refuse keeps a request that did not verify. Whether that succeeds makes no
// difference to the sender: the request will never verify. What could be the
// matter is looked for only in some of what is kept: a flood must not cost more.
func (h *Handler) refuse(r *http.Request, g *gate, in *arrival, req verify.Request, received time.Time, refused *verify.Error) {
	h.Refused(string(refused.Reason))
	refusal := &postern.Refusal{
		Source: g.source.ID, Reason: string(refused.Reason), Detail: refused.Detail,
		Request: *in.request, ContentType: in.contentType, Body: in.body,
	}
	if len(in.body) > MaxRefusedBody {
		refusal.Body, refusal.BodyTruncated = slices.Clone(in.body[:MaxRefusedBody]), true
	}
	if !g.mayKeep(refusal, h.Now()) {
		return // counted above
	}
	if g.mayDiagnose(refusal, h.Now()) {
		refusal.Detail = h.diagnosed(r.Context(), g, req, received, refused)
	}
	err := h.keep(r.Context(), g, refusal)
	if err != nil && r.Context().Err() == nil {
		h.Logger.ErrorContext(r.Context(), "refusal not kept", logSource, g.source.ID, logError, err)
	}
}

// keep gives a refusal its id, and keeps it without credentials in plain text.
func (h *Handler) keep(ctx context.Context, g *gate, refusal *postern.Refusal) (err error) {
	if refusal.ID, err = h.IDs.Next(); err != nil {
		return err
	}
	if refusal.Credentials, err = h.seal(g.mask(&refusal.Request)); err != nil {
		return err
	}
	return h.Refusals.Refuse(ctx, refusal)
}

// diagnosed is a refusal's detail, with what its owner could do in front of it.
func (h *Handler) diagnosed(ctx context.Context, g *gate, req verify.Request, received time.Time, refused *verify.Error) string {
	found := g.verifier.Diagnose(ctx, req, received, h.previous(ctx, g.source))
	if found == "" {
		return refused.Detail
	}
	return found + " (" + refused.Detail + ")"
}

// arrival is a request that is to become a message.
type arrival struct {
	request     *postern.InboundRequest
	contentType string
	body        []byte
	event       verify.Event
	// eventID is the message's; "" for none.
	eventID string
}

// publish makes a request a durable message and returns it, or its first copy.
func (h *Handler) publish(ctx context.Context, g *gate, a *arrival) (m *postern.Message, duplicate bool, err error) {
	eventType := a.event.Type
	if own := g.source.EventTypes[a.event.ProviderEventType]; own != "" {
		eventType = own
	}
	if len(eventType) > maxEventType { // a long name and a long prefix: as if nameless
		eventType = verify.EventType("", g.provider.ID, "")
	}
	m, duplicate, err = h.Publisher.Publish(ctx, postern.Publish{
		Application: g.source.Application, Source: g.source.ID,
		EventType: eventType, ProviderEventType: a.event.ProviderEventType, EventID: a.eventID,
		ContentType: a.contentType, Payload: a.body, Request: a.request,
		Duplicate: duplicateKey(g.source, &a.event, a.body),
	})
	if err != nil || duplicate {
		return m, duplicate, err
	}
	// The message is durable with or without its type in the catalogue, and the
	// next one of the type declares it again.
	if err := h.EventTypes.DeclareEventType(ctx, eventType, "Sent by "+g.provider.Name); err != nil && ctx.Err() == nil {
		h.Logger.WarnContext(ctx, "event type not declared", logSource, g.source.ID, logEventType, eventType, logError, err)
	}
	return m, false, nil
}

// duplicateKey is over the delivery id and the body together, since many
// providers do not sign the id: a forged one can neither suppress an event nor
// bring one in twice under the same id. Without an id there is a key only where
// the source asks for the body alone. A token that is signed and good for one
// use is a key by itself: the body beside it may be forged.
func duplicateKey(s *postern.Source, event *verify.Event, body []byte) postern.DuplicateKey {
	var content [sha256.Size]byte // of no body, for a token
	id := event.Replay
	if id == "" {
		if event.DeliveryID == "" && !s.DedupeBody {
			return postern.DuplicateKey{}
		}
		content, id = sha256.Sum256(body), event.DeliveryID
	}
	text := make([]byte, 0, 128)
	text = append(text, s.ID[:]...)
	text = append(text, content[:]...)
	text = append(text, id...) // last, because its length varies
	sum := sha256.Sum256(text)
	return postern.DuplicateKey{Digest: [16]byte(sum[:16]), Window: DuplicateWindow}
}

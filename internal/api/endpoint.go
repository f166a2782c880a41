package api

import (
	"context"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/sign"
)

// endpointIn is an endpoint as callers write it.
type endpointIn struct {
	// URL is required of an endpoint of kind http; no other has one.
	URL optional[string] `json:"url"`
	UID optional[string] `json:"uid"`
	// Kind is http unless given: deliveries are sent. Those of kind pull are
	// fetched by consumers.
	Kind        optional[string]   `json:"kind" api:"http|pull"`
	Description optional[string]   `json:"description"`
	Version     optional[int]      `json:"version"`
	Disabled    optional[bool]     `json:"disabled"`
	FilterTypes optional[[]string] `json:"filterTypes"` // EventTypes' older name
	// EventTypes are exact names or prefixes with ".*"; null for all.
	EventTypes    optional[[]string]          `json:"eventTypes"`
	Channels      optional[[]string]          `json:"channels"`
	RateLimit     optional[int]               `json:"rateLimit"` // ThrottleRate's older name
	ThrottleRate  optional[int]               `json:"throttleRate"`
	RetrySchedule optional[seconds]           `json:"retrySchedule"`
	Headers       optional[map[string]string] `json:"headers"`
	Metadata      optional[map[string]string] `json:"metadata"`
	// Secret is whsec_ or whsk_ and base64; one is made where none is given.
	Secret optional[string] `json:"secret"`
	// SvixHeaders has deliveries carry the svix- names as well.
	SvixHeaders optional[bool] `json:"svixHeaders"`
}

// endpointOut is an endpoint as callers read it. Disabled is true whoever
// disabled it; disabledReason tells the engine's reason.
type endpointOut struct {
	ID  postern.EndpointID `json:"id"`
	UID *string            `json:"uid"`
	// Kind is http, handler or pull; only the first has a URL of its own.
	Kind           string  `json:"kind" api:"http|handler|pull"`
	URL            string  `json:"url"`
	Description    string  `json:"description"`
	Version        int     `json:"version"`
	Disabled       bool    `json:"disabled"`
	DisabledReason *string `json:"disabledReason"`
	Paused         bool    `json:"paused"`
	// Unattended: the deliveries wait, because no running program has a function for
	// the handler, or nobody has asked the pull endpoint for a minute.
	Unattended bool `json:"unattended"`
	// FailingSince is when the unbroken row of failures began; null when the
	// last attempt succeeded.
	FailingSince *time.Time `json:"failingSince"`
	// Both generations of names are there, and null rather than empty.
	FilterTypes   []string          `json:"filterTypes"`
	EventTypes    []string          `json:"eventTypes"`
	Channels      []string          `json:"channels"`
	RateLimit     *int              `json:"rateLimit"`
	ThrottleRate  *int              `json:"throttleRate"`
	RetrySchedule seconds           `json:"retrySchedule"`
	SvixHeaders   bool              `json:"svixHeaders"`
	Metadata      map[string]string `json:"metadata"`
	CreatedAt     time.Time         `json:"createdAt"`
	UpdatedAt     time.Time         `json:"updatedAt"`
}

// apply writes what was given into e. The secret and what needs the world
// outside are prepareEndpoint's.
func (in *endpointIn) apply(e *postern.Endpoint) error {
	var f faults
	take(&f, "url", in.URL, &e.URL, nil)
	take(&f, "uid", in.UID, &e.UID, wrongUID)
	take(&f, "description", in.Description, &e.Description, nil)
	take(&f, "version", in.Version, &e.Version, wrongVersion)
	if in.Version.Set && e.Version == 0 {
		e.Version = 1 // as in a new one
	}
	take(&f, "disabled", in.Disabled, &e.Disabled, nil)
	take(&f, "eventTypes", in.EventTypes.or(in.FilterTypes), &e.EventTypes, nil)
	take(&f, "channels", in.Channels, &e.Channels, nil)
	take(&f, "throttleRate", in.ThrottleRate.or(in.RateLimit), &e.Rate, wrongRate)
	takeSchedule(in.RetrySchedule, &e.RetrySchedule)
	take(&f, "metadata", in.Metadata, &e.Metadata, nil)
	take(&f, "svixHeaders", in.SvixHeaders, &e.SvixNames, nil)
	if in.Headers.Set {
		e.Headers = nil
		if in.Headers.Value != nil {
			e.Headers = mergeHeaders(&f, nil, valuesOf(*in.Headers.Value))
		}
	}
	if kind := in.Kind.Value; kind != nil && *kind != string(e.Kind) {
		f.add("only endpoints of kind http and pull can be made here, and no kind changes; handlers are registered by the program that has them", "kind")
	}
	return f.err()
}

// leave keeps what is not the caller's to say: the URL of an endpoint that has
// none of its own, and what a handler listens for, which its program says. The
// same once more is no change.
func (in *endpointIn) leave(before, e *postern.Endpoint) error {
	if e.Kind == postern.HTTPEndpoint {
		return nil
	}
	var f faults
	if e.URL != "" && e.URL != endpointURL(before) {
		f.add("an endpoint of kind "+string(e.Kind)+" has no url of its own", "url")
	}
	e.URL = ""
	if e.Kind != postern.HandlerEndpoint {
		return f.err()
	}
	const says = "is what the program says that has the handler"
	types := in.EventTypes.or(in.FilterTypes).Set
	switch {
	case in.UID.Set && e.UID != before.UID:
		f.add(says, "uid")
	case types && !slices.Equal(e.EventTypes, before.EventTypes):
		f.add(says, "eventTypes")
	case in.Channels.Set && !slices.Equal(e.Channels, before.Channels):
		f.add(says, "channels")
	}
	e.UID, e.EventTypes, e.Channels = before.UID, before.EventTypes, before.Channels
	return f.err()
}

// prepareEndpoint checks and seals what an update must not wait for: the URL,
// which may be looked up, and the secret.
func (h *handler) prepareEndpoint(ctx context.Context, kind postern.EndpointKind, in *endpointIn) ([]postern.EndpointSecret, error) {
	if kind == postern.HTTPEndpoint && in.URL.Value != nil && *in.URL.Value != "" {
		if err := h.checkURL(ctx, *in.URL.Value); err != nil {
			return nil, err
		}
	}
	if in.Secret.Value == nil {
		return nil, nil
	}
	key, err := signingKey(*in.Secret.Value, "secret")
	if err != nil {
		return nil, err
	}
	sealed, err := h.Secrets.Seal([]byte(key.Reveal()))
	if err != nil {
		return nil, err
	}
	return []postern.EndpointSecret{{Key: sealed, CreatedAt: h.Now().UTC()}}, nil
}

// checkURL points the checker's refusal at the field.
func (h *handler) checkURL(ctx context.Context, url string) error {
	err := h.URLs.CheckURL(ctx, url)
	if e, ok := err.(*postern.Error); ok && e.Kind == postern.Invalid && len(e.Fields) == 0 { //nolint:errorlint // only the error itself is for the caller
		return postern.InvalidField(e.Detail, "body", "url")
	}
	return err
}

// signingKey reads a secret; its refusal says what is wrong and holds none of it.
func signingKey(text, field string) (sign.Key, error) {
	key, err := sign.ParseKey(text)
	if err != nil {
		return sign.Key{}, postern.InvalidField(strings.TrimPrefix(err.Error(), "sign: "), "body", field)
	}
	if key.Kind() == sign.Public {
		return sign.Key{}, postern.InvalidField("is a public key, which cannot sign", "body", field)
	}
	return key, nil
}

// wrongVersion refuses the 0 that makes the catalogue choose, and what is more
// than SDKs can read.
func wrongVersion(version int) string {
	if version < 1 || version > math.MaxInt32 {
		return "must be 1 to 2147483647"
	}
	return ""
}

// renderEndpoint shows an endpoint as its owner and its attempts have it.
func renderEndpoint(v *EndpointView) endpointOut {
	out := endpointOut{
		ID: v.ID, UID: null(v.UID), Kind: string(v.Kind), URL: endpointURL(&v.Endpoint),
		Description: v.Description, Version: v.Version,
		Disabled: v.Disabled || v.Health.Disabled != "", DisabledReason: null(v.Health.Disabled), Paused: v.Paused,
		Unattended:  v.Unattended,
		FilterTypes: nullList(v.EventTypes), EventTypes: nullList(v.EventTypes), Channels: nullList(v.Channels),
		RateLimit: nullRate(v.Rate), ThrottleRate: nullRate(v.Rate), RetrySchedule: inSeconds(v.RetrySchedule),
		SvixHeaders: v.SvixNames, Metadata: object(v.Metadata),
		CreatedAt: v.CreatedAt.UTC(), UpdatedAt: v.UpdatedAt.UTC(),
	}
	if since := v.Health.FailingSince; !since.IsZero() {
		since = since.UTC()
		out.FailingSince = &since
	}
	return out
}

// endpointURL is what stands for a URL where an endpoint has none.
func endpointURL(e *postern.Endpoint) string {
	switch e.Kind {
	case postern.HandlerEndpoint:
		return "postern:handler/" + e.UID
	case postern.PullEndpoint:
		return "postern:pull"
	}
	return e.URL
}

// endpoint finds the endpoint in the path.
func (h *handler) endpoint(c *call) (*EndpointView, error) {
	v, err := h.Endpoints.Endpoint(c.app.Number, c.param("endpoint"))
	return v, notFound(err)
}

// listEndpoints lists the newest first unless told otherwise.
func (h *handler) listEndpoints(c *call, _ none) (listing[endpointOut], error) {
	w, err := c.window(true)
	if err != nil {
		return listing[endpointOut]{}, err
	}
	page, err := listPage(w, postern.ParseEndpointID)
	if err != nil {
		return listing[endpointOut]{}, err
	}
	records, more := h.Endpoints.Endpoints(c.app.Number, page)
	id := func(v *EndpointView) string { return v.ID.String() }
	return listed(w, records, !more, "", id, renderEndpoint), nil
}

// createEndpoint looks at the form before it looks up the URL, which may take
// half a second; a uid in use is a conflict.
func (h *handler) createEndpoint(c *call, in endpointIn) (endpointOut, error) {
	e := postern.Endpoint{Application: c.app.Number, Kind: postern.HTTPEndpoint}
	if in.Kind.Value != nil && *in.Kind.Value == string(postern.PullEndpoint) {
		e.Kind = postern.PullEndpoint
	}
	if err := in.apply(&e); err != nil {
		return endpointOut{}, err
	}
	if err := in.leave(&postern.Endpoint{Kind: e.Kind}, &e); err != nil {
		return endpointOut{}, err
	}
	var err error
	if e.Secrets, err = h.prepareEndpoint(c.r.Context(), e.Kind, &in); err != nil {
		return endpointOut{}, err
	}
	created, err := h.Endpoints.CreateEndpoint(c.r.Context(), e)
	if err != nil {
		return endpointOut{}, err
	}
	return renderEndpoint(created), nil
}

// getEndpoint also shows what disabled the endpoint.
func (h *handler) getEndpoint(c *call, _ none) (endpointOut, error) {
	v, err := h.endpoint(c)
	if err != nil {
		return endpointOut{}, err
	}
	return renderEndpoint(v), nil
}

// putEndpoint replaces all that callers write but the secret and the headers,
// which have resources of their own, or creates; about the uid see
// putApplication.
func (h *handler) putEndpoint(c *call, in endpointIn) (endpointOut, error) {
	ref := c.param("endpoint")
	if !in.UID.Set && !strings.HasPrefix(ref, postern.EndpointID{}.Prefix()) {
		in.UID = optional[string]{Set: true, Value: &ref}
	}
	return upserted(c, in.UID, ref, func() (endpointOut, error) { return h.upsertEndpoint(c, ref, in) })
}

// upsertEndpoint goes by what there is at ref.
func (h *handler) upsertEndpoint(c *call, ref string, in endpointIn) (endpointOut, error) {
	old, err := h.Endpoints.Endpoint(c.app.Number, ref)
	if err != nil {
		if !creatable(err, ref, postern.EndpointID{}.Prefix()) {
			return endpointOut{}, notFound(err)
		}
		c.status = http.StatusCreated
		return h.createEndpoint(c, in)
	}
	return h.updateEndpoint(c, old, &in, func(e *postern.Endpoint) {
		*e = postern.Endpoint{
			ID: e.ID, Number: e.Number, Application: e.Application, Kind: e.Kind,
			Version: 1, Headers: e.Headers, Secrets: e.Secrets, Paused: e.Paused,
			CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt,
		}
	})
}

// patchEndpoint changes what is given; null means the default.
func (h *handler) patchEndpoint(c *call, in endpointIn) (endpointOut, error) {
	old, err := h.endpoint(c)
	if err != nil {
		return endpointOut{}, err
	}
	return h.updateEndpoint(c, old, &in, func(*postern.Endpoint) {})
}

// updateEndpoint applies in to what begin leaves of the endpoint. A secret that
// is given replaces all. Saying that it is not disabled lifts what the engine
// disabled.
func (h *handler) updateEndpoint(c *call, old *EndpointView, in *endpointIn, begin func(*postern.Endpoint)) (endpointOut, error) {
	secrets, err := h.prepareEndpoint(c.r.Context(), old.Kind, in)
	if err != nil {
		return endpointOut{}, err
	}
	enable := in.Disabled.Value != nil && !*in.Disabled.Value
	updated, err := h.Endpoints.UpdateEndpoint(c.r.Context(), c.app.Number, old.Number, enable, func(e *postern.Endpoint) error {
		before := *e
		begin(e)
		if secrets != nil {
			e.Secrets = secrets
		}
		if err := in.apply(e); err != nil {
			return err
		}
		return in.leave(&before, e)
	})
	if err != nil {
		return endpointOut{}, err
	}
	return renderEndpoint(updated), nil
}

// deleteEndpoint ends its unfinished deliveries as canceled, which the engine
// does as it meets them.
func (h *handler) deleteEndpoint(c *call, _ none) (none, error) {
	v, err := h.endpoint(c)
	if err != nil {
		return none{}, err
	}
	return none{}, h.Endpoints.DeleteEndpoint(c.r.Context(), c.app.Number, v.Number)
}

// pauseEndpoint goes on routing to the endpoint; its deliveries wait.
func (h *handler) pauseEndpoint(c *call, _ none) (endpointOut, error) {
	return h.setPaused(c, true)
}

// resumeEndpoint delivers what has waited. It does not enable: that is a
// change of disabled.
func (h *handler) resumeEndpoint(c *call, _ none) (endpointOut, error) {
	return h.setPaused(c, false)
}

// setPaused may be repeated without effect.
func (h *handler) setPaused(c *call, paused bool) (endpointOut, error) {
	v, err := h.endpoint(c)
	if err != nil {
		return endpointOut{}, err
	}
	updated, err := h.Endpoints.UpdateEndpoint(c.r.Context(), c.app.Number, v.Number, false, func(e *postern.Endpoint) error {
		e.Paused = paused
		return nil
	})
	if err != nil {
		return endpointOut{}, err
	}
	return renderEndpoint(updated), nil
}

package api

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/auth"
)

// How long a visitor's token is good for, in seconds.
const (
	minVisit     = 60 * 60
	defaultVisit = 7 * 24 * 60 * 60
)

// maxFlags bounds the feature flags of a visitor, and the sessions of a request.
const maxFlags = 100

// portalIn is a visit to the portal as the application's keeper allows it.
type portalIn struct {
	// Application is made when there is none of the path's uid.
	Application  *applicationIn       `json:"application"`
	Capabilities []postern.Capability `json:"capabilities"` // null for all
	ReadOnly     *bool                `json:"readOnly"`     // Capabilities' older form
	Expiry       *int64               `json:"expiry"`       // in seconds
	FeatureFlags []string             `json:"featureFlags"`
	SessionID    *string              `json:"sessionId"`
}

// portalOut is the way in: a page, and the token that its address holds.
type portalOut struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

// key reads the input.
func (in *portalIn) key(now time.Time) (postern.Key, error) {
	var f faults
	lasts := int64(defaultVisit)
	if in.Expiry != nil {
		lasts = *in.Expiry
	}
	if lasts < minVisit || lasts > defaultVisit {
		f.add(fmt.Sprintf("must be %d to %d", minVisit, defaultVisit), "expiry")
	}
	p := &postern.Portal{Capabilities: in.Capabilities, FeatureFlags: in.FeatureFlags}
	if in.Capabilities != nil && len(in.Capabilities) == 0 {
		f.add("must not be empty; leave it out for everything", "capabilities")
	}
	for i, c := range in.Capabilities {
		if !slices.Contains(postern.Capabilities(), c) {
			f.add(fmt.Sprintf("must be one of %v", postern.Capabilities()), "capabilities", fmt.Sprint(i))
		}
	}
	if in.ReadOnly != nil && *in.ReadOnly {
		p.Capabilities = []postern.Capability{postern.ViewBase}
	}
	if in.SessionID != nil {
		p.Session = *in.SessionID
		if msg := wrongName(p.Session); msg != "" {
			f.add(msg, "sessionId")
		}
	}
	names(&f, in.FeatureFlags, "featureFlags")
	return postern.Key{
		Name: "portal", Scope: postern.ScopePortal, Portal: p,
		ExpiresAt: now.Add(time.Duration(lasts) * time.Second).UTC(),
	}, f.err()
}

// names checks a list of names.
func names(f *faults, list []string, field string) {
	if len(list) > maxFlags {
		f.add(fmt.Sprintf("must be at most %d", maxFlags), field)
		return
	}
	for i, name := range list {
		if msg := wrongName(name); msg != "" {
			f.add(msg, field, fmt.Sprint(i))
		}
	}
}

// openPortal makes a token that opens one application in the portal.
func (h *handler) openPortal(c *call, in portalIn) (portalOut, error) {
	k, err := in.key(h.Now())
	if err != nil {
		return portalOut{}, err
	}
	app, err := h.visited(c, in.Application)
	if err != nil {
		return portalOut{}, err
	}
	token := auth.NewToken()
	k.Application, k.Hash = app.Number, auth.HashToken(token)
	if _, err := h.Keys.CreateKey(c.r.Context(), k); err != nil {
		return portalOut{}, err
	}
	// What follows # stays in the browser: no server, proxy or log sees it.
	return portalOut{URL: h.PublicURL + "/portal#key=" + token, Token: token}, nil
}

// openDashboard is openPortal's older name, and takes no body.
func (h *handler) openDashboard(c *call, _ none) (portalOut, error) {
	return h.openPortal(c, portalIn{})
}

// visited finds the application in the path, or makes the one in the body. The
// two must be the same, and only a uid can name what is not there yet.
func (h *handler) visited(c *call, in *applicationIn) (*postern.Application, error) {
	if err := c.same(in); err != nil {
		return nil, err
	}
	ref := c.param("app")
	app, err := h.Applications.Application(ref)
	if in == nil || !errors.Is(err, postern.ErrNotFound) {
		return app, notFound(err)
	}
	var a postern.Application
	if err := in.apply(&a); err != nil {
		return nil, inApplicationField(err)
	}
	app, err = h.Applications.CreateApplication(c.r.Context(), a)
	if errors.Is(err, postern.ErrConflict) { // another request was faster
		return h.Applications.Application(ref)
	}
	return app, inApplicationField(err)
}

// same holds an application in the body, nil for none, to the one in the path.
func (c *call) same(in *applicationIn) error {
	if in != nil && (in.UID.Value == nil || *in.UID.Value != c.param("app")) {
		return postern.InvalidField("must be the uid in the path", "body", "application", "uid")
	}
	return nil
}

// inApplicationField moves the faults of an application to where it stands in
// the body.
func inApplicationField(err error) error {
	e, ok := errors.AsType[*postern.Error](err)
	if !ok || len(e.Fields) == 0 {
		return err
	}
	moved := *e
	moved.Fields = slices.Clone(e.Fields)
	for i, field := range e.Fields {
		loc := field.Loc
		if len(loc) > 0 && loc[0] == "body" {
			loc = loc[1:]
		}
		moved.Fields[i].Loc = append([]string{"body", "application"}, loc...)
	}
	return &moved
}

// expireIn says which visits end, and in how many seconds; at once by default.
type expireIn struct {
	Expiry     *int64   `json:"expiry"`
	SessionIDs []string `json:"sessionIds"` // null or empty for all
}

// expireVisitors ends the visits to an application's portal.
func (h *handler) expireVisitors(c *call, in expireIn) (none, error) {
	app, err := h.application(c)
	if err != nil {
		return none{}, err
	}
	var f faults
	var wait int64
	if in.Expiry != nil {
		wait = *in.Expiry
	}
	if wait < 0 || wait > defaultVisit {
		f.add(fmt.Sprintf("must be 0 to %d", defaultVisit), "expiry")
	}
	names(&f, in.SessionIDs, "sessionIds")
	if err := f.err(); err != nil {
		return none{}, err
	}
	at := h.Now().Add(time.Duration(wait) * time.Second).UTC()
	return none{}, h.Keys.ExpireVisitors(c.r.Context(), app.Number, in.SessionIDs, at)
}

// logout ends the visitor's own token, at once. One that svix-server made is
// kept nowhere and ends by itself.
func (h *handler) logout(c *call, _ none) (none, error) {
	if c.who.Key.IsZero() {
		return none{}, &postern.Error{Kind: postern.Forbidden, Detail: "This token ends by itself and cannot be revoked"}
	}
	return none{}, h.Keys.DeleteKey(c.r.Context(), c.who.Key)
}

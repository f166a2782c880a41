package api

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/postern-dev/postern"
)

// applicationIn is an application as callers write it. Its rate is kept and shown
// for the sake of Svix's clients; nothing is measured by it yet.
type applicationIn struct {
	Name         optional[string]            `json:"name" api:"required"`
	UID          optional[string]            `json:"uid"`
	RateLimit    optional[int]               `json:"rateLimit" doc:"The older name of throttleRate."`
	ThrottleRate optional[int]               `json:"throttleRate" doc:"Messages a second. Kept and shown for Svix's clients, and not enforced yet."`
	Metadata     optional[map[string]string] `json:"metadata"`
}

// applicationOut is an application as callers read it.
type applicationOut struct {
	ID           postern.ApplicationID `json:"id"`
	UID          *string               `json:"uid"`
	Name         string                `json:"name"`
	RateLimit    *int                  `json:"rateLimit" doc:"The older name of throttleRate."`
	ThrottleRate *int                  `json:"throttleRate" doc:"Messages a second. Kept and shown for Svix's clients, and not enforced yet."`
	Metadata     map[string]string     `json:"metadata"`
	CreatedAt    time.Time             `json:"createdAt"`
	UpdatedAt    time.Time             `json:"updatedAt"`
}

// apply writes what was given into a.
func (in *applicationIn) apply(a *postern.Application) error {
	var f faults
	take(&f, "name", in.Name, &a.Name, nil)
	take(&f, "uid", in.UID, &a.UID, wrongUID)
	take(&f, "throttleRate", in.ThrottleRate.or(in.RateLimit), &a.Rate, wrongRate)
	take(&f, "metadata", in.Metadata, &a.Metadata, nil)
	return f.err()
}

// renderApplication gives the rate both of its names.
func renderApplication(a *postern.Application) applicationOut {
	return applicationOut{
		ID: a.ID, UID: null(a.UID), Name: a.Name,
		RateLimit: nullRate(a.Rate), ThrottleRate: nullRate(a.Rate),
		Metadata: object(a.Metadata), CreatedAt: a.CreatedAt.UTC(), UpdatedAt: a.UpdatedAt.UTC(),
	}
}

// createApplication answers 200 and the one that is there where the caller
// asked for that and the uid is in use.
func (h *handler) createApplication(c *call, in applicationIn) (applicationOut, error) {
	ifExists, err := c.flag("get_if_exists", false)
	if err != nil {
		return applicationOut{}, err
	}
	var a postern.Application
	if err := in.apply(&a); err != nil {
		return applicationOut{}, err
	}
	created, err := h.Applications.CreateApplication(c.r.Context(), a)
	if ifExists && a.UID != "" && errors.Is(err, postern.ErrConflict) {
		created, err = h.Applications.Application(a.UID)
		c.status = http.StatusOK
	}
	if err != nil {
		return applicationOut{}, err
	}
	return renderApplication(created), nil
}

// getApplication shows what the way here has found already.
func (h *handler) getApplication(c *call, _ none) (applicationOut, error) {
	return renderApplication(c.app), nil
}

// putApplication replaces all that callers write, or creates. A uid that the
// path names and the body leaves out stays: the same request twice finds the
// same application.
func (h *handler) putApplication(c *call, in applicationIn) (applicationOut, error) {
	ref := c.param("app")
	if !in.UID.Set && !strings.HasPrefix(ref, postern.ApplicationID{}.Prefix()) {
		in.UID = optional[string]{Set: true, Value: &ref}
	}
	return upserted(c, in.UID, ref, func() (applicationOut, error) { return h.upsertApplication(c, ref, in) })
}

// upserted is what a PUT to ref comes to. One that would create what another
// request has just created replaces that instead.
func upserted[Out any](c *call, uid optional[string], ref string, put func() (Out, error)) (Out, error) {
	status := c.status
	out, err := put()
	if errors.Is(err, postern.ErrConflict) && c.status == http.StatusCreated && uid.Value != nil && *uid.Value == ref {
		c.status = status
		return put()
	}
	return out, err
}

// upsertApplication goes by what there is at ref.
func (h *handler) upsertApplication(c *call, ref string, in applicationIn) (applicationOut, error) {
	old, err := h.Applications.Application(ref)
	switch {
	case err == nil:
		updated, err := h.Applications.UpdateApplication(c.r.Context(), old.Number, func(a *postern.Application) error {
			a.Name, a.UID, a.Rate, a.Metadata = "", "", 0, nil
			return in.apply(a)
		})
		if err != nil {
			return applicationOut{}, err
		}
		return renderApplication(updated), nil
	case !creatable(err, ref, postern.ApplicationID{}.Prefix()):
		return applicationOut{}, notFound(err)
	}
	var a postern.Application
	if err := in.apply(&a); err != nil {
		return applicationOut{}, err
	}
	c.status = http.StatusCreated
	created, err := h.Applications.CreateApplication(c.r.Context(), a)
	if err != nil {
		return applicationOut{}, err
	}
	return renderApplication(created), nil
}

// creatable reports whether a PUT to ref, which failed to find anything, may
// create it: an id is given by us alone.
func creatable(err error, ref, prefix string) bool {
	return errors.Is(err, postern.ErrNotFound) && !strings.HasPrefix(ref, prefix)
}

// patchApplication changes what is given; null means none.
func (h *handler) patchApplication(c *call, in applicationIn) (applicationOut, error) {
	app, err := h.application(c)
	if err != nil {
		return applicationOut{}, err
	}
	updated, err := h.Applications.UpdateApplication(c.r.Context(), app.Number, in.apply)
	if err != nil {
		return applicationOut{}, err
	}
	return renderApplication(updated), nil
}

// deleteApplication deletes all that belongs to it, history included.
func (h *handler) deleteApplication(c *call, _ none) (none, error) {
	app, err := h.application(c)
	if err != nil {
		return none{}, err
	}
	return none{}, h.Applications.DeleteApplication(c.r.Context(), app.Number)
}

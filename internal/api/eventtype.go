package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/postern-dev/postern"
)

// eventTypeIn is an event type as callers write it.
type eventTypeIn struct {
	Name          optional[string]                     `json:"name" api:"post"`
	Description   optional[string]                     `json:"description" api:"required"`
	Schemas       optional[map[string]json.RawMessage] `json:"schemas"`
	GroupName     optional[string]                     `json:"groupName"`
	FeatureFlag   optional[string]                     `json:"featureFlag"` // FeatureFlags' older form
	FeatureFlags  optional[[]string]                   `json:"featureFlags"`
	RetrySchedule optional[seconds]                    `json:"retrySchedule"`
	EnforceSchema optional[bool]                       `json:"enforceSchema"`
	Archived      optional[bool]                       `json:"archived"`
	Deprecated    optional[bool]                       `json:"deprecated"`
}

// eventTypeOut is an event type as callers read it.
type eventTypeOut struct {
	Name          string                     `json:"name"`
	Description   string                     `json:"description"`
	Schemas       map[string]json.RawMessage `json:"schemas" api:"null"`
	GroupName     *string                    `json:"groupName"`
	FeatureFlag   *string                    `json:"featureFlag"`
	FeatureFlags  []string                   `json:"featureFlags"`
	RetrySchedule seconds                    `json:"retrySchedule"`
	// EnforceSchema has messages refused that do not fit the newest schema.
	EnforceSchema bool      `json:"enforceSchema"`
	Archived      bool      `json:"archived"`
	Deprecated    bool      `json:"deprecated"`
	CreatedAt     time.Time `json:"createdAt"`
	UpdatedAt     time.Time `json:"updatedAt"`
}

// apply writes what was given into t, but for the name, which never changes.
func (in *eventTypeIn) apply(t *postern.EventType) error {
	var f faults
	take(&f, "description", in.Description, &t.Description, nil)
	take(&f, "groupName", in.GroupName, &t.GroupName, nil)
	if in.FeatureFlag.Set && !in.FeatureFlags.Set {
		in.FeatureFlags.Set = true
		if flag := in.FeatureFlag.Value; flag != nil {
			in.FeatureFlags.Value = &[]string{*flag}
		}
	}
	take(&f, "featureFlags", in.FeatureFlags, &t.FeatureFlags, nil)
	takeSchedule(in.RetrySchedule, &t.RetrySchedule)
	take(&f, "enforceSchema", in.EnforceSchema, &t.EnforceSchema, nil)
	take(&f, "archived", in.Archived, &t.Archived, nil)
	take(&f, "deprecated", in.Deprecated, &t.Deprecated, nil)
	if in.Schemas.Set {
		t.Schemas = schemas(in.Schemas.Value)
	}
	// Types that sources declared may go without.
	if t.Description == "" && (in.Description.Set || t.CreatedAt.IsZero()) {
		f.add("is required", "description")
	}
	return f.err()
}

// schemas are JSON Schemas by their version.
func schemas(in *map[string]json.RawMessage) map[string][]byte {
	if in == nil {
		return nil
	}
	out := make(map[string][]byte, len(*in))
	for version, schema := range *in {
		out[version] = schema
	}
	return out
}

// renderEventType leaves schemas out of lists, where they are long.
func renderEventType(t *postern.EventType, withSchemas bool) eventTypeOut {
	out := eventTypeOut{
		Name: t.Name, Description: t.Description, GroupName: null(t.GroupName),
		FeatureFlags: nullList(t.FeatureFlags), RetrySchedule: inSeconds(t.RetrySchedule),
		EnforceSchema: t.EnforceSchema, Archived: t.Archived, Deprecated: t.Deprecated,
		CreatedAt: t.CreatedAt.UTC(), UpdatedAt: t.UpdatedAt.UTC(),
	}
	if len(t.FeatureFlags) > 0 {
		out.FeatureFlag = &t.FeatureFlags[0]
	}
	if withSchemas && t.Schemas != nil {
		out.Schemas = make(map[string]json.RawMessage, len(t.Schemas))
		for version, schema := range t.Schemas {
			out.Schemas[version] = schema
		}
	}
	return out
}

// listEventTypes lists by name, archived ones only on request.
func (h *handler) listEventTypes(c *call, _ none) (listing[eventTypeOut], error) {
	w, err := c.window(false)
	if err != nil {
		return listing[eventTypeOut]{}, err
	}
	archived, err := c.flag("include_archived", false)
	if err != nil {
		return listing[eventTypeOut]{}, err
	}
	withSchemas, err := c.flag("with_content", false)
	if err != nil {
		return listing[eventTypeOut]{}, err
	}
	records, more := h.shownEventTypes(c, w.catalogue(), archived)
	name := func(t *postern.EventType) string { return t.Name }
	render := func(t *postern.EventType) eventTypeOut { return renderEventType(t, withSchemas) }
	return listed(w, records, !more, "", name, render), nil
}

// shownEventTypes is a page of the types that are the caller's to see. Iterators
// are names, so that it reads on until it can end with one that is shown.
func (h *handler) shownEventTypes(c *call, page postern.ListPage, archived bool) (shown []*postern.EventType, more bool) {
	if c.who.Portal == nil {
		return h.EventTypes.EventTypes(page, archived)
	}
	for more = true; more; {
		var records []*postern.EventType
		records, more = h.EventTypes.EventTypes(page, archived)
		for i, t := range records {
			if c.shown(t) {
				shown = append(shown, t)
			}
			if page.After = t.Name; len(shown) == page.Limit {
				return shown, more || i < len(records)-1
			}
		}
	}
	return shown, false
}

// shown reports whether a type is the caller's to see: to visitors of the portal
// those with feature flags are shown by their own.
func (c *call) shown(t *postern.EventType) bool {
	return c.who.Portal == nil || len(t.FeatureFlags) == 0 || slices.ContainsFunc(t.FeatureFlags, func(flag string) bool {
		return slices.Contains(c.who.Portal.FeatureFlags, flag)
	})
}

// createEventType also revives an archived type of that name.
func (h *handler) createEventType(c *call, in eventTypeIn) (eventTypeOut, error) {
	var t postern.EventType
	if in.Name.Value != nil {
		t.Name = *in.Name.Value
	}
	if err := in.apply(&t); err != nil {
		return eventTypeOut{}, err
	}
	old, err := h.EventTypes.EventType(t.Name)
	_, stored, err := h.EventTypes.PutEventType(c.r.Context(), t, err == nil && old.Archived)
	if err != nil {
		return eventTypeOut{}, err
	}
	return renderEventType(stored, true), nil
}

// eventType finds the type in the path, archived or not, if the caller may see
// it.
func (h *handler) eventType(c *call) (*postern.EventType, error) {
	t, err := h.EventTypes.EventType(c.param("name"))
	if err != nil {
		return nil, notFound(err)
	}
	if !c.shown(t) {
		return nil, postern.ErrNotFound
	}
	return t, nil
}

// getEventType also finds archived types.
func (h *handler) getEventType(c *call, _ none) (eventTypeOut, error) {
	t, err := h.eventType(c)
	if err != nil {
		return eventTypeOut{}, err
	}
	return renderEventType(t, true), nil
}

// putEventType replaces, which also revives an archived type, or creates.
func (h *handler) putEventType(c *call, in eventTypeIn) (eventTypeOut, error) {
	t := postern.EventType{Name: c.param("name")}
	if err := in.apply(&t); err != nil {
		return eventTypeOut{}, err
	}
	created, stored, err := h.EventTypes.PutEventType(c.r.Context(), t, true)
	if err != nil {
		return eventTypeOut{}, err
	}
	if created {
		c.status = http.StatusCreated
	}
	return renderEventType(stored, true), nil
}

// patchEventType changes what is given of a type that exists.
func (h *handler) patchEventType(c *call, in eventTypeIn) (eventTypeOut, error) {
	updated, err := h.EventTypes.UpdateEventType(c.r.Context(), c.param("name"), in.apply)
	if err != nil {
		return eventTypeOut{}, err
	}
	return renderEventType(updated, true), nil
}

// deleteEventType archives, and deletes only with expunge: a type that messages
// have goes on meaning what it meant.
func (h *handler) deleteEventType(c *call, _ none) (none, error) {
	expunge, err := c.flag("expunge", false)
	if err != nil {
		return none{}, err
	}
	if expunge {
		return none{}, h.EventTypes.DeleteEventType(c.r.Context(), c.param("name"))
	}
	_, err = h.EventTypes.UpdateEventType(c.r.Context(), c.param("name"), func(t *postern.EventType) error {
		t.Archived = true
		return nil
	})
	return none{}, err
}

package catalogue

import (
	"context"
	"errors"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// maxDeclared bounds the event types that come of themselves: a provider that
// names every event differently must not fill the catalogue.
const maxDeclared = 10_000

// EventType finds by name.
func (c *Catalogue) EventType(name string) (*postern.EventType, error) {
	if t := c.eventTypes.get(name); t != nil {
		return t, nil
	}
	return nil, postern.ErrNotFound
}

// RetrySchedule is the schedule of messages of a type; nil where the type has
// none of its own or is not in the catalogue.
func (c *Catalogue) RetrySchedule(eventType string) postern.RetrySchedule {
	if t := c.eventTypes.get(eventType); t != nil {
		return t.RetrySchedule
	}
	return nil
}

// EventTypes lists by name, archived ones only where they are asked for.
func (c *Catalogue) EventTypes(p postern.ListPage, archived bool) ([]*postern.EventType, bool) {
	var after *string
	if p.After != "" {
		after = &p.After
	}
	return c.eventTypes.page(after, p, func(t *postern.EventType) bool { return archived || !t.Archived })
}

// PutEventType creates; with replace it also replaces, and without it only an
// archived type, which it thereby revives. Else it is ErrConflict with code
// "event_type_exists".
func (c *Catalogue) PutEventType(ctx context.Context, t postern.EventType, replace bool) (created bool, stored *postern.EventType, err error) {
	if err := all(checkEventType(&t), c.checkLongest(t.RetrySchedule)); err != nil {
		return false, nil, err
	}
	stored, err = change(ctx, c, func(o *ownChange) (*postern.EventType, error) {
		c.changingTypes.Lock()
		defer c.changingTypes.Unlock()
		o.locked()
		record := cloneEventType(&t)
		record.CreatedAt = c.now()
		record.UpdatedAt = record.CreatedAt
		old := c.eventTypes.get(t.Name)
		if old != nil {
			if !replace && !old.Archived {
				return nil, &postern.Error{
					Kind: postern.Conflict, Code: "event_type_exists", Detail: "The event type " + t.Name + " exists already",
				}
			}
			record.CreatedAt = old.CreatedAt
		}
		created = old == nil || !replace
		return record, o.commit(ctx, []store.Change{{Put: record}})
	})
	if err != nil {
		return false, nil, err
	}
	return created, stored, nil
}

// UpdateEventType hands fn a copy, checks it and stores it. Name and CreatedAt
// stay whatever fn does.
func (c *Catalogue) UpdateEventType(ctx context.Context, name string, fn func(*postern.EventType) error) (*postern.EventType, error) {
	return change(ctx, c, func(o *ownChange) (*postern.EventType, error) {
		c.changingTypes.Lock()
		defer c.changingTypes.Unlock()
		o.locked()
		old := c.eventTypes.get(name)
		if old == nil {
			return nil, postern.ErrNotFound
		}
		edited := cloneEventType(old)
		if err := fn(edited); err != nil {
			return nil, err
		}
		record := cloneEventType(edited)
		record.Name, record.CreatedAt, record.UpdatedAt = old.Name, old.CreatedAt, c.now()
		if err := all(checkEventType(record), c.checkLongest(record.RetrySchedule)); err != nil {
			return nil, err
		}
		return record, o.commit(ctx, []store.Change{{Put: record}})
	})
}

// DeleteEventType takes a type out of the catalogue. Endpoints that select it
// go on doing so.
func (c *Catalogue) DeleteEventType(ctx context.Context, name string) error {
	return do(ctx, c, func(o *ownChange) error {
		c.changingTypes.Lock()
		defer c.changingTypes.Unlock()
		o.locked()
		old := c.eventTypes.get(name)
		if old == nil {
			return postern.ErrNotFound
		}
		return o.commit(ctx, []store.Change{{Delete: old}})
	})
}

// DeclareEventType describes a type that was met, unless it is known, archived
// ones included; then it costs a look-up. Past 10,000 types it does nothing.
func (c *Catalogue) DeclareEventType(ctx context.Context, name, description string) error {
	if c.eventTypes.get(name) != nil || c.eventTypes.len() >= maxDeclared {
		return nil
	}
	_, _, err := c.PutEventType(ctx, postern.EventType{Name: name, Description: description}, false)
	if errors.Is(err, postern.ErrConflict) {
		return nil // somebody was faster, which comes to the same
	}
	return err
}

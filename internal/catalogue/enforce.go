package catalogue

import (
	"maps"
	"sync/atomic"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/schema"
)

// enforced are the schemas of the event types that enforce theirs, compiled. A
// message of any other type costs a look at a pointer, and at a map where some
// do. Who changes it holds changingTypes.
type enforced struct {
	schemas atomic.Pointer[map[string]*schema.Schema]
}

// CheckPayload is nil, or an Invalid error with the way to each fault in the
// payload of a message, whose type enforces a schema that it does not fit.
func (c *Catalogue) CheckPayload(eventType string, payload []byte) error {
	schemas := c.enforced.schemas.Load()
	if schemas == nil {
		return nil
	}
	wanted := (*schemas)[eventType]
	if wanted == nil {
		return nil
	}
	faults := wanted.Check(payload)
	if len(faults) == 0 {
		return nil
	}
	refused := &postern.Error{Kind: postern.Invalid, Detail: "The payload does not fit the schema of " + eventType}
	for _, fault := range faults {
		refused.Fields = append(refused.Fields, postern.FieldError{
			Loc: append([]string{"body", "payload"}, fault.Path...), Msg: fault.Msg, Type: "value_error.jsonschema",
		})
	}
	return refused
}

// load compiles the stored types' schemas.
func (e *enforced) load(types *index[string, *postern.EventType]) {
	all, _ := types.page(nil, postern.ListPage{Limit: noLimit}, func(t *postern.EventType) bool { return t.EnforceSchema })
	for _, t := range all {
		e.set(t.Name, t)
	}
}

// set follows a change of a type, nil for one that is deleted. A schema that
// was valid when it was stored and no longer is enforces nothing.
func (e *enforced) set(name string, t *postern.EventType) {
	var compiled *schema.Schema
	if t != nil && t.EnforceSchema {
		_, text := t.NewestSchema()
		compiled, _ = schema.Compile(text) // see above
	}
	old := e.schemas.Load()
	if compiled == nil && (old == nil || (*old)[name] == nil) {
		return
	}
	next := map[string]*schema.Schema{}
	if old != nil {
		next = maps.Clone(*old)
	}
	if delete(next, name); compiled != nil {
		next[name] = compiled
	}
	if len(next) == 0 {
		e.schemas.Store(nil)
		return
	}
	e.schemas.Store(&next)
}

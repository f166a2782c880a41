package api

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/postern-dev/postern"
	"github.com/tidwall/gjson"
)

// pingType is Svix's name for an event that says nothing but that it arrives;
// it needs no entry in the catalogue.
const (
	pingType    = "svix.ping"
	pingPayload = `{"success":true}`
)

// exampleIn asks for an example of an event type.
type exampleIn struct {
	EventType optional[string] `json:"eventType" api:"required"`
	// ExampleIndex chooses among the schema's examples; the first when absent.
	ExampleIndex optional[int] `json:"exampleIndex"`
}

// sendExample publishes an example of an event type to one endpoint, whatever
// that selects. It is an ordinary message otherwise.
func (h *handler) sendExample(c *call, in exampleIn) (messageOut, error) {
	v, err := h.endpoint(c)
	if err != nil {
		return nil, err
	}
	var f faults
	var name string
	var index int
	take(&f, "eventType", in.EventType, &name, wrongName)
	take(&f, "exampleIndex", in.ExampleIndex, &index, wrongIndex)
	if name == "" && len(f) == 0 {
		f.add("is required", "eventType")
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	if !v.Enabled() {
		return nil, &postern.Error{Kind: postern.Invalid, Code: "endpoint_disabled", Detail: "The endpoint is disabled and gets nothing; enable it first"}
	}
	payload, err := h.example(c, name, index)
	if err != nil {
		return nil, err
	}
	m, _, err := h.Publisher.Publish(c.r.Context(), postern.Publish{
		Application: c.app.Number, EventType: name, ContentType: jsonContentType, Payload: payload, Only: v.Number,
	})
	if err != nil {
		return nil, err
	}
	if !isObject(payload) {
		payload = wrapPayload(jsonContentType, payload)
	}
	c.status = http.StatusOK
	return appendMessage(nil, m, payload), nil
}

// example is the text of an event type's example: what its newest schema has
// under examples. A type that visitors are not shown has none for them.
func (h *handler) example(c *call, name string, index int) ([]byte, error) {
	if name == pingType {
		return []byte(pingPayload), nil
	}
	t, err := h.EventTypes.EventType(name)
	if err != nil {
		return nil, notFound(err)
	}
	if !c.shown(t) {
		return nil, postern.ErrNotFound
	}
	var example gjson.Result
	if _, schema := t.NewestSchema(); schema != nil {
		example = gjson.GetBytes(schema, "examples."+strconv.Itoa(index))
	}
	if !example.Exists() {
		return nil, &postern.Error{Kind: postern.Invalid, Code: "invalid_scheme", Detail: "The event type's schema has no such example"}
	}
	return []byte(example.Raw), nil
}

// wrongIndex bounds an index of a list.
func wrongIndex(index int) string {
	if index < 0 {
		return "must be 0 or more"
	}
	return ""
}

// precheckIn is what a message would be routed by.
type precheckIn struct {
	EventType optional[string]   `json:"eventType" api:"required"`
	Channels  optional[[]string] `json:"channels"`
}

// precheckOut tells whether anybody would get it.
type precheckOut struct {
	Active bool `json:"active"`
}

// precheck routes a message that is not sent.
func (h *handler) precheck(c *call, in precheckIn) (precheckOut, error) {
	var f faults
	var name string
	var channels []string
	take(&f, "eventType", in.EventType, &name, wrongName)
	take(&f, "channels", in.Channels, &channels, func(list []string) string {
		if len(list) == 0 || len(list) > maxMessageChannels || slices.ContainsFunc(list, func(s string) bool { return wrongName(s) != "" }) {
			return "must have 1 to " + strconv.Itoa(maxMessageChannels) + " names, or be null"
		}
		return ""
	})
	if name == "" && len(f) == 0 {
		f.add("is required", "eventType")
	}
	if err := f.err(); err != nil {
		return precheckOut{}, err
	}
	endpoints, found := h.Router.Match(c.app.Number, name, channels)
	if !found {
		return precheckOut{}, postern.ErrNotFound
	}
	return precheckOut{Active: len(endpoints) > 0}, nil
}

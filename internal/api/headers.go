package api

import (
	"slices"
	"strings"

	"github.com/postern-dev/postern"
)

// headersIn are an endpoint's own headers as callers write them. In a PATCH,
// null takes one away, as DeleteHeaders does.
type headersIn struct {
	Headers       optional[map[string]*string] `json:"headers" api:"put"`
	DeleteHeaders []string                     `json:"deleteHeaders"`
}

// headersOut are the headers as callers read them: of those that hold
// credentials only the names.
type headersOut struct {
	Headers   map[string]string `json:"headers"`
	Sensitive []string          `json:"sensitive" api:"list"`
}

// getHeaders shows values but those of credentials.
func (h *handler) getHeaders(c *call, _ none) (headersOut, error) {
	v, err := h.endpoint(c)
	if err != nil {
		return headersOut{}, err
	}
	out := headersOut{Headers: map[string]string{}, Sensitive: []string{}}
	for _, header := range v.Headers {
		if sensitiveHeader(header.Name) {
			out.Sensitive = append(out.Sensitive, header.Name)
			continue
		}
		out.Headers[header.Name] = header.Value
	}
	return out, nil
}

// putHeaders replaces all headers.
func (h *handler) putHeaders(c *call, in headersIn) (none, error) {
	if in.Headers.Value == nil {
		return none{}, postern.InvalidField("is required", "body", "headers")
	}
	return h.changeHeaders(c, func(f *faults, _ []postern.Header) []postern.Header {
		return mergeHeaders(f, nil, *in.Headers.Value)
	})
}

// patchHeaders changes those named.
func (h *handler) patchHeaders(c *call, in headersIn) (none, error) {
	return h.changeHeaders(c, func(f *faults, old []postern.Header) []postern.Header {
		changes := map[string]*string{}
		for _, name := range in.DeleteHeaders {
			changes[name] = nil
		}
		if in.Headers.Value != nil {
			for name, value := range *in.Headers.Value {
				changes[name] = value
			}
		}
		return mergeHeaders(f, old, changes)
	})
}

// changeHeaders has the catalogue apply the change and check names and values.
func (h *handler) changeHeaders(c *call, change func(*faults, []postern.Header) []postern.Header) (none, error) {
	v, err := h.endpoint(c)
	if err != nil {
		return none{}, err
	}
	_, err = h.Endpoints.UpdateEndpoint(c.r.Context(), c.app.Number, v.Number, false, func(e *postern.Endpoint) error {
		var f faults
		e.Headers = change(&f, e.Headers)
		return f.err()
	})
	return none{}, err
}

// mergeHeaders returns old with the changes, nil values taking away, sorted by
// name. Names are the same whatever their case, and keep the one given last.
func mergeHeaders(f *faults, old []postern.Header, changes map[string]*string) []postern.Header {
	merged := slices.DeleteFunc(slices.Clone(old), func(header postern.Header) bool {
		for name := range changes {
			if strings.EqualFold(name, header.Name) {
				return true
			}
		}
		return false
	})
	for name, value := range changes {
		if value == nil {
			continue
		}
		merged = append(merged, postern.Header{Name: name, Value: *value})
	}
	slices.SortFunc(merged, func(a, b postern.Header) int {
		return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	for i := 1; i < len(merged); i++ {
		if strings.EqualFold(merged[i-1].Name, merged[i].Name) {
			f.add("is given twice", "headers", merged[i].Name)
		}
	}
	return merged
}

// valuesOf gives each header a value that is there.
func valuesOf(headers map[string]string) map[string]*string {
	values := make(map[string]*string, len(headers))
	for name, value := range headers {
		values[name] = &value
	}
	return values
}

// sensitiveHeader reports names whose values are credentials.
func sensitiveHeader(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "authorization", "cookie", "x-api-key", "x-auth-token":
		return true
	}
	return strings.HasPrefix(name, "proxy-")
}

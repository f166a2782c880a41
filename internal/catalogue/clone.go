package catalogue

import (
	"maps"
	"slices"

	"github.com/postern-dev/postern"
)

// Deep copies, so that no record shares memory with its caller: what is given
// in may be used again, and what a change starts from is read by others. Empty
// lists stay what they are, since nil and empty differ in retry schedules and
// filters.

func cloneApplication(a *postern.Application) *postern.Application {
	c := *a
	c.Metadata = maps.Clone(a.Metadata)
	return &c
}

// cloneEndpoint also drops repeated filter entries, which say nothing.
func cloneEndpoint(e *postern.Endpoint) *postern.Endpoint {
	c := *e
	c.EventTypes = distinct(e.EventTypes)
	c.Channels = distinct(e.Channels)
	c.RetrySchedule = slices.Clone(e.RetrySchedule)
	c.Headers = slices.Clone(e.Headers)
	c.Metadata = maps.Clone(e.Metadata)
	c.Secrets = slices.Clone(e.Secrets)
	for i, s := range c.Secrets {
		c.Secrets[i].Key = slices.Clone(s.Key)
	}
	return &c
}

func cloneSource(s *postern.Source) *postern.Source {
	c := *s
	c.Token = slices.Clone(s.Token)
	c.Secrets = slices.Clone(s.Secrets)
	for i, sealed := range c.Secrets {
		c.Secrets[i] = slices.Clone(sealed)
	}
	c.Previous = slices.Clone(s.Previous)
	c.Config = maps.Clone(s.Config)
	c.SealedConfig = maps.Clone(s.SealedConfig)
	for name, sealed := range c.SealedConfig {
		c.SealedConfig[name] = slices.Clone(sealed)
	}
	c.EventTypes = maps.Clone(s.EventTypes)
	c.Methods = distinct(s.Methods)
	c.ForwardHeaders = distinct(s.ForwardHeaders)
	return &c
}

func cloneEventType(t *postern.EventType) *postern.EventType {
	c := *t
	c.Schemas = maps.Clone(t.Schemas)
	for version, schema := range c.Schemas {
		c.Schemas[version] = slices.Clone(schema)
	}
	c.RetrySchedule = slices.Clone(t.RetrySchedule)
	c.FeatureFlags = distinct(t.FeatureFlags)
	return &c
}

// distinct copies a list of names without the second of two equal ones; nil
// stays nil.
func distinct(names []string) []string {
	if names == nil {
		return nil
	}
	copied := make([]string, 0, len(names))
	seen := make(map[string]struct{}, len(names))
	for _, name := range names {
		if _, again := seen[name]; !again {
			seen[name] = struct{}{}
			copied = append(copied, name)
		}
	}
	return copied
}

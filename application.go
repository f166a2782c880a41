package postern

import (
	"strconv"
	"strings"
	"time"
)

// ApplicationNumber is an application's catalogue number: what keys of the
// store hold instead of its id. Numbers start at 1 and are never used again.
type ApplicationNumber uint32

// Application is whose webhooks these are: a tenant, a customer, or one of the
// user's own services. Endpoints, sources and messages belong to one.
type Application struct {
	ID     ApplicationID
	Number ApplicationNumber
	// UID is the user's own name for it, unique over applications; "" for none.
	UID  string
	Name string
	// Rate is what Svix's clients call its throttle rate, in messages a second; 0
	// for none. It is kept and shown, and not enforced yet.
	Rate     int
	Metadata map[string]string
	// Version grows with every change of the application or of what belongs to
	// it; a route is decided at one version.
	Version              uint64
	CreatedAt, UpdatedAt time.Time
}

// EventType describes messages of one name, such as "invoice.paid". A message
// may have a type that nobody described.
type EventType struct {
	Name        string
	Description string
	// Schemas maps a version to its JSON Schema; nil for none.
	Schemas map[string][]byte
	// EnforceSchema has messages of this type refused that do not fit its newest
	// schema. What a source brings in is taken as it is.
	EnforceSchema bool
	// RetrySchedule replaces the general one for messages of this type, unless
	// the endpoint has its own; nil for none.
	RetrySchedule RetrySchedule
	GroupName     string
	FeatureFlags  []string
	Archived      bool
	Deprecated    bool

	CreatedAt, UpdatedAt time.Time
}

// NewestSchema is the schema of the highest version: numbers come in their
// order, and after all that are none. It is "" and nil without schemas.
func (t *EventType) NewestSchema() (version string, schema []byte) {
	for v, s := range t.Schemas {
		if schema == nil || compareVersions(v, version) > 0 {
			version, schema = v, s
		}
	}
	return version, schema
}

func compareVersions(a, b string) int {
	m, errA := strconv.ParseUint(a, 10, 64)
	n, errB := strconv.ParseUint(b, 10, 64)
	switch {
	case errA == nil && errB == nil && m != n:
		if m < n {
			return -1
		}
		return 1
	case errA == nil && errB != nil:
		return 1
	case errA != nil && errB == nil:
		return -1
	}
	return strings.Compare(a, b)
}

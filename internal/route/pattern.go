package route

import (
	"fmt"
	"strings"

	"github.com/postern-dev/postern"
)

// maxName bounds an event type's name, in bytes.
const maxName = 256

// wildcard is the last part of a pattern.
const wildcard = "*"

// IsPattern reports whether a filter entry stands for many event types. Only
// an exact name needs an entry in the list of event types.
func IsPattern(filter string) bool { return strings.HasSuffix(filter, wildcard) }

// ValidName reports whether name can be an event type's: 1 to 256 of letters,
// digits, '-', '_' and '.'.
func ValidName(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// ValidateEventTypes checks the entries of an endpoint's filter: exact names,
// or a name whose last part is "*". The error is Invalid; loc is the way to
// the list, to which the faulty entry's index is added.
func ValidateEventTypes(filter []string, loc ...string) error {
	for i, entry := range filter {
		if msg := patternFault(entry); msg != "" {
			return postern.InvalidField(msg, append(loc[:len(loc):len(loc)], fmt.Sprint(i))...)
		}
	}
	return nil
}

// patternFault says what is wrong with one entry; "" for nothing.
func patternFault(entry string) string {
	prefix, pattern := cutWildcard(entry)
	switch {
	case len(entry) > maxName:
		return fmt.Sprintf("an event type has at most %d characters", maxName)
	case pattern && (prefix == "" || ValidName(prefix)):
		return ""
	case !pattern && ValidName(entry):
		return ""
	case strings.Contains(entry, wildcard):
		return fmt.Sprintf("%q: \"*\" can only be the whole last part of an event type, as in \"invoice.*\"", entry)
	default:
		return fmt.Sprintf("%q is not an event type: want 1 to %d of letters, digits, '-', '_' and '.'", entry, maxName)
	}
}

// cutWildcard splits "invoice.*" into "invoice." and true. A "*" alone has the
// empty prefix; one that is not a part of its own makes no pattern.
func cutWildcard(entry string) (prefix string, pattern bool) {
	prefix, found := strings.CutSuffix(entry, wildcard)
	if !found || prefix != "" && !strings.HasSuffix(prefix, ".") {
		return entry, false
	}
	return prefix, true
}

// covers reports whether one entry selects an event type. "*" stands for at
// least one part, so "invoice.*" does not cover "invoice" or "invoice.".
func covers(entry, eventType string) bool {
	prefix, pattern := cutWildcard(entry)
	if !pattern {
		return entry == eventType
	}
	return len(eventType) > len(prefix) && strings.HasPrefix(eventType, prefix)
}

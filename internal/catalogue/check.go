package catalogue

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/route"
	"github.com/postern-dev/postern/internal/schema"
)

// Bounds of what users configure. Metadata and settings are counted in bytes
// of JSON, texts in characters.
const (
	maxMetadata    = 4096
	maxConfig      = 16 << 10
	maxName        = 256
	maxDescription = 4096
	maxURL         = 2048
	maxChannels    = 10
	maxHeaderBytes = 16 << 10
	// maxSecrets is the current one and ten that still live.
	maxSecrets = 11
	// maxSchemas bounds the versions of an event type.
	maxSchemas = 100
	// maxPrefix leaves room for a provider's event name behind it.
	maxPrefix = 128
)

// reservedHeader reports whether users may not set a header: those that
// Postern sets itself, that say how a request is framed or belong to one hop of
// it, and the prefixes by which receivers and clouds know their own.
func reservedHeader(lower string) bool {
	switch lower {
	case "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "date", "expect",
		"forwarded", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
		"user-agent", "via":
		return true
	}
	for _, prefix := range [...]string{
		"webhook-", "svix-", "x-svix-", "x-amz-", "x-amzn-", "x-google-", "x-goog-", "x-azure-", "x-fd-",
	} {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}
	return false
}

// The checks of records say what is wrong with them as Invalid errors, with the
// way to the field in the body of the request. They need no catalogue, and are
// asked before every commit, whoever the caller is.

func checkApplication(a *postern.Application) error {
	return all(
		checkUID(a.UID, a.ID.Prefix()),
		checkText(a.Name, maxName, "name"),
		require(a.Name != "", "an application needs a name", "name"),
		checkRate(a.Rate),
		checkMetadata(a.Metadata),
	)
}

// checkEndpointFields looks at what can be judged without the catalogue; old
// is what the record replaces, nil for a new one.
func checkEndpointFields(e, old *postern.Endpoint) error {
	return all(
		checkUID(e.UID, e.ID.Prefix()),
		checkKind(e, old),
		checkText(e.Description, maxDescription, "description"),
		require(e.Version >= 1, "a version is at least 1", "version"),
		require(e.EventTypes == nil || len(e.EventTypes) > 0, "a list of event types has at least one; leave it out for all", "eventTypes"),
		route.ValidateEventTypes(e.EventTypes, "body", "eventTypes"),
		checkChannels(e.Channels),
		checkRate(e.Rate),
		checkSchedule(e.RetrySchedule),
		checkHeaders(e.Headers),
		checkMetadata(e.Metadata),
		checkSecrets(e),
	)
}

func checkSourceFields(s *postern.Source) error {
	return all(
		checkUID(s.UID, s.ID.Prefix()),
		checkText(s.Name, maxName, "name"),
		require(s.Provider != "", "a source needs a provider", "provider"),
		require(s.EventTypePrefix == "" || route.ValidName(s.EventTypePrefix) && len(s.EventTypePrefix) <= maxPrefix,
			fmt.Sprintf("a prefix has at most %d letters, digits, '-', '_' and '.'", maxPrefix), "eventTypePrefix"),
		checkMethods(s.Methods),
		checkAnswer(s),
		checkMapped(s.EventTypes),
		checkForwarded(s),
		require(jsonSize(s.Config) <= maxConfig, fmt.Sprintf("settings have at most %d bytes", maxConfig), "config"),
		require(len(s.Secrets) <= maxSecrets, fmt.Sprintf("a source has at most %d secrets", maxSecrets), "secrets"),
	)
}

func checkEventType(t *postern.EventType) error {
	return all(
		require(route.ValidName(t.Name), "a name is 1 to 256 of letters, digits, '-', '_' and '.'", "name"),
		checkText(t.Description, maxDescription, "description"),
		checkSchemas(t.Schemas),
		require(!t.EnforceSchema || len(t.Schemas) > 0, "there is no schema to enforce", "enforceSchema"),
		checkSchedule(t.RetrySchedule),
		require(t.GroupName == "" || route.ValidName(t.GroupName),
			"a group name is 1 to 256 of letters, digits, '-', '_' and '.'", "groupName"),
		require(!slices.ContainsFunc(t.FeatureFlags, func(f string) bool { return !route.ValidName(f) }),
			"a feature flag is 1 to 256 of letters, digits, '-', '_' and '.'", "featureFlags"),
	)
}

func checkKey(k *postern.Key) error {
	scopes := []postern.Scope{postern.ScopeAdmin, postern.ScopeApplication, postern.ScopeReadOnly, postern.ScopePublishOnly, postern.ScopePortal}
	return all(
		checkText(k.Name, maxName, "name"),
		require(slices.Contains(scopes, k.Scope), "a scope is one of admin, application, read-only, publish-only", "scope"),
		require(k.Scope != postern.ScopeApplication || k.Application != 0, "a key of this scope belongs to an application", "application"),
		require(k.Scope != postern.ScopeAdmin || k.Application == 0, "an admin key belongs to no application", "application"),
		require(k.Scope != postern.ScopePortal || k.Application != 0 && !k.ExpiresAt.IsZero() && k.Portal != nil, "a visitor of the portal has an application and an end", "scope"),
		require(k.Hash != [32]byte{}, "a key needs a token", "token"),
	)
}

// checkUID allows "", which is no uid. One that looked like an id could never
// be found: what begins with the prefix is looked up as an id. One that a path
// resolves on its way would be worse: to delete an endpoint called ".." is to
// delete its application.
func checkUID(uid, prefix string) error {
	return all(
		require(uid == "" || route.ValidName(uid), "a uid is 1 to 256 of letters, digits, '-', '_' and '.'", "uid"),
		require(uid != "." && uid != "..", "a uid is not . or .., which paths take for something else", "uid"),
		require(!strings.HasPrefix(uid, prefix), "a uid does not begin with "+prefix+", which ids do", "uid"),
	)
}

// checkKind also wants the URL of an http endpoint; whether it can be reached
// is not judged here. Another kind would deliver a lane's backlog in a way that
// it was not accepted for.
func checkKind(e, old *postern.Endpoint) error {
	kinds := []postern.EndpointKind{postern.HTTPEndpoint, postern.HandlerEndpoint, postern.PullEndpoint}
	return all(
		require(slices.Contains(kinds, e.Kind), "a kind is one of http, handler, pull", "kind"),
		require(old == nil || old.Kind == e.Kind, "the kind of an endpoint cannot change", "kind"),
		require(e.Kind != postern.HTTPEndpoint || e.URL != "", "an http endpoint needs a url", "url"),
		require(len(e.URL) <= maxURL, fmt.Sprintf("a url has at most %d bytes", maxURL), "url"),
	)
}

// checkText counts characters, not bytes.
func checkText(text string, limit int, field string) error {
	return require(utf8.ValidString(text) && utf8.RuneCountInString(text) <= limit,
		fmt.Sprintf("a text of at most %d characters is wanted", limit), field)
}

// checkRate allows 0, which is no limit; a caller who tells "none" from 0
// refuses a given 0 itself.
func checkRate(rate int) error {
	return require(rate >= 0, "a rate is at least 1", "throttleRate")
}

func checkMetadata(metadata map[string]string) error {
	return require(jsonSize(metadata) <= maxMetadata, fmt.Sprintf("metadata has at most %d bytes as JSON", maxMetadata), "metadata")
}

func checkChannels(channels []string) error {
	if channels == nil {
		return nil
	}
	if len(channels) == 0 || len(channels) > maxChannels {
		return invalid(fmt.Sprintf("a list of channels has 1 to %d; leave it out for all", maxChannels), "channels")
	}
	for i, channel := range channels {
		if !route.ValidName(channel) {
			return invalid("a channel is 1 to 256 of letters, digits, '-', '_' and '.'", "channels", fmt.Sprint(i))
		}
	}
	return nil
}

// checkSchedule gives the schedule's own fault its way in the body.
func checkSchedule(schedule postern.RetrySchedule) error {
	err := schedule.Validate()
	if fault, ok := errors.AsType[*postern.Error](err); ok {
		return invalid(fault.Detail, "retrySchedule")
	}
	return err
}

// checkLongest refuses a schedule whose last try could come after retention has
// dropped the message.
func (c *Catalogue) checkLongest(schedule postern.RetrySchedule) error {
	if most := c.config.MaxSchedule; most > 0 && schedule.Longest() > most {
		return invalid(fmt.Sprintf("the schedule takes %v, messages are kept for %v", schedule.Longest(), most), "retrySchedule")
	}
	return nil
}

// checkHeaders keeps every value on its own line, and the whole small enough
// for what receivers usually take. An error shows names, never values: those
// may be credentials.
func checkHeaders(headers []postern.Header) error {
	total := 0
	for _, h := range headers {
		total += len(h.Name) + len(h.Value)
		switch {
		case !isToken(h.Name) || len(h.Name) > maxName:
			return invalid(fmt.Sprintf("%.64q is not a header name", h.Name), "headers")
		case reservedHeader(strings.ToLower(h.Name)):
			return invalid("the header "+h.Name+" is reserved", "headers", h.Name)
		case strings.ContainsFunc(h.Value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return invalid("the value of "+h.Name+" has control characters", "headers", h.Name)
		}
	}
	return require(total <= maxHeaderBytes, fmt.Sprintf("headers have at most %d bytes", maxHeaderBytes), "headers")
}

// checkSecrets counts what lives; expired ones are gone by now. Too many is
// not a fault of a field: the same request is fine when one has expired.
func checkSecrets(e *postern.Endpoint) error {
	switch {
	case len(e.Secrets) == 0:
		return invalid("an endpoint needs a secret", "key")
	case len(e.Secrets) > maxSecrets:
		return &postern.Error{Kind: postern.Invalid, Code: "limit_reached",
			Detail: fmt.Sprintf("An endpoint has at most %d secrets that still live; wait for one to expire", maxSecrets)}
	}
	return nil
}

// checkMethods wants the methods of the standard, in capitals as they are
// sent; POST may be named though it always holds.
func checkMethods(methods []string) error {
	known := []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}
	for i, method := range methods {
		if !slices.Contains(known, method) {
			return invalid(fmt.Sprintf("%.32q is not among the methods %s", method, strings.Join(known, ", ")), "methods", fmt.Sprint(i))
		}
	}
	return nil
}

// checkSchemas wants JSON Schemas that stand by themselves.
func checkSchemas(schemas map[string][]byte) error {
	if len(schemas) > maxSchemas {
		return invalid(fmt.Sprintf("an event type has at most %d schemas", maxSchemas), "schemas")
	}
	for version, text := range schemas {
		if version == "" || len(version) > maxName {
			return invalid("a schema needs a version of at most 256 bytes", "schemas")
		}
		if _, err := schema.Compile(text); err != nil {
			return invalid("the schema of version "+version+": "+err.Error(), "schemas", version)
		}
	}
	return nil
}

// liveSecrets drops those that have expired, in place; the current one has no
// end.
func liveSecrets(secrets []postern.EndpointSecret, now time.Time) []postern.EndpointSecret {
	return slices.DeleteFunc(secrets, func(s postern.EndpointSecret) bool { return !s.Live(now) })
}

func uidInUse(uid string) error {
	return &postern.Error{Kind: postern.Conflict, Detail: "The uid " + uid + " is in use"}
}

// jsonSize is the length of a map as JSON; marshalling strings cannot fail.
func jsonSize(m map[string]string) int {
	if len(m) == 0 {
		return 0
	}
	text, err := json.Marshal(m)
	if err != nil {
		return maxConfig + 1
	}
	return len(text)
}

// isToken reports whether a header may be called so (RFC 9110, token).
func isToken(name string) bool {
	if name == "" {
		return false
	}
	for i := range len(name) {
		c := name[i]
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alphanumeric && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return true
}

// require is an error of a field unless ok.
func require(ok bool, msg, field string) error {
	if ok {
		return nil
	}
	return invalid(msg, field)
}

// invalid is an error of a field of the request's body.
func invalid(msg string, loc ...string) error {
	return postern.InvalidField(msg, append([]string{"body"}, loc...)...)
}

// all makes one error of the faults of an input, in their order. What is no
// fault of a field comes alone.
func all(errs ...error) error {
	var joined *postern.Error
	for _, err := range errs {
		if err == nil {
			continue
		}
		fault, ok := errors.AsType[*postern.Error](err)
		switch {
		case !ok || len(fault.Fields) == 0:
			return err
		case joined == nil:
			joined = fault
		default:
			joined.Fields = append(joined.Fields, fault.Fields...)
		}
	}
	if joined == nil {
		return nil
	}
	return joined
}

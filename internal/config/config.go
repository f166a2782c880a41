// Package config reads the settings of the binary: from flags, POSTERN_
// variables and one YAML file, in that order of precedence, over the defaults.
//
// A setting is defined once, in the table of settings.go. The flags, the names
// of the variables, the keys of the file, `postern config` and
// docs/configuration.md all come from it. Nothing outside this package looks
// at the environment or at the file.
//
// A user's mistake is never passed over: an unknown flag, key or variable is
// an error that names the nearest one, and every mistake of a run is reported
// at once, each with the place it came from and the way to correct it.
package config

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/verify"
)

// Config is what the binary runs with. Load makes one; a Config that was
// changed afterwards has to pass Validate again. It holds secrets, but shows
// them only through their Reveal methods.
type Config struct {
	// Listen is the address of the HTTP server, host:port. Default
	// 127.0.0.1:8080. Port 0 takes a free one; empty is refused.
	Listen string
	// Store names the storage: file:DIR, memory: or postgres://... Default
	// file:postern-data. Empty is refused.
	Store Location
	// Node names this server among those that share its store. Default empty: the
	// host's name and the process's number, which are new at each start.
	Node string
	// AdminKey is accepted as an API key that may do everything. Default
	// empty: a key is made at the first start and printed once.
	AdminKey Secret
	// SecretKey is the key ring for secrets at rest, as keyring.Parse reads it.
	// Default empty: the store keeps a ring of its own.
	SecretKey Secret
	// PublicURL is how the outside reaches this server, http or https, without
	// a slash at its end. Default empty: http:// and the address listened on.
	PublicURL string
	// EgressAllow are the networks that deliveries may reach besides public
	// addresses. Default empty: public addresses only.
	EgressAllow []netip.Prefix
	// EgressProxy is the HTTP proxy that deliveries go through. Default empty:
	// none; proxies of the environment are never used.
	EgressProxy Location
	// EgressCA is a PEM file of certificate authorities trusted for deliveries
	// besides the system's. Default empty: the system's alone.
	EgressCA string
	// RetrySchedule are the waits after failed tries, where neither endpoint
	// nor event type has its own. Default 5s,5m,30m,2h,5h,10h,10h: eight
	// tries. Empty ("none" as text) is a single try.
	RetrySchedule postern.RetrySchedule
	// Retention is how long messages and attempts are kept. Default 30d. Zero
	// is refused, as is less than the retry schedule takes.
	Retention time.Duration
	// MaxBody bounds the body of an API request, in bytes. Default 1MiB. Zero
	// is refused.
	MaxBody Size
	// InboundMaxBody bounds the body that a source takes, in bytes. Default
	// 25MiB. Zero is refused.
	InboundMaxBody Size
	// DrainTimeout is how long a stop waits for attempts under way. Default
	// 20s, which is above the deadline of an attempt. Zero cuts them off at
	// once; they are tried again after the next start.
	DrainTimeout time.Duration
	// JWTSecret checks JWTs as svix-server makes them, which are then accepted
	// beside API keys. Default empty: none are.
	JWTSecret Secret
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	// Default empty: nobody's.
	TrustedProxies []netip.Prefix
	// Providers are files with provider definitions of the user's own, YAML or
	// JSON. Default empty: the built-in catalogue alone.
	Providers []string
	// LogLevel is the least important level that is logged. Default info,
	// which is also its zero value.
	LogLevel slog.Level
	// LogFormat is text, json or auto: text on a terminal, json elsewhere.
	// Default auto. Empty is refused.
	LogFormat LogFormat
	// File is the YAML file that was read. Default empty: none.
	File string

	// Catalogue is what Providers hold beside the built-in definitions. Load
	// makes it; nil is the built-in ones alone.
	Catalogue *verify.Catalogue

	// origins tells where each value in force came from, by setting name; what
	// is not in it is a default.
	origins map[string]Origin
}

// LogFormat is the shape of log lines on standard error.
type LogFormat string

// The formats of log lines.
const (
	LogAuto LogFormat = "auto"
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// Origin is where a value came from, as a user would point at it: "--listen",
// "POSTERN_LISTEN", "postern.yaml:3" or OriginDefault.
type Origin string

// OriginDefault is the origin of a value that nobody set.
const OriginDefault Origin = "default"

// Default is the configuration of a binary that was given nothing.
func Default() *Config {
	c, _ := Load(Input{}) // a default that does not parse fails TestDefaults
	return c
}

// Origin tells where the value in force of a setting came from.
func (c *Config) Origin(name string) Origin {
	if origin, ok := c.origins[name]; ok {
		return origin
	}
	return OriginDefault
}

// Entry is one setting as `postern config` shows it.
type Entry struct {
	// Name is the flag without its dashes, and the key in the file.
	Name string `json:"name"`
	// Variable is the name in the environment.
	Variable string `json:"variable"`
	// Value is in force, as text, with secrets masked. Empty where unset.
	Value string `json:"value"`
	// From is where Value came from.
	From Origin `json:"from"`
	// Default is the text that an unset setting reads as.
	Default string `json:"default"`
}

// Entries are all settings in the order of the documentation.
func (c *Config) Entries() []Entry {
	var entries []Entry
	for _, s := range c.settings() {
		entries = append(entries, Entry{
			Name: s.name, Variable: s.variable(), Value: s.show(),
			From: c.Origin(s.name), Default: s.preset,
		})
	}
	return entries
}

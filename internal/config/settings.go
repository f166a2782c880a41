package config

import (
	"fmt"
	"strings"
)

// setting is one line of the table: everything that is known of a setting.
type setting struct {
	// name is the flag without dashes and the key in the file.
	name string
	// form is what a value looks like, in capitals for what varies.
	form string
	// preset is the default as text; empty is unset.
	preset string
	// help is one or two sentences for --help and the documentation.
	help string
	// list allows a YAML list.
	list bool
	// secret keeps the given text out of error messages.
	secret bool
	binding
}

// binding ties a setting to its field: read takes a text, show gives the value
// in force with secrets masked.
type binding struct {
	read func(text string) error
	show func() string
}

// settings is the table, tied to the fields of c, in the order of the
// documentation.
func (c *Config) settings() []setting {
	return []setting{
		{name: "listen", form: "HOST:PORT", preset: "127.0.0.1:8080", binding: text(&c.Listen),
			help: "Address of the HTTP server. Port 0 takes a free one."},
		{name: "store", form: "URL", preset: "file:postern-data", secret: true, binding: location(&c.Store),
			help: "Where everything is kept: file:DIR (one machine, nothing to install), memory: (gone at exit) or postgres://USER:PASSWORD@HOST/DATABASE."},
		{name: "node", form: "NAME", binding: text(&c.Node),
			help: "Name of this server among those on one database. No two that run may have the same: one that starts has what its namesake had, at once. Unset, HOST/PID."},
		{name: "admin-key", form: "KEY", secret: true, binding: secret(&c.AdminKey),
			help: "Accepted as an API key that may do everything. Unset, a key is made at the first start and printed once."},
		{name: "secret-key", form: "ID:BASE64,...", list: true, secret: true, binding: secret(&c.SecretKey),
			help: "Key ring for secrets at rest: 32 bytes each, the first key encrypts and all decrypt. Unset, the store keeps a ring of its own."},
		{name: "public-url", form: "URL", binding: text(&c.PublicURL),
			help: "How the outside reaches this server; requests of providers that sign the URL are checked against it. Unset, http:// and the address listened on."},
		{name: "egress-allow", form: "CIDR,...", list: true, binding: bind(&c.EgressAllow, parseNetworks, formatNetworks),
			help: "Networks that deliveries may reach besides public addresses, such as 127.0.0.0/8."},
		{name: "egress-proxy", form: "URL", secret: true, binding: location(&c.EgressProxy),
			help: "HTTP proxy for deliveries. HTTP_PROXY and the like are not used."},
		{name: "egress-ca", form: "FILE", binding: text(&c.EgressCA),
			help: "PEM file of certificate authorities trusted for deliveries besides the system's."},
		{name: "retry-schedule", form: "WAIT,...", preset: "5s,5m,30m,2h,5h,10h,10h", list: true, binding: bind(&c.RetrySchedule, parseSchedule, formatSchedule),
			help: "Waits after failed tries, each spread by a fifth; the first try is at once. `none` is a single try."},
		{name: "retention", form: "DURATION", preset: "30d", binding: bind(&c.Retention, ParseDuration, FormatDuration),
			help: "How long messages and attempts are kept. At least as long as the retry schedule takes."},
		{name: "max-body", form: "SIZE", preset: "1MiB", binding: bind(&c.MaxBody, ParseSize, Size.String),
			help: "Largest body of an API request."},
		{name: "inbound-max-body", form: "SIZE", preset: "25MiB", binding: bind(&c.InboundMaxBody, ParseSize, Size.String),
			help: "Largest body that a source takes."},
		{name: "drain-timeout", form: "DURATION", preset: "20s", binding: bind(&c.DrainTimeout, ParseDuration, FormatDuration),
			help: "How long a stop waits for attempts under way. What is cut off is tried again after the next start."},
		{name: "jwt-secret", form: "SECRET", secret: true, binding: secret(&c.JWTSecret),
			help: "Accept the tokens of a svix-server that has this secret: JWTs signed with HS256. Unset, none are accepted."},
		{name: "trusted-proxies", form: "CIDR,...", list: true, binding: bind(&c.TrustedProxies, parseNetworks, formatNetworks),
			help: "Networks whose X-Forwarded-For header is believed."},
		{name: providersSetting, form: "FILE,...", list: true, binding: bind(&c.Providers, parseFiles, formatFiles),
			help: "YAML or JSON files with provider definitions of your own, beside the built-in ones; docs/receiving.md says how they are written."},
		{name: "log-level", form: "LEVEL", preset: "info", binding: bind(&c.LogLevel, parseLevel, formatLevel),
			help: "Least important level that is logged: debug, info, warn or error."},
		{name: "log-format", form: "FORMAT", preset: "auto", binding: bind(&c.LogFormat, parseFormat, func(f LogFormat) string { return string(f) }),
			help: "text, json, or auto: text on a terminal and json elsewhere."},
		{name: fileSetting, form: "FILE", binding: text(&c.File),
			help: "YAML file of settings: a key is a flag's name without its dashes."},
	}
}

// providersSetting names the files that Load reads besides.
const providersSetting = "providers"

// fileSetting is the one that the file itself cannot set.
const fileSetting = "config"

// variablePrefix begins the names of all settings in the environment.
const variablePrefix = "POSTERN_"

// variable is the setting's name in the environment.
func (s *setting) variable() string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

// flag is the setting's name on the command line.
func (s *setting) flag() string { return "--" + s.name }

// bind ties a field to the functions that read and show it. A text that does
// not parse leaves the field as it was.
func bind[T any](field *T, parse func(string) (T, error), format func(T) string) binding {
	return binding{
		read: func(text string) error {
			value, err := parse(text)
			if err == nil {
				*field = value
			}
			return err
		},
		show: func() string { return format(*field) },
	}
}

func text(field *string) binding {
	same := func(s string) string { return s }
	return bind(field, func(s string) (string, error) { return s, nil }, same)
}

func secret(field *Secret) binding {
	return bind(field, func(s string) (Secret, error) { return NewSecret(s), nil }, Secret.String)
}

func location(field *Location) binding {
	return bind(field, func(s string) (Location, error) { return NewLocation(s), nil }, Location.String)
}

// Error is one mistake in the settings.
type Error struct {
	// Setting is the name of the flag, key or variable as it was written, or
	// of the setting whose value is wrong.
	Setting string
	// Origin is where it was found.
	Origin Origin
	// Problem says what is wrong and how to correct it. It holds no secret.
	Problem string
}

// Error is one line: the place, the setting unless the place names it, and the
// problem.
func (e *Error) Error() string {
	if strings.HasPrefix(string(e.Origin), "--") || strings.HasPrefix(string(e.Origin), variablePrefix) {
		return fmt.Sprintf("%s: %s", e.Origin, e.Problem)
	}
	return fmt.Sprintf("%s: %s: %s", e.Origin, e.Setting, e.Problem)
}

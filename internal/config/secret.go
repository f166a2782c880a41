package config

import (
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
)

// masked stands wherever a secret would.
const masked = "********"

// Secret is a text that no formatting, logging or encoding shows. The zero
// value is "not set" and reads as empty, so that it can be told from a hidden
// one. Reveal is the only way to the text.
type Secret struct{ text string }

// NewSecret hides text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal gives the text to the code that needs it.
func (s Secret) Reveal() string { return s.text }

// IsSet reports whether there is anything to hide.
func (s Secret) IsSet() bool { return s.text != "" }

// String is a mask, or empty for an unset secret.
func (s Secret) String() string {
	if !s.IsSet() {
		return ""
	}
	return masked
}

// Format writes the mask for every verb: without it %d and %#v would print the
// field.
func (s Secret) Format(state fmt.State, _ rune) { fmt.Fprint(state, s.String()) }

// LogValue keeps the text out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps the text out of JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Location is a store's or a proxy's URL, which may carry a password. Every
// formatting shows it without; Reveal has it whole.
type Location struct{ text string }

// NewLocation keeps a URL.
func NewLocation(text string) Location { return Location{text} }

// Reveal gives the URL with its credentials to the code that connects to it.
func (l Location) Reveal() string { return l.text }

// IsSet reports whether there is a URL.
func (l Location) IsSet() bool { return l.text != "" }

// String is the URL with passwords masked: the user information's and those in
// the query. What does not read as a URL, but has the look of one with
// credentials, is masked whole after its scheme.
func (l Location) String() string {
	scheme, _, hierarchical := strings.Cut(l.text, "://")
	if !hierarchical {
		return l.text
	}
	u, err := url.Parse(l.text)
	if err != nil {
		return scheme + "://" + masked
	}
	if password, ok := u.User.Password(); ok && password != "" {
		u.User = url.UserPassword(u.User.Username(), masked)
	}
	u.RawQuery = passwordInQuery.ReplaceAllString(u.RawQuery, "${1}="+masked)
	return strings.ReplaceAll(u.String(), url.QueryEscape(masked), masked)
}

// passwordInQuery finds password=..., sslpassword=... and passfile-like keys
// that PostgreSQL takes in a URL's query.
var passwordInQuery = regexp.MustCompile(`(?i)([a-z_]*(?:pass|secret|token)[a-z_]*)=[^&]*`)

// Format writes the masked URL for every verb.
func (l Location) Format(state fmt.State, _ rune) { fmt.Fprint(state, l.String()) }

// LogValue keeps passwords out of logs.
func (l Location) LogValue() slog.Value { return slog.StringValue(l.String()) }

// MarshalText keeps passwords out of JSON and YAML.
func (l Location) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

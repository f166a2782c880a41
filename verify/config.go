package verify

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of a Config.
const (
	// MaxSecrets bounds the secrets of one source.
	MaxSecrets = 16
	// MaxSetting is the longest value of a setting, in bytes.
	MaxSetting = 1024
	// MinTolerance and MaxTolerance bound how far a timestamp may lie from now.
	MinTolerance = time.Second
	MaxTolerance = 24 * time.Hour
)

// Config is what one source adds to the Definition of its provider. Printing
// or logging one does not show the secrets.
type Config struct {
	// Secrets are those that may have signed; any match is enough. White space
	// at either end is refused: it usually is a badly copied secret.
	Secrets []string `json:"-"`
	// Settings are the values of the definition's settings by name; in the API
	// they are the source's config.
	Settings map[string]string
	// EventTypePrefix stands before every event type that the provider names.
	EventTypePrefix string
}

// Format masks the secrets under every verb.
func (c Config) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{secrets:%d settings:%q prefix:%q}", len(c.Secrets), c.Settings, c.EventTypePrefix)
}

// LogValue masks the secrets in slog output.
func (c Config) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

// compiler turns a Definition and a Config into a Verifier and collects all
// that is wrong with them on the way.
type compiler struct {
	settings map[string]string // with defaults
	wrong    []FieldError
}

// newCompiler settles what every setting is. Unknown ones are refused: a
// misspelt tolerance must not quietly be the default.
func newCompiler(declared []Setting, given map[string]string) *compiler {
	c := &compiler{settings: make(map[string]string, len(declared))}
	known := make([]string, len(declared))
	for i, s := range declared {
		known[i] = s.Name
		c.settings[s.Name] = c.setting(s, given[s.Name])
	}
	for name := range given {
		if !slices.Contains(known, name) {
			c.fail("config."+name, "is not a setting of this provider; these are: "+list(known))
		}
	}
	return c
}

// setting checks one given value and fills in its default.
// The value is returned even if it is wrong, so that all faults are found at
// once; err keeps it from being used.
func (c *compiler) setting(s Setting, value string) string {
	field := "config." + s.Name
	if value == "" {
		value = s.Default
	}
	switch {
	case value == "" && s.Required:
		c.fail(field, "is required")
	case len(value) > MaxSetting:
		c.fail(field, fmt.Sprintf("is longer than %d bytes", MaxSetting))
	case len(s.Values) > 0 && !slices.Contains(s.Values, value):
		c.fail(field, "must be one of "+list(s.Values))
	}
	return value
}

// value returns what a text member of a definition says once settings are
// filled in, and the field to blame for it.
func (c *compiler) value(text, path string) (value, field string) {
	name, ok := strings.CutPrefix(text, "${")
	if !ok {
		return text, path
	}
	name = strings.TrimSuffix(name, "}")
	value, ok = c.settings[name]
	if !ok {
		c.fail(path, "refers to the setting "+name+", which is not declared")
	}
	return value, "config." + name
}

// header is value for a member that names a header; empty is allowed.
func (c *compiler) header(text, path string) string {
	name, field := c.value(text, path)
	if name != "" && !isHeaderName(name) {
		c.fail(field, "is not a header name")
	}
	return name
}

func (c *compiler) requiredHeader(text, path string) string {
	name := c.header(text, path)
	if name == "" {
		_, field := c.value(text, path)
		c.fail(field, "is required")
	}
	return name
}

func (c *compiler) fail(field, detail string) {
	c.wrong = append(c.wrong, FieldError{Field: field, Detail: detail})
}

// err returns the collected faults, each field once: what several schemes share
// is wrong in all of them.
func (c *compiler) err() error {
	if len(c.wrong) == 0 {
		return nil
	}
	var fields []FieldError
	for _, f := range c.wrong {
		if !slices.ContainsFunc(fields, func(g FieldError) bool { return g.Field == f.Field }) {
			fields = append(fields, f)
		}
	}
	slices.SortStableFunc(fields, func(a, b FieldError) int { return strings.Compare(a.Field, b.Field) })
	return &ConfigError{Fields: fields}
}

// assign decodes the secrets and gives each to the schemes that it is for.
func (c *compiler) assign(secrets []string, schemes []scheme) {
	if schemes[0].kind == KindNone {
		if len(secrets) > 0 {
			c.fail("secrets", "must be empty: this provider verifies nothing")
		}
		return
	}
	if len(secrets) == 0 || len(secrets) > MaxSecrets {
		c.fail("secrets", fmt.Sprintf("must be 1 to %d", MaxSecrets))
	}
	// Both ends of a secret are looked at before it is decoded, because the
	// utf8 form would take a newline for a part of the key.
	for i, secret := range secrets {
		field := indexed("secrets", i)
		if secret == "" {
			c.fail(field, "is empty")
			continue
		}
		if strings.TrimSpace(secret) != secret {
			c.fail(field, "begins or ends with white space")
			continue
		}
		if err := give(secret, schemes); err != nil {
			c.fail(field, err.Error())
		}
	}
}

// give adds the key in secret to all schemes that take it.
func give(secret string, schemes []scheme) error {
	marked := slices.ContainsFunc(schemes, func(s scheme) bool { return s.key.marks(secret) })
	taken := false
	for i := range schemes {
		s := &schemes[i]
		if marked != s.key.marks(secret) || !marked && s.key.Prefix != "" && !s.key.Bare {
			continue
		}
		raw, err := s.key.decode(secret)
		if err != nil {
			return err
		}
		if s.keySize > 0 && len(raw) != s.keySize {
			return fmt.Errorf("is %d bytes after decoding, must be %d", len(raw), s.keySize)
		}
		s.keys = append(s.keys, raw)
		taken = true
	}
	if !taken {
		return errors.New("has none of the prefixes that this provider's secrets have")
	}
	return nil
}

// marks reports whether the secret is meant for this form and no other.
func (k KeyForm) marks(secret string) bool {
	return k.Prefix != "" && strings.HasPrefix(secret, k.Prefix)
}

// decode returns the key in a secret; the error does not contain any of it.
func (k KeyForm) decode(secret string) (raw []byte, err error) {
	text := strings.TrimPrefix(secret, k.Prefix)
	switch k.Form {
	case "hex":
		raw, err = hex.DecodeString(text)
	case "base64":
		raw, err = base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(text, "="))
	default:
		raw = []byte(text)
	}
	if err != nil {
		return nil, errors.New("is not " + k.Form)
	}
	if len(raw) == 0 {
		return nil, errors.New("is empty after decoding")
	}
	return raw, nil
}

// parseTolerance reads a duration, or digits alone as seconds.
func parseTolerance(text string) (time.Duration, error) {
	if _, err := strconv.ParseUint(text, 10, 32); err == nil {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < MinTolerance || d > MaxTolerance {
		return 0, fmt.Errorf("must be a duration or a number of seconds, from %v to %v", MinTolerance, MaxTolerance)
	}
	return d, nil
}

func isHeaderName(name string) bool {
	const token = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	return name != "" && strings.Trim(name, token) == ""
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

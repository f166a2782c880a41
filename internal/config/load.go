package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Input is everything that settings are read from. The zero value gives the
// defaults.
type Input struct {
	// Flags holds what the command line set. Nil for none.
	Flags *Flags
	// Environ is in the form of os.Environ.
	Environ []string
	// Preset replaces defaults by setting name; a file, a variable or a flag
	// beats it. PresetOrigin is where its values are said to come from.
	Preset       map[string]string
	PresetOrigin Origin
	// ReadFile reads the YAML file and those of definitions. Nil reads them from
	// the disk, up to 1 MiB each.
	ReadFile func(name string) ([]byte, error)
}

// given is one value as it was found, before it is parsed.
type given struct {
	setting string
	text    string
	origin  Origin
}

// Load reads the settings and validates them. Its error joins one *Error for
// each mistake that was found; the Config is then what could be read, for
// showing only. An empty value counts as not given.
func Load(in Input) (*Config, error) {
	c := &Config{origins: map[string]Origin{}}
	var errs []error
	for _, s := range c.settings() {
		if s.preset != "" {
			errs = append(errs, c.apply(given{s.name, s.preset, OriginDefault}))
		}
	}
	variables, err := fromEnviron(in.Environ)
	errs = append(errs, err)
	flags := in.Flags.given()

	file, err := c.fromFile(in.ReadFile, slices.Concat(variables, flags))
	errs = append(errs, err)

	for _, g := range slices.Concat(fromPreset(in), file, variables, flags) {
		errs = append(errs, c.apply(g))
	}
	if err := errors.Join(errs...); err != nil {
		return c, err
	}
	return c, errors.Join(c.Validate(), c.loadProviders(in.ReadFile))
}

// loadProviders reads the user's own definitions.
func (c *Config) loadProviders(read func(string) ([]byte, error)) error {
	if len(c.Providers) == 0 {
		return nil
	}
	var errs []error
	catalogue, faults := ReadProviders(c.Providers, read)
	for _, fault := range faults {
		errs = append(errs, &Error{Setting: providersSetting, Origin: c.Origin(providersSetting), Problem: fault.Error()})
	}
	c.Catalogue = catalogue
	return errors.Join(errs...)
}

// apply puts one value into force.
func (c *Config) apply(g given) error {
	if g.text == "" {
		return nil
	}
	for _, s := range c.settings() {
		if s.name != g.setting {
			continue
		}
		if err := s.read(g.text); err != nil {
			return &Error{Setting: s.name, Origin: g.origin, Problem: err.Error()}
		}
		if g.origin != OriginDefault {
			c.origins[s.name] = g.origin
		}
		return nil
	}
	return c.unknown(g.setting, g.origin)
}

// unknown is the error for a name that no setting has.
func (c *Config) unknown(name string, origin Origin) error {
	var names []string
	for _, s := range c.settings() {
		names = append(names, s.name)
	}
	return &Error{
		Setting: name, Origin: origin,
		Problem: fmt.Sprintf("no such setting; the nearest is %s", Nearest(name, names)),
	}
}

func fromPreset(in Input) []given {
	var values []given
	for name, text := range in.Preset {
		values = append(values, given{name, text, in.PresetOrigin})
	}
	return values
}

// fromEnviron picks the POSTERN_ variables and reports those that no setting
// has. Of a name that occurs twice the last one counts.
func fromEnviron(environ []string) ([]given, error) {
	settings := (&Config{}).settings()
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = s.variable()
	}
	var values []given
	var errs []error
	for _, pair := range environ {
		name, text, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, variablePrefix) || notOurs(name) {
			continue
		}
		i := slices.Index(names, name)
		if i < 0 {
			errs = append(errs, &Error{
				Setting: name, Origin: Origin(name),
				Problem: "no such variable; the nearest is " + Nearest(name, names),
			})
			continue
		}
		values = append(values, given{settings[i].name, text, Origin(name)})
	}
	return values, errors.Join(errs...)
}

// notOurs are the names that others give under our prefix: Kubernetes, for a
// service that is called postern, and the long tests of this repository.
func notOurs(name string) bool {
	return strings.HasPrefix(name, "POSTERN_SERVICE_") || strings.HasPrefix(name, "POSTERN_PORT") ||
		name == "POSTERN_SOAK" || name == "POSTERN_SEED"
}

// maxFile bounds the YAML file.
const maxFile = 1 << 20

// readFile reads a file of at most maxFile bytes.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than 1 MiB", name)
	}
	return data, err
}

package verify

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// compiler turns a Definition and a Config into a Verifier and collects all
// that is wrong with them on the way.
type compiler struct {
	settings map[string]string // with defaults
	fetch    Fetcher
	wrong    []FieldError
}

// newCompiler settles what every setting is. Unknown ones are refused: a
// misspelt tolerance must not quietly be the default.
func newCompiler(known []Setting, cfg Config) *compiler {
	c := &compiler{settings: make(map[string]string, len(known)), fetch: cfg.Fetch}
	names := make([]string, len(known))
	for i, s := range known {
		names[i] = s.Name
		c.settings[s.Name] = c.setting(s, s.given(cfg))
	}
	for name := range cfg.Settings {
		if !slices.Contains(names, name) {
			c.fail("config."+name, "is not a setting of this provider; these are: "+list(names))
		}
	}
	return c
}

// given is the value that a source gives.
func (s Setting) given(cfg Config) string {
	value := cfg.Settings[s.Name]
	if value != "" || s.Part == "" || len(cfg.Secrets) == 0 {
		return value
	}
	user, password, ok := strings.Cut(cfg.Secrets[0], ":")
	switch {
	case !ok:
		return ""
	case s.Part == "user":
		return user
	default:
		return password
	}
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
	case len(s.Values) > 0 && value != "" && !slices.Contains(s.Values, value):
		c.fail(field, "must be one of "+list(s.Values))
	}
	return value
}

// value returns what a text member of a definition says once settings are
// filled in, and the field to blame for it: the first setting, if there is one.
func (c *compiler) value(text, path string) (value, field string) {
	names := interpolated(text)
	if len(names) == 0 {
		return text, path
	}
	for _, name := range names {
		setting, ok := c.settings[name]
		if !ok {
			c.fail(path, "refers to the setting "+name+", which is not declared")
		}
		text = strings.ReplaceAll(text, "${"+name+"}", setting)
	}
	return text, "config." + names[0]
}

// filled is value for a member that is dropped when a setting in it is empty.
func (c *compiler) filled(text, path string) (value, field string, ok bool) {
	value, field = c.value(text, path)
	return value, field, text != "" && !slices.ContainsFunc(interpolated(text), func(name string) bool { return c.settings[name] == "" })
}

// oneOf is value for a member with a closed set of words.
func (c *compiler) oneOf(text, path string, allowed ...string) string {
	value, field := c.value(text, path)
	if !slices.Contains(allowed, value) {
		c.fail(field, "must be one of "+list(allowed))
	}
	return value
}

// hash resolves the name of a hash function.
func (c *compiler) hash(text, path string) hashFunc {
	name, field := c.value(text, path)
	h, ok := hashNamed(name)
	if !ok {
		c.fail(field, "must be md5, sha1, sha256 or sha512")
	}
	return h
}

// selector resolves one; the zero value is one that is dropped.
func (c *compiler) selector(def Selector, path string) selector {
	text, field, ok := c.filled(string(def), path)
	if !ok {
		return selector{}
	}
	s, ok := parseSelector(text)
	if !ok {
		c.fail(field, "must be header:NAME, json:PATH with at most 8 names, or another selector")
	}
	return s
}

// selectors resolves those of a list and leaves out what is dropped.
func (c *compiler) selectors(path string, defs []Selector) []selector {
	var all []selector
	for i, def := range defs {
		if s := c.selector(def, indexed(path, i)); s.form != "" {
			all = append(all, s)
		}
	}
	return all
}

// template resolves a text with placeholders. One that is a single setting is
// the source's own template; any other setting in it is literal text.
func (c *compiler) template(text, path string) template {
	field := path
	if names := interpolated(text); len(names) == 1 && text == "${"+names[0]+"}" {
		text, field = c.value(text, path)
	}
	return c.parsed(text, field)
}

// parsed is template for a text whose settings are all literal.
func (c *compiler) parsed(text, path string) template {
	t, err := parseTemplate(text, func(name string) (string, bool) {
		value, ok := c.settings[name]
		return value, ok
	})
	if err != nil {
		c.fail(path, err.Error())
	}
	return t
}

// duration reads a window: the tolerance of the source, or else what the
// definition says, or else standard.
func (c *compiler) duration(text, path string, standard time.Duration) time.Duration {
	text, field := c.value(text, path)
	if own := c.settings[toleranceSetting]; own != "" {
		text, field = own, "config."+toleranceSetting
	}
	if text == "" {
		return standard
	}
	d, err := parseTolerance(text)
	if err != nil {
		c.fail(field, err.Error())
	}
	return d
}

// chosen reports whether every setting of a For has one of the values.
func (c *compiler) chosen(path string, wanted map[string]string) bool {
	for name, values := range wanted {
		value, ok := c.settings[name]
		if !ok {
			c.fail(path, "refers to the setting "+name+", which is not declared")
		}
		if !slices.Contains(strings.Split(values, "|"), value) {
			return false
		}
	}
	return true
}

// conditions resolves an If.
func (c *compiler) conditions(path string, defs []string) []condition {
	var all []condition
	for i, def := range defs {
		var made condition
		def, made.absent = strings.CutPrefix(def, "!")
		def, text, equals := strings.Cut(def, "=")
		filled, _, ok := c.filled(text, indexed(path, i))
		if made.value = c.selector(Selector(def), indexed(path, i)); made.value.form == "" || equals && !ok && text != "" {
			continue
		}
		made.equals, made.text, made.secret = equals, filled, filled != text
		all = append(all, made)
	}
	return all
}

// requirements resolves those that say something.
func (c *compiler) requirements(path string, defs []Requirement) []requirement {
	var all []requirement
	for i, def := range defs {
		at := indexed(path, i)
		made := requirement{value: c.selector(def.Value, at+".value"), equals: c.parsed(def.Equals, at+".equals")}
		if made.value.form != "" && !made.equals.empty() {
			all = append(all, made)
		}
	}
	return all
}

// digests resolves those of a scheme.
func (c *compiler) digests(path string, defs []Digest) []digest {
	var all []digest
	for i, def := range defs {
		at := indexed(path, i)
		all = append(all, digest{
			value: c.selector(def.Value, at+".value"), of: c.template(def.Of, at+".of"),
			hash: c.hash(def.Hash, at+".hash"), encoding: c.oneOf(def.Encoding, at+".encoding", "hex", "base64", "base64url"),
			absentIfEmpty: def.AbsentIfEmpty,
		})
	}
	return all
}

// anchored compiles a regular expression that must match as a whole: one of a host
// that matched a part would let any other host have it in its name.
func (c *compiler) anchored(text, path string) *regexp.Regexp {
	re, err := regexp.Compile(`^(?:` + text + `)$`)
	if err != nil {
		c.fail(path, "is not a regular expression")
		return regexp.MustCompile(`^\b$`) // matches nothing; the fault keeps it from being used
	}
	return re
}

// fail notes a fault and has the rest go on, so that a user hears of all at once.
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

// isHeaderName is the grammar of RFC 9110. Any other name would select nothing, and
// nobody would notice.
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

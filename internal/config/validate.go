package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/postern-dev/postern/internal/keyring"
)

// Bounds that no setting passes.
const (
	// maxBody is what one message may occupy: it is in memory whole.
	maxBody = 256 << 20
	// maxDrain keeps a stop from looking like a hang.
	maxDrain = time.Hour
	// slack is added to the longest schedule for the attempts themselves.
	slack = time.Hour
	// maxNode is what a table of nodes has room for, in bytes.
	maxNode = 100
)

// Validate checks values and how they go together. Its error joins one *Error
// for each mistake, which names the setting and the correction.
func (c *Config) Validate() error {
	checks := []struct {
		setting string
		check   func() string
	}{
		{"listen", c.checkListen},
		{"store", c.checkStore},
		{"node", c.checkNode},
		{"admin-key", c.checkAdminKey},
		{"secret-key", c.checkSecretKey},
		{"public-url", c.checkPublicURL},
		{"egress-proxy", c.checkEgressProxy},
		{"retry-schedule", c.checkSchedule},
		{"retention", c.checkRetention},
		{"max-body", func() string { return checkBody(c.MaxBody) }},
		{"inbound-max-body", func() string { return checkBody(c.InboundMaxBody) }},
		{"drain-timeout", c.checkDrain},
		{"log-format", c.checkFormat},
	}
	var errs []error
	for _, one := range checks {
		if problem := one.check(); problem != "" {
			errs = append(errs, &Error{Setting: one.setting, Origin: c.Origin(one.setting), Problem: problem})
		}
	}
	return errors.Join(errs...)
}

func (c *Config) checkListen() string {
	_, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Sprintf("%q is not an address; write HOST:PORT, such as 127.0.0.1:8080", c.Listen)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Sprintf("%q is not a port; write a number from 0 to 65535", port)
	}
	return ""
}

func (c *Config) checkStore() string {
	store := c.Store.Reveal()
	switch {
	case store == "memory:":
		return ""
	case strings.HasPrefix(store, "file:") && store != "file:":
		return ""
	case strings.HasPrefix(store, "postgres://"), strings.HasPrefix(store, "postgresql://"):
		if u, err := url.Parse(store); err != nil || u.Host == "" && u.Query().Get("host") == "" {
			return "not a URL with a host; write postgres://USER:PASSWORD@HOST/DATABASE, with special characters of the password percent-encoded"
		}
		return ""
	}
	return "no such store; write file:DIR, memory: or postgres://USER:PASSWORD@HOST/DATABASE"
}

// checkNode keeps a name to what logs and tables show as it is.
func (c *Config) checkNode() string {
	if len(c.Node) > maxNode || strings.ContainsFunc(c.Node, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Sprintf("is longer than %d characters, or has a space or one that is not ASCII; write a name such as node-1", maxNode)
	}
	return ""
}

// checkAdminKey refuses what could not be told from a token of another kind:
// API keys have no dot.
func (c *Config) checkAdminKey() string {
	for _, r := range c.AdminKey.Reveal() {
		if r <= ' ' || r > '~' || r == '.' {
			return "holds a dot, a space or a character that is not ASCII; write letters, digits, '-' and '_'"
		}
	}
	return ""
}

func (c *Config) checkSecretKey() string {
	if !c.SecretKey.IsSet() {
		return ""
	}
	if _, err := keyring.Parse(c.SecretKey.Reveal()); err != nil {
		return err.Error() + "; write ID:BASE64 with 32 bytes, such as the output of: echo k1:$(openssl rand -base64 32)"
	}
	return ""
}

func (c *Config) checkPublicURL() string {
	if c.PublicURL == "" {
		return ""
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "not a URL; write https:// and the name that senders use"
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(u.Path, "/") {
		return "has credentials, a query, a fragment or a slash at its end; write the part before /in/... alone, such as https://hooks.example.com"
	}
	return ""
}

func (c *Config) checkEgressProxy() string {
	if !c.EgressProxy.IsSet() {
		return ""
	}
	u, err := url.Parse(c.EgressProxy.Reveal())
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "not a proxy; write http://HOST:PORT"
	}
	return ""
}

func (c *Config) checkSchedule() string {
	if err := c.RetrySchedule.Validate(); err != nil {
		return err.Error()
	}
	return ""
}

// checkRetention refuses to drop a message that is still to be tried.
func (c *Config) checkRetention() string {
	if c.Retention <= 0 {
		return "nothing would be kept; write a duration such as 30d"
	}
	if least := c.RetrySchedule.Longest() + slack; c.Retention < least {
		return fmt.Sprintf("%s is shorter than the retry schedule takes; write at least %s or shorten --retry-schedule",
			FormatDuration(c.Retention), FormatDuration(least.Truncate(time.Minute)+time.Minute))
	}
	return ""
}

func checkBody(size Size) string {
	if size <= 0 || size > maxBody {
		return fmt.Sprintf("%s is out of range; write a size from 1 to %s", size, Size(maxBody))
	}
	return ""
}

func (c *Config) checkDrain() string {
	if c.DrainTimeout < 0 || c.DrainTimeout > maxDrain {
		return fmt.Sprintf("%s is out of range; write a duration from 0s to %s", FormatDuration(c.DrainTimeout), FormatDuration(maxDrain))
	}
	return ""
}

func (c *Config) checkFormat() string {
	if _, err := parseFormat(string(c.LogFormat)); err != nil {
		return err.Error()
	}
	return ""
}

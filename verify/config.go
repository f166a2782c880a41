package verify

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
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
// or logging one shows neither secrets nor settings, some of which are secret.
type Config struct {
	// Secrets are those that may have signed; any match is enough. White space
	// at either end is refused: it usually is a badly copied secret.
	Secrets []string `json:"-"`
	// Settings are the values of the definition's settings by name; in the API
	// they are the source's config.
	Settings map[string]string `json:"-"`
	// EventTypePrefix stands before every event type that the provider names.
	EventTypePrefix string
	// Fetch fetches keys and confirms subscriptions where a definition names an
	// address. Nil never does: keys are then taken from Secrets alone.
	Fetch Fetcher `json:"-"`
	// Keyless makes a Verifier without secrets, too: one that answers handshakes
	// and refuses events.
	Keyless bool `json:"-"`
}

// Format shows how many secrets there are and what is set, under every verb.
func (c Config) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{secrets:%d settings:%q prefix:%q}", len(c.Secrets), slices.Sorted(maps.Keys(c.Settings)), c.EventTypePrefix)
}

// LogValue is Format for slog.
func (c Config) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

package catalogue

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/route"
)

// Bounds of what a source says besides its provider's settings.
const (
	// maxMapped bounds the provider's names that have an event type of their own.
	maxMapped = 500
	// maxForwarded bounds the headers that are passed on by name.
	maxForwarded = 100
	// maxAnswer bounds a source's own answer in bytes.
	maxAnswer = 4096
)

// sealSettings moves the settings that the provider calls secrets out of
// Config, so that no store has one in plain. An empty one is none.
func (c *Catalogue) sealSettings(s *postern.Source) error {
	for _, name := range c.config.SecretSettings(s.Provider) {
		value, given := s.Config[name]
		if !given {
			continue
		}
		delete(s.Config, name)
		delete(s.SealedConfig, name)
		if value == "" {
			continue
		}
		sealed, err := c.seal([]byte(value))
		if err != nil {
			return err
		}
		if s.SealedConfig == nil {
			s.SealedConfig = make(map[string]postern.Sealed)
		}
		s.SealedConfig[name] = sealed
	}
	return nil
}

// openSettings returns all settings in plain, in a map of its own.
func (c *Catalogue) openSettings(s *postern.Source) (map[string]string, error) {
	if len(s.SealedConfig) == 0 {
		return s.Config, nil
	}
	settings := maps.Clone(s.Config)
	if settings == nil {
		settings = make(map[string]string, len(s.SealedConfig))
	}
	for name, sealed := range s.SealedConfig {
		plain, err := c.config.Secrets.Open(sealed)
		if err != nil {
			return nil, fmt.Errorf("open the setting %s of source %s: %w", name, s.ID, err)
		}
		settings[name] = string(plain)
	}
	return settings, nil
}

// StoreSecret keeps the secret that a provider delivered to a source in a
// handshake, and returns once that is durable. Whoever sent it may be anybody,
// so that it is kept once: a source that has a secret of whatever origin keeps
// that, and the error is of kind Conflict.
func (c *Catalogue) StoreSecret(ctx context.Context, s *postern.Source, setting, secret string) error {
	_, err := c.UpdateSource(ctx, s.Application, s.ID, func(s *postern.Source) error {
		if len(s.Secrets) > 0 || s.Config[setting] != "" || s.SealedConfig[setting] != nil {
			return &postern.Error{Kind: postern.Conflict, Code: "secret_kept", Detail: "The source has a secret already"}
		}
		if s.Config == nil {
			s.Config = make(map[string]string, 1)
		}
		s.Config[setting] = secret
		return nil
	})
	return err
}

// checkMapped wants event types behind the provider's names.
func checkMapped(types map[string]string) error {
	if len(types) > maxMapped {
		return invalid(fmt.Sprintf("at most %d event types have a name of their own", maxMapped), "eventTypes")
	}
	for _, name := range slices.Sorted(maps.Keys(types)) {
		switch {
		case name == "" || len(name) > maxName:
			return invalid("a provider's name has 1 to 256 bytes", "eventTypes")
		case !route.ValidName(types[name]):
			return invalid("an event type is 1 to 256 of letters, digits, '-', '_' and '.'", "eventTypes", name)
		}
	}
	return nil
}

func checkForwarded(s *postern.Source) error {
	if len(s.ForwardHeaders) > maxForwarded {
		return invalid(fmt.Sprintf("at most %d headers are passed on by name", maxForwarded), "forwardHeaders")
	}
	for i, name := range s.ForwardHeaders {
		if !isToken(name) || len(name) > maxName {
			return invalid(fmt.Sprintf("%.64q is not a header name", name), "forwardHeaders", fmt.Sprint(i))
		}
	}
	return nil
}

// checkAnswer wants nothing that a browser takes for a page: a source's address
// is on the operator's own domain.
func checkAnswer(s *postern.Source) error {
	types := []string{"application/json", "application/xml", "text/plain", "text/xml"}
	return all(
		require(s.Answer == 0 || s.Answer >= 200 && s.Answer <= 299, "an answer is a status from 200 to 299", "answer"),
		require(len(s.AnswerBody) <= maxAnswer, fmt.Sprintf("an answer has at most %d bytes", maxAnswer), "answerBody"),
		require(s.AnswerContentType == "" || slices.Contains(types, s.AnswerContentType),
			"an answer is one of application/json, application/xml, text/plain, text/xml", "answerContentType"),
	)
}

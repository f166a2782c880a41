package api

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-dev/postern"
)

// sourceIn is a source as callers write it. Secrets are the provider's, as text.
type sourceIn struct {
	Name            optional[string]            `json:"name" api:"required"`
	UID             optional[string]            `json:"uid"`
	Provider        optional[string]            `json:"provider" api:"required"`
	Secrets         optional[[]string]          `json:"secrets"`
	Config          optional[map[string]string] `json:"config"`
	EventTypePrefix optional[string]            `json:"eventTypePrefix"`
	// EventTypes gives event types by the provider's names.
	EventTypes optional[map[string]string] `json:"eventTypes"`
	Methods    optional[[]string]          `json:"methods"`
	// Answer is the status of success, AnswerBody and AnswerContentType what is
	// said with it.
	Answer            optional[int]    `json:"answer"`
	AnswerBody        optional[string] `json:"answerBody"`
	AnswerContentType optional[string] `json:"answerContentType"`
	// Forward passes on the request's headers, ForwardHeaders only these.
	Forward        optional[bool]     `json:"forward"`
	ForwardHeaders optional[[]string] `json:"forwardHeaders"`
	DedupeBody     optional[bool]     `json:"dedupeBody"`
}

// sourceOut is a source as callers read it. Its secrets never leave; the
// address holds a token, which only those see who may write.
type sourceOut struct {
	ID              postern.SourceID  `json:"id"`
	UID             *string           `json:"uid"`
	Name            string            `json:"name"`
	Provider        string            `json:"provider"`
	IngestURL       string            `json:"ingestUrl"`
	Config          map[string]string `json:"config"`
	EventTypePrefix string            `json:"eventTypePrefix"`
	EventTypes      map[string]string `json:"eventTypes"`
	Methods         []string          `json:"methods"`
	Answer          *int              `json:"answer"`
	AnswerBody      *string           `json:"answerBody"`
	// AnswerContentType is that of AnswerBody; null without one.
	AnswerContentType *string   `json:"answerContentType"`
	Forward           bool      `json:"forward"`
	ForwardHeaders    []string  `json:"forwardHeaders"`
	DedupeBody        bool      `json:"dedupeBody"`
	Paused            bool      `json:"paused"`
	CreatedAt         time.Time `json:"createdAt"`
	UpdatedAt         time.Time `json:"updatedAt"`
}

const (
	// maxSourceSecret bounds a provider's secret in bytes.
	maxSourceSecret = 4096
	// masked stands for a token or a setting that the reader is not to know.
	masked = "***"
	// storedSecret is the setting that holds what the provider delivered.
	storedSecret = "stored_secret"
)

// apply writes what was given into s, but for the secrets.
func (in *sourceIn) apply(s *postern.Source) error {
	var f faults
	take(&f, "name", in.Name, &s.Name, nil)
	take(&f, "uid", in.UID, &s.UID, wrongUID)
	take(&f, "provider", in.Provider, &s.Provider, nil)
	in.applySettings(&f, s)
	take(&f, "eventTypePrefix", in.EventTypePrefix, &s.EventTypePrefix, nil)
	take(&f, "eventTypes", in.EventTypes, &s.EventTypes, nil)
	take(&f, "methods", in.Methods, &s.Methods, nil)
	take(&f, "answer", in.Answer, &s.Answer, nil)
	take(&f, "answerBody", in.AnswerBody, &s.AnswerBody, nil)
	take(&f, "answerContentType", in.AnswerContentType, &s.AnswerContentType, nil)
	take(&f, "forward", in.Forward, &s.Forward, nil)
	take(&f, "forwardHeaders", in.ForwardHeaders, &s.ForwardHeaders, nil)
	take(&f, "dedupeBody", in.DedupeBody, &s.DedupeBody, nil)
	if strings.TrimSpace(s.Name) == "" {
		f.add("is required", "name")
	}
	return f.err()
}

// applySettings replaces the settings. A secret one that reads as we show it
// stays, so that what was read can be written back; what the provider delivered
// stays as well unless it is named.
func (in *sourceIn) applySettings(f *faults, s *postern.Source) {
	if !in.Config.Set {
		return
	}
	var settings map[string]string
	take(f, "config", in.Config, &settings, nil)
	settings = maps.Clone(settings)
	maps.DeleteFunc(s.SealedConfig, func(name string, _ postern.Sealed) bool {
		value, named := settings[name]
		return value != masked && (named || name != storedSecret)
	})
	maps.DeleteFunc(settings, func(name, value string) bool { return value == masked && s.SealedConfig[name] != nil })
	s.Config = settings
}

// applySource is apply, then the secrets. What the provider says to it all is
// for the catalogue to ask.
func (h *handler) applySource(in *sourceIn, s *postern.Source) error {
	if err := in.apply(s); err != nil {
		return err
	}
	if !in.Secrets.Set {
		return nil
	}
	if len(s.Secrets) > 0 {
		s.Previous = s.Secrets[0]
	}
	s.Secrets = nil
	if in.Secrets.Value == nil {
		return nil
	}
	return h.sealSecrets(*in.Secrets.Value, s)
}

// sealSecrets adds secrets to the source. They are sealed here, so that no
// record ever holds one in plain.
func (h *handler) sealSecrets(secrets []string, s *postern.Source) error {
	var f faults
	for i, secret := range secrets {
		if secret == "" || len(secret) > maxSourceSecret {
			f.add("must have 1 to 4096 bytes", "secrets", strconv.Itoa(i))
			continue
		}
		sealed, err := h.Secrets.Seal([]byte(secret))
		if err != nil {
			return err
		}
		s.Secrets = append(s.Secrets, sealed)
	}
	return f.err()
}

// renderSource fails where the token cannot be opened: a key ring is missing.
func (h *handler) renderSource(c *call, s *postern.Source) (sourceOut, error) {
	token, err := h.sourceToken(c, s)
	if err != nil {
		return sourceOut{}, err
	}
	return sourceOut{
		ID: s.ID, UID: null(s.UID), Name: s.Name, Provider: s.Provider,
		IngestURL: h.PublicURL + "/in/" + token, Config: shownSettings(s),
		EventTypePrefix: s.EventTypePrefix, EventTypes: object(s.EventTypes), Methods: nullList(s.Methods),
		Answer: nullRate(s.Answer), AnswerBody: null(s.AnswerBody), AnswerContentType: null(s.AnswerContentType),
		Forward: s.Forward, ForwardHeaders: nullList(s.ForwardHeaders), DedupeBody: s.DedupeBody, Paused: s.Paused,
		CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(),
	}, nil
}

// shownSettings are all, with a mask in place of each that is a secret.
func shownSettings(s *postern.Source) map[string]string {
	shown := make(map[string]string, len(s.Config)+len(s.SealedConfig))
	maps.Copy(shown, s.Config)
	for name := range s.SealedConfig {
		shown[name] = masked
	}
	return shown
}

// sourceToken is the token where the caller may know it, else a mask.
func (h *handler) sourceToken(c *call, s *postern.Source) (string, error) {
	if !may(c.who, credential, true) {
		return masked, nil
	}
	token, err := h.Secrets.Open(s.Token)
	if err != nil {
		return "", fmt.Errorf("api: open the token of a source: %w", err)
	}
	return string(token), nil
}

// source finds the source in the path.
func (h *handler) source(c *call) (*postern.Source, error) {
	s, err := h.Sources.Source(c.app.Number, c.param("source"))
	return s, notFound(err)
}

// listSources lists the newest first unless told otherwise.
func (h *handler) listSources(c *call, _ none) (listing[sourceOut], error) {
	w, err := c.window(true)
	if err != nil {
		return listing[sourceOut]{}, err
	}
	page, err := listPage(w, postern.ParseSourceID)
	if err != nil {
		return listing[sourceOut]{}, err
	}
	records, more := h.Sources.Sources(c.app.Number, page)
	var failed error
	list := listed(w, records, !more, "",
		func(s *postern.Source) string { return s.ID.String() },
		func(s *postern.Source) sourceOut {
			out, err := h.renderSource(c, s)
			if err != nil {
				failed = err
			}
			return out
		})
	return list, failed
}

// createSource answers the address to give to the provider.
func (h *handler) createSource(c *call, in sourceIn) (sourceOut, error) {
	s := postern.Source{Application: c.app.Number}
	if err := h.applySource(&in, &s); err != nil {
		return sourceOut{}, err
	}
	created, err := h.Sources.CreateSource(c.r.Context(), s)
	if err != nil {
		return sourceOut{}, err
	}
	return h.declared(c, created)
}

// getSource shows the address again, to those who may know it.
func (h *handler) getSource(c *call, _ none) (sourceOut, error) {
	s, err := h.source(c)
	if err != nil {
		return sourceOut{}, err
	}
	return h.renderSource(c, s)
}

// putSource replaces all that callers write but the secrets, or creates, with an
// address to give to the provider; about the uid see putApplication.
func (h *handler) putSource(c *call, in sourceIn) (sourceOut, error) {
	ref := c.param("source")
	if !in.UID.Set && !strings.HasPrefix(ref, postern.SourceID{}.Prefix()) {
		in.UID = optional[string]{Set: true, Value: &ref}
	}
	return upserted(c, in.UID, ref, func() (sourceOut, error) { return h.upsertSource(c, ref, in) })
}

// upsertSource goes by what there is at ref.
func (h *handler) upsertSource(c *call, ref string, in sourceIn) (sourceOut, error) {
	if _, err := h.Sources.Source(c.app.Number, ref); err != nil {
		if !creatable(err, ref, postern.SourceID{}.Prefix()) {
			return sourceOut{}, notFound(err)
		}
		c.status = http.StatusCreated
		return h.createSource(c, in)
	}
	return h.updateSource(c, func(s *postern.Source) error {
		*s = postern.Source{
			ID: s.ID, Application: s.Application, Token: s.Token, TokenHash: s.TokenHash,
			Secrets: s.Secrets, Previous: s.Previous, SealedConfig: delivered(s), Paused: s.Paused, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
		}
		return h.applySource(&in, s)
	})
}

// delivered is what of the settings its provider delivered, which is a secret
// as its others are.
func delivered(s *postern.Source) map[string]postern.Sealed {
	if secret := s.SealedConfig[storedSecret]; secret != nil {
		return map[string]postern.Sealed{storedSecret: secret}
	}
	return nil
}

// patchSource changes what is given; secrets that are given replace all.
func (h *handler) patchSource(c *call, in sourceIn) (sourceOut, error) {
	return h.updateSource(c, func(s *postern.Source) error { return h.applySource(&in, s) })
}

// pauseSource has the source take nothing in.
func (h *handler) pauseSource(c *call, _ none) (sourceOut, error) {
	return h.updateSource(c, func(s *postern.Source) error { s.Paused = true; return nil })
}

// resumeSource may be repeated without effect.
func (h *handler) resumeSource(c *call, _ none) (sourceOut, error) {
	return h.updateSource(c, func(s *postern.Source) error { s.Paused = false; return nil })
}

// updateSource has the catalogue apply the change to a copy and check it.
func (h *handler) updateSource(c *call, change func(*postern.Source) error) (sourceOut, error) {
	s, err := h.source(c)
	if err != nil {
		return sourceOut{}, err
	}
	updated, err := h.Sources.UpdateSource(c.r.Context(), c.app.Number, s.ID, change)
	if err != nil {
		return sourceOut{}, err
	}
	return h.declared(c, updated)
}

// declared has the catalogue know the types that a source makes of its
// provider's, so that endpoints can select them before the first event, and shows
// the source.
func (h *handler) declared(c *call, s *postern.Source) (sourceOut, error) {
	for _, name := range slices.Sorted(maps.Values(s.EventTypes)) {
		if err := h.EventTypes.DeclareEventType(c.r.Context(), name, "Made of events of the source "+s.Name); err != nil {
			return sourceOut{}, err
		}
	}
	return h.renderSource(c, s)
}

// deleteSource makes its address unknown; its messages stay.
func (h *handler) deleteSource(c *call, _ none) (none, error) {
	s, err := h.source(c)
	if err != nil {
		return none{}, err
	}
	return none{}, h.Sources.DeleteSource(c.r.Context(), c.app.Number, s.ID)
}

// deliveredOut is the secret that a source's provider delivered in its
// handshake; null until it has.
type deliveredOut struct {
	Key *string `json:"key"`
}

// getSourceSecret answers what some providers want typed in on their side.
// Secrets that users gave do not leave.
func (h *handler) getSourceSecret(c *call, _ none) (deliveredOut, error) {
	s, err := h.source(c)
	if err != nil || s.SealedConfig[storedSecret] == nil {
		return deliveredOut{}, err
	}
	plain, err := h.Secrets.Open(s.SealedConfig[storedSecret])
	if err != nil {
		return deliveredOut{}, fmt.Errorf("api: open the delivered secret of a source: %w", err)
	}
	key := string(plain)
	return deliveredOut{&key}, nil
}

// sourceSecretIn is a provider's new secret. The one before is accepted too,
// until the next rotation, unless KeepOld says no.
type sourceSecretIn struct {
	Key     string `json:"key" api:"required"`
	KeepOld *bool  `json:"keepOld"`
}

// rotateSourceSecret accepts the new secret at once; providers change over in
// their own time.
func (h *handler) rotateSourceSecret(c *call, in sourceSecretIn) (none, error) {
	if in.Key == "" {
		return none{}, postern.InvalidField("is required: the provider's new secret", "body", "key")
	}
	_, err := h.updateSource(c, func(s *postern.Source) error {
		old := s.Secrets
		s.Secrets = nil
		if err := h.sealSecrets([]string{in.Key}, s); err != nil {
			return err
		}
		if len(old) > 0 && (in.KeepOld == nil || *in.KeepOld) {
			s.Secrets = append(s.Secrets, old[0])
			old = old[1:]
		}
		if len(old) > 0 { // the newest of those that verify no more
			s.Previous = old[0]
		}
		return nil
	})
	return none{}, err
}

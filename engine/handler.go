package engine

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/api"
	"github.com/postern-dev/postern/internal/auth"
	"github.com/postern-dev/postern/internal/egress"
	"github.com/postern-dev/postern/internal/intake"
	"github.com/postern-dev/postern/internal/page"
	"github.com/postern-dev/postern/verify"
)

// What the API needs, and who gives it.
var (
	_ api.Publisher  = inlet{}
	_ api.EventIDs   = records{}
	_ api.Repeats    = records{}
	_ api.Expunger   = records{}
	_ api.URLChecker = (*urlChecker)(nil)
	_ api.Inbound    = (*intake.Handler)(nil)
)

// mount makes the handler. It is no ServeMux: that would answer "//" with a
// redirect, which turns a POST into a GET.
func (e *Engine) mount() http.Handler {
	intakeHandler, pageHandler := e.intake(), page.New(e.figures)
	apiHandler := e.api(intakeHandler)
	return e.bodies.guard(func(w http.ResponseWriter, r *http.Request) {
		if !e.attended.Load() { // what the program's handlers stand for may not be there yet
			select {
			case <-e.attending:
			case <-r.Context().Done(): // its sender may still listen, and to return in silence is to say 200
				w.Header().Set("Retry-After", "1")
				writeError(w, http.StatusServiceUnavailable, "unavailable", "the server is starting; nothing was done; try again")
				return
			}
		}
		switch path := r.URL.Path; {
		case strings.HasPrefix(path, api.Prefix+"/"), strings.HasPrefix(path, api.IngestPrefix):
			apiHandler.ServeHTTP(w, r)
		case strings.HasPrefix(path, intake.Prefix):
			intakeHandler.ServeHTTP(w, r)
		case path == "/" || path == "/portal":
			pageHandler.ServeHTTP(w, r)
		default:
			writeError(w, http.StatusNotFound, "not_found", "No such path")
		}
	})
}

func (e *Engine) api(inbound *intake.Handler) http.Handler {
	return api.New(api.Config{
		Applications: e.catalogue, Endpoints: e.catalogue, EventTypes: e.catalogue,
		Sources: e.catalogue, Keys: e.catalogue,
		Secrets: e.cfg.Secrets, URLs: &urlChecker{e.dialer}, Publisher: inlet{e}, Repeats: records{e}, Replays: replays{e.replays, e},
		Deliveries: e.cfg.Store, History: e.cfg.Store, Outcomes: e.cfg.Store, Router: (*router)(e), Expunger: records{e}, EventIDs: records{e}, Inbound: inbound, Leases: consumers{e},
		Auth:   auth.New(auth.Config{Keys: e.catalogue, AdminToken: e.cfg.AdminKey, JWTSecret: e.cfg.JWTSecret, Applications: e.catalogue, Now: e.cfg.Now}),
		Admit:  func(int64) error { return e.admit() },
		Health: e.health, Backup: e.cfg.Backup, Nodes: e.Nodes, Fresh: e.fresh(),
		Limits: e.limits(), Tail: e.tail, Head: e.cfg.Store.Head, Horizon: e.horizon(),
		Version: e.cfg.Version, PublicURL: e.cfg.PublicURL, MaxBody: e.cfg.MaxBody,
		Now: e.cfg.Now, Logger: e.cfg.Log, Observe: e.cfg.Observer.Answered,
	})
}

// intake serves the inbound addresses of sources.
func (e *Engine) intake() *intake.Handler {
	return intake.New(intake.Config{
		Sources: e.catalogue, Secrets: e.cfg.Secrets, Publisher: inlet{e}, EventTypes: e.catalogue,
		IDs:   &postern.IDSource{Now: e.cfg.Now, Random: rand.Reader},
		Admit: func(int64) error { return e.admit() }, Refusals: e.refusals, Providers: e.cfg.Providers,
		MaxBody: e.cfg.InboundMaxBody, PublicURL: e.cfg.PublicURL, TrustedProxies: e.cfg.TrustedProxies,
		Delivered: e.catalogue, Fetch: e.fetcher(), Fresh: e.fresh(),
		Now: e.cfg.Now, Logger: e.cfg.Log,
		Refused: e.cfg.Observer.Refused, Handshake: e.cfg.Observer.Handshake,
	})
}

// fetcher gets keys of providers, and confirms subscriptions, where deliveries
// may go as well.
func (e *Engine) fetcher() verify.Fetcher {
	return verify.NewFetcher(verify.FetchOptions{
		RootCAs: e.cfg.EgressCA,
		Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			host, text, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			port, err := strconv.ParseUint(text, 10, 16)
			if err != nil {
				return nil, err
			}
			conn, _, err := e.dialer.Dial(ctx, host, uint16(port))
			return conn, err
		},
	})
}

// figures are what the page shows.
func (e *Engine) figures(ctx context.Context) (page.Figures, error) {
	s, err := e.Stats(ctx)
	return page.Figures{
		Version: e.cfg.Version, Lanes: s.Lanes, Behind: s.LanesBehind, Waiting: s.Queued + s.InFlight,
		Rows: s.Rows, StoreBytes: s.Store.Bytes, OldestWaiting: s.OldestWaiting,
	}, err
}

// health is nil while messages are accepted and delivered. A full disk is not
// an illness: it passes, and what is stored goes on being delivered.
func (e *Engine) health(context.Context) error {
	select {
	case <-e.cfg.Store.Failed():
		return e.cfg.Store.Admit()
	default:
		return e.shards.main.committer.Failed()
	}
}

// urlChecker turns the dialer's judgement of a URL into the API's errors.
type urlChecker struct{ dialer *egress.Dialer }

// CheckURL implements api.URLChecker.
func (c *urlChecker) CheckURL(ctx context.Context, url string) error {
	err := c.dialer.CheckURL(ctx, url)
	if errors.Is(err, egress.ErrInvalidURL) || errors.Is(err, egress.ErrForbidden) {
		return postern.InvalidField(err.Error(), "body", "url")
	}
	return err
}

// checkSource has the provider's definition judge a source's settings.
func (e *Engine) checkSource(s *postern.Source, secrets [][]byte) error {
	def, ok := e.cfg.Providers.Lookup(s.Provider)
	if !ok {
		return postern.InvalidField("unknown provider "+s.Provider+": postern providers and docs/providers.md list those there are", "body", "provider")
	}
	texts := make([]string, len(secrets))
	for i, secret := range secrets {
		texts[i] = string(secret)
	}
	_, err := verify.New(def, verify.Config{Secrets: texts, Settings: s.Config, EventTypePrefix: s.EventTypePrefix})
	return fieldErrors(err)
}

// secretSettings are the settings of a provider that are kept sealed.
func (e *Engine) secretSettings(provider string) []string {
	def, _ := e.cfg.Providers.Lookup(provider)
	var names []string
	for _, s := range def.AllSettings() {
		if s.Secret {
			names = append(names, s.Name)
		}
	}
	return names
}

// fieldErrors is a provider's complaint about settings in the API's terms.
func fieldErrors(err error) error {
	var config *verify.ConfigError
	if !errors.As(err, &config) {
		return err
	}
	out := &postern.Error{Kind: postern.Invalid, Detail: "the source's settings do not fit its provider"}
	for _, f := range config.Fields {
		loc := append([]string{"body"}, strings.FieldsFunc(f.Field, func(r rune) bool { return strings.ContainsRune(".[]", r) })...)
		out.Fields = append(out.Fields, postern.FieldError{Loc: loc, Msg: f.Detail, Type: "value_error"})
	}
	return out
}

func writeError(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	body, err := json.Marshal(map[string]string{"code": code, "detail": detail})
	if err != nil {
		return // a map of strings always marshals
	}
	_, _ = w.Write(body) // the client may be gone
}

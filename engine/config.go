package engine

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/dispatch"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/verify"
)

// Config says how an engine runs. Store is required; the zero value of every
// other field stands for the default that it names.
type Config struct {
	// Store keeps everything. The engine does not close it.
	Store store.Store
	// Application is the uid of the application that handlers and messages belong
	// to that name none; "default" by default. It is made when the first needs it.
	Application string
	// Unhandled says what becomes of messages that the program publishes and
	// nobody would get; RecordUnhandled by default. What comes over HTTP is always
	// recorded.
	Unhandled Unhandled
	// Secrets seals secrets before they are stored. Nil makes a ring that lives
	// in memory, and is refused for a store that outlives the process.
	Secrets Secrets
	// AdminKey is accepted as an API key with all rights; none by default.
	AdminKey string
	// JWTSecret makes the tokens of a svix-server with this secret good: JWTs
	// signed with HS256; none by default.
	JWTSecret string
	// PublicURL is how the outside reaches this engine, with the prefix that its
	// Handler is under, if any. Signatures over the URL are checked against it, and the addresses of
	// sources begin with it.
	PublicURL string
	// Version is what User-Agent, health and the page show; "dev" by default.
	Version string

	// RetrySchedule holds where neither endpoint nor event type sets one; the
	// default is postern.DefaultRetrySchedule.
	RetrySchedule postern.RetrySchedule
	// Retention is how long messages are kept; 30 days by default.
	Retention time.Duration
	// MaxBody bounds API requests, InboundMaxBody inbound ones, in bytes; 1 MiB
	// and 25 MiB by default.
	MaxBody, InboundMaxBody int64
	// AttemptTimeout is the deadline of an attempt; 15 s by default.
	AttemptTimeout time.Duration
	// DrainTimeout is how long Run waits for attempts under way when it is told
	// to stop; 20 s by default. Negative for not at all.
	DrainTimeout time.Duration
	// MaxInFlight bounds attempts under way; by default it follows from the
	// limit of file descriptors, up to 4096.
	MaxInFlight int

	// EgressAllow are networks that deliveries may reach besides public
	// addresses, EgressProxy the HTTP proxy they go through, EgressCA further
	// authorities for certificates; none by default.
	EgressAllow []netip.Prefix
	EgressProxy *url.URL
	EgressCA    *x509.CertPool
	// Dial opens the connections of deliveries in place of the system, such as
	// within the process in tests: network is "tcp", address an IP address with its
	// port. Names are looked up, and addresses that EgressAllow does not open are
	// refused, before it is asked. It does not go together with EgressProxy.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TrustedProxies are networks whose X-Forwarded-For is believed; none by
	// default.
	TrustedProxies []netip.Prefix
	// Providers are those that sources can have; by default the built-in ones.
	// verify.NewCatalogue adds one's own.
	Providers *verify.Catalogue

	// Backup copies the store into a folder of this name, which must not exist, for
	// POST /api/v1/backup. The name is one element of a path. By default the API
	// makes no backups; a program calls its store's Checkpoint.
	Backup func(ctx context.Context, name string) (postern.Backup, error)

	// Log gets what an operator should know; silent by default.
	Log *slog.Logger
	// Observer is told what happens, for metrics; nobody by default.
	Observer Observer
	// Now is the clock of stored times; by default the one that the nodes of a shared
	// store have in common, else time.Now.
	Now func() time.Time

	// sender replaces sending, in tests.
	sender dispatch.Sender
}

// Secrets seals and opens what must not rest in plain text. Both are safe for
// concurrent use.
type Secrets interface {
	Seal(plain []byte) (postern.Sealed, error)
	Open(sealed postern.Sealed) ([]byte, error)
}

const (
	defaultRetention      = 30 * 24 * time.Hour
	defaultAttemptTimeout = 15 * time.Second
	defaultDrainTimeout   = 20 * time.Second
	defaultInboundMaxBody = 25 << 20
	defaultMaxBody        = 1 << 20
)

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	if c.RetrySchedule == nil {
		c.RetrySchedule = postern.DefaultRetrySchedule()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if cluster, ok := c.Store.(store.Cluster); ok && c.Now == nil {
		c.Now = cluster.Now
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	orDefault(&c.Version, "dev")
	orDefault(&c.Application, "default")
	orDefault(&c.Retention, defaultRetention)
	orDefault(&c.AttemptTimeout, defaultAttemptTimeout)
	orDefault(&c.DrainTimeout, defaultDrainTimeout)
	orDefault(&c.MaxBody, defaultMaxBody)
	orDefault(&c.InboundMaxBody, defaultInboundMaxBody)
	if c.MaxInFlight == 0 {
		c.MaxInFlight = descriptorShare(mostInFlight)
	}
	return c
}

// validate says what of a Config cannot work, all of it at once.
func (c Config) validate() error {
	var fields []postern.FieldError
	refuse := func(field, msg string) {
		fields = append(fields, postern.FieldError{Loc: []string{"Config", field}, Msg: msg, Type: "value_error"})
	}
	if isNil(c.Store) {
		refuse("Store", "is required: open one, such as embedded.Open(ctx, \"file:postern-data\", embedded.Options{}), and look at the error that comes with it")
	} else if c.Secrets == nil && c.Store.Capabilities().Durable {
		refuse("Secrets", "is required for a store that outlives the process (engine.LoadSecrets keeps a ring in a folder): what is sealed under a lost key cannot be opened again")
	}
	if c.Dial != nil && c.EgressProxy != nil {
		refuse("Dial", "does not go together with EgressProxy: connections go through the one or the other")
	}
	for _, amount := range []struct {
		field string
		value int64
	}{{"MaxBody", c.MaxBody}, {"InboundMaxBody", c.InboundMaxBody}, {"AttemptTimeout", int64(c.AttemptTimeout)}, {"MaxInFlight", int64(c.MaxInFlight)}} {
		if amount.value < 0 {
			refuse(amount.field, "is not negative")
		}
	}
	if c.Unhandled > RefuseUnhandled {
		refuse("Unhandled", "is none of RecordUnhandled, IgnoreUnhandled and RefuseUnhandled")
	}
	if at, err := url.Parse(c.PublicURL); c.PublicURL != "" && (err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "") {
		refuse("PublicURL", "is http:// or https:// and a host, with a path or not")
	}
	if err := c.RetrySchedule.Validate(); err != nil {
		refuse("RetrySchedule", err.Error())
	}
	if c.Retention < c.RetrySchedule.Longest() {
		refuse("Retention", "is shorter than the retry schedule takes ("+c.RetrySchedule.Longest().String()+"): messages would go before their last try")
	}
	if len(fields) > 0 {
		return &postern.Error{Kind: postern.Invalid, Detail: "the engine's configuration is not usable", Fields: fields}
	}
	return nil
}

// isNil reports whether an interface holds nothing, or a nil pointer: what a
// function returns beside an error that nobody looked at.
func isNil(v any) bool {
	value := reflect.ValueOf(v)
	return v == nil || value.Kind() == reflect.Pointer && value.IsNil()
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

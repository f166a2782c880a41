package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/config"
	"github.com/postern-dev/postern/sign"
)

const (
	// demoKey opens the demo server to everybody on this machine, which is why
	// it listens nowhere else.
	demoKey = "demo"
	// demoSecret is the GitHub source's, the same at each start so that a
	// command line that worked once works again.
	demoSecret = "demo-github-secret" //nolint:gosec // everybody knows it, and the demo's key
	// demoPath is where the receiver listens, beside the server's own paths.
	demoPath = "/demo/receiver"
	// demoExcerpt is how much of a payload the receiver shows, in bytes.
	demoExcerpt = 100
	// demoRefusal is what others than this machine are told, as the API would.
	demoRefusal = `{"code":"insufficient access","detail":"The demo's API is for this machine only"}` + "\n"
)

// serveDemo is a server to try things on. What it makes at the first start it
// finds again at the next.
func (p *Program) serveDemo(ctx context.Context, flags *config.Flags) error {
	settings, err := p.loadOver(map[string]string{
		"store": "file:postern-demo", "admin-key": demoKey, "egress-allow": loopback,
	}, flags)
	if err != nil {
		return err
	}
	if err := checkLoopback(settings.Listen); err != nil {
		return err
	}
	for _, network := range []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")} {
		if !slices.Contains(settings.EgressAllow, network) {
			settings.EgressAllow = append(settings.EgressAllow, network) // the receiver is there, whatever else is
		}
	}
	log := p.newLogger(settings)
	s, err := openServer(ctx, settings, p.Version, log)
	if errors.Is(err, postern.ErrUnavailable) {
		err = fmt.Errorf("%w\na second demo needs a folder and an address of its own: --store file:DIR --listen 127.0.0.1:0", err)
	}
	if err != nil {
		return err
	}
	shown := &receiver{
		answer:  func(*arrival) int { return http.StatusOK },
		arrived: func(a *arrival) { p.showArrival(a, log) },
	}
	s.http.Handler = demoHandler(shown, s.http.Handler)
	return s.run(ctx, func(ctx context.Context) error {
		log.Info("serving", "url", s.url(), "store", settings.Store.String())
		d := demoServer{url: s.url(), key: settings.AdminKey.Reveal(), api: newCaller(s.url(), settings.AdminKey.Reveal())}
		if err := d.setUp(ctx, shown); err != nil {
			return fmt.Errorf("making what the demo shows: %w", err)
		}
		_, err := fmt.Fprint(p.Stdout, d.greeting())
		return err
	})
}

// checkLoopback refuses an address that others than this machine can reach.
func checkLoopback(address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return usage("listen: %s", err)
	}
	if isLoopback(address) {
		return nil
	}
	return usage("--demo has a key that everybody knows: it listens on this machine only, such as --listen 127.0.0.1:8080, and not on %s\n"+
		"postern serve, without --demo, listens anywhere", address)
}

// isLoopback reports whether host or host:port names this machine and no other.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// demoHandler serves the receiver beside the server. The API answers under
// this machine's own names only, and to pages of this machine only: any page in
// a browser knows the key, and could ask here for itself, or have its own name
// lead here. A source's token is nothing that such a page knows, and tunnels
// bring requests to it under names of theirs.
func demoHandler(receiver, rest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, apiPrefix+"/") && (!isLoopback(r.Host) || !isLocalPage(r.Header.Get("Origin"))):
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, demoRefusal) // the page may be gone
		case r.URL.Path == demoPath:
			receiver.ServeHTTP(w, r)
		default:
			rest.ServeHTTP(w, r)
		}
	})
}

// isLocalPage reports whether a request comes from a page of this machine, or
// from none at all.
func isLocalPage(origin string) bool {
	from, err := url.Parse(origin)
	return origin == "" || err == nil && isLoopback(from.Host)
}

// showArrival prints a delivery. It is what arrived at the receiver, and so it
// shows the payload, which the server's log never does.
func (p *Program) showArrival(a *arrival, log *slog.Logger) {
	verdict := "signature verified"
	if a.Signature != nil {
		verdict = "REFUSED: " + a.Signature.Error()
	}
	// One write for the line: deliveries arrive side by side.
	_, err := fmt.Fprintf(p.Stdout, "%s arrived: %s, %d bytes, %s, answered %d: %s\n",
		a.At.Format("15:04:05.000"), excerpt([]byte(a.MessageID()), 64), len(a.Body), verdict, a.Status, excerpt(a.Body, demoExcerpt))
	if err != nil {
		log.Warn("an arrival could not be shown", "error", err)
	}
}

// demoServer is what a user of the demo has in hand.
type demoServer struct {
	url, key string
	api      *caller
	inbound  string // the GitHub source's address
}

// setUp makes the application, the source and the endpoint, or finds them, and
// puts right what the greeting says of them.
func (d *demoServer) setUp(ctx context.Context, shown *receiver) error {
	if err := d.api.call(ctx, http.MethodPost, "/app?get_if_exists=true", map[string]any{"name": "Demo", "uid": "demo"}, nil); err != nil {
		return err
	}
	var source struct{ IngestURL string }
	if err := d.ensure(ctx, "/app/demo/source", "github",
		map[string]any{"name": "GitHub", "uid": "github", "provider": "github", "secrets": []string{demoSecret}},
		map[string]any{"secrets": []string{demoSecret}}, &source); err != nil {
		return err
	}
	d.inbound = source.IngestURL
	url := d.url + demoPath
	if err := d.ensure(ctx, "/app/demo/endpoint", "receiver",
		map[string]any{"uid": "receiver", "url": url, "description": "Shows on the server's terminal what arrives"},
		map[string]any{"url": url}, nil); err != nil {
		return err
	}
	key, err := endpointKey(ctx, d.api, "receiver")
	if err != nil {
		return err
	}
	shown.use(map[string]sign.Key{demoPath: key})
	return nil
}

// ensure changes what is there under a uid, or creates it.
func (d *demoServer) ensure(ctx context.Context, list, uid string, create, change map[string]any, out any) error {
	err := d.api.call(ctx, http.MethodPatch, list+"/"+uid, change, out)
	if statusOf(err) == http.StatusNotFound {
		return d.api.call(ctx, http.MethodPost, list, create, out)
	}
	return err
}

// greeting says what to try. Its command lines work as they are printed.
func (d *demoServer) greeting() string {
	authorization := shellQuote("Authorization: Bearer " + d.key)
	return fmt.Sprintf(`
Postern demo at %[1]s, for this machine only. API key: %[2]s

Publish a message; the receiver here shows what arrives:

    curl %[1]s/api/v1/app/demo/msg -H %[3]s -H 'Content-Type: application/json' \
      -d '{"eventType":"invoice.paid","payload":{"invoice":17,"amount":1200}}'

See what became of it:

    curl %[1]s/api/v1/app/demo/attempt/endpoint/receiver -H %[3]s

Send what GitHub would. To have GitHub do it, give it this address and secret:

    address  %[4]s
    secret   %[5]s

    body='{"zen":"Keep it logically awesome."}'; curl %[4]s \
      -H 'Content-Type: application/json' -H 'X-GitHub-Event: ping' -H "X-GitHub-Delivery: $(openssl rand -hex 16)" \
      -H "X-Hub-Signature-256: sha256=$(printf %%s "$body" | openssl dgst -sha256 -hmac %[5]s | sed 's/.*= *//')" -d "$body"

Ctrl-C stops it. What is stored stays; the next start goes on from there.

`, d.url, d.key, authorization, d.inbound, demoSecret)
}

package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
	"github.com/postern-dev/postern/internal/config"
)

// keyCmd makes, lists and revokes API keys.
type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Make an API key and print it, this once."`
	List   keyListCmd   `cmd:"" help:"List the keys; what opens with them is not shown."`
	Revoke keyRevokeCmd `cmd:"" help:"Revoke a key at once."`
}

// maxKeyName bounds a key's name in bytes.
const maxKeyName = 256

// keyPlace says where the keys are: in a server, or in a store that no server
// holds, which is the way back from a lost key.
type keyPlace struct {
	URL   string `name:"url" help:"Address of the server; by default the one of --listen or POSTERN_LISTEN." placeholder:"URL"`
	Key   string `name:"key" help:"An admin key of the server; by default that of POSTERN_ADMIN_KEY." placeholder:"KEY"`
	Store string `name:"store" help:"Work on the store itself, file:DIR or postgres://..., which no server may be using. Needs no key." placeholder:"STORE"`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// keyRing is what the verbs work on: the keys of a server or of a store.
type keyRing interface {
	create(ctx context.Context, in client.KeyIn) (*client.Key, error)
	// list is the newest first.
	list(ctx context.Context) ([]client.Key, error)
	revoke(ctx context.Context, id string) error
	io.Closer
}

// open finds the keys. A server is not spoken to yet.
func (k *keyPlace) open(ctx context.Context, p *Program) (keyRing, error) {
	if k.Store != "" {
		if k.URL != "" || k.Key != "" {
			return nil, usage("--store works without a server: leave out --url and --key, or leave out --store")
		}
		return openStoredKeys(ctx, k.Store)
	}
	settings, err := p.load(nil)
	if err != nil {
		return nil, err
	}
	key := cmp.Or(k.Key, settings.AdminKey.Reveal())
	if key == "" {
		return nil, usage("which key opens the server? give --key or POSTERN_ADMIN_KEY\n" +
			"if it is lost: stop the server and make another with postern key create --store file:DIR")
	}
	return openServerKeys(cmp.Or(k.URL, localURL(settings.Listen)), key, p.Version)
}

// localURL is how a server that listens on an address is reached on its own
// machine.
func localURL(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "http://" + listen // settings are validated; the call will say what is wrong
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// keyCreateCmd makes a key.
type keyCreateCmd struct {
	Name    string   `required:"" help:"What the key is for." placeholder:"NAME"`
	Scope   string   `default:"admin" enum:"admin,application,read-only,publish-only" help:"What it may do: admin, application (everything in one), read-only or publish-only." placeholder:"SCOPE"`
	App     string   `name:"app" help:"Id or uid of the only application that it opens." placeholder:"REF"`
	Expires string   `help:"How long it is good for, such as 30d; for ever by default." placeholder:"DURATION"`
	Place   keyPlace `embed:""`
}

// Run prints the key, which is shown nowhere else.
func (c *keyCreateCmd) Run(ctx context.Context, p *Program) error {
	in := client.KeyIn{Name: c.Name, Scope: postern.Scope(c.Scope), Application: c.App}
	switch {
	case strings.TrimSpace(c.Name) == "":
		return usage("--name: say what the key is for")
	case len(c.Name) > maxKeyName:
		return usage("--name: at most %d bytes", maxKeyName)
	case c.Scope == "application" && c.App == "":
		return usage("--scope application: say which with --app")
	case c.Scope == "admin" && c.App != "":
		return usage("--app: an admin key opens all applications; choose another --scope")
	}
	if c.Expires != "" {
		lasts, err := config.ParseDuration(c.Expires)
		if err != nil || lasts <= 0 {
			return usage("--expires: %q is not a duration such as 12h or 30d", c.Expires)
		}
		at := time.Now().Add(lasts).UTC().Truncate(time.Second)
		in.ExpiresAt = &at
	}
	keys, err := c.Place.open(ctx, p)
	if err != nil {
		return err
	}
	defer keys.Close() // what was written is on disk before create returns
	key, err := keys.create(ctx, in)
	if err != nil {
		return err
	}
	if c.Place.JSON {
		return printJSON(p.Stdout, key)
	}
	_, err = fmt.Fprintf(p.Stdout, "%s, %s%s\n\nThe key, shown only this once:\n\n    %s\n\n", key.ID, key.Scope, until(key.ExpiresAt), key.Token)
	return err
}

// until is the end of a key's time, if it has one.
func until(at *time.Time) string {
	if at == nil {
		return ""
	}
	return ", until " + at.UTC().Format(time.RFC3339)
}

// keyListCmd lists keys.
type keyListCmd struct {
	Place keyPlace `embed:""`
}

// Run prints the newest key first.
func (c *keyListCmd) Run(ctx context.Context, p *Program) error {
	keys, err := c.Place.open(ctx, p)
	if err != nil {
		return err
	}
	defer keys.Close() // only read from
	list, err := keys.list(ctx)
	if err != nil {
		return err
	}
	if c.Place.JSON {
		return printJSON(p.Stdout, map[string]any{"keys": list})
	}
	table := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tSCOPE\tAPPLICATION\tCREATED\tEXPIRES\tLAST USED")
	for _, k := range list {
		app := "all"
		if k.ApplicationID != nil {
			app = k.ApplicationID.String()
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, excerpt([]byte(k.Name), 60), k.Scope, app,
			orNever(&k.CreatedAt), orNever(k.ExpiresAt), orNever(k.LastUsedAt))
	}
	return table.Flush()
}

// orNever is a time for people.
func orNever(at *time.Time) string {
	if at == nil {
		return "never"
	}
	return at.UTC().Format(time.RFC3339)
}

// keyRevokeCmd revokes one key.
type keyRevokeCmd struct {
	ID    string   `arg:"" help:"The key's id, as the list has it."`
	Place keyPlace `embed:""`
}

// Run says what it did: from then on nobody gets in with the key.
func (c *keyRevokeCmd) Run(ctx context.Context, p *Program) error {
	keys, err := c.Place.open(ctx, p)
	if err != nil {
		return err
	}
	defer keys.Close() // what was written is on disk before revoke returns
	if err := keys.revoke(ctx, c.ID); err != nil {
		return err
	}
	if c.Place.JSON {
		return printJSON(p.Stdout, map[string]any{"revoked": c.ID})
	}
	_, err = fmt.Fprintf(p.Stdout, "%s is revoked\n", c.ID)
	return err
}

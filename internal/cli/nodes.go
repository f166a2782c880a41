package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
)

// nodesCmd lists the servers that share a database.
type nodesCmd struct {
	URL  string `name:"url" help:"Address of any of the servers; by default the one of --listen or POSTERN_LISTEN." placeholder:"URL"`
	Key  string `name:"key" help:"An admin key of the servers; by default that of POSTERN_ADMIN_KEY." placeholder:"KEY"`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run prints a line for each node.
func (c *nodesCmd) Run(ctx context.Context, p *Program) error {
	settings, err := p.load(nil)
	if err != nil {
		return err
	}
	key, url := cmp.Or(c.Key, settings.AdminKey.Reveal()), cmp.Or(c.URL, localURL(settings.Listen))
	if key == "" {
		return usage("which key opens the server? give --key or POSTERN_ADMIN_KEY")
	}
	api, err := client.New(client.Options{URL: url, Key: key, Retries: 1, UserAgent: "postern/" + p.Version})
	if err != nil {
		return usage("--url and --key: %s", strings.TrimPrefix(err.Error(), "client: "))
	}
	nodes, err := api.Nodes(ctx)
	if _, answered := errors.AsType[*postern.Error](err); err != nil && !answered {
		err = fmt.Errorf("%w\nis a server running at %s? --url names another", err, url)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(p.Stdout, map[string]any{"nodes": nodes})
	}
	table := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tSINCE\tLEASE UNTIL\tSTATE\tJOURNALS")
	for i := range nodes {
		n := &nodes[i]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", excerpt([]byte(n.Name), 100), orNever(&n.Since), orNever(n.ExpiresAt), stateOf(n), journalsOf(n))
	}
	return table.Flush()
}

// stateOf is what a node is, in words.
func stateOf(n *client.Node) string {
	words := []string{"gone"}
	if n.Live {
		words[0] = "live"
	}
	if n.Leader {
		words = append(words, "leads")
	}
	if n.Self {
		words = append(words, "answers")
	}
	return strings.Join(words, ", ")
}

// journalsOf are the numbers of a node's journals, those that it took over marked.
func journalsOf(n *client.Node) string {
	var words []string
	for _, j := range n.Journals {
		word := strconv.Itoa(j.Number)
		if !j.Main {
			word += " (adopted)"
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

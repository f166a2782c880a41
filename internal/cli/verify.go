package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/postern-dev/postern/verify"
)

// verifyCmd is the signature doctor: it checks requests as a source would and
// says what is wrong with them. It fetches nothing and keeps nothing.
type verifyCmd struct {
	Provider   string         `arg:"" optional:"" help:"The provider, as postern providers lists them."`
	Secret     []string       `sep:"none" placeholder:"SECRET" help:"A secret of the source; any of several may have signed. Other users of a machine can see it: --secret-file keeps it from them."`
	SecretFile []string       `sep:"none" placeholder:"FILE" help:"A file with a secret, a key or a certificate; a line end behind it is not part of it."`
	Previous   []string       `sep:"none" placeholder:"SECRET" help:"A secret that counts no longer: the hint says if it is what signed."`
	URL        string         `name:"url" placeholder:"URL" help:"The address as the provider has it configured, query included."`
	Method     string         `default:"POST" placeholder:"METHOD" help:"The method; POST by default."`
	Header     []string       `sep:"none" short:"H" placeholder:"NAME: VALUE" help:"A header of the request."`
	BodyFile   string         `placeholder:"FILE" help:"The raw body; - is standard input. An empty body by default."`
	Now        *int64         `placeholder:"UNIX" help:"The time of receipt in Unix seconds; the present by default."`
	Config     []string       `sep:"none" placeholder:"NAME=VALUE" help:"A setting of the source, such as tolerance=600 or variant=v2."`
	Batch      string         `placeholder:"FILE" help:"Check the requests of a file instead, one in JSON a line, and print a verdict on each; - is standard input."`
	JSON       bool           `help:"Print JSON."`
	Own        ownDefinitions `embed:""`
}

// maxVerifyFile bounds what is read of a body, and maxSecretFile of a secret.
const (
	maxVerifyFile = verify.DefaultMaxBody
	maxSecretFile = 64 << 10
)

// errRefused ends the command with exit code 1 after the explanation, which is
// all that there is to say.
var errRefused = errors.New("the request was refused")

// Run explains one request, or judges those of a batch.
func (c *verifyCmd) Run(ctx context.Context, p *Program) error {
	catalogue, err := c.Own.catalogue(p)
	if err != nil {
		return err
	}
	if c.Batch != "" {
		if c.Provider != "" || c.JSON || len(c.Secret)+len(c.SecretFile)+len(c.Header)+len(c.Config)+len(c.BodyFile) > 0 {
			return usage("--batch: the file says everything; leave out the rest")
		}
		in, err := p.open(c.Batch)
		if err != nil {
			return withCode(ExitUsage, err)
		}
		defer in.Close()
		return newBatch(catalogue).run(ctx, in, p.Stdout)
	}
	if c.Provider == "" {
		return usage("which provider? postern providers lists them")
	}
	def, err := find(catalogue, c.Provider)
	if err != nil {
		return err
	}
	cfg, req, err := c.read(p)
	if err != nil {
		return withCode(ExitUsage, err)
	}
	v, err := verify.New(def, cfg)
	if err != nil {
		return usage("%s", strings.ReplaceAll(strings.TrimPrefix(err.Error(), "verify: "), "; ", "\n"))
	}
	now := time.Now()
	if c.Now != nil {
		now = time.Unix(*c.Now, 0)
	}
	explanation := v.Explain(ctx, req, now)
	var hint string
	if explanation.Accepted {
		hint = whichSecret(ctx, def, cfg, req, now)
	} else {
		hint = v.Diagnose(ctx, req, now, c.Previous)
	}
	if err := c.print(p.Stdout, def, &explanation, hint); err != nil {
		return err
	}
	if !explanation.Accepted {
		return errRefused
	}
	return nil
}

// whichSecret says which of several secrets a request was signed with; "" where
// that is no question.
func whichSecret(ctx context.Context, def verify.Definition, cfg verify.Config, req verify.Request, now time.Time) string {
	if len(cfg.Secrets) < 2 {
		return ""
	}
	for i := range cfg.Secrets {
		one := cfg
		one.Secrets = cfg.Secrets[i : i+1]
		v, err := verify.New(def, one)
		if err != nil {
			continue // it is one that goes with another
		}
		if _, err := v.Verify(ctx, req, now); err == nil {
			return fmt.Sprintf("signed with secret %d of the %d given", i+1, len(cfg.Secrets))
		}
	}
	return ""
}

// open opens a file, or for "-" standard input.
func (p *Program) open(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(p.Stdin), nil
	}
	return os.Open(name)
}

// read takes source and request from the flags.
func (c *verifyCmd) read(p *Program) (cfg verify.Config, req verify.Request, err error) {
	cfg.Secrets, cfg.Settings = c.Secret, map[string]string{}
	for _, name := range c.SecretFile {
		text, err := p.readBounded(name, maxSecretFile)
		if err != nil {
			return cfg, req, fmt.Errorf("--secret-file: %w", err)
		}
		cfg.Secrets = append(cfg.Secrets, strings.TrimRight(string(text), "\r\n"))
	}
	for _, pair := range c.Config {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return cfg, req, fmt.Errorf("--config: %q is not NAME=VALUE", pair)
		}
		cfg.Settings[name] = value
	}
	req = verify.Request{Method: c.Method, URL: c.URL, Header: http.Header{}}
	for _, line := range c.Header {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return cfg, req, errors.New("--header: write NAME: VALUE, once for each header")
		}
		req.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if c.BodyFile != "" {
		if req.Body, err = p.readBounded(c.BodyFile, maxVerifyFile); err != nil {
			return cfg, req, fmt.Errorf("--body-file: %w", err)
		}
	}
	return cfg, req, nil
}

// readBounded reads a file of at most so many bytes.
func (p *Program) readBounded(name string, limit int64) ([]byte, error) {
	in, err := p.open(name)
	if err != nil {
		return nil, err
	}
	defer in.Close() // only read from
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return data, err
}

// print writes the steps in order, then the outcome.
func (c *verifyCmd) print(out io.Writer, def verify.Definition, e *verify.Explanation, hint string) error {
	if c.JSON {
		return printJSON(out, map[string]any{
			"provider": def.ID, "accepted": e.Accepted, "reason": string(e.Reason), "detail": e.Detail, "hint": hint,
			"event_type": e.Event.ProviderEventType, "delivery_id": e.Event.DeliveryID, "steps": e.Steps,
		})
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, s := range e.Steps {
		fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, s.State, s.Detail)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	outcome := "accepted"
	if !e.Accepted {
		outcome = fmt.Sprintf("refused: %s: %s", e.Reason, e.Detail)
	}
	if hint != "" {
		outcome += "\nhint: " + hint
	}
	_, err := fmt.Fprintf(out, "\n%s\n", outcome)
	return err
}

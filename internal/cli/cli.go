// Package cli is the command line of the postern binary.
//
// A Program is a value: it has its streams, its environment and its version,
// and Run is one run of it, so that a test starts what a user does without a
// process of its own. Each command is a struct in a file of its name; kong reads
// its flags and calls its Run method, which gets the Program and a context that
// ends with the first SIGINT or SIGTERM.
//
// What a command is asked for goes to standard output; logs and errors go to
// standard error. A command returns its error; Run prints it and turns it into
// one of the exit codes of exit.go.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/postern-dev/postern/internal/config"
)

// Program is one run of the binary. Nil streams read nothing and discard.
type Program struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Environ is in the form of os.Environ. Nil is an empty environment.
	Environ []string
	// Version is what `postern version` prints. Empty is "dev".
	Version string
}

// System is the Program of this process. Without a version from the linker it
// takes the module's, as `go install` records it.
func System(version string) *Program {
	if info, ok := debug.ReadBuildInfo(); ok && version == "" && info.Main.Version != "(devel)" {
		version = info.Main.Version
	}
	return &Program{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ(), Version: version}
}

// commands is the command line, in the order of the help.
type commands struct {
	Serve     serveCmd     `cmd:"" help:"Receive and deliver webhooks until a signal."`
	Demo      demoCmd      `cmd:"" help:"Run the whole story once on a temporary store and print it."`
	Bench     benchCmd     `cmd:"" help:"Measure this binary on this machine."`
	BenchRole benchRoleCmd `cmd:"" name:"bench-role" hidden:"" passthrough:""`
	Key       keyCmd       `cmd:"" help:"Make, list and revoke API keys."`
	Nodes     nodesCmd     `cmd:"" help:"List the servers that share a database, and what each one has."`
	Backup    backupCmd    `cmd:"" help:"Copy a server's store into a folder while it serves, or that of a stopped one."`
	Restore   restoreCmd   `cmd:"" help:"Check a backup, and put it in place."`
	Copy      copyCmd      `cmd:"" help:"Copy a store that no server holds into another one, and compare the two."`
	Migrate   migrateCmd   `cmd:"" help:"Bring the tables of a PostgreSQL database up to date, or show what that would do."`
	Verify    verifyCmd    `cmd:"" help:"Explain why a request verifies or does not, as a source would see it."`
	Providers providersCmd `cmd:"" help:"List the providers whose webhooks can be verified, or tell all about one."`
	Config    configCmd    `cmd:"" help:"Print every setting, its value and where it came from."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
	Help      helpCmd      `cmd:"" help:"Print this help, or that of a command."`
}

// Run runs the command that args name and returns the exit code. It returns
// when the command does; commands end soon after ctx.
func (p *Program) Run(ctx context.Context, args []string) int {
	run := p.withDefaults()
	err := run.dispatch(ctx, args)
	if err != nil {
		fmt.Fprintf(run.Stderr, "postern: %s\n", strings.ReplaceAll(err.Error(), "\n", "\npostern: "))
	}
	return exitCode(err)
}

// withDefaults is a copy whose streams are not nil.
func (p *Program) withDefaults() *Program {
	run := *p
	if run.Stdin == nil {
		run.Stdin = strings.NewReader("")
	}
	if run.Stdout == nil {
		run.Stdout = io.Discard
	}
	if run.Stderr == nil {
		run.Stderr = io.Discard
	}
	if run.Version == "" {
		run.Version = "dev"
	}
	return &run
}

// dispatch parses args and calls the command's Run method.
func (p *Program) dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return usage("which command? postern --help lists them, postern serve --demo is a first one to try")
	}
	parser, helped, err := p.parser(ctx)
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if *helped {
		return nil
	}
	if err != nil {
		return usage("%s", withNearest(err))
	}
	return command.Run()
}

// parser builds the command line. The bool it returns turns true when help was
// printed, after which nothing else is to be done: kong would exit there.
func (p *Program) parser(ctx context.Context) (*kong.Kong, *bool, error) {
	cmds := &commands{
		Serve:  serveCmd{Settings: config.NewFlags()},
		Config: configCmd{Settings: config.NewFlags()},
	}
	helped := new(bool)
	parser, err := kong.New(cmds,
		kong.Name("postern"),
		kong.Description("Receives, routes and delivers webhooks."),
		kong.Writers(p.Stdout, p.Stderr),
		kong.Exit(func(int) { *helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.ExplicitGroups([]kong.Group{{
			Key: "Settings", Title: "Settings, in the order of docs/configuration.md:",
			Description: "Each is also a POSTERN_ variable and a key of the --config file.",
		}}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(p),
	)
	return parser, helped, err
}

// load reads the settings that a command takes from its flags, the environment
// and the file.
func (p *Program) load(flags *config.Flags) (*config.Config, error) {
	return p.loadOver(nil, flags)
}

// loadOver reads the settings as load does, over other defaults.
func (p *Program) loadOver(preset map[string]string, flags *config.Flags) (*config.Config, error) {
	c, err := config.Load(config.Input{Flags: flags, Environ: p.Environ, Preset: preset, PresetOrigin: "--demo"})
	if err != nil {
		return nil, withCode(ExitUsage, err)
	}
	return c, nil
}

// withNearest is a parser's message; for an unknown flag or command that kong
// finds nothing close to, it adds what is nearest.
func withNearest(err error) string {
	message := err.Error()
	var parse *kong.ParseError
	if !errors.As(err, &parse) || strings.Contains(message, "did you mean") {
		return message
	}
	node := parse.Context.Model.Node
	if selected := parse.Context.Selected(); selected != nil {
		node = selected
	}
	var names []string
	word, isFlag := strings.CutPrefix(message, "unknown flag ")
	for _, flag := range node.Flags {
		names = append(names, "--"+flag.Name)
	}
	if !isFlag {
		if word, isFlag = strings.CutPrefix(message, "unexpected argument "); !isFlag {
			return message
		}
		names = nil
		for _, child := range node.Children {
			if !child.Hidden {
				names = append(names, child.Name)
			}
		}
	}
	if nearest := config.Nearest(word, names); nearest != "" {
		message += ", did you mean " + nearest + "?"
	}
	return message
}

package cli_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/internal/cli"
)

// run is one run of the binary without a process.
func run(t *testing.T, environ []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	p := cli.Program{Stdout: &out, Stderr: &errs, Environ: environ, Version: "v1.2.3"}
	code = p.Run(t.Context(), args)
	return out.String(), errs.String(), code
}

// golden compares got with a file of testdata, which UPDATE=1 rewrites.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got); UPDATE=1 rewrites it:\n%s", file, diff)
	}
}

func TestOutput(t *testing.T) {
	tests := map[string]struct {
		args, environ []string
	}{
		"help.txt":   {args: []string{"--help"}},
		"config.txt": {args: []string{"config", "--listen=:0", "--retry-schedule=1s,5s"}, environ: []string{"POSTERN_ADMIN_KEY=hunter2", "POSTERN_STORE=postgres://me:hunter2@db/p"}},
		"config.json": {args: []string{"config", "--json", "--egress-allow", "127.0.0.0/8"},
			environ: []string{"POSTERN_CONFIG=testdata/postern.yaml", "POSTERN_SERVICE_HOST=10.1.1.1", "POSTERN_PORT=tcp://10.1.1.1:80"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := run(t, tt.environ, tt.args...)
			if code != cli.ExitOK || stderr != "" {
				t.Fatalf("exit %d, stderr %q", code, stderr)
			}
			if strings.Contains(stdout, "hunter2") {
				t.Error("a secret is shown")
			}
			golden(t, name, stdout)
		})
	}
}

// Mistakes end with a code of their own and one line each on standard error.
func TestMistakes(t *testing.T) {
	tests := map[string]struct {
		args, environ []string
		code          int
		want          string
	}{
		"no command":        {want: "postern: which command? postern --help lists them, postern serve --demo is a first one to try\n", code: cli.ExitUsage},
		"a near flag":       {args: []string{"serve", "--lisen=:1"}, want: "postern: unknown flag --lisen, did you mean \"--listen\"?\n", code: cli.ExitUsage},
		"a far flag":        {args: []string{"serve", "--max-bodysize=1"}, want: "postern: unknown flag --max-bodysize, did you mean --max-body?\n", code: cli.ExitUsage},
		"a near command":    {args: []string{"confg"}, want: "postern: unexpected argument confg, did you mean \"config\"?\n", code: cli.ExitUsage},
		"a far command":     {args: []string{"benchmarking"}, want: "postern: unexpected argument benchmarking, did you mean bench?\n", code: cli.ExitUsage},
		"a flag half given": {args: []string{"serve", "--listen"}, want: "postern: --listen: expected string value but got \"EOL\" (<EOL>)\n", code: cli.ExitUsage},
		"settings": {
			args: []string{"config", "--max-body=3x"}, environ: []string{"POSTERN_LISEN=:1"}, code: cli.ExitUsage,
			want: "postern: POSTERN_LISEN: no such variable; the nearest is POSTERN_LISTEN\n" +
				"postern: --max-body: \"3x\" is not a size; write bytes or a whole number with KiB, MiB or GiB, such as 25MiB\n",
		},
		"settings of serve": {args: []string{"serve", "--retention=1h"}, code: cli.ExitUsage,
			want: "postern: --retention: 1h is shorter than the retry schedule takes; write at least 34h7m or shorten --retry-schedule\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := run(t, tt.environ, tt.args...)
			if code != tt.code || stdout != "" {
				t.Errorf("exit %d, want %d; stdout %q", code, tt.code, stdout)
			}
			if diff := cmp.Diff(tt.want, stderr); diff != "" {
				t.Errorf("stderr (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	stdout, _, code := run(t, nil, "version")
	if want := "postern v1.2.3 (" + runtime.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH + ")\n"; code != 0 || stdout != want {
		t.Errorf("exit %d: %q, want %q", code, stdout, want)
	}
}

func TestHelpIsTheFlag(t *testing.T) {
	for _, command := range []string{"serve", "demo", "bench", "key", "nodes", "backup", "restore", "copy", "verify", "providers", "config", "version"} {
		byFlag, _, code := run(t, nil, command, "--help")
		if code != cli.ExitOK || !strings.HasPrefix(byFlag, "Usage: postern "+command) {
			t.Errorf("%s --help: exit %d\n%s", command, code, byFlag)
		}
		if byWord, _, _ := run(t, nil, "help", command); byWord != byFlag {
			t.Errorf("help %s differs from %s --help", command, command)
		}
	}
	all, _, _ := run(t, nil, "help")
	if flag, _, _ := run(t, nil, "--help"); all != flag {
		t.Error("help differs from --help")
	}
}

// What `config --json` prints says of every setting the same as the table.
func TestConfigJSON(t *testing.T) {
	stdout, _, _ := run(t, []string{"POSTERN_LOG_LEVEL=debug"}, "config", "--json")
	var printed struct {
		Settings []struct{ Name, Variable, Value, From string }
	}
	if err := json.Unmarshal([]byte(stdout), &printed); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, s := range printed.Settings {
		if s.Name == "log-level" {
			found = s.Variable == "POSTERN_LOG_LEVEL" && s.Value == "debug" && s.From == "POSTERN_LOG_LEVEL"
		}
	}
	if !found {
		t.Errorf("log-level is not as given: %s", stdout)
	}
}

// A Program without streams does what it is asked, quietly.
func TestZeroProgram(t *testing.T) {
	if code := (&cli.Program{}).Run(t.Context(), []string{"version"}); code != cli.ExitOK {
		t.Errorf("exit %d", code)
	}
	if code := (&cli.Program{}).Run(t.Context(), []string{"nothing"}); code != cli.ExitUsage {
		t.Errorf("exit %d", code)
	}
}

// brokenPipe is a standard output that nobody reads.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestOutputThatFailsIsAnError(t *testing.T) {
	var stderr bytes.Buffer
	p := cli.Program{Stdout: brokenPipe{}, Stderr: &stderr}
	for _, args := range [][]string{{"version"}, {"config"}, {"config", "--json"}} {
		stderr.Reset()
		if code := p.Run(t.Context(), args); code != cli.ExitError || stderr.String() != "postern: broken pipe\n" {
			t.Errorf("%v: exit %d, stderr %q", args, code, stderr.String())
		}
	}
}

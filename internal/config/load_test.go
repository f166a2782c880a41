package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/internal/config"
)

// load reads settings from a command line, variables and the text of a file.
func load(t *testing.T, args, environ []string, file string) (*config.Config, error) {
	t.Helper()
	if file != "" {
		args = append(args, "--config=dir/postern.yaml")
	}
	command := &struct {
		Settings config.Flags `embed:""`
	}{config.NewFlags()}
	parser, err := kong.New(command)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	return config.Load(config.Input{
		Flags: &command.Settings, Environ: environ,
		ReadFile: func(name string) ([]byte, error) {
			return read(map[string]string{"dir/postern.yaml": file, "own.yaml": acmeYAML, "more.json": acmeJSON})(name)
		},
	})
}

func values(c *config.Config) map[string]string {
	shown := map[string]string{}
	for _, e := range c.Entries() {
		shown[e.Name] = e.Value
	}
	return shown
}

func TestDefaults(t *testing.T) {
	c, err := config.Load(config.Input{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"listen": "127.0.0.1:8080", "store": "file:postern-data", "node": "", "admin-key": "", "secret-key": "",
		"public-url": "", "egress-allow": "", "egress-proxy": "", "egress-ca": "",
		"retry-schedule": "5s,5m,30m,2h,5h,10h,10h", "retention": "30d", "max-body": "1MiB",
		"inbound-max-body": "25MiB", "drain-timeout": "20s", "jwt-secret": "", "trusted-proxies": "",
		"providers": "", "log-level": "info", "log-format": "auto", "config": "",
	}
	if diff := cmp.Diff(want, values(c)); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	for _, e := range c.Entries() {
		if e.From != config.OriginDefault || e.Value != e.Default {
			t.Errorf("%s = %q from %s, want its default %q", e.Name, e.Value, e.From, e.Default)
		}
	}
	if got := len(config.Default().RetrySchedule); got != 7 {
		t.Errorf("Default has %d waits, want 7", got)
	}
}

// Flag beats variable beats file beats preset beats default, and each value
// remembers which of them won.
func TestPrecedence(t *testing.T) {
	const file = "# settings\nretention: 14d\nmax-body: 3MiB\nlog-level: warn\n"
	environ := []string{"HOME=/root", "POSTERN_RETENTION=15d", "POSTERN_MAX_BODY=2MiB", "POSTERN_LISTEN=", "POSTERN_PORT_8080_TCP=x", "POSTERN_SERVICE_HOST=10.0.0.1"}
	c, err := load(t, []string{"--retention", "16d"}, environ, file)
	if err != nil {
		t.Fatal(err)
	}
	type entry struct{ Value, From string }
	want := map[string]entry{
		"retention": {"16d", "--retention"},
		"max-body":  {"2MiB", "POSTERN_MAX_BODY"},
		"log-level": {"warn", "postern.yaml:4"},
		"config":    {"dir/postern.yaml", "--config"},
		"listen":    {"127.0.0.1:8080", "default"},
	}
	for _, e := range c.Entries() {
		if w, ok := want[e.Name]; ok && w != (entry{e.Value, string(e.From)}) {
			t.Errorf("%s = %q from %s, want %q from %s", e.Name, e.Value, e.From, w.Value, w.From)
		}
	}
}

func TestPresetLosesToEverythingButTheDefault(t *testing.T) {
	c, err := config.Load(config.Input{
		Preset:       map[string]string{"store": "file:postern-demo", "listen": "127.0.0.1:1"},
		PresetOrigin: "--demo", Environ: []string{"POSTERN_LISTEN=127.0.0.1:2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Store.Reveal() != "file:postern-demo" || c.Origin("store") != "--demo" {
		t.Errorf("store = %v from %s", c.Store, c.Origin("store"))
	}
	if c.Listen != "127.0.0.1:2" {
		t.Errorf("listen = %s", c.Listen)
	}
}

func TestListsInTheFile(t *testing.T) {
	c, err := load(t, nil, nil, "retry-schedule: [1s, 5s, 1m]\negress-allow:\n  - 127.0.0.0/8\n  - 10.1.2.3\ntrusted-proxies: 10.0.0.0/8,::1\n")
	if err != nil {
		t.Fatal(err)
	}
	got := values(c)
	want := map[string]string{"retry-schedule": "1s,5s,1m", "egress-allow": "127.0.0.0/8,10.1.2.3/32", "trusted-proxies": "10.0.0.0/8,::1/128"}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s = %q, want %q", name, got[name], value)
		}
	}
}

// Every mistake is told at once, at its place, with the way out.
func TestMistakes(t *testing.T) {
	tests := map[string]struct {
		args, environ []string
		file          string
		want          []string
	}{
		"everything at once": {
			args: []string{"--max-body=12xb"}, environ: []string{"POSTERN_RETENTON=1d", "POSTERN_LOG_LEVEL=loud"}, file: "max-bodi: 1\nretention: soon\n",
			want: []string{
				"POSTERN_RETENTON: no such variable; the nearest is POSTERN_RETENTION",
				"postern.yaml:1: max-bodi: no such setting; the nearest is max-body",
				`postern.yaml:2: retention: "soon" is not a duration; write a number with a unit, such as 20s, 5m, 36h or 30d`,
				`POSTERN_LOG_LEVEL: "loud" is not a level; write debug, info, warn or error`,
				`--max-body: "12xb" is not a size; write bytes or a whole number with KiB, MiB or GiB, such as 25MiB`,
			},
		},
		"retention below the schedule": {
			args: []string{"--retention=1d"},
			want: []string{"--retention: 1d is shorter than the retry schedule takes; write at least 34h7m or shorten --retry-schedule"},
		},
		"retention below a given schedule, from the file": {
			file: "retention: 2h\nretry-schedule: 1h,1h\n",
			want: []string{"postern.yaml:1: retention: 2h is shorter than the retry schedule takes; write at least 3h25m or shorten --retry-schedule"},
		},
		"ranges": {
			args: []string{"--max-body=0", "--inbound-max-body=1GiB", "--drain-timeout=2h", "--retention=0s", "--retry-schedule=none"},
			want: []string{
				"--retention: nothing would be kept; write a duration such as 30d",
				"--max-body: 0 is out of range; write a size from 1 to 256MiB",
				"--inbound-max-body: 1GiB is out of range; write a size from 1 to 256MiB",
				"--drain-timeout: 2h is out of range; write a duration from 0s to 1h",
			},
		},
		"addresses": {
			args: []string{"--listen=8080", "--store=mysql://x", "--public-url=https://a.example/", "--egress-proxy=socks5://h:1"},
			want: []string{
				`--listen: "8080" is not an address; write HOST:PORT, such as 127.0.0.1:8080`,
				"--store: no such store; write file:DIR, memory: or postgres://USER:PASSWORD@HOST/DATABASE",
				"--public-url: has credentials, a query, a fragment or a slash at its end; write the part before /in/... alone, such as https://hooks.example.com",
				"--egress-proxy: not a proxy; write http://HOST:PORT",
			},
		},
		"a port too large":       {args: []string{"--listen=:70000"}, want: []string{`--listen: "70000" is not a port; write a number from 0 to 65535`}},
		"a public URL in words":  {args: []string{"--public-url=hooks"}, want: []string{"--public-url: not a URL; write https:// and the name that senders use"}},
		"a store without a host": {args: []string{"--store=postgres:///db"}, want: []string{"--store: not a URL with a host; write postgres://USER:PASSWORD@HOST/DATABASE, with special characters of the password percent-encoded"}},
		"a network":              {args: []string{"--egress-allow=10.0.0.0/40"}, want: []string{`--egress-allow: "10.0.0.0/40" is not a network; write a CIDR such as 10.0.0.0/8 or an address`}},
		"IPv4 as IPv6":           {args: []string{"--egress-allow=::ffff:10.0.0.1"}, want: []string{`--egress-allow: "::ffff:10.0.0.1" is IPv4 written as IPv6; write it as IPv4`}},
		"an admin key":           {environ: []string{"POSTERN_ADMIN_KEY=a.b"}, want: []string{"POSTERN_ADMIN_KEY: holds a dot, a space or a character that is not ASCII; write letters, digits, '-' and '_'"}},
		"a node of two words":    {args: []string{"--node=my node"}, want: []string{"--node: is longer than 100 characters, or has a space or one that is not ASCII; write a name such as node-1"}},
		"a format":               {args: []string{"--log-format=xml"}, want: []string{`--log-format: "xml" is not a format; write auto, text or json`}},
		"a schedule":             {args: []string{"--retry-schedule=1s,0s"}, want: []string{"--retry-schedule: retry schedule: a wait of 0s is outside 1ms to 168h0m0s"}},
		"a key twice":            {file: "listen: :1\nlisten: :2\n", want: []string{"postern.yaml: config: not YAML: [2:1] mapping key \"listen\" already defined at [1:1]"}},
		"the file in itself":     {file: "config: other.yaml\n", want: []string{"postern.yaml:1: config: a file cannot name the file; give --config or POSTERN_CONFIG"}},
		"a list for one value":   {file: "listen: [a, b]\n", want: []string{"postern.yaml:1: listen: takes one value, not a list"}},
		"a mapping for a value":  {file: "listen: {a: b}\n", want: []string{"postern.yaml:1: listen: takes a plain value"}},
		"a list in a list":       {file: "egress-allow: [[a]]\n", want: []string{"postern.yaml:1: egress-allow: takes a list of plain values"}},
		"an alias":               {file: "listen: &a :1\nstore: *a\n", want: []string{"postern.yaml:1: listen: takes a plain value", "postern.yaml:2: store: takes a plain value"}},
		"a list for a file":      {file: "- a\n", want: []string{"postern.yaml: config: not a mapping; write lines of the form listen: 127.0.0.1:8080"}},
		"two documents":          {file: "listen: :1\n---\nlisten: :2\n", want: []string{"postern.yaml: config: more than one document; write all settings into one"}},
		"no such file":           {environ: []string{"POSTERN_CONFIG=absent.yaml"}, want: []string{"POSTERN_CONFIG: open absent.yaml: file does not exist"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, tt.args, tt.environ, tt.file)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(tt.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			var mistake *config.Error
			if !errors.As(err, &mistake) {
				t.Errorf("%T holds no *config.Error", err)
			}
		})
	}
}

func TestFileFromTheDisk(t *testing.T) {
	dir := t.TempDir()
	good, large := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
	if err := errors.Join(os.WriteFile(good, []byte("max-body: 1048577"), 0o600), os.WriteFile(large, make([]byte, 1<<20+1), 0o600)); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Input{Environ: []string{"POSTERN_CONFIG=" + good}})
	if err != nil || c.MaxBody != 1048577 {
		t.Errorf("max-body = %v, %v", c.MaxBody, err)
	}
	if _, err := config.Load(config.Input{Environ: []string{"POSTERN_CONFIG=" + large}}); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Errorf("a large file: %v", err)
	}
	if _, err := config.Load(config.Input{Environ: []string{"POSTERN_CONFIG=" + dir + "/none"}}); !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a missing file: %v", err)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"listen", "store", "retention", "retry-schedule"}
	for word, want := range map[string]string{"lisen": "listen", "retenton": "retention", "retry": "retry-schedule", "": "store"} {
		if got := config.Nearest(word, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
	if got := config.Nearest("x", nil); got != "" {
		t.Errorf("Nearest of nothing = %q", got)
	}
}

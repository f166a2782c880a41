package cli_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-dev/postern/internal/cli"
)

// key is what --json prints of one.
type key struct {
	ID, Name, Scope, Token string
	ApplicationID          *string
	ExpiresAt, LastUsedAt  *time.Time
	CreatedAt              time.Time
}

// runJSON runs a command that has to succeed and reads what it prints.
func runJSON(t *testing.T, out any, args ...string) {
	t.Helper()
	stdout, stderr, code := run(t, nil, args...)
	if code != cli.ExitOK || stderr != "" {
		t.Fatalf("%v: exit %d, %s", args, code, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), out); err != nil {
		t.Fatalf("%v: %v in %s", args, err, stdout)
	}
}

// The life of a key is the same through a server and on the store of a server
// that has stopped, and each sees what the other made.
func TestKeys(t *testing.T) {
	t.Run("folder", func(t *testing.T) { keysOf(t, "file:"+t.TempDir()) })
	t.Run("database", func(t *testing.T) { keysOf(t, cluster.Database(t)) })
}

func keysOf(t *testing.T, store string) {
	t.Helper()
	server := serve(t, nil, "--demo", "--store", store)
	server.stdout.await(t, `Ctrl-C (stops) it`)
	life := func(t *testing.T, place ...string) {
		var made, bound key
		runJSON(t, &made, append([]string{"key", "create", "--json", "--name", "mine", "--expires", "30d"}, place...)...)
		if made.Name != "mine" || made.Scope != "admin" || made.ApplicationID != nil || made.ExpiresAt == nil ||
			time.Until(*made.ExpiresAt).Round(time.Hour) != 30*24*time.Hour || !strings.HasPrefix(made.Token, "pk_") || strings.Contains(made.Token, ".") {
			t.Errorf("made %+v", made)
		}
		runJSON(t, &bound, append([]string{"key", "create", "--json", "--name", "theirs", "--scope=publish-only", "--app=demo"}, place...)...)
		if bound.ApplicationID == nil || !strings.HasPrefix(*bound.ApplicationID, "app_") || bound.ExpiresAt != nil {
			t.Errorf("bound %+v", bound)
		}
		var list struct{ Keys []key }
		runJSON(t, &list, append([]string{"key", "list", "--json"}, place...)...)
		if len(list.Keys) != 2 || list.Keys[0].ID != bound.ID || list.Keys[1].ID != made.ID || list.Keys[0].Token != "" {
			t.Errorf("listed %+v", list.Keys)
		}
		stdout, _, _ := run(t, nil, append([]string{"key", "list"}, place...)...)
		if lines := strings.Split(stdout, "\n"); len(lines) != 4 || !strings.HasPrefix(lines[2], made.ID+"  mine    admin         all") {
			t.Errorf("listed\n%s", stdout)
		}
		for _, k := range list.Keys {
			if stdout, stderr, code := run(t, nil, append([]string{"key", "revoke", k.ID}, place...)...); code != 0 || stdout != k.ID+" is revoked\n" {
				t.Errorf("exit %d: %s%s", code, stdout, stderr)
			}
		}
		if _, stderr, code := run(t, nil, append([]string{"key", "revoke", made.ID}, place...)...); code != cli.ExitError || !strings.Contains(stderr, "there is no key "+made.ID) {
			t.Errorf("revoked twice: exit %d: %s", code, stderr)
		}
	}
	t.Run("server", func(t *testing.T) { life(t, "--url", server.url, "--key", "demo") })
	server.stop()
	t.Run("store", func(t *testing.T) { life(t, "--store", store) })

	// The way back from a lost key.
	var found key
	runJSON(t, &found, "key", "create", "--json", "--name", "found", "--store", store)
	server = serve(t, nil, "--store", store)
	if _, stderr, code := run(t, []string{"POSTERN_ADMIN_KEY=" + found.Token}, "key", "list", "--url", server.url); code != cli.ExitOK {
		t.Errorf("the key does not open the server: exit %d: %s", code, stderr)
	}
	listen := strings.TrimPrefix(server.url, "http://")
	if _, stderr, code := run(t, []string{"POSTERN_ADMIN_KEY=" + found.Token, "POSTERN_LISTEN=" + listen}, "key", "revoke", found.ID); code != cli.ExitOK {
		t.Errorf("by variables: exit %d: %s", code, stderr)
	}
	_, stderr, code := run(t, nil, "key", "list", "--url", server.url, "--key", found.Token)
	if code != cli.ExitError || !strings.Contains(stderr, "Invalid or missing token") || !strings.Contains(stderr, "use --store file:DIR") {
		t.Errorf("a revoked key: exit %d: %s", code, stderr)
	}
	if _, stderr, code := run(t, nil, "key", "list", "--store", store); code != cli.ExitError || !strings.Contains(stderr, "a server holds it: use --url") {
		t.Errorf("a store in use: exit %d: %s", code, stderr)
	}
}

func TestKeyMistakes(t *testing.T) {
	tests := map[string]struct {
		args string
		code int
		want string
	}{
		"no verb":            {"key", cli.ExitUsage, "expected one of"},
		"no name":            {"key create --store file:x", cli.ExitUsage, "missing flags: --name"},
		"a blank name":       {"key create --name= --store file:x", cli.ExitUsage, "--name: say what the key is for"},
		"a long name":        {"key create --store file:x --name " + strings.Repeat("x", 300), cli.ExitUsage, "--name: at most 256 bytes"},
		"a scope":            {"key create --name x --scope root --key k", cli.ExitUsage, `--scope must be one of "admin","application","read-only","publish-only"`},
		"no application":     {"key create --name x --scope application --key k", cli.ExitUsage, "say which with --app"},
		"one too many":       {"key create --name x --app demo --key k", cli.ExitUsage, "choose another --scope"},
		"an end":             {"key create --name x --expires tomorrow --key k", cli.ExitUsage, `--expires: "tomorrow" is not a duration`},
		"a past":             {"key create --name x --expires 0s --key k", cli.ExitUsage, `--expires: "0s" is not a duration`},
		"no key":             {"key list", cli.ExitUsage, "postern key create --store file:DIR"},
		"two places":         {"key list --store file:x --url http://127.0.0.1:1", cli.ExitUsage, "leave out --url and --key"},
		"a store of another": {"key list --store memory:", cli.ExitUsage, "want file:DIR or postgres://"},
		"no database":        {"key list --store postgres://127.0.0.1:1/x", cli.ExitError, "the database 127.0.0.1/x does not answer"},
		"not an address":     {"key list --store postgres://u:%zz@x", cli.ExitUsage, "percent-encoded"},
		"no folder":          {"key list --store file:testdata/nowhere", cli.ExitError, "there is no store at file:testdata/nowhere"},
		"no server":          {"key list --key k --url http://127.0.0.1:1", cli.ExitError, "is a server running at http://127.0.0.1:1?"},
		"not a URL":          {"key list --key k --url ://", cli.ExitUsage, "--url and --key: the server's address must be http:// or https:// and a host"},
		"a key on two lines": {"key list --url http://127.0.0.1:1 --key k\x01", cli.ExitUsage, "a key is required, on a single line"},
		"no name to revoke":  {"key revoke --key k --url http://127.0.0.1:1 ..", cli.ExitError, "no path can hold"},
		"what to revoke":     {"key revoke --key k", cli.ExitUsage, `expected "<id>"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := run(t, nil, strings.Split(tt.args, " ")...)
			if code != tt.code || stdout != "" || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit %d, want %d; stdout %q, stderr %q, want %q", code, tt.code, stdout, stderr, tt.want)
			}
		})
	}
	for store, want := range map[string]string{"file:" + t.TempDir(): "the folder is empty", cluster.Database(t): "the database lacks"} {
		if _, stderr, code := run(t, nil, "key", "create", "--name", "x", "--store", store); code != cli.ExitError || !strings.Contains(stderr, want) {
			t.Errorf("an empty store: exit %d: %s", code, stderr)
		}
	}
}

// What only the server can judge, it says through the command.
func TestKeyServerRefuses(t *testing.T) {
	server := serve(t, nil, "--store", "memory:", "--admin-key", "k")
	_, stderr, code := run(t, nil, "key", "create", "--url", server.url, "--key", "k", "--name", "x", "--scope=read-only", "--app=nobody")
	if code != cli.ExitError || !strings.Contains(stderr, "body.application: does not exist") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	var reader key
	runJSON(t, &reader, "key", "create", "--json", "--url", server.url, "--key", "k", "--name", "x", "--scope=read-only")
	_, stderr, code = run(t, nil, "key", "list", "--url", server.url, "--key", reader.Token)
	if code != cli.ExitError || !strings.Contains(stderr, "keys are for admin keys only") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

// A server that is not Postern's gets the key once, and its answers are not
// taken for a verdict on keys.
func TestKeyAtAnotherServer(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a page": func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) },
		"elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"no content": func(http.ResponseWriter, *http.Request) {},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				answer(w, r)
			}))
			defer server.Close()
			stdout, stderr, code := run(t, nil, "key", "create", "--name", "x", "--key", "k", "--url", server.URL)
			if code != cli.ExitError || stdout != "" || !strings.Contains(stderr, "not an answer of Postern's") || asked.Load() != 1 {
				t.Errorf("create: exit %d after %d calls: %s%s", code, asked.Load(), stdout, stderr)
			}
			if name == "no content" { // which is what a deletion is answered with
				return
			}
			if stdout, stderr, code := run(t, nil, "key", "revoke", "key_x", "--key", "k", "--url", server.URL); code != cli.ExitError || strings.Contains(stderr, "there is no key") {
				t.Errorf("revoke: exit %d: %s%s", code, stdout, stderr)
			}
		})
	}
}

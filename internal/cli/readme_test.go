package cli_test

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern/verify"
)

const (
	receivingFile = "../../docs/receiving.md"
	pullingFile   = "../../docs/pulling.md"
)

// The README's command lines do what it says below them.
func TestReadme(t *testing.T) {
	server := tryPage(t, "../../README.md", 6)
	server.stdout.await(t, `arrived: msg_\S+, \d+ bytes, (signature verified), answered 200: \{"invoice":17,"amount":1200\}`)
	server.stdout.await(t, `arrived: msg_\S+, \d+ bytes, (signature verified), answered 200: \{"zen":"Keep it logically awesome."\}`)
	if strings.Contains(server.stdout.String(), "Changed on its way") {
		t.Error("what was refused has arrived")
	}
	if code := server.stop(); code != 0 {
		t.Errorf("exit %d after SIGTERM", code)
	}
}

// So do those of the page about receiving.
func TestReceivingPage(t *testing.T) {
	tryPage(t, receivingFile, 8)
}

// And those of the page about pulling.
func TestPullingPage(t *testing.T) {
	tryPage(t, pullingFile, 3)
}

// Every reason of a refusal, and every kind of handshake, is on the page about
// receiving.
func TestReceivingPageIsComplete(t *testing.T) {
	page, err := os.ReadFile(receivingFile)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, reason := range verify.Reasons() {
		words = append(words, string(reason))
	}
	for _, id := range verify.Providers() {
		def, _ := verify.Lookup(id)
		for _, h := range def.Handshakes {
			words = append(words, string(h.Kind))
		}
	}
	for _, word := range words {
		if !strings.Contains(string(page), "`"+word+"`") {
			t.Errorf("%s does not say what %s is", receivingFile, word)
		}
	}
}

// tryPage runs a page's command lines against a demo server. They run as they
// are printed, but for the port, which may be taken here, and the binary. A page
// with fewer blocks than that is not read as it was written.
func tryPage(t *testing.T, page string, least int) *running {
	t.Helper()
	for _, tool := range []string{"sh", "sed", "curl", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil && os.Getenv("CI") == "" {
			t.Skipf("%v; it is what the page is tried with", err)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	binary, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	server := start(t, t.TempDir(), "--demo")
	server.stdout.await(t, `Ctrl-C (stops) it`)
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < least {
		t.Fatalf("%d blocks of command lines", len(blocks))
	}
	for _, block := range blocks {
		script := strings.NewReplacer("http://127.0.0.1:8080", server.url, "bin/postern", binary).Replace(block[1])
		if script == block[1] {
			t.Errorf("it speaks neither to http://127.0.0.1:8080 nor with bin/postern:\n%s", script)
		}
		tryBlock(t, "", script)
	}
	return server
}

// What pages show in Go stands in code that is compiled, line by line.
func TestGoBlocksAreCompiled(t *testing.T) {
	compiled := flat(t, "../../verify/example_test.go") + flat(t, "../../engine/example_program_test.go") + flat(t, "../../client/example_consume_test.go")
	for _, page := range []string{"../../README.md", receivingFile, pullingFile} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(text), -1)
		if len(blocks) == 0 {
			t.Errorf("%s shows nothing in Go", page)
		}
		for _, block := range blocks {
			if !strings.Contains(compiled, flatten(block[1])) {
				t.Errorf("%s: no example has\n%s", page, block[1])
			}
		}
	}
}

// flat is a file as flatten leaves it.
func flat(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return flatten(string(text))
}

// flatten takes white space off the lines of a text.
func flatten(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}

// tryBlock runs a script in a folder, "" for this one, and looks for what its
// comments claim. One that only reads is asked again for as long as a delivery may
// take.
func tryBlock(t *testing.T, dir, script string) {
	t.Helper()
	claim := claimOf(script)
	if claim == nil {
		t.Errorf("nothing is claimed of:\n%s", script)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		cmd := exec.CommandContext(ctx, "sh", "-c", script)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err == nil && claim.Match(out) {
			return
		}
		if ctx.Err() != nil || strings.Contains(script, " -d ") {
			t.Errorf("%s\n%v\nprints\n%s\nwant %s", script, err, out, claim)
			return
		}
	}
}

// claimOf reads the comments of a script: "..." stands for anything.
func claimOf(script string) *regexp.Regexp {
	var parts []string
	for line := range strings.Lines(script) {
		if text, ok := strings.CutPrefix(line, "# "); ok {
			for part := range strings.SplitSeq(strings.TrimSpace(text), "...") {
				parts = append(parts, regexp.QuoteMeta(strings.TrimSpace(part)))
			}
		}
	}
	if parts == nil {
		return nil
	}
	return regexp.MustCompile("(?s)" + strings.Join(parts, ".*"))
}

// The test of the test: what a script does not print is noticed.
func TestClaims(t *testing.T) {
	claim := claimOf("curl x\n# HTTP/1.1 202 ... {\"id\":\"msg_...\n# second\n")
	for out, want := range map[string]bool{
		"HTTP/1.1 202 Accepted\r\n\r\n{\"id\":\"msg_1\"}second": true,
		"HTTP/1.1 202 Accepted\r\n\r\n{\"id\":\"msg_1\"}":       false,
		"HTTP/1.1 401 Unauthorized {\"id\":\"msg_1\"}second":    false,
	} {
		if got := claim.MatchString(out); got != want {
			t.Errorf("%q: %t, want %t", out, got, want)
		}
	}
	if claimOf("curl x") != nil {
		t.Error("a claim out of nothing")
	}
}

package cli_test

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The README's command lines do what it says below them. They run as they are
// printed, but for the port, which may be taken here.
func TestReadme(t *testing.T) {
	for _, tool := range []string{"sh", "sed", "curl", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil && os.Getenv("CI") == "" {
			t.Skipf("%v; it is what the README is tried with", err)
		}
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	server := start(t, t.TempDir(), "--demo")
	server.stdout.await(t, `Ctrl-C (stops) it`)
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 4 {
		t.Fatalf("%d blocks of command lines", len(blocks))
	}
	for _, block := range blocks {
		script := strings.ReplaceAll(block[1], "http://127.0.0.1:8080", server.url)
		if script == block[1] {
			t.Errorf("it does not speak to http://127.0.0.1:8080:\n%s", script)
		}
		tryBlock(t, script)
	}
	server.stdout.await(t, `arrived: msg_\S+, \d+ bytes, (signature verified), answered 200: \{"invoice":17,"amount":1200\}`)
	server.stdout.await(t, `arrived: msg_\S+, \d+ bytes, (signature verified), answered 200: \{"zen":"Keep it logically awesome."\}`)
	if strings.Contains(server.stdout.String(), "Changed on its way") {
		t.Error("what was refused has arrived")
	}
	if code := server.stop(); code != 0 {
		t.Errorf("exit %d after SIGTERM", code)
	}
}

// tryBlock runs a script and looks for what its comments claim. One that only
// reads is asked again for as long as a delivery may take.
func tryBlock(t *testing.T, script string) {
	t.Helper()
	claim := claimOf(script)
	if claim == nil {
		t.Errorf("nothing is claimed of:\n%s", script)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		out, err := exec.CommandContext(ctx, "sh", "-c", script).Output()
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

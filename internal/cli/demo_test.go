package cli_test

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/internal/cli"
)

// varying are the parts of the story that differ between two runs.
var varying = regexp.MustCompile(`(_)[0-9A-Za-z]{27}|127\.0\.0\.1:\d+|\d\d:\d\d:\d\d\.\d{3}|\d+\.\d s`)

// The story is told in these lines; only the order of the two first deliveries
// is open.
func TestDemo(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	started := time.Now()
	stdout, stderr, code := run(t, []string{"POSTERN_STORE=not used"}, "demo")
	if code != cli.ExitOK || stderr != "" {
		t.Fatalf("exit %d: %s\n%s", code, stderr, stdout)
	}
	if took := time.Since(started); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
	text := varying.ReplaceAllString(stdout, "${1}X")
	first, second := "X delivery to steady  -> 200, signature verified\n", "X delivery to shaky   -> 500, signature verified\n"
	golden(t, "demo.txt", strings.Replace(text, second+first, first+second, 1))
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// The document has the same in stable names.
func TestDemoJSON(t *testing.T) {
	stdout, stderr, code := run(t, nil, "demo", "--json")
	if code != cli.ExitOK || stderr != "" {
		t.Fatalf("exit %d: %s\n%s", code, stderr, stdout)
	}
	type attempt struct {
		ID                 string
		Number             int
		ResponseStatusCode int
		State              string
		SignatureVerified  bool
	}
	type report struct {
		OK         bool
		Received   struct{ Status int }
		Refused    struct{ RefusalID, Reason string }
		Endpoints  []struct{ ID, UID string }
		Deliveries []struct {
			EndpointUID, State string
			Attempts           []attempt
		}
	}
	var got report
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	id := regexp.MustCompile(`^(atmpt|rfs|ep)_[0-9A-Za-z]{27}$`)
	for i := range got.Deliveries {
		for j := range got.Deliveries[i].Attempts {
			if a := &got.Deliveries[i].Attempts[j]; id.MatchString(a.ID) {
				a.ID = "id"
			}
		}
	}
	if !got.OK || got.Received.Status != 202 || got.Refused.Reason != "signature_mismatch" || !id.MatchString(got.Refused.RefusalID) || len(got.Endpoints) != 2 {
		t.Errorf("%s", stdout)
	}
	want := map[string][]attempt{
		"steady": {{"id", 1, 200, "delivered", true}},
		"shaky":  {{"id", 1, 500, "retrying", true}, {"id", 2, 200, "delivered", true}},
	}
	attempts := map[string][]attempt{}
	for _, d := range got.Deliveries {
		attempts[d.EndpointUID] = d.Attempts
		if d.State != "delivered" {
			t.Errorf("%s is %s", d.EndpointUID, d.State)
		}
	}
	if diff := cmp.Diff(want, attempts); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

// A story that is broken off has failed: the document says so, and nothing
// stays.
func TestDemoBrokenOff(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	ctx, cancel := context.WithCancel(t.Context())
	out, errs := newOutput(), newOutput()
	done := make(chan int, 1)
	go func() {
		p := cli.Program{Stdout: out, Stderr: errs}
		done <- p.Run(ctx, []string{"demo"})
	}()
	out.await(t, `delivery to shaky   -> (500)`)
	cancel()
	if code := <-done; code != cli.ExitError || !strings.Contains(errs.String(), "context canceled") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	out = newOutput()
	p := cli.Program{Stdout: out}
	if code := p.Run(canceled, []string{"demo", "--json"}); code != cli.ExitError {
		t.Errorf("exit %d", code)
	}
	var report struct {
		OK      bool
		Failure string
	}
	if err := json.Unmarshal([]byte(out.String()), &report); err != nil || report.OK || report.Failure == "" {
		t.Errorf("%v: %s", err, out)
	}
}

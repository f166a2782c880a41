package postern_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
)

var update = flag.Bool("update", false, "rewrite docs/state-machine.md")

// transition is a line of the tables in docs/state-machine.md; from may name
// several states.
type transition struct{ from, cause, to, reason, row, health string }

// cause is what an attempt can come to. The transition is what Settle makes of
// it; nothing of it is written here.
type cause struct {
	name     string
	delivery postern.Delivery
	attempt  postern.Attempt
	policy   postern.Policy
}

func causes() []cause {
	schedule := postern.Policy{Schedule: postern.RetrySchedule{5 * time.Minute, 5 * time.Minute}}
	ok, failed := postern.Attempt{Succeeded: true, Code: 200}, postern.Attempt{Code: 500}
	gone, permanent := postern.Attempt{Code: 410}, postern.Attempt{Permanent: true}
	wish := func(d time.Duration) postern.Attempt { return postern.Attempt{Code: 503, RetryAfter: d} }
	sending := postern.Delivery{State: postern.Sending, Health: ago(time.Hour)}
	last, long, off, resent := sending, sending, sending, sending
	last.Tries = 2
	long.Health = ago(postern.DisableAfter)
	off.Health = disabled(postern.DisabledFailing, postern.DisableAfter, time.Hour)
	resent.Resent = true
	longResent := long
	longResent.Resent = true
	keep := schedule
	keep.KeepEnabled = true
	out := []cause{
		{"2xx, or a handler's nil", sending, ok, schedule},
		{"failure", sending, failed, schedule},
		{"failure, the first of an endpoint", postern.Delivery{State: postern.Sending}, failed, schedule},
		{"failure, `Retry-After: 60`", sending, wish(time.Minute), schedule},
		{"failure, `Retry-After: 3600`", sending, wish(time.Hour), schedule},
		{"failure, `Retry-After: 172800`", sending, wish(48 * time.Hour), schedule},
		{"failure after five days of nothing else", long, failed, schedule},
		{"the same while most endpoints fail", long, failed, keep},
		{"the same, of fewer than 20 failures", postern.Delivery{State: postern.Sending, Health: seldom(postern.DisableAfter, 1)}, failed, schedule},
		{"failure of an endpoint that is disabled", off, failed, schedule},
		{"failure of the schedule's last try", last, failed, schedule},
		{"the same after five days of nothing else", postern.Delivery{State: postern.Sending, Tries: 2, Health: long.Health}, failed, schedule},
		{"410", sending, gone, schedule},
		{"410 of an endpoint that is disabled", off, gone, schedule},
		{"failure that a handler calls permanent", sending, permanent, schedule},
		{"the same after five days of nothing else", long, permanent, schedule},
		{"2xx, resent meanwhile", resent, ok, schedule},
		{"failure, resent meanwhile", resent, failed, schedule},
		{"410, resent meanwhile", resent, gone, schedule},
		{"failure after five days of nothing else, resent meanwhile", longResent, failed, schedule},
	}
	for _, end := range []postern.Delivery{
		{State: postern.Canceled, Reason: postern.ReasonCanceled},
		{State: postern.Canceled, Reason: postern.ReasonDeleted},
		{State: postern.Canceled, Reason: postern.ReasonExpunged},
		{State: postern.Dead, Reason: postern.ReasonExpired},
	} {
		why := string(end.Reason)
		end.Health = ago(time.Hour)
		ailing := end
		ailing.Health = long.Health
		out = append(out, cause{why + " meanwhile, then 2xx", end, ok, schedule},
			cause{why + " meanwhile, then failure", end, failed, schedule},
			cause{why + " meanwhile, then failure after five days of nothing else", ailing, failed, schedule},
			cause{why + " meanwhile, then 410", end, gone, schedule})
	}
	return out
}

// transition asks Settle.
func (c cause) transition() transition {
	out := postern.Settle(c.delivery, c.attempt, c.policy, settleAt())
	return transition{c.delivery.State.String(), c.name, out.State.String(), reasonText(out.Reason), c.row(out), healthText(c.delivery.Health, out.Health)}
}

// row tells what becomes of the delivery's row; how long it waits is asked for
// at both ends of the jitter.
func (c cause) row(out postern.Outcome) string {
	switch {
	case out.PutRow:
		latest := c.policy
		latest.Jitter = 1
		most := postern.Settle(c.delivery, c.attempt, latest, settleAt()).Wait
		if most == out.Wait {
			return "put, due in " + waitText(most)
		}
		return "put, due in " + waitText(out.Wait) + " to " + waitText(most)
	case c.delivery.State.Final():
		return "none"
	case c.delivery.Resent:
		return "the resend's stays"
	}
	return "deleted"
}

func waitText(d time.Duration) string {
	return strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "0m")
}

func reasonText(r postern.Reason) string {
	if r == postern.ReasonNone {
		return ""
	}
	return "`" + string(r) + "`"
}

func healthText(before, after postern.Health) string {
	var parts []string
	switch {
	case after.FailingSince.IsZero() && !before.FailingSince.IsZero():
		parts = append(parts, "no longer failing")
	case !after.FailingSince.Equal(before.FailingSince):
		parts = append(parts, "failing since now")
	}
	if after.Disabled != before.Disabled {
		parts = append(parts, "disabled: `"+after.Disabled+"`")
	}
	if len(parts) == 0 {
		return "unchanged"
	}
	return strings.Join(parts, ", ")
}

// withoutAttempt are the transitions that no attempt causes: the dispatcher
// makes them, in commit order with the settles.
func withoutAttempt() []transition {
	const same, gone, anew = "unchanged", "deleted", "put or moved, due now, tries from 0"
	return []transition{
		{"", "accepted, once for each route", "pending", "", "none", same},
		{"pending", "its turn in the lane", "sending", "", "none", same},
		{"retrying", "due, and its turn in the lane", "sending", "", "stays until the settle", same},
		{"sending", ownFault + ", at the first try", "pending", "", "none", same},
		{"sending", ownFault + ", at a later try", "retrying", "", "stays", same},
		{"pending, sending, retrying", "canceled by its owner", "canceled", reasonText(postern.ReasonCanceled), gone, same},
		{"pending, sending, retrying", "payload expunged", "canceled", reasonText(postern.ReasonExpunged), gone, same},
		{"pending, retrying", "at its turn, endpoint or application are deleted", "canceled", reasonText(postern.ReasonDeleted), gone, same},
		{"pending, retrying", "at its turn, retention has dropped the message", "dead", reasonText(postern.ReasonExpired), gone, same},
		{"pending, retrying, delivered, dead, canceled", byHand, "retrying", "", anew, same},
		{"sending", byHand, "sending", "", anew, same},
	}
}

// Causes that the diagram has shorter words for.
const (
	ownFault = "a fault on our own side, or a crash"
	byHand   = "resent, recovered or replayed"
)

const stateMachineFile = "docs/state-machine.md"

// The page is what the code does, and says so for every transition.
func TestStateMachineUpToDate(t *testing.T) {
	page := stateMachinePage()
	if *update || os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(stateMachineFile, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(stateMachineFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(page, "\n"), strings.Split(string(written), "\n")); diff != "" {
		t.Errorf("%s is not what the code does; `make docs` rewrites it (-code +page):\n%s", stateMachineFile, diff)
	}
}

// No transition is missing: whatever Settle is given, what follows is in the
// table.
func TestStateMachineIsComplete(t *testing.T) {
	listed := map[string]bool{}
	for _, c := range causes() {
		listed[c.transition().effect()] = true
	}
	seen := map[string]bool{}
	for _, d := range everyDelivery() {
		for _, a := range everyAttempt() {
			for _, p := range []postern.Policy{{}, {Schedule: postern.RetrySchedule{5 * time.Minute}}, {KeepEnabled: true}} {
				c := cause{delivery: d, attempt: a, policy: p}
				effect := c.transition().effect()
				if seen[effect] = true; !listed[effect] {
					t.Errorf("not in the table: %s\n%+v\n%+v\n%+v", effect, d, a, p)
					listed[effect] = true // once is enough
				}
			}
		}
	}
	for effect := range listed {
		if !seen[effect] {
			t.Errorf("listed, and never seen: %s", effect)
		}
	}
}

func (tr transition) froms() []string { return strings.Split(tr.from, ", ") }

// effect is a transition without its cause and times. A health that stays as
// it is, or begins to fail, is the same line: it depends on the attempt before.
func (tr transition) effect() string {
	row, _, _ := strings.Cut(tr.row, ",")
	health := strings.TrimPrefix(strings.TrimPrefix(tr.health, "failing since now"), ", ")
	if health == "" || health == "no longer failing" {
		health = "unchanged"
	}
	return strings.Join([]string{tr.from, tr.to, tr.reason, row, health}, " | ")
}

func everyDelivery() []postern.Delivery {
	var out []postern.Delivery
	for _, health := range []postern.Health{{}, ago(time.Hour), ago(postern.DisableAfter), disabled(postern.DisabledGone, 0, 0)} {
		for _, tries := range []int{0, 1, 2} {
			for _, resent := range []bool{false, true} {
				d := postern.Delivery{State: postern.Sending, Tries: tries, Resent: resent, Health: health}
				out = append(out, d)
				for _, reason := range []postern.Reason{postern.ReasonCanceled, postern.ReasonDeleted, postern.ReasonExpunged} {
					d.State, d.Reason = postern.Canceled, reason
					out = append(out, d)
				}
				d.State, d.Reason = postern.Dead, postern.ReasonExpired
				out = append(out, d)
			}
		}
	}
	return out
}

func everyAttempt() []postern.Attempt {
	var out []postern.Attempt
	for _, code := range []int{0, 200, 302, 404, 410, 429, 500, 503} {
		for _, wish := range []time.Duration{0, time.Second, 48 * time.Hour} {
			out = append(out, postern.Attempt{Code: code, Succeeded: code == 200, RetryAfter: wish})
		}
	}
	return append(out, postern.Attempt{Permanent: true}, postern.Attempt{Permanent: true, Code: 500})
}

// Every state and reason of the code occurs in the tables, states can be left
// and finished ones only by a resend.
func TestStateMachineCoversTheWords(t *testing.T) {
	all := slices.Concat(withoutAttempt(), transitionsOf(causes()))
	for _, state := range postern.States() {
		entered := slices.ContainsFunc(all, func(tr transition) bool { return tr.to == state.String() && tr.from != tr.to })
		if !entered {
			t.Errorf("nothing leads to %v", state)
		}
		for _, tr := range all {
			if slices.Contains(tr.froms(), state.String()) && state.Final() && tr.to != tr.from && tr.cause != byHand {
				t.Errorf("%v is final, and %q leads to %s", state, tr.cause, tr.to)
			}
		}
	}
	for _, reason := range declaredReasons(t) {
		if reason != "" && !slices.ContainsFunc(all, func(tr transition) bool { return tr.reason == "`"+reason+"`" }) {
			t.Errorf("no transition has the reason %q", reason)
		}
	}
}

// declaredReasons reads the constants of type Reason, so that a new one cannot
// be forgotten here.
func declaredReasons(t *testing.T) []string {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), "delivery.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(tree, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			if name, ok := spec.Type.(*ast.Ident); ok && name.Name == "Reason" {
				text, _ := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				found = append(found, text)
			}
		}
		return true
	})
	if len(found) < 8 {
		t.Fatalf("found %d reasons: the test would hold for nothing", len(found))
	}
	return found
}

func stateMachinePage() string {
	var page strings.Builder
	page.WriteString(`# The states of a delivery

A delivery is one message on its way to one endpoint. This page is written by
` + "`make docs`" + ` from the code: its first table is what ` + "`postern.Settle`" + ` answers,
and a test fails when the two differ.

` + "```mermaid\nstateDiagram-v2\n")
	for _, edge := range edgesOf(withoutAttempt(), causes()) {
		fmt.Fprintf(&page, "    %s\n", edge)
	}
	page.WriteString("```\n" + `
` + "`pending` and `sending`" + ` are never stored. A routed message without any other
record is pending; what is being tried is known to the process that tries it,
and after a crash it is what it was before the attempt. A delivery that succeeds
at its first try has no row; one that retries or was resent has exactly one. A
row that is put replaces the one that the attempt started from, and what is said
to be deleted may not be there.

A disabled or paused endpoint changes no state: its deliveries wait where they
are, and use up no try.

## What an attempt leads to

Decided when the batch that stores the attempt is built, on the delivery as it
is in the order of commits. The times are those of a schedule that waits five
minutes.

`)
	writeTable(&page, transitionsOf(causes()))
	page.WriteString(`
A delivery that was ended while its attempt ran stays ended, for the reason it
was ended for; the attempt is history, and still says how the endpoint is. A
resend that came meanwhile keeps its row, so that the delivery is tried once
more, after a success too.

Success clears since when an endpoint fails, and does not enable one that is
disabled: that is its owner's decision.

## What happens without an attempt

`)
	writeTable(&page, withoutAttempt())
	return page.String()
}

// edgesOf are the arrows of the diagram: one for each pair of states, with the
// reasons or causes that lead along it.
func edgesOf(others []transition, attempts []cause) []string {
	var order []string
	labels := map[string][]string{}
	note := func(from, to, label string) {
		if from == "" {
			from = "[*]"
		}
		arrow := from + " --> " + to
		if labels[arrow] == nil {
			order = append(order, arrow)
		}
		if !slices.Contains(labels[arrow], label) {
			labels[arrow] = append(labels[arrow], label)
		}
	}
	for _, tr := range slices.Concat(others, transitionsOf(attempts)) {
		for _, from := range tr.froms() {
			if from != tr.to {
				note(from, tr.to, tr.label())
			}
		}
	}
	var lines []string
	for _, arrow := range order {
		lines = append(lines, arrow+": "+strings.Join(labels[arrow], ", "))
	}
	for _, state := range postern.States() {
		if state.Final() {
			lines = append(lines, state.String()+" --> [*]")
		}
	}
	return lines
}

// label is what the diagram says beside a transition's arrow.
func (tr transition) label() string {
	switch {
	case tr.from == "":
		return "accepted"
	case tr.reason != "":
		return strings.Trim(tr.reason, "`")
	case tr.cause == byHand:
		return "resent"
	case strings.HasPrefix(tr.cause, ownFault):
		return "own fault or crash"
	case tr.to == "sending":
		return "its turn"
	case tr.to == "delivered":
		return "2xx"
	}
	return "failure"
}

func transitionsOf(cs []cause) []transition {
	var out []transition
	for _, c := range cs {
		out = append(out, c.transition())
	}
	return out
}

func writeTable(page *strings.Builder, rows []transition) {
	page.WriteString("| from | cause | to | reason | row | endpoint health |\n|---|---|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(page, "| %s | %s | %s | %s | %s | %s |\n", r.from, r.cause, r.to, r.reason, r.row, r.health)
	}
}

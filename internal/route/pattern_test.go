package route_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/route"
)

func TestValidateEventTypes(t *testing.T) {
	for _, valid := range []string{"a", "invoice.paid", "invoice.*", "invoice.paid.*", "*", "A-1_b.", strings.Repeat("x", 256)} {
		if err := route.ValidateEventTypes([]string{valid}, "body", "eventTypes"); err != nil {
			t.Errorf("%q: %v", valid, err)
		}
	}
	for entry, say := range map[string]string{
		"":                       "not an event type",
		"in voice":               "not an event type",
		"invoice/paid":           "not an event type",
		"invoice*":               "whole last part",
		"*.paid":                 "whole last part",
		"invoice.*.paid":         "whole last part",
		"**":                     "whole last part",
		"a b.*":                  "whole last part",
		strings.Repeat("x", 257): "at most 256",
	} {
		err := route.ValidateEventTypes([]string{"fine", entry}, "body", "eventTypes")
		var fault *postern.Error
		if !errors.As(err, &fault) || fault.Kind != postern.Invalid {
			t.Errorf("%q: got %v, want an invalid field", entry, err)
			continue
		}
		if loc := []string{"body", "eventTypes", "1"}; !slices.Equal(fault.Fields[0].Loc, loc) {
			t.Errorf("%q: loc %v, want %v", entry, fault.Fields[0].Loc, loc)
		}
		if !strings.Contains(fault.Detail, say) {
			t.Errorf("%q: %q does not say %q", entry, fault.Detail, say)
		}
	}
}

func TestExplainSaysWhy(t *testing.T) {
	deleted, disabled, failing := endpoint(1, "", ""), endpoint(1, "", ""), endpoint(1, "", "")
	deleted.Deleted, disabled.Disabled, failing.Health.Disabled = true, true, postern.DisabledFailing
	for _, test := range []struct {
		view     *postern.EndpointView
		channels string
		matched  bool
		say      string
	}{
		{endpoint(1, "", ""), "", true, "all event types are selected; all channels are selected"},
		{endpoint(1, "a.*", "x"), "y x", true, "event type a.b is selected by a.*; channel x is selected"},
		{endpoint(1, "a b", ""), "", false, "event type a.b is not among those selected: a, b"},
		{endpoint(1, "", "x"), "", false, "has no channel"},
		{endpoint(1, "", "x"), "y", false, "(y) are not among those selected: x"},
		{deleted, "", false, "deleted"},
		{disabled, "", false, "is disabled"},
		{failing, "", false, "disabled automatically: failing"},
	} {
		matched, reason := route.Explain(test.view, "a.b", split(test.channels))
		if matched != test.matched || !strings.Contains(reason, test.say) {
			t.Errorf("got %t, %q; want %t, %q", matched, reason, test.matched, test.say)
		}
	}
}

// FuzzPattern checks that what passes validation matches by the rule, and that
// an exact name matches itself alone.
func FuzzPattern(f *testing.F) {
	f.Add("invoice.*", "invoice.paid")
	f.Add("*", "a")
	f.Add("a.", "a.")
	f.Add("a..*", "a..b")
	f.Fuzz(func(t *testing.T, entry, eventType string) {
		if route.ValidateEventTypes([]string{entry}) != nil || !route.ValidName(eventType) {
			return
		}
		want := entry == eventType
		if route.IsPattern(entry) {
			rest, found := strings.CutPrefix(eventType, strings.TrimSuffix(entry, "*"))
			want = found && rest != ""
		}
		view := &postern.EndpointView{Endpoint: postern.Endpoint{Number: 1, EventTypes: []string{entry}}}
		explained, _ := route.Explain(view, eventType, nil)
		routed := len(route.New([]*postern.EndpointView{view}).Match(eventType, nil)) == 1
		if explained != want || routed != want {
			t.Errorf("%q on %q: explained %t, routed %t, want %t", entry, eventType, explained, routed, want)
		}
	})
}

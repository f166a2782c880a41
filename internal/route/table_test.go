package route_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/route"
	"github.com/postern-dev/postern/internal/testkit"
)

func endpoint(n postern.EndpointNumber, types, channels string) *postern.EndpointView {
	return &postern.EndpointView{Endpoint: postern.Endpoint{
		Number: n, EventTypes: split(types), Channels: split(channels),
	}}
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, " ")
}

func TestTableMatches(t *testing.T) {
	disabled := endpoint(7, "", "")
	disabled.Disabled = true
	gone := endpoint(8, "", "")
	gone.Health.Disabled = postern.DisabledGone
	paused := endpoint(9, "user.created", "")
	paused.Paused = true
	deleted := endpoint(10, "", "")
	deleted.Deleted = true
	table := route.New([]*postern.EndpointView{
		endpoint(6, "invoice.* invoice.paid", ""),
		endpoint(5, "invoice.paid.*", ""),
		endpoint(4, "invoice.*", "eu us"),
		endpoint(3, "invoice.paid", ""),
		endpoint(2, "", "eu"),
		endpoint(1, "", ""),
		disabled, gone, paused, deleted,
	})
	for _, test := range []struct {
		eventType, channels string
		want                []postern.EndpointNumber
	}{
		{"invoice.paid", "", []postern.EndpointNumber{1, 3, 6}},
		{"invoice.paid", "eu", []postern.EndpointNumber{1, 2, 3, 4, 6}},
		{"invoice.paid", "asia us", []postern.EndpointNumber{1, 3, 4, 6}},
		{"invoice.paid", "asia", []postern.EndpointNumber{1, 3, 6}},
		{"invoice.paid.late", "", []postern.EndpointNumber{1, 5, 6}},
		{"invoice.sent", "", []postern.EndpointNumber{1, 6}},
		{"invoice", "", []postern.EndpointNumber{1}},
		{"invoice.", "", []postern.EndpointNumber{1}},
		{"invoices.paid", "", []postern.EndpointNumber{1}},
		{"user.created", "", []postern.EndpointNumber{1, 9}},
		{"other", "us", []postern.EndpointNumber{1}},
	} {
		got := table.Match(test.eventType, split(test.channels))
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("Match(%q, %q): (-want +got)\n%s", test.eventType, test.channels, diff)
		}
	}
}

func TestTableOfNobody(t *testing.T) {
	var none *route.Table
	if got := none.Match("a", nil); got != nil {
		t.Errorf("nil table: got %v", got)
	}
	if got := route.New(nil).Match("a", nil); got != nil {
		t.Errorf("empty table: got %v", got)
	}
}

// TestTableGrows adds endpoints one by one, and finds every earlier table as it
// was, whether it was asked before or is asked only now.
func TestTableGrows(t *testing.T) {
	var tables []*route.Table
	var table *route.Table
	for n := range postern.EndpointNumber(100) {
		table = table.With(endpoint(n+1, "", ""))
		tables = append(tables, table)
		if n%2 == 0 {
			table.Match("a", nil)
		}
	}
	for i, table := range tables {
		got := table.Match("a", nil)
		if len(got) != i+1 || got[0] != 1 || got[i] != postern.EndpointNumber(i+1) {
			t.Errorf("table of %d: got %d endpoints: %v", i+1, len(got), got)
		}
	}
}

// TestTableAgreesWithExplain compares the index with the definition, on names
// short enough that filters, patterns and types collide in every way, empty
// parts included.
func TestTableAgreesWithExplain(t *testing.T) {
	random := testkit.Rand(t)
	for range testkit.Count(300, 20_000) {
		views := randomEndpoints(random)
		table := route.New(slices.Clone(views))
		for range 20 {
			eventType, channels := randomName(random), randomChannels(random)
			want := naive(views, eventType, channels)
			got := table.Match(eventType, channels)
			if !slices.Equal(want, got) {
				t.Fatalf("Match(%q, %v) = %v, want %v; endpoints:\n%s", eventType, channels, got, want, describe(views))
			}
		}
	}
}

func TestTableIsSafeToShare(t *testing.T) {
	random := testkit.Rand(t)
	views := randomEndpoints(random)
	table := route.New(slices.Clone(views))
	var group sync.WaitGroup
	for seed := range uint64(4) {
		group.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1))
			for range 500 {
				eventType, channels := randomName(random), randomChannels(random)
				if want, got := naive(views, eventType, channels), table.Match(eventType, channels); !slices.Equal(want, got) {
					t.Errorf("Match(%q, %v) = %v, want %v", eventType, channels, got, want)
				}
			}
		})
	}
	group.Wait()
}

func TestMatchDoesNotAllocate(t *testing.T) {
	table := route.New([]*postern.EndpointView{
		endpoint(1, "", ""), endpoint(2, "invoice.*", ""), endpoint(3, "invoice.paid", "eu"),
	})
	eventTypes := []string{"invoice.paid", "invoice.sent", "something.else"}
	allocations := testing.AllocsPerRun(100, func() {
		for _, eventType := range eventTypes {
			if len(table.Match(eventType, nil)) == 0 {
				t.Error("no match")
			}
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations, want 0", allocations)
	}
}

func naive(views []*postern.EndpointView, eventType string, channels []string) []postern.EndpointNumber {
	var matched []postern.EndpointNumber
	for _, view := range views {
		if ok, _ := route.Explain(view, eventType, channels); ok {
			matched = append(matched, view.Number)
		}
	}
	slices.Sort(matched)
	return matched
}

func randomEndpoints(random *rand.Rand) []*postern.EndpointView {
	views := make([]*postern.EndpointView, random.IntN(24))
	for i := range views {
		var types []string
		for range random.IntN(4) {
			entry := randomName(random)
			switch random.IntN(6) {
			case 0, 1:
				entry += ".*"
			case 2:
				entry = "*"
			}
			types = append(types, entry)
		}
		views[i] = &postern.EndpointView{Endpoint: postern.Endpoint{
			Number: postern.EndpointNumber(i + 1), EventTypes: types, Channels: randomChannels(random),
			Disabled: random.IntN(10) == 0, Paused: random.IntN(10) == 0,
		}}
	}
	random.Shuffle(len(views), func(i, j int) { views[i], views[j] = views[j], views[i] })
	return views
}

func randomName(random *rand.Rand) string {
	const alphabet = "ab.."
	name := make([]byte, 1+random.IntN(5))
	for i := range name {
		name[i] = alphabet[random.IntN(len(alphabet))]
	}
	return string(name)
}

func randomChannels(random *rand.Rand) []string {
	var channels []string
	for range random.IntN(3) {
		channels = append(channels, string(rune('x'+random.IntN(3))))
	}
	return channels
}

func describe(views []*postern.EndpointView) string {
	var text strings.Builder
	for _, v := range views {
		fmt.Fprintf(&text, "%d types %q channels %q disabled %t\n", v.Number, v.EventTypes, v.Channels, v.Disabled)
	}
	return text.String()
}

// manyEndpoints is a large application: half listen to everything in one
// channel, the others to one of a hundred event types.
func manyEndpoints() []*postern.EndpointView {
	views := make([]*postern.EndpointView, 10_000)
	for i := range views {
		if i%2 == 0 {
			views[i] = endpoint(postern.EndpointNumber(i+1), "", "eu")
		} else {
			views[i] = endpoint(postern.EndpointNumber(i+1), fmt.Sprintf("type.n%d", i%100), "")
		}
	}
	return views
}

// BenchmarkFirstMatch is what the first message after a change pays: a new
// table and its index.
func BenchmarkFirstMatch(b *testing.B) {
	views := manyEndpoints()
	for b.Loop() {
		route.New(views).Match("type.n1", nil)
	}
}

func BenchmarkMatch(b *testing.B) {
	table := route.New(manyEndpoints())
	b.ReportAllocs()
	for b.Loop() {
		table.Match("type.n1", nil)
	}
}

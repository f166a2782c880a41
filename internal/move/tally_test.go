package move

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// TestSecretsAreWhereTheyAreLookedFor: no part of a chunk but those that reseal
// goes through may hold a sealed value.
func TestSecretsAreWhereTheyAreLookedFor(t *testing.T) {
	looked := []string{"Changes", "Refusals", "Records", "Answers", "DropRefusals"}
	batch := reflect.TypeFor[store.Batch]()
	for i := range batch.NumField() {
		field := batch.Field(i)
		if holds(field.Type, map[reflect.Type]bool{}) && !slices.Contains(looked, field.Name) {
			t.Errorf("store.Batch.%s holds a sealed value: reseal has to go through it", field.Name)
		}
	}
	if !holds(reflect.TypeFor[postern.Source](), map[reflect.Type]bool{}) {
		t.Error("a source holds none: the search finds nothing")
	}
}

func holds(of reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[of] {
		return false
	}
	seen[of] = true
	if of == reflect.TypeFor[postern.Sealed]() {
		return true
	}
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return holds(of.Elem(), seen)
	case reflect.Struct:
		for i := range of.NumField() {
			if holds(of.Field(i).Type, seen) {
				return true
			}
		}
	}
	return false
}

func sumOf(t *testing.T, part int, record any) string {
	t.Helper()
	sum, err := new(hasher).sum(part, record)
	if err != nil {
		t.Fatal(err)
	}
	return string(sum[:])
}

// TestSumsFollowWhatIsStored: a driver's way of keeping a value does not show, a
// change of it does.
func TestSumsFollowWhatIsStored(t *testing.T) {
	at := time.Date(2026, 3, 10, 12, 0, 0, 1_000_000, time.UTC)
	same := map[string][2]any{
		"times to the millisecond": {&postern.Attempt{Started: at}, &postern.Attempt{Started: at.Add(999 * time.Microsecond).In(time.FixedZone("x", 3600))}},
		"nil and empty history":    {&postern.Attempt{Response: nil}, &postern.Attempt{Response: []byte{}}},
		"what is not UTF-8":        {&postern.Attempt{Failure: "a\xff\x00b"}, &postern.Attempt{Failure: "a\ufffdb"}},
	}
	for name, pair := range same {
		if sumOf(t, attempts, pair[0]) != sumOf(t, attempts, pair[1]) {
			t.Errorf("%s: the sums differ", name)
		}
	}
	request := func(path string) *store.Accept {
		return &store.Accept{Message: &postern.Message{}, Content: &postern.Content{Request: &postern.InboundRequest{Path: path}}}
	}
	differ := map[string][2]any{
		"a millisecond":          {&postern.Attempt{Started: at}, &postern.Attempt{Started: at.Add(time.Millisecond)}},
		"two texts run together": {&postern.Attempt{URL: "a", Failure: "b"}, &postern.Attempt{URL: "ab"}},
		"a byte of a request":    {request("/\xff"), request("/\xfe")},
		"no content":             {&store.Accept{Message: &postern.Message{}}, &store.Accept{Message: &postern.Message{}, Content: &postern.Content{}}},
		"an empty schedule":      {&postern.Endpoint{}, &postern.Endpoint{RetrySchedule: postern.RetrySchedule{}}},
		"an entry of a map":      {&postern.Application{Metadata: map[string]string{"a": "b"}}, &postern.Application{Metadata: map[string]string{"b": "a"}}},
		"a secret":               {&postern.Source{Token: postern.Sealed{1}}, &postern.Source{Token: postern.Sealed{2}}},
	}
	for name, pair := range differ {
		part := messages
		if _, ok := pair[0].(*store.Accept); !ok {
			part = applications
		}
		if sumOf(t, part, pair[0]) == sumOf(t, part, pair[1]) {
			t.Errorf("%s: the sums are the same", name)
		}
	}
}

// TestTallyKnowsCopies: the order of records is of no account, their number is.
func TestTallyKnowsCopies(t *testing.T) {
	a, b := &postern.Attempt{N: 1}, &postern.Attempt{N: 2}
	take := func(list ...*postern.Attempt) *Tally {
		tally := Tally{summed: true}
		if err := tally.add(new(hasher), &store.Batch{Attempts: list}); err != nil {
			t.Fatal(err)
		}
		return &tally
	}
	if d := take(a, b).Differences(take(b, a)); d != nil {
		t.Errorf("another order: %v", d)
	}
	if d := take(a, a).Differences(take(b, b)); len(d) != 1 || !strings.HasPrefix(d[0], "attempts: 2 as before") {
		t.Errorf("two that are the same for two others: %v", d)
	}
	if d := take(a).Differences(take(a, b)); len(d) != 1 || d[0] != "attempts: 2, and 1 before" {
		t.Errorf("one more: %v", d)
	}
	if d := Differences(nil, []Part{{Name: "new", Count: 1}, {Name: "none"}}); len(d) != 1 || d[0] != "new: 1, and none before" {
		t.Errorf("a part that nobody knew: %v", d)
	}
}

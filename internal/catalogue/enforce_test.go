package catalogue_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

func TestCheckPayload(t *testing.T) {
	w := newWorld(t)
	check := func(fits bool, payload string) {
		t.Helper()
		if err := w.CheckPayload("user.made", []byte(payload)); (err == nil) != fits {
			t.Errorf("%s: %v, want it to fit: %t", payload, err, fits)
		}
	}
	put := func(record postern.EventType) {
		t.Helper()
		if _, _, err := w.PutEventType(t.Context(), record, true); err != nil {
			t.Fatal(err)
		}
	}
	made := postern.EventType{Name: "user.made", Schemas: map[string][]byte{
		"1": []byte(`{"type":"object"}`), "2": []byte(`{"type":"object","properties":{"id":{"type":"integer"}}}`),
	}}
	put(made)
	check(true, `{"id":"a"}`) // nobody asked for more
	made.EnforceSchema = true
	put(made)
	check(false, `{"id":"a"}`)
	check(true, `{"id":1}`)
	if err := w.CheckPayload("another", []byte(`{"id":"a"}`)); err != nil {
		t.Errorf("another type: %v", err)
	}
	var refused *postern.Error
	if err := w.CheckPayload("user.made", []byte(`{"id":"a"}`)); !errors.As(err, &refused) || len(refused.Fields) != 1 {
		t.Fatalf("refused: %v", err)
	}
	if diff := cmp.Diff([]string{"body", "payload", "id"}, refused.Fields[0].Loc); diff != "" {
		t.Error(diff)
	}
	if err := w.load(store.Head{}).CheckPayload("user.made", []byte(`{"id":"a"}`)); err == nil {
		t.Error("after a restart nothing is enforced")
	}
	if _, err := w.UpdateEventType(t.Context(), "user.made", func(t *postern.EventType) error {
		t.EnforceSchema = false
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	check(true, `{"id":"a"}`)
	put(made)
	if err := w.DeleteEventType(t.Context(), "user.made"); err != nil {
		t.Fatal(err)
	}
	check(true, `{"id":"a"}`)
}

func TestSchemasAreChecked(t *testing.T) {
	w := newWorld(t)
	for name, record := range map[string]postern.EventType{
		"no schema":        {Schemas: map[string][]byte{"1": []byte(`{"type":"nonsense"}`)}},
		"elsewhere":        {Schemas: map[string][]byte{"1": []byte(`{"$ref":"https://example.com/x"}`)}},
		"nothing to check": {EnforceSchema: true},
	} {
		record.Name = "a"
		_, _, err := w.PutEventType(t.Context(), record, false)
		if postern.KindOf(err) != postern.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCheckPayloadCostsNothing where no type enforces a schema, or another does.
func TestCheckPayloadCostsNothing(t *testing.T) {
	w := newWorld(t)
	payload := []byte(`{"id":"a"}`)
	for range 2 {
		if n := testing.AllocsPerRun(100, func() { _ = w.CheckPayload("free", payload) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		record := postern.EventType{Name: "strict", EnforceSchema: true, Schemas: map[string][]byte{"1": []byte(`{}`)}}
		if _, _, err := w.PutEventType(t.Context(), record, true); err != nil {
			t.Fatal(err)
		}
	}
}

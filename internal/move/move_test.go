package move

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/keyring"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
)

// memory is an empty store and a ring of its own.
func memory(t *testing.T) Side {
	t.Helper()
	s, err := embedded.Open(t.Context(), "memory:", embedded.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return Side{s, keyring.New().For("test")}
}

func seal(t *testing.T, s Secrets, text string) postern.Sealed {
	t.Helper()
	sealed, err := s.Seal([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

var noon = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

func messageID(n int) postern.MessageID {
	return postern.NewMessageID(noon.Add(time.Duration(n)*time.Minute), store.SoleJournal, uint64(n+1), 7)
}

const filled = 40

// fill puts something of everything into a store.
func fill(t *testing.T, side Side) {
	t.Helper()
	b := store.Batch{Head: store.Head{Batch: 1, Next: filled + 1, Low: 1, LastTime: messageID(filled).Time(), Rows: 1, Applications: 2, Endpoints: 1}}
	source := &postern.Source{
		ID: postern.SourceID{1}, Application: 1, Token: seal(t, side.Secrets, "token"), Secrets: []postern.Sealed{seal(t, side.Secrets, "one")},
		Previous: seal(t, side.Secrets, "before"), SealedConfig: map[string]postern.Sealed{"verify": seal(t, side.Secrets, "config")},
	}
	for _, record := range []any{
		&postern.Application{Number: 1, UID: "one", Metadata: map[string]string{"b": "1", "a": "2"}}, &postern.EventType{Name: "a.b"}, source,
		&postern.Endpoint{Number: 1, Application: 1, Secrets: []postern.EndpointSecret{{Key: seal(t, side.Secrets, "signing"), CreatedAt: noon}}},
		&postern.Key{ID: postern.KeyID{1}, Hash: [32]byte{1}}, &postern.Replay{ID: postern.ReplayID{1}, Application: 1},
	} {
		b.Changes = append(b.Changes, store.Change{Put: record})
	}
	b.Changes = append(b.Changes, store.Change{Delete: &postern.Application{Number: 2}})
	for n := range filled {
		id := messageID(n)
		m := &postern.Message{ID: id, Application: 1, EventType: "a.b", Routes: []postern.EndpointNumber{1}, Size: 2}
		b.Accepts = append(b.Accepts, store.Accept{Message: m, Content: &postern.Content{Payload: []byte("{}")}})
		b.Attempts = append(b.Attempts, &postern.Attempt{ID: postern.AttemptID(id), Message: id, Application: 1, Endpoint: 1, N: 1, State: postern.Retrying, Started: noon})
	}
	b.Accepts[0].Dedupe = []store.DedupeRecord{{Scope: store.ScopeEvent, Digest: store.Digest{1}, Message: messageID(0)}}
	b.Answers = []store.DedupeRecord{{Scope: store.ScopeIdempotency, Digest: store.Digest{2}, Message: messageID(3), Answer: seal(t, side.Secrets, "answer")}}
	b.Dead = []store.DeadChange{{Key: store.DeliveryKey{Application: 1, Endpoint: 1, Message: messageID(1)}}}
	b.Finals = []postern.Final{{Application: 1, Endpoint: 1, Message: messageID(2), State: postern.Canceled, At: noon}}
	b.Rows = []store.RowChange{{Put: &postern.Row{Application: 1, Endpoint: 1, Message: messageID(4), Generation: 1, Next: noon}}}
	b.Behind = []store.BehindChange{{Row: store.BehindRow{Application: 1, Endpoint: 1, From: messageID(5)}}}
	b.Health = []store.HealthChange{{Endpoint: 1, Health: postern.Health{Failures: 1}}}
	b.Refusals = []*postern.Refusal{{ID: postern.RefusalID{1}, Source: source.ID, Credentials: seal(t, side.Secrets, "credential"), Body: []byte("body")}}
	if err := side.Store.(store.Store).Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
}

// fallible is a target that fails now and then, before a chunk or after.
type fallible struct {
	Store
	imports int
	spoil   func(*store.Batch)
}

var errTorn = errors.New("torn")

func (f *fallible) Import(ctx context.Context, b *store.Batch, p store.Progress) error {
	f.imports++
	if f.spoil != nil {
		f.spoil(b)
	}
	if f.imports%3 == 1 && f.spoil == nil {
		return errTorn
	}
	err := f.Store.Import(ctx, b, p)
	if f.imports%3 == 2 && f.spoil == nil {
		return errTorn
	}
	return err
}

// opened is every secret of a store in the clear, by what it is.
func opened(t *testing.T, side Side) map[string]string {
	t.Helper()
	found := map[string]string{}
	open := func(name string, sealed postern.Sealed) {
		plain, err := side.Secrets.Open(sealed)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		found[name] = string(plain)
	}
	err := side.Store.Export(t.Context(), store.ExportQuery{Records: 1, Bytes: 1}, func(b *store.Batch, _ store.Cursor) error {
		for _, c := range b.Changes {
			switch r := c.Put.(type) {
			case *postern.Source:
				open("token", r.Token)
				open("secret", r.Secrets[0])
				open("previous", r.Previous)
				open("config", r.SealedConfig["verify"])
			case *postern.Endpoint:
				open("key", r.Secrets[0].Key)
			}
		}
		for _, r := range b.Refusals {
			open("credentials", r.Credentials)
		}
		for _, r := range b.Records {
			if r.Answer != nil {
				open("answer", r.Answer)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestCopyGoesOn: a copy that fails before and after every chunk ends up the same,
// readable under another ring, and is then only compared.
func TestCopyGoesOn(t *testing.T) {
	from, to := memory(t), memory(t)
	fill(t, from)
	torn := Side{&fallible{Store: to.Store}, to.Secrets}
	var report Report
	runs := 0
	for {
		var err error
		if report, err = Copy(t.Context(), Options{From: from, To: torn, Records: 9, Now: func() time.Time { return noon.Add(time.Duration(runs) * time.Hour) }}); err == nil {
			break
		}
		if runs++; !errors.Is(err, errTorn) || runs > 100 {
			t.Fatal(err)
		}
		if _, err := to.Store.Head(t.Context()); runs > 2 && !errors.Is(err, postern.ErrConflict) {
			t.Errorf("half of a store: %v, want a conflict", err)
		}
	}
	if runs < 5 || !report.Resumed || report.Already || report.Begun.After(noon.Add(3*time.Hour)) {
		t.Errorf("after %d runs: %+v", runs, report)
	}
	if want := map[string]string{
		"token": "token", "secret": "one", "previous": "before", "config": "config", "key": "signing", "credentials": "credential", "answer": "answer",
	}; !cmp.Equal(want, opened(t, to)) {
		t.Errorf("secrets: %s", cmp.Diff(want, opened(t, to)))
	}
	var counts []string
	for _, part := range report.Tally.Parts() {
		counts = append(counts, fmt.Sprint(part.Count))
	}
	if got := strings.Join(counts, " "); got != "1 1 1 1 1 1 1 40 40 1 1 1 1 1 1 2" {
		t.Errorf("parts %s", got)
	}
	again, err := Copy(t.Context(), Options{From: from, To: to})
	if err != nil || !again.Already || again.Copied != 0 {
		t.Errorf("a copy of what is there: %+v, %v", again, err)
	}
}

// TestCopyFindsDifferences: whatever is lost or changed on the way is found, and
// the target cannot be served from.
func TestCopyFindsDifferences(t *testing.T) {
	for name, spoil := range map[string]func(*store.Batch){
		"messages": func(b *store.Batch) {
			for i := range b.Accepts {
				b.Accepts[i].Content.Payload[0] ^= 1
			}
		},
		"attempts": func(b *store.Batch) { b.Attempts = b.Attempts[:len(b.Attempts)/2] },
		"endpoints": func(b *store.Batch) {
			for _, c := range b.Changes {
				if e, ok := c.Put.(*postern.Endpoint); ok {
					e.Rate = 9
				}
			}
		},
		"waiting deliveries": func(b *store.Batch) {
			for _, r := range b.Rows {
				r.Put.Next = r.Put.Next.Add(time.Second)
			}
		},
		"deleted applications": func(b *store.Batch) {
			for i, c := range b.Changes {
				if c.Delete != nil {
					b.Changes = append(b.Changes[:i:i], b.Changes[i+1:]...)
				}
			}
		},
	} {
		from, to := memory(t), memory(t)
		fill(t, from)
		_, err := Copy(t.Context(), Options{From: from, To: Side{&fallible{Store: to.Store, spoil: spoil}, to.Secrets}})
		if err == nil || !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := to.Store.Head(t.Context()); !errors.Is(err, postern.ErrConflict) {
			t.Errorf("%s: a target that differs has a head: %v", name, err)
		}
	}
}

// TestCopyRefuses what would mix two stores.
func TestCopyRefuses(t *testing.T) {
	from, to, other := memory(t), memory(t), memory(t)
	fill(t, from)
	fill(t, other)
	next := store.Batch{Head: store.Head{Batch: 2, Next: filled + 1, LastTime: messageID(filled).Time()}}
	if err := other.Store.(store.Store).Commit(t.Context(), &next); err != nil {
		t.Fatal(err)
	}
	if _, err := Copy(t.Context(), Options{From: from, To: other}); !errors.Is(err, postern.ErrConflict) {
		t.Errorf("into a store that is in use: %v, want a conflict", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Copy(ctx, Options{From: from, To: to, Records: 5, Told: func(Stage, *Tally) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := Copy(t.Context(), Options{From: other, To: to}); !errors.Is(err, postern.ErrConflict) {
		t.Errorf("of a source that went on: %v, want a conflict", err)
	}
	lost := Side{from.Store, keyring.New().For("test")}
	if _, err := Copy(t.Context(), Options{From: lost, To: memory(t)}); !errors.Is(err, keyring.ErrUnknownKey) {
		t.Errorf("without the ring: %v", err)
	}
}

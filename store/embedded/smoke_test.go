package embedded

import (
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

func TestSmoke(t *testing.T) {
	for _, url := range []string{"memory:", "file:" + t.TempDir() + "/x"} {
		ctx := t.Context()
		s, err := Open(ctx, url, Options{})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		id := postern.NewMessageID(now, 1, 1, 77)
		b := &store.Batch{Head: store.Head{Batch: 1, Next: 2, Low: 1, LastTime: now}}
		m := &postern.Message{ID: id, Application: 1, EventType: "a.b", Routes: []postern.EndpointNumber{1, 5}}
		b.Accepts = []store.Accept{{Message: m, Content: &postern.Content{Payload: []byte("{}")}}}
		if err := s.Commit(ctx, b); err != nil {
			t.Fatal(err)
		}
		got, err := s.Message(ctx, 1, id)
		if err != nil || got.EventType != "a.b" {
			t.Fatal(got, err)
		}
		if err := s.Recover(ctx, 0, func(m *postern.Message, open []postern.EndpointNumber) error {
			if len(open) != 2 {
				t.Error(open)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		r, err := s.Scan(ctx, store.ScanQuery{Application: 1, Endpoint: 5, Before: 100, Limit: 10, Examine: 10})
		if err != nil || !r.Done || len(r.Messages) != 1 {
			t.Fatal(r, err)
		}
		p, err := s.Messages(ctx, 1, store.MessageFilter{}, store.Page{Limit: 10})
		if err != nil || !p.Done || len(p.Messages) != 1 {
			t.Fatal(p, err)
		}
		u, err := s.Usage(ctx)
		t.Logf("%+v %v", u, err)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(ctx, b); err == nil {
			t.Fatal("commit after close")
		}
	}
}

package event

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

func TestCheck(t *testing.T) {
	for _, fine := range []postern.Publish{
		{EventType: "a.b"},
		{EventType: strings.Repeat("x", 256), EventID: "1", Channels: []string{"c-1", "d_2"}, Depth: MaxDepth},
		{EventType: "a", ContentType: "application/json", EventID: "evt_1", Tags: []string{"any text\n"}},
		{EventType: "a", ContentType: `text/plain; charset="utf-8"`},
	} {
		if err := Check(&fine); err != nil {
			t.Errorf("%+v: %v", fine, err)
		}
	}
	for field, wrong := range map[string]postern.Publish{
		"Publish.EventType":   {EventType: "a.*"},
		"Publish.EventID":     {EventType: "a", EventID: "a b"},
		"Publish.Channels":    {EventType: "a", Channels: []string{"c", ""}},
		"Publish.ContentType": {EventType: "a", ContentType: "text/plain\r\nX-Evil: 1"},
		"ContentType":         {EventType: "a", ContentType: "text/" + strings.Repeat("x", 256)},
		"as an id of a":       {EventType: "a", EventID: "rfs_1"},
		"5 at most":           {EventType: "a", Channels: strings.Split("a b c d e f", " ")},
		"10 at most":          {EventType: "a", Tags: strings.Split("a b c d e f g h i j k", " ")},
		"Publish.Tags":        {EventType: "a", Tags: []string{strings.Repeat("x", 257)}},
		"Publish.Depth":       {EventType: "a", Depth: -1},
		"17 messages in a":    {EventType: "a", Depth: MaxDepth + 1},
	} {
		if err := Check(&wrong); !errors.Is(err, postern.ErrInvalid) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if err := Check(&postern.Publish{EventType: "a", Depth: MaxDepth + 1}); !postern.IsPermanent(err) {
		t.Errorf("a chain that is too long can be tried again: %v", err)
	}
}

func TestNotingACause(t *testing.T) {
	if _, ok := CauseOf(t.Context()); ok {
		t.Error("nothing is being handled, and is a cause")
	}
	first, other := postern.NewMessageID(time.Now(), 0, 1, 2), postern.NewMessageID(time.Now(), 0, 3, 4)
	c, ok := CauseOf(Causing(context.Background(), Cause{Message: first, Depth: 4}))
	if !ok {
		t.Fatal("no cause")
	}
	for _, test := range []struct {
		p     postern.Publish
		by    postern.MessageID
		depth int
	}{
		{postern.Publish{}, first, 5},
		{postern.Publish{CausedBy: other}, other, 5}, // which makes no chain shorter
		{postern.Publish{CausedBy: other, Depth: 9}, other, 9},
	} {
		p := test.p
		if c.Note(&p); p.CausedBy != test.by || p.Depth != test.depth {
			t.Errorf("%+v becomes caused by %v, %d deep", test.p, p.CausedBy, p.Depth)
		}
	}
}

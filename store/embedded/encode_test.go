package embedded

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

func testMessage() *postern.Message {
	return &postern.Message{
		ID: postern.NewMessageID(time.UnixMilli(1_770_000_000_123), 1, 5000, 9), Application: 7, EventType: "a.b", EventID: "e",
		Channels: []string{"x"}, Routes: []postern.EndpointNumber{3, 900_000, 4}, Size: 12, Source: postern.SourceID{1},
	}
}

// TestKeyOrder: ids never break the order of days, slices and numbers, and a
// final record follows all attempts.
func TestKeyOrder(t *testing.T) {
	early := postern.NewMessageID(time.UnixMilli(1_770_000_000_000), 1, 4095, 1)
	late := postern.NewMessageID(time.UnixMilli(1_770_000_000_000), 1, 4096, 0)
	next := postern.NewMessageID(time.UnixMilli(1_770_100_000_000), 1, 4097, 0)
	d := store.DeliveryKey{Application: 1, Endpoint: 2, Message: early}
	ascending := [][]byte{
		attemptKey(nil, d, 1), attemptKey(nil, d, 300), attemptKey(nil, d, 1_000_000), finalKey(nil, d),
		attemptKey(nil, store.DeliveryKey{Application: 1, Endpoint: 3, Message: early}, 1),
		attemptKey(nil, store.DeliveryKey{Application: 2, Endpoint: 1, Message: early}, 1),
		attemptsKey(nil, 1, late), attemptsKey(nil, 1, next),
		byEndpointKey(nil, 300, postern.AttemptID(early)), byEndpointKey(nil, 1, postern.AttemptID(next)),
		headerKey(nil, 9, early), headerKey(nil, 1, next),
		contentKey(nil, 9, early), contentKey(nil, 1, late), contentKey(nil, 9, late), contentKey(nil, 1, next),
		scheduleKey(nil, 1, -5, late), scheduleKey(nil, 1, 1, early), scheduleKey(nil, 2, 0, early),
	}
	for i := 1; i < len(ascending); i++ {
		if bytes.Compare(ascending[i-1], ascending[i]) >= 0 {
			t.Errorf("key %d: %x does not come before %x", i, ascending[i-1], ascending[i])
		}
		if len(ascending[i]) > maxKey {
			t.Errorf("key %d has %d bytes", i, len(ascending[i]))
		}
	}
}

func TestRoutesTo(t *testing.T) {
	value := appendHeader(nil, testMessage())
	for endpoint, want := range map[postern.EndpointNumber]bool{3: true, 4: true, 900_000: true, 5: false, 0: false} {
		if got := routesTo(value, endpoint); got != want {
			t.Errorf("endpoint %d: %t", endpoint, got)
		}
	}
}

// TestTruncated: a value cut anywhere is an error, never a panic, and never
// half a record without one. Only fields that were added later may be missing.
func TestTruncated(t *testing.T) {
	m := testMessage()
	d := store.DeliveryKey{Application: 7, Endpoint: 3, Message: m.ID}
	later := map[string]int{"head": 1, "health": 1, "outcome": 2, "refusal": 1} // so many of their last bytes are such fields
	for name, c := range map[string]struct {
		value  []byte
		decode func([]byte) error
	}{
		"header":  {appendHeader(nil, m), func(b []byte) error { _, err := decodeHeader(7, m.ID, b); return err }},
		"attempt": {appendAttempt(nil, &postern.Attempt{URL: "u", Response: []byte("r")}), func(b []byte) error { _, err := decodeAttempt(d, b); return err }},
		"final":   {appendFinal(nil, &postern.Final{At: time.UnixMilli(1)}), func(b []byte) error { _, err := decodeFinal(d, b); return err }},
		"row":     {appendRow(nil, &postern.Row{Generation: 300}), func(b []byte) error { _, err := decodeRow(3, m.ID, b); return err }},
		"outcome": {appendOutcome(nil, &postern.Attempt{N: 2}), func(b []byte) error { _, err := decodeOutcome(b); return err }},
		"head":    {appendHead(nil, store.Head{Batch: 1, LastTime: time.UnixMilli(5)}), func(b []byte) error { _, err := decodeHead(b); return err }},
		"health":  {appendHealth(nil, postern.Health{Disabled: "gone"}), func(b []byte) error { _, err := decodeHealth(b); return err }},
		"dedupe":  {appendDedupe(nil, 7, &store.DedupeRecord{Message: m.ID}), func(b []byte) error { _, err := decodeDedupe(b); return err }},
		"refusal": {appendRefusal(nil, &postern.Refusal{Reason: "r"}), func(b []byte) error { _, err := decodeRefusal(postern.SourceID{}, postern.RefusalID{}, b); return err }},
	} {
		if err := c.decode(c.value); err != nil {
			t.Errorf("%s: whole: %v", name, err)
		}
		for n := range c.value {
			if read := c.decode(c.value[:n]) == nil; read != (later[name] > 0 && n == len(c.value)-later[name]) {
				t.Errorf("%s: %d of %d bytes: read without an error is %t", name, n, len(c.value), read)
			}
		}
		newer := append([]byte{encodingVersion + 1}, c.value[1:]...)
		if c.decode(newer) == nil {
			t.Errorf("%s: a newer encoding is read", name)
		}
	}
}

// FuzzDecode: whatever stands in a value, it is read or refused; what is read
// and written again is the same.
func FuzzDecode(f *testing.F) {
	m := testMessage()
	f.Add(appendHeader(nil, m))
	f.Add(appendAttempt(nil, &postern.Attempt{URL: "https://example.com", Response: []byte("x"), Started: time.UnixMilli(1)}))
	f.Add(appendContentPrefix(nil, &postern.Content{Request: &postern.InboundRequest{Headers: []postern.Header{{Name: "a"}}}}))
	d := store.DeliveryKey{Application: 7, Endpoint: 3, Message: m.ID}
	f.Fuzz(func(t *testing.T, value []byte) {
		if got, err := decodeHeader(7, m.ID, value); err == nil {
			again, err := decodeHeader(7, m.ID, appendHeader(nil, got))
			if diff := cmp.Diff(got, again, cmpopts.EquateEmpty()); diff != "" || err != nil {
				t.Errorf("header: %v\n%s", err, diff)
			}
		}
		if got, err := decodeAttempt(d, value); err == nil && got.Code >= 0 && got.N >= 0 {
			again, err := decodeAttempt(d, appendAttempt(nil, &got))
			if diff := cmp.Diff(got, again, cmpopts.EquateEmpty()); diff != "" || err != nil {
				t.Errorf("attempt: %v\n%s", err, diff)
			}
		}
		selectsAsDecoded(t, value)
		_, _ = decodeContent(value)
		_, _ = decodeRefusal(postern.SourceID{}, postern.RefusalID{}, value)
		_ = routesTo(value, 3)
		_ = endsDelivery(value)
	})
}

// selectsAsDecoded: what a filter says of an encoded header is what it says of the
// header.
func selectsAsDecoded(t *testing.T, value []byte) {
	t.Helper()
	m, err := decodeHeader(7, postern.MessageID{}, value)
	if err != nil {
		return
	}
	for _, f := range []store.MessageFilter{{}, {EventTypes: []string{"b", m.EventType}}, {Channel: "x"}, {Tag: "x"}, {Channel: "x", Tag: "y"}} {
		want := (f.EventTypes == nil || slices.Contains(f.EventTypes, m.EventType)) &&
			(f.Channel == "" || slices.Contains(m.Channels, f.Channel)) && (f.Tag == "" || slices.Contains(m.Tags, f.Tag))
		if got, err := selects(f, value); got != want || err != nil {
			t.Errorf("%+v of %+v: %t, %v", f, m, got, err)
		}
	}
}

func TestSelects(t *testing.T) {
	for _, labels := range [][]string{nil, {"x"}, {"y", "x"}, {"xx", "y"}} {
		for _, eventType := range []string{"", "a.b", "b"} {
			selectsAsDecoded(t, appendHeader(nil, &postern.Message{Routes: []postern.EndpointNumber{3, 900}, EventType: eventType, Channels: labels, Tags: []string{"y"}}))
			selectsAsDecoded(t, appendHeader(nil, &postern.Message{EventType: eventType, EventID: "x", Tags: labels}))
		}
	}
}

// TestOutcomeOfBefore: entries that were stored without a state tell as much as they
// can.
func TestOutcomeOfBefore(t *testing.T) {
	for succeeded, want := range map[bool]postern.State{true: postern.Delivered, false: postern.Retrying} {
		a := &postern.Attempt{N: 2, Succeeded: succeeded, State: postern.Canceled, Timings: postern.Timings{Total: 1500 * time.Microsecond}}
		value := appendOutcome(nil, a)
		now, err := decodeOutcome(value)
		if err != nil || now.state != postern.Canceled || now.took != a.Timings.Total {
			t.Errorf("%+v, %v", now, err)
		}
		before, err := decodeOutcome(value[:len(value)-3])
		if err != nil || before.state != want || before.took != 0 || before.n != 2 {
			t.Errorf("succeeded %t: %+v, %v", succeeded, before, err)
		}
	}
}

package postern_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"math"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-dev/postern"
)

// edges are bit patterns at which arithmetic over words goes wrong: carries
// between words, leading zeros, the ends.
func edges() [][20]byte {
	out := [][20]byte{{19: 1}, {0: 0x80}, {0: 1}, {3: 0xff}, {4: 0xff}, {15: 0xff}, {16: 0xff}}
	var full, alternating [20]byte
	for i := range full {
		full[i], alternating[i] = 0xff, byte(0x55<<(i%2))
	}
	return append(out, full, alternating)
}

func TestIDRoundTrip(t *testing.T) {
	for _, bits := range edges() {
		id := postern.MessageID(bits)
		text := id.String()
		if want := "msg_" + oracle(bits); text != want {
			t.Errorf("%x reads %s, want %s", bits, text, want)
		}
		if back, err := postern.ParseMessageID(text); err != nil || back != id {
			t.Errorf("%s read back is %x, %v; want %x", text, back, err, bits)
		}
	}
}

// oracle writes bits in base 62 by math/big, whose own digits are in the order
// 0-9a-zA-Z.
func oracle(bits [20]byte) string {
	digits := new(big.Int).SetBytes(bits[:]).Text(62)
	swapped := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, digits)
	return strings.Repeat("0", 27-len(swapped)) + swapped
}

func TestIDKindsDoNotMix(t *testing.T) {
	bits := [20]byte{0: 1, 19: 7}
	parsers := map[string]func(string) ([20]byte, error){
		postern.ApplicationID(bits).String(): func(s string) ([20]byte, error) { id, err := postern.ParseApplicationID(s); return id, err },
		postern.MessageID(bits).String():     func(s string) ([20]byte, error) { id, err := postern.ParseMessageID(s); return id, err },
		postern.SourceID(bits).String():      func(s string) ([20]byte, error) { id, err := postern.ParseSourceID(s); return id, err },
		postern.EndpointID(bits).String():    func(s string) ([20]byte, error) { id, err := postern.ParseEndpointID(s); return id, err },
		postern.AttemptID(bits).String():     func(s string) ([20]byte, error) { id, err := postern.ParseAttemptID(s); return id, err },
		postern.RefusalID(bits).String():     func(s string) ([20]byte, error) { id, err := postern.ParseRefusalID(s); return id, err },
		postern.KeyID(bits).String():         func(s string) ([20]byte, error) { id, err := postern.ParseKeyID(s); return id, err },
		postern.ReplayID(bits).String():      func(s string) ([20]byte, error) { id, err := postern.ParseReplayID(s); return id, err },
		postern.BackgroundTaskID(bits).String(): func(s string) ([20]byte, error) {
			id, err := postern.ParseBackgroundTaskID(s)
			return id, err
		},
	}
	for own, parse := range parsers {
		for text := range parsers {
			got, err := parse(text)
			switch {
			case text == own && (err != nil || got != bits):
				t.Errorf("%s: %x, %v", text, got, err)
			case text != own && postern.KindOf(err) != postern.Invalid:
				t.Errorf("the parser of %s takes %s: %v", own, text, err)
			}
		}
	}
}

func TestBadIDsAreInvalid(t *testing.T) {
	highest := postern.MessageID(bytes.Repeat([]byte{0xff}, 20)).String()
	for name, text := range map[string]string{
		"empty":               "",
		"prefix alone":        "msg_",
		"no prefix":           strings.Repeat("1", 27),
		"capital prefix":      "MSG_" + strings.Repeat("1", 27),
		"one digit short":     "msg_" + strings.Repeat("1", 26),
		"one digit long":      "msg_" + strings.Repeat("1", 28),
		"space at the end":    "msg_" + strings.Repeat("1", 26) + " ",
		"punctuation":         "msg_" + strings.Repeat("1", 26) + "-",
		"not ASCII":           "msg_" + strings.Repeat("1", 25) + "é",
		"after the highest":   highest[:len(highest)-1] + string(highest[len(highest)-1]+1),
		"all digits highest":  "msg_" + strings.Repeat("z", 27),
		"none, written out":   "msg_" + strings.Repeat("0", 27),
		"long enough to hurt": "msg_" + strings.Repeat("1", 1<<20),
	} {
		id, err := postern.ParseMessageID(text)
		if !errors.Is(err, postern.ErrInvalid) {
			t.Errorf("%s: %v, %v; want an invalid id", name, id, err)
			continue
		}
		if len(err.Error()) > 200 {
			t.Errorf("%s: the error repeats %d bytes of input", name, len(err.Error()))
		}
	}
	if _, err := postern.ParseMessageID(highest); err != nil {
		t.Errorf("the highest id: %v", err)
	}
}

func TestZeroIDIsNone(t *testing.T) {
	var none postern.EndpointID
	if !none.IsZero() || none.String() != "" || len(none.AppendTo(nil)) != 0 {
		t.Errorf("the zero id reads %q and appends %q, want nothing", none.String(), none.AppendTo(nil))
	}
	if none.Prefix() != "ep_" {
		t.Errorf("prefix %q", none.Prefix())
	}
}

func TestIDInJSON(t *testing.T) {
	type record struct {
		ID     postern.MessageID `json:"id"`
		Absent postern.KeyID     `json:"absent"`
	}
	in := record{ID: postern.MessageID{0: 1, 19: 7}}
	text, err := json.Marshal(in)
	if err != nil || string(text) != `{"id":"`+in.ID.String()+`","absent":""}` {
		t.Fatalf("%s, %v", text, err)
	}
	out := record{Absent: postern.KeyID{1}} // is cleared
	if err := json.Unmarshal(text, &out); err != nil || out != in {
		t.Errorf("%+v, %v; want %+v", out, err, in)
	}
	before := out
	if err := json.Unmarshal([]byte(`{"id":"msg_1"}`), &out); !errors.Is(err, postern.ErrInvalid) || out != before {
		t.Errorf("a bad id: %+v, %v; want an invalid id and nothing changed", out, err)
	}
}

// Within a journal the order of ids is that of positions, as bits and as text,
// and the id gives back what it was made of.
func TestMessageIDOrder(t *testing.T) {
	at := time.Date(2026, 11, 3, 4, 5, 6, 789e6, time.UTC)
	made := []postern.MessageID{
		postern.NewMessageID(at, 3, 1, math.MaxUint64),
		postern.NewMessageID(at, 3, 2, 0),
		postern.NewMessageID(at, 3, 1<<32, 5),
		postern.NewMessageID(at, 3, postern.MaxPosition, 5),
		postern.NewMessageID(at.Add(time.Millisecond), 3, 4, 0),
		postern.NewMessageID(at.Add(time.Hour), 3, 5, 0),
	}
	positions := []uint64{1, 2, 1 << 32, postern.MaxPosition, 4, 5}
	for i, id := range made {
		if id.Position() != positions[i] || id.Journal() != 3 {
			t.Errorf("%v: journal %d, position %d; want 3, %d", id, id.Journal(), id.Position(), positions[i])
		}
		if i > 0 && (made[i-1].Compare(id) >= 0 || id.Compare(made[i-1]) <= 0 || made[i-1].String() >= id.String()) {
			t.Errorf("%v does not sort after %v", id, made[i-1])
		}
	}
	if id := made[0]; id.Compare(id) != 0 || !id.Time().Equal(at) || id.Time().Location() != time.UTC {
		t.Errorf("%v: time %v, want %v in UTC", id, id.Time(), at)
	}
	if m := (postern.Message{ID: made[0]}); !m.CreatedAt().Equal(at) {
		t.Errorf("message of %v was created at %v", at, m.CreatedAt())
	}
	if r := (postern.Refusal{ID: postern.RefusalID(made[0])}); !r.CreatedAt().Equal(at) {
		t.Errorf("refusal of %v was created at %v", at, r.CreatedAt())
	}
}

// Attempts sort by batch, then by their place in it, and one endpoint's
// attempts of one batch differ.
func TestAttemptIDOrder(t *testing.T) {
	at := time.UnixMilli(1_760_000_000_000)
	made := []postern.AttemptID{
		postern.NewAttemptID(at, 0, 7, 0, math.MaxUint32),
		postern.NewAttemptID(at, 0, 7, 1, 1),
		postern.NewAttemptID(at, 0, 7, 0xffff, 1),
		postern.NewAttemptID(at, 0, 8, 0, 1),
	}
	if !slices.IsSortedFunc(made, postern.AttemptID.Compare) || len(slices.Compact(made)) != 4 {
		t.Errorf("not in order, or not distinct: %v", made)
	}
}

// A lease's id tells whose it is, and keeps its time and all that tells it from
// others of the same node.
func TestLeaseIDLeadsToItsNode(t *testing.T) {
	source := &postern.IDSource{Now: time.Now, Random: rand.Reader}
	seen := map[postern.LeaseID]bool{}
	for i := range 1000 {
		bits, err := source.Next()
		if err != nil {
			t.Fatal(err)
		}
		journal := uint16(i * 65)
		id := postern.NewLeaseID(journal, bits)
		if id.Journal() != journal || !id.Time().Equal(postern.LeaseID(bits).Time()) {
			t.Errorf("%s is of journal %d and %v", id, id.Journal(), id.Time())
		}
		seen[postern.NewLeaseID(7, bits)] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d of 1000 differ", len(seen))
	}
}

// Ids of one source increase whatever the clock does, also when random bits
// repeat.
func TestIDSourceIncreases(t *testing.T) {
	now := time.UnixMilli(1_760_000_000_000)
	for name, random := range map[string]io.Reader{"random": rand.Reader, "zero": constant(0), "highest": constant(0xff)} {
		steps := []time.Duration{0, 0, 0, time.Millisecond, -time.Hour, 0, 2 * time.Hour}
		source := postern.IDSource{Now: func() time.Time { return now }, Random: random}
		var last postern.KeyID
		for i, step := range steps {
			now = now.Add(step)
			bits, err := source.Next()
			id := postern.KeyID(bits)
			if err != nil || id.Compare(last) <= 0 {
				t.Errorf("%s, step %d: %v after %v, %v", name, i, id, last, err)
			}
			last = id
		}
		if got := last.Time(); !got.Equal(now) {
			t.Errorf("%s: the clock moved on to %v, the ids to %v", name, now, got)
		}
	}
}

// constant is a stream of one byte.
type constant byte

func (c constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c)
	}
	return len(p), nil
}

func TestIDSourceConcurrently(t *testing.T) {
	const callers, each = 8, 500
	now := time.UnixMilli(1_760_000_000_000) // stands still: every id collides in time
	source := postern.IDSource{Now: func() time.Time { return now }, Random: rand.Reader}
	made := make([][][20]byte, callers)
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for range each {
				id, err := source.Next()
				if err != nil {
					t.Error(err)
				}
				made[c] = append(made[c], id)
			}
		})
	}
	all.Wait()
	seen := map[[20]byte]bool{}
	for c := range made {
		for i, id := range made[c] {
			if i > 0 && bytes.Compare(made[c][i-1][:], id[:]) >= 0 {
				t.Fatalf("caller %d: id %d does not increase", c, i)
			}
			seen[id] = true
		}
	}
	if len(seen) != callers*each {
		t.Errorf("%d different ids of %d", len(seen), callers*each)
	}
}

func TestIDSourceFailsWithItsRandomness(t *testing.T) {
	source := postern.IDSource{Now: time.Now, Random: strings.NewReader("short")}
	if _, err := source.Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v, want the reader's error", err)
	}
}

func TestIDsDoNotAllocate(t *testing.T) {
	id, other := postern.MessageID{0: 1, 19: 7}, postern.MessageID{0: 1, 19: 8}
	buf := make([]byte, 0, 64)
	text := id.String()
	for name, fn := range map[string]func(){
		"AppendTo": func() { buf = id.AppendTo(buf[:0]) },
		"Compare":  func() { _ = id.Compare(other) },
		"Parse":    func() { _, _ = postern.ParseMessageID(text) },
		"New":      func() { other = postern.NewMessageID(time.Time{}, 1, 2, 3) },
	} {
		if n := testing.AllocsPerRun(100, fn); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

// What is read as an id is written the same again; what is not is refused with
// an error of kind Invalid.
func FuzzParseID(f *testing.F) {
	for _, bits := range edges() {
		f.Add(postern.EndpointID(bits).String())
	}
	f.Add("")
	f.Add("ep_" + strings.Repeat("0", 27))
	f.Add("ep_" + strings.Repeat("z", 27))
	f.Fuzz(func(t *testing.T, text string) {
		id, err := postern.ParseEndpointID(text)
		switch {
		case err != nil && (postern.KindOf(err) != postern.Invalid || !id.IsZero()):
			t.Errorf("%q: %v, %v", text, id, err)
		case err == nil && (id.String() != text || id.IsZero()):
			t.Errorf("%q reads as %v", text, id)
		}
	})
}

// Every 160 bits have one text, the oracle's, and the order of texts is the
// order of bits.
func FuzzIDBits(f *testing.F) {
	for _, bits := range edges() {
		f.Add(bits[:], make([]byte, 20))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var x, y [20]byte
		copy(x[:], a)
		copy(y[:], b)
		if x == ([20]byte{}) || y == ([20]byte{}) {
			return // names nothing
		}
		idX, idY := postern.MessageID(x), postern.MessageID(y)
		if got, want := idX.String(), "msg_"+oracle(x); got != want {
			t.Errorf("%x reads %s, want %s", x, got, want)
		}
		if back, err := postern.ParseMessageID(idX.String()); err != nil || back != idX {
			t.Errorf("%x read back is %x, %v", x, back, err)
		}
		byBits := bytes.Compare(x[:], y[:])
		if idX.Compare(idY) != byBits || strings.Compare(idX.String(), idY.String()) != byBits {
			t.Errorf("%x and %x sort differently as text", x, y)
		}
	})
}

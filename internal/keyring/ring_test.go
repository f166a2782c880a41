package keyring_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/postern-dev/postern/internal/keyring"
)

var (
	encodedA = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xA1}, 32))
	encodedB = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xB2}, 32))
)

func parse(t testing.TB, text string) *keyring.Ring {
	t.Helper()
	ring, err := keyring.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestSealAndOpen(t *testing.T) {
	box := keyring.New().For("endpoint secret")
	for _, plain := range []string{"", "whsec_abc", strings.Repeat("x", 100_000)} {
		first, err := box.Seal([]byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		second, err := box.Seal([]byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(first, second) {
			t.Error("the same secret was sealed to the same bytes twice")
		}
		if plain != "" && bytes.Contains(first, []byte(plain)) {
			t.Error("the secret shows in its sealed form")
		}
		opened, err := box.Open(first)
		if err != nil || string(opened) != plain {
			t.Errorf("got %d bytes, %v; want the %d that were sealed", len(opened), err, len(plain))
		}
	}
}

func TestRotation(t *testing.T) {
	old := parse(t, "a:"+encodedA)
	sealed, err := old.For("p").Seal([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	rotated := parse(t, "b:"+encodedB+", a:"+encodedA)
	if plain, err := rotated.For("p").Open(sealed); err != nil || string(plain) != "secret" {
		t.Errorf("the ring with a key in front: %q, %v", plain, err)
	}
	fresh, err := rotated.For("p").Seal([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = old.For("p").Open(fresh)
	if !errors.Is(err, keyring.ErrUnknownKey) || !strings.Contains(err.Error(), `"b"`) {
		t.Errorf("a secret of the new key in the old ring: %v, want the unknown key named", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	ring := parse(t, "a:"+encodedA)
	sealed, err := ring.For("endpoint secret").Seal([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.For("source token").Open(sealed); !errors.Is(err, keyring.ErrCorrupt) {
		t.Errorf("another purpose: %v", err)
	}
	if _, err := parse(t, "a:"+encodedB).For("endpoint secret").Open(sealed); !errors.Is(err, keyring.ErrCorrupt) {
		t.Errorf("another key of the same id: %v", err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := ring.For("endpoint secret").Open(changed); err == nil {
			t.Errorf("byte %d changed: opened", i)
		}
		if _, err := ring.For("endpoint secret").Open(sealed[:i]); err == nil {
			t.Errorf("cut to %d bytes: opened", i)
		}
	}
	if _, err := (&keyring.Ring{}).For("p").Seal(nil); err == nil {
		t.Error("a ring without a key sealed")
	}
}

func TestParseRefuses(t *testing.T) {
	short := base64.StdEncoding.EncodeToString([]byte("SHORTSHORT"))
	for text, say := range map[string]string{
		"":                                     "key 1 does not begin",
		"a":                                    "key 1 does not begin",
		":" + encodedA:                         "key 1 does not begin",
		"ä:" + encodedA:                        "key 1 does not begin",
		strings.Repeat("i", 33) + ":x":         "key 1 does not begin",
		"a:" + encodedA + ",":                  "key 2 does not begin",
		"a:" + encodedA + ",b:%%%":             "key 2 is not base64",
		"a:" + short:                           "key 1 has 10 bytes",
		"a:" + encodedA + ",a:" + encodedB:     "key 2 has the id",
		strings.Repeat("a:"+encodedA+",", 101): "at most 100",
	} {
		_, err := keyring.Parse(text)
		if err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%.20q: %v, want %q", text, err, say)
			continue
		}
		for _, secret := range []string{encodedA, encodedB, short} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%.20q: the error shows key material", text)
			}
		}
	}
}

func TestRingHidesItsKeys(t *testing.T) {
	ring := parse(t, "a:"+encodedA)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("ring", "ring", ring)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		log.WriteString(fmt.Sprintf(verb, ring))
	}
	if !strings.Contains(log.String(), "keyring(a)") {
		t.Errorf("the id does not show: %s", &log)
	}
	for _, secret := range []string{encodedA, "161", "a1a1", "A1A1", "0xa1"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("key material shows: %s", &log)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a:" + encodedA)
	f.Add("b:" + encodedB + ", a:" + encodedA)
	f.Add("a:,")
	f.Fuzz(func(t *testing.T, text string) {
		ring, err := keyring.Parse(text)
		if err != nil {
			return
		}
		again, err := keyring.Parse(ring.Reveal())
		if err != nil || again.Reveal() != ring.Reveal() {
			t.Errorf("what Reveal wrote does not read the same: %v", err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	box := parse(f, "a:"+encodedA).For("p")
	sealed, err := box.Seal([]byte("secret"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(sealed))
	f.Add([]byte{1, 0})
	f.Add([]byte{1, 255, 'a'})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, forged []byte) {
		plain, err := box.Open(forged)
		// Each fuzzing process seals its own copy, so that inputs of another's
		// may open too, but to nothing else.
		if err == nil && string(plain) != "secret" {
			t.Errorf("%x was never sealed and opens to %q", forged, plain)
		}
	})
}

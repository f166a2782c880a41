package sign_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/postern-dev/postern/sign"
)

func TestParseKey(t *testing.T) {
	b64 := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	private := sign.GenerateEd25519()
	public, _ := private.Public()
	whole := strings.TrimPrefix(private.Reveal(), "whsk_")
	raw, _ := base64.StdEncoding.DecodeString(whole)
	foreign := append(bytes.Clone(raw[:32]), make([]byte, 32)...)

	for _, tc := range []struct {
		name, text string
		kind       sign.Kind
		err        error
	}{
		{"shortest", "whsec_" + b64(24), sign.Symmetric, nil},
		{"longest", "whsec_" + b64(75), sign.Symmetric, nil},
		{"prefix left out", b64(24), sign.Symmetric, nil},
		{"private", private.Reveal(), sign.Private, nil},
		{"private seed", "whsk_" + base64.StdEncoding.EncodeToString(raw[:32]), sign.Private, nil},
		{"public", public.Reveal(), sign.Public, nil},
		{"nothing", "", 0, sign.ErrKeyEmpty},
		{"prefix alone", "whsec_", 0, sign.ErrKeyEmpty},
		{"padding alone", "whsec_====", 0, sign.ErrKeyFormat},
		{"too short", "whsec_" + b64(23), 0, sign.ErrKeyFormat},
		{"too long", "whsec_" + b64(76), 0, sign.ErrKeyFormat},
		{"not base64", "whsec_" + strings.Repeat("!", 32), 0, sign.ErrKeyFormat},
		{"url alphabet", "whsec_" + strings.Repeat("_-", 16), 0, sign.ErrKeyFormat},
		{"stray bits", "whsec_" + b64(25)[:34] + "B=", 0, sign.ErrKeyFormat},
		{"trailing newline", "whsec_" + b64(24) + "\n", 0, sign.ErrKeyFormat},
		{"inner newline", "whsec_" + b64(12) + "\n" + b64(12), 0, sign.ErrKeyFormat},
		{"leading space", " whsec_" + b64(24), 0, sign.ErrKeyFormat},
		{"other prefix", "whxx_" + b64(24), 0, sign.ErrKeyFormat},
		{"private of wrong length", "whsk_" + b64(33), 0, sign.ErrKeyFormat},
		{"private with a foreign half", "whsk_" + base64.StdEncoding.EncodeToString(foreign), 0, sign.ErrKeyFormat},
		{"public of wrong length", "whpk_" + b64(31), 0, sign.ErrKeyFormat},
	} {
		t.Run(tc.name, func(t *testing.T) {
			key, err := sign.ParseKey(tc.text)
			if !errors.Is(err, tc.err) || key.Kind() != tc.kind {
				t.Fatalf("kind %v, error %v; want %v, %v", key.Kind(), err, tc.kind, tc.err)
			}
			if err == nil {
				return
			}
			if secret := strings.TrimSpace(tc.text); len(secret) > 10 && strings.Contains(err.Error(), secret[6:]) {
				t.Errorf("error shows the key: %v", err)
			}
		})
	}
}

func TestRevealRoundTrips(t *testing.T) {
	symmetric, private := sign.GenerateSymmetric(), sign.GenerateEd25519()
	public, _ := private.Public()
	for _, key := range []sign.Key{symmetric, private, public} {
		again, err := sign.ParseKey(key.Reveal())
		if err != nil || !again.Equal(key) {
			t.Errorf("%v does not survive Reveal and ParseKey: %v", key, err)
		}
	}
	if symmetric.Equal(sign.GenerateSymmetric()) || private.Equal(public) {
		t.Error("different keys are equal")
	}
	if _, ok := symmetric.Public(); ok {
		t.Error("a symmetric key has a public half")
	}
	if got := (sign.Key{}).Reveal(); got != "" {
		t.Errorf("the zero key reveals %q", got)
	}
}

// TestKeysNeverShow prints keys in every way that a program does by accident.
func TestKeysNeverShow(t *testing.T) {
	secret := []byte("0123456789abcdefghijklmn")
	key, err := sign.ParseKey("whsec_" + base64.StdEncoding.EncodeToString(secret))
	if err != nil {
		t.Fatal(err)
	}
	private := sign.GenerateEd25519()
	signer, _ := sign.NewSigner(key, private)
	hidden := struct{ key, private sign.Key }{key, private}
	shown := struct{ Key sign.Key }{key}

	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	log.Info("m", "key", key, "in", shown, "hidden", hidden, "signer", signer)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "key", key, "in", shown)
	if err := json.NewEncoder(&out).Encode(shown); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{key, &key, shown, hidden, signer, sign.Verifier{Keys: []sign.Key{key}}} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	for _, leak := range []string{
		string(secret), base64.StdEncoding.EncodeToString(secret), fmt.Sprintf("%x", secret),
		"48 49 50 51", "0x30, 0x31", strings.TrimPrefix(private.Reveal(), "whsk_"),
	} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("output contains %q", leak)
		}
	}
	if !strings.Contains(out.String(), "whsec_***") {
		t.Errorf("the mask does not tell the kind:\n%s", out.String())
	}
}

// FuzzParseKey holds that parsing never panics and that whatever parses is not
// empty, reveals a text that parses to the same key, and can be used.
func FuzzParseKey(f *testing.F) {
	f.Add("")
	f.Add("whsec_")
	f.Add("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	f.Add(sign.GenerateEd25519().Reveal())
	f.Add("whpk_ebVWLo/mVPlAeLES6KmLp5AfhTrmlb7X4OORC60ElmQ=")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := sign.ParseKey(text)
		if err != nil {
			if key.Kind() != 0 {
				t.Fatal("a refused key is usable")
			}
			return
		}
		again, err := sign.ParseKey(key.Reveal())
		if err != nil || !again.Equal(key) {
			t.Fatalf("does not round-trip: %v", err)
		}
		if key.Kind() == sign.Public {
			return
		}
		signer, err := sign.NewSigner(key)
		if err != nil || len(signer.AppendSignatures(nil, "id", 1, nil)) == 0 {
			t.Fatalf("parsed key cannot sign: %v", err)
		}
	})
}

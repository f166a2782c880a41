package verify_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/verify"
)

// TestCatalogue holds every file under providers/ to the schema of Definition:
// Lookup reads it strictly, New compiles it, and the words are in order.
func TestCatalogue(t *testing.T) {
	files, err := filepath.Glob("providers/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	ids, secrets := verify.Providers(), sampleSecrets(t)
	named := map[string]string{} // ids by every name
	if len(ids) != len(files) || !slices.IsSorted(ids) {
		t.Errorf("Providers() = %v for %d files", ids, len(files))
	}
	name := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	for _, id := range ids {
		def, ok := verify.Lookup(id)
		if !ok || def.ID != id || def.Name == "" || !name.MatchString(id) {
			t.Errorf("%s: id %q, name %q", id, def.ID, def.Name)
		}
		if def.Docs != "" && !strings.HasPrefix(def.Docs, "https://") {
			t.Errorf("%s: docs %q", id, def.Docs)
		}
		raw, _ := os.ReadFile("providers/" + id + ".json")
		code := slices.ContainsFunc(def.Schemes, func(s verify.Scheme) bool { return s.Kind == verify.KindCode })
		for _, s := range def.Settings {
			if !name.MatchString(s.Name) || !strings.HasSuffix(s.Description, ".") {
				t.Errorf("%s: setting %q: %q", id, s.Name, s.Description)
			}
			if s.Default != "" && (s.Required || len(s.Values) > 0 && !slices.Contains(s.Values, s.Default)) {
				t.Errorf("%s: setting %s cannot have the default %q", id, s.Name, s.Default)
			}
			if !code && !byHandshake(s) && strings.Count(string(raw), s.Name) < 2 {
				t.Errorf("%s: setting %s is used nowhere", id, s.Name)
			}
		}
		checkWords(t, def)
		for _, alias := range append(def.Aliases, id) {
			if other, taken := named[alias]; taken || !name.MatchString(alias) {
				t.Errorf("%s and %s are both called %q, or it is no name", id, other, alias)
			}
			named[alias] = id
		}
		for _, settings := range sampleSettings(def) {
			if _, err := sampleVerifier(def, settings, secrets); err != nil {
				t.Errorf("%s with %v: %v", id, settings, err)
			}
		}
	}
}

// checkWords: how far a definition can be relied on is said, and what it does
// not cover.
func checkWords(t *testing.T, def verify.Definition) {
	t.Helper()
	known := []verify.Status{verify.StatusGeneric, verify.StatusSDK, verify.StatusVector, verify.StatusDocumented, verify.StatusReported, verify.StatusExperimental}
	if !slices.Contains(known, def.Status) || def.Status != verify.StatusGeneric && def.Source == "" {
		t.Errorf("%s: status %q from %q", def.ID, def.Status, def.Source)
	}
	unsigned := slices.ContainsFunc(def.Schemes, func(s verify.Scheme) bool { return s.Unsigned || s.Kind == verify.KindNone })
	if unsigned && def.Unsigned == "" {
		t.Errorf("%s: does not say in words that the body is not signed", def.ID)
	}
}

// sampleSettings are made-up settings that a source of the provider may have:
// what is required, and every choice once.
func sampleSettings(def verify.Definition) []map[string]string {
	required := map[string]string{}
	for _, s := range def.Settings {
		switch {
		case s.Required && len(s.Values) > 0:
			required[s.Name] = s.Values[0]
		case s.Required:
			required[s.Name] = "X-Sample"
		}
	}
	all := []map[string]string{required}
	for _, s := range def.Settings {
		for _, value := range s.Values {
			chosen := maps.Clone(required)
			chosen[s.Name] = value
			all = append(all, chosen)
		}
	}
	return all
}

// sampleSecrets are made-up secrets in all forms that the catalogue has.
func sampleSecrets(t testing.TB) []string {
	t.Helper()
	raw := bytes.Repeat([]byte("k"), 32)
	edwards := ed25519.NewKeyFromSeed(raw).Public()
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	modulus, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{
		"user:password", "whsec_" + base64.StdEncoding.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw),
		hex.EncodeToString(edwards.(ed25519.PublicKey)), base64.StdEncoding.EncodeToString(edwards.(ed25519.PublicKey)),
	}
	for _, public := range []crypto.PublicKey{edwards, curve.Public(), modulus.Public()} {
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, base64.StdEncoding.EncodeToString(der),
			strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))))
	}
	point, err := curve.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	x, y := base64.RawURLEncoding.EncodeToString(point[1:33]), base64.RawURLEncoding.EncodeToString(point[33:])
	return append(secrets, fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, x, y))
}

// sampleVerifier is made with the first of the sample secrets that fits.
func sampleVerifier(def verify.Definition, settings map[string]string, secrets []string) (*verify.Verifier, error) {
	if v, err := verify.New(def, verify.Config{Settings: settings}); err == nil {
		return v, nil // needs none
	}
	var failure error
	for _, secret := range secrets {
		v, err := verify.New(def, verify.Config{Secrets: []string{secret}, Settings: settings})
		if err == nil {
			return v, nil
		}
		failure = errors.Join(failure, err)
	}
	return nil, failure
}

// TestParseDefinition: what is misspelt does not go unnoticed.
func TestParseDefinition(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"id":"a","schemes":[]}`:            true,
		`{"id":"a","scheme":[]}`:             false,
		`{"id":"a","schemes":[]} {}`:         false,
		`{"id":"a","schemes":[{"iff":"x"}]}`: false,
		`{"id":"a"`:                          false,
		`[]`:                                 false,
	} {
		if def, err := verify.ParseDefinition([]byte(text)); (err == nil) != ok || ok && def.ID != "a" {
			t.Errorf("%s: %+v, %v", text, def, err)
		}
	}
}

// TestAllSettings: what follows from the schemes need not be declared.
func TestAllSettings(t *testing.T) {
	def := verify.Definition{
		Settings: []verify.Setting{{Name: "own"}},
		Schemes: []verify.Scheme{{
			Kind: verify.KindHMAC, Timestamp: verify.Timestamp{From: "header:X"},
			Require: []verify.Requirement{{Value: "header:X-Key", Equals: "${app_key}"}, {Value: "header:X-Own", Equals: "${own}"}},
		}},
		Handshakes: []verify.Handshake{{Require: []verify.Requirement{{Value: "query:t", Equals: "${verify_token}"}}}},
	}
	var names []string
	for _, s := range def.AllSettings() {
		names = append(names, s.Name)
	}
	if diff := cmp.Diff([]string{"own", "tolerance", "app_key", "verify_token"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLookup(t *testing.T) {
	if def, ok := verify.Lookup("standard-webhooks"); !ok || def.ID != "standard_webhooks" {
		t.Errorf("standard-webhooks: %v %v", def.ID, ok)
	}
	for alias, id := range map[string]string{"forgejo": "gitea", "x": "twitter"} {
		if def, ok := verify.Lookup(alias); !ok || def.ID != id {
			t.Errorf("%s finds %q", alias, def.ID)
		}
	}
	for _, id := range []string{"", "GitHub", "nobody", "../providers/github", "github.json", "./github"} {
		if _, ok := verify.Lookup(id); ok {
			t.Errorf("Lookup(%q) finds something", id)
		}
	}
	def, _ := verify.Lookup("github")
	def.Schemes[0].Template = ""
	if again, _ := verify.Lookup("github"); again.Schemes[0].Template == "" {
		t.Error("a caller can change the catalogue")
	}
}

// byHandshake reports whether a setting is one that code looks at: the consent
// of CloudEvents, and the halves of a secret.
func byHandshake(s verify.Setting) bool {
	return s.Part != "" || s.Name == "allowed_origins" || s.Name == "allowed_rate"
}

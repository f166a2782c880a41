package auth

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
)

const jwtSecret = "a secret of svix-server"

// apps is an Applications over a map.
type apps map[string]*postern.Application

func (a apps) Application(ref string) (*postern.Application, error) {
	if app := a[ref]; app != nil {
		return app, nil
	}
	return nil, postern.ErrNotFound
}

// token makes one as svix-server does, with changes; a nil value takes a claim
// away.
func token(t testing.TB, now time.Time, method jwt.SigningMethod, key any, changes jwt.MapClaims) string {
	t.Helper()
	claims := jwt.MapClaims{
		"iss": "svix-server", "sub": "org_23rb8YdGqMT0qIzpgGwdXfHirMu",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(10 * 365 * 24 * time.Hour).Unix(),
	}
	for name, value := range changes {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	text, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestJWT(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	known := apps{"app_1": {Number: 7}, "shop": {Number: 8}}
	a := New(Config{Keys: keyring{}, AdminToken: "the-admin", JWTSecret: jwtSecret, Applications: known, Now: func() time.Time { return now }})
	admin := Principal{Scope: postern.ScopeAdmin}
	visitor := func(app postern.ApplicationNumber, flags ...string) Principal {
		return Principal{Scope: postern.ScopePortal, Application: app, Portal: &postern.Portal{FeatureFlags: flags}}
	}
	hs := func(changes jwt.MapClaims) string {
		return token(t, now, jwt.SigningMethodHS256, []byte(jwtSecret), changes)
	}

	for name, test := range map[string]struct {
		token string
		want  Principal
		ok    bool
	}{
		"organization":        {hs(nil), admin, true},
		"application by id":   {hs(jwt.MapClaims{"sub": "app_1", "org": "org_x"}), visitor(7), true},
		"application by uid":  {hs(jwt.MapClaims{"sub": "app_shop"}), visitor(8), true},
		"feature flags":       {hs(jwt.MapClaims{"sub": "app_1", "feature_flags": []string{"beta"}}), visitor(7, "beta"), true},
		"clocks differ":       {hs(jwt.MapClaims{"nbf": now.Add(29 * time.Second).Unix(), "iat": nil}), admin, true},
		"just over":           {hs(jwt.MapClaims{"exp": now.Add(-29 * time.Second).Unix()}), admin, true},
		"expired":             {hs(jwt.MapClaims{"exp": now.Add(-31 * time.Second).Unix()}), Principal{}, false},
		"not yet":             {hs(jwt.MapClaims{"nbf": now.Add(31 * time.Second).Unix()}), Principal{}, false},
		"without an end":      {hs(jwt.MapClaims{"exp": nil}), Principal{}, false},
		"another issuer":      {hs(jwt.MapClaims{"iss": "somebody"}), Principal{}, false},
		"no issuer":           {hs(jwt.MapClaims{"iss": nil}), Principal{}, false},
		"unknown application": {hs(jwt.MapClaims{"sub": "app_2"}), Principal{}, false},
		"another subject":     {hs(jwt.MapClaims{"sub": "user_1"}), Principal{}, false},
		"no subject":          {hs(jwt.MapClaims{"sub": nil}), Principal{}, false},
		"uid as subject":      {hs(jwt.MapClaims{"sub": "shop"}), Principal{}, false},
		"wrong types":         {hs(jwt.MapClaims{"sub": 7}), Principal{}, false},
		"another secret":      {token(t, now, jwt.SigningMethodHS256, []byte("x"), nil), Principal{}, false},
		"another hash":        {token(t, now, jwt.SigningMethodHS512, []byte(jwtSecret), nil), Principal{}, false},
		"a key pair":          {token(t, now, jwt.SigningMethodRS256, key, nil), Principal{}, false},
		"no algorithm":        {token(t, now, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil), Principal{}, false},
		"very long":           {hs(jwt.MapClaims{"pad": strings.Repeat("x", maxToken)}), Principal{}, false},
		"dots":                {"..", Principal{}, false},
		"changed":             {tampered(t, hs(jwt.MapClaims{"sub": "app_1"})), Principal{}, false},
		"the admin token":     {"the-admin", admin, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := a.Authenticate("Bearer " + test.token)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if test.ok && err != nil || !test.ok && !errors.Is(err, postern.ErrUnauthorized) {
				t.Errorf("error %v, want ok %t", err, test.ok)
			}
		})
	}
}

// tampered puts an organization where the application was.
func tampered(t testing.TB, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(text, &claims); err != nil {
		t.Fatal(err)
	}
	claims["sub"] = "org_x"
	if text, err = json.Marshal(claims); err != nil {
		t.Fatal(err)
	}
	parts[1] = base64.RawURLEncoding.EncodeToString(text)
	return strings.Join(parts, ".")
}

// TestJWTNeedsASecret: without one nothing with a dot opens anything, least of
// all a token that is signed with an empty secret.
func TestJWTNeedsASecret(t *testing.T) {
	now := time.Now()
	a := New(Config{Keys: keyring{}})
	for _, secret := range []string{"", jwtSecret} {
		if _, err := a.Authenticate("Bearer " + token(t, now, jwt.SigningMethodHS256, []byte(secret), nil)); err == nil {
			t.Errorf("a token signed with %q opens", secret)
		}
	}
}

// FuzzJWT looks for texts that break the parser or open something.
func FuzzJWT(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	a := New(Config{Keys: keyring{}, JWTSecret: jwtSecret, Applications: apps{}, Now: func() time.Time { return now }})
	good := token(f, now, jwt.SigningMethodHS256, []byte(jwtSecret), nil)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add("e30.e30.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := a.Authenticate("Bearer " + text); err == nil && !strings.HasPrefix(strings.TrimSpace(text), good[:len(good)-1]) {
			t.Errorf("%q opens %+v", text, p)
		}
	})
}

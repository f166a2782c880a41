package verify

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// remoteVerifier checks RSA signatures under a key that is fetched.
func remoteVerifier(t testing.TB, remote RemoteKey, f Fetcher, secrets ...string) *Verifier {
	t.Helper()
	def := Definition{ID: "test", Schemes: []Scheme{{
		Kind: KindRSA, Hash: "sha256", Key: KeyForm{Form: "pem"}, Remote: &remote, Template: "{body}",
		Signature: Signature{From: []Selector{"header:X-Signature"}, Encoding: "base64"},
	}}}
	v, err := New(def, Config{Secrets: secrets, Fetch: f})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// requestFor is signed, and has what remote selects.
func requestFor(t testing.TB, keys testKeys, body string, header http.Header) Request {
	t.Helper()
	sig := sign(t, signing{kind: KindRSA, hash: crypto.SHA256}, keys.rsa, []byte(body))
	header.Set("X-Signature", base64.StdEncoding.EncodeToString(sig))
	return Request{Method: http.MethodPost, Header: header, Body: []byte(body)}
}

func TestFetchedKeysOfEveryFormat(t *testing.T) {
	keys := makeKeys(t)
	now := time.Unix(testNow, 0)
	der := pkixDER(t, keys.rsa.Public())
	text, jwk := pemText("PUBLIC KEY", der), jwkText(t, keys.rsa.Public(), "a")
	quoted, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	certificate := certificatePEM(t, keys.rsa, now.Add(-time.Hour), now.Add(time.Hour))
	set := `{"keys":[` + jwkText(t, keys.ed.Public(), "a") + "," + jwk + `]}`
	for name, c := range map[string]struct {
		format, path, answer string
		want                 Reason
	}{
		"pem":                     {"pem", "", text + "\n", ""},
		"pem inside":              {"pem", "data.key", `{"data":{"key":` + string(quoted) + `}}`, ""},
		"spki":                    {"spki", "", base64.StdEncoding.EncodeToString(der) + "\n", ""},
		"spki inside a list":      {"spki", "0.k", `[{"k":"` + base64.StdEncoding.EncodeToString(der) + `"}]`, ""},
		"x509":                    {"x509", "", certificate, ""},
		"jwk":                     {"jwk", "", jwk, ""},
		"jwk inside":              {"jwk", "key", `{"key":` + jwk + `}`, ""},
		"jwks":                    {"jwks", "", set, ""},
		"nothing":                 {"pem", "", "", ReasonKeyUnavailable},
		"nothing inside":          {"pem", "key", `{}`, ReasonKeyUnavailable},
		"a page":                  {"pem", "", "<html>", ReasonKeyUnavailable},
		"a bare key for x509":     {"x509", "", text, ReasonKeyUnavailable},
		"a key of another type":   {"pem", "", pemText("PUBLIC KEY", pkixDER(t, keys.ec.Public())), ReasonKeyUnavailable},
		"a set of another type":   {"jwks", "", `{"keys":[` + jwkText(t, keys.ed.Public(), "a") + `]}`, ReasonKeyUnavailable},
		"no set":                  {"jwks", "", jwk, ReasonKeyUnavailable},
		"another key":             {"pem", "", pemText("PUBLIC KEY", pkixDER(t, keys.weak.Public())), ReasonSignatureMismatch},
		"a certificate of before": {"x509", "", certificatePEM(t, keys.rsa, now.Add(-time.Hour), now.Add(-time.Second)), ReasonKeyUnavailable},
		"a certificate of later":  {"x509", "", certificatePEM(t, keys.rsa, now.Add(time.Second), now.Add(time.Hour)), ReasonKeyUnavailable},
	} {
		f := &fakeFetcher{answers: map[string]string{"https://example.com/key": c.answer}}
		v := remoteVerifier(t, RemoteKey{URL: "https://example.com/key", Hosts: []string{`example\.com`}, Format: c.format, Path: c.path}, f)
		for range 2 {
			_, err := v.Verify(t.Context(), requestFor(t, keys, "body", http.Header{}), now)
			if reasonOf(err) != c.want {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
		}
		wantAsked(t, f, "https://example.com/key", 1)
	}
}

// What a request may lead a fetch to.
func TestRequestsCannotLeadAFetchElsewhere(t *testing.T) {
	keys := makeKeys(t)
	text := pemText("PUBLIC KEY", pkixDER(t, keys.rsa.Public()))
	whole := RemoteKey{
		URL: "{header:X-Cert}", Hosts: []string{`sns\.[a-z0-9-]{3,}\.amazonaws\.com(\.cn)?`}, Format: "pem",
		Pattern: `https://[^\s]+\.pem`,
	}
	part := RemoteKey{URL: "https://example.com/keys/{header:X-Cert}", Hosts: []string{`example\.com`}, Format: "pem"}
	for address, want := range map[string]string{
		"https://sns.us-west-2.amazonaws.com/x.pem":                "https://sns.us-west-2.amazonaws.com/x.pem",
		"https://sns.cn-north-1.amazonaws.com.cn/x.pem":            "https://sns.cn-north-1.amazonaws.com.cn/x.pem",
		"https://SNS.us-west-2.amazonaws.com:443/x.pem":            "https://SNS.us-west-2.amazonaws.com:443/x.pem",
		"https://sns.us-west-2.amazonaws.com.evil.example/x.pem":   "",
		"https://evil.example/sns.us-west-2.amazonaws.com/x.pem":   "",
		"https://sns.us-west-2.amazonaws.com@evil.example/x.pem":   "",
		"https://evil.example#sns.us-west-2.amazonaws.com/x.pem":   "",
		"https://evil.example?sns.us-west-2.amazonaws.com/x.pem":   "",
		`https://evil.example\sns.us-west-2.amazonaws.com/x.pem`:   "",
		"https://user@sns.us-west-2.amazonaws.com/x.pem":           "",
		"https://sns.us-west-2.amazonaws.com:8443/x.pem":           "",
		"http://sns.us-west-2.amazonaws.com/x.pem":                 "",
		"https://sns.us-west-2.amazonaws.com/x.txt":                "",
		"https://s3.amazonaws.com/attacker/x.pem":                  "",
		"https://sns.us-west-2.amazonaws.com%2eevil.example/x.pem": "",
		"https://sns.us-west-2.amazonaws.com\n.evil.example/x.pem": "",
		"https://127.0.0.1/x.pem":                                  "",
		"https://[::1]/x.pem":                                      "",
		"https://169.254.169.254/latest/meta-data/x.pem":           "",
		"file:///sns.us-west-2.amazonaws.com/x.pem":                "",
		"c1b2-3_D":               "https://example.com/keys/c1b2-3_D",
		"../../admin":            "",
		"a/b":                    "",
		"a?b":                    "",
		"a%2fb":                  "",
		"a.b":                    "",
		strings.Repeat("a", 129): "",
		"":                       "",
	} {
		remote := part
		if strings.Contains(address, ":/") {
			remote = whole
		}
		f := &fakeFetcher{answers: map[string]string{want: text}}
		_, err := remoteVerifier(t, remote, f).Verify(t.Context(), requestFor(t, keys, "body", http.Header{"X-Cert": {address}}), time.Unix(testNow, 0))
		fetched := ""
		for address := range f.asked {
			fetched = address
		}
		if fetched != want || (err == nil) != (want != "") {
			t.Errorf("%q fetched %q: %v", address, fetched, err)
		}
	}
	twice := requestFor(t, keys, "body", http.Header{"X-Cert": {"a", "b"}})
	if _, err := remoteVerifier(t, part, &fakeFetcher{}).Verify(t.Context(), twice, time.Unix(testNow, 0)); reasonOf(err) != ReasonDuplicateHeader {
		t.Errorf("two headers: %v", err)
	}
}

// A secret of the source is the key, and nothing is fetched.
func TestConfiguredKeysReplaceFetchedOnes(t *testing.T) {
	keys := makeKeys(t)
	f := &fakeFetcher{}
	remote := RemoteKey{URL: "https://example.com/key", Hosts: []string{`example\.com`}, Format: "x509"}
	long := time.Unix(testNow, 0).AddDate(10, 0, 0)
	// Whoever configures a certificate vouches for it, whatever its period.
	v := remoteVerifier(t, remote, f, certificatePEM(t, keys.rsa, long, long))
	if _, err := v.Verify(t.Context(), requestFor(t, keys, "body", http.Header{}), time.Unix(testNow, 0)); err != nil || len(f.asked) > 0 {
		t.Errorf("%v, asked %v", err, f.asked)
	}
	if _, err := remoteVerifier(t, remote, nil).Verify(t.Context(), requestFor(t, keys, "body", http.Header{}), time.Unix(testNow, 0)); reasonOf(err) != ReasonKeyUnavailable {
		t.Errorf("without key and fetcher: %v", err)
	}
}

// Tokens and HTTP signatures find their key by the id that they name, and a new
// key once the provider has it.
func TestKeysOfASetAreFoundByTheirID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, others := makeKeys(t), makeKeys(t)
		one, two := jwkText(t, keys.ed.Public(), "one"), jwkText(t, others.ed.Public(), "two")
		f := &fakeFetcher{answers: map[string]string{"https://example.com/jwks": `{"keys":[` + one + `]}`}}
		remote := &RemoteKey{URL: "https://example.com/jwks", Hosts: []string{`example\.com`}, Format: "jwks"}
		def := Definition{ID: "test", Schemes: []Scheme{{
			Kind: KindJWT, Key: KeyForm{Form: "pem"}, JWT: &JWT{Algorithms: []string{"EdDSA"}}, Remote: remote, Unsigned: true,
			Signature: Signature{From: []Selector{"header:Authorization"}, Prefix: "Bearer ", Encoding: "raw"},
		}}}
		tokens, err := New(def, Config{Fetch: f})
		if err != nil {
			t.Fatal(err)
		}
		message := webhook(keys, t)
		message.remote, message.fetch, message.noSecret = remote, f, true
		messages := message.verifier(t)
		ask := func(signer testKeys, kid string) (token, signature Reason) {
			_, err := verifyToken(t, tokens, tokenOf(t, signing{kind: KindEd25519}, signer.ed, `{"alg":"EdDSA","kid":"`+kid+`"}`, `{}`), "")
			signed := message.signed(t, signing{kind: KindEd25519}, signer.ed, `("content-digest");created=1792000000;keyid="`+kid+`"`)
			_, err2 := messages.Verify(t.Context(), signed.request(), time.Unix(testNow, 0))
			return reasonOf(err), reasonOf(err2)
		}
		want := func(token, signature, wanted Reason) {
			t.Helper()
			if token != wanted || signature != wanted {
				t.Errorf("token %q, signature %q, want %q", token, signature, wanted)
			}
		}
		check := func(signer testKeys, kid string, wanted Reason) {
			t.Helper()
			token, signature := ask(signer, kid)
			want(token, signature, wanted)
		}
		check(keys, "one", "")
		check(keys, "two", ReasonKeyUnavailable)
		check(others, "one", ReasonSignatureMismatch)
		f.answers["https://example.com/jwks"] = `{"keys":[` + one + `,` + two + `]}`
		check(others, "two", ReasonKeyUnavailable)
		wantAsked(t, f, "https://example.com/jwks", 2) // one for each verifier
		time.Sleep(fetchRotated)
		check(others, "two", "")
		check(keys, "two", ReasonSignatureMismatch)
		check(keys, "three", ReasonKeyUnavailable)
		wantAsked(t, f, "https://example.com/jwks", 4)
	})
}

func TestRemoteKeysOfADefinitionMustRead(t *testing.T) {
	good := RemoteKey{URL: "https://example.com/{header:X-Key}", Hosts: []string{`example\.com`}, Format: "pem"}
	for name, change := range map[string]func(*RemoteKey){
		"":               func(*RemoteKey) {},
		"no hosts":       func(r *RemoteKey) { r.Hosts = nil },
		"host":           func(r *RemoteKey) { r.Hosts = []string{"("} },
		"pattern":        func(r *RemoteKey) { r.Pattern = "[" },
		"format":         func(r *RemoteKey) { r.Format = "der" },
		"placeholder":    func(r *RemoteKey) { r.URL = "https://example.com/{nothing}" },
		"key id":         func(r *RemoteKey) { r.KeyID = "nowhere" },
		"path":           func(r *RemoteKey) { r.Path = "a..b" },
		"no duration":    func(r *RemoteKey) { r.TTL = "soon" },
		"short duration": func(r *RemoteKey) { r.TTL = "1s" },
		"long duration":  func(r *RemoteKey) { r.TTL = "48h" },
	} {
		remote := good
		change(&remote)
		def := Definition{ID: "test", Schemes: []Scheme{{
			Kind: KindRSA, Hash: "sha256", Key: KeyForm{Form: "pem"}, Remote: &remote, Template: "{body}",
			Signature: Signature{From: []Selector{"header:A"}, Encoding: "base64"},
		}}}
		var wrong *ConfigError
		_, err := New(def, Config{})
		named := errors.As(err, &wrong) && strings.HasPrefix(wrong.Fields[0].Field, "schemes[0].remote.")
		if (err == nil) != (name == "") || err != nil && !named {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The whole way over TLS.
func TestKeysComeOverTheNetwork(t *testing.T) {
	keys := makeKeys(t)
	f := NewFetcher(keyServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(pemText("PUBLIC KEY", pkixDER(t, keys.rsa.Public()))))
	}))
	v := remoteVerifier(t, RemoteKey{URL: "https://example.com/{header:X-Key}", Hosts: []string{`example\.com`}, Format: "pem"}, f)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ctx := range []context.Context{t.Context(), ended} {
		if _, err := v.Verify(ctx, requestFor(t, keys, "body", http.Header{"X-Key": {"1"}}), time.Unix(testNow, 0)); err != nil {
			t.Error(err)
		}
	}
}

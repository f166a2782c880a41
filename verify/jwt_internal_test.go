package verify

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// tokenOf signs a token; header and payload are JSON as they are.
func tokenOf(t testing.TB, how signing, private any, header, payload string) string {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	signed := b64([]byte(header)) + "." + b64([]byte(payload))
	return signed + "." + b64(sign(t, how, private, []byte(signed)))
}

func hs256() signing { return signing{kind: KindHMAC, hash: crypto.SHA256} }

const tokenSecret = "a shared secret"

// tokenVerifier expects tokens behind Bearer.
func tokenVerifier(t testing.TB, rules JWT, form, secret string, digests ...Digest) *Verifier {
	t.Helper()
	def := Definition{ID: "test", Settings: []Setting{{Name: "api_key"}}, DeliveryID: []Selector{"claim:jti"}, Schemes: []Scheme{{
		Kind: KindJWT, Key: KeyForm{Form: form}, JWT: &rules, Digests: digests, Unsigned: len(digests) == 0,
		Signature: Signature{From: []Selector{"header:Authorization"}, Prefix: "Bearer ", Encoding: "raw", FoldCase: true},
	}}}
	v, err := New(def, Config{Secrets: []string{secret}, Settings: map[string]string{"api_key": "APIkey123"}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func verifyToken(t testing.TB, v *Verifier, token, body string) (Event, error) {
	t.Helper()
	req := Request{Method: http.MethodPost, URL: "https://example.com/in", Header: http.Header{"Authorization": {"Bearer " + token}}, Body: []byte(body)}
	return v.Verify(t.Context(), req, time.Unix(testNow, 0))
}

func TestClaimsMustBeTheSources(t *testing.T) {
	rules := JWT{
		Algorithms: []string{"HS256"}, Issuer: "${api_key}", Audience: "here", Subject: "{url}",
		Claims: map[string]string{"email_verified": "true", "a.b": "1", "https://x.y/z": "c"}, Required: []string{"jti"},
	}
	v := tokenVerifier(t, rules, "utf8", tokenSecret)
	good := map[string]string{
		"iss": `"APIkey123"`, "aud": `"here"`, "sub": `"https://example.com/in"`, "email_verified": `true`, "a": `{"b":1}`,
		"https://x.y/z": `"c"`, "jti": `"an id"`, "iat": "1791990000", "exp": "1792000010", "nbf": "1792000000.5",
	}
	payload := func(change map[string]string) string {
		all := maps.Clone(good)
		maps.Copy(all, change)
		var members []string
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if all[name] != "" {
				members = append(members, fmt.Sprintf("%q:%s", name, all[name]))
			}
		}
		return "{" + strings.Join(members, ",") + "}"
	}
	for name, c := range map[string]struct {
		change map[string]string
		want   Reason
	}{
		"as it must be":          {nil, ""},
		"one of the audiences":   {map[string]string{"aud": `["there","here"]`}, ""},
		"no expiry":              {map[string]string{"exp": ""}, ""},
		"another issuer":         {map[string]string{"iss": `"APIkey124"`}, ReasonValueMismatch},
		"no issuer":              {map[string]string{"iss": ""}, ReasonValueMismatch},
		"issuers":                {map[string]string{"iss": `["APIkey123"]`}, ReasonValueMismatch},
		"another audience":       {map[string]string{"aud": `"there"`}, ReasonValueMismatch},
		"no audience":            {map[string]string{"aud": ""}, ReasonValueMismatch},
		"odd audience":           {map[string]string{"aud": `{"here":1}`}, ReasonValueMismatch},
		"mixed audiences":        {map[string]string{"aud": `["here",1]`}, ReasonValueMismatch},
		"another subject":        {map[string]string{"sub": `"https://example.com/in/"`}, ReasonValueMismatch},
		"unverified":             {map[string]string{"email_verified": "false"}, ReasonValueMismatch},
		"null":                   {map[string]string{"email_verified": "null"}, ReasonValueMismatch},
		"another inner claim":    {map[string]string{"a": `{"b":2}`}, ReasonValueMismatch},
		"no inner claim":         {map[string]string{"a": `[1]`}, ReasonValueMismatch},
		"another long claim":     {map[string]string{"https://x.y/z": `"d"`}, ReasonValueMismatch},
		"no id":                  {map[string]string{"jti": ""}, ReasonValueMissing},
		"expiry in words":        {map[string]string{"exp": `"1792000010"`}, ReasonTimestampMalformed},
		"expiry null":            {map[string]string{"exp": "null"}, ReasonTimestampMalformed},
		"expiry negative":        {map[string]string{"exp": "-1"}, ReasonTimestampMalformed},
		"expiry without end":     {map[string]string{"exp": "1e300"}, ReasonTimestampMalformed},
		"issued in words":        {map[string]string{"iat": "[]"}, ReasonTimestampMalformed},
		"expired in the leeway":  {map[string]string{"exp": "1791999996"}, ""},
		"expired":                {map[string]string{"exp": "1791999995"}, ReasonTimestampOutsideWindow},
		"soon valid":             {map[string]string{"nbf": "1792000005"}, ""},
		"not valid for long":     {map[string]string{"nbf": "1792000005.5"}, ReasonTimestampOutsideWindow},
		"issued long ago":        {map[string]string{"iat": "1"}, ""},
		"unknown claims are not": {map[string]string{"other": `{"x":[1,{"y":2},{"y":2}]}`}, ""},
	} {
		event, err := verifyToken(t, v, tokenOf(t, hs256(), []byte(tokenSecret), `{"alg":"HS256","typ":"JWT"}`, payload(c.change)), "")
		if reason := reasonOf(err); reason != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err == nil && (event.DeliveryID != "an id" || event.Timestamp.IsZero()) {
			t.Errorf("%s: %+v", name, event)
		}
	}
	if _, err := v.Verify(t.Context(), Request{Header: http.Header{"Authorization": {"bearer " + tokenOf(t, hs256(), []byte(tokenSecret), `{"alg":"HS256"}`, payload(nil))}}}, time.Unix(testNow, 0)); reasonOf(err) != ReasonURLMissing {
		t.Errorf("without the URL: %v", err)
	}
}

func TestAgeOfATokenIsBoundBothWays(t *testing.T) {
	v := tokenVerifier(t, JWT{Algorithms: []string{"HS256"}, MaxAge: "5m"}, "utf8", tokenSecret)
	for payload, want := range map[string]Reason{
		`{"iat":1791999700}`: "", `{"iat":1792000300}`: "", `{"iat":1791999699}`: ReasonTimestampOutsideWindow,
		`{"iat":1792000301}`: ReasonTimestampOutsideWindow, `{}`: ReasonTimestampMissing,
	} {
		_, err := verifyToken(t, v, tokenOf(t, hs256(), []byte(tokenSecret), `{"alg":"HS256"}`, payload), "")
		if reasonOf(err) != want {
			t.Errorf("%s: %v", payload, err)
		}
	}
}

// A token is right under one algorithm and one key, and nothing in it changes
// that.
func TestTokensOfAllAlgorithms(t *testing.T) {
	keys := makeKeys(t)
	type algorithm struct {
		private any
		public  crypto.PublicKey // nil for a shared secret
	}
	all := map[string]algorithm{"EdDSA": {keys.ed, keys.ed.Public()}, "ES256": {keys.ec, keys.ec.Public()}, "ES384": {keys.ec3, keys.ec3.Public()}, "ES512": {keys.ec5, keys.ec5.Public()}}
	for _, bits := range []string{"256", "384", "512"} {
		all["HS"+bits] = algorithm{[]byte(tokenSecret), nil}
		all["RS"+bits] = algorithm{keys.rsa, keys.rsa.Public()}
		all["PS"+bits] = algorithm{keys.rsa, keys.rsa.Public()}
	}
	verifiers := map[string]*Verifier{}
	for name, a := range all {
		form, secret := "utf8", tokenSecret
		if a.public != nil {
			form, secret = "pem", pemText("PUBLIC KEY", pkixDER(t, a.public))
		}
		verifiers[name] = tokenVerifier(t, JWT{Algorithms: []string{name}}, form, secret)
	}
	anything := tokenVerifier(t, JWT{Algorithms: slices.Sorted(maps.Keys(all))}, "jwk", jwkText(t, keys.rsa.Public(), ""))
	for signs, a := range all {
		how, _ := tokenAlgorithm(signs)
		for says := range all {
			token := tokenOf(t, how, a.private, `{"alg":"`+says+`"}`, `{}`)
			for checks, v := range verifiers {
				if _, err := verifyToken(t, v, token, ""); (err == nil) != (signs == says && says == checks) {
					t.Errorf("signed with %s, said to be %s, checked with %s: %v", signs, says, checks, err)
				}
			}
			_, err := verifyToken(t, anything, token, "")
			if want := signs == says && (signs[0] == 'R' || signs[0] == 'P'); (err == nil) != want {
				t.Errorf("signed with %s, said to be %s, checked with an RSA key: %v", signs, says, err)
			}
		}
	}
	// The RSA key's text as the secret of an HMAC.
	for _, form := range []string{"PUBLIC KEY"} {
		text := pemText(form, pkixDER(t, keys.rsa.Public()))
		if _, err := verifyToken(t, anything, tokenOf(t, hs256(), []byte(text), `{"alg":"HS256"}`, `{}`), ""); err == nil {
			t.Error("the public key was taken for a shared secret")
		}
	}
}

func TestTokensWithoutASignatureAreRefused(t *testing.T) {
	v := tokenVerifier(t, JWT{Algorithms: []string{"HS256"}}, "utf8", tokenSecret)
	b64 := base64.RawURLEncoding.EncodeToString
	for _, alg := range []string{"none", "None", "NONE", "", "HS1", "hs256", "HS256 ", "HS2560"} {
		header := b64([]byte(`{"alg":"` + alg + `"}`))
		for _, signature := range []string{"", "AA", b64(make([]byte, 32))} {
			if _, err := verifyToken(t, v, header+"."+b64([]byte(`{}`))+"."+signature, ""); err == nil {
				t.Errorf("alg %q was accepted", alg)
			}
		}
	}
	for _, algorithms := range [][]string{nil, {"none"}, {"HS256", "RS1"}, {""}} {
		def := Definition{ID: "test", Schemes: []Scheme{{
			Kind: KindJWT, Key: KeyForm{Form: "utf8"}, Unsigned: true, JWT: &JWT{Algorithms: algorithms},
			Signature: Signature{From: []Selector{"header:A"}, Encoding: "raw"},
		}}}
		if _, err := New(def, Config{Secrets: []string{"a"}}); err == nil {
			t.Errorf("a definition may not allow %q", algorithms)
		}
	}
}

func TestMalformedTokensAreRefused(t *testing.T) {
	v := tokenVerifier(t, JWT{Algorithms: []string{"HS256"}}, "utf8", tokenSecret)
	made := func(header, payload string) string {
		return tokenOf(t, hs256(), []byte(tokenSecret), header, payload)
	}
	good := made(`{"alg":"HS256"}`, `{"a":1}`)
	if _, err := verifyToken(t, v, good, ""); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"empty":                   "",
		"words":                   "not a signature",
		"two parts":               parts[0] + "." + parts[1],
		"four parts":              good + ".AA",
		"no signature":            parts[0] + "." + parts[1] + ".",
		"padding":                 good + "=",
		"a line break":            parts[0] + ".\n" + parts[1] + "." + parts[2],
		"a blank":                 good + " ",
		"loose last bits":         parts[0] + "." + parts[1] + "." + parts[2][:42] + string(parts[2][42]+1),
		"standard base64":         made(`{"alg":"HS256","x":"???"}`, `{}`)[:10] + "+/",
		"empty header":            made(``, `{}`),
		"header is a list":        made(`["HS256"]`, `{}`),
		"header is null":          made(`null`, `{}`),
		"no algorithm":            made(`{"typ":"JWT"}`, `{}`),
		"algorithms":              made(`{"alg":["HS256"]}`, `{}`),
		"algorithm twice":         made(`{"alg":"HS256","alg":"HS256"}`, `{}`),
		"algorithm twice escaped": made(`{"alg":"none","\u0061lg":"HS256"}`, `{}`),
		"critical":                made(`{"alg":"HS256","crit":["b64"],"b64":false}`, `{}`),
		"critical null":           made(`{"alg":"HS256","crit":null}`, `{}`),
		"text behind":             made(`{"alg":"HS256"}`, `{}{}`),
		"payload is a list":       made(`{"alg":"HS256"}`, `[]`),
		"payload is null":         made(`{"alg":"HS256"}`, `null`),
		"claim twice":             made(`{"alg":"HS256"}`, `{"a":1,"a":1}`),
		"inner claim twice":       made(`{"alg":"HS256"}`, `{"a":[{"b":[],"c":{"d":1}},{"b":{},"b":1}]}`),
		"not UTF-8":               made(`{"alg":"HS256"}`, "{\"a\":\"\xff\"}"),
		"too long":                made(`{"alg":"HS256"}`, `{"a":"`+strings.Repeat("a", maxToken)+`"}`),
		"another payload":         parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"a":2}`)) + "." + parts[2],
	} {
		if _, err := verifyToken(t, v, token, ""); err == nil {
			t.Errorf("%s: %q was accepted", name, token)
		}
	}
	// Nothing of the header but alg and kid means anything.
	for _, header := range []string{`{"alg":"HS256","jku":"https://evil.example"}`, `{"alg":"HS256","jwk":{"kty":"oct","k":"AA"}}`, `{"alg":"HS256","kid":"../../dev/null"}`, `{"alg":"HS256","kid":1}`} {
		if _, err := verifyToken(t, v, made(header, `{}`), ""); err != nil {
			t.Errorf("%s: %v", header, err)
		}
	}
	req := Request{Header: http.Header{"Authorization": {good}}}
	if _, err := v.Verify(t.Context(), req, time.Unix(testNow, 0)); reasonOf(err) != ReasonSignatureMalformed {
		t.Errorf("without Bearer: %v", err)
	}
}

// The hashes of body and URL that tokens carry, as the providers write them.
func TestTokensMustBeOfTheBody(t *testing.T) {
	const body = `{"event":"room_started"}`
	sum := sha256.Sum256([]byte(body))
	address := sha256.Sum256([]byte("https://example.com/in"))
	encodings := map[string]string{
		"hex": hex.EncodeToString(sum[:]), "base64": base64.StdEncoding.EncodeToString(sum[:]), "base64url": base64.URLEncoding.EncodeToString(sum[:]),
	}
	for encoding, value := range encodings {
		v := tokenVerifier(t, JWT{Algorithms: []string{"HS256"}}, "utf8", tokenSecret,
			Digest{Value: "claim:hash", Of: "{body}", Hash: "sha256", Encoding: encoding, AbsentIfEmpty: true},
			Digest{Value: "claim:url", Of: "{url}", Hash: "sha256", Encoding: "hex"})
		url := `"url":"` + hex.EncodeToString(address[:]) + `"`
		for name, c := range map[string]struct {
			payload, body string
			want          Reason
		}{
			"right":            {`{"hash":"` + value + `",` + url + `}`, body, ""},
			"no body, no hash": {`{` + url + `}`, "", ""},
			"another body":     {`{"hash":"` + value + `",` + url + `}`, body + "\n", ReasonDigestMismatch},
			"body removed":     {`{"hash":"` + value + `",` + url + `}`, "", ReasonDigestMismatch},
			"no hash":          {`{` + url + `}`, body, ReasonValueMissing},
			"hash is a list":   {`{"hash":["` + value + `"],` + url + `}`, body, ReasonValueMissing},
			"no URL":           {`{"hash":"` + value + `"}`, body, ReasonValueMissing},
			"another URL":      {`{"hash":"` + value + `","url":"` + hex.EncodeToString(sum[:]) + `"}`, body, ReasonDigestMismatch},
		} {
			_, err := verifyToken(t, v, tokenOf(t, hs256(), []byte(tokenSecret), `{"alg":"HS256"}`, c.payload), c.body)
			if reasonOf(err) != c.want {
				t.Errorf("%s, %s: %v, want %q", encoding, name, err, c.want)
			}
		}
	}
}

// A kid picks among the keys that there are; keys without one are always tried,
// and no token has more than a few tried.
func TestKeysOfATokenArePickedByID(t *testing.T) {
	how, text := hs256(), []byte("signed text")
	sig := sign(t, how, []byte("two"), text)
	for name, c := range map[string]struct {
		id   string
		keys []key
		want bool
	}{
		"its id":        {"2", []key{{raw: []byte("one"), id: "1"}, {raw: []byte("two"), id: "2"}}, true},
		"another's id":  {"1", []key{{raw: []byte("one"), id: "1"}, {raw: []byte("two"), id: "2"}}, false},
		"unknown id":    {"3", []key{{raw: []byte("one"), id: "1"}, {raw: []byte("two"), id: "2"}}, false},
		"no id":         {"", []key{{raw: []byte("one"), id: "1"}, {raw: []byte("two"), id: "2"}}, true},
		"keys of no id": {"1", []key{{raw: []byte("one")}, {raw: []byte("two")}}, true},
		"no keys":       {"", nil, false},
		"the last":      {"", append(slices.Repeat([]key{{raw: []byte("one")}}, MaxSignatures-1), key{raw: []byte("two")}), true},
		"too many":      {"", append(slices.Repeat([]key{{raw: []byte("one")}}, MaxSignatures), key{raw: []byte("two")}), false},
	} {
		if got := matchesAnyKey(how, c.id, c.keys, text, sig); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzJWT(f *testing.F) {
	good := tokenOf(f, hs256(), []byte(tokenSecret), `{"alg":"HS256","kid":"a"}`, `{"iss":"APIkey123","exp":1792000010,"aud":["here"],"a":{"b":[1,{}]}}`)
	f.Add(good)
	f.Add(good + ".")
	f.Add(tokenOf(f, hs256(), []byte("another"), `{"alg":"none"}`, `{"a":1,"a":2}`))
	v := tokenVerifier(f, JWT{Algorithms: []string{"HS256", "EdDSA"}, Issuer: "${api_key}", Audience: "here", Claims: map[string]string{"a.b": ""}}, "utf8", tokenSecret)
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := verifyToken(t, v, token, ""); err == nil && token != good {
			t.Errorf("accepted %q", token)
		}
	})
}

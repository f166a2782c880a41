package verify

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// rfcVector is an example of RFC 9421, from appendix B and section 4.3. Those of
// responses are left out: nobody sends us any.
type rfcVector struct {
	ID, Method, URL, Body    string
	Headers                  map[string]string
	Form, Secret, Hash       string
	Components               string
	Now                      int64
	remote                   *RemoteKey
	fetch                    Fetcher
	signaturesBody, noSecret bool
}

func rfcVectors(t testing.TB) []rfcVector {
	t.Helper()
	data, err := os.ReadFile("testdata/rfc9421.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []rfcVector
	if err := json.Unmarshal(data, &all); err != nil || len(all) == 0 {
		t.Fatal(err)
	}
	return all
}

func (v rfcVector) request() Request {
	req := Request{Method: v.Method, URL: v.URL, Header: http.Header{}, Body: []byte(v.Body)}
	for name, value := range v.Headers {
		req.Header.Set(name, value)
	}
	return req
}

func (v rfcVector) verifier(t testing.TB) *Verifier {
	t.Helper()
	def := Definition{ID: "test", Schemes: []Scheme{{
		Kind: KindHTTPSignature, Key: KeyForm{Form: v.Form}, Hash: v.Hash, Template: v.Components, Unsigned: !v.signaturesBody, Remote: v.remote,
	}}}
	cfg := Config{Secrets: []string{v.Secret}, Fetch: v.fetch}
	if v.noSecret {
		cfg.Secrets = nil
	}
	made, err := New(def, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (v rfcVector) verify(t testing.TB) (Event, error) {
	t.Helper()
	return v.verifier(t).Verify(t.Context(), v.request(), time.Unix(v.Now, 0))
}

func TestExamplesOfRFC9421(t *testing.T) {
	for _, v := range rfcVectors(t) {
		event, err := v.verify(t)
		if err != nil || event.Timestamp.Unix() != v.Now {
			t.Errorf("%s: %v, signed at %v", v.ID, err, event.Timestamp)
		}
		// Each character that is covered counts.
		for name := range v.Headers {
			covered := strings.Contains(v.Headers["Signature-Input"], `"`+strings.ToLower(name)+`"`) || strings.HasPrefix(name, "Signature")
			changed := v.request()
			value := changed.Header.Get(name)
			middle := len(value) / 2
			changed.Header.Set(name, value[:middle]+string(value[middle]^1)+value[middle+1:])
			_, err := v.verifier(t).Verify(t.Context(), changed, time.Unix(v.Now, 0))
			if (err != nil) != covered {
				t.Errorf("%s with another %s: %v", v.ID, name, err)
			}
		}
	}
}

func (v rfcVector) with(change func(*rfcVector)) rfcVector {
	headers := map[string]string{}
	for name, value := range v.Headers {
		headers[name] = value
	}
	v.Headers = headers
	change(&v)
	return v
}

// signed is a request that the test signs: input is the inner list with its
// parameters, over the request as it is.
func (v rfcVector) signed(t testing.TB, how signing, private any, input string) rfcVector {
	t.Helper()
	return v.with(func(v *rfcVector) {
		v.Headers["Signature-Input"] = "a=" + input
		members, err := parseDictionary("a=" + input)
		if err != nil {
			t.Fatal(err)
		}
		base, refused := signatureBase(v.request(), members[0].item)
		if refused != nil {
			// What cannot be signed is refused before the signature is looked at.
			base = nil
		}
		v.Headers["Signature"] = "a=:" + base64.StdEncoding.EncodeToString(sign(t, how, private, base)) + ":"
	})
}

const testNow = 1792000000

func webhook(keys testKeys, t testing.TB) rfcVector {
	t.Helper()
	body := `{"event":"delivered"}`
	return rfcVector{
		Method: http.MethodPost, URL: "https://Hooks.Example.com:443/in/a%20b?x=1&y=a+b%2F&z=1&z=2", Body: body, Now: testNow,
		Headers: map[string]string{
			"Content-Type": "application/json", "X-Two": " one , two ",
			"Content-Digest": digestOf(body),
			"X-Dict":         "a=1, b=(1 2);c",
		},
		Form: "pem", Secret: pemText("PUBLIC KEY", pkixDER(t, keys.ed.Public())), signaturesBody: true,
	}
}

func digestOf(body string) string {
	sum := signing{hash: crypto.SHA256}.digest([]byte(body))
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum) + ":, md5=:AAAA:"
}

func TestSignedComponents(t *testing.T) {
	keys := makeKeys(t)
	how := signing{kind: KindEd25519}
	const created = `;created=1792000000`
	for input, want := range map[string]Reason{
		`("content-digest")` + created: "",
		`("content-digest");created=1792000000;nonce="a";keyid="k";tag="t";alg="ed25519";x=1`: "",
		`("content-digest" "@method" "@target-uri" "@authority" "@scheme")` + created:         "",
		`("content-digest" "@path" "@query" "@request-target" "host")` + created:              "",
		`("content-digest" "@query-param";name="x" "@query-param";name="y")` + created:        "",
		`("content-digest" "x-two" "x-two";bs "x-dict";key="b")` + created:                    "",
		`("content-digest");created=1792000000;expires=1792000000`:                            "",
		`()` + created:                                             ReasonValueMissing,
		`("@method")` + created:                                    ReasonValueMissing,
		`("content-digest";bs)` + created:                          ReasonValueMissing,
		`("content-digest")`:                                       ReasonTimestampMissing,
		`("content-digest");created="1792000000"`:                  ReasonSignatureMalformed,
		`("content-digest");created=-1`:                            ReasonSignatureMalformed,
		`("content-digest");created=1792000000;expires=1.5`:        ReasonSignatureMalformed,
		`("content-digest");created=1792000000;alg=ed25519`:        ReasonSignatureMalformed,
		`("content-digest");created=1792000000;keyid=1`:            ReasonSignatureMalformed,
		`("content-digest");created=1792000000;alg="hmac"`:         ReasonAlgorithmForbidden,
		`("content-digest");created=1792000301`:                    ReasonTimestampOutsideWindow,
		`("content-digest");created=1791999699`:                    ReasonTimestampOutsideWindow,
		`("content-digest");created=1791999700`:                    "",
		`("content-digest");created=1792000300`:                    "",
		`("content-digest");created=1791999999;expires=1791999999`: ReasonTimestampOutsideWindow,
		`("content-digest" "content-digest")` + created:            ReasonSignatureMalformed,
		`("content-digest" "X-Two")` + created:                     ReasonSignatureMalformed,
		`("content-digest" x-two)` + created:                       ReasonSignatureMalformed,
		`("content-digest" "@status")` + created:                   ReasonSignatureMalformed,
		`("content-digest" "@method";req)` + created:               ReasonSignatureMalformed,
		`("content-digest" "@path";a="b")` + created:               ReasonSignatureMalformed,
		`("content-digest" "@query-param")` + created:              ReasonSignatureMalformed,
		`("content-digest" "@query-param";name="z")` + created:     ReasonSignatureMalformed,
		`("content-digest" "@query-param";name="none")` + created:  ReasonSignatureMalformed,
		`("content-digest" "@query-param";name=x)` + created:       ReasonSignatureMalformed,
		`("content-digest" "x-two";sf)` + created:                  ReasonSignatureMalformed,
		`("content-digest" "x-two";tr)` + created:                  ReasonSignatureMalformed,
		`("content-digest" "x-two";bs;sf)` + created:               ReasonSignatureMalformed,
		`("content-digest" "x-dict";key="none")` + created:         ReasonHeaderMissing,
		`("content-digest" "x-none")` + created:                    ReasonHeaderMissing,
	} {
		_, err := webhook(keys, t).signed(t, how, keys.ed, input).verify(t)
		if reason := reasonOf(err); reason != want {
			t.Errorf("%s: %v, want %q", input, err, want)
		}
	}
}

func reasonOf(err error) Reason {
	if e, ok := err.(*Error); ok {
		return e.Reason
	}
	return ""
}

// Values as RFC 9421 section 2.2 has them.
func TestSignatureBase(t *testing.T) {
	keys := makeKeys(t)
	members, err := parseDictionary(`a=("@target-uri" "@authority" "@scheme" "@path" "@query" "@request-target" "host" "@query-param";name="y" "x-two" "x-two";bs "x-dict";key="b");created=1`)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		`"@target-uri": https://Hooks.Example.com:443/in/a%20b?x=1&y=a+b%2F&z=1&z=2`,
		`"@authority": hooks.example.com`,
		`"@scheme": https`,
		`"@path": /in/a%20b`,
		`"@query": ?x=1&y=a+b%2F&z=1&z=2`,
		`"@request-target": /in/a%20b?x=1&y=a+b%2F&z=1&z=2`,
		`"host": hooks.example.com`,
		`"@query-param";name="y": a%20b%2F`,
		`"x-two": one , two, three`,
		`"x-two";bs: :b25lICwgdHdv:, :dGhyZWU=:`,
		`"x-dict";key="b": (1 2);c`,
		`"@signature-params": ("@target-uri" "@authority" "@scheme" "@path" "@query" "@request-target" "host" "@query-param";name="y" "x-two" "x-two";bs "x-dict";key="b");created=1`,
	}, "\n")
	req := webhook(keys, t).request()
	req.Header.Add("X-Two", "three")
	base, refused := signatureBase(req, members[0].item)
	if refused != nil || string(base) != want {
		t.Errorf("%v\n%s\nwant\n%s", refused, base, want)
	}
	for name, change := range map[string]func(*Request){
		"no URL":          func(r *Request) { r.URL = "" },
		"a broken URL":    func(r *Request) { r.URL = "https://a b" },
		"two lines":       func(r *Request) { r.Header["X-Two"] = []string{"one\n\"@path\": /"} },
		"a wrong escape":  func(r *Request) { r.URL = "https://a/?y=%zz" },
		"another address": func(r *Request) { r.URL = "https://a/" },
	} {
		req := webhook(keys, t).request()
		change(&req)
		if base, refused := signatureBase(req, members[0].item); refused == nil {
			t.Errorf("%s: %s", name, base)
		}
	}
	for address, want := range map[string]string{"http://a:80": "a", "http://a:443/": "a:443", "https://A:8443": "a:8443", "ftp://a:21": "a:21"} {
		req := Request{URL: address}
		one, _ := parseDictionary(`a=("@authority" "@path" "@query" "@request-target")`)
		base, refused := signatureBase(req, one[0].item)
		if refused != nil || !strings.HasPrefix(string(base), "\"@authority\": "+want+"\n\"@path\": /\n\"@query\": ?\n\"@request-target\": /\n") {
			t.Errorf("%s: %v %s", address, refused, base)
		}
	}
}

func TestSignedDigestsMustBeTheBodys(t *testing.T) {
	keys := makeKeys(t)
	const input = `("content-digest");created=1792000000`
	for name, c := range map[string]struct {
		digest, body string
		want         Reason
	}{
		"another body":  {digestOf("a"), "b", ReasonDigestMismatch},
		"no body":       {digestOf("a"), "", ReasonDigestMismatch},
		"empty body":    {digestOf(""), "", ""},
		"unknown only":  {"md5=:AAAA:", "a", ReasonSignatureMalformed},
		"not bytes":     {"sha-256=1", "a", ReasonDigestMismatch},
		"one is wrong":  {digestOf("a") + ", sha-512=:AAAA:", "a", ReasonDigestMismatch},
		"not a field":   {"sha-256=a=", "a", ReasonSignatureMalformed},
		"empty digest":  {"sha-256=::", "a", ReasonDigestMismatch},
		"another right": {digestOf("a") + ", unknown=1", "a", ""},
	} {
		v := webhook(keys, t).with(func(v *rfcVector) { v.Body, v.Headers["Content-Digest"] = c.body, c.digest })
		_, err := v.signed(t, signing{kind: KindEd25519}, keys.ed, input).verify(t)
		if reason := reasonOf(err); reason != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	// Twice is refused although a proxy could join the two.
	v := webhook(keys, t).signed(t, signing{kind: KindEd25519}, keys.ed, input)
	for _, header := range []string{"Content-Digest", "Signature", "Signature-Input"} {
		req := v.request()
		req.Header.Add(header, req.Header.Get(header))
		if _, err := v.verifier(t).Verify(t.Context(), req, time.Unix(testNow, 0)); err == nil {
			t.Errorf("two of %s were taken", header)
		}
	}
}

func TestSignaturesOfAllAlgorithms(t *testing.T) {
	keys := makeKeys(t)
	const input = `("content-digest");created=1792000000`
	type algorithm struct {
		how     signing
		private any
		public  crypto.PublicKey
		hash    string
	}
	all := map[string]algorithm{
		"ed25519":           {signing{kind: KindEd25519}, keys.ed, keys.ed.Public(), ""},
		"ecdsa-p256-sha256": {signing{kind: KindECDSA, hash: crypto.SHA256, raw: true}, keys.ec, keys.ec.Public(), ""},
		"ecdsa-p384-sha384": {signing{kind: KindECDSA, hash: crypto.SHA384, raw: true}, keys.ec3, keys.ec3.Public(), ""},
		"rsa-v1_5-sha256":   {signing{kind: KindRSA, hash: crypto.SHA256}, keys.rsa, keys.rsa.Public(), "sha256"},
		"rsa-pss-sha512":    {signing{kind: KindRSA, hash: crypto.SHA512, pss: true}, keys.rsa, keys.rsa.Public(), "sha512"},
		"hmac-sha256":       {signing{kind: KindHMAC, hash: crypto.SHA256}, []byte("secret"), nil, ""},
		"unsupported P-521": {signing{kind: KindECDSA, hash: crypto.SHA512, raw: true}, keys.ec5, keys.ec5.Public(), ""},
		"RSA without hash":  {signing{kind: KindRSA, hash: crypto.SHA1}, keys.rsa, keys.rsa.Public(), ""},
	}
	for signs, a := range all {
		for checks, b := range all {
			v := webhook(keys, t).signed(t, a.how, a.private, input)
			v.Hash, v.Form, v.Secret = b.hash, "utf8", "secret"
			if b.public != nil {
				v.Form, v.Secret = "pem", pemText("PUBLIC KEY", pkixDER(t, b.public))
			}
			_, err := v.verify(t)
			if want := signs == checks && !strings.Contains(signs, " "); (err == nil) != want {
				t.Errorf("signed with %s, checked with %s: %v", signs, checks, err)
			}
		}
	}
}

// A public key is known to all, so that an HMAC keyed with one proves nothing.
func TestSignaturesKeyedWithThePublicKeyAreRefused(t *testing.T) {
	keys := makeKeys(t)
	secret := pemText("PUBLIC KEY", pkixDER(t, keys.rsa.Public()))
	v := webhook(keys, t).signed(t, signing{kind: KindHMAC, hash: crypto.SHA256}, []byte(secret), `("content-digest");created=1792000000`)
	v.Secret, v.Hash = secret, "sha256"
	if _, err := v.verify(t); err == nil {
		t.Error("it was right under a key of type pem")
	}
	for _, kind := range []Kind{KindHTTPSignature, KindJWT} {
		def := Definition{ID: "test", Schemes: []Scheme{{
			Kind: kind, Key: KeyForm{Form: "utf8"}, Unsigned: true, Signature: Signature{From: []Selector{"header:A"}}, JWT: &JWT{Algorithms: []string{"HS256"}},
		}}}
		if _, err := New(def, Config{Secrets: []string{secret}}); err == nil {
			t.Errorf("%s took a public key for a shared secret", kind)
		}
	}
}

func TestFewKeysAreTriedOnASignature(t *testing.T) {
	keys, others := makeKeys(t), makeKeys(t)
	how := signing{kind: KindEd25519}
	sig := sign(t, how, keys.ed, []byte("base"))
	wrong, right := key{public: others.ed.Public(), id: "other"}, key{public: keys.ed.Public(), id: "own"}
	for name, c := range map[string]struct {
		p    messageParameters
		keys []key
		want Reason
	}{
		"the last":     {messageParameters{}, append(slices.Repeat([]key{wrong}, MaxSignatures-1), right), ""},
		"too many":     {messageParameters{}, append(slices.Repeat([]key{wrong}, MaxSignatures), right), ReasonSignatureMismatch},
		"its id":       {messageParameters{keyID: "own"}, append(slices.Repeat([]key{wrong}, MaxSignatures), right), ""},
		"another's id": {messageParameters{keyID: "other"}, []key{wrong, right}, ReasonSignatureMismatch},
		"no keys":      {messageParameters{}, nil, ReasonSignatureMismatch},
	} {
		var got Reason
		if err := (messageRules{}).match(c.p, c.keys, []byte("base"), sig); err != nil {
			got = err.Reason
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestOneOfSeveralSignaturesIsEnough(t *testing.T) {
	keys := makeKeys(t)
	v := webhook(keys, t).signed(t, signing{kind: KindEd25519}, keys.ed, `("content-digest");created=1792000000`)
	v.Headers["Signature-Input"] = `proxy=("@method");created=1, none=("@method"), ` + v.Headers["Signature-Input"]
	v.Headers["Signature"] = `proxy=:AAAA:, other=1, ` + v.Headers["Signature"]
	if _, err := v.verify(t); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(map[string]string){
		"no signature":     func(h map[string]string) { delete(h, "Signature") },
		"no input":         func(h map[string]string) { delete(h, "Signature-Input") },
		"empty":            func(h map[string]string) { h["Signature"] = "" },
		"another name":     func(h map[string]string) { h["Signature"] = "b=:AAAA:" },
		"no bytes":         func(h map[string]string) { h["Signature"] = "a=1" },
		"empty bytes":      func(h map[string]string) { h["Signature"] = "a=::" },
		"input is no list": func(h map[string]string) { h["Signature-Input"] = "a=1;created=1792000000" },
		"no field":         func(h map[string]string) { h["Signature-Input"] = "(" },
	} {
		if _, err := v.with(func(v *rfcVector) { change(v.Headers) }).verify(t); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestComponentsOfADefinitionMustRead(t *testing.T) {
	for template, want := range map[string]bool{
		``: true, `"content-digest"`: true, `"@method"  "content-digest"`: true, `"content-digest";bs`: false,
		`"@method"`: false, `content digest`: false, `"content-digest") `: false, `"content-digest" (`: false,
	} {
		def := Definition{ID: "test", Schemes: []Scheme{{Kind: KindHTTPSignature, Key: KeyForm{Form: "utf8"}, Template: template}}}
		if _, err := New(def, Config{Secrets: []string{"a"}}); (err == nil) != want {
			t.Errorf("%s: %v", template, err)
		}
	}
}

func FuzzHTTPSignature(f *testing.F) {
	for _, v := range rfcVectors(f) {
		f.Add(v.Headers["Signature-Input"], v.Headers["Signature"], v.Headers["Content-Digest"], v.URL, v.Body)
	}
	keys := makeKeys(f)
	v := webhook(keys, f)
	verifier := v.verifier(f)
	good := v.signed(f, signing{kind: KindEd25519}, keys.ed, `("content-digest" "@method" "@query-param";name="y" "x-dict";key="b");created=1792000000`)
	f.Add(good.Headers["Signature-Input"], good.Headers["Signature"], good.Headers["Content-Digest"], good.URL, good.Body)
	f.Fuzz(func(t *testing.T, input, signature, digest, address, body string) {
		changed := v.with(func(v *rfcVector) {
			v.Headers["Signature-Input"], v.Headers["Signature"], v.Headers["Content-Digest"] = input, signature, digest
			v.URL, v.Body = address, body
		})
		_, err := verifier.Verify(t.Context(), changed.request(), time.Unix(testNow, 0))
		if err == nil && (digest != good.Headers["Content-Digest"] || body != good.Body) {
			t.Errorf("accepted %q %q over %q", input, signature, body)
		}
		// What reads is written in a way that reads again, and the same.
		members, parseErr := parseDictionary(input)
		for _, m := range members {
			text := m.name + "=" + m.item.String()
			again, err := parseDictionary(text)
			if parseErr != nil || err != nil || len(again) != 1 || again[0].name+"="+again[0].item.String() != text {
				t.Errorf("%q reads as %q, which does not read", input, text)
			}
		}
	})
}

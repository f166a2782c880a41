package verify_test

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern/verify"
)

// hmacScheme is the plainest there is, for tests to change.
func hmacScheme() verify.Scheme {
	return verify.Scheme{
		Kind: verify.KindHMAC, Hash: "sha256", Key: verify.KeyForm{Form: "utf8"},
		Signature: verify.Signature{From: []verify.Selector{"header:X-Sig"}, Encoding: "hex"}, Template: "{body}",
	}
}

func hexMAC(key, text string) string { return hex.EncodeToString(mac(sha256.New, key, text)) }

// schemeCase is one request to a provider with one scheme.
type schemeCase struct {
	name   string
	change func(*verify.Scheme) // of hmacScheme; nil for none
	cfg    verify.Config        // Secrets are "s" unless it has some
	req    verify.Request
	want   verify.Reason
}

func runSchemeCases(t *testing.T, cases []schemeCase) {
	t.Helper()
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s := hmacScheme()
			if tc.change != nil {
				tc.change(&s)
			}
			if tc.cfg.Secrets == nil {
				tc.cfg.Secrets = []string{"s"}
			}
			v, err := verify.New(verify.Definition{ID: "sample", Schemes: []verify.Scheme{s}}, tc.cfg)
			if err != nil {
				t.Fatal(err)
			}
			_, err = v.Verify(t.Context(), tc.req, now())
			if got := reasonOf(t, err); got != tc.want {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

func tokenScheme(from verify.Selector) func(*verify.Scheme) {
	return func(s *verify.Scheme) {
		*s = verify.Scheme{Kind: verify.KindToken, Key: verify.KeyForm{Form: "utf8"}, Unsigned: true,
			Signature: verify.Signature{From: []verify.Selector{from}, Encoding: "raw"}}
	}
}

func TestTokens(t *testing.T) {
	bearer := func(s *verify.Scheme) {
		tokenScheme("header:Authorization")(s)
		s.Signature.Prefix, s.Signature.FoldCase = "Bearer ", true
	}
	each := func(s *verify.Scheme) {
		tokenScheme("item:clientState")(s)
		s.Each = "json:value"
	}
	target := verify.Request{Method: "POST", Target: "/in/x?access_token=s"}
	runSchemeCases(t, []schemeCase{
		{"right", tokenScheme("header:X-Token"), verify.Config{}, post("", "X-Token", "s"), ""},
		{"wrong", tokenScheme("header:X-Token"), verify.Config{}, post("", "X-Token", "t"), verify.ReasonSignatureMismatch},
		{"longer", tokenScheme("header:X-Token"), verify.Config{}, post("", "X-Token", "ss"), verify.ReasonSignatureMismatch},
		{"missing", tokenScheme("header:X-Token"), verify.Config{}, post(""), verify.ReasonSignatureMissing},
		{"empty", tokenScheme("header:X-Token"), verify.Config{}, post("", "X-Token", ""), verify.ReasonSignatureMissing},
		{"twice", tokenScheme("header:X-Token"), verify.Config{}, post("", "X-Token", "s", "X-Token", "s"), verify.ReasonDuplicateHeader},
		{"second secret", tokenScheme("header:X-Token"), verify.Config{Secrets: []string{"s", "t"}}, post("", "X-Token", "t"), ""},
		{"bearer", bearer, verify.Config{}, post("", "Authorization", "bEARER s"), ""},
		{"another scheme", bearer, verify.Config{}, post("", "Authorization", "Basic s"), verify.ReasonSignatureMalformed},
		{"scheme alone", bearer, verify.Config{}, post("", "Authorization", "Bearer "), verify.ReasonSignatureMalformed},
		{"in the body", tokenScheme("json:a.token"), verify.Config{}, post(`{"a":{"token":"s"}}`), ""},
		{"in the query, no public URL", tokenScheme("query:access_token"), verify.Config{}, target, ""},
		{"twice in the query", tokenScheme("query:t"), verify.Config{}, verify.Request{Target: "/?t=s&t=s"}, verify.ReasonDuplicateValue},
		{"in each item", each, verify.Config{}, post(`{"value":[{"clientState":"s"},{"clientState":"s"}]}`), ""},
		{"not in every item", each, verify.Config{}, post(`{"value":[{"clientState":"s"},{}]}`), verify.ReasonSignatureMissing},
		{"no items", each, verify.Config{}, post(`{"value":[]}`), verify.ReasonSignatureMissing},
		{"no array", each, verify.Config{}, post(`{"value":{"clientState":"s"}}`), verify.ReasonBodyMalformed},
	})
}

func TestBasic(t *testing.T) {
	scheme := func(s *verify.Scheme) {
		*s = verify.Scheme{Kind: verify.KindBasic, Key: verify.KeyForm{Form: "utf8"}, Unsigned: true,
			Signature: verify.Signature{From: []verify.Selector{"header:Authorization"}, Prefix: "Basic ", FoldCase: true, Encoding: "base64"}}
	}
	cfg := verify.Config{Secrets: []string{"user:pass:word"}}
	with := func(scheme, credentials string) verify.Request {
		return post("", "Authorization", scheme+" "+base64.StdEncoding.EncodeToString([]byte(credentials)))
	}
	runSchemeCases(t, []schemeCase{
		{"password with a colon", scheme, cfg, with("Basic", "user:pass:word"), ""},
		{"lower-case scheme", scheme, cfg, with("basic", "user:pass:word"), ""},
		{"cut at the second colon", scheme, cfg, with("Basic", "user:pass"), verify.ReasonSignatureMismatch},
		{"other user", scheme, cfg, with("Basic", "root:pass:word"), verify.ReasonSignatureMismatch},
		{"no colon", scheme, cfg, with("Basic", "user"), verify.ReasonSignatureMismatch},
		{"no base64", scheme, cfg, post("", "Authorization", "Basic user:pass:word"), verify.ReasonSignatureMalformed},
		{"bearer", scheme, cfg, with("Bearer", "user:pass:word"), verify.ReasonSignatureMalformed},
	})
	def := verify.Definition{ID: "sample", Schemes: []verify.Scheme{hmacScheme()}}
	scheme(&def.Schemes[0])
	for _, secret := range []string{"user", "user:", ":"} {
		if _, err := verify.New(def, verify.Config{Secrets: []string{secret}}); err == nil {
			t.Errorf("%q, which has no password, is taken", secret)
		}
	}
}

func TestHashes(t *testing.T) {
	plain := func(template string) func(*verify.Scheme) {
		return func(s *verify.Scheme) { s.Kind, s.Template = verify.KindHash, template }
	}
	sum := func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
	hashed := func(name string) func(*verify.Scheme) { return func(s *verify.Scheme) { s.Hash = name } }
	two := verify.Config{Secrets: []string{"other", "s"}}
	runSchemeCases(t, []schemeCase{
		{"secret before", plain("{secret}{body}"), verify.Config{}, post("b", "X-Sig", sum("sb")), ""},
		{"secret behind", plain("{body}{secret}"), verify.Config{}, post("b", "X-Sig", sum("bs")), ""},
		{"second secret", plain("{secret}{body}"), two, post("b", "X-Sig", sum("sb")), ""},
		{"no secret in it", plain("{secret}{body}"), verify.Config{}, post("b", "X-Sig", sum("b")), verify.ReasonSignatureMismatch},
		{"hmac instead", plain("{secret}{body}"), verify.Config{}, post("b", "X-Sig", hexMAC("s", "b")), verify.ReasonSignatureMismatch},
		{"md5", hashed("md5"), verify.Config{}, post("b", "X-Sig", hex.EncodeToString(mac(md5.New, "s", "b"))), ""},
		{"sha512", hashed("sha512"), verify.Config{}, post("b", "X-Sig", hex.EncodeToString(mac(sha512.New, "s", "b"))), ""},
		{"sha1 for sha256", nil, verify.Config{}, post("b", "X-Sig", hex.EncodeToString(mac(sha1.New, "s", "b"))), verify.ReasonSignatureMalformed},
	})
}

// TestEach: what is signed by item must be right in every item.
func TestEach(t *testing.T) {
	each := func(s *verify.Scheme) {
		s.Each, s.Template, s.Unsigned = "json:items", "{item:id}:{item:note}", true
		s.Signature.From = []verify.Selector{"item:sig"}
	}
	item := func(id, signed string) string { return fmt.Sprintf(`{"id":%q,"sig":%q}`, id, hexMAC("s", signed)) }
	body := func(items ...string) verify.Request { return post(`{"items":[` + strings.Join(items, ",") + `]}`) }
	runSchemeCases(t, []schemeCase{
		{"all right", each, verify.Config{}, body(item("1", "1:"), item("2", "2:")), ""},
		{"second wrong", each, verify.Config{}, body(item("1", "1:"), item("2", "1:")), verify.ReasonSignatureMismatch},
		{"second unsigned", each, verify.Config{}, body(item("1", "1:"), `{"id":"2"}`), verify.ReasonSignatureMissing},
		{"second no object", each, verify.Config{}, body(item("1", "1:"), `2`), verify.ReasonSignatureMissing},
		{"none", each, verify.Config{}, body(), verify.ReasonSignatureMissing},
		{"cut off", each, verify.Config{}, post(`{"items":[` + item("1", "1:")), verify.ReasonBodyMalformed},
	})
}

func TestDigests(t *testing.T) {
	digest := func(absent bool) func(*verify.Scheme) {
		return func(s *verify.Scheme) {
			s.Template = "{header:X-Time}"
			s.Digests = []verify.Digest{{Value: "header:X-Digest", Of: "{body}", Hash: "sha256", Encoding: "hex", AbsentIfEmpty: absent}}
		}
	}
	sum := func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
	with := func(body string, headers ...string) verify.Request {
		return post(body, append(headers, "X-Time", "1", "X-Sig", hexMAC("s", "1"))...)
	}
	runSchemeCases(t, []schemeCase{
		{"right", digest(false), verify.Config{}, with("b", "X-Digest", sum("b")), ""},
		{"of another body", digest(false), verify.Config{}, with("c", "X-Digest", sum("b")), verify.ReasonDigestMismatch},
		{"missing", digest(false), verify.Config{}, with("b"), verify.ReasonValueMissing},
		{"not hex", digest(false), verify.Config{}, with("b", "X-Digest", "zz"), verify.ReasonDigestMismatch},
		{"truncated", digest(false), verify.Config{}, with("b", "X-Digest", sum("b")[:62]), verify.ReasonDigestMismatch},
		{"empty body", digest(false), verify.Config{}, with("", "X-Digest", sum("")), ""},
		{"absent with an empty body", digest(true), verify.Config{}, with(""), ""},
		{"there with an empty body", digest(true), verify.Config{}, with("", "X-Digest", sum("")), verify.ReasonDigestMismatch},
		{"absent with a body", digest(true), verify.Config{}, with("b"), verify.ReasonValueMissing},
	})
}

func TestRequirements(t *testing.T) {
	account := func(s *verify.Scheme) {
		s.Require = []verify.Requirement{{Value: "header:X-Key", Equals: "${app_key}"}}
	}
	agree := func(s *verify.Scheme) {
		s.Require = []verify.Requirement{{Value: "json:id", Equals: "{header:X-Id}"}}
	}
	cfg := verify.Config{Settings: map[string]string{"app_key": "k{1}"}}
	signed := func(body string, headers ...string) verify.Request {
		return post(body, append(headers, "X-Sig", hexMAC("s", body))...)
	}
	runSchemeCases(t, []schemeCase{
		{"ours", account, cfg, signed("b", "X-Key", "k{1}"), ""},
		{"another's", account, cfg, signed("b", "X-Key", "k2"), verify.ReasonValueMismatch},
		{"none", account, cfg, signed("b"), verify.ReasonValueMismatch},
		{"twice", account, cfg, signed("b", "X-Key", "k{1}", "X-Key", "k2"), verify.ReasonDuplicateHeader},
		{"not configured", account, verify.Config{}, signed("b", "X-Key", "k2"), ""},
		{"unsigned and another's", account, cfg, post("b", "X-Sig", hexMAC("t", "b"), "X-Key", "k2"), verify.ReasonSignatureMismatch},
		{"both agree", agree, verify.Config{}, signed(`{"id":"1"}`, "X-Id", "1"), ""},
		{"they differ", agree, verify.Config{}, signed(`{"id":"1"}`, "X-Id", "2"), verify.ReasonValueMismatch},
		{"one is missing", agree, verify.Config{}, signed(`{"id":"1"}`), verify.ReasonHeaderMissing},
	})
}

// TestSignaturePlaces: signatures stand where the definition says and nowhere
// else.
func TestSignaturePlaces(t *testing.T) {
	from := func(places ...verify.Selector) func(*verify.Scheme) {
		return func(s *verify.Scheme) { s.Signature.From = places }
	}
	repeated := func(s *verify.Scheme) { s.Signature.Repeated = true }
	right, wrong := hexMAC("s", "b"), hexMAC("t", "b")
	var many []string
	for i := range 20 {
		many = append(many, fmt.Sprintf("X-Sig-%d", i+1), wrong)
	}
	runSchemeCases(t, []schemeCase{
		{"first of two", from("header:X-A", "header:X-B"), verify.Config{}, post("b", "X-A", right, "X-B", wrong), ""},
		{"second of two", from("header:X-A", "header:X-B"), verify.Config{}, post("b", "X-A", wrong, "X-B", right), ""},
		{"second alone", from("header:X-A", "header:X-B"), verify.Config{}, post("b", "X-B", right), ""},
		{"neither", from("header:X-A", "header:X-B"), verify.Config{}, post("b"), verify.ReasonSignatureMissing},
		{"one twice", from("header:X-A", "header:X-B"), verify.Config{}, post("b", "X-A", right, "X-A", right, "X-B", right), verify.ReasonDuplicateHeader},
		{"numbered", from("header:X-Sig-#"), verify.Config{}, post("b", "X-Sig-1", wrong, "X-Sig-2", right), ""},
		{"numbered with a gap", from("header:X-Sig-#"), verify.Config{}, post("b", "X-Sig-1", wrong, "X-Sig-30", right), ""},
		{"numbered from 1", from("header:X-Sig-#"), verify.Config{}, post("b", "X-Sig-0", right), verify.ReasonSignatureMissing},
		{"numbered in one way", from("header:X-Sig-#"), verify.Config{}, post("b", "X-Sig-01", right), verify.ReasonSignatureMissing},
		{"not numbered", from("header:X-Sig-#"), verify.Config{}, post("b", "X-Sig", right), verify.ReasonSignatureMissing},
		{"one number twice", from("header:X-Sig-#"), verify.Config{}, post("b", "X-Sig-1", right, "X-Sig-1", wrong), verify.ReasonDuplicateHeader},
		{"behind 20 others", from("header:X-Sig-#"), verify.Config{}, post("b", append(many, "X-Sig-21", right)...), verify.ReasonSignatureMismatch},
		{"repeats documented", repeated, verify.Config{}, post("b", "X-Sig", wrong, "X-Sig", right), ""},
		{"repeats, none right", repeated, verify.Config{}, post("b", "X-Sig", wrong, "X-Sig", wrong), verify.ReasonSignatureMismatch},
		{"in a form", func(s *verify.Scheme) {
			s.Signature.From, s.Template, s.Unsigned = []verify.Selector{"form:sig"}, "{form:payload}", true
		}, verify.Config{}, post("payload=%7B%7D&sig=" + hexMAC("s", "{}")), ""},
		{"in the query", from("query:sig"), verify.Config{}, verify.Request{URL: "https://a.example/?sig=" + right, Body: []byte("b")}, ""},
	})
}

func TestConditions(t *testing.T) {
	def := verify.Definition{ID: "sample", Schemes: []verify.Scheme{hmacScheme(), hmacScheme(), hmacScheme()}}
	def.Schemes[0].If, def.Schemes[0].Template = []string{"header:X-Version=2"}, "2{body}"
	def.Schemes[1].If, def.Schemes[1].Template = []string{"header:X-New", "!header:X-Version"}, "new{body}"
	def.Schemes[2].If, def.Schemes[2].Template = []string{"!header:X-New", "!header:X-Version"}, "old{body}"
	v, err := verify.New(def, verify.Config{Secrets: []string{"s"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		signed  string
		headers []string
		want    verify.Reason
	}{
		{"2b", []string{"X-Version", "2"}, ""},
		{"newb", []string{"X-New", "1"}, ""},
		{"oldb", nil, ""},
		{"oldb", []string{"X-New", ""}, ""}, // an empty header is none
		{"oldb", []string{"X-Version", "2"}, verify.ReasonSignatureMismatch},
		{"oldb", []string{"X-New", "1"}, verify.ReasonSignatureMismatch},
		{"2b", []string{"X-Version", "3"}, verify.ReasonSchemeUnmet},
		{"2b", []string{"X-Version", "2", "X-Version", "3"}, verify.ReasonDuplicateHeader},
	} {
		_, err := v.Verify(t.Context(), post("b", append(tc.headers, "X-Sig", hexMAC("s", tc.signed))...), now())
		if got := reasonOf(t, err); got != tc.want {
			t.Errorf("%s with %v: %v, want %q", tc.signed, tc.headers, err, tc.want)
		}
	}
}

// TestVariants: a setting leaves schemes out for good, whatever the request says.
func TestVariants(t *testing.T) {
	def := verify.Definition{
		ID:       "sample",
		Settings: []verify.Setting{{Name: "variant", Values: []string{"v1", "v2"}}},
		Schemes:  []verify.Scheme{hmacScheme(), hmacScheme()},
	}
	def.Schemes[0].For, def.Schemes[0].Template = map[string]string{"variant": "v1"}, "1{body}"
	def.Schemes[1].For, def.Schemes[1].Template = map[string]string{"variant": "|v2"}, "2{body}"
	for variant, accepts := range map[string]string{"": "2b", "v1": "1b", "v2": "2b"} {
		v, err := verify.New(def, verify.Config{Secrets: []string{"s"}, Settings: map[string]string{"variant": variant}})
		if err != nil {
			t.Fatal(err)
		}
		for _, signed := range []string{"1b", "2b"} {
			if _, err := v.Verify(t.Context(), post("b", "X-Sig", hexMAC("s", signed)), now()); (err == nil) != (signed == accepts) {
				t.Errorf("variant %q, signed %s: %v", variant, signed, err)
			}
		}
	}
	if _, err := verify.New(def, verify.Config{Secrets: []string{"s"}, Settings: map[string]string{"variant": "v3"}}); err == nil {
		t.Error("an unknown variant is taken")
	}
}

func TestKeyForms(t *testing.T) {
	key := func(f verify.KeyForm) func(*verify.Scheme) { return func(s *verify.Scheme) { s.Key = f } }
	secret := func(text string) verify.Config { return verify.Config{Secrets: []string{text}} }
	signed := func(key string) verify.Request { return post("b", "X-Sig", hexMAC(key, "b")) }
	sha := sha1.Sum([]byte("private"))
	sha2 := sha256.Sum256([]byte("shared"))
	runSchemeCases(t, []schemeCase{
		{"base64url", key(verify.KeyForm{Form: "base64url"}), secret("_-8"), signed("\xff\xef"), ""},
		{"base64url padded", key(verify.KeyForm{Form: "base64url"}), secret("_-8="), signed("\xff\xef"), ""},
		{"text of an encoded key", key(verify.KeyForm{Form: "base64url"}), secret("_-8"), signed("_-8"), verify.ReasonSignatureMismatch},
		{"strip", key(verify.KeyForm{Form: "utf8", Strip: `signkey-\w+-`}), secret("signkey-prod-abc"), signed("abc"), ""},
		{"strip at the start alone", key(verify.KeyForm{Form: "utf8", Strip: `x-`}), secret("ax-b"), signed("ax-b"), ""},
		{"nfkd", key(verify.KeyForm{Form: "utf8", Normalize: "nfkd"}), secret("ﬁé"), signed("fie\u0301"), ""},
		{"not normalized", nil, secret("ﬁé"), signed("fie\u0301"), verify.ReasonSignatureMismatch},
		{"sha1", key(verify.KeyForm{Form: "utf8", Derive: "sha1"}), secret("private"), signed(string(sha[:])), ""},
		{"sha256", key(verify.KeyForm{Form: "utf8", Derive: "sha256"}), secret("shared"), signed(string(sha2[:])), ""},
		{"suffix", key(verify.KeyForm{Form: "utf8", Suffix: "&"}), secret("client"), signed("client&"), ""},
		{"without suffix", key(verify.KeyForm{Form: "utf8", Suffix: "&"}), secret("client"), signed("client"), verify.ReasonSignatureMismatch},
		{"literal whsec_", nil, secret("whsec_YWJj"), signed("whsec_YWJj"), ""},
		{"literal whsec_, decoded", nil, secret("whsec_YWJj"), signed("abc"), verify.ReasonSignatureMismatch},
	})
	for name, form := range map[string]verify.KeyForm{
		"suffix of nothing": {Form: "utf8", Prefix: "p_", Bare: true, Suffix: "&"},
		"strip everything":  {Form: "utf8", Strip: "p_", Suffix: "&"},
		"derived nothing":   {Form: "base64", Prefix: "p_", Derive: "sha1"},
	} {
		s := hmacScheme()
		s.Key = form
		if _, err := verify.New(verify.Definition{ID: "sample", Schemes: []verify.Scheme{s}}, secret("p_")); err == nil {
			t.Errorf("%s: an empty secret becomes a key", name)
		}
	}
}

func TestTimestampUnits(t *testing.T) {
	for _, tc := range []struct{ unit, right, wrong string }{
		{"ns", "1750000000123456789", "1750000000"},
		{"s_ms", "1750000000", "17500000000000"},
		{"s_ms", "1750000000123", "175000000012"},
		{"iso8601", "2025-06-15T15:06:40.5", "2025-06-15T17:06:40"},
		{"iso8601", "2025-06-15T15:06:40Z", "2025-06-15"},
		{"iso8601", "2025-06-15T17:06:40+02:00", "2025-06-15T17:06:40Z"},
		{"rfc1123", "Sun, 15 Jun 2025 15:06:40 GMT", "Sun, 15 Jun 2025 15:06:40 CEST"},
		{"ms", "1750000000123", "1750000000"},
	} {
		for _, text := range []string{tc.right, tc.wrong} {
			s := hmacScheme()
			s.Template = "{timestamp}{body}"
			s.Timestamp = verify.Timestamp{From: "header:X-Time", Unit: tc.unit}
			v, err := verify.New(verify.Definition{ID: "sample", Schemes: []verify.Scheme{s}}, verify.Config{Secrets: []string{"s"}})
			if err != nil {
				t.Fatal(err)
			}
			event, err := v.Verify(t.Context(), post("b", "X-Time", text, "X-Sig", hexMAC("s", text+"b")), now())
			if (err == nil) != (text == tc.right) || err == nil && event.Timestamp.Sub(now()).Abs() > time.Second {
				t.Errorf("%s %s: %v %v", tc.unit, text, event.Timestamp, err)
			}
		}
	}
}

// TestWindows: the definition's window, or 300 s, or the source's own.
func TestWindows(t *testing.T) {
	for _, tc := range []struct {
		documented, own string
		window          int64 // seconds
	}{{"", "", 300}, {"60s", "", 60}, {"60s", "10m", 600}, {"", "5", 5}} {
		s := hmacScheme()
		s.Timestamp = verify.Timestamp{From: "json:t", Unit: "s", Tolerance: tc.documented}
		cfg := verify.Config{Secrets: []string{"s"}, Settings: map[string]string{"tolerance": tc.own}}
		v, err := verify.New(verify.Definition{ID: "sample", Schemes: []verify.Scheme{s}}, cfg)
		if err != nil {
			t.Fatal(err)
		}
		for offset, want := range map[int64]verify.Reason{
			tc.window: "", -tc.window: "",
			tc.window + 1: verify.ReasonTimestampOutsideWindow, -tc.window - 1: verify.ReasonTimestampOutsideWindow,
		} {
			body := fmt.Sprintf(`{"t":%d}`, now().Unix()+offset)
			_, err := v.Verify(t.Context(), post(body, "X-Sig", hexMAC("s", body)), now())
			if got := reasonOf(t, err); got != want {
				t.Errorf("%+v, %d s away: %v", tc, offset, err)
			}
		}
	}
}

// TestNewRefusesWhatProtectsNothing: a definition must sign what it relies on.
func TestNewRefusesWhatProtectsNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*verify.Scheme)
		field  string
	}{
		"no body":               {func(s *verify.Scheme) { s.Template = "{url}" }, "schemes[0].template"},
		"token without a word":  {func(s *verify.Scheme) { tokenScheme("header:X")(s); s.Unsigned = false }, "schemes[0].template"},
		"unsigned header time":  {func(s *verify.Scheme) { s.Timestamp = verify.Timestamp{From: "header:X", Unit: "s"} }, "schemes[0].template"},
		"unsigned id":           {func(s *verify.Scheme) { s.ID = "header:X" }, "schemes[0].template"},
		"time from nowhere":     {func(s *verify.Scheme) { s.Template = "{timestamp}{body}" }, "schemes[0].template"},
		"hash without a secret": {func(s *verify.Scheme) { s.Kind = verify.KindHash }, "schemes[0].template"},
		"secret in an hmac":     {func(s *verify.Scheme) { s.Template = "{secret}{body}" }, "schemes[0].template"},
		"a handshake's value":   {func(s *verify.Scheme) { s.Template = "{challenge}{body}" }, "schemes[0].template"},
		"unknown code":          {func(s *verify.Scheme) { s.Kind, s.Code = verify.KindCode, "nothing" }, "schemes[0].code"},
		"unknown setting":       {func(s *verify.Scheme) { s.For = map[string]string{"nope": "x"} }, "schemes[0].for"},
		"odd condition":         {func(s *verify.Scheme) { s.If = []string{"xml:a"} }, "schemes[0].if[0]"},
		"odd derive":            {func(s *verify.Scheme) { s.Key.Derive = "md5" }, "schemes[0].key.derive"},
		"odd strip":             {func(s *verify.Scheme) { s.Key.Strip = "(" }, "schemes[0].key.strip"},
		"raw hmac":              {func(s *verify.Scheme) { s.Signature.Encoding = "raw" }, "schemes[0].signature.encoding"},
	} {
		s := hmacScheme()
		tc.change(&s)
		_, err := verify.New(verify.Definition{ID: "sample", Schemes: []verify.Scheme{s}}, verify.Config{Secrets: []string{"s"}})
		invalid, ok := errors.AsType[*verify.ConfigError](err)
		if !ok || !slices.ContainsFunc(invalid.Fields, func(f verify.FieldError) bool { return f.Field == tc.field }) {
			t.Errorf("%s: %v, want field %s", name, err, tc.field)
		}
	}
}

// TestSignedValuesStandOnce: where values are signed and not the body, a stranger
// could add another one that the receiver takes.
func TestSignedValuesStandOnce(t *testing.T) {
	some := func(s *verify.Scheme) { s.Template, s.Unsigned = "{json:id}", true }
	each := func(s *verify.Scheme) {
		s.Template, s.Unsigned, s.Each = "{item:id}", true, "json:all"
		s.Signature.From = []verify.Selector{"item:sig"}
	}
	request := func(body string) verify.Request {
		return verify.Request{Header: http.Header{"X-Sig": {hexMAC("s", "1")}}, Body: []byte(strings.ReplaceAll(body, "SIG", hexMAC("s", "1")))}
	}
	runSchemeCases(t, []schemeCase{
		{"once", some, verify.Config{}, request(`{"id":"1","x":1,"x":2}`), ""},
		{"twice, the last counts", some, verify.Config{}, request(`{"id":"2","id":"1"}`), verify.ReasonDuplicateValue},
		{"twice in another case", some, verify.Config{}, request(`{"id":"1","ID":"2"}`), verify.ReasonDuplicateValue},
		{"items", each, verify.Config{}, request(`{"all":[{"id":"1","sig":"SIG"},{"id":"1","sig":"SIG"}]}`), ""},
		{"twice in an item", each, verify.Config{}, request(`{"all":[{"id":"1","sig":"SIG","Id":"2"}]}`), verify.ReasonDuplicateValue},
		{"the items twice", each, verify.Config{}, request(`{"all":[],"all":[{"id":"1","sig":"SIG"}]}`), verify.ReasonDuplicateValue},
		{"signed whole", nil, verify.Config{}, verify.Request{
			Header: http.Header{"X-Sig": {hexMAC("s", `{"id":1,"id":2}`)}}, Body: []byte(`{"id":1,"id":2}`)}, ""},
	})
}

package verify_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	official "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/postern-dev/postern/verify"
)

const (
	secret  = "It's a Secret to Everybody"
	payload = "Hello, World!"
	// The example in GitHub's documentation; also
	//
	//	printf %s 'Hello, World!' | openssl dgst -sha256 -hmac "It's a Secret to Everybody"
	digest = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
)

// now is the receiver's clock in these tests, and when their requests are signed.
func now() time.Time { return time.Unix(1750000000, 0) }

func mac(newHash func() hash.Hash, key, text string) []byte {
	h := hmac.New(newHash, []byte(key))
	h.Write([]byte(text))
	return h.Sum(nil)
}

func newVerifier(t testing.TB, provider string, cfg verify.Config) *verify.Verifier {
	t.Helper()
	def, ok := verify.Lookup(provider)
	if !ok {
		t.Fatalf("no provider %s", provider)
	}
	v, err := verify.New(def, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func post(body string, headers ...string) verify.Request {
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Add(headers[i], headers[i+1])
	}
	return verify.Request{Method: "POST", Header: h, Body: []byte(body)}
}

// reasonOf is "" for an accepted request.
func reasonOf(t testing.TB, err error) verify.Reason {
	t.Helper()
	if err == nil {
		return ""
	}
	var refused *verify.Error
	if !errors.As(err, &refused) {
		t.Fatalf("%T is no *verify.Error", err)
	}
	return refused.Reason
}

func TestGitHub(t *testing.T) {
	const header = "X-Hub-Signature-256"
	sha1Digest := hex.EncodeToString(mac(sha1.New, secret, payload))
	raw, _ := hex.DecodeString(digest)
	for _, tc := range []struct {
		name string
		req  verify.Request
		want verify.Reason
	}{
		{"documented example", post(payload, header, "sha256="+digest), ""},
		{"raw form body", post("payload=%7B%7D", header, "sha256="+hex.EncodeToString(mac(sha256.New, secret, "payload=%7B%7D")),
			"Content-Type", "application/x-www-form-urlencoded"), ""},
		{"form signed over its inner JSON", post("payload=%7B%7D", header, "sha256="+hex.EncodeToString(mac(sha256.New, secret, "{}"))),
			verify.ReasonSignatureMismatch},
		{"reserialised body", post(`{"a": 1.0}`, header, "sha256="+hex.EncodeToString(mac(sha256.New, secret, `{"a":1}`))),
			verify.ReasonSignatureMismatch},
		{"changed body", post(payload+"\n", header, "sha256="+digest), verify.ReasonSignatureMismatch},
		{"missing", post(payload), verify.ReasonSignatureMissing},
		{"empty", post(payload, header, ""), verify.ReasonSignatureMissing},
		{"one character", post(payload, header, "s"), verify.ReasonSignatureMalformed},
		{"prefix alone", post(payload, header, "sha256="), verify.ReasonSignatureMalformed},
		{"without prefix", post(payload, header, digest), verify.ReasonSignatureMalformed},
		{"truncated", post(payload, header, "sha256="+digest[:62]), verify.ReasonSignatureMalformed},
		{"extended", post(payload, header, "sha256="+digest+"00"), verify.ReasonSignatureMalformed},
		{"in base64", post(payload, header, "sha256="+base64.StdEncoding.EncodeToString(raw)), verify.ReasonSignatureMalformed},
		{"line break inside", post(payload, header, "sha256="+digest[:10]+"\n"+digest[10:]), verify.ReasonSignatureMalformed},
		{"legacy header alone", post(payload, "X-Hub-Signature", "sha1="+sha1Digest), verify.ReasonSignatureMissing},
		{"algorithm in the prefix", post(payload, header, "sha1="+sha1Digest), verify.ReasonSignatureMalformed},
		{"SHA-1 under the right prefix", post(payload, header, "sha256="+sha1Digest), verify.ReasonSignatureMalformed},
		{"repeated, good first", post(payload, header, "sha256="+digest, header, "sha256=00"), verify.ReasonDuplicateHeader},
		{"repeated, the same", post(payload, header, "sha256="+digest, header, "sha256="+digest), verify.ReasonDuplicateHeader},
		{"event repeated", post(payload, header, "sha256="+digest, "X-GitHub-Event", "push", "X-GitHub-Event", "ping"),
			verify.ReasonDuplicateHeader},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := newVerifier(t, "github", verify.Config{Secrets: []string{"other", secret}}).Verify(t.Context(), tc.req, now())
			if got := reasonOf(t, err); got != tc.want {
				t.Errorf("%v, want %q", err, tc.want)
			}
			if err != nil && (strings.Contains(err.Error(), digest) || strings.Contains(err.Error(), secret)) {
				t.Errorf("the error shows a digest or the secret: %v", err)
			}
		})
	}
	_, err := newVerifier(t, "github", verify.Config{Secrets: []string{"other"}}).Verify(t.Context(), post(payload, header, "sha256="+digest), now())
	if reasonOf(t, err) != verify.ReasonSignatureMismatch {
		t.Errorf("another secret: %v", err)
	}
}

func TestGitHubEvent(t *testing.T) {
	req := post(payload, "X-Hub-Signature-256", "sha256="+digest, "X-GitHub-Event", "pull request/é", "X-GitHub-Delivery", "d-1")
	got, err := newVerifier(t, "github", verify.Config{Secrets: []string{secret}, EventTypePrefix: "gh."}).Verify(t.Context(), req, now())
	want := verify.Event{Type: "gh.pull.request..", ProviderEventType: "pull request/é", DeliveryID: "d-1"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, (-want +got):\n%s", err, diff)
	}
}

func TestEventType(t *testing.T) {
	for _, tc := range [][4]string{
		{"", "shopify", "orders/create", "orders.create"},
		{"shop.", "shopify", "orders/create", "shop.orders.create"},
		{"shop.", "shopify", "", "shopify.event"},
		{"", "p", "A-z_0.9", "A-z_0.9"},
		{"", "p", "a\xffb\x00", "a.b."},
	} {
		if got := verify.EventType(tc[0], tc[1], tc[2]); got != tc[3] {
			t.Errorf("EventType(%q, %q, %q) = %q, want %q", tc[0], tc[1], tc[2], got, tc[3])
		}
	}
}

// standardRequest is signed with the keys given, under header names of family.
func standardRequest(family, id, timestamp, body string, key []byte, private ed25519.PrivateKey) verify.Request {
	text := id + "." + timestamp + "." + body
	var signatures []string
	if key != nil {
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac(sha256.New, string(key), text)))
	}
	if private != nil {
		signatures = append(signatures, "v1a,"+base64.StdEncoding.EncodeToString(ed25519.Sign(private, []byte(text))))
	}
	return post(body, family+"-Id", id, family+"-Timestamp", timestamp, family+"-Signature", strings.Join(signatures, " "))
}

func TestStandardWebhooks(t *testing.T) {
	const body, id, ts = `{"type":"invoice.paid"}`, "msg_1", "1750000000"
	key := []byte("0123456789abcdefghijklmn")
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	symmetric := "whsec_" + base64.StdEncoding.EncodeToString(key)
	public := "whpk_" + base64.StdEncoding.EncodeToString(private.Public().(ed25519.PublicKey))
	with := func(family string, change func(h http.Header)) verify.Request {
		req := standardRequest(family, id, ts, body, key, private)
		change(req.Header)
		return req
	}
	for _, family := range []string{"Webhook", "Svix"} {
		signature := with(family, func(http.Header) {}).Header.Get(family + "-Signature")
		v1, v1a, _ := strings.Cut(signature, " ")
		many := strings.Repeat("v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32))+" ", verify.MaxSignatures)
		for _, tc := range []struct {
			name    string
			secrets []string
			change  func(h http.Header)
			want    verify.Reason
		}{
			{"v1", []string{symmetric}, nil, ""},
			{"v1 without whsec_", []string{symmetric[6:]}, nil, ""},
			{"v1a", []string{public}, nil, ""},
			{"both keys, v1 alone", []string{public, symmetric}, func(h http.Header) { h.Set(family+"-Signature", v1) }, ""},
			{"both keys, v1a alone", []string{public, symmetric}, func(h http.Header) { h.Set(family+"-Signature", v1a) }, ""},
			{"v1 key, v1a alone", []string{symmetric}, func(h http.Header) { h.Set(family+"-Signature", v1a) }, verify.ReasonSignatureMalformed},
			{"unknown versions beside", []string{symmetric}, func(h http.Header) { h.Set(family+"-Signature", "v0,x v2,"+v1[3:]+" "+v1) }, ""},
			{"unknown version alone", []string{symmetric}, func(h http.Header) { h.Set(family+"-Signature", "v2,"+v1[3:]) }, verify.ReasonSignatureMalformed},
			{"behind 15 others", []string{symmetric}, func(h http.Header) { h.Set(family+"-Signature", many[:15*48]+v1) }, ""},
			{"behind 16 others", []string{symmetric}, func(h http.Header) { h.Set(family+"-Signature", many+v1) }, verify.ReasonSignatureMismatch},
			{"other id", []string{symmetric}, func(h http.Header) { h.Set(family+"-Id", "msg_2") }, verify.ReasonSignatureMismatch},
			{"id missing", []string{symmetric}, func(h http.Header) { h.Del(family + "-Id") }, verify.ReasonHeaderMissing},
			{"id repeated", []string{symmetric}, func(h http.Header) { h.Add(family+"-Id", "msg_2") }, verify.ReasonDuplicateHeader},
			{"timestamp missing", []string{symmetric}, func(h http.Header) { h.Del(family + "-Timestamp") }, verify.ReasonTimestampMissing},
			{"timestamp repeated", []string{symmetric}, func(h http.Header) { h.Add(family+"-Timestamp", "0") }, verify.ReasonDuplicateHeader},
			{"timestamp changed", []string{symmetric}, func(h http.Header) { h.Set(family+"-Timestamp", "1750000001") }, verify.ReasonSignatureMismatch},
		} {
			t.Run(family+"/"+tc.name, func(t *testing.T) {
				req := with(family, func(h http.Header) {
					if tc.change != nil {
						tc.change(h)
					}
				})
				event, err := newVerifier(t, "standard_webhooks", verify.Config{Secrets: tc.secrets}).Verify(t.Context(), req, now())
				if got := reasonOf(t, err); got != tc.want {
					t.Fatalf("%v, want %q", err, tc.want)
				}
				want := verify.Event{Type: "invoice.paid", ProviderEventType: "invoice.paid", DeliveryID: id, Timestamp: now().UTC()}
				if diff := cmp.Diff(want, event); err == nil && diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestDeliveryIDIsTheSignedOne: an id header of the other family is not signed.
func TestDeliveryIDIsTheSignedOne(t *testing.T) {
	key := []byte("0123456789abcdefghijklmn")
	req := standardRequest("Svix", "msg_signed", "1750000000", "{}", key, nil)
	req.Header.Set("Webhook-Id", "msg_forged")
	event, err := newVerifier(t, "standard_webhooks", verify.Config{
		Secrets: []string{base64.StdEncoding.EncodeToString(key)},
	}).Verify(t.Context(), req, now())
	if err != nil || event.DeliveryID != "msg_signed" || event.Type != "standard_webhooks.event" {
		t.Errorf("%+v, %v", event, err)
	}
}

// TestOfficialLibrarySigns checks with the reference implementation as sender.
func TestOfficialLibrarySigns(t *testing.T) {
	const key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	sender, err := official.NewWebhook(key)
	if err != nil {
		t.Fatal(err)
	}
	v := newVerifier(t, "standard_webhooks", verify.Config{Secrets: []string{key}})
	for _, body := range []string{"", `{"type":"a.b"}`, "\x00\xff", strings.Repeat("x", 1<<16)} {
		signature, err := sender.Sign("msg_1", now(), []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		req := post(body, "webhook-id", "msg_1", "webhook-timestamp", "1750000000", "webhook-signature", signature)
		if _, err := v.Verify(t.Context(), req, now()); err != nil {
			t.Errorf("%.20q: %v", body, err)
		}
		req.Body = append(req.Body, ' ')
		if _, err := v.Verify(t.Context(), req, now()); reasonOf(t, err) != verify.ReasonSignatureMismatch {
			t.Errorf("%.20q, changed: %v", body, err)
		}
	}
}

// TestVerifierIsSafeForConcurrentUse is a test for the race detector.
func TestVerifierIsSafeForConcurrentUse(t *testing.T) {
	v := newVerifier(t, "github", verify.Config{Secrets: []string{"other", secret}})
	req := post(payload, "X-Hub-Signature-256", "sha256="+digest)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if _, err := v.Verify(t.Context(), req, now()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestPublicKeyIsNoHMACKey: whoever knows the public key must not be able to
// sign with it.
func TestPublicKeyIsNoHMACKey(t *testing.T) {
	public := bytes.Repeat([]byte{9}, ed25519.PublicKeySize)
	v := newVerifier(t, "standard_webhooks", verify.Config{Secrets: []string{"whpk_" + base64.StdEncoding.EncodeToString(public)}})
	_, err := v.Verify(t.Context(), standardRequest("Webhook", "msg_1", "1750000000", "{}", public, nil), now())
	if reasonOf(t, err) == "" {
		t.Error("an HMAC made with the public key is accepted")
	}
}

func TestTimestamps(t *testing.T) {
	key := []byte("0123456789abcdefghijklmn")
	for _, tc := range []struct {
		unit, text string
		want       verify.Reason
	}{
		{"s", "1750000000", ""},
		{"s", "1749999700", ""},
		{"s", "1750000300", ""},
		{"s", "1749999699", verify.ReasonTimestampOutsideWindow},
		{"s", "1750000301", verify.ReasonTimestampOutsideWindow},
		{"s", "253402300799", verify.ReasonTimestampOutsideWindow}, // saturates a Duration
		{"s", "253402300800", verify.ReasonTimestampMalformed},
		{"s", "9223372036854775807", verify.ReasonTimestampMalformed},
		{"s", "99999999999999999999", verify.ReasonTimestampMalformed},
		{"s", "1750000000abc", verify.ReasonTimestampMalformed},
		{"s", "+1750000000", verify.ReasonTimestampMalformed},
		{"s", "-1750000000", verify.ReasonTimestampMalformed},
		{"s", "01750000000", verify.ReasonTimestampMalformed},
		{"s", "1_750_000_000", verify.ReasonTimestampMalformed},
		{"s", "1750000000.0", verify.ReasonTimestampMalformed},
		{"s", "1.75e9", verify.ReasonTimestampMalformed},
		{"s", "0x684ee180", verify.ReasonTimestampMalformed},
		{"s", "NaN", verify.ReasonTimestampMalformed},
		{"s", "Infinity", verify.ReasonTimestampMalformed},
		{"s", " 1750000000", verify.ReasonTimestampMalformed},
		{"s", "", verify.ReasonTimestampMissing},
		{"s", "1750000000000", verify.ReasonTimestampMalformed}, // milliseconds
		{"ms", "1750000000999", ""},
		{"ms", "1750000000", verify.ReasonTimestampOutsideWindow},
		{"ms", "9223372036854775807", verify.ReasonTimestampMalformed},
		{"rfc3339", "2025-06-15T15:06:40Z", ""},
		{"rfc3339", "2025-06-15T17:06:40.123456789+02:00", ""},
		{"rfc3339", "2025-06-14T15:06:40Z", verify.ReasonTimestampOutsideWindow},
		{"rfc3339", "2025-06-15 15:06:40", verify.ReasonTimestampMalformed},
		{"rfc3339", "1750000000", verify.ReasonTimestampMalformed},
	} {
		v := newVerifier(t, "hmac", verify.Config{Secrets: []string{string(key)}, Settings: map[string]string{
			"header": "X-Sig", "template": "{timestamp}{body}", "timestamp_header": "X-Time", "timestamp_unit": tc.unit,
		}})
		signature := hex.EncodeToString(mac(sha256.New, string(key), tc.text+payload))
		_, err := v.Verify(t.Context(), post(payload, "X-Sig", signature, "X-Time", tc.text), now())
		if got := reasonOf(t, err); got != tc.want {
			t.Errorf("%s %q: %v, want %q", tc.unit, tc.text, err, tc.want)
		}
	}
}

// TestTimestampBodyBoundary moves the border between timestamp and body where
// nothing separates them: the signed text stays the same.
func TestTimestampBodyBoundary(t *testing.T) {
	v := newVerifier(t, "hmac", verify.Config{Secrets: []string{secret}, Settings: map[string]string{
		"header": "X-Sig", "template": "{timestamp}{body}", "timestamp_header": "X-Time", "tolerance": "24h",
	}})
	signature := hex.EncodeToString(mac(sha256.New, secret, "17500000001234"))
	for _, tc := range []struct {
		timestamp, body string
		accepted        bool
	}{{"1750000000", "1234", true}, {"175000000", "01234", false}, {"17500000001", "234", false}} {
		_, err := v.Verify(t.Context(), post(tc.body, "X-Sig", signature, "X-Time", tc.timestamp), now())
		if (err == nil) != tc.accepted {
			t.Errorf("%s|%s: %v", tc.timestamp, tc.body, err)
		}
	}
}

func TestGenericHMAC(t *testing.T) {
	req := verify.Request{Method: "PUT", URL: "https://hooks.example.com/in/x?b=2&a=1", Body: []byte(payload),
		Header: http.Header{"X-Nonce": {"n1"}, "X-Id": {"id1"}, "X-Time": {"1750000000"}}}
	hexText := hex.EncodeToString([]byte(secret))
	base64Text := base64.StdEncoding.EncodeToString([]byte(secret))
	for _, tc := range []struct {
		name      string
		settings  map[string]string
		secret    string
		signature string
	}{
		{"sha1 hex", map[string]string{"hash": "sha1"}, secret, hex.EncodeToString(mac(sha1.New, secret, payload))},
		{"sha512 base64", map[string]string{"hash": "sha512", "encoding": "base64"}, secret, base64.StdEncoding.EncodeToString(mac(sha512.New, secret, payload))},
		{"base64url unpadded", map[string]string{"encoding": "base64url"}, secret, base64.RawURLEncoding.EncodeToString(mac(sha256.New, secret, payload))},
		{"base64url padded", map[string]string{"encoding": "base64url"}, secret, base64.URLEncoding.EncodeToString(mac(sha256.New, secret, payload))},
		{"upper-case hex", nil, secret, strings.ToUpper(digest)},
		{"hex secret", map[string]string{"secret_encoding": "hex"}, hexText, digest},
		{"base64 secret", map[string]string{"secret_encoding": "base64"}, base64Text, digest},
		{"base64 secret unpadded", map[string]string{"secret_encoding": "base64"}, strings.TrimRight(base64Text, "="), digest},
		{"list", map[string]string{"separator": ",", "prefix": "v1="}, secret, "v0=ab, v1=" + strings.Repeat("00", 32) + ", v1=" + digest},
		{"everything", map[string]string{"template": "{method}\n{url}|{header:X-Nonce}.{id}.{timestamp}.{body}!", "id_header": "X-Id", "timestamp_header": "X-Time"},
			secret, hex.EncodeToString(mac(sha256.New, secret, "PUT\n"+req.URL+"|n1.id1.1750000000."+payload+"!"))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			settings := map[string]string{"header": "x-signature"}
			for k, v := range tc.settings {
				settings[k] = v
			}
			v := newVerifier(t, "hmac", verify.Config{Secrets: []string{tc.secret}, Settings: settings})
			req.Header.Set("X-Signature", tc.signature)
			if _, err := v.Verify(t.Context(), req, now()); err != nil {
				t.Error(err)
			}
			changed := req
			changed.Body = []byte("hello, World!")
			if _, err := v.Verify(t.Context(), changed, now()); reasonOf(t, err) != verify.ReasonSignatureMismatch {
				t.Errorf("a changed body: %v", err)
			}
		})
	}
}

// TestOneEncoding: a signature has one text, where the decoders of the standard
// library know several.
func TestOneEncoding(t *testing.T) {
	raw := mac(sha256.New, secret, payload)
	padded := base64.StdEncoding.EncodeToString(raw)
	stray := padded[:len(padded)-2] + string(padded[len(padded)-2]+1) + "="
	for encoding, texts := range map[string][]string{
		"base64":    {padded[:9] + "\n" + padded[9:], padded + "\r\n", stray, strings.TrimRight(padded, "="), digest},
		"base64url": {padded[:9] + "\n" + padded[9:], strings.TrimRight(stray, "="), padded + "!"},
		"hex":       {digest + " ", "0x" + digest, padded},
	} {
		v := newVerifier(t, "hmac", verify.Config{Secrets: []string{secret}, Settings: map[string]string{"header": "X-Sig", "encoding": encoding}})
		for _, text := range texts {
			if _, err := v.Verify(t.Context(), post(payload, "X-Sig", text), now()); reasonOf(t, err) != verify.ReasonSignatureMalformed {
				t.Errorf("%s %q: %v", encoding, text, err)
			}
		}
	}
}

// TestLongNamesCountAsAbsent: they would become ids and labels.
func TestLongNamesCountAsAbsent(t *testing.T) {
	v := newVerifier(t, "none", verify.Config{Settings: map[string]string{"event_type": "header:X-Type", "delivery_id": "header:X-Id"}})
	fits, long := strings.Repeat("x", 256), strings.Repeat("x", 257)
	got, err := v.Verify(t.Context(), post("", "X-Type", long, "X-Id", fits), now())
	if diff := cmp.Diff(verify.Event{Type: "none.event", DeliveryID: fits}, got); err != nil || diff != "" {
		t.Errorf("%v, (-want +got):\n%s", err, diff)
	}
}

func TestWhatIsSignedMustBeThere(t *testing.T) {
	v := newVerifier(t, "hmac", verify.Config{Secrets: []string{secret}, Settings: map[string]string{
		"header": "X-Sig", "template": "{url}{header:X-Nonce}{body}"}})
	req := post(payload, "X-Sig", digest)
	if _, err := v.Verify(t.Context(), req, now()); reasonOf(t, err) != verify.ReasonURLMissing {
		t.Errorf("without URL: %v", err)
	}
	req.URL = "https://hooks.example.com/"
	if _, err := v.Verify(t.Context(), req, now()); reasonOf(t, err) != verify.ReasonHeaderMissing {
		t.Errorf("without header: %v", err)
	}
	req.Header["X-Nonce"] = []string{"", ""}
	if _, err := v.Verify(t.Context(), req, now()); reasonOf(t, err) != verify.ReasonDuplicateHeader {
		t.Errorf("with a repeated header: %v", err)
	}
}

func TestNone(t *testing.T) {
	v := newVerifier(t, "none", verify.Config{Settings: map[string]string{"event_type": "json:a.b", "delivery_id": "header:X-Id"}})
	got, err := v.Verify(t.Context(), post(`{"a":{"b":"x y"}}`, "X-Id", "1"), now())
	want := verify.Event{Type: "x.y", ProviderEventType: "x y", DeliveryID: "1"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, (-want +got):\n%s", err, diff)
	}
	got, err = newVerifier(t, "none", verify.Config{}).Verify(t.Context(), post("not JSON"), now())
	if diff := cmp.Diff(verify.Event{Type: "none.event"}, got); err != nil || diff != "" {
		t.Errorf("%v, (-want +got):\n%s", err, diff)
	}
}

func TestZeroVerifierRefuses(t *testing.T) {
	_, err := (&verify.Verifier{}).Verify(t.Context(), post(payload, "X-Hub-Signature-256", "sha256="+digest), now())
	if reasonOf(t, err) != verify.ReasonSecretMissing {
		t.Error(err)
	}
}

// TestReasonsAreClosed: each is there once; that there are no others is checked
// with the vectors.
func TestReasonsAreClosed(t *testing.T) {
	reasons := map[verify.Reason]bool{}
	for _, r := range verify.Reasons() {
		if reasons[r] {
			t.Errorf("%s is there twice", r)
		}
		reasons[r] = true
	}
}

// TestSecretsNeverShow prints what holds secrets in every way that a program
// does by accident.
func TestSecretsNeverShow(t *testing.T) {
	const secret = "0123456789abcdef"
	cfg := verify.Config{Secrets: []string{secret}}
	v := newVerifier(t, "github", cfg)
	cfg.Settings = map[string]string{"verify_token": secret}
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "cfg", cfg, "v", v)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "cfg", cfg, "v", v)
	if err := json.NewEncoder(&out).Encode(cfg); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		fmt.Fprintf(&out, strings.Repeat(verb+"\n", 3), cfg, &cfg, v)
	}
	for _, leak := range []string{secret, hex.EncodeToString([]byte(secret)), "48 49 50"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("output contains %q", leak)
		}
	}
}

// FuzzGenericHMAC holds that no request panics and that none is accepted without the
// one right signature in its header.
func FuzzGenericHMAC(f *testing.F) {
	v := newVerifier(f, "hmac", verify.Config{Secrets: []string{secret}, Settings: map[string]string{
		"header": "X-Sig", "prefix": "v1=", "separator": ",", "template": "{id}.{timestamp}.{body}",
		"id_header": "X-Id", "timestamp_header": "X-Time", "event_type": "json:a.0.type", "delivery_id": "header:X-Event"}})
	right := hex.EncodeToString(mac(sha256.New, secret, `m.1750000000.{"a":[{"type":"x"}]}`))
	f.Add("v1="+right, "m", "1750000000", []byte(`{"a":[{"type":"x"}]}`))
	f.Add("v2=,v1="+right[:10]+",", "", "-1", []byte(`{"a":[`))
	f.Fuzz(func(t *testing.T, signature, id, timestamp string, body []byte) {
		req := verify.Request{Body: body, Header: http.Header{"X-Sig": {signature}, "X-Id": {id}, "X-Time": {timestamp}}}
		event, err := v.Verify(t.Context(), req, now())
		if err != nil {
			if reasonOf(t, err) == "" {
				t.Fatal("an error without a reason")
			}
			return
		}
		expected := hex.EncodeToString(mac(sha256.New, secret, id+"."+timestamp+"."+string(body)))
		if !strings.Contains(strings.ToLower(signature), "v1="+expected) || event.Type == "" {
			t.Fatalf("accepted %q for %q %q %q as %+v", signature, id, timestamp, body, event)
		}
	})
}

// TestDescribe reads what a request says about itself, however it is signed.
func TestDescribe(t *testing.T) {
	github := newVerifier(t, "github", verify.Config{Secrets: []string{secret}, EventTypePrefix: "gh."})
	standard := newVerifier(t, "standard_webhooks", verify.Config{Secrets: []string{"whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32))}})
	for name, tc := range map[string]struct {
		v    *verify.Verifier
		req  verify.Request
		want verify.Event
	}{
		"unsigned":       {github, post("{}", "X-GitHub-Event", "push", "X-GitHub-Delivery", "1"), verify.Event{Type: "gh.push", ProviderEventType: "push", DeliveryID: "1"}},
		"nameless":       {github, post("{}"), verify.Event{Type: "github.event"}},
		"twice a header": {github, post("{}", "X-GitHub-Event", "push", "X-GitHub-Event", "pull", "X-GitHub-Delivery", "1"), verify.Event{Type: "github.event"}},
		"signed id": {
			standard, post(`{"type":"a.b"}`, "Webhook-Id", "msg_1", "Webhook-Timestamp", "17", "Webhook-Signature", "v1,AAAA"),
			verify.Event{Type: "a.b", ProviderEventType: "a.b", DeliveryID: "msg_1"},
		},
		"no signed id": {standard, post(`{"type":"a.b"}`), verify.Event{Type: "a.b", ProviderEventType: "a.b"}},
	} {
		if diff := cmp.Diff(tc.want, tc.v.Describe(tc.req)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if got := new(verify.Verifier).Describe(post("{}")); got.DeliveryID != "" {
		t.Errorf("the zero value: %+v", got)
	}
}

package verify_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern/verify"
)

// topic is an Amazon SNS topic of which the test has the private key.
type topic struct {
	key         *rsa.PrivateKey
	certificate string // PEM
	fetched     []string
}

const (
	certificateURL = "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-1.pem"
	subscribeURL   = "https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&Token=k"
)

func newTopic(t testing.TB, now time.Time) *topic {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &topic{key: key, certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// Fetch is a verify.Fetcher that notes what is asked for.
func (tp *topic) Fetch(_ context.Context, url string) ([]byte, error) {
	tp.fetched = append(tp.fetched, url)
	if url != certificateURL {
		return nil, errors.New("there is nothing")
	}
	return []byte(tp.certificate), nil
}

// message is a signed message in which some members are replaced afterwards.
func (tp *topic) message(t testing.TB, version string, members, after map[string]string) verify.Request {
	t.Helper()
	text := ""
	for _, name := range slices.Sorted(maps.Keys(members)) {
		text += name + "\n" + members[name] + "\n"
	}
	hash, digest := crypto.SHA1, sha1.Sum([]byte(text))
	sum := digest[:]
	if version == "2" {
		strong := sha256.Sum256([]byte(text))
		hash, sum = crypto.SHA256, strong[:]
	}
	signature, err := rsa.SignPKCS1v15(rand.Reader, tp.key, hash, sum)
	if err != nil {
		t.Fatal(err)
	}
	members = maps.Clone(members)
	members["SignatureVersion"], members["SigningCertURL"] = version, certificateURL
	members["Signature"] = base64.StdEncoding.EncodeToString(signature)
	maps.Copy(members, after)
	body, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return verify.Request{Method: http.MethodPost, Header: http.Header{"Content-Type": {"text/plain; charset=UTF-8"}}, Body: body}
}

// TestSNSSubscription: a subscription is confirmed for the topic of the source
// alone, since anybody can have Amazon sign for one of their own.
func TestSNSSubscription(t *testing.T) {
	now := time.Unix(1795000000, 0)
	tp := newTopic(t, now)
	subscription := map[string]string{
		"Type": "SubscriptionConfirmation", "MessageId": "m1", "Token": "k", "TopicArn": "arn:aws:sns:us-west-2:1:T",
		"Message": "You have chosen to subscribe.\n", "SubscribeURL": subscribeURL, "Timestamp": "2026-11-18T11:06:40.000Z",
	}
	elsewhere := maps.Clone(subscription)
	elsewhere["SubscribeURL"] = "https://evil.example/?Action=ConfirmSubscription"
	tests := map[string]struct {
		settings map[string]string
		members  map[string]string
		after    map[string]string
		confirm  string
		events   int
		reason   verify.Reason
	}{
		"its topic":           {map[string]string{"topic_arn": "arn:aws:sns:us-west-2:1:T"}, subscription, nil, subscribeURL, 0, ""},
		"another topic":       {map[string]string{"topic_arn": "arn:aws:sns:us-west-2:1:U"}, subscription, nil, "", 0, verify.ReasonValueMismatch},
		"no topic configured": {nil, subscription, nil, "", 1, ""},
		"an address of somebody else's, signed": {map[string]string{"topic_arn": "arn:aws:sns:us-west-2:1:T"}, elsewhere, nil,
			"", 0, verify.ReasonHandshakeRefused},
		"a token that was changed": {map[string]string{"topic_arn": "arn:aws:sns:us-west-2:1:T"}, subscription, map[string]string{"Token": "l"},
			"", 0, verify.ReasonSignatureMismatch},
	}
	def, _ := verify.Lookup("aws_sns")
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v, err := verify.New(def, verify.Config{Settings: tt.settings, Fetch: tp})
			if err != nil {
				t.Fatal(err)
			}
			got, err := v.Receive(t.Context(), tp.message(t, "2", tt.members, tt.after), now)
			if reasonOf(t, err) != tt.reason || got.Confirm != tt.confirm || len(got.Events) != tt.events {
				t.Errorf("confirm %q, %d events, error %v; want %q, %d, %q", got.Confirm, len(got.Events), err, tt.confirm, tt.events, tt.reason)
			}
		})
	}
}

// TestSNSCertificateIsFetchedOnce: from Amazon alone, also when a certificate is
// configured, and the version that a source pins is the only one.
func TestSNSCertificateIsFetchedOnce(t *testing.T) {
	now := time.Unix(1795000000, 0)
	tp := newTopic(t, now)
	members := map[string]string{"Type": "Notification", "MessageId": "m1", "TopicArn": "a", "Message": "x", "Timestamp": "2026-11-18T11:06:40.000Z"}
	def, _ := verify.Lookup("aws_sns")
	check := func(cfg verify.Config, version string, after map[string]string, want verify.Reason) {
		t.Helper()
		v, err := verify.New(def, cfg)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := v.Verify(t.Context(), tp.message(t, version, members, after), now); reasonOf(t, err) != want {
				t.Errorf("version %s with %v: %v, want %q", version, after, err, want)
			}
		}
	}
	check(verify.Config{Fetch: tp}, "1", nil, "")
	if len(tp.fetched) != 1 || tp.fetched[0] != certificateURL {
		t.Errorf("fetched: %q", tp.fetched)
	}
	check(verify.Config{Fetch: tp, Settings: map[string]string{"signature_version": "2"}}, "2", nil, "")
	check(verify.Config{Fetch: tp, Settings: map[string]string{"signature_version": "2"}}, "1", nil, verify.ReasonSchemeUnmet)
	check(verify.Config{Fetch: tp}, "3", nil, verify.ReasonSchemeUnmet)

	tp.fetched = nil
	pinned := verify.Config{Fetch: tp, Secrets: []string{tp.certificate}}
	for _, cfg := range []verify.Config{{Fetch: tp}, pinned} {
		for _, address := range []string{"https://evil.example/x.pem", "http://sns.us-west-2.amazonaws.com/x.pem",
			"https://sns.us-west-2.amazonaws.com@evil.example/x.pem", "https://sns.us-west-2.amazonaws.com/x.txt"} {
			check(cfg, "1", map[string]string{"SigningCertURL": address}, verify.ReasonKeyForbidden)
		}
	}
	check(pinned, "1", nil, "")
	if len(tp.fetched) != 0 {
		t.Errorf("fetched although it is forbidden, or configured: %q", tp.fetched)
	}
}

// TestBraintreeIsNoOracle: whoever may ask for the answer to a challenge must not
// be able to send that challenge as a notification.
func TestBraintreeIsNoOracle(t *testing.T) {
	def, _ := verify.Lookup("braintree")
	v, err := verify.New(def, verify.Config{Secrets: []string{"pub:priv"}})
	if err != nil {
		t.Fatal(err)
	}
	const challenge = "0123456789abcdef0123"
	got, err := v.Receive(t.Context(), verify.Request{Method: http.MethodGet, URL: "https://h.io/in?bt_challenge=" + challenge}, time.Time{})
	if err != nil || got.Answer.Body == "" {
		t.Fatal(got, err)
	}
	body := fmt.Sprintf("bt_signature=%s&bt_payload=%s", got.Answer.Body, challenge)
	_, err = v.Verify(t.Context(), verify.Request{Method: http.MethodPost, Body: []byte(body)}, time.Time{})
	if reasonOf(t, err) != verify.ReasonSignatureMismatch {
		t.Errorf("the answer to a challenge signs a notification: %v", err)
	}
}

// TestBraintreePayload: signed as it stands, but not the base64 that it must be,
// and secrets that have lost a half.
func TestBraintreePayload(t *testing.T) {
	key := sha1.Sum([]byte("priv"))
	form := func(payload string) verify.Request {
		digest := hex.EncodeToString(mac(sha1.New, string(key[:]), payload))
		return post(url.Values{"bt_signature": {"pub|" + digest}, "bt_payload": {payload}}.Encode())
	}
	def, _ := verify.Lookup("braintree")
	for _, tt := range []struct {
		secret, payload string
		want            verify.Reason
	}{
		{"pub:priv", "PGE+\n", ""},
		{"pub:priv", "PGE \n", verify.ReasonBodyMalformed},
		{"pub:priv", "<a>", verify.ReasonBodyMalformed},
		{"pub:priv", "", verify.ReasonValueMissing},
		{"other:priv", "PGE+\n", verify.ReasonSignatureMalformed},
		{"pub:other", "PGE+\n", verify.ReasonSignatureMismatch},
		{"pub", "PGE+\n", verify.ReasonSecretMissing},
		{"pub:", "PGE+\n", verify.ReasonSecretMissing},
		{":priv", "PGE+\n", verify.ReasonSecretMissing},
	} {
		v, err := verify.New(def, verify.Config{Secrets: []string{tt.secret}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), form(tt.payload), time.Time{}); reasonOf(t, err) != tt.want {
			t.Errorf("%s, %q: %v, want %q", tt.secret, tt.payload, err, tt.want)
		}
	}
}

// stub answers for one address.
type stub struct {
	url, answer string
	asked       []string
}

func (s *stub) Fetch(_ context.Context, address string) ([]byte, error) {
	s.asked = append(s.asked, address)
	if address != s.url {
		return nil, errors.New("there is nothing")
	}
	return []byte(s.answer), nil
}

// TestFetchedKeys: the requests that verify with a configured key do so with the
// one that the provider answers with as well, from the one address that it is at.
func TestFetchedKeys(t *testing.T) {
	at := map[string]stub{
		"fal_ai":       {url: "https://rest.fal.ai/.well-known/jwks.json"},
		"mailchannels": {url: "https://api.mailchannels.net/tx/v1/webhook/public-key?id=mckey"},
		"paypal":       {url: "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270"},
		"shipengine":   {url: "https://api.shipengine.com/jwks"},
		"travis_ci":    {url: "https://api.travis-ci.com/config"},
	}
	for _, d := range readDerived(t) {
		answers, ok := at[d.Provider]
		if !ok || d.Expect != "accept" {
			continue
		}
		t.Run(d.ID, func(t *testing.T) {
			answers.answer = published(t, d.Provider, d.Secrets[0])
			d.Secrets = nil
			def, _ := verify.Lookup(d.Provider)
			v, err := verify.New(def, verify.Config{Settings: d.Config, Fetch: &answers})
			if err != nil {
				t.Fatal(err)
			}
			req := verify.Request{Method: d.Method, URL: d.URL, Header: http.Header{}, Body: d.Body}
			for _, h := range d.Headers {
				req.Header.Add(h[0], h[1])
			}
			if _, err := v.Verify(t.Context(), req, time.Unix(d.Now, 0)); err != nil || len(answers.asked) != 1 {
				t.Errorf("%v; asked for %q", err, answers.asked)
			}
		})
		delete(at, d.Provider)
	}
	if len(at) > 0 {
		t.Errorf("without a request that verifies: %v", slices.Collect(maps.Keys(at)))
	}
}

// published is how a provider publishes the key that a source would configure.
func published(t *testing.T, provider, secret string) string {
	t.Helper()
	quoted, _ := json.Marshal(secret) // a string
	switch provider {
	case "fal_ai":
		return `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"` + strings.Repeat("A", 42) + `E"},{"kty":"OKP","crv":"Ed25519","x":` + string(quoted) + `}]}`
	case "mailchannels":
		return `{"id":"mckey","key":` + string(quoted) + `}`
	case "shipengine":
		block, _ := pem.Decode([]byte(secret))
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		modulus := base64.RawURLEncoding.EncodeToString(public.(*rsa.PublicKey).N.Bytes())
		return `{"keys":[{"kty":"RSA","kid":"k1","alg":"RS256","e":"AQAB","n":"` + modulus + `"}]}`
	case "travis_ci":
		return `{"config":{"notifications":{"webhook":{"public_key":` + string(quoted) + `}}}}`
	}
	return secret
}

// FuzzCodeSchemes changes one byte of a request that verifies, anywhere in a
// header or the body. Where the whole body is signed as it is, no change of it
// may pass; and nothing may panic.
func FuzzCodeSchemes(f *testing.F) {
	verbatim := []string{"contentful", "hygraph", "ebay", "moralis", "coinbase_cdp", "paypal", "circle", "plaid", "wix"}
	var valid []derived
	for _, d := range readDerived(f) {
		if def, ok := verify.Lookup(d.Provider); d.Expect == "accept" && ok && slices.ContainsFunc(def.Schemes, func(s verify.Scheme) bool { return s.Kind == verify.KindCode }) {
			valid = append(valid, d)
		}
	}
	if len(valid) < 10 {
		f.Fatalf("only %d requests", len(valid))
	}
	for i := range valid {
		f.Add(uint(i), uint(7), byte(1), "")
		f.Add(uint(i), uint(300), byte(32), "x")
	}
	f.Fuzz(func(t *testing.T, which, at uint, mask byte, more string) {
		d := valid[which%uint(len(valid))]
		def, _ := verify.Lookup(d.Provider)
		v, err := verify.New(def, verify.Config{Secrets: d.Secrets, Settings: d.Config})
		if err != nil {
			t.Fatal(err)
		}
		req := verify.Request{Method: d.Method, URL: d.URL, Header: http.Header{}, Body: []byte(string(d.Body) + more)}
		if len(d.Body) > 0 {
			req.Body[at%uint(len(d.Body))] ^= mask
		}
		for _, h := range d.Headers {
			value := []byte(h[1])
			if at%3 == 0 && len(value) > 0 {
				value[at%uint(len(value))] ^= mask
			}
			req.Header.Add(h[0], string(value))
		}
		_, err = v.Verify(t.Context(), req, time.Unix(d.Now, 0))
		if err == nil && slices.Contains(verbatim, d.Provider) && string(req.Body) != string(d.Body) {
			t.Errorf("%s: accepts %q", d.ID, req.Body)
		}
	})
}

// TestHook0Versions: v0 and v1 are signed with one secret, so that what was
// signed as v1 must not be read as v0 with the headers as a part of the body.
func TestHook0Versions(t *testing.T) {
	now := time.Unix(1795000000, 0)
	const signed = `x-event-id.e1.{"eventType":"a"}`
	def, _ := verify.Lookup("coinbase_cdp")
	v, err := verify.New(def, verify.Config{Secrets: []string{"s"}})
	if err != nil {
		t.Fatal(err)
	}
	sum := hexMAC("s", "1795000000."+signed)
	for name, tt := range map[string]struct {
		signature, body string
		want            verify.Reason
	}{
		"v1":       {"t=1795000000,h=x-event-id,v1=" + sum, `{"eventType":"a"}`, ""},
		"v1 as v0": {"t=1795000000,v0=" + sum, signed, verify.ReasonSignatureMalformed},
		"v0":       {"t=1795000000,v0=" + hexMAC("s", `1795000000.{"eventType":"a"}`), `{"eventType":"a"}`, ""},
	} {
		_, err := v.Verify(t.Context(), verify.Request{
			Method: http.MethodPost, Body: []byte(tt.body), Header: http.Header{"X-Hook0-Signature": {tt.signature}, "X-Event-Id": {"e1"}},
		}, now)
		if reasonOf(t, err) != tt.want {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

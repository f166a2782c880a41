package posterntest_test

import (
	"cmp"
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
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/posterntest"
	"github.com/postern-dev/postern/verify"
)

// secretsOf are secrets made up in the forms that there are; one of them is
// the provider's.
func secretsOf(def verify.Definition) []string {
	raw := []byte("posterntest-made-up-secret-00001") // 32 bytes
	var all []string
	for _, s := range def.Schemes {
		text := string(raw)
		switch {
		case s.Kind == verify.KindBasic, s.Code == "braintree":
			text = "user:" + text
		case s.Key.Form == "hex":
			text = hex.EncodeToString(raw)
		case s.Key.Form == "base64":
			text = base64.StdEncoding.EncodeToString(raw)
		}
		all = append(all, s.Key.Prefix+text)
	}
	return all
}

// unsignable are the providers that cannot be signed for, with the reason.
func unsignable() map[string]string {
	return map[string]string{
		"apple":        "signs with certificates of its own",
		"dropbox_sign": "belongs into the body", // a multipart one, which Sign does not write
	}
}

// bodies and settings are what single providers need besides a secret.
func bodies() map[string]string {
	return map[string]string{
		"cloudevents":     `{"specversion":"1.0","id":"1","source":"/a","type":"a.b","data":{}}`,
		"plivo":           "From=1&To=2",
		"adyen":           `{"notificationItems":[{"NotificationRequestItem":{"pspReference":"p","eventCode":"AUTHORISATION","additionalData":{}}}]}`,
		"microsoft_graph": `{"value":[{"id":"1"},{"id":"2"}]}`,
	}
}

func settings() map[string]map[string]string {
	return map[string]map[string]string{
		"hmac":          {"header": "X-Signature"},
		"google_pubsub": {"audience": "https://example.com/webhooks", "service_account": "a@example.com"},
		"paypal":        {"webhook_id": "wh_1"},
	}
}

// privateKeys are one of each type.
func privateKeys(t *testing.T) []crypto.Signer {
	t.Helper()
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return []crypto.Signer{edwards, curve, long}
}

// verifies reports what a source with a secret says of a request.
func verifies(t *testing.T, def verify.Definition, cfg verify.Config, req *http.Request, at time.Time) error {
	t.Helper()
	content, err := req.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(def, cfg)
	if err != nil {
		return err
	}
	_, err = v.Verify(t.Context(), verify.Request{Method: req.Method, URL: req.URL.String(), Header: req.Header, Body: body}, at)
	return err
}

// TestSignForEveryProvider: what is signed for a provider verifies, with a secret or
// a private key, and under no other; those for which that cannot be are known.
func TestSignForEveryProvider(t *testing.T) {
	keys := privateKeys(t)
	for _, id := range verify.Providers() {
		p := provider{t: t}
		p.def, _ = verify.Lookup(id)
		if p.def.Schemes[0].Kind == verify.KindNone {
			p.try("", nil)
		}
		for _, secret := range secretsOf(p.def) {
			p.try(secret, nil)
		}
		for _, key := range keys {
			p.try("", key)
		}
		want := unsignable()[id]
		switch {
		case p.signed == 0 && want == "":
			t.Errorf("%s: %v", id, p.failure)
		case p.signed == 0 && !strings.Contains(p.failure.Error(), want):
			t.Errorf("%s: %v, want %s", id, p.failure, want)
		case p.signed > 0 && want != "":
			t.Errorf("%s can be signed for", id)
		}
	}
}

// provider is one that is signed for.
type provider struct {
	t       *testing.T
	def     verify.Definition
	signed  int
	failure error // that says most
}

// try signs with a secret or a private key, and counts what worked.
func (p *provider) try(secret string, key crypto.Signer) {
	p.t.Helper()
	at := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	o := posterntest.SignOptions{At: at, Settings: settings()[p.def.ID], PrivateKey: key}
	body := cmp.Or(bodies()[p.def.ID], `{"id":"evt_1","type":"a.b"}`)
	if p.def.ID == "cloudevents" {
		o.Header = http.Header{"Content-Type": {"application/cloudevents+json"}}
	}
	req, err := posterntest.Sign(p.def.ID, secret, []byte(body), o)
	if err != nil {
		p.failure = further(p.failure, err)
		return
	}
	p.signed++
	if secret == "" {
		return // Sign asks the Verifier itself, which is all that the key is told
	}
	cfg := verify.Config{Secrets: []string{secret}, Settings: o.Settings}
	if err := verifies(p.t, p.def, cfg, req, at); err != nil {
		p.t.Errorf("%s: %v", p.def.ID, err)
	}
	cfg.Secrets[0] = other(secret)
	if err := verifies(p.t, p.def, cfg, req, at); err == nil {
		p.t.Errorf("%s: another secret verifies as well", p.def.ID)
	}
}

// other is a secret of the same form.
func other(secret string) string {
	if strings.HasSuffix(secret, "1") || strings.HasSuffix(secret, "=") {
		i := len(secret) - 8 // within what is encoded
		return secret[:i] + string(secret[i]^1) + secret[i+1:]
	}
	return secret[:len(secret)-1] + "1"
}

// further is the error that says more: that a key is of another form says nothing.
func further(a, b error) error {
	if a == nil || strings.Contains(a.Error(), "secrets") || strings.Contains(a.Error(), "it does not sign with") {
		return b
	}
	return a
}

// TestSignedRequestsReachSources: an engine's source takes what is signed for its
// address.
func TestSignedRequestsReachSources(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		s := posterntest.New(t, engine.Config{})
		r := s.NewReceiver()
		s.Connect(r)
		ids := []string{"github", "paypal", "slack", "square", "twilio"}
		for _, id := range ids {
			o := posterntest.SignOptions{Settings: settings()[id]}
			secret := "posterntest-made-up-secret"
			in := map[string]any{"name": id, "provider": id, "secrets": []string{secret}, "config": o.Settings}
			if id == "paypal" {
				o.PrivateKey = privateKeys(t)[2]
				der, err := x509.MarshalPKIXPublicKey(o.PrivateKey.Public())
				if err != nil {
					t.Fatal(err)
				}
				secret = ""
				in["secrets"] = []string{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}
			}
			var source struct{ IngestURL string }
			s.Call("POST", "/app/default/source", in, &source)
			o.URL = source.IngestURL
			req, err := posterntest.Sign(id, secret, []byte(`{"from":"`+id+`"}`), o)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := s.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if err := resp.Body.Close(); err != nil || resp.StatusCode/100 != 2 {
				t.Errorf("%s: %d, %v", id, resp.StatusCode, err)
			}
		}
		var came []string
		for _, got := range r.Await(len(ids)) {
			came = append(came, strings.TrimSuffix(strings.TrimPrefix(string(got.Body), `{"from":"`), `"}`))
		}
		if slices.Sort(came); !slices.Equal(came, ids) {
			t.Errorf("what came is %q", came)
		}
	})
}

// TestSignRefuses: what cannot be signed is told.
func TestSignRefuses(t *testing.T) {
	keys := privateKeys(t)
	for want, call := range map[string]func() (*http.Request, error){
		"nobody is not in the catalogue": func() (*http.Request, error) {
			return posterntest.Sign("nobody", "s", nil, posterntest.SignOptions{})
		},
		"private key": func() (*http.Request, error) {
			return posterntest.Sign("github", "", nil, posterntest.SignOptions{PrivateKey: keys[0]})
		},
		"secrets": func() (*http.Request, error) {
			return posterntest.Sign("github", "", nil, posterntest.SignOptions{})
		},
		"ed25519.PublicKey": func() (*http.Request, error) {
			return posterntest.Sign("paypal", "", nil, posterntest.SignOptions{PrivateKey: keys[0]})
		},
	} {
		if req, err := call(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, %v; want %s", req, err, want)
		}
	}
}

// How do I test my own endpoint with a request that GitHub might have sent?
func ExampleSign() {
	const secret = "its-a-secret"
	v, err := verify.For("github", secret)
	if err != nil {
		panic(err)
	}
	mine := verify.Middleware(v, verify.Options{})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		event, _ := verify.EventFrom(r.Context())
		fmt.Println(event.Type)
	}))

	req, err := posterntest.Sign("github", secret, []byte(`{"action":"opened"}`), posterntest.SignOptions{
		Header: http.Header{"X-Github-Event": {"issues"}},
	})
	if err != nil {
		panic(err)
	}
	answer := httptest.NewRecorder()
	mine.ServeHTTP(answer, req)
	fmt.Println(answer.Code)
	// Output:
	// issues
	// 200
}

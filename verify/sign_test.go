package verify_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/verify"
)

// TestSignAgreesWithVendors: what a vendor's SDK signed is signed anew, and comes out
// as the SDK has it.
func TestSignAgreesWithVendors(t *testing.T) {
	same, resigned := map[string]bool{}, 0
	all := slices.Concat(readVectors(t), readVectorFile(t, "testdata/sdk_a.jsonl"), readVectorFile(t, "testdata/sdk_b.jsonl"))
	for _, v := range all {
		def, _ := verify.Lookup(v.Provider)
		if v.Case != "valid" {
			continue
		}
		verifier, err := verify.New(def, v.config(def))
		if err != nil {
			t.Fatalf("%s: %v", v.ID, err)
		}
		req := v.request()
		signed, err := verifier.Sign(t.Context(), req, verify.SignOptions{Now: time.Unix(v.Now, 0)})
		if err != nil {
			// What Sign has no key for, and what stands in a multipart body.
			if !strings.Contains(err.Error(), "private key") && !strings.Contains(err.Error(), "certificates") && v.Provider != "dropbox_sign" {
				t.Errorf("%s: %v", v.ID, err)
			}
			continue
		}
		resigned++
		if _, err := verifier.Verify(t.Context(), signed, time.Unix(v.Now, 0)); err != nil {
			t.Errorf("%s: %v", v.ID, err)
		}
		if maps.EqualFunc(signed.Header, req.Header, func(a, b []string) bool { return cmp.Equal(a, b) }) && string(signed.Body) == string(req.Body) {
			same[v.Provider] = true
		}
	}
	for _, id := range []string{"github", "shopify", "slack", "twilio", "square", "hubspot", "standard_webhooks"} {
		if !same[id] {
			t.Errorf("%s is signed otherwise than its vendor does", id)
		}
	}
	if resigned < 70 || len(same) < 40 {
		t.Errorf("%d vectors signed anew, %d providers alike", resigned, len(same))
	}
}

// TestSignLeavesTheRequest: what is given is not written to, and what stands there is
// not replaced but for the signature.
func TestSignLeavesTheRequest(t *testing.T) {
	v := newVerifier(t, "stripe", verify.Config{Secrets: []string{"whsec_made_up"}})
	body := make([]byte, 2, 100)
	copy(body, "{}")
	req := verify.Request{Method: "POST", Header: http.Header{"X-A": {"b"}}, Body: body}
	signed, err := v.Sign(t.Context(), req, verify.SignOptions{Now: now()})
	if err != nil {
		t.Fatal(err)
	}
	if len(req.Header) != 1 || len(signed.Header) != 2 || signed.Header.Get("X-A") != "b" || string(body[:4]) != "{}\x00\x00" {
		t.Errorf("%v, %v", req.Header, signed.Header)
	}
	github := newVerifier(t, "standard_webhooks", verify.Config{Secrets: []string{"whsec_c2VjcmV0IG9mIHRoZSBkZXJpdmVkIHZlY3Rvcg=="}})
	req.Header.Set("Webhook-Id", "msg_mine")
	if signed, err = github.Sign(t.Context(), req, verify.SignOptions{Now: now()}); err != nil || signed.Header.Get("Webhook-Id") != "msg_mine" {
		t.Errorf("%v, %v", signed.Header, err)
	}
}

// TestSignRefuses: what cannot be signed is told, in words of its own.
func TestSignRefuses(t *testing.T) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := hex.EncodeToString(private.Public().(ed25519.PublicKey))
	for name, tc := range map[string]struct {
		provider string
		cfg      verify.Config
		req      verify.Request
		o        verify.SignOptions
		want     string
	}{
		"fetched keys":        {"paypal", verify.Config{Settings: map[string]string{"webhook_id": "w"}}, verify.Request{}, verify.SignOptions{}, "fetched"},
		"no private key":      {"discord", verify.Config{Secrets: []string{public}}, verify.Request{}, verify.SignOptions{}, "private key"},
		"another private key": {"discord", verify.Config{Secrets: []string{public}}, verify.Request{}, verify.SignOptions{Private: other}, "private key"},
		"no URL":              {"square", verify.Config{Secrets: []string{"made-up"}}, verify.Request{}, verify.SignOptions{}, "url_missing"},
		"no JSON":             {"mailgun", verify.Config{Secrets: []string{"made-up"}}, verify.Request{Body: []byte("<a/>")}, verify.SignOptions{}, "has to be JSON"},
		"no object":           {"mailgun", verify.Config{Secrets: []string{"made-up"}}, verify.Request{Body: []byte("[]")}, verify.SignOptions{}, "no place"},
		"no items":            {"adyen", verify.Config{Secrets: []string{public}}, verify.Request{Body: []byte("{}")}, verify.SignOptions{}, "no array"},
	} {
		tc.o.Now = now()
		v := newVerifier(t, tc.provider, tc.cfg)
		if signed, err := v.Sign(t.Context(), tc.req, tc.o); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, %v", name, signed, err)
		}
	}
}

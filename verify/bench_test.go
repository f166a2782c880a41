package verify_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/postern-dev/postern/verify"
)

// signedSample is a request with a body of one KiB and what is hashed for it.
type signedSample struct {
	provider, secret string
	newHash          func() hash.Hash
	key, text        []byte
	req              verify.Request
}

// signedSamples are made as the vendors make theirs, in the shapes of large
// providers.
func signedSamples() []signedSample {
	body := `{"type":"invoice.paid","id":"evt_1","data":"` + strings.Repeat("x", 978) + `"}`
	form := url.Values{}
	for i := range 21 {
		form.Set(fmt.Sprintf("Field%02d", i), "+44 20 7946 0123 and then some more")
	}
	const id, ts, address = "msg_1", "1750000000", "https://hooks.example.com/in/twilio?a=1"
	key := bytes.Repeat([]byte("k"), 24)
	samples := []signedSample{
		{provider: "github", newHash: sha256.New, text: []byte(body)},
		{provider: "stripe", newHash: sha256.New, text: []byte(ts + "." + body)},
		{provider: "standard_webhooks", newHash: sha256.New, secret: "whsec_" + base64.StdEncoding.EncodeToString(key), text: []byte(id + "." + ts + "." + body)},
		{provider: "twilio", newHash: sha1.New, text: []byte(address + sorted(form))},
	}
	for i := range samples {
		s := &samples[i]
		s.key = key
		if s.secret == "" {
			s.secret = string(key)
		}
		mac := s.sum()
		switch s.provider {
		case "github":
			s.req = post(body, "X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac), "X-GitHub-Event", "push", "X-GitHub-Delivery", "1")
		case "stripe":
			s.req = post(body, "Stripe-Signature", "t="+ts+",v1="+hex.EncodeToString(mac))
		case "standard_webhooks":
			s.req = post(body, "Webhook-Id", id, "Webhook-Timestamp", ts, "Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac))
		case "twilio":
			s.req = post(form.Encode(), "X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac))
			s.req.URL = address
		}
		s.req.Header.Set("User-Agent", "sample")
	}
	return samples
}

func (s signedSample) sum() []byte {
	mac := hmac.New(s.newHash, s.key)
	mac.Write(s.text)
	return mac.Sum(nil)
}

// sorted is a form's names and values, sorted by name.
func sorted(form url.Values) string {
	var names []string
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	var text strings.Builder
	for _, name := range names {
		text.WriteString(name + form.Get(name))
	}
	return text.String()
}

// BenchmarkVerify is what a request of one KiB costs: all of it, and under hash
// what the HMAC alone costs.
func BenchmarkVerify(b *testing.B) {
	for _, s := range signedSamples() {
		b.Run(s.provider, func(b *testing.B) {
			v := newVerifier(b, s.provider, verify.Config{Secrets: []string{s.secret}})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), s.req, now()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(s.provider+"/hash", func(b *testing.B) {
			for b.Loop() {
				s.sum()
			}
		})
	}
}

package verify_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern/verify"
)

// hmacHex is the HMAC-SHA256 of a text.
func hmacHex(secret, text string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// differs finds the one that differs; "" for none. Behind it nothing is reached,
// and before it all is well.
func differs(t *testing.T, e verify.Explanation) string {
	t.Helper()
	found := ""
	for _, s := range e.Steps {
		want := verify.StepOK
		if found != "" {
			want = verify.StepNotReached
		}
		switch {
		case s.State == verify.StepDiffers && found == "":
			found = s.Name
			if s.Detail != e.Detail || e.Detail == "" {
				t.Errorf("step %s says %q, the refusal %q", s.Name, s.Detail, e.Detail)
			}
		case s.State != want:
			t.Errorf("step %s is %q, want %q", s.Name, s.State, want)
		}
	}
	if (found == "") != e.Accepted || e.Accepted != (e.Reason == "") {
		t.Errorf("accepted %v (%s), and the step that differs is %q", e.Accepted, e.Reason, found)
	}
	return found
}

func TestExplain(t *testing.T) {
	const secret, body = "hunter2-hunter2", `{"type":"invoice.paid"}`
	def := own("own", func(d *verify.Definition) {
		d.Settings = nil
		d.Schemes = d.Schemes[:1]
		d.Schemes[0].For = nil
		d.Schemes[0].Timestamp = verify.Timestamp{From: "header:X-Time", Unit: "s"}
		d.Schemes[0].Template = "v0:{timestamp}:{body}[:{header:X-Extra}]"
		d.Schemes[0].Require = []verify.Requirement{{Value: "header:X-Account", Equals: "${account}"}}
		d.Schemes[0].If = []string{"header:X-Own"}
		d.EventType = []verify.Selector{"json:type"}
		d.DeliveryID = []verify.Selector{"header:X-Id"}
	})
	v, err := verify.New(def, verify.Config{Secrets: []string{secret}, Settings: map[string]string{"account": "a1"}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1750000000, 0)
	tests := map[string]struct {
		change func(h http.Header)
		now    time.Time
		step   string
		reason verify.Reason
	}{
		"right":               {func(http.Header) {}, now, "", ""},
		"no signature":        {func(h http.Header) { h.Del("X-Own") }, now, "definition", verify.ReasonSchemeUnmet},
		"two signatures":      {func(h http.Header) { h.Add("X-Own", "00") }, now, "headers", verify.ReasonDuplicateHeader},
		"no timestamp":        {func(h http.Header) { h.Del("X-Time") }, now, "timestamp", verify.ReasonTimestampMissing},
		"no time":             {func(h http.Header) { h.Set("X-Time", "noon") }, now, "timestamp", verify.ReasonTimestampMalformed},
		"half a signature":    {func(h http.Header) { h.Set("X-Own", "00ff") }, now, "signature", verify.ReasonSignatureMalformed},
		"another signature":   {func(h http.Header) { h.Set("X-Own", strings.Repeat("00", 32)) }, now, "signature", verify.ReasonSignatureMismatch},
		"another account":     {func(h http.Header) { h.Set("X-Account", "a2") }, now, "required values", verify.ReasonValueMismatch},
		"too late":            {func(http.Header) {}, now.Add(time.Hour), "window", verify.ReasonTimestampOutsideWindow},
		"two ids of delivery": {func(h http.Header) { h.Add("X-Id", "2") }, now, "event type", verify.ReasonDuplicateHeader},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := http.Header{"X-Time": {"1749999990"}, "X-Account": {"a1"}, "X-Id": {"1"}}
			signature := hmacHex(secret, "v0:1749999990:"+body)
			h.Set("X-Own", signature)
			tt.change(h)
			req := verify.Request{Method: "POST", Header: h, Body: []byte(body)}
			e := v.Explain(t.Context(), req, tt.now)
			if got := differs(t, e); got != tt.step || e.Reason != tt.reason {
				t.Errorf("%q differs for %s, want %q for %s: %s", got, e.Reason, tt.step, tt.reason, e.Detail)
			}
			text := fmt.Sprintf("%+v", e)
			if strings.Contains(text, secret) || strings.Contains(text, signature) {
				t.Errorf("a secret or a signature is told: %s", text)
			}
			if tt.step != "" {
				return
			}
			for _, want := range []string{
				"1 key", "X-Own has 64 bytes", "10 s before now", "literal 3, timestamp 10, literal 1, body 23; 37 bytes",
				"within 5m0s", "invoice.paid",
			} {
				if !strings.Contains(text, want) {
					t.Errorf("it does not say %q: %s", want, text)
				}
			}
		})
	}
}

// A handshake is a step of its own, and the only one where nothing is signed.
func TestExplainHandshakes(t *testing.T) {
	def, _ := verify.Lookup("meta")
	v, err := verify.New(def, verify.Config{Secrets: []string{"s"}, Settings: map[string]string{"verify_token": "vt"}})
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]string{"vt": "", "no": "handshake"} {
		e := v.Explain(t.Context(), verify.Request{Method: "GET", URL: "https://x.example/in?hub.mode=subscribe&hub.challenge=1&hub.verify_token=" + token}, time.Now())
		if got := differs(t, e); got != want || len(e.Steps) != 2 {
			t.Errorf("%s: %q differs of %+v", token, got, e.Steps)
		}
	}
	def, _ = verify.Lookup("slack")
	if v, err = verify.New(def, verify.Config{Secrets: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	body := `{"type":"url_verification","challenge":"c"}`
	for secret, want := range map[string]string{"s": "", "other": "signature"} {
		e := v.Explain(t.Context(), verify.Request{Method: "POST", Body: []byte(body), Header: http.Header{
			"X-Slack-Request-Timestamp": {"1750000000"}, "X-Slack-Signature": {"v0=" + hmacHex(secret, "v0:1750000000:"+body)},
		}}, time.Unix(1750000000, 0))
		if got := differs(t, e); got != want || e.Steps[len(e.Steps)-1].Name != "handshake" {
			t.Errorf("%s: %q differs of %+v", secret, got, e.Steps)
		}
	}
}

// Explain and Receive always agree, and a refusal has its step.
func TestExplainAgrees(t *testing.T) {
	for _, v := range readVectors(t) {
		def, ok := verify.Lookup(v.Provider)
		if !ok {
			continue
		}
		verifier, err := verify.New(def, verify.Config{Secrets: v.Secrets})
		if err != nil {
			continue // an empty secret, or one in a form of its own
		}
		_, err = verifier.Receive(t.Context(), v.request(), time.Unix(v.Now, 0))
		e := verifier.Explain(t.Context(), v.request(), time.Unix(v.Now, 0))
		if e.Accepted != (err == nil) {
			t.Errorf("%s: accepted %v, and Receive says %v", v.ID, e.Accepted, err)
		}
		differs(t, e)
		for _, secret := range v.Secrets {
			if len(secret) > 8 && strings.Contains(fmt.Sprintf("%+v", e), secret) {
				t.Errorf("%s: the secret is told", v.ID)
			}
		}
	}
}

package verify_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/postern-dev/postern/verify"
)

// vector is one signed request of testdata/vectors.jsonl. They were made by
// running the vendors' own SDKs, or are their documented examples, and by
// changing the results. The secrets are random values made for them.
type vector struct {
	ID, Provider, Case, Reason string
	Method, URL                string
	Headers                    [][2]string
	Body                       []byte `json:"body_base64"`
	Secrets                    []string
	Now                        int64
	Expect                     string // accept or reject
	Grade                      string // must, policy, or either: both answers are safe
	Tolerance                  int    `json:"tolerance_s"` // seconds
	Meta                       struct {
		EventType  string `json:"event_type"`
		DeliveryID string `json:"delivery_id"`
	}
}

func (v vector) request() verify.Request {
	h := http.Header{}
	for _, pair := range v.Headers {
		h.Add(pair[0], pair[1])
	}
	return verify.Request{Method: v.Method, URL: v.URL, Header: h, Body: v.Body}
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	f, err := os.Open("testdata/vectors.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []vector
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// asHMAC expresses other providers in the settings of the generic scheme.
func asHMAC() map[string]map[string]string {
	return map[string]map[string]string{
		"slack": {"header": "X-Slack-Signature", "prefix": "v0=", "template": "v0:{timestamp}:{body}",
			"timestamp_header": "X-Slack-Request-Timestamp"},
		"square":  {"header": "X-Square-Hmacsha256-Signature", "encoding": "base64", "template": "{url}{body}", "event_type": "json:type", "delivery_id": "json:event_id"},
		"shopify": {"header": "X-Shopify-Hmac-Sha256", "encoding": "base64", "event_type": "header:X-Shopify-Topic", "delivery_id": "header:X-Shopify-Webhook-Id"},
		"hubspot": {"header": "X-HubSpot-Signature-v3", "encoding": "base64", "template": "{method}{url}{body}{timestamp}",
			"timestamp_header": "X-HubSpot-Request-Timestamp", "timestamp_unit": "ms", "event_type": "json:0.subscriptionType", "delivery_id": "json:0.eventId"},
		"box": {"header": "Box-Signature-Primary", "encoding": "base64", "template": "{body}{timestamp}",
			"timestamp_header": "Box-Delivery-Timestamp", "timestamp_unit": "rfc3339", "event_type": "json:trigger", "delivery_id": "header:Box-Delivery-Id"},
		"pusher":            {"header": "X-Pusher-Signature", "event_type": "json:events.0.name"},
		"line":              {"header": "X-Line-Signature", "encoding": "base64", "event_type": "json:events.0.type", "delivery_id": "json:events.0.webhookEventId"},
		"coinbase_commerce": {"header": "X-CC-Webhook-Signature", "event_type": "json:event.type", "delivery_id": "json:event.id"},
		"notion":            {"header": "X-Notion-Signature", "prefix": "sha256=", "event_type": "json:type", "delivery_id": "json:id"},
		"gitea":             {"header": "X-Gitea-Signature", "event_type": "header:X-Gitea-Event", "delivery_id": "header:X-Gitea-Delivery"},
		"pagerduty":         {"header": "X-PagerDuty-Signature", "prefix": "v1=", "separator": ",", "event_type": "json:event.event_type", "delivery_id": "json:event.id"},
		"dropbox":           {"header": "X-Dropbox-Signature"},
		"meta":              {"header": "X-Hub-Signature-256", "prefix": "sha256=", "event_type": "json:object"},
		"twitch": {"header": "Twitch-Eventsub-Message-Signature", "prefix": "sha256=", "template": "{id}{timestamp}{body}",
			"id_header": "Twitch-Eventsub-Message-Id", "timestamp_header": "Twitch-Eventsub-Message-Timestamp", "timestamp_unit": "rfc3339",
			"event_type": "header:Twitch-Eventsub-Subscription-Type", "delivery_id": "id"},
		"vercel":   {"header": "X-Vercel-Signature", "hash": "sha1", "event_type": "json:type", "delivery_id": "json:id"},
		"docusign": {"header": "X-DocuSign-Signature-1", "encoding": "base64", "event_type": "json:event"},
		"zoom": {"header": "X-Zm-Signature", "prefix": "v0=", "template": "v0:{timestamp}:{body}",
			"timestamp_header": "X-Zm-Request-Timestamp", "event_type": "json:event"},
		"circleci": {"header": "Circleci-Signature", "prefix": "v1=", "separator": ","},
		"linear":   {"header": "Linear-Signature", "event_type": "header:Linear-Event", "delivery_id": "header:Linear-Delivery"},
	}
}

// beyondHMAC are the vectors, by id, that need more than the generic scheme can
// say. They fail today, and a test says so when one no longer does.
func beyondHMAC() map[string]string {
	return map[string]string{
		"linear-a-023-stale":                         "the timestamp is in the body",
		"linear-a-024-stale_far":                     "the timestamp is in the body",
		"linear-a-028-header_ts_fresh_body_ts_stale": "the timestamp is in the body",
		"linear-a-029-body_ts_missing":               "the timestamp is in the body",
		"box-a-032-bad_version":                      "a header with a required value",
		"box-a-033-bad_algorithm":                    "a header with a required value",
		"pusher-a-022-other_app_key":                 "a header with a required value",
		"docusign-a-021-second_numbered_header":      "a second signature header",
		"box-fix-3":                                  "a second signature header",
	}
}

func verifierFor(t testing.TB, v vector) *verify.Verifier {
	t.Helper()
	provider, cfg := "hmac", verify.Config{Secrets: v.Secrets}
	switch v.Provider {
	case "github":
		provider = "github"
	case "svix", "openai":
		provider = "standard_webhooks"
	default:
		cfg.Settings = asHMAC()[v.Provider]
		if v.Tolerance > 0 {
			cfg.Settings["tolerance"] = strconv.Itoa(v.Tolerance)
		}
	}
	def, _ := verify.Lookup(provider)
	verifier, err := verify.New(def, cfg)
	if err != nil {
		t.Fatalf("%s: %v", v.ID, err)
	}
	return verifier
}

func TestVectors(t *testing.T) {
	beyond, ran := beyondHMAC(), map[string]int{}
	for _, v := range readVectors(t) {
		event, err := verifierFor(t, v).Verify(t.Context(), v.request(), time.Unix(v.Now, 0))
		ran[v.Provider]++
		right := v.Grade == "either" || (err == nil) == (v.Expect == "accept")
		if why, ok := beyond[v.ID]; ok {
			if right {
				t.Errorf("%s is within reach now (%s)", v.ID, why)
			}
			continue
		}
		if !right {
			t.Errorf("%s (%s): error %v, want %s", v.ID, v.Reason, err, v.Expect)
			continue
		}
		if err != nil {
			continue
		}
		settings := asHMAC()[v.Provider]
		direct := settings == nil
		if want := v.Meta.EventType; want != "" && (direct || settings["event_type"] != "") && event.ProviderEventType != want {
			t.Errorf("%s: event type %q, want %q", v.ID, event.ProviderEventType, want)
		}
		if want := v.Meta.DeliveryID; want != "" && (direct || settings["delivery_id"] != "") && event.DeliveryID != want {
			t.Errorf("%s: delivery id %q, want %q", v.ID, event.DeliveryID, want)
		}
	}
	if len(ran) != 22 || ran["github"] != 21 || ran["svix"] != 33 {
		t.Errorf("vectors that ran, by provider: %v", ran)
	}
}

// TestVectorsWithEmptySecret: without a secret, or with an empty one beside a
// good one, anybody could sign; so there is no Verifier.
func TestVectorsWithEmptySecret(t *testing.T) {
	for _, v := range readVectors(t) {
		if v.Case != "valid" {
			continue
		}
		provider, settings := "hmac", asHMAC()[v.Provider]
		if settings == nil {
			provider = "github"
		}
		def, _ := verify.Lookup(provider)
		for _, secrets := range [][]string{nil, {}, {""}, {v.Secrets[0], ""}} {
			if _, err := verify.New(def, verify.Config{Secrets: secrets, Settings: settings}); err == nil {
				t.Errorf("%s: %d secrets with an empty one are taken", v.ID, len(secrets))
			}
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, v := range readVectors(b) {
		if v.Case != "valid" || v.Provider != "github" && v.Provider != "svix" {
			continue
		}
		b.Run(v.Provider, func(b *testing.B) {
			verifier, req, now := verifierFor(b, v), v.request(), time.Unix(v.Now, 0)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := verifier.Verify(b.Context(), req, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

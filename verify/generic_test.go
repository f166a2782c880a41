package verify_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/postern-dev/postern/verify"
)

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

// TestVectorsByGenericHMAC verifies with the generic provider what has one of its
// own: a provider that is not in the catalogue is a matter of settings.
func TestVectorsByGenericHMAC(t *testing.T) {
	beyond, ran := beyondHMAC(), map[string]bool{}
	for _, v := range readVectors(t) {
		settings, ok := asHMAC()[v.Provider]
		if !ok || v.Variant == "v1" || v.Variant == "v2" {
			continue
		}
		ran[v.Provider] = true
		if v.Extra.Tolerance > 0 {
			settings["tolerance"] = strconv.Itoa(v.Extra.Tolerance)
		}
		def, _ := verify.Lookup("hmac")
		verifier, err := verify.New(def, verify.Config{Secrets: v.Secrets, Settings: settings})
		var event verify.Event
		if err == nil {
			event, err = verifier.Verify(t.Context(), v.request(), time.Unix(v.Now, 0))
		}
		right := v.Grade == "either" || (err == nil) == (v.Expect == "accept")
		if why, ok := beyond[v.ID]; ok == right {
			t.Errorf("%s (%s): error %v, want %s; beyond reach: %t %s", v.ID, v.Reason, err, v.Expect, ok, why)
		}
		if err != nil || !right {
			continue
		}
		if want := v.Meta.EventType; want != "" && settings["event_type"] != "" && event.ProviderEventType != want {
			t.Errorf("%s: event type %q, want %q", v.ID, event.ProviderEventType, want)
		}
		if want := v.Meta.DeliveryID; want != "" && settings["delivery_id"] != "" && event.DeliveryID != want {
			t.Errorf("%s: delivery id %q, want %q", v.ID, event.DeliveryID, want)
		}
	}
	if len(ran) != len(asHMAC()) {
		t.Errorf("providers that ran: %v", ran)
	}
}

// TestGenericTokens: a provider that only sends what it was told is a matter of
// settings, too.
func TestGenericTokens(t *testing.T) {
	for _, tc := range []struct {
		provider, secret string
		settings         map[string]string
		good, bad        verify.Request
	}{
		{"token", "t0k", map[string]string{"header": "X-Token", "event_type": "json:type"}, post(`{"type":"a"}`, "X-Token", "t0k"), post(`{"type":"a"}`, "X-Token", "T0K")},
		{"token", "t0k", map[string]string{"header": "Authorization", "prefix": "Bearer "}, post("", "Authorization", "bearer t0k"), post("", "Authorization", "t0k")},
		{"token", "t0k", map[string]string{"query": "access_token"}, verify.Request{Target: "/in?access_token=t0k"}, verify.Request{Target: "/in?token=t0k"}},
		{"token", "t0k", map[string]string{"field": "auth.token"}, post(`{"auth":{"token":"t0k"}}`), post(`{"auth":{"token":"t0"}}`)},
		{"basic", "u:p", nil, post("", "Authorization", "Basic dTpw"), post("", "Authorization", "Basic dTpx")},
	} {
		v := newVerifier(t, tc.provider, verify.Config{Secrets: []string{tc.secret}, Settings: tc.settings})
		if _, err := v.Verify(t.Context(), tc.good, now()); err != nil {
			t.Errorf("%s %v: %v", tc.provider, tc.settings, err)
		}
		if _, err := v.Verify(t.Context(), tc.bad, now()); err == nil {
			t.Errorf("%s %v: another token is taken", tc.provider, tc.settings)
		}
	}
}

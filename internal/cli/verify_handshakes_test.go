package cli_test

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"hash"
	"os"
	"strings"
	"testing"
)

// mac is an HMAC as the vendors' pages write it.
func mac(newHash func() hash.Hash, key, text string) []byte {
	h := hmac.New(newHash, []byte(key))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// object is a line in the making.
type object = map[string]any

// handshakes are requests that are no events, by what is tried.
func handshakes() map[string]struct {
	line   object
	status int    // 0 for a refusal
	body   string // "" for any
	header string // NAME: VALUE; "" for none in particular
} {
	type row = struct {
		line   object
		status int
		body   string
		header string
	}
	secrets := []string{"s3cret-s3cret"}
	get := func(provider, query string, more object) object {
		line := object{"provider": provider, "method": "GET", "url": "https://hooks.example.com/in/x" + query, "secrets": secrets}
		for name, value := range more {
			line[name] = value
		}
		return line
	}
	post := func(provider, body string, headers ...[2]string) object {
		return object{"provider": provider, "secrets": secrets, "body_base64": []byte(body), "now": 1750000000, "headers": headers}
	}
	slackBody, zoomBody := `{"type":"url_verification","challenge":"3eZbrw1aBm2"}`, `{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6"}}`
	signed := func(provider, prefix, header, timeHeader, body string) object {
		return post(provider, body, [2]string{timeHeader, "1750000000"},
			[2]string{header, prefix + hex.EncodeToString(mac(sha256.New, secrets[0], "v0:1750000000:"+body))})
	}
	xeroBody, twitchBody := `{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S0m3"}`, `{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{"status":"webhook_callback_verification_pending"}}`
	private := ed25519.NewKeyFromSeed([]byte("a seed of as many as 32 bytes..."))
	public, _ := private.Public().(ed25519.PublicKey)
	sha1Key := sha1.Sum([]byte("private"))
	ebay := sha256.Sum256([]byte("a1b2" + "token" + "https://hooks.example.com/in/x"))
	html := "?challenge=%3Cscript%3Ealert(1)%3C%2Fscript%3E"
	return map[string]row{
		"meta":                     {get("meta", "?hub.mode=subscribe&hub.verify_token=vt&hub.challenge=1158201444", object{"config": object{"verify_token": "vt"}}), 200, "1158201444", "Content-Type: text/plain"},
		"meta, another token":      {get("meta", "?hub.mode=subscribe&hub.verify_token=no&hub.challenge=1158201444", object{"config": object{"verify_token": "vt"}}), 0, "", ""},
		"meta, no token set":       {get("meta", "?hub.mode=subscribe&hub.verify_token=&hub.challenge=1158201444", nil), 0, "", ""},
		"dropbox":                  {get("dropbox", "?challenge=abc-123", nil), 200, "abc-123", "X-Content-Type-Options: nosniff"},
		"dropbox without a secret": {get("dropbox", "?challenge=abc-123", object{"secrets": nil}), 200, "abc-123", ""},
		"dropbox, HTML":            {get("dropbox", html, nil), 0, "", ""},
		"dropbox, a long one":      {get("dropbox", "?challenge="+strings.Repeat("a", 5000), nil), 0, "", ""},
		"nylas":                    {get("nylas", "?challenge=abc-123", nil), 200, "abc-123", ""},
		"adobe_io":                 {get("adobe_io", "?challenge=8ec8d794-e0ab-42df-9017-e3dada8e84f7", nil), 200, "8ec8d794-e0ab-42df-9017-e3dada8e84f7", ""},
		"strava":                   {get("strava", "?hub.mode=subscribe&hub.verify_token=vt&hub.challenge=15f7d1a9", object{"config": object{"verify_token": "vt"}, "secrets": nil}), 200, `{"hub.challenge":"15f7d1a9"}`, ""},
		"strava, another token":    {get("strava", "?hub.mode=subscribe&hub.verify_token=no&hub.challenge=15f7d1a9", object{"config": object{"verify_token": "vt"}, "secrets": nil}), 0, "", ""},
		"adobe_sign":               {get("adobe_sign", "", object{"headers": [][2]string{{"X-AdobeSign-ClientId", "id1"}}, "config": object{"client_id": "id1"}, "secrets": []string{"id1"}}), 200, "", "X-AdobeSign-ClientId: id1"},
		"adobe_sign, another":      {get("adobe_sign", "", object{"headers": [][2]string{{"X-AdobeSign-ClientId", "id2"}}, "config": object{"client_id": "id1"}, "secrets": []string{"id1"}}), 0, "", ""},
		"linkedin":                 {get("linkedin", "?challengeCode=890e4665-4dfe-4ab1-b689-ed553bceeed0", nil), 200, `{"challengeCode":"890e4665-4dfe-4ab1-b689-ed553bceeed0","challengeResponse":"` + hex.EncodeToString(mac(sha256.New, secrets[0], "890e4665-4dfe-4ab1-b689-ed553bceeed0")) + `"}`, ""},
		"worldline":                {get("worldline", "", object{"headers": [][2]string{{"X-GCS-Webhooks-Endpoint-Verification", "abc123"}}}), 200, "abc123", ""},
		"mailchimp":                {get("mailchimp", "?secret="+secrets[0], nil), 200, "", ""},
		"microsoft_graph":          {object{"provider": "microsoft_graph", "url": "https://hooks.example.com/in/x?validationToken=Validation%3A+Testing+client", "secrets": secrets}, 200, "Validation: Testing client", "Content-Type: text/plain"},
		"microsoft_graph, HTML":    {object{"provider": "microsoft_graph", "url": "https://hooks.example.com/in/x?validationToken=%3Cscript%3E", "secrets": secrets}, 0, "", ""},
		"azure_event_grid":         {post("azure_event_grid", `[{"id":"1","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{"validationCode":"512d38b6-c7b8"}}]`), 200, `{"validationResponse":"512d38b6-c7b8"}`, ""},
		"monday":                   {post("monday", `{"challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}`), 200, `{"challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}`, ""},
		"ringcentral":              {post("ringcentral", "", [2]string{"Validation-Token", "f1a2"}), 200, "", "Validation-Token: f1a2"},
		"smartsheet":               {post("smartsheet", "{}", [2]string{"Smartsheet-Hook-Challenge", "d78dd1d3"}), 200, `{"smartsheetHookResponse":"d78dd1d3"}`, "Smartsheet-Hook-Response: d78dd1d3"},
		"xero":                     {post("xero", xeroBody, [2]string{"x-xero-signature", base64.StdEncoding.EncodeToString(mac(sha256.New, secrets[0], xeroBody))}), 200, "", ""},
		"xero, wrong":              {post("xero", xeroBody, [2]string{"x-xero-signature", base64.StdEncoding.EncodeToString(mac(sha256.New, "another", xeroBody))}), 0, "", ""},
		"twitch": {post("twitch", twitchBody, [2]string{"Twitch-Eventsub-Message-Id", "m1"}, [2]string{"Twitch-Eventsub-Message-Timestamp", "2025-06-15T15:06:40Z"},
			[2]string{"Twitch-Eventsub-Message-Type", "webhook_callback_verification"},
			[2]string{"Twitch-Eventsub-Message-Signature", "sha256=" + hex.EncodeToString(mac(sha256.New, secrets[0], "m12025-06-15T15:06:40Z"+twitchBody))}), 200, "pogchamp-kappa-360noscope-vohiyo", "Content-Type: text/plain"},
		"discord": {object{"provider": "discord", "secrets": []string{hex.EncodeToString(public)}, "body_base64": []byte(`{"type":1}`), "now": 1750000000, "headers": [][2]string{
			{"X-Signature-Timestamp", "1750000000"}, {"X-Signature-Ed25519", hex.EncodeToString(ed25519.Sign(private, []byte(`1750000000{"type":1}`)))}}}, 200, `{"type":1}`, ""},
		"discord, wrong": {object{"provider": "discord", "secrets": []string{hex.EncodeToString(public)}, "body_base64": []byte(`{"type":1}`), "now": 1750000000, "headers": [][2]string{
			{"X-Signature-Timestamp", "1750000000"}, {"X-Signature-Ed25519", hex.EncodeToString(ed25519.Sign(private, []byte(`1750000001{"type":1}`)))}}}, 0, "", ""},
		"intercom":           {object{"provider": "intercom", "method": "HEAD", "secrets": secrets}, 200, "", ""},
		"surveymonkey":       {object{"provider": "surveymonkey", "method": "HEAD", "secrets": []string{"id&secret"}}, 200, "", ""},
		"mandrill":           {object{"provider": "mandrill", "method": "HEAD", "secrets": secrets}, 200, "", ""},
		"notion":             {object{"provider": "notion", "body_base64": []byte(`{"verification_token":"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}`)}, 200, "", ""},
		"notion, the second": {object{"provider": "notion", "body_base64": []byte(`{"verification_token":"secret_other"}`), "config": object{"stored_secret": "secret_first"}}, 0, "", ""},
		"gusto":              {object{"provider": "gusto", "body_base64": []byte(`{"verification_token":"8a9b"}`)}, 200, "", ""},
		"gusto, the second":  {object{"provider": "gusto", "body_base64": []byte(`{"verification_token":"8a9b"}`), "secrets": []string{"first"}}, 0, "", ""},
		"okta": {get("okta", "", object{"headers": [][2]string{{"X-Okta-Verification-Challenge", "abc123"}}}),
			200, `{"verification":"abc123"}`, "Content-Type: application/json"},
		"x": {get("x", "?crc_token=foo123", nil), 200,
			`{"response_token":"sha256=` + base64.StdEncoding.EncodeToString(mac(sha256.New, secrets[0], "foo123")) + `"}`, ""},
		"x, a message to sign": {get("x", "?crc_token=%7B%22for_user_id%22%3A1%7D", nil), 0, "", ""},
		"ebay": {get("ebay", "?challenge_code=a1b2", object{"config": object{"verification_token": "token", "endpoint": "https://hooks.example.com/in/x"}, "secrets": nil}),
			200, `{"challengeResponse":"` + hex.EncodeToString(ebay[:]) + `"}`, ""},
		"braintree": {get("braintree", "?bt_challenge=20f9f8ed05f77439fe955c977e4c8a53", object{"config": object{"public_key": "public", "private_key": "private"}, "secrets": nil}),
			200, "public|" + hex.EncodeToString(mac(sha1.New, string(sha1Key[:]), "20f9f8ed05f77439fe955c977e4c8a53")), ""},
		"slack":             {signed("slack", "v0=", "X-Slack-Signature", "X-Slack-Request-Timestamp", slackBody), 200, "3eZbrw1aBm2", ""},
		"slack, unsigned":   {post("slack", slackBody), 0, "", ""},
		"zoom":              {signed("zoom", "v0=", "x-zm-signature", "x-zm-request-timestamp", zoomBody), 200, `{"plainToken":"qgg8vlvZRS6","encryptedToken":"` + hex.EncodeToString(mac(sha256.New, secrets[0], "qgg8vlvZRS6")) + `"}`, ""},
		"asana":             {object{"provider": "asana", "headers": [][2]string{{"X-Hook-Secret", "b5c7"}}}, 200, "", "X-Hook-Secret: b5c7"},
		"asana, the second": {object{"provider": "asana", "headers": [][2]string{{"X-Hook-Secret", "b5c7"}}, "config": object{"stored_secret": "first"}}, 0, "", ""},
		"fitbit":            {get("fitbit", "?verify=code", object{"config": object{"verification_code": "code"}}), 204, "", ""},
		"fitbit, wrong":     {get("fitbit", "?verify=edoc", object{"config": object{"verification_code": "code"}}), 0, "", ""},
		"trello":            {object{"provider": "trello", "method": "HEAD", "secrets": secrets}, 200, "", ""},
		"cloudevents": {object{"provider": "cloudevents", "method": "OPTIONS", "secrets": secrets, "config": object{"allowed_origins": []string{"a.example.com"}, "allowed_rate": 120},
			"headers": [][2]string{{"WebHook-Request-Origin", "a.example.com"}}}, 200, "", "WebHook-Allowed-Rate: 120"},
		"cloudevents, another": {object{"provider": "cloudevents", "method": "OPTIONS", "secrets": secrets, "config": object{"allowed_origins": "a.example.com"},
			"headers": [][2]string{{"WebHook-Request-Origin", "a.example.com.evil.example"}}}, 0, "", ""},
	}
}

func TestBatchAnswersHandshakes(t *testing.T) {
	for name, tt := range handshakes() {
		t.Run(name, func(t *testing.T) {
			tt.line["id"] = name
			line, err := json.Marshal(tt.line)
			if err != nil {
				t.Fatal(err)
			}
			got := batchOf(t, string(line))[0]
			if got.Accepted != (tt.status != 0) {
				t.Fatalf("accepted %v (%s)", got.Accepted, got.Reason)
			}
			if tt.status == 0 {
				if got.Response.Status/100 != 4 {
					t.Errorf("refused, and answered with %d", got.Response.Status)
				}
				return
			}
			if got.Response.Status != tt.status || tt.body != "" && string(got.Response.Body) != tt.body {
				t.Errorf("answered with %d %q, want %d %q", got.Response.Status, got.Response.Body, tt.status, tt.body)
			}
			found := tt.header == ""
			for _, h := range got.Response.Headers {
				found = found || strings.EqualFold(h[0]+": "+h[1], tt.header)
			}
			if !found {
				t.Errorf("headers %v, want %s", got.Response.Headers, tt.header)
			}
		})
	}
}

// Amazon's confirmation is taken for the topic that the source names alone.
func TestBatchConfirmsSubscriptions(t *testing.T) {
	file, err := os.ReadFile("../../verify/testdata/vectors.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(file))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if !strings.Contains(lines.Text(), `"aws_sns-a-004-valid_subscription"`) {
			continue
		}
		with := func(topic string) string {
			return strings.TrimSuffix(lines.Text(), "}") + `,"config":{"topic_arn":"` + topic + `"}}`
		}
		got := batchOf(t, with("arn:aws:sns:us-west-2:123456789012:MyTopic")+"\n"+with("arn:aws:sns:us-west-2:999999999999:MyTopic"))
		if !got[0].Accepted || got[0].Response.Status != 200 || got[1].Accepted {
			t.Errorf("%+v", got)
		}
		return
	}
	t.Error("there is no such vector")
}

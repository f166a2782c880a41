package cli

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
)

// push is the body of a push event, cut down to what shows that it is one.
const push = `{"ref":"refs/heads/main","before":"6113728f27ae82c7b1a177c8d03f9e96e0adf246",` +
	`"after":"59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5","repository":{"id":17,"full_name":"octo/hello","private":false},` +
	`"pusher":{"name":"octocat"},"head_commit":{"id":"59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5","message":"Say hello"}}`

// githubRequest is a request as GitHub sends it: the signature is the HMAC of
// the raw body with the webhook's secret.
// https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
func githubRequest(ctx context.Context, url, event, delivery string, body []byte, signature string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"User-Agent": "GitHub-Hookshot/demo", "Content-Type": "application/json",
		"X-GitHub-Event": event, "X-GitHub-Delivery": delivery, "X-Hub-Signature-256": signature,
	} {
		req.Header.Set(name, value)
	}
	return req, nil
}

// githubSignature is the value of X-Hub-Signature-256.
func githubSignature(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

package verify_test

import (
	"testing"

	"github.com/postern-dev/postern/verify"
)

// TestMask: what proves a sender word for word goes, and nothing beside it.
func TestMask(t *testing.T) {
	type request struct{ name, value, query string }
	for name, tt := range map[string]struct {
		provider string
		secret   string
		settings map[string]string
		in, want request
	}{
		"a token":                   {"gitlab", "s", nil, request{"x-gitlab-token", "s", ""}, request{"", verify.Masked, ""}},
		"a wrong one":               {"gitlab", "s", nil, request{"X-Gitlab-Token", "wrong", ""}, request{"", verify.Masked, ""}},
		"an empty one":              {"gitlab", "s", nil, request{"X-Gitlab-Token", "", ""}, request{"", "", ""}},
		"another header":            {"gitlab", "s", nil, request{"X-Gitlab-Event", "Push Hook", "token=s"}, request{"", "Push Hook", "token=s"}},
		"of a scheme without a key": {"gitlab", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", nil, request{"X-Gitlab-Token", "s", ""}, request{"", verify.Masked, ""}},
		"a password":                {"chargebee", "u:p", nil, request{"Authorization", "basic dTpw", ""}, request{"", "basic ***", ""}},
		"without its prefix":        {"chargebee", "u:p", nil, request{"Authorization", "dTpw", ""}, request{"", verify.Masked, ""}},
		"a bearer token":            {"cloudevents", "s", nil, request{"Authorization", "Bearer s", "a=%2F&access_token=s&&b"}, request{"", "Bearer ***", "a=%2F&access_token=***&&b"}},
		"twice and escaped":         {"cloudevents", "s", nil, request{"X", "y", "access%5Ftoken=s&access_token=t&access_token=&access_token&%zz=1"}, request{"", "y", "access%5Ftoken=***&access_token=***&access_token=&access_token&%zz=1"}},
		"where a setting says":      {"token", "s", map[string]string{"header": "X-Key", "query": "k"}, request{"X-Key", "s", "k=s&l=s"}, request{"", verify.Masked, "k=***&l=s"}},
		"a JWT not of the body":     {"monday", "s", nil, request{"Authorization", "a.b.c", ""}, request{"", verify.Masked, ""}},
		"a JWT of the address":      {"atlassian_connect", "s", nil, request{"Authorization", "JWT a.b.c", ""}, request{"", "JWT ***", ""}},
		"a JWT of the body":         {"livekit", "s", nil, request{"Authorization", "a.b.c", ""}, request{"", "a.b.c", ""}},
		"a signature":               {"github", "s", nil, request{"X-Hub-Signature-256", "sha256=00", ""}, request{"", "sha256=00", ""}},
		"a verify token":            {"meta", "s", map[string]string{"verify_token": "v"}, request{"X", "y", "hub.verify_token=v&hub.challenge=1"}, request{"", "y", "hub.verify_token=***&hub.challenge=1"}},
		"one that is a condition":   {"websub", "s", map[string]string{"verify_token": "v", "topic": "t"}, request{"X", "y", "hub.topic=t&hub.verify_token=v"}, request{"", "y", "hub.topic=t&hub.verify_token=***"}},
		"a delivered secret":        {"asana", "s", nil, request{"X-Hook-Secret", "s", ""}, request{"", verify.Masked, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			def, ok := verify.Lookup(tt.provider)
			if !ok {
				t.Fatal("no such provider")
			}
			v, err := verify.New(def, verify.Config{Secrets: []string{tt.secret}, Settings: tt.settings})
			if err != nil {
				t.Fatal(err)
			}
			if got := v.MaskHeader(tt.in.name, tt.in.value); got != tt.want.value {
				t.Errorf("%s: %q became %q, want %q", tt.in.name, tt.in.value, got, tt.want.value)
			}
			if got := v.MaskQuery(tt.in.query); got != tt.want.query {
				t.Errorf("%q became %q, want %q", tt.in.query, got, tt.want.query)
			}
		})
	}
}

package verify_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/verify"
)

// TestNewNamesTheField checks what the creation of a source relies on.
func TestNewNamesTheField(t *testing.T) {
	ok := map[string]string{"header": "X-Sig"}
	with := func(pairs ...string) map[string]string {
		m := map[string]string{"header": "X-Sig"}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	one := []string{"s"}
	for _, tc := range []struct {
		name, provider string
		cfg            verify.Config
		want           []string // fields
	}{
		{"good", "hmac", verify.Config{Secrets: one, Settings: ok}, nil},
		{"no secret", "github", verify.Config{}, []string{"secrets"}},
		{"too many secrets", "github", verify.Config{Secrets: strings.Split(strings.Repeat("s", 17), "")}, []string{"secrets"}},
		{"empty secret", "github", verify.Config{Secrets: []string{"a", ""}}, []string{"secrets[1]"}},
		{"secret with a newline", "github", verify.Config{Secrets: []string{"a\n"}}, []string{"secrets[0]"}},
		{"whsec_ alone", "standard_webhooks", verify.Config{Secrets: []string{"whsec_"}}, []string{"secrets[0]"}},
		{"whsec_ padding alone", "standard_webhooks", verify.Config{Secrets: []string{"whsec_=="}}, []string{"secrets[0]"}},
		{"whpk_ alone", "standard_webhooks", verify.Config{Secrets: []string{"whpk_"}}, []string{"secrets[0]"}},
		{"whpk_ too short", "standard_webhooks", verify.Config{Secrets: []string{"whpk_AAAA"}}, []string{"secrets[0]"}},
		{"private key", "standard_webhooks", verify.Config{Secrets: []string{"whsk_AAAA"}}, []string{"secrets[0]"}},
		{"whsec_ zeros", "standard_webhooks", verify.Config{Secrets: []string{"whsec_AAAAAAAA"}}, []string{"secrets[0]"}},
		{"public key for HMAC", "github", verify.Config{Secrets: []string{"-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----"}}, []string{"secrets[0]"}},
		{"not base64", "standard_webhooks", verify.Config{Secrets: []string{"whsec_*"}}, []string{"secrets[0]"}},
		{"not hex", "hmac", verify.Config{Secrets: []string{"xyz"}, Settings: with("secret_encoding", "hex")}, []string{"secrets[0]"}},
		{"secret for none", "none", verify.Config{Secrets: one}, []string{"secrets"}},
		{"unknown setting", "github", verify.Config{Secrets: one, Settings: ok}, []string{"config.header"}},
		{"required setting", "hmac", verify.Config{Secrets: one}, []string{"config.header"}},
		{"not a header", "hmac", verify.Config{Secrets: one, Settings: with("header", "X Sig")}, []string{"config.header"}},
		{"unknown hash", "hmac", verify.Config{Secrets: one, Settings: with("hash", "md4")}, []string{"config.hash"}},
		{"unknown encoding", "hmac", verify.Config{Secrets: one, Settings: with("encoding", "HEX")}, []string{"config.encoding"}},
		{"unknown placeholder", "hmac", verify.Config{Secrets: one, Settings: with("template", "{body}{secret}")}, []string{"config.template"}},
		{"open brace", "hmac", verify.Config{Secrets: one, Settings: with("template", "{body}{")}, []string{"config.template"}},
		{"body unsigned", "hmac", verify.Config{Secrets: one, Settings: with("template", "x")}, []string{"config.template"}},
		{"timestamp unsigned", "hmac", verify.Config{Secrets: one, Settings: with("timestamp_header", "X-T")}, []string{"config.template"}},
		{"timestamp nowhere", "hmac", verify.Config{Secrets: one, Settings: with("template", "{timestamp}{body}")}, []string{"config.template"}},
		{"id unsigned", "hmac", verify.Config{Secrets: one, Settings: with("id_header", "X-I")}, []string{"config.template"}},
		{"id nowhere", "hmac", verify.Config{Secrets: one, Settings: with("template", "{id}{body}")}, []string{"config.template"}},
		{"tolerance zero", "standard_webhooks", verify.Config{Secrets: []string{"AQID"}, Settings: map[string]string{"tolerance": "0"}}, []string{"config.tolerance"}},
		{"tolerance too long", "standard_webhooks", verify.Config{Secrets: []string{"AQID"}, Settings: map[string]string{"tolerance": "25h"}}, []string{"config.tolerance"}},
		{"tolerance garbage", "standard_webhooks", verify.Config{Secrets: []string{"AQID"}, Settings: map[string]string{"tolerance": "5 min"}}, []string{"config.tolerance"}},
		{"tolerance in seconds", "standard_webhooks", verify.Config{Secrets: []string{"AQID"}, Settings: map[string]string{"tolerance": "600"}}, nil},
		{"selector", "hmac", verify.Config{Secrets: one, Settings: with("event_type", "xml:a")}, []string{"config.event_type"}},
		{"selector path", "hmac", verify.Config{Secrets: one, Settings: with("event_type", "json:a..b")}, []string{"config.event_type"}},
		{"selector too deep", "hmac", verify.Config{Secrets: one, Settings: with("delivery_id", "json:a.b.c.d.e.f.g.h.i")}, []string{"config.delivery_id"}},
		{"setting too long", "hmac", verify.Config{Secrets: one, Settings: with("prefix", strings.Repeat("x", 2000))}, []string{"config.prefix"}},
		{"prefix", "github", verify.Config{Secrets: one, EventTypePrefix: "a b"}, []string{"eventTypePrefix"}},
		{"all at once", "hmac", verify.Config{EventTypePrefix: "/", Settings: map[string]string{"x": "y"}},
			[]string{"config.header", "config.x", "eventTypePrefix", "secrets"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			def, _ := verify.Lookup(tc.provider)
			v, err := verify.New(def, tc.cfg)
			var got []string
			var invalid *verify.ConfigError
			if errors.As(err, &invalid) {
				for _, f := range invalid.Fields {
					got = append(got, f.Field)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || (v == nil) != (tc.want != nil) {
				t.Errorf("%v, fields (-want +got):\n%s", err, diff)
			}
			for _, s := range tc.cfg.Secrets {
				if err != nil && len(s) > 3 && strings.Contains(err.Error(), s) {
					t.Errorf("the error shows a secret: %v", err)
				}
			}
		})
	}
}

// TestNewChecksDefinitions is for definitions that a user writes.
func TestNewChecksDefinitions(t *testing.T) {
	good := func() verify.Definition {
		def, _ := verify.Lookup("github")
		return def
	}
	for name, tc := range map[string]struct {
		change func(d *verify.Definition)
		want   string // field
	}{
		"no id":        {func(d *verify.Definition) { d.ID = "" }, "id"},
		"odd id":       {func(d *verify.Definition) { d.ID = "a/b" }, "id"},
		"no schemes":   {func(d *verify.Definition) { d.Schemes = nil }, "schemes"},
		"unknown kind": {func(d *verify.Definition) { d.Schemes[0].Kind = "rot13" }, "schemes[0].kind"},
		"none beside":  {func(d *verify.Definition) { d.Schemes = append(d.Schemes, verify.Scheme{Kind: verify.KindNone}) }, "schemes[1].kind"},
		"no hash":      {func(d *verify.Definition) { d.Schemes[0].Hash = "" }, "schemes[0].hash"},
		"no key form":  {func(d *verify.Definition) { d.Schemes[0].Key.Form = "" }, "schemes[0].key.form"},
		"no header":    {func(d *verify.Definition) { d.Schemes[0].Signature.From = nil }, "schemes[0].signature.from"},
		"no encoding":  {func(d *verify.Definition) { d.Schemes[0].Signature.Encoding = "" }, "schemes[0].signature.encoding"},
		"no template":  {func(d *verify.Definition) { d.Schemes[0].Template = "" }, "schemes[0].template"},
		"undeclared":   {func(d *verify.Definition) { d.Schemes[0].Signature.Prefix = "${nope}" }, "schemes[0].signature.prefix"},
		"unknown unit": {func(d *verify.Definition) { d.Schemes[0].Timestamp = verify.Timestamp{From: "header:X", Unit: "min"} }, "schemes[0].timestamp.unit"},
		"odd tolerance": {func(d *verify.Definition) {
			d.Schemes[0].Timestamp = verify.Timestamp{From: "header:X", Unit: "s", Tolerance: "2d"}
		}, "schemes[0].timestamp.tolerance"},
		"unknown selector": {func(d *verify.Definition) { d.EventType[0] = "head" }, "eventType[0]"},
		"derived secret": {func(d *verify.Definition) {
			d.Handshakes = []verify.Handshake{{Kind: verify.HandshakeCompute, Challenge: "query:challenge", Compute: &verify.Compute{
				Hash: "sha256", Key: "secret", Derive: "sha256", Template: "{challenge}", Encoding: "hex",
			}}}
		}, "handshakes[0].compute.derive"},
		"nobody takes a key": {func(d *verify.Definition) { d.Schemes[0].Key.Prefix = "pk_" }, "secrets[0]"},
	} {
		def := good()
		tc.change(&def)
		_, err := verify.New(def, verify.Config{Secrets: []string{"s"}})
		var invalid *verify.ConfigError
		if !errors.As(err, &invalid) || !strings.Contains(err.Error(), tc.want+": ") {
			t.Errorf("%s: %v, want field %s", name, err, tc.want)
		}
	}
}

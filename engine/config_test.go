package engine

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store/embedded"
)

// TestDialIsGuarded: a dialer of the program's own gets deliveries, and only to
// what is allowed.
func TestDialIsGuarded(t *testing.T) {
	st, err := embedded.Open(t.Context(), "memory:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	var asked []string
	cfg := Config{
		Store: st, EgressAllow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			asked = append(asked, address)
			return nil, errors.New("nobody is there")
		},
	}
	eng, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"192.0.2.1", "127.0.0.1"} {
		if _, _, err := eng.dialer.Dial(t.Context(), host, 80); err == nil {
			t.Errorf("%s: connected", host)
		}
	}
	if len(asked) != 1 || asked[0] != "192.0.2.1:80" {
		t.Errorf("asked for %q", asked)
	}
	cfg.EgressProxy = &url.URL{Scheme: "http", Host: "proxy:3128"}
	if _, err := New(t.Context(), cfg); !errors.Is(err, postern.ErrInvalid) || !strings.Contains(err.Error(), "configuration") {
		t.Errorf("beside a proxy: %v", err)
	}
}

// TestConfigSaysWhatIsWrong: whatever cannot work is said by New, all of it at
// once.
func TestConfigSaysWhatIsWrong(t *testing.T) {
	st, err := embedded.Open(t.Context(), "memory:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	unopened, err := embedded.Open(t.Context(), "nonsense:", embedded.Options{}) // whose error nobody looks at
	if err == nil {
		t.Fatal("opened")
	}
	for name, test := range map[string]struct {
		cfg    Config
		fields []string
	}{
		"no store":          {Config{}, []string{"Store"}},
		"a store of nil":    {Config{Store: unopened}, []string{"Store"}},
		"negative bounds":   {Config{Store: st, MaxBody: -1, InboundMaxBody: -1, AttemptTimeout: -1, MaxInFlight: -1}, []string{"MaxBody", "InboundMaxBody", "AttemptTimeout", "MaxInFlight"}},
		"no such policy":    {Config{Store: st, Unhandled: RefuseUnhandled + 1}, []string{"Unhandled"}},
		"an address alone":  {Config{Store: st, PublicURL: "hooks.example.com"}, []string{"PublicURL"}},
		"an empty host":     {Config{Store: st, PublicURL: "https:///in"}, []string{"PublicURL"}},
		"a short retention": {Config{Store: st, Retention: time.Hour, RetrySchedule: postern.RetrySchedule{2 * time.Hour}}, []string{"Retention"}},
	} {
		_, err := New(t.Context(), test.cfg)
		wrong, ok := errors.AsType[*postern.Error](err)
		if !ok || wrong.Kind != postern.Invalid {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var fields []string
		for _, f := range wrong.Fields {
			fields = append(fields, f.Loc[1])
		}
		if !slices.Equal(fields, test.fields) {
			t.Errorf("%s: %v are wrong, want %v", name, fields, test.fields)
		}
	}
	eng, err := New(t.Context(), Config{Store: st, PublicURL: "https://example.com/hooks/"})
	if err != nil || eng.cfg.PublicURL != "https://example.com/hooks" {
		t.Errorf("addresses of sources begin with %q, %v", eng.cfg.PublicURL, err)
	}
}

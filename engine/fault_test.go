package engine

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern/internal/egress"
)

// The observer hears of every try, the operator once a minute for each fault,
// with what to do about it.
func TestFaultsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		var told []string
		f := &faults{log: slog.New(slog.NewTextHandler(&text, nil)), observe: func(fault string) { told = append(told, fault) }}
		lines := func() (n int) { return strings.Count(text.String(), "\n") }
		route := &egress.Error{Kind: egress.Local, Fault: egress.Route, Err: errors.New("network is unreachable")}
		for range 59 {
			f.tell(route)
			<-time.After(time.Second)
		}
		if lines() != 1 {
			t.Errorf("%d lines in a minute", lines())
		}
		f.tell(&egress.Error{Kind: egress.Local, Fault: egress.Descriptors, Err: errors.New("too many open files")})
		<-time.After(2 * time.Second)
		f.tell(route)
		if lines() != 3 {
			t.Errorf("%d lines, want another for another fault, and for another minute", lines())
		}
		if len(told) != 61 {
			t.Errorf("told %d times", len(told))
		}
		for fault, want := range map[egress.Fault]string{
			egress.Descriptors: "ulimit", egress.Memory: "memory", egress.Ports: "port_range",
			egress.Route: "routes", egress.ResolverDown: "resolv.conf", egress.ProxyDown: "--egress-proxy",
		} {
			if got := remedy(fault); !strings.Contains(got, want) {
				t.Errorf("%s: %q does not speak of %s", fault, got, want)
			}
		}
	})
}

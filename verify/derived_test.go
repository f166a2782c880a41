package verify_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/postern-dev/postern/verify"
)

// derived is one request of testdata/derived*.jsonl: its signature was made by
// the command in Origin, after what is known of a provider whose SDK was not
// run, or it is such a request changed so that it must be refused.
type derived struct {
	ID, Provider, Reason, Method, URL string
	Headers                           [][2]string
	Body                              []byte `json:"body_base64"`
	Secrets                           []string
	Now                               int64
	Expect                            string // accept or reject
	OriginKind                        string `json:"origin_kind"`
	Origin                            string
	Config                            map[string]string
	Meta                              struct {
		EventType  string `json:"event_type"`
		DeliveryID string `json:"delivery_id"`
	}
}

func (d derived) verify(t *testing.T, def verify.Definition) (verify.Event, error) {
	v, err := verify.New(def, verify.Config{Secrets: d.Secrets, Settings: d.Config})
	if err != nil {
		return verify.Event{}, err
	}
	req := verify.Request{Method: d.Method, URL: d.URL, Header: http.Header{}, Body: d.Body}
	for _, h := range d.Headers {
		req.Header.Add(h[0], h[1])
	}
	return v.Verify(t.Context(), req, time.Unix(d.Now, 0))
}

func readDerived(t testing.TB) []derived {
	t.Helper()
	files, err := filepath.Glob("testdata/derived*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var all []derived
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var d derived
			if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			all = append(all, d)
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestDerived: what providers are known to sign is accepted and named as they
// name it, and what was changed is refused. A refusal of the configuration
// counts only where the secret is empty.
func TestDerived(t *testing.T) {
	for _, d := range readDerived(t) {
		def, ok := verify.Lookup(d.Provider)
		if !ok {
			t.Errorf("%s: the provider is not in the catalogue", d.ID)
			continue
		}
		if d.OriginKind != "derived" || (d.Expect == "accept") != (d.Origin != "") {
			t.Errorf("%s: does not say how its signature was made", d.ID)
		}
		event, err := d.verify(t, def)
		var config *verify.ConfigError
		if errors.As(err, &config) && d.Secrets[0] != "" {
			t.Errorf("%s (%s): %v", d.ID, d.Reason, err)
		}
		if (err == nil) != (d.Expect == "accept") {
			t.Errorf("%s (%s): error %v, want %s", d.ID, d.Reason, err, d.Expect)
		}
		if d.Expect != "accept" || err != nil {
			continue
		}
		if event.ProviderEventType != d.Meta.EventType || event.DeliveryID != d.Meta.DeliveryID {
			t.Errorf("%s: event type %q, id %q; want %q, %q", d.ID, event.ProviderEventType, event.DeliveryID, d.Meta.EventType, d.Meta.DeliveryID)
		}
	}
}

// TestEveryProviderHasVectors: one request that is accepted and three that are
// refused for every provider of the catalogue that is somebody's.
func TestEveryProviderHasVectors(t *testing.T) {
	accepted, refused := map[string]int{}, map[string]int{}
	count := func(provider, expect string) {
		def, _ := verify.Lookup(provider) // an alias counts for its provider
		if expect == "accept" {
			accepted[def.ID]++
		} else {
			refused[def.ID]++
		}
	}
	for _, d := range readDerived(t) {
		count(d.Provider, d.Expect)
	}
	for _, v := range readVectors(t) {
		count(v.Provider, v.Expect)
	}
	for _, id := range verify.Providers() {
		if def, _ := verify.Lookup(id); def.Status != verify.StatusGeneric && (accepted[id] == 0 || refused[id] < 3) {
			t.Errorf("%s: %d vectors that are accepted, %d that are refused", id, accepted[id], refused[id])
		}
	}
}

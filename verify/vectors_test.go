package verify_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/postern-dev/postern/verify"
)

// vector is one signed request of testdata/vectors.jsonl or sdk_*.jsonl. They were made by
// running the vendors' own SDKs, or are their documented examples, and by
// changing the results. The secrets are random values made for them.
type vector struct {
	ID, Provider, Variant, Case, Reason string
	Method, URL                         string
	Headers                             [][2]string
	Body                                []byte `json:"body_base64"`
	Secrets                             []string
	Now                                 int64
	Expect                              string // accept or reject
	// Grade is must, policy (stricter than some vendors' SDKs) or either: both
	// answers are safe.
	Grade string
	Extra struct {
		Tolerance int    `json:"tolerance_s"` // seconds
		APIKey    string `json:"api_key"`
		AppKey    string `json:"app_key"`
		KeyID     string `json:"key_id"`
	}
	// Config are settings of the source beside those in Extra.
	Config map[string]string
	Meta   struct {
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

// config is the source that the vector was made for.
func (v vector) config(def verify.Definition) verify.Config {
	cfg := verify.Config{Secrets: v.Secrets, Settings: map[string]string{}}
	set := func(name, value string) {
		if value != "" && slices.ContainsFunc(def.AllSettings(), func(s verify.Setting) bool { return s.Name == name }) {
			cfg.Settings[name] = value
		}
	}
	set("variant", v.Variant)
	set("api_key", v.Extra.APIKey)
	set("app_key", v.Extra.AppKey)
	set("key_id", v.Extra.KeyID)
	for name, value := range v.Config {
		set(name, value)
	}
	if v.Extra.Tolerance > 0 {
		set("tolerance", strconv.Itoa(v.Extra.Tolerance))
	}
	return cfg
}

// verify runs the vector from end to end; a source that cannot be made refuses.
func (v vector) verify(t testing.TB, def verify.Definition) (verify.Event, error) {
	verifier, err := verify.New(def, v.config(def))
	if err != nil {
		return verify.Event{}, err
	}
	return verifier.Verify(t.Context(), v.request(), time.Unix(v.Now, 0))
}

func readVectors(t testing.TB) []vector { return readVectorFile(t, "testdata/vectors.jsonl") }

func readVectorFile(t testing.TB, name string) []vector {
	t.Helper()
	f, err := os.Open(name)
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

// judge runs the vector and compares what came of it, also what the event is
// called, with what the vector says.
func (v vector) judge(t *testing.T, def verify.Definition) {
	t.Helper()
	event, err := v.verify(t, def)
	if v.Grade != "either" && (err == nil) != (v.Expect == "accept") {
		t.Errorf("%s (%s): error %v, want %s", v.ID, v.Reason, err, v.Expect)
		return
	}
	if err != nil {
		if refused, ok := errors.AsType[*verify.Error](err); ok && !slices.Contains(verify.Reasons(), refused.Reason) {
			t.Errorf("%s: the reason of %v is not in the set", v.ID, err)
		}
		return
	}
	if want := v.Meta.EventType; want != "" && event.ProviderEventType != want {
		t.Errorf("%s: event type %q, want %q", v.ID, event.ProviderEventType, want)
	}
	if want := v.Meta.DeliveryID; want != "" && event.DeliveryID != want {
		t.Errorf("%s: delivery id %q, want %q", v.ID, event.DeliveryID, want)
	}
}

// TestSDKVectors: what the vendors' SDKs sign is accepted, and what was made of
// it is judged as they judge it, or more strictly where the grade is policy.
func TestSDKVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/sdk_*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		for _, v := range readVectorFile(t, name) {
			def, ok := verify.Lookup(v.Provider)
			if !ok {
				t.Fatalf("%s: no provider %s", v.ID, v.Provider)
			}
			v.judge(t, def)
		}
	}
}

// TestVectors: every vector but those graded either agrees, and what the event is
// called is what the vendor calls it.
func TestVectors(t *testing.T) {
	ran, missing := map[string]int{}, map[string]int{}
	for _, v := range readVectors(t) {
		def, ok := verify.Lookup(v.Provider)
		if !ok {
			missing[v.Provider]++
			continue
		}
		ran[v.Provider]++
		v.judge(t, def)
	}
	if len(missing) > 0 || len(ran) != 38 {
		t.Errorf("vectors of providers without a definition: %v; %d providers ran", missing, len(ran))
	}
}

// TestVectorsWithEmptySecret: without a secret, or with an empty one beside a
// good one, anybody could sign; so there is no Verifier. Where the provider's
// own keys are fetched, or its secret is delivered in a handshake, there may be
// none, but no empty one.
func TestVectorsWithEmptySecret(t *testing.T) {
	for _, v := range readVectors(t) {
		def, _ := verify.Lookup(v.Provider)
		if v.Case != "valid" {
			continue
		}
		fetched := slices.ContainsFunc(def.Schemes, func(s verify.Scheme) bool { return s.Remote != nil }) ||
			slices.ContainsFunc(def.Handshakes, func(h verify.Handshake) bool { return h.Kind == verify.HandshakeStore })
		for _, secrets := range [][]string{nil, {}, {""}, {v.Secrets[0], ""}} {
			cfg := v.config(def)
			if cfg.Secrets = secrets; len(secrets) == 0 && fetched {
				continue
			}
			if _, err := verify.New(def, cfg); err == nil {
				t.Errorf("%s: %d secrets with an empty one are taken", v.ID, len(secrets))
			}
		}
	}
}

package intake_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/intake"
)

// inbound is the world's handler, and its source as it is now.
func (w *world) inbound() (*intake.Handler, *postern.Source) {
	w.t.Helper()
	h, ok := w.handler.(*intake.Handler)
	if !ok {
		w.t.Fatal("another handler")
	}
	for _, s := range w.sources {
		return h, s
	}
	return h, nil
}

// refuse sends a request that does not verify, and returns what is kept of it.
func (w *world) refuse(r *http.Request) *postern.Refusal {
	w.t.Helper()
	if res, body := w.send(r); res.StatusCode != http.StatusUnauthorized || len(w.refused) == 0 {
		w.t.Fatalf("answered %d %s", res.StatusCode, body)
	}
	return w.refused[len(w.refused)-1]
}

// addressed gives the source its token, which most tests of requests need not.
func addressed(w *world, change func(*postern.Source)) {
	w.replace(func(s *postern.Source) {
		s.Token = w.seal(token)[0]
		if change != nil {
			change(s)
		}
	})
}

// TestVerifyOnceMore: a request verifies once the source has the secret that it
// was signed with, also long after it came, and over the address that it had.
func TestVerifyOnceMore(t *testing.T) {
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	stale := strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
	const body = `{"type":"a.b"}`
	for name, tt := range map[string]struct {
		config  map[string]string
		signed  string
		headers []string
		reason  string
	}{
		"hmac":                 {map[string]string{"template": "{body}"}, body, nil, ""},
		"over the address":     {map[string]string{"template": "{method} {url} {body}"}, "POST " + public + "/in/" + token + "?x=%2F " + body, nil, ""},
		"over another address": {map[string]string{"template": "{url} {body}"}, public + "/in/*** " + body, nil, "signature_mismatch"},
		"with a time":          {map[string]string{"template": "{timestamp}{body}", "timestamp_header": "X-Time"}, stamp + body, []string{"X-Time", stamp}, ""},
		"late when it came":    {map[string]string{"template": "{timestamp}{body}", "timestamp_header": "X-Time"}, stale + body, []string{"X-Time", stale}, "timestamp_outside_window"},
		"without a header":     {map[string]string{"template": "{body}{header:X-More}"}, body, nil, "header_missing"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			addressed(w, func(s *postern.Source) {
				s.Provider, s.Config, s.Secrets = "hmac", tt.config, w.seal("another")
				s.Config["header"] = "X-Sig"
			})
			r := httptest.NewRequest(http.MethodPost, "/in/"+token+"?x=%2F", strings.NewReader(body))
			r.Header.Set("X-Sig", mac(secret, tt.signed))
			for i := 0; i+1 < len(tt.headers); i += 2 {
				r.Header.Set(tt.headers[i], tt.headers[i+1])
			}
			refusal := w.refuse(r)
			w.now = time.Now().Add(48 * time.Hour)
			h, s := w.inbound()
			if got, err := h.Verify(t.Context(), s, refusal); err != nil || got.Verified() || got.Reason != refusal.Reason || got.Detail == "" {
				t.Errorf("with the secret of then: %+v, %v", got, err)
			}
			addressed(w, func(s *postern.Source) { s.Secrets = w.seal(secret) })
			h, s = w.inbound()
			got, err := h.Verify(t.Context(), s, refusal)
			if err != nil || got.Reason != tt.reason || got.Verified() != (tt.reason == "") {
				t.Errorf("with the right secret: %+v, %v; want %q", got, err, tt.reason)
			}
			if len(w.published) > 0 || strings.Contains(got.Detail, token) {
				t.Errorf("%d published, %s", len(w.published), got.Detail)
			}
		})
	}
}

// TestRelease: what is released is the message that it would have become, but
// for its event id; by its duplicate key the sender's next try finds it.
func TestRelease(t *testing.T) {
	w := newWorld(t, func(s *postern.Source, _ *intake.Config) { s.EventTypePrefix = "github." })
	addressed(w, nil)
	w.send(push("/in/"+token+"?q=1", `{"a":1}`))
	r := push("/in/"+token+"?q=1", `{"a":1}`)
	r.Header.Set("X-Hub-Signature-256", "sha256="+mac("another", `{"a":1}`))
	refusal := w.refuse(r)
	h, s := w.inbound()
	m, found, duplicate, err := h.Release(t.Context(), s, refusal)
	if err != nil || duplicate || m.ID.IsZero() || found.Reason != "signature_mismatch" {
		t.Fatalf("%+v, %+v, %t, %v", m, found, duplicate, err)
	}
	want, got := w.published[0], w.published[1]
	if got.EventID != refusal.ID.String() || got.Request == &refusal.Request {
		t.Errorf("published as %q", got.EventID)
	}
	want.EventID, want.Request, got.Request = got.EventID, nil, nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a released one differs: %s", diff)
	}
	if want.EventType != "github.push" || (want.Duplicate == postern.DuplicateKey{}) || len(w.declared) != 2 {
		t.Errorf("published %+v, declared %v", want, w.declared)
	}
	w.fail = postern.ErrUnavailable
	if _, _, _, err := h.Release(t.Context(), s, refusal); !errors.Is(err, postern.ErrUnavailable) {
		t.Errorf("when nothing is accepted: %v", err)
	}
}

// TestWhatCannotBeReleased is no event, or nobody's.
func TestWhatCannotBeReleased(t *testing.T) {
	for name, tt := range map[string]struct {
		source func(w *world, s *postern.Source)
		edit   func(r *postern.Refusal)
		want   error
	}{
		"cut":            {nil, func(r *postern.Refusal) { r.BodyTruncated = true }, postern.ErrConflict},
		"no provider":    {func(_ *world, s *postern.Source) { s.Provider = "gone" }, nil, postern.ErrConflict},
		"another ring":   {func(_ *world, s *postern.Source) { s.Secrets = []postern.Sealed{{1, 2, 3}} }, nil, postern.ErrConflict},
		"no token known": {func(_ *world, s *postern.Source) { s.Token = postern.Sealed{1, 2, 3} }, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			addressed(w, nil)
			r := push("/in/"+token, "{}")
			r.Header.Del("X-Hub-Signature-256")
			refusal := w.refuse(r)
			if tt.edit != nil {
				tt.edit(refusal)
			}
			if tt.source != nil {
				w.replace(func(s *postern.Source) { tt.source(w, s) })
			}
			h, s := w.inbound()
			_, checked := h.Verify(t.Context(), s, refusal)
			_, _, _, released := h.Release(t.Context(), s, refusal)
			for _, err := range []error{checked, released} {
				if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
					t.Errorf("%v, want %v", err, tt.want)
				}
			}
			if len(w.published) > 0 {
				t.Error("it is published")
			}
		})
	}
}

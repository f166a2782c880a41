package api

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// TestWhatSDKsCall: every operation of the SDKs is served, or says in JSON that
// it is not here; none is an unknown path.
func TestWhatSDKsCall(t *testing.T) {
	w := newWorld(t)
	served, missing := 0, 0
	for line := range strings.Lines(strings.TrimSpace(sdkPaths)) {
		path, methods, _ := strings.Cut(strings.TrimSpace(line), " ")
		full := Prefix + strings.ReplaceAll(path, "*", "x")
		if strings.HasPrefix(path, IngestPrefix) {
			full = strings.ReplaceAll(path, "*", "x")
		}
		for method := range strings.FieldsSeq(methods) {
			got := w.send(httptest.NewRequest(method, full, strings.NewReader("{}")))
			switch {
			case got.StatusCode == 501 && strings.Contains(got.body, `"code":"not_implemented"`):
				missing++
			case got.StatusCode == 401, path == "/health":
				served++
			default:
				t.Errorf("%s %s: %d %s", method, path, got.StatusCode, got.body)
			}
		}
	}
	if served < 35 || missing < 50 {
		t.Errorf("%d operations are served, %d are not", served, missing)
	}
	w.refused(405, "GET, HEAD", "PATCH", "/health", "")
	w.refused(404, "not_found", "GET", "/integration", "")
	if got := w.send(httptest.NewRequest("GET", "/ingest/elsewhere", nil)); got.StatusCode != 404 {
		t.Errorf("an unknown path of theirs: %d", got.StatusCode)
	}
}

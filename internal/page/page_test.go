package page_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern/internal/page"
)

func get(p *page.Page, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(method, path, http.NoBody))
	return w
}

func TestHomeShowsFigures(t *testing.T) {
	p := page.New(func(context.Context) (page.Figures, error) {
		return page.Figures{Version: "1.2 <b>", Lanes: 7, Behind: 2, Rows: 41, StoreBytes: 3 << 20, OldestWaiting: 90 * time.Second}, nil
	})
	w := get(p, "GET", "/")
	for _, want := range []string{"1.2 &lt;b&gt;", "7, 2 behind", "41", "3.0 MiB", "1m30s"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page lacks %q:\n%s", want, w.Body)
		}
	}
	if strings.Contains(w.Body.String(), `href="/`) {
		t.Error("a link leads out of the prefix that the page is mounted under")
	}
	if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("Content-Security-Policy: %q", csp)
	}
}

func TestPortalSaysWhatWillBeThere(t *testing.T) {
	p := page.New(func(context.Context) (page.Figures, error) { return page.Figures{}, errors.New("not asked") })
	if w := get(p, "GET", "/portal"); w.Code != 200 || !strings.Contains(w.Body.String(), "portal") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestRefusals(t *testing.T) {
	p := page.New(func(context.Context) (page.Figures, error) { return page.Figures{}, errors.New("secret detail") })
	if w := get(p, "GET", "/"); w.Code != 503 || strings.Contains(w.Body.String(), "secret detail") {
		t.Errorf("figures failing: %d %s", w.Code, w.Body)
	}
	if w := get(p, "POST", "/"); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	if w := get(p, "HEAD", "/portal"); w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d with %d bytes", w.Code, w.Body.Len())
	}
}

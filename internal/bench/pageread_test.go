package bench

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// shelf is a server with a list of three and a tail.
func shelf(t *testing.T) *serverSubject {
	t.Helper()
	mux := http.NewServeMux()
	var asked []string
	mux.HandleFunc("GET /api/v1/app/app_1/msg", func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		if want := []string{"iterator=x", "iterator=y"}[(len(asked)-1)%2]; r.URL.RawQuery != want {
			t.Errorf("request %d asks for %q, want %q", len(asked), r.URL.RawQuery, want)
		}
		_, _ = w.Write([]byte(`{"data":[1,2,3],"iterator":null,"prevIterator":null,"done":true}`))
	})
	mux.HandleFunc("POST /api/v1/app/app_1/count", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"count":7}`))
	})
	mux.HandleFunc("GET /api/v1/tail", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("id: from-" + r.Header.Get("Last-Event-ID") + "\n\nevent: message\ndata: {}\n\n"))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &serverSubject{base: server.URL, client: server.Client(), app: "app_1"}
}

func TestReadAll(t *testing.T) {
	s := shelf(t)
	kinds := []pageKind{
		{name: "list", path: "/msg?iterator={at}", at: []string{"x", "y"}, least: 3},
		{name: "count", path: "/count", body: map[string]int{}},
		{name: "tail", path: "/tail?a=b", tail: "message", from: "here"},
	}
	read, err := s.readAll(t.Context(), kinds, 4)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Page{{Name: "list", Entries: 3, Bytes: 64}, {Name: "count", Bytes: 11}, {Name: "tail", Entries: 1}} {
		got := read[i]
		if got.Name != want.Name || got.Entries != want.Entries || got.Bytes != want.Bytes || got.Took.Count() != 4 || got.Took.Max() <= 0 {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if id, err := s.tailID(t.Context(), "app_1"); err != nil || id != "from-" {
		t.Errorf("a tail begins at %q, %v", id, err)
	}
}

// TestReadAllRefuses: an answer that is not what was to be measured is no figure.
func TestReadAllRefuses(t *testing.T) {
	s := shelf(t)
	for want, k := range map[string]pageKind{
		"3 entries, want at least 4": {name: "short", path: "/msg?iterator=x", least: 4},
		"status 404":                 {name: "absent", path: "/absent"},
		"no attempt came":            {name: "quiet", path: "/tail", tail: "attempt"},
	} {
		if _, err := s.readAll(t.Context(), []pageKind{k}, 1); err == nil || !strings.Contains(err.Error(), k.name+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", k.name, err, want)
		}
	}
}

// TestKindsOfPages: every list is read with both limits, under a name of its own.
func TestKindsOfPages(t *testing.T) {
	a := archive{count: 1_000_000, messages: []string{"m"}, attempts: []string{"a"}, events: []string{"e"}}
	var names []string
	for _, k := range a.kinds() {
		if slices.Contains(names, k.name) {
			t.Errorf("%q is there twice", k.name)
		}
		names = append(names, k.name)
		if strings.Contains(k.path, "{at}") != (len(k.at) > 0) {
			t.Errorf("%s: %s and %d places", k.name, k.path, len(k.at))
		}
		if limited := strings.Contains(k.path, "&limit=50") || strings.Contains(k.path, "&limit=250"); limited != strings.Contains(k.name, ", limit ") {
			t.Errorf("%s: %s", k.name, k.path)
		}
	}
	if len(names) != 2*len(a.lists())+len(a.singles())+len(a.tails()) {
		t.Errorf("%d kinds", len(names))
	}
	a.count = 900
	for _, k := range a.kinds() {
		if k.least > 0 {
			t.Errorf("%s: %d entries are wanted of a small archive", k.name, k.least)
		}
	}
}

func TestPageRows(t *testing.T) {
	took := &Histogram{}
	took.Add(2 * time.Millisecond)
	s := Sample{Run: "pages", Round: 2, Pages: []Page{{Name: "list", Entries: 50, Bytes: 1500, Took: took}}}
	rows := s.pageRows()
	if len(rows) != 2 || rows[0][0] != "pages, round 2: page" || strings.Join(rows[1], " ") != "list 1 50 1.5 2.00 2.00 2.00" {
		t.Errorf("%q", rows)
	}
}

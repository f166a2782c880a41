package verify

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// keyServer serves https://example.com, whatever address a fetcher asks for.
func keyServer(t *testing.T, handler http.HandlerFunc) FetchOptions {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return FetchOptions{RootCAs: roots, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != "example.com:443" {
			t.Errorf("dialed %s", address)
		}
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}}
}

func TestFetchTakesOneBoundedAnswer(t *testing.T) {
	var asked atomic.Int32
	fetcher := NewFetcher(keyServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Set-Cookie", "a=b")
		switch r.URL.Path {
		case "/key":
			if r.Method != http.MethodGet || len(r.Cookies()) > 0 || r.URL.RawQuery != "a=1" {
				t.Errorf("asked %s %s", r.Method, r.URL)
			}
			w.Write([]byte("key"))
		case "/full":
			w.Write(make([]byte, MaxFetch))
		case "/huge":
			w.Write(make([]byte, MaxFetch+1))
		case "/moved":
			http.Redirect(w, r, "/key?a=1", http.StatusFound)
		case "/short":
			w.Header().Set("Content-Length", "10")
			w.Write([]byte("short"))
		case "/headers":
			w.Header().Set("X", strings.Repeat("a", 1<<20))
		default:
			http.NotFound(w, r)
		}
	}))
	for range 2 {
		if body, err := fetcher.Fetch(t.Context(), "https://example.com/key?a=1"); err != nil || string(body) != "key" {
			t.Errorf("%q %v", body, err)
		}
	}
	if body, err := fetcher.Fetch(t.Context(), "https://example.com:443/full"); err != nil || len(body) != MaxFetch {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	for _, path := range []string{"huge", "moved", "short", "headers", "none"} {
		asked.Store(0)
		if body, err := fetcher.Fetch(t.Context(), "https://example.com/"+path); err == nil || asked.Load() != 1 {
			t.Errorf("%s: %d bytes, %v, asked %d times", path, len(body), err, asked.Load())
		}
	}
}

func TestFetchRefusesAddressesThatAreNone(t *testing.T) {
	fetcher := NewFetcher(FetchOptions{Dial: func(_ context.Context, _, address string) (net.Conn, error) {
		t.Errorf("dialed %s", address)
		return nil, net.ErrClosed
	}})
	for _, address := range []string{
		"", "example.com/key", "http://example.com/key", "file:///etc/passwd", "HTTP://example.com", "https:example.com", "https://", "https:///key",
		"https://user@example.com/", "https://user:password@example.com/", "https://example.com:8443/", "https://example.com:22/", "https://:443/",
		"https://example.com/#key", "https://exa mple.com/", "https://example.com/\nHost: a", "gopher://example.com", "//example.com",
	} {
		if _, err := fetcher.Fetch(t.Context(), address); err == nil {
			t.Errorf("%q was fetched", address)
		}
	}
}

func TestFetchEndsInTime(t *testing.T) {
	started := make(chan struct{})
	options := keyServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/drip" {
			w.Write([]byte("k"))
			w.(http.Flusher).Flush()
		}
		if r.URL.Path == "/canceled" {
			close(started)
		}
		<-r.Context().Done()
	})
	options.Timeout = 50 * time.Millisecond
	fetcher := NewFetcher(options)
	for _, path := range []string{"silence", "drip"} {
		_, err := fetcher.Fetch(t.Context(), "https://example.com/"+path)
		if err == nil || err.Error() != "did not answer in time" {
			t.Errorf("%s: %v", path, err)
		}
	}
	// The caller's own end counts as well.
	options.Timeout = 0
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	if _, err := NewFetcher(options).Fetch(ctx, "https://example.com/canceled"); err == nil {
		t.Error("it did not end with its context")
	}
}

func TestFetchWantsAServerThatIsVouchedFor(t *testing.T) {
	options := keyServer(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("key")) })
	options.RootCAs = x509.NewCertPool()
	if _, err := NewFetcher(options).Fetch(t.Context(), "https://example.com/key"); err == nil {
		t.Error("an unknown certificate was taken")
	}
	options = keyServer(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("key")) })
	dial := options.Dial
	options.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial(ctx, network, "example.com:443")
	}
	_, err := NewFetcher(options).Fetch(t.Context(), "https://another.example/key")
	if err == nil {
		t.Error("the certificate of another host was taken")
	}
	if strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error(), "another.example") {
		t.Errorf("the error tells about the network: %v", err)
	}
}

func TestDialThatTimesOutDidNotAnswerInTime(t *testing.T) {
	options := FetchOptions{Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
	}}
	_, err := NewFetcher(options).Fetch(t.Context(), "https://example.com/key")
	if err == nil || err.Error() != "did not answer in time" {
		t.Error(err)
	}
}

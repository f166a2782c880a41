package deliver_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postern-dev/postern/internal/deliver"
	"github.com/postern-dev/postern/internal/egress"
)

// authority makes a private authority and a certificate by it for the names.
func authority(t *testing.T, names ...string) (*x509.CertPool, tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: names,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serveTLS answers every request over TLS with the server name that the client asked
// for as the body; a request with the body "close" ends the connection.
func serveTLS(t *testing.T, cfg *tls.Config) *endpoint {
	return serve(t, func(v *visit) {
		conn := tls.Server(v.Conn, cfg)
		secure := &visit{Conn: conn, r: bufio.NewReader(conn)}
		for {
			body, more := secure.next()
			if !more {
				return
			}
			secure.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nname=" + (conn.ConnectionState().ServerName + "----")[:4] + "\r\n0\r\n\r\n")
			if string(body) == "close" {
				conn.Close()
				return
			}
		}
	})
}

func TestTLSIsVerifiedKeptAndResumed(t *testing.T) {
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			pool, cert := authority(t, "hook.example")
			e := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: version})
			at := netip.MustParseAddrPort(e.addr)
			d, err := egress.New(egress.Config{Allow: []netip.Prefix{netip.PrefixFrom(at.Addr(), 32)}, Resolver: fixed{at.Addr()}})
			if err != nil {
				t.Fatal(err)
			}
			c := newClient(t, deliver.Config{Dialer: d, RootCAs: pool})
			req := request(t, "https://Hook.example:"+e.addr[len("127.0.0.1:"):]+"/")
			first := post(t, c, req, deliver.None)
			if string(first.Body) != "name=hook" || first.Timings.TLS <= 0 || first.Timings.DNS <= 0 {
				t.Errorf("%s, %+v", first.Body, first.Timings)
			}
			req.Body = []byte("close")
			if res := post(t, c, req, deliver.None); !res.Reused {
				t.Error("not reused")
			}
			// The next one finds the connection closed, before or by writing.
			if res := post(t, c, req, deliver.None); res.Status != 200 || res.Reused {
				t.Errorf("%+v", res)
			}
			if s := c.Stats(); s.FullHandshakes != 1 || s.ResumedHandshakes != 1 {
				t.Errorf("%+v, want one full and one resumed handshake", s)
			}
		})
	}
}

// fixed is a resolver with one answer.
type fixed struct{ addr netip.Addr }

func (f fixed) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{f.addr}, nil
}

func TestTLSRefuses(t *testing.T) {
	pool, cert := authority(t, "hook.example")
	_, stranger := authority(t, "hook.example")
	_, otherName := authority(t, "other.example")
	for name, e := range map[string]*endpoint{
		"another authority": serveTLS(t, &tls.Config{Certificates: []tls.Certificate{stranger}}),
		"another name":      serveTLS(t, &tls.Config{Certificates: []tls.Certificate{otherName}}),
		"TLS 1.1":           serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}),
		"no TLS":            serve(t, func(v *visit) { v.say(ok) }),
		"a closing one":     serve(t, func(*visit) {}),
	} {
		c := newClient(t, deliver.Config{RootCAs: pool})
		if res := post(t, c, request(t, "https://"+e.addr+"/"), deliver.TLS); res.Written || c.Stats().Open != 0 {
			t.Errorf("%s: %+v, %+v", name, res, c.Stats())
		}
	}
}

// TestTLSWantsAClientCertificate: in TLS 1.3 the refusal comes after the handshake, in
// place of the answer.
func TestTLSWantsAClientCertificate(t *testing.T) {
	pool, cert := authority(t)
	e := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13})
	res := post(t, newClient(t, deliver.Config{RootCAs: pool}), request(t, "https://"+e.addr+"/"), deliver.TLS)
	if !strings.Contains(res.Err.Error(), "certificate required") {
		t.Error(res.Err)
	}
}

func TestTLSHandshakeIsUnderTheDeadline(t *testing.T) {
	e := serve(t, func(v *visit) { v.gone() })
	req := request(t, "https://"+e.addr+"/")
	req.Deadline = time.Now().Add(50 * time.Millisecond)
	if res := post(t, newClient(t, deliver.Config{}), req, deliver.Timeout); res.Timings.TLS < 10*time.Millisecond {
		t.Errorf("%+v", res.Timings)
	}
}

func TestTLSLargeBody(t *testing.T) {
	pool, cert := authority(t)
	e := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}})
	req := request(t, "https://"+e.addr+"/")
	req.Body = bytes.Repeat([]byte("x"), 1<<20)
	post(t, newClient(t, deliver.Config{RootCAs: pool}), req, deliver.None)
}

// TestTLSThroughAProxy: the proxy sees an address, the endpoint the name.
func TestTLSThroughAProxy(t *testing.T) {
	pool, cert := authority(t, "hook.example")
	asked := make(chan string, 1)
	p := serve(t, func(v *visit) {
		req, err := http.ReadRequest(v.r)
		if err != nil {
			return
		}
		asked <- req.RequestURI
		v.say("HTTP/1.1 200 Connection established\r\n\r\n")
		conn := tls.Server(v.Conn, &tls.Config{Certificates: []tls.Certificate{cert}})
		inner := &visit{Conn: conn, r: bufio.NewReader(conn)}
		for {
			if _, more := inner.next(); !more {
				return
			}
			inner.say(ok)
		}
	})
	d, err := egress.New(egress.Config{Proxy: &url.URL{Scheme: "http", Host: p.addr}, Resolver: fixed{netip.MustParseAddr("8.8.8.8")}})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, deliver.Config{Dialer: d, RootCAs: pool})
	res := post(t, c, request(t, "https://hook.example/"), deliver.None)
	if uri := <-asked; uri != "8.8.8.8:443" || res.RemoteAddr != uri {
		t.Errorf("CONNECT %s, remote %s", uri, res.RemoteAddr)
	}
	if res := post(t, c, request(t, "https://hook.example/"), deliver.None); !res.Reused {
		t.Error("the tunnel is not kept")
	}
}

package e2e_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// httpsWorld is a server that trusts a private authority, and a receiver with
// a certificate of it that ends every connection.
type httpsWorld struct {
	*server
	receiver *receiver
	app      string
}

func newHTTPSWorld(t *testing.T) *httpsWorld {
	file, certificate := authority(t)
	r := unstartedReceiver(nil)
	r.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	r.Config.SetKeepAlivesEnabled(false)
	r.StartTLS()
	t.Cleanup(r.Close)
	s := serve(t, "file:"+t.TempDir()+"/store", "--egress-ca="+file, "--retry-schedule=none")
	return &httpsWorld{s, r, s.application("a")}
}

// authority makes a private authority, writes its certificate to a file, and
// has it certify a server on loopback, which may have more names than that.
func authority(t *testing.T, names ...string) (file string, server tls.Certificate) {
	t.Helper()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "private authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caKey, caDER := certify(t, ca, ca, nil)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "receiver"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		DNSNames: append([]string{"localhost"}, names...), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	key, der := certify(t, leaf, ca, caKey)
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// certify makes a key and a certificate for it, signed by the parent's key or,
// where that is nil, by its own.
func certify(t *testing.T, template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

// secret is the current one of an endpoint.
func (w *httpsWorld) secret(endpoint string) string {
	w.process.t.Helper()
	var out struct{ Key string }
	w.want(200, "GET", "/app/"+w.app+"/endpoint/"+endpoint+"/secret", nil, &out)
	return out.Key
}

// rotate replaces the secret; "" has one made.
func (w *httpsWorld) rotate(endpoint, key string) {
	w.process.t.Helper()
	in := object{}
	if key != "" {
		in["key"] = key
	}
	w.want(204, "POST", "/app/"+w.app+"/endpoint/"+endpoint+"/secret/rotate", in, nil)
}

// newSymmetric is a secret as a user would make it.
func newSymmetric() string {
	raw := make([]byte, 32)
	rand.Read(raw)
	return "whsec_" + base64.StdEncoding.EncodeToString(raw)
}

// verifies reports what the official library says of a request.
func verifies(t *testing.T, secret string, got *request) error {
	t.Helper()
	library, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return library.Verify(got.body, got.header)
}

// Over HTTPS with a private authority, each of three secrets that live side by
// side satisfies the official library, and one that does not live none.
func TestHTTPSAndThreeSecrets(t *testing.T) {
	t.Parallel()
	w := newHTTPSWorld(t)
	first, second := newSymmetric(), newSymmetric()
	endpoint := w.endpoint(w.app, w.receiver.URL+"/hook", object{"secret": first})
	w.rotate(endpoint, second)
	w.rotate(endpoint, "")
	third := w.secret(endpoint)
	message := w.publish(w.app, "a.b", object{"text": "größer <&>", "n": 1.0})
	got := &w.receiver.await(t, "/hook", 1)[0]
	if got.id != message {
		t.Errorf("webhook-id %s, want %s", got.id, message)
	}
	if n := len(strings.Fields(got.header.Get("Webhook-Signature"))); n != 3 {
		t.Errorf("%d signatures, want 3", n)
	}
	for name, secret := range map[string]string{"first": first, "second": second, "third": third} {
		if err := verifies(t, secret, got); err != nil {
			t.Errorf("the %s secret: %v", name, err)
		}
	}
	if err := verifies(t, newSymmetric(), got); err == nil {
		t.Error("any secret verifies")
	}
	tampered := *got
	tampered.body = append([]byte(" "), got.body...)
	if err := verifies(t, third, &tampered); err == nil {
		t.Error("any body verifies")
	}
	await(t, "the attempt is stored", func() bool { return len(w.attempts(w.app, message)) == 1 })
	if a := w.attempts(w.app, message)[0]; a.ResponseStatusCode != 200 || a.Timings.TLS == 0 {
		t.Errorf("attempt %+v: want 200 and the time of a handshake", a)
	}
	// A secret without a grace period is gone at once.
	w.want(204, "POST", "/app/"+w.app+"/endpoint/"+endpoint+"/secret/rotate", object{"gracePeriodSeconds": 0}, nil)
	w.publish(w.app, "a.b", object{})
	next := &w.receiver.await(t, "/hook", 2)[1]
	if err := verifies(t, w.secret(endpoint), next); err != nil {
		t.Errorf("the fourth secret: %v", err)
	}
	if err := verifies(t, third, next); err == nil {
		t.Error("a secret signs on after a rotation without grace")
	}
	if err := verifies(t, second, next); err != nil {
		t.Errorf("the second secret, still in its grace: %v", err)
	}
}

// An Ed25519 secret signs v1a, which the standard library checks; a receiver
// that knows v1 alone goes on accepting what is signed by both.
func TestEd25519BesideHMAC(t *testing.T) {
	t.Parallel()
	w := newHTTPSWorld(t)
	symmetric := newSymmetric()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := w.endpoint(w.app, w.receiver.URL+"/hook", object{"secret": symmetric})
	w.rotate(endpoint, "whsk_"+base64.StdEncoding.EncodeToString(private))
	if got, want := w.secret(endpoint), "whpk_"+base64.StdEncoding.EncodeToString(public); got != want {
		t.Errorf("the secret reads %s, want the public half %s", got, want)
	}
	w.publish(w.app, "a.b", object{"n": 1})
	got := &w.receiver.await(t, "/hook", 1)[0]
	if err := verifies(t, symmetric, got); err != nil {
		t.Errorf("the official library: %v", err)
	}
	signed := []byte(got.header.Get("Webhook-Id") + "." + got.header.Get("Webhook-Timestamp") + "." + string(got.body))
	var asymmetric int
	for _, signature := range strings.Fields(got.header.Get("Webhook-Signature")) {
		encoded, ok := strings.CutPrefix(signature, "v1a,")
		if !ok {
			continue
		}
		asymmetric++
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || !ed25519.Verify(public, signed, raw) {
			t.Errorf("v1a does not verify: %v", err)
		}
	}
	if asymmetric != 1 {
		t.Errorf("%d v1a signatures in %q", asymmetric, got.header.Get("Webhook-Signature"))
	}
}

// A new connection to a known receiver resumes its TLS session.
func TestTLSSessionsAreResumed(t *testing.T) {
	t.Parallel()
	w := newHTTPSWorld(t)
	w.endpoint(w.app, w.receiver.URL+"/hook", nil)
	const n = 10
	for i := range n { // one after the other: each needs a connection of its own, and the session of the one before
		message := w.publish(w.app, "a.b", object{"i": i})
		w.receiver.await(t, "/hook", i+1)
		await(t, "the attempt is stored", func() bool { return len(w.attempts(w.app, message)) == 1 })
	}
	resumed, connections := 0, map[string]bool{}
	for _, got := range w.receiver.requests("/hook") {
		connections[got.remote] = true
		if got.resumed {
			resumed++
		}
	}
	if len(connections) != n {
		t.Errorf("%d connections for %d requests: none was forced to be new", len(connections), n)
	}
	if resumed != n-1 {
		t.Errorf("%d of %d sessions resumed, want all but the first", resumed, n)
	}
}

// Without the authority, the receiver is not trusted, and gets nothing.
func TestUnknownAuthority(t *testing.T) {
	t.Parallel()
	_, certificate := authority(t)
	r := unstartedReceiver(nil)
	r.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	r.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.StartTLS()
	defer r.Close()
	s := serve(t, "memory:", "--retry-schedule=none")
	app := s.application("a")
	endpoint := s.endpoint(app, r.URL, nil)
	message := s.publish(app, "a.b", object{})
	await(t, "the attempt has failed", func() bool { return s.states(app, message)[endpoint] == "dead" })
	if a := s.attempts(app, message)[0]; a.ResponseStatusCode != 0 || a.Failure == nil || *a.Failure != "tls" {
		t.Errorf("attempt %+v: want code 0, tls", a)
	}
	if got := r.requests(""); len(got) != 0 {
		t.Errorf("%d requests reached a receiver that is not trusted", len(got))
	}
}

package e2e_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	snsHost  = "sns.eu-west-1.amazonaws.com"
	snsEvil  = snsHost + ".evil.example"
	snsTopic = "arn:aws:sns:eu-west-1:123456789012:orders"
	snsCert  = "https://" + snsHost + "/SimpleNotificationService-0123456789abcdef.pem"
)

// amazon stands for Amazon SNS, which no test can reach: a web server at its
// address, under certificates of an authority that the server is told to trust.
// It notes what is fetched.
type amazon struct {
	t    *testing.T
	key  *rsa.PrivateKey
	cert []byte // PEM
	// authority is a file.
	authority string
	mu        sync.Mutex
	log       []string
}

// newAmazon needs port 443, and names that lead to loopback.
func newAmazon(t *testing.T) *amazon {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "sns.amazonaws.com"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a := &amazon{t: t, key: key, cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	var certificate tls.Certificate
	a.authority, certificate = authority(t, snsHost, snsEvil)
	plain, err := net.Listen("tcp", "127.0.0.1:443")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: a, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = web.Serve(tls.NewListener(plain, &tls.Config{Certificates: []tls.Certificate{certificate}})) // it is closed
	}()
	t.Cleanup(func() { web.Close(); <-done })
	return a
}

// ServeHTTP serves the certificate, and confirms subscriptions: those with the
// token "moved" elsewhere, those with "broken" not.
func (a *amazon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.log = append(a.log, r.Method+" "+r.Host+r.URL.RequestURI())
	a.mu.Unlock()
	switch token := r.URL.Query().Get("Token"); {
	case strings.HasSuffix(r.URL.Path, ".pem"):
		_, _ = w.Write(a.cert) // whoever hung up asks again
	case token == "moved":
		http.Redirect(w, r, "https://"+snsEvil+"/", http.StatusFound)
	case token == "broken":
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// fetched is what was, since it was asked last.
func (a *amazon) fetched() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	was := a.log
	a.log = nil
	return was
}

// confirmation asks for a subscription to be confirmed at an address.
func confirmation(topic, subscribe string) map[string]string {
	return map[string]string{
		"Type": "SubscriptionConfirmation", "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b", "Token": "2336412f37", "TopicArn": topic,
		"Message": "You have chosen to subscribe to the topic " + topic + ".\nTo confirm the subscription, visit the SubscribeURL included in this message.", "SubscribeURL": subscribe,
	}
}

// sign makes the body of a message, signed as Amazon does.
func (a *amazon) sign(message map[string]string) string {
	a.t.Helper()
	message["Timestamp"], message["SignatureVersion"] = time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "2"
	if message["SigningCertURL"] == "" {
		message["SigningCertURL"] = snsCert
	}
	var text strings.Builder
	for _, name := range []string{"Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"} {
		if value := message[name]; value != "" {
			text.WriteString(name + "\n" + value + "\n")
		}
	}
	sum := sha256.Sum256([]byte(text.String()))
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, sum[:])
	if err != nil {
		a.t.Fatal(err)
	}
	message["Signature"] = base64.StdEncoding.EncodeToString(signature)
	body, err := json.Marshal(message)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(body)
}

// sns sends a message as Amazon does, as JSON that says it is text.
func (in *inlet) sns(body string) *reply {
	in.t.Helper()
	return in.ask("POST", "", http.Header{"Content-Type": {"text/plain; charset=UTF-8"}, "X-Amz-Sns-Message-Type": {"Notification"}}, []byte(body))
}

// A subscription to a topic of Amazon SNS is confirmed by fetching the address in
// a message, which is signed, of the right topic, and leads to Amazon: once, and
// nothing else is ever fetched. Then notifications are delivered.
func TestSubscriptionIsConfirmed(t *testing.T) {
	t.Parallel()
	inNamespace(t, unix.CLONE_NEWNS|unix.CLONE_NEWNET, func(t *testing.T) {
		replace(t, "/etc/hosts", "127.0.0.1 localhost "+snsHost+" "+snsEvil+"\n")
		a := newAmazon(t)
		s := serve(t, "memory:", "--egress-ca="+a.authority)
		target := newReceiver(t, nil)
		in := s.inlet(t, "aws_sns", object{"config": object{"topic_arn": snsTopic}})
		in.endpoint(in.app, target.URL+"/hook", nil)
		subscribe := func(token string) string {
			return "https://" + snsHost + "/?Action=ConfirmSubscription&TopicArn=" + snsTopic + "&Token=" + token
		}
		certificate, confirmed := "GET "+strings.TrimPrefix(snsCert, "https://"), "GET "+strings.TrimPrefix(subscribe("51b2ff3e"), "https://")

		elsewhere := confirmation(snsTopic, subscribe("51b2ff3e"))
		elsewhere["SigningCertURL"] = "https://" + snsEvil + "/x.pem"
		if r := in.sns(a.sign(elsewhere)); r.status != 401 || len(a.fetched()) > 0 {
			t.Errorf("a certificate of somebody else's: answered %d, and was fetched", r.status)
		}
		if r := in.sns(a.sign(confirmation(snsTopic, subscribe("51b2ff3e")))); r.status != 200 || len(r.body) > 0 {
			t.Fatalf("answered %d %s", r.status, r.body)
		}
		if got := a.fetched(); !slices.Equal(got, []string{certificate, confirmed}) {
			t.Errorf("fetched %q", got)
		}
		for _, test := range []struct {
			name, body, reason string
			status             int
			fetched            []string
		}{
			{"another topic", a.sign(confirmation(snsTopic+"-of-a-stranger", subscribe("a"))), "value_mismatch", 401, nil},
			{"a stranger's address", a.sign(confirmation(snsTopic, "https://"+snsEvil+"/")), "handshake_refused", 403, nil},
			{"without TLS", a.sign(confirmation(snsTopic, "http://"+snsHost+"/")), "handshake_refused", 403, nil},
			{"another port", a.sign(confirmation(snsTopic, "https://"+snsHost+":8443/")), "handshake_refused", 403, nil},
			{"a user", a.sign(confirmation(snsTopic, "https://"+snsHost+"@"+snsEvil+"/")), "handshake_refused", 403, nil},
			{"changed on its way", strings.Replace(a.sign(confirmation(snsTopic, subscribe("a"))), "Token=a", "Token=b", 1), "signature_mismatch", 401, nil},
			{"moved", a.sign(confirmation(snsTopic, subscribe("moved"))), "", 503, []string{"GET " + strings.TrimPrefix(subscribe("moved"), "https://")}},
			{"broken", a.sign(confirmation(snsTopic, subscribe("broken"))), "", 503, []string{"GET " + strings.TrimPrefix(subscribe("broken"), "https://")}},
		} {
			before := len(in.refusals())
			if r := in.sns(test.body); r.status != test.status || (r.header.Get("Retry-After") != "") != (r.status == 503) {
				t.Errorf("%s: answered %d %s", test.name, r.status, r.body)
			}
			if got := a.fetched(); !slices.Equal(got, test.fetched) {
				t.Errorf("%s: fetched %q, want %q", test.name, got, test.fetched)
			}
			if kept := in.refusals(); test.reason != "" && (len(kept) != before+1 || kept[0].Reason != test.reason) {
				t.Errorf("%s: refusals %+v", test.name, kept)
			}
		}
		if n := len(in.messages()); n != 0 {
			t.Errorf("%d messages", n)
		}

		order := a.sign(map[string]string{"Type": "Notification", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": snsTopic, "Subject": "Order", "Message": `{"id":1}`})
		for range 2 { // Amazon sends it again
			if r := in.sns(order); r.status != 202 {
				t.Fatalf("a notification: answered %d %s", r.status, r.body)
			}
		}
		if got := target.await(t, "/hook", 1); len(got) != 1 || string(got[0].body) != order || in.messages()[0].EventType != "Notification" {
			t.Errorf("delivered %+v", got)
		}
		if got := a.fetched(); len(got) > 0 {
			t.Errorf("the certificate is not kept: fetched %q", got)
		}

		// Without a topic nobody in particular is meant: the owner is shown it.
		open := s.inlet(t, "aws_sns", nil)
		if r := open.sns(a.sign(confirmation(snsTopic, subscribe("a")))); r.status != 202 || slices.ContainsFunc(a.fetched(), func(line string) bool { return strings.Contains(line, "Confirm") }) {
			t.Errorf("without a topic: answered %d", r.status)
		}
		if got := open.messages(); len(got) != 1 || got[0].EventType != "SubscriptionConfirmation" {
			t.Errorf("without a topic: messages %+v", got)
		}
		if log := s.stderr.String(); strings.Contains(log, "51b2ff3e") {
			t.Errorf("the log has an address that confirms: %s", log)
		}

		// Names of Amazon's that lead inside are not followed.
		guarded := serve(t, "memory:", "--egress-ca="+a.authority, "--egress-allow=192.0.2.0/24")
		in = guarded.inlet(t, "aws_sns", object{"config": object{"topic_arn": snsTopic}, "secrets": []string{string(a.cert)}})
		if r := in.sns(a.sign(confirmation(snsTopic, subscribe("a")))); r.status != 503 || len(a.fetched()) > 0 {
			t.Errorf("to a private address: answered %d %s", r.status, r.body)
		}
	})
}

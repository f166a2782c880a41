package sign_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	official "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/postern-dev/postern/sign"
)

const (
	messageID = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"
	sentAt    = int64(1674087231)
	payload   = `{"type":"contact.created"}`
)

func parseKey(t testing.TB, text string) sign.Key {
	t.Helper()
	key, err := sign.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newSigner(t testing.TB, keys ...sign.Key) *sign.Signer {
	t.Helper()
	signer, err := sign.NewSigner(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// headersFor are the headers of a message with the given signature header.
func headersFor(family, signatures string, seconds int64) http.Header {
	h := http.Header{}
	h.Set(family+"-id", messageID)
	h.Set(family+"-timestamp", strconv.FormatInt(seconds, 10))
	h.Set(family+"-signature", signatures)
	return h
}

func TestLiteralSignatures(t *testing.T) {
	// Made outside Go, over text=msg_2KWPBgLlAfxdpx2AI54pPJ85f4W.1674087231.{"type":"contact.created"}
	//
	//	printf %s "$text" | openssl dgst -sha256 -mac HMAC -macopt key:0123456789abcdefghijklmn -binary | base64
	const symmetric = "v1,pMkUtqowHOC0gvN7j07qxEZOkHeWBskZI67ldr85oa8="
	// With k.pem holding the seed 01 02 .. 20 (hexadecimal) as
	//
	//	-----BEGIN PRIVATE KEY-----
	//	MC4CAQAwBQYDK2VwBCIEIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g
	//	-----END PRIVATE KEY-----
	//
	//	printf %s "$text" > text; openssl pkeyutl -sign -rawin -inkey k.pem -in text | base64 -w0
	const asymmetric = "v1a,4vK5KDmV7X6kNNem6lznxlzVtY1IHgHbxZp2YbdFDdWyFlhi2q//VJW+IvaPBLmGT9Ga9LUroWcrE4WhXr70AQ=="
	//	openssl pkey -in k.pem -pubout -outform DER | tail -c 32 | base64 -w0
	const public = "whpk_ebVWLo/mVPlAeLES6KmLp5AfhTrmlb7X4OORC60ElmQ="

	hmacKey := parseKey(t, "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1u")
	privateKey := parseKey(t, "whsk_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=")
	got := string(newSigner(t, hmacKey, privateKey).AppendSignatures(nil, messageID, sentAt, []byte(payload)))
	if want := symmetric + " " + asymmetric; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	half, _ := privateKey.Public()
	if half.Reveal() != public {
		t.Errorf("public key %s, want %s", half.Reveal(), public)
	}
	v := sign.Verifier{Keys: []sign.Key{parseKey(t, public)}}
	if err := v.Verify(headersFor("webhook", asymmetric, sentAt), []byte(payload), time.Unix(sentAt, 0)); err != nil {
		t.Errorf("the literal v1a signature is refused: %v", err)
	}
}

// TestOfficialLibraryAccepts checks with the reference implementation, once per
// live key, that several keys and a v1a signature beside them do no harm.
func TestOfficialLibraryAccepts(t *testing.T) {
	private := sign.GenerateEd25519()
	live := []sign.Key{sign.GenerateSymmetric(), sign.GenerateSymmetric(), sign.GenerateSymmetric()}
	now := time.Now().Unix()
	for name, keys := range map[string][]sign.Key{
		"three secrets": live,
		"v1a in front":  append([]sign.Key{private}, live...),
		"v1a behind":    append(append([]sign.Key{}, live...), private),
	} {
		signatures := newSigner(t, keys...).AppendSignatures(nil, messageID, now, []byte(payload))
		h := headersFor("webhook", string(signatures), now)
		for i, key := range live {
			receiver, err := official.NewWebhook(key.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			if err := receiver.Verify([]byte(payload), h); err != nil {
				t.Errorf("%s: key %d: %v", name, i, err)
			}
			if receiver.Verify([]byte(payload+" "), h) == nil {
				t.Errorf("%s: key %d: a changed body is accepted", name, i)
			}
		}
	}
}

// TestOfficialLibrarySigns checks the other direction.
func TestOfficialLibrarySigns(t *testing.T) {
	key := sign.GenerateSymmetric()
	sender, err := official.NewWebhook(key.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	signature, err := sender.Sign(messageID, time.Unix(sentAt, 0), []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	v := sign.Verifier{Keys: []sign.Key{sign.GenerateSymmetric(), key}}
	if err := v.Verify(headersFor("webhook", signature, sentAt), []byte(payload), time.Unix(sentAt, 0)); err != nil {
		t.Error(err)
	}
}

func TestAsymmetricAgainstCryptoEd25519(t *testing.T) {
	key := sign.GenerateEd25519()
	public, _ := key.Public()
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(public.Reveal(), "whpk_"))
	if err != nil {
		t.Fatal(err)
	}
	header := string(newSigner(t, key).AppendSignatures(nil, messageID, sentAt, []byte(payload)))
	signature, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(header, "v1a,"))
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%s.%d.%s", messageID, sentAt, payload)
	if !ed25519.Verify(raw, []byte(text), signature) {
		t.Error("crypto/ed25519 refuses the signature")
	}
}

func TestNewSignerRefuses(t *testing.T) {
	public, _ := sign.GenerateEd25519().Public()
	many := make([]sign.Key, sign.MaxKeys+1)
	for i := range many {
		many[i] = sign.GenerateSymmetric()
	}
	for name, tc := range map[string]struct {
		keys []sign.Key
		err  error
	}{
		"no keys":    {nil, sign.ErrKeyKind},
		"too many":   {many, sign.ErrKeyKind},
		"zero key":   {[]sign.Key{many[0], {}}, sign.ErrKeyEmpty},
		"public key": {[]sign.Key{public}, sign.ErrKeyKind},
	} {
		if signer, err := sign.NewSigner(tc.keys...); !errors.Is(err, tc.err) || signer != nil {
			t.Errorf("%s: error %v, want %v", name, err, tc.err)
		}
	}
}

// TestSignerIsSafeForConcurrentUse is a test for the race detector, and that no
// call sees the scratch of another.
func TestSignerIsSafeForConcurrentUse(t *testing.T) {
	key, private := sign.GenerateSymmetric(), sign.GenerateEd25519()
	public, _ := private.Public()
	signer := newSigner(t, key, private)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			body := []byte(strings.Repeat(strconv.Itoa(i), 100*(i+1)))
			for range 20 {
				h := headersFor("webhook", string(signer.AppendSignatures(nil, messageID, sentAt, body)), sentAt)
				for _, k := range []sign.Key{key, public} {
					if err := (sign.Verifier{Keys: []sign.Key{k}}).Verify(h, body, time.Unix(sentAt, 0)); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestAppendSignaturesDoesNotAllocate(t *testing.T) {
	signer := newSigner(t, sign.GenerateSymmetric(), sign.GenerateSymmetric())
	body := make([]byte, 1024)
	dst := make([]byte, 0, 256)
	allowed := 0.0
	if raceEnabled {
		allowed = 16 // sync.Pool drops a share of what it is given, to provoke races
	}
	if got := testing.AllocsPerRun(200, func() {
		dst = signer.AppendSignatures(dst[:0], messageID, sentAt, body)
	}); got > allowed {
		t.Errorf("%v allocations per call, want %v", got, allowed)
	}
}

func TestAppendSignaturesAppends(t *testing.T) {
	signer := newSigner(t, sign.GenerateSymmetric())
	alone := signer.AppendSignatures(nil, messageID, sentAt, nil)
	if got := signer.AppendSignatures([]byte("x: "), messageID, sentAt, nil); string(got) != "x: "+string(alone) {
		t.Errorf("got %s", got)
	}
}

func BenchmarkAppendSignatures(b *testing.B) {
	for name, keys := range map[string][]sign.Key{
		"hmac":    {sign.GenerateSymmetric()},
		"hmac3":   {sign.GenerateSymmetric(), sign.GenerateSymmetric(), sign.GenerateSymmetric()},
		"ed25519": {sign.GenerateEd25519()},
	} {
		b.Run(name, func(b *testing.B) {
			signer := newSigner(b, keys...)
			body, dst := make([]byte, 1024), make([]byte, 0, 512)
			b.ReportAllocs()
			for b.Loop() {
				dst = signer.AppendSignatures(dst[:0], messageID, sentAt, body)
			}
		})
	}
}

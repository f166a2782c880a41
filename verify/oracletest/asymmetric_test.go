package oracletest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	mathrand "math/rand/v2"
	"testing"

	"github.com/bwmarrin/discordgo"
	"github.com/sendgrid/sendgrid-go/helpers/eventwebhook"
)

func TestDiscord(t *testing.T) {
	t.Parallel()
	// The secret is the public key, in hex.
	keys := map[string]ed25519.PrivateKey{"": ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
	newKey := func() string {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		keys[toHex(public)] = private
		return toHex(public)
	}
	v := &vendor{
		provider: "discord",
		secret:   newKey(), other: newKey(),
		request: func() *request {
			return post(`{"type":2,"id":"786008729715212338","token":"A_UNIQUE_TOKEN","data":{"name":"cardsearch"}}`, "application/json")
		},
		raw: func(r *request) []byte {
			return ed25519.Sign(keys[r.secret], append([]byte(r.stamp), r.body...))
		},
		encode: toHex, recode: toBase64,
		place: func(r *request, signature string) {
			r.header.Set("X-Signature-Ed25519", signature)
			r.header.Set("X-Signature-Timestamp", r.stamp)
		},
		headers: []string{"X-Signature-Ed25519", "X-Signature-Timestamp"},
		judge: func(r *request) bool {
			key, err := hex.DecodeString(r.secret)
			return err == nil && len(key) == ed25519.PublicKeySize && discordgo.VerifyInteraction(r.http(), key)
		},
	}
	v.mutations = []mutation{
		{"a digit moved into the body", 0, func(_ *mathrand.Rand, _ *vendor, r *request) {
			r.header.Set("X-Signature-Timestamp", r.stamp[:len(r.stamp)-1])
			r.body = append([]byte(r.stamp[len(r.stamp)-1:]), r.body...)
		}},
		{"no time", 0, func(_ *mathrand.Rand, _ *vendor, r *request) { r.header.Del("X-Signature-Timestamp") }},
	}
	v.stricter = firstOfTwo(map[string]string{
		"signed ten minutes ago":      anyTime,
		"signed a day ago":            anyTime,
		"signed in 1970":              anyTime,
		"signed in ten minutes":       anyTime,
		"signed in a year":            anyTime,
		"time as a word":              looseTime,
		"time with letters behind it": looseTime,
		"time with a zero before it":  looseTime,
		"time with a plus before it":  looseTime,
		"time with a fraction":        looseTime,
		"time negative":               looseTime,
		"time in milliseconds":        looseTime,
		"time beyond all numbers":     looseTime,
		"a digit moved into the body": boundary,
	})
	v.judgeAlike(t)
}

func TestSendGrid(t *testing.T) {
	t.Parallel()
	// The secret is the public key, as base64 of its DER.
	keys := map[string]*ecdsa.PrivateKey{}
	newKey := func() string {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(private.Public())
		if err != nil {
			t.Fatal(err)
		}
		keys[toBase64(der)] = private
		return toBase64(der)
	}
	v := &vendor{
		provider: "sendgrid",
		secret:   newKey(), other: newKey(),
		request: func() *request {
			return post("[{\"email\":\"hello@world.com\",\"event\":\"dropped\",\"sg_event_id\":\"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA\"}]\r\n", "application/json")
		},
		raw: func(r *request) []byte {
			private := keys[r.secret]
			if private == nil {
				private = keys[keyOf(keys)]
			}
			sum := sha256.Sum256(append([]byte(r.stamp), r.body...))
			signature, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
			if err != nil {
				panic(err) // the hash is never too long
			}
			return signature
		},
		encode: toBase64, recode: toHex,
		place: func(r *request, signature string) {
			r.header.Set(eventwebhook.VerificationHTTPHeader, signature)
			r.header.Set(eventwebhook.TimestampHTTPHeader, r.stamp)
		},
		headers: []string{eventwebhook.VerificationHTTPHeader, eventwebhook.TimestampHTTPHeader},
		judge: func(r *request) bool {
			key, err := eventwebhook.ConvertPublicKeyBase64ToECDSA(r.secret)
			if err != nil {
				return false
			}
			ok, err := eventwebhook.VerifySignature(key, r.body, r.header.Get(eventwebhook.VerificationHTTPHeader), r.header.Get(eventwebhook.TimestampHTTPHeader))
			return ok && err == nil
		},
		// How a signature ends depends on its numbers.
		without: []string{"signature with bits that stand for nothing"},
	}
	v.mutations = []mutation{
		{"a digit moved into the body", 0, func(_ *mathrand.Rand, _ *vendor, r *request) {
			r.header.Set(eventwebhook.TimestampHTTPHeader, r.stamp[:len(r.stamp)-1])
			r.body = append([]byte(r.stamp[len(r.stamp)-1:]), r.body...)
		}},
		{"the line break at the end gone", 0, func(_ *mathrand.Rand, _ *vendor, r *request) { r.body = r.body[:len(r.body)-2] }},
		{"a line break behind the signature", 0, func(_ *mathrand.Rand, v *vendor, r *request) {
			v.place(r, base64.StdEncoding.EncodeToString(v.raw(r))+"\n")
		}},
	}
	v.stricter = firstOfTwo(map[string]string{
		"signed ten minutes ago":            anyTime,
		"signed a day ago":                  anyTime,
		"signed in 1970":                    anyTime,
		"signed in ten minutes":             anyTime,
		"signed in a year":                  anyTime,
		"time as a word":                    looseTime,
		"time with letters behind it":       looseTime,
		"time with a zero before it":        looseTime,
		"time with a plus before it":        looseTime,
		"time with a fraction":              looseTime,
		"time negative":                     looseTime,
		"time in milliseconds":              looseTime,
		"time beyond all numbers":           looseTime,
		"time empty":                        looseTime,
		"a digit moved into the body":       boundary,
		"signature with bytes behind it":    looseText,
		"signature with a line break in it": looseText,
		"a line break behind the signature": looseText,
	})
	v.judgeAlike(t)
}

// keyOf is any key of a map.
func keyOf(keys map[string]*ecdsa.PrivateKey) string {
	for name := range keys {
		return name
	}
	return ""
}

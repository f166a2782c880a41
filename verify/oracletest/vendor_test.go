package oracletest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/postern-dev/postern/verify"
)

// vendor is a provider with its vendor's own code beside ours.
type vendor struct {
	provider string
	// settings of the source, where its defaults are not what the SDK is asked for.
	settings map[string]string
	// secret and other are two that the vendor could have given out.
	secret, other string
	// request is a new one of the vendor's, not signed yet.
	request func() *request
	// sdkSign has the SDK sign a request; nil where the SDK does not sign.
	sdkSign func(t *testing.T, r *request)
	// raw is the signature of a request as it is, made without the SDK: with it
	// the tests sign what an SDK would not.
	raw func(r *request) []byte
	// encode writes a signature as the vendor does, recode as others do.
	encode, recode func([]byte) string
	// place puts a signature where the vendor does.
	place func(r *request, signature string)
	// headers are those that carry the signature; the first one's value is
	// changed by the mutations.
	headers []string
	// judge is the SDK's verdict.
	judge func(r *request) bool
	// mutations are the vendor's own, besides those for everybody.
	mutations []mutation
	// without names the mutations for everybody that have no meaning here.
	without []string
	// stricter are the mutations that the SDK accepts and we refuse, wider those
	// that it refuses and we accept, each with the reason. A mutation that both
	// judge alike does not belong here.
	stricter, wider map[string]string
}

// request is one on its way, with what signing it needs.
type request struct {
	method, url string
	header      http.Header
	body        []byte
	secret      string
	// at is when it is signed, and stamp how that is written; "" for vendors
	// that sign no time.
	at    time.Time
	stamp string
}

// sign signs without the SDK.
func (v *vendor) sign(r *request) { v.place(r, v.encode(v.raw(r))) }

// ours is our verdict. Like the SDKs, it goes by the clock of now.
func (v *vendor) ours(t *testing.T, r *request) bool {
	t.Helper()
	def, ok := verify.Lookup(v.provider)
	if !ok {
		t.Fatalf("no provider %s", v.provider)
	}
	verifier, err := verify.New(def, verify.Config{Secrets: []string{r.secret}, Settings: v.settings})
	if err != nil {
		return false // a secret that cannot be one
	}
	_, err = verifier.Verify(context.Background(), verify.Request{
		Method: r.method, URL: r.url, Header: r.header.Clone(), Body: bytes.Clone(r.body),
	}, time.Now())
	return err == nil
}

// http is the request as a server's handler gets it.
func (r *request) http() *http.Request {
	out, err := http.NewRequestWithContext(context.Background(), r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		panic(err) // the tests make the URLs
	}
	out.Header = r.header.Clone()
	return out
}

// source is where all randomness comes from: the same every time, unless
// POSTERN_SEED says otherwise.
func source(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(1)
	if text := os.Getenv("POSTERN_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("POSTERN_SEED: %v", err)
		}
	}
	t.Logf("POSTERN_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 5))
}

// judgeAlike shows requests of a vendor, changed and unchanged, to the SDK and
// to us.
func (v *vendor) judgeAlike(t *testing.T) {
	random := source(t)
	v.checkSigners(t)
	var changed, accepted int
	met := map[string]bool{}
	for _, m := range slices.Concat(everybodys(v), v.mutations) {
		if slices.Contains(v.without, m.name) {
			continue
		}
		for range max(m.times, 1) {
			r := v.request()
			r.secret, r.at = v.secret, time.Now()
			v.stamped(r, 0)
			v.sign(r)
			m.apply(random, v, r)
			sdk, we := v.judge(r), v.ours(t, r)
			changed++
			if sdk && we {
				accepted++
			}
			if sdk == we {
				continue
			}
			met[m.name] = true
			if sdk && v.stricter[m.name] == "" || we && v.wider[m.name] == "" {
				t.Errorf("%s: the SDK accepts: %t, we: %t\n%v\n%q", m.name, sdk, we, r.header, r.body)
			}
		}
	}
	for _, listed := range []map[string]string{v.stricter, v.wider} {
		for name := range listed {
			if !met[name] {
				t.Errorf("%s is listed as a difference and is none", name)
			}
		}
	}
	if changed < 50 || accepted < 8 || changed-accepted < 20 {
		t.Errorf("%d requests, %d of them accepted by both: too few to tell anything", changed, accepted)
	}
	t.Logf("%d requests, %d accepted by both, %d kinds of difference", changed, accepted, len(met))
}

// checkSigners sees that the SDK's signature is accepted here, and ours there.
func (v *vendor) checkSigners(t *testing.T) {
	t.Helper()
	for _, sign := range []func(*request){v.sign, func(r *request) {
		if v.sdkSign != nil {
			v.sdkSign(t, r)
		} else {
			v.sign(r)
		}
	}} {
		r := v.request()
		r.secret, r.at = v.secret, time.Now()
		v.stamped(r, 0)
		sign(r)
		if sdk, we := v.judge(r), v.ours(t, r); !sdk || !we {
			t.Fatalf("a good request: the SDK accepts: %t, we: %t\n%v\n%q", sdk, we, r.header, r.body)
		}
	}
}

// stamped dates a request of a vendor that signs the time.
func (v *vendor) stamped(r *request, shift time.Duration) {
	if r.at = r.at.Add(shift); v.timed() {
		r.stamp = strconv.FormatInt(r.at.Unix(), 10)
	}
}

func (v *vendor) timed() bool { return !slices.Contains(v.without, "time") }

func hmacOf(h func() hash.Hash, key []byte, pieces ...[]byte) []byte {
	mac := hmac.New(h, key)
	for _, p := range pieces {
		mac.Write(p)
	}
	return mac.Sum(nil)
}

func toHex(raw []byte) string    { return hex.EncodeToString(raw) }
func toBase64(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }

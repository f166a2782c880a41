package verify_test

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/verify"
)

// acceptedVector is a vector that is accepted, and who accepts it.
type acceptedVector struct {
	vector
	def      verify.Definition
	verifier *verify.Verifier
}

// accepted are all vectors that a provider of one of the kinds accepts.
func accepted(t testing.TB, kinds ...verify.Kind) []acceptedVector {
	t.Helper()
	var all []acceptedVector
	defs := map[string]verify.Definition{}
	for _, v := range append(readVectors(t), derivedVectors(t)...) {
		if v.Expect != "accept" {
			continue
		}
		if _, known := defs[v.Provider]; !known {
			defs[v.Provider], _ = verify.Lookup(v.Provider)
		}
		def := defs[v.Provider]
		if !slices.ContainsFunc(def.Schemes, func(s verify.Scheme) bool { return slices.Contains(kinds, s.Kind) }) {
			continue
		}
		verifier, err := verify.New(def, v.config(def))
		if err != nil {
			continue
		}
		if _, err := verifier.Verify(t.Context(), v.request(), time.Unix(v.Now, 0)); err == nil {
			all = append(all, acceptedVector{v, def, verifier})
		}
	}
	return all
}

// derivedVectors are those of derived*.jsonl as vectors.
func derivedVectors(t testing.TB) []vector {
	t.Helper()
	var all []vector
	for _, d := range readDerived(t) {
		all = append(all, vector{
			ID: d.ID, Provider: d.Provider, Method: d.Method, URL: d.URL, Headers: d.Headers, Body: d.Body,
			Secrets: d.Secrets, Now: d.Now, Expect: d.Expect, Grade: "must", Config: d.Config,
		})
	}
	return all
}

// sameContent reports whether two bodies say the same to a signature that is over
// the fields of a form: %2f is %2F.
func sameContent(a, b []byte) bool {
	x, errX := url.ParseQuery(string(a))
	y, errY := url.ParseQuery(string(b))
	return errX == nil && errY == nil && cmp.Equal(x, y)
}

// fuzzKinds holds for every provider with one of the kinds: no request panics,
// every refusal has a reason, and a request whose body was changed is refused
// unless the definition says in words what is not signed.
func fuzzKinds(f *testing.F, kinds ...verify.Kind) {
	vectors := accepted(f, kinds...)
	if len(vectors) == 0 {
		f.Fatal("no vectors of this kind")
	}
	for i := range vectors {
		f.Add(uint16(i), uint16(0), uint32(7), byte(1), "", []byte(nil))
	}
	f.Fuzz(func(t *testing.T, which, header uint16, at uint32, mask byte, value string, tail []byte) {
		v := vectors[int(which)%len(vectors)]
		req, now := v.request(), time.Unix(v.Now, 0)
		changed := slices.Clone(req.Body)
		if len(changed) > 0 {
			changed[int(at)%len(changed)] ^= mask
		}
		changed = append(changed, tail...)
		req.Body = changed
		_, err := v.verifier.Verify(t.Context(), req, now)
		if err == nil && v.def.Unsigned == "" && !slices.Equal(changed, v.Body) && !sameContent(changed, v.Body) {
			t.Fatalf("%s: accepted with the body %q", v.ID, changed)
		}
		if err != nil && reasonOf(t, err) == "" {
			t.Fatal("an error without a reason")
		}
		// A stranger's headers and query must not panic, whatever they are.
		req.Header = req.Header.Clone()
		if n := len(v.Headers); n > 0 {
			req.Header.Set(v.Headers[int(header)%n][0], value)
		}
		req.URL += value
		if _, err := v.verifier.Verify(t.Context(), req, now); err != nil && reasonOf(t, err) == "" {
			t.Fatal("an error without a reason")
		}
		v.verifier.Describe(verify.Request{Header: http.Header{"Content-Type": {value}}, Target: value, Body: changed})
	})
}

func FuzzVerifyHMAC(f *testing.F) { fuzzKinds(f, verify.KindHMAC) }
func FuzzVerifyHash(f *testing.F) { fuzzKinds(f, verify.KindHash) }
func FuzzVerifyPublicKey(f *testing.F) {
	fuzzKinds(f, verify.KindEd25519, verify.KindECDSA, verify.KindRSA)
}
func FuzzVerifyJWT(f *testing.F)           { fuzzKinds(f, verify.KindJWT) }
func FuzzVerifyToken(f *testing.F)         { fuzzKinds(f, verify.KindToken, verify.KindBasic) }
func FuzzVerifyHTTPSignature(f *testing.F) { fuzzKinds(f, verify.KindHTTPSignature) }
func FuzzVerifyCode(f *testing.F)          { fuzzKinds(f, verify.KindCode) }

// TestMutatedVectorsAreRefused flips bits all over the body of every accepted
// vector, and tries another secret of the same form.
func TestMutatedVectorsAreRefused(t *testing.T) {
	vectors := accepted(t, verify.KindHMAC, verify.KindHash, verify.KindEd25519, verify.KindECDSA, verify.KindRSA,
		verify.KindJWT, verify.KindHTTPSignature, verify.KindCode)
	secrets := sampleSecrets(t)
	for _, v := range vectors {
		for bit := range 8 {
			req := v.request()
			if len(req.Body) == 0 || v.def.Unsigned != "" {
				continue
			}
			req.Body = slices.Clone(req.Body)
			i := len(req.Body) * bit / 8
			req.Body[i] ^= 1 << bit
			if _, err := v.verifier.Verify(t.Context(), req, time.Unix(v.Now, 0)); err == nil && !sameContent(req.Body, v.Body) {
				t.Errorf("%s: accepted with bit %d of byte %d flipped", v.ID, bit, i)
			}
		}
		another, err := sampleVerifier(v.def, v.config(v.def).Settings, secrets)
		if err != nil {
			continue // fits none of the samples
		}
		if _, err := another.Verify(t.Context(), v.request(), time.Unix(v.Now, 0)); err == nil {
			t.Errorf("%s: accepted under another secret", v.ID)
		}
	}
	if len(vectors) < 200 {
		t.Errorf("only %d vectors were tried", len(vectors))
	}
}

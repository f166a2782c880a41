package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// Keys that tests sign with, made anew for each run.
type testKeys struct {
	ed   ed25519.PrivateKey
	ec   *ecdsa.PrivateKey
	ec3  *ecdsa.PrivateKey
	ec5  *ecdsa.PrivateKey
	rsa  *rsa.PrivateKey
	weak *rsa.PrivateKey // 1024 bits, which some providers still have
}

func makeKeys(t testing.TB) testKeys {
	t.Helper()
	var k testKeys
	var errs [6]error
	_, k.ed, errs[0] = ed25519.GenerateKey(rand.Reader)
	k.ec, errs[1] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.ec3, errs[2] = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	k.ec5, errs[3] = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	k.rsa, errs[4] = rsa.GenerateKey(rand.Reader, 2048)
	k.weak, errs[5] = rsa.GenerateKey(rand.Reader, 1024)
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func (k testKeys) publics() []crypto.PublicKey {
	return []crypto.PublicKey{k.ed.Public(), k.ec.Public(), k.ec3.Public(), k.ec5.Public(), k.rsa.Public(), k.weak.Public()}
}

func pkixDER(t testing.TB, public crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func certificatePEM(t testing.TB, signer crypto.Signer, from, to time.Time) string {
	t.Helper()
	about := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "keys.example"}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, about, about, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return pemText("CERTIFICATE", der)
}

func jwkText(t testing.TB, public crypto.PublicKey, kid string) string {
	t.Helper()
	members := map[string]string{"kid": kid, "use": "sig"}
	b64 := base64.RawURLEncoding.EncodeToString
	switch p := public.(type) {
	case ed25519.PublicKey:
		members["kty"], members["crv"], members["x"] = "OKP", "Ed25519", b64(p)
	case *ecdsa.PublicKey:
		point, err := p.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		half := len(point) / 2
		members["kty"], members["crv"] = "EC", p.Curve.Params().Name
		members["x"], members["y"] = b64(point[1:1+half]), b64(point[1+half:])
	case *rsa.PublicKey:
		members["kty"], members["n"], members["e"] = "RSA", b64(p.N.Bytes()), b64(big.NewInt(int64(p.E)).Bytes())
	}
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPublicKeysAreReadInEveryForm(t *testing.T) {
	keys := makeKeys(t)
	for _, public := range keys.publics() {
		kind := kindOf(public)
		der := pkixDER(t, public)
		forms := map[string]string{
			"pem":   pemText("PUBLIC KEY", der),
			"pem 2": strings.ReplaceAll(pemText("PUBLIC KEY", der), "\n", `\n`), // as environment variables have it
			"pem 3": "a comment\n" + pemText("PUBLIC KEY", der),
			"pem 4": base64.StdEncoding.EncodeToString(der),
			"spki":  base64.StdEncoding.EncodeToString(der),
			"jwk":   jwkText(t, public, "a"),
		}
		switch p := public.(type) {
		case ed25519.PublicKey:
			forms["hex"] = hex.EncodeToString(p)
			forms["base64"] = base64.StdEncoding.EncodeToString(p)
			forms["base64url"] = base64.RawURLEncoding.EncodeToString(p)
			forms["spki 2"] = forms["base64"]
		case *rsa.PublicKey:
			forms["pem 5"] = pemText("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(p))
		}
		for form, text := range forms {
			form, _, _ = strings.Cut(form, " ")
			for _, kind := range []Kind{kind, KindJWT, KindHTTPSignature, KindCode} {
				got, err := parsePublicKey(kind, form, text)
				if err != nil || !public.(interface{ Equal(crypto.PublicKey) bool }).Equal(got) {
					t.Errorf("%s %s for %s: %v", kindOf(public), form, kind, err)
				}
			}
			for _, other := range []Kind{KindEd25519, KindECDSA, KindRSA} {
				if _, err := parsePublicKey(other, form, text); other != kind && err == nil {
					t.Errorf("a key for %s was taken for %s", kind, other)
				}
			}
		}
	}
}

func TestCertificatesCountWithinTheirPeriod(t *testing.T) {
	keys := makeKeys(t)
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	to := from.AddDate(1, 0, 0)
	m, err := parseMaterial("x509", certificatePEM(t, keys.rsa, from, to))
	if err != nil || m.certificate == nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Time]bool{from.Add(-time.Second): false, from: true, to: true, to.Add(time.Second): false} {
		if got := m.validAt(at); got != want {
			t.Errorf("at %v: %v", at, got)
		}
	}
	if bare := (material{public: keys.rsa.Public()}); !bare.validAt(from) {
		t.Error("a bare key has no period")
	}
	// In a chain the first is the one that signs.
	chain := certificatePEM(t, keys.ec, from, to) + certificatePEM(t, keys.rsa, from, to)
	if m, err := parseMaterial("pem", chain); err != nil || kindOf(m.public) != KindECDSA {
		t.Errorf("of a chain the first counts: %v", err)
	}
}

func TestWrongPublicKeysAreRefused(t *testing.T) {
	keys := makeKeys(t)
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(keys.ed)
	if err != nil {
		t.Fatal(err)
	}
	small := &rsa.PublicKey{N: new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 511), big.NewInt(1)), E: 65537}
	huge := &rsa.PublicKey{N: new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 9000), big.NewInt(1)), E: 65537}
	even := &rsa.PublicKey{N: keys.rsa.N, E: 65536}
	good := jwkText(t, keys.ec.Public(), "a")
	der := pkixDER(t, keys.rsa.Public())
	for name, c := range map[string]struct{ form, text, want string }{
		"not hex":              {"hex", "xyz", "is not hex"},
		"short hex":            {"hex", "00", "is 1 bytes after decoding, must be 32"},
		"line break in base64": {"base64", strings.Repeat("A", 20) + "\n" + strings.Repeat("A", 23), "is not base64"},
		"padding too long":     {"base64", strings.Repeat("A", 43) + "==", "is not base64"},
		"no PEM":               {"pem", "-----BEGIN PUBLIC KEY-----\nAAAA", "damaged"},
		"private":              {"pem", pemText("PRIVATE KEY", private), "private"},
		"request":              {"pem", pemText("CERTIFICATE REQUEST", der), "something else"},
		"damaged PKCS1":        {"pem", pemText("RSA PUBLIC KEY", der), "not an RSA"},
		"damaged certificate":  {"pem", pemText("CERTIFICATE", der), "not a certificate"},
		"no certificate":       {"x509", pemText("PUBLIC KEY", der), "is not a certificate"},
		"der with a tail":      {"spki", base64.StdEncoding.EncodeToString(append(der, 0)), "DER"},
		"not base64":           {"spki", "!", "neither PEM nor base64"},
		"P-224":                {"spki", base64.StdEncoding.EncodeToString(pkixDER(t, p224.Public())), "another curve"},
		"512 bits":             {"spki", base64.StdEncoding.EncodeToString(pkixDER(t, small)), "512 bits"},
		"9001 bits":            {"spki", base64.StdEncoding.EncodeToString(pkixDER(t, huge)), "9001 bits"},
		"even exponent":        {"spki", base64.StdEncoding.EncodeToString(pkixDER(t, even)), "exponent"},
		"too long":             {"pem", strings.Repeat("A", maxKeyText+1), "longer"},
		"no JSON":              {"jwk", "{", "is not a JSON Web Key"},
		"symmetric":            {"jwk", `{"kty":"oct","k":"AAAA"}`, "no public key"},
		"private jwk":          {"jwk", strings.Replace(good, "{", `{"d":"AAAA",`, 1), "private"},
		"encryption":           {"jwk", strings.Replace(good, `"sig"`, `"enc"`, 1), "another use"},
		"other operations":     {"jwk", strings.Replace(good, "{", `{"key_ops":["sign"],`, 1), "another use"},
		"other curve":          {"jwk", strings.Replace(good, "P-256", "secp256k1", 1), "another curve"},
		"wrong length":         {"jwk", strings.Replace(good, "P-256", "P-384", 1), "damaged"},
		"off the curve":        {"jwk", `{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}`, "damaged"},
		"no numbers":           {"jwk", `{"kty":"RSA"}`, "damaged"},
		"large exponent":       {"jwk", `{"kty":"RSA","n":"AQAB","e":"_____w"}`, "damaged"},
		"X25519":               {"jwk", `{"kty":"OKP","crv":"X25519","x":"` + strings.Repeat("A", 43) + `"}`, "damaged"},
		"unknown form":         {"utf8", "a", `"utf8"`},
	} {
		got, err := parsePublicKey(KindJWT, c.form, c.text)
		if got != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && len(c.text) > 8 && strings.Contains(err.Error(), c.text[:8]) {
			t.Errorf("%s: the error shows the text: %v", name, err)
		}
	}
}

func TestKeySetsLeaveOutWhatIsNotForSignatures(t *testing.T) {
	keys := makeKeys(t)
	ed, ec := jwkText(t, keys.ed.Public(), "one"), jwkText(t, keys.ec.Public(), "two")
	set, err := parseKeySet([]byte(`{"keys":[{"kty":"oct","k":"AA"},` + ed + `,{"kty":"future"},` + strings.Replace(ec, `"sig"`, `"enc"`, 1) + `,` + ec + `]}`))
	if err != nil || len(set) != 2 || set[0].id != "one" || set[1].id != "two" {
		t.Errorf("%v %v", set, err)
	}
	for _, text := range []string{"", "[]", "{}", `{"keys":[]}`, `{"keys":[1]}`, `{"keys":[` + strings.Repeat(ed+",", maxKeySet) + ed + `]}`} {
		if set, err := parseKeySet([]byte(text)); err == nil {
			t.Errorf("%.40s made %d keys", text, len(set))
		}
	}
}

func TestPublicTextsAreNeverSharedSecrets(t *testing.T) {
	keys := makeKeys(t)
	now := time.Now()
	for _, public := range keys.publics() {
		der := pkixDER(t, public)
		for _, text := range []string{
			pemText("PUBLIC KEY", der), base64.StdEncoding.EncodeToString(der), jwkText(t, public, ""), " " + jwkText(t, public, ""),
		} {
			if !looksPublic(text) {
				t.Errorf("%.30s... was not recognised", text)
			}
		}
	}
	pkcs1 := x509.MarshalPKCS1PublicKey(&keys.rsa.PublicKey)
	block, _ := pem.Decode([]byte(certificatePEM(t, keys.rsa, now, now)))
	for _, der := range [][]byte{pkcs1, block.Bytes} {
		if !looksPublic(base64.StdEncoding.EncodeToString(der)) {
			t.Error("DER was not recognised")
		}
	}
	for _, text := range []string{"", "secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MAMA", `{"kty":"oct"}`, `{"a":1}`, "{"} {
		if looksPublic(text) {
			t.Errorf("%q is a fine secret", text)
		}
	}
}

func FuzzPublicKey(f *testing.F) {
	keys := makeKeys(f)
	for _, public := range keys.publics() {
		der := pkixDER(f, public)
		f.Add("pem", pemText("PUBLIC KEY", der))
		f.Add("spki", base64.StdEncoding.EncodeToString(der))
		f.Add("jwk", jwkText(f, public, "a"))
	}
	f.Add("x509", certificatePEM(f, keys.ec, time.Now(), time.Now()))
	f.Add("hex", strings.Repeat("00", 32))
	f.Fuzz(func(t *testing.T, form, text string) {
		m, err := parseMaterial(form, text)
		if err != nil {
			return
		}
		if kindOf(m.public) == "" {
			t.Errorf("%T is no key", m.public)
		}
		// Whatever was read can be tried without a panic, and proves nothing.
		for _, hash := range []crypto.Hash{0, crypto.SHA1, crypto.SHA256, crypto.SHA512} {
			if verifySignature(m.public, hash, []byte("text"), []byte(text)) {
				t.Error("an arbitrary signature was right")
			}
		}
		looksPublic(text)
	})
}

// TestSmallOrderKeysAreRefused: each of them takes a signature that nobody made.
func TestSmallOrderKeysAreRefused(t *testing.T) {
	forged := append([]byte{1}, make([]byte, ed25519.SignatureSize-1)...)
	for _, point := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000080",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		raw, err := hex.DecodeString(point)
		if err != nil {
			t.Fatal(err)
		}
		forgeable := false
		for i := range 256 {
			forgeable = forgeable || ed25519.Verify(raw, []byte{byte(i)}, forged)
		}
		if !forgeable {
			t.Errorf("%s is a key that cannot be forged for so", point)
		}
		jwk := `{"kty":"OKP","crv":"Ed25519","x":"` + base64.RawURLEncoding.EncodeToString(raw) + `"}`
		for form, text := range map[string]string{"hex": point, "spki": base64.StdEncoding.EncodeToString(raw), "jwk": jwk} {
			if _, err := parsePublicKey(KindEd25519, form, text); err == nil {
				t.Errorf("%s as %s is taken", point, form)
			}
		}
	}
}

package posterntest

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"time"

	"github.com/postern-dev/postern/verify"
)

// SignOptions say more about a request that Sign makes. The zero value is a POST of
// JSON to https://example.com/webhooks, signed now.
type SignOptions struct {
	// Method is POST unless it is set.
	Method string
	// URL is where the request goes. Providers that sign it, sign all of it.
	URL string
	// Header is in the request; names of events stand there with some providers.
	// Content-Type is application/json unless it is set.
	Header http.Header
	// At is the time of signing; zero is now.
	At time.Time
	// Settings are those of the source, by name: see the provider's definition.
	Settings map[string]string
	// PrivateKey signs for providers that sign with one: Ed25519, ECDSA or RSA. Its
	// public key is then the source's secret, and secret may be empty.
	PrivateKey crypto.Signer
	// Providers are the definitions that there are; the built-in ones for nil.
	Providers *verify.Catalogue
}

// Sign makes a request with a body as a provider of package verify's catalogue
// would: signed, and with what else has to be there, so that a source with the
// same secret and settings accepts it. secret is written as the source's is. What the
// provider puts into the body and is missing there is added to it, where it is JSON
// or a form. Providers that sign with a private key need PrivateKey, and those that
// do with certificates, as Apple does, cannot be signed for: the error says why.
func Sign(provider, secret string, body []byte, o SignOptions) (*http.Request, error) {
	def, ok := o.Providers.Lookup(provider)
	if !ok {
		return nil, fmt.Errorf("posterntest: %s is not in the catalogue", provider)
	}
	v, err := o.verifier(def, secret)
	if err != nil {
		return nil, fmt.Errorf("posterntest: signing for %s: %w", def.ID, err)
	}
	header := o.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json")
	}
	now := o.At
	if now.IsZero() {
		now = time.Now()
	}
	ctx := context.Background() // nothing is waited for: keys are at hand
	signed, err := v.Sign(ctx, verify.Request{
		Method: cmp.Or(o.Method, http.MethodPost), URL: cmp.Or(o.URL, "https://example.com/webhooks"), Header: header, Body: body,
	}, verify.SignOptions{Now: now, Private: o.PrivateKey})
	if err != nil {
		return nil, fmt.Errorf("posterntest: signing for %s: %w", def.ID, err)
	}
	req, err := http.NewRequestWithContext(ctx, signed.Method, signed.URL, bytes.NewReader(signed.Body))
	if err != nil {
		return nil, fmt.Errorf("posterntest: signing for %s: %w", def.ID, err)
	}
	req.Header = signed.Header
	return req, nil
}

// verifier is what the source would verify with. With a private key its public one
// is tried in the forms that there are, until one is the provider's.
func (o SignOptions) verifier(def verify.Definition, secret string) (*verify.Verifier, error) {
	secrets := []string{secret}
	if o.PrivateKey != nil && secret == "" {
		var err error
		if secrets, err = publicKeys(def, o.PrivateKey.Public()); err != nil {
			return nil, err
		}
	}
	var failure error
	for _, text := range secrets {
		cfg := verify.Config{Settings: o.Settings}
		if text != "" {
			cfg.Secrets = []string{text}
		}
		v, err := verify.New(def, cfg)
		if err == nil {
			return v, nil
		}
		if failure == nil {
			failure = err
		}
	}
	return nil, failure
}

// publicKeys are the texts that a source could have a public key in, the prefixes of
// the provider's secrets before them.
func publicKeys(def verify.Definition, public crypto.PublicKey) ([]string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, errors.New("the private key is neither Ed25519, nor ECDSA, nor RSA")
	}
	forms := map[string]string{
		"pem":  string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"spki": base64.StdEncoding.EncodeToString(der),
	}
	if raw, ok := public.(ed25519.PublicKey); ok {
		forms["hex"] = hex.EncodeToString(raw)
		forms["base64"] = base64.StdEncoding.EncodeToString(raw)
		forms["base64url"] = base64.RawURLEncoding.EncodeToString(raw)
	}
	if forms["jwk"], err = webKey(public); err != nil {
		return nil, err
	}
	var texts []string
	for _, s := range def.Schemes {
		text := forms[s.Key.Form]
		if text != "" && takes(s, public) {
			texts = append(texts, s.Key.Prefix+text)
		}
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("it does not sign with a private key that is %T's", public)
	}
	return texts, nil
}

// takes reports whether a scheme is one of public keys, and for this one.
func takes(s verify.Scheme, public crypto.PublicKey) (yes bool) {
	switch s.Kind {
	case verify.KindEd25519:
		_, yes = public.(ed25519.PublicKey)
	case verify.KindECDSA:
		_, yes = public.(*ecdsa.PublicKey)
	case verify.KindRSA:
		_, yes = public.(*rsa.PublicKey)
	case verify.KindJWT, verify.KindCode, verify.KindHTTPSignature:
		yes = true
	}
	return yes
}

// webKey is a public key as a JSON Web Key.
func webKey(public crypto.PublicKey) (string, error) {
	encode := base64.RawURLEncoding.EncodeToString
	members := map[string]string{}
	switch k := public.(type) {
	case ed25519.PublicKey:
		members = map[string]string{"kty": "OKP", "crv": "Ed25519", "x": encode(k)}
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			return "", err
		}
		half := (len(point) - 1) / 2 // a byte that says what it is, and two numbers
		members = map[string]string{"kty": "EC", "crv": k.Params().Name, "x": encode(point[1 : 1+half]), "y": encode(point[1+half:])}
	case *rsa.PublicKey:
		members = map[string]string{"kty": "RSA", "n": encode(k.N.Bytes()), "e": encode(big.NewInt(int64(k.E)).Bytes())}
	}
	text, err := json.Marshal(members)
	return string(text), err
}

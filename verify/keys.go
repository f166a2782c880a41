package verify

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// parsePublicKey reads the public key of a scheme of that kind, written in one
// of the forms of KeyForm; its type fits the kind. KindJWT and KindHTTPSignature
// take any. The error contains nothing of the text.
func parsePublicKey(kind Kind, form, text string) (crypto.PublicKey, error) {
	if kind != KindEd25519 {
		return nil, errors.New("is a public key that cannot be read yet")
	}
	var raw []byte
	var err error
	switch form {
	case "hex":
		raw, err = hex.DecodeString(text)
	case "base64":
		raw, err = base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(text, "="))
	default:
		err = errors.ErrUnsupported
	}
	if err != nil {
		return nil, errors.New("is not " + form)
	}
	if len(raw) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("is %d bytes after decoding, must be %d", len(raw), ed25519.PublicKeySize)
	}
	return ed25519.PublicKey(raw), nil
}

package engine

import "github.com/postern-dev/postern/internal/keyring"

// secretsPurpose binds what is sealed to this use of a key ring.
const secretsPurpose = "postern secrets"

// LoadSecrets reads the key ring in a folder, and makes it at the first start:
// DIR/keyring, readable by its owner only. Whoever loses it loses the secrets
// that were sealed under it.
func LoadSecrets(dir string) (Secrets, error) {
	ring, err := keyring.Load(dir)
	if err != nil {
		return nil, err
	}
	return ring.For(secretsPurpose), nil
}

// ParseSecrets reads a key ring from text: "id:base64(32 bytes)", separated by
// commas. The first key seals, all of them open. Errors never show a key.
func ParseSecrets(text string) (Secrets, error) {
	ring, err := keyring.Parse(text)
	if err != nil {
		return nil, err
	}
	return ring.For(secretsPurpose), nil
}

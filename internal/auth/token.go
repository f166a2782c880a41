package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"math/big"
	"strings"
)

const (
	// tokenPrefix tells our tokens from others in a configuration file. A token
	// holds no dot: SDKs read what follows one as the name of a region and
	// would send the token there.
	tokenPrefix = "pk_"
	tokenBytes  = 32
	// tokenDigits is the length of 256 bits in base 62.
	tokenDigits = 43
)

// NewToken makes the token of a new key: "pk_" and 43 letters and digits that
// carry 256 random bits. It is shown once; what is kept is its HashToken.
func NewToken() string {
	var random [tokenBytes]byte
	rand.Read(random[:]) // never fails: the process ends when the system has no randomness
	digits := new(big.Int).SetBytes(random[:]).Text(62)
	return tokenPrefix + strings.Repeat("0", tokenDigits-len(digits)) + digits
}

// HashToken is what postern.Key.Hash holds of a token. One round of SHA-256 is
// enough, because a token is random and cannot be guessed from a dictionary.
func HashToken(token string) [sha256.Size]byte {
	// The copy to the stack saves the heap's, which a conversion would need.
	var stack [64]byte
	return sha256.Sum256(append(stack[:0], token...))
}

package postern

// Sealed is a secret as it rests: encrypted under the key ring. It does not
// show itself in formatted text.
type Sealed []byte

// String hides the secret.
func (Sealed) String() string { return "[sealed]" }

// GoString hides the secret from %#v.
func (Sealed) GoString() string { return "[sealed]" }

package verify

import (
	"encoding/binary"
	"hash"
	"math/bits"
)

// keccakRate is how many bytes Keccak-256 takes in between two permutations.
const keccakRate = 136

// keccak256 is the hash that Ethereum took from the SHA-3 competition. It is
// not SHA3-256: the standard pads differently, and the standard library has
// only that.
type keccak256 struct {
	state  [25]uint64
	buffer [keccakRate]byte
	used   int // bytes of buffer
}

var _ hash.Hash = (*keccak256)(nil)

func newKeccak256() hash.Hash { return new(keccak256) }

// Write takes any number of bytes and never fails.
func (k *keccak256) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		taken := copy(k.buffer[k.used:], p)
		p, k.used = p[taken:], k.used+taken
		if k.used == keccakRate {
			k.absorb()
		}
	}
	return n, nil
}

// Sum appends the hash of what was written so far; more may be written after.
func (k *keccak256) Sum(b []byte) []byte {
	last := *k
	clear(last.buffer[last.used:])
	last.buffer[last.used] ^= 0x01
	last.buffer[keccakRate-1] ^= 0x80
	last.absorb()
	for _, lane := range last.state[:4] {
		b = binary.LittleEndian.AppendUint64(b, lane)
	}
	return b
}

// Reset forgets what was written.
func (k *keccak256) Reset() { *k = keccak256{} }

// Size is that of the hash, in bytes.
func (k *keccak256) Size() int { return 32 }

// BlockSize is the rate of the sponge, in bytes.
func (k *keccak256) BlockSize() int { return keccakRate }

// absorb takes a full buffer into the state.
func (k *keccak256) absorb() {
	for i := range keccakRate / 8 {
		k.state[i] ^= binary.LittleEndian.Uint64(k.buffer[8*i:])
	}
	keccakF1600(&k.state)
	k.used = 0
}

// keccakF1600 is the permutation of FIPS 202 section 3.3, with the lane (x, y)
// at x+5y. The rotations and the constants of the rounds are made as the
// standard makes them, which is shorter than their tables and easier to check. It
// is written for speed where strangers may have it hash 25 MiB.
func keccakF1600(a *[25]uint64) {
	// Where rho and pi move the lanes, from (1, 0) on: (x, y) goes to (y, 2x+3y).
	places := [24]uint8{10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1}
	lfsr := byte(1)
	for range 24 {
		// theta: each column's parity into its neighbours
		var parity [5]uint64
		for x := range 5 {
			parity[x] = a[x] ^ a[x+5] ^ a[x+10] ^ a[x+15] ^ a[x+20]
		}
		for x := range 5 {
			d := parity[(x+4)%5] ^ bits.RotateLeft64(parity[(x+1)%5], 1)
			a[x], a[x+5], a[x+10], a[x+15], a[x+20] = a[x]^d, a[x+5]^d, a[x+10]^d, a[x+15]^d, a[x+20]^d
		}
		// rho and pi: rotate each lane and move it on to the next place
		moving := a[1]
		for t, at := range places {
			a[at], moving = bits.RotateLeft64(moving, (t+1)*(t+2)/2), a[at]
		}
		// chi: the only step that is not linear
		for y := 0; y < 25; y += 5 {
			b0, b1, b2, b3, b4 := a[y], a[y+1], a[y+2], a[y+3], a[y+4]
			a[y], a[y+1], a[y+2], a[y+3], a[y+4] = b0^(^b1&b2), b1^(^b2&b3), b2^(^b3&b4), b3^(^b4&b0), b4^(^b0&b1)
		}
		// iota: bits 2^j-1 of the first lane from a shift register
		for j := range 7 {
			if lfsr&1 != 0 {
				a[0] ^= 1 << (1<<j - 1)
			}
			carry := lfsr >> 7
			lfsr = lfsr<<1 ^ carry*0x71
		}
	}
}

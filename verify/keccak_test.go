package verify

import (
	"encoding/hex"
	"strings"
	"testing"
)

// TestKeccak256 holds published values: of nothing, of the word testing, and of
// the Solidity signature whose first four bytes are every token's transfer.
func TestKeccak256(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470",
		"testing":                   "5f16f4c7f149ac4f9510d9cf8cf384038ad348b3bcdc01915f95de12df9d1b02",
		"transfer(address,uint256)": "a9059cbb2ab09eb219583f4a59a5d0623ade346d962bcd4e46b11da047c9049b",
	} {
		h := newKeccak256()
		h.Write([]byte(text))
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// TestKeccak256InPieces: however the text is cut, around the rate as well.
func TestKeccak256InPieces(t *testing.T) {
	for _, n := range []int{1, keccakRate - 1, keccakRate, keccakRate + 1, 3*keccakRate + 7} {
		text := strings.Repeat("x", n)
		whole, pieces := newKeccak256(), newKeccak256()
		whole.Write([]byte(text))
		for i := range n {
			pieces.Write([]byte(text[i : i+1]))
		}
		if a, b := whole.Sum(nil), pieces.Sum(nil); string(a) != string(b) || len(a) != whole.Size() {
			t.Errorf("%d bytes: %x in pieces, %x whole", n, b, a)
		}
		pieces.Reset()
		if string(pieces.Sum(nil)) != string(newKeccak256().Sum(nil)) {
			t.Errorf("%d bytes: Reset keeps some", n)
		}
	}
}

package verify

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// TestEmptyKeyIsRefusedAtVerify builds what New never returns.
func TestEmptyKeyIsRefusedAtVerify(t *testing.T) {
	def, _ := Lookup("github")
	v, err := New(def, Config{Secrets: []string{"s"}})
	if err != nil {
		t.Fatal(err)
	}
	v.schemes[0].keys = []key{{raw: []byte("s")}, {}}
	_, err = v.Verify(t.Context(), Request{}, time.Unix(0, 0))
	var refused *Error
	if !errors.As(err, &refused) || refused.Reason != ReasonSecretMissing {
		t.Error(err)
	}
}

// TestAffordable: sixteen signatures over a long text must not cost sixteen
// passes over it for each of sixteen keys.
func TestAffordable(t *testing.T) {
	public, secret := key{public: "any"}, key{raw: []byte("s")}
	for _, tc := range []struct {
		keys       []key
		size, want int
	}{
		{[]key{public}, 0, 16},
		{[]key{public}, 7 << 20, 16},
		{[]key{public}, 25 << 20, 5},
		{slices.Repeat([]key{public}, 16), 25 << 20, 1},
		{slices.Repeat([]key{public}, 64), 25 << 20, 1},
		{slices.Repeat([]key{secret}, 16), 25 << 20, 16},
	} {
		pieces := [][]byte{make([]byte, tc.size/2), make([]byte, tc.size/2)}
		if got := len(affordable(make([][]byte, 16), tc.keys, pieces)); got != tc.want {
			t.Errorf("%d keys, %d bytes: %d signatures, want %d", len(tc.keys), tc.size, got, tc.want)
		}
	}
}

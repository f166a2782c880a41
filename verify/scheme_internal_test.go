package verify

import (
	"errors"
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

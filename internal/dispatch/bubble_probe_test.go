package dispatch

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-dev/postern/store/embedded"
)

func TestProbe(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			st, err := embedded.Open(t.Context(), "memory:", embedded.Options{ReserveBytes: -1})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(30 * time.Minute)
			synctest.Wait()
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

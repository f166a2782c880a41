package bench

import (
	"testing"
	"time"
)

func TestForeignIsWhatIsNotOurs(t *testing.T) {
	began := time.Now()
	before := occupancy{at: began, busy: 10 * time.Second, own: time.Second}
	for _, tc := range []struct {
		after occupancy
		cores int
		want  float64
		ok    bool
	}{
		{occupancy{began.Add(10 * time.Second), 25 * time.Second, 11 * time.Second}, 2, 25, true},
		{occupancy{began.Add(10 * time.Second), 20 * time.Second, 12 * time.Second}, 2, 0, true}, // the clocks' rounding
		{occupancy{began, 10 * time.Second, time.Second}, 2, 0, false},
		{occupancy{}, 2, 0, false},
		{occupancy{began.Add(time.Second), 11 * time.Second, time.Second}, 0, 0, false},
	} {
		got, ok := tc.after.foreign(before, tc.cores)
		if got != tc.want || ok != tc.ok {
			t.Errorf("%+v on %d cores: %v, %v; want %v, %v", tc.after, tc.cores, got, ok, tc.want, tc.ok)
		}
	}
	if _, ok := before.foreign(occupancy{}, 2); ok {
		t.Error("foreign since an unknown instant is known")
	}
}

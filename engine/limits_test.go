package engine

import "testing"

// A share is never more than asked for, and never so little that nothing works.
func TestDescriptorShare(t *testing.T) {
	for _, most := range []int{64, mostIdle, mostInFlight} {
		if got := descriptorShare(most); got < 16 || got > most {
			t.Errorf("at most %d: %d", most, got)
		}
	}
}

package postgres

import "strconv"

// parseDay reads what the setting 'dropped_day' holds; 0 for none.
func parseDay(value []byte) uint32 {
	day, err := strconv.ParseUint(string(value), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(day)
}

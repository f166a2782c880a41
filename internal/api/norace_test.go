//go:build !race

package api

// raceEnabled tells allocation counts apart that only hold without the race
// detector.
const raceEnabled = false

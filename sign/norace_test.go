//go:build !race

package sign_test

// raceEnabled tells allocation counts apart that only hold without the race
// detector.
const raceEnabled = false

// Package storetest is the proof of a store driver: one suite that every
// driver passes, and the check of cover that crash tests make.
//
// The suite speaks to a driver through the seam alone, and skips only what the
// driver's Capabilities rule out. It ends and reopens the store between any two
// calls, in every way that the harness knows, and compares what it reads with
// a naive copy in memory.
package storetest

import (
	"testing"

	"github.com/postern-dev/postern/store"
)

// How is a way in which a store comes to its end.
type How int

// The ways to end.
const (
	// Clean closes the store.
	Clean How = iota
	// Kill drops it without closing, as the death of its process does: all that
	// was written is there, synced or not.
	Kill
	// PowerLoss keeps nothing that was not synced.
	PowerLoss
	// PowerLossHalf keeps each unsynced block with an even chance.
	PowerLossHalf
)

// Harness makes stores of one driver.
type Harness struct {
	// Open makes a new, empty store. The harness closes it, and what Reopen
	// makes of it, at the test's end.
	Open func(t *testing.T) store.Store
	// Reopen ends a store and opens what is left of it. It is not called for a
	// driver that is not Durable. A driver that cannot tell two ways apart may
	// treat them alike.
	Reopen func(t *testing.T, s store.Store, how How) store.Store
	// Stall has the store's next sync wait: reached is closed when one does,
	// release lets it go on. Nil where that cannot be arranged.
	Stall func(t *testing.T, s store.Store) (reached <-chan struct{}, release func())
	// Join opens the store that s is once more, as another node with a journal of
	// its own, which Open's is a Cluster for. Nil for a driver of one node.
	Join func(t *testing.T, s store.Store) store.Cluster
}

// Run proves a driver.
func Run(t *testing.T, h Harness) {
	for _, part := range []struct {
		name string
		run  func(t *testing.T, h Harness)
	}{
		{"Head", testHead},
		{"HeadGoesBack", testHeadGoesBack},
		{"Hold", testHold},
		{"Dedupe", testDedupe},
		{"Answers", testAnswers},
		{"DedupeWindow", testDedupeWindow},
		{"Horizon", testHorizon},
		{"TornCommit", testTornCommit},
		{"Rows", testRows},
		{"Due", testDue},
		{"Behind", testBehind},
		{"Standing", testStanding},
		{"Recover", testRecover},
		{"Scan", testScan},
		{"Covered", testCovered},
		{"Records", testRecords},
		{"MessagePages", testMessagePages},
		{"PagesUnderInserts", testPagesUnderInserts},
		{"MessageFilters", testMessageFilters},
		{"FilterBudget", testFilterBudget},
		{"EndpointAttempts", testEndpointAttempts},
		{"MessagesOfEndpoint", testMessagesOfEndpoint},
		{"EachOutcome", testEachOutcome},
		{"Standings", testStandings},
		{"Dead", testDead},
		{"Waiting", testWaiting},
		{"Refusals", testRefusals},
		{"Catalogue", testCatalogue},
		{"DeleteApplication", testDeleteApplication},
		{"DropDay", testDropDay},
		{"DropDayFreesEvents", testDropDayFreesEvents},
		{"Usage", testUsage},
		{"Expunge", testExpunge},
		{"Checkpoint", testCheckpoint},
		{"Closed", testClosed},
		{"Cover", testCover},
		{"Move", testMove},
		{"Random", testRandom},
		{"Stale", testStale},
		{"OwnChanges", testOwnChanges},
		{"Changed", testChanged},
		{"ChangedHistory", testChangedHistory},
		{"UsedKeys", testUsedKeys},
		{"Taken", testTaken},
		{"NotTaken", testNotTaken},
		{"Heads", testHeads},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, h) })
	}
}

// ends are the ways in which a test ends a store; none for one that does not
// outlive its process.
func (h Harness) ends(s store.Store) []How {
	if !s.Capabilities().Durable {
		return nil
	}
	return []How{Clean, Kill, PowerLoss, PowerLossHalf}
}

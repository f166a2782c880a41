package postern

import "time"

// Replay delivers messages of the past once more: those that its Selection
// chooses, in the order of their ids, up to a moment that is fixed when it
// begins. Its record is stored with the rows of the deliveries that it starts,
// in one batch, so that a restart goes on at the cursor: none is missing, and
// none is started twice.
type Replay struct {
	ID          ReplayID
	Application ApplicationNumber
	Selection   Selection
	// To is the endpoint that is delivered to.
	To EndpointNumber
	// Origin says what asked for it.
	Origin ReplayOrigin
	// Rate bounds the deliveries started per second; 0 for no bound.
	Rate int

	State ReplayState
	// Reason says why a replay failed; "" otherwise.
	Reason string
	// Cursor is the last message that was looked at.
	Cursor MessageID
	// Examined counts the messages that were looked at; an index of what failed
	// spares it those that it knows not to be chosen. Replayed counts the
	// deliveries that were started, and Skipped those that had been chosen and
	// were in another state when their turn came.
	Examined, Replayed, Skipped int64
	// Total estimates how many deliveries there are to start, from a part of the
	// range where that is long.
	Total int64

	// FinishedAt is zero until the replay has ended, however it did.
	CreatedAt, UpdatedAt, FinishedAt time.Time
}

// Selection chooses messages of one application. Zero fields choose all.
type Selection struct {
	// From is the endpoint whose deliveries are looked at; 0 looks at messages
	// alone, wherever they were routed.
	From EndpointNumber
	// Status is how the delivery stands. Without From only StatusAll is possible.
	Status ReplayStatus

	EventTypes   []string
	Channel, Tag string
	// Since is inclusive, Until exclusive, both by the time of ids and to the
	// millisecond. A stored replay has both.
	Since, Until time.Time
}

// ReplayStatus chooses deliveries by how they stand.
type ReplayStatus string

// The choices.
const (
	// StatusAll is every message that was routed or sent to the endpoint.
	StatusAll ReplayStatus = "all"
	// StatusFailed is dead, or waiting for another try after one that failed.
	StatusFailed ReplayStatus = "failed"
	// StatusDead is dead.
	StatusDead ReplayStatus = "dead"
	// StatusDelivered is delivered.
	StatusDelivered ReplayStatus = "delivered"
	// StatusMissing is every message that the endpoint would be routed as it is
	// now, and neither was nor has an attempt of.
	StatusMissing ReplayStatus = "missing"
)

// ReplayStatuses lists the choices.
func ReplayStatuses() []ReplayStatus {
	return []ReplayStatus{StatusAll, StatusFailed, StatusDead, StatusDelivered, StatusMissing}
}

// ReplayState is where a replay stands.
type ReplayState string

// The states of a replay. The last three are final.
const (
	ReplayRunning  ReplayState = "running"
	ReplayPaused   ReplayState = "paused"
	ReplayFinished ReplayState = "finished"
	ReplayCanceled ReplayState = "canceled"
	ReplayFailed   ReplayState = "failed"
)

// Final reports whether the replay has ended.
func (s ReplayState) Final() bool {
	return s == ReplayFinished || s == ReplayCanceled || s == ReplayFailed
}

// ReplayOrigin says which operation asked for a replay.
type ReplayOrigin string

// The origins.
const (
	OriginReplay  ReplayOrigin = "replay"         // the application's replays
	OriginRecover ReplayOrigin = "recover"        // an endpoint's recover
	OriginMissing ReplayOrigin = "replay-missing" // an endpoint's replay-missing
	OriginBulk    ReplayOrigin = "bulk-replay"    // an endpoint's bulk-replay
	// OriginExpunge is the application's expunge-all. It walks as replays do and
	// delivers nothing: it expunges what it comes by, which Replayed counts. To
	// is 0.
	OriginExpunge ReplayOrigin = "expunge-all"
)

// Package store is the seam between the engine and what keeps its data.
//
// The engine writes through one Journal, a batch at a time: a batch is durable
// as a whole once Commit returns nil. After an error the store is closed for
// writing, and whether the batch is there shows when it is opened again.
// Everything read through the other roles is durable: a driver never
// shows what is not yet synced, so that nothing can be answered, delivered or
// emitted that a crash would take back. The one exception is Dedupe, whose
// callers guard themselves by reservation.
//
// Drivers live in packages of their own, named after their technology, and
// prove themselves with package storetest. They store and find; they decide
// nothing about deliveries.
package store

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/postern-dev/postern"
)

// Store is all that a driver offers. Consumers ask for the smallest role.
type Store interface {
	Journal
	Deliveries
	History
	Outcomes
	Catalogue
	Maintenance
	// Close waits for reads under way and releases the store. It is safe to
	// call twice.
	Close() error
}

// CodeAway is the code of Admit's error while a database cannot be written to.
const CodeAway = "store_away"

// Journal is the write side. It has one caller at a time, the committer.
type Journal interface {
	// Head is what the last durable batch left behind; the zero Head on a new
	// store.
	Head(ctx context.Context) (Head, error)
	// Admit says whether messages may be accepted now: nil, or an error of kind
	// Unavailable while the disk is short of space. It is asked before a batch
	// is built and costs no more than a look at a flag; Commit itself does not
	// ask, and settles go on meanwhile. An error whose Code is CodeAway says that
	// no batch at all is stored now, and that Commit waits until one is.
	Admit() error
	// Commit makes the batch durable. After an error the store takes no further
	// batch, and Commit repeats the error; whether the batch is in the store
	// shows when it is opened again. The batch is the caller's again once Commit
	// returns.
	Commit(ctx context.Context, b *Batch) error
	// Dedupe finds the record of a digest that was accepted at or after since,
	// by id time. It may show a record that is not yet synced: callers reserve
	// the digest first, for as long as the batch that holds it is under way.
	Dedupe(ctx context.Context, scope Scope, digest Digest, since time.Time) (DedupeRecord, bool, error)
	// Hold is called by an engine that begins to work on the journal, and release
	// once it has ended. postern.ErrConflict while another one of this process does.
	// Drivers embed Sole.
	Hold() (release func(), err error)
}

// Sole is Hold, as every driver has it: two engines of one process share an opened
// store as little as two processes do a folder. The zero value is held by nobody.
type Sole struct{ held atomic.Bool }

// Hold implements Journal. Release may be called once.
func (s *Sole) Hold() (release func(), err error) {
	if s.held.Swap(true) {
		return nil, &postern.Error{Kind: postern.Conflict, Code: "store_held", Detail: "another engine of this process works on the store: open one for each"}
	}
	return func() { s.held.Store(false) }, nil
}

// Deliveries is the read side of dispatch and recovery: rows, behind rows and
// what of the journal is not settled.
type Deliveries interface {
	// Recover calls fn for each message at or after a position, in order, with
	// those of its routes that have neither a final record nor a row. The
	// message and the slice are fn's only until it returns.
	Recover(ctx context.Context, from uint64, fn func(m *postern.Message, open []postern.EndpointNumber) error) error
	// Scan reads an application's messages from an id on and returns those
	// routed to the endpoint that have neither a final record nor a row for it.
	Scan(ctx context.Context, q ScanQuery) (ScanResult, error)
	// Due lists an endpoint's rows in the order of their schedule, those after
	// the cursor, at most limit.
	Due(ctx context.Context, endpoint postern.EndpointNumber, after DueCursor, limit int) ([]postern.Row, error)
	// Schedules calls fn for each endpoint that has rows, with its earliest.
	Schedules(ctx context.Context, fn func(first postern.Row) error) error
	// Standing is what is stored of one delivery.
	Standing(ctx context.Context, d DeliveryKey) (Standing, error)
	// Covered calls fn for each delivery that one of the rows covers and that has
	// neither a final record nor a row of its own, of messages of a day and
	// before: what dropping that day ends without anybody's doing. However many
	// rows an application has, its messages are read once.
	Covered(ctx context.Context, rows []BehindRow, until Day, fn func(d DeliveryKey) error) error
	// Behind lists all behind rows.
	Behind(ctx context.Context) ([]BehindRow, error)
}

// History is the read side of the API. Lists are newest first unless the page
// says otherwise; what does not exist is postern.ErrNotFound.
type History interface {
	// Message reads a header: all of a message but its content.
	Message(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID) (*postern.Message, error)
	// Content reads a message's payload and inbound request.
	Content(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID) (*postern.Content, error)
	// Messages lists headers of an application.
	Messages(ctx context.Context, app postern.ApplicationNumber, filter MessageFilter, page Page) (MessagePage, error)
	// EachAttempt calls fn with the attempts of one message, endpoint by endpoint,
	// until it returns false, and returns the final records that ended a delivery
	// without one, as far as it came. Attempts are fn's to keep; all of those of a
	// large fan-out, with their responses, are more than memory may hold.
	EachAttempt(ctx context.Context, app postern.ApplicationNumber, id postern.MessageID, fn func(*postern.Attempt) bool) ([]postern.Final, error)
	// EndpointAttempts lists the attempts of one endpoint by their ids.
	EndpointAttempts(ctx context.Context, app postern.ApplicationNumber, endpoint postern.EndpointNumber, filter AttemptFilter, page Page) (AttemptPage, error)
	// Dead lists the deliveries of an endpoint that ended dead, by message id.
	Dead(ctx context.Context, app postern.ApplicationNumber, endpoint postern.EndpointNumber, page Page) (DeadPage, error)
	// Refusals lists what a source refused, without bodies.
	Refusals(ctx context.Context, source postern.SourceID, page Page) (RefusalPage, error)
	// Refusal reads one with its body.
	Refusal(ctx context.Context, source postern.SourceID, id postern.RefusalID) (*postern.Refusal, error)
}

// Outcomes is what figures and pages over many deliveries read besides History.
type Outcomes interface {
	// Waiting lists an endpoint's rows by message id.
	Waiting(ctx context.Context, app postern.ApplicationNumber, endpoint postern.EndpointNumber, page Page) (RowPage, error)
	// EachOutcome calls fn with what came of an endpoint's attempts between two
	// moments, both exclusive and zero for no bound, the newest first, until fn
	// returns false. It reads no attempt, and is made for thousands.
	EachOutcome(ctx context.Context, endpoint postern.EndpointNumber, since, until time.Time, fn func(Outcome) bool) error
	// Standings is Deliveries.Standing for many deliveries of an application, all of
	// one moment, in the order of the keys. It is made for a page of them: near each
	// other they cost a small part of what each does by itself.
	Standings(ctx context.Context, app postern.ApplicationNumber, keys []Placed) ([]Standing, error)
}

// Catalogue is the read side of what users configure. The engine keeps it all
// in memory and reads it once.
type Catalogue interface {
	// Load calls fn for every record: *postern.Application,
	// *postern.EventType, *postern.Endpoint, *postern.Source, *postern.Key,
	// *postern.Replay, and HealthChange for endpoints that are failing. Applications come before
	// what belongs to them.
	Load(ctx context.Context, fn func(record any) error) error
}

// Maintenance is what keeps a store fit over months.
type Maintenance interface {
	// Usage tells sizes and work under way.
	Usage(ctx context.Context) (Usage, error)
	// OldestDay is the oldest day that may hold messages; false when empty.
	OldestDay(ctx context.Context) (Day, bool, error)
	// Purge erases from the disk what was expunged half a day ago or earlier, and
	// all that was since; it does nothing when there is none. It reads and writes
	// much, and is called now and then by one goroutine.
	Purge(ctx context.Context) error
	// Checkpoint writes a consistent copy into a directory that must not exist.
	Checkpoint(ctx context.Context, dir string) error
	// Failed is closed when the store has failed for good, be it in a Commit or
	// in work of its own: Admit then says why, and Commit takes nothing more.
	Failed() <-chan struct{}
	// Capabilities says what the driver can do.
	Capabilities() Capabilities
}

// Capabilities are differences between drivers, as data: nobody asks for a
// driver's name.
type Capabilities struct {
	// Durable is false for a store that ends with its process.
	Durable bool
	// Fenced: several nodes may share the store, each with its journal.
	Fenced bool
	// MaxBatchBytes is what the contents of a batch may come to without cost;
	// a larger message goes alone. 0 for no bound.
	MaxBatchBytes int
	// NoCheckpoint: copies are made with the database's own tools, and Checkpoint
	// refuses, naming them.
	NoCheckpoint bool
}

// SoleJournal is the journal of a store that one process has to itself, and the
// first of one that several share.
const SoleJournal = 0

// Head is what every batch stores besides its contents, so that a restart
// goes on where the last batch ended. It is never derived from messages, which
// retention can remove.
type Head struct {
	// Journal is whose head it is: of ids that are made from it. It never changes.
	Journal uint16
	// Batch counts batches from 1.
	Batch uint64
	// Next is the position of the next message, from 1 on.
	Next uint64
	// Low is the smallest position with a delivery that is covered by nothing
	// but its message's place at or after Low.
	Low uint64
	// LastTime is the time of the newest id; ids never go below it.
	LastTime time.Time
	// Newest is the time of the newest message; zero before the first.
	Newest time.Time
	// Dropped is when the last DropDay was asked for; zero before the first.
	Dropped time.Time
	// Rows counts the rows that are stored.
	Rows int64
	// Applications and Endpoints are the highest catalogue numbers given out.
	Applications postern.ApplicationNumber
	Endpoints    postern.EndpointNumber
}

// Batch is what one Commit stores, atomically. Where two parts touch the same
// key, the order is that of the fields here, and within a field that of the
// slice.
type Batch struct {
	Head    Head
	Changes []Change
	// Version is that of the catalogue by which Changes were made and Accepts
	// routed, of the oldest where they differ: it was noted before anything of the
	// catalogue was looked at for them, the numbers it gives out included. See
	// Cluster. With 0 nothing is asked for; drivers that are none ignore it.
	Version uint64
	Accepts []Accept
	// Answers are records of requests that became no message.
	Answers []DedupeRecord
	// Records are those of messages that are in other batches; only Mover has them.
	Records  []MovedRecord
	Attempts []*postern.Attempt
	// Dead marks the attempts' and finals' deliveries in the index of dead
	// deliveries, or takes them out.
	Dead     []DeadChange
	Finals   []postern.Final
	Rows     []RowChange
	Behind   []BehindChange
	Health   []HealthChange
	Refusals []*postern.Refusal
	// Expunged deletes contents, and Redacted stores attempts anew whose response
	// was deleted; Maintenance.Purge erases what that leaves behind.
	Expunged []ContentKey
	Redacted []*postern.Attempt
	// DropRefusals deletes single refusals, DropDay all history of that day and
	// before; zero for none.
	DropRefusals []*postern.Refusal
	DropDay      Day
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	clear(b.Changes)
	clear(b.Accepts)
	clear(b.Answers)
	clear(b.Records)
	clear(b.Attempts)
	clear(b.Rows)
	clear(b.Refusals)
	clear(b.Redacted)
	clear(b.DropRefusals)
	*b = Batch{
		Changes: b.Changes[:0], Accepts: b.Accepts[:0], Answers: b.Answers[:0], Records: b.Records[:0], Attempts: b.Attempts[:0],
		Dead: b.Dead[:0], Finals: b.Finals[:0], Rows: b.Rows[:0],
		Behind: b.Behind[:0], Health: b.Health[:0], Refusals: b.Refusals[:0],
		DropRefusals: b.DropRefusals[:0], Expunged: b.Expunged[:0], Redacted: b.Redacted[:0],
	}
}

// Change puts or deletes one catalogue record. Exactly one of the two is set,
// to a *postern.Application, *postern.EventType, *postern.Endpoint,
// *postern.Source, *postern.Key or *postern.Replay. Deleting an application deletes its history
// and leaves a tombstone; its numbers are never used again.
type Change struct{ Put, Delete any }

// Accept is one message with its content and the dedupe records that make a
// second copy of it known.
type Accept struct {
	Message *postern.Message
	// Content is nil only in a Mover's hands, for a message that was expunged.
	Content *postern.Content
	Dedupe  []DedupeRecord
}

// MovedRecord is a dedupe record by itself, with the application of its message;
// 0 for an answer's.
type MovedRecord struct {
	Application postern.ApplicationNumber
	DedupeRecord
}

// RowChange deletes and puts rows of one delivery: a retry puts, a later retry
// or a resend moves (both set), the end deletes.
type RowChange struct{ Delete, Put *postern.Row }

// Growth is by how many rows the change makes the store grow: 1, 0 or -1.
func (c RowChange) Growth() int64 {
	var n int64
	if c.Put != nil {
		n++
	}
	if c.Delete != nil {
		n--
	}
	return n
}

// DeadChange puts a delivery into the index of dead ones, or deletes it.
type DeadChange struct {
	Key    DeliveryKey
	Delete bool
}

// BehindRow covers all deliveries of an endpoint from a message on.
type BehindRow struct {
	Endpoint    postern.EndpointNumber
	Application postern.ApplicationNumber
	// From may be an id that no message has: a row can begin at a position
	// that is not yet given out. It sorts before every message it covers.
	From postern.MessageID
}

// BehindChange puts or deletes an endpoint's behind row.
type BehindChange struct {
	Row    BehindRow
	Delete bool
}

// HealthChange stores an endpoint's health; the zero Health deletes it.
type HealthChange struct {
	Endpoint postern.EndpointNumber
	Health   postern.Health
}

// Scope keeps digests of different origins apart.
type Scope byte

// The dedupe scopes.
const (
	// ScopeEvent: application and eventId; lives as long as the message.
	ScopeEvent Scope = 'e'
	// ScopeIdempotency: credential, idempotency key, method and URI; 12 h.
	ScopeIdempotency Scope = 'i'
	// ScopeSource: source, delivery id and body hash; the source's window.
	ScopeSource Scope = 's'
)

// Digest is the one value of a request that recognises its copies.
type Digest [16]byte

// DedupeRecord ties a digest to the message that a first copy became.
type DedupeRecord struct {
	Scope   Scope
	Digest  Digest
	Message postern.MessageID
	// Status is the HTTP status that the first copy was answered with; 0 where
	// the scope does not need it.
	Status int
	// Answer is what a request that became no message was answered with, sealed
	// by who stores it; nil where the answer can be made of the message. Message
	// is then an id that no message has, for its time.
	Answer []byte
	// Since is for a record that is stored: one of the same digest and of another
	// message, by id time as old as this or younger, stays, and Cluster refuses
	// the batch. Zero replaces whatever there is.
	Since time.Time
}

// ContentKey names a message's content.
type ContentKey struct {
	Application postern.ApplicationNumber
	Message     postern.MessageID
}

// DeliveryKey names a delivery.
type DeliveryKey struct {
	Application postern.ApplicationNumber
	Endpoint    postern.EndpointNumber
	Message     postern.MessageID
}

// Placed names a delivery within its application.
type Placed struct {
	Endpoint postern.EndpointNumber
	Message  postern.MessageID
}

// Standing is what is stored of a delivery.
type Standing struct {
	// Message: its header is still kept.
	Message bool
	// Attempts counts those recorded.
	Attempts int
	// State is Pending when nothing is stored, Retrying when there is a row,
	// else the state of the record that ended it; Reason says why.
	State  postern.State
	Reason postern.Reason
	// Final: a record ended the delivery, even if a row brought it back.
	Final bool
	// Row is nil when there is none.
	Row *postern.Row
}

// DueCursor is a place in an endpoint's schedule; the zero value is its start.
type DueCursor struct {
	Next    time.Time
	Message postern.MessageID
}

// ScanQuery asks for the unsettled deliveries of one endpoint.
type ScanQuery struct {
	Application postern.ApplicationNumber
	Endpoint    postern.EndpointNumber
	// From is the first message looked at, Before the first position not
	// looked at.
	From   postern.MessageID
	Before uint64
	// Limit bounds what is found, Examine what is looked at; both required.
	Limit, Examine int
}

// ScanResult is a part of a scan.
type ScanResult struct {
	Messages []*postern.Message
	// Next is where to go on; Done says that there is nothing up to Before.
	Next postern.MessageID
	Done bool
}

// Page is a window into a list.
type Page struct {
	// After is the id to go on behind, in the direction of the list; zero for
	// its start. Ids of different kinds share their bits' order.
	After [20]byte
	// Ascending turns the list round: oldest first.
	Ascending bool
	// Limit is the most entries returned; required.
	Limit int
	// Since and Until bound the ids' time, both exclusive; zero for no bound.
	Since, Until time.Time
}

// MessageFilter selects messages; zero fields select all.
type MessageFilter struct {
	EventTypes []string
	Channel    string
	Tag        string
	// Endpoint selects what was routed to it, or tried there.
	Endpoint postern.EndpointNumber
}

// AttemptFilter selects attempts; zero fields select all.
type AttemptFilter struct {
	// Succeeded selects by outcome; nil for both.
	Succeeded  *bool
	EventTypes []string
	Channel    string
	Tag        string
	// CodeClass selects by the status's hundreds (2 for 2xx, 0 for none at
	// all); nil for all.
	CodeClass *int
}

// OfMessages reports whether the filter asks for what only an attempt's message
// tells.
func (f AttemptFilter) OfMessages() bool {
	return len(f.EventTypes) > 0 || f.Channel != "" || f.Tag != ""
}

// Outcome is what figures need of an attempt.
type Outcome struct {
	At        time.Time
	Succeeded bool
	// State is what the attempt led to.
	State postern.State
	// Took is the whole of the attempt, in microseconds' precision.
	Took time.Duration
}

// MessagePage is a page of headers. Done says that the list ends here; when it
// is false Next is where to go on, even on an empty page: a filter without an
// index looks at a bounded number of messages at a time.
type MessagePage struct {
	Messages []*postern.Message
	Next     [20]byte
	Done     bool
}

// AttemptPage is a page of attempts; as MessagePage.
type AttemptPage struct {
	Attempts []postern.Attempt
	Next     [20]byte
	Done     bool
}

// DeadPage is a page of dead deliveries; as MessagePage.
type DeadPage struct {
	Messages []postern.MessageID
	Next     [20]byte
	Done     bool
}

// RowPage is a page of rows; as MessagePage.
type RowPage struct {
	Rows []postern.Row
	Next [20]byte
	Done bool
}

// RefusalPage is a page of refusals; as MessagePage.
type RefusalPage struct {
	Refusals []*postern.Refusal
	Next     [20]byte
	Done     bool
}

// Usage tells a store's sizes. What a driver does not know is 0.
type Usage struct {
	// Bytes on disk; FreeBytes left on its file system; ReserveBytes that
	// accepts must leave alone.
	Bytes, FreeBytes, ReserveBytes int64
	MemtableBytes                  int64
	CompactionDebtBytes            int64
	// FlushesUnderWay and CompactionsUnderWay count background work.
	FlushesUnderWay, CompactionsUnderWay int
	Syncs                                int64
	// Full: free space is below the reserve, and accepts are refused.
	Full bool
}

// Day is a bucket of history: whole days since the Unix epoch, in UTC. Zero
// means none.
type Day uint32

// DayOf is the bucket of a moment.
func DayOf(t time.Time) Day { return Day(t.Unix() / 86400) }

// Start is the first moment of the day.
func (d Day) Start() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

package embedded

import (
	"encoding/binary"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// formatVersion is raised by every change of the layout or of an encoding that
// an older binary would misread; older binaries then refuse the folder.
const formatVersion = 1

// The layout. A key is its kind's byte and the columns below, all of fixed
// width and big endian, so that byte order is the order of the columns. "day"
// is a store.Day in 32 bits, "app" and "endpoint" are catalogue numbers in 32,
// ids have 20 bytes, "next" is Unix milliseconds in 64 bits, "slice" is the
// message's position over 4096, in 32.
//
//	kind          columns                                        value
//	attempt       day of message, slice, app, message,           attempt; at n 0xffff the final record
//	              endpoint, n 16
//	byEndpoint    day of attempt, endpoint, attempt id           outcome, code class, message, n, state, how long it took
//	catalogue     record kind, number or name or id              record as JSON
//	dead          day of message, app, endpoint, message         -
//	event         digest 16                                      application, message, status
//	refusal       source id, refusal id                          refusal without its body
//	refusalBody   source id, refusal id                          body
//	header        day of message, app, message                   message without its content
//	idempotency   half day 32, digest 16                         application, message, status, answer
//	journal       position 64                                    app, message
//	meta          name                                           format version, head, progress of a move
//	content       day of message, slice, app, message            payload and inbound request
//	row           endpoint, message                              row
//	schedule      endpoint, next, message                        row
//	source        half day 32, digest 16                         application, message, status
//	tombstone     app                                            -
//	behind        endpoint                                       app, from
//	health        endpoint                                       health
//	expunged      key of what was deleted or overwritten         Unix milliseconds 64
//
// Whatever grows with traffic begins with a day (or half day), so that
// retention is one range deletion per kind. What has most of the bytes and is
// never listed goes on by slice: however many applications publish at once, a
// slice is written once and not gone back to, so that compactions move its
// tables instead of merging them (measured with 50 applications: a third less
// CPU than by application alone). Deleting an application costs a range
// deletion for each slice that it has a part in.
//
// Headers and contents lie apart so that lists never read payloads. Finals
// share the attempts' kind so that one pass sees all that can end a delivery.
const (
	kindAttempt     = 'a'
	kindByEndpoint  = 'b'
	kindCatalogue   = 'c'
	kindDead        = 'd'
	kindEvent       = 'e'
	kindRefusal     = 'f'
	kindRefusalBody = 'g'
	kindHeader      = 'h'
	kindIdempotency = 'i'
	kindJournal     = 'j'
	kindMeta        = 'm'
	kindContent     = 'p'
	kindRow         = 'r'
	kindSchedule    = 's'
	kindSource      = 'u'
	kindTombstone   = 't'
	kindBehind      = 'w'
	kindHealth      = 'y'
	kindExpunged    = 'x'
)

// finalN is the attempt number under which the final record of a delivery
// lies: behind all its attempts.
const finalN = 0xffff

// dayKinds are dropped with their day.
var dayKinds = [...]byte{kindAttempt, kindByEndpoint, kindDead, kindHeader, kindContent}

// maxKey is the length of the longest key, that of an attempt, rounded up:
// callers build keys in arrays of this size on their stack.
const maxKey = 64

var (
	formatKey = []byte{kindMeta, 'f', 'o', 'r', 'm', 'a', 't'}
	headKey   = []byte{kindMeta, 'h', 'e', 'a', 'd'}
	// moveKey is there from the first chunk of a move into the store to the last.
	moveKey = []byte{kindMeta, 'm', 'o', 'v', 'e'}
)

func appendDay(k []byte, d store.Day) []byte { return binary.BigEndian.AppendUint32(k, uint32(d)) }

func appendApp(k []byte, app postern.ApplicationNumber) []byte {
	return binary.BigEndian.AppendUint32(k, uint32(app))
}

func appendEndpoint(k []byte, e postern.EndpointNumber) []byte {
	return binary.BigEndian.AppendUint32(k, uint32(e))
}

func headerKey(k []byte, app postern.ApplicationNumber, id postern.MessageID) []byte {
	k = appendApp(appendDay(append(k, kindHeader), dayOf(id)), app)
	return append(k, id[:]...)
}

func contentKey(k []byte, app postern.ApplicationNumber, id postern.MessageID) []byte {
	return slicedKey(k, kindContent, app, id)
}

// attemptsKey is the prefix of all attempts of a message.
func attemptsKey(k []byte, app postern.ApplicationNumber, id postern.MessageID) []byte {
	return slicedKey(k, kindAttempt, app, id)
}

// sliceBits of positions share a slice. It may wrap: order matters within a
// day only.
const sliceBits = 12

func slicedKey(k []byte, kind byte, app postern.ApplicationNumber, id postern.MessageID) []byte {
	k = appendDay(append(k, kind), dayOf(id))
	k = binary.BigEndian.AppendUint32(k, uint32(id.Position()>>sliceBits))
	return append(appendApp(k, app), id[:]...)
}

// deliveryKey is the prefix of all attempts of one delivery.
func deliveryKey(k []byte, d store.DeliveryKey) []byte {
	return appendEndpoint(attemptsKey(k, d.Application, d.Message), d.Endpoint)
}

func attemptKey(k []byte, d store.DeliveryKey, n int) []byte {
	return binary.BigEndian.AppendUint16(deliveryKey(k, d), uint16(min(n, finalN-1)))
}

func finalKey(k []byte, d store.DeliveryKey) []byte {
	return binary.BigEndian.AppendUint16(deliveryKey(k, d), finalN)
}

func byEndpointKey(k []byte, e postern.EndpointNumber, id postern.AttemptID) []byte {
	k = appendEndpoint(appendDay(append(k, kindByEndpoint), dayOf(id)), e)
	return append(k, id[:]...)
}

func deadKey(k []byte, d store.DeliveryKey) []byte {
	k = appendApp(appendDay(append(k, kindDead), dayOf(d.Message)), d.Application)
	return append(appendEndpoint(k, d.Endpoint), d.Message[:]...)
}

func journalKey(k []byte, position uint64) []byte {
	return binary.BigEndian.AppendUint64(append(k, kindJournal), position)
}

func rowKey(k []byte, e postern.EndpointNumber, id postern.MessageID) []byte {
	return append(appendEndpoint(append(k, kindRow), e), id[:]...)
}

func scheduleKey(k []byte, e postern.EndpointNumber, next int64, id postern.MessageID) []byte {
	k = binary.BigEndian.AppendUint64(appendEndpoint(append(k, kindSchedule), e), uint64(max(next, 0)))
	return append(k, id[:]...)
}

func endpointKey(k []byte, kind byte, e postern.EndpointNumber) []byte {
	return appendEndpoint(append(k, kind), e)
}

func tombstoneKey(k []byte, app postern.ApplicationNumber) []byte {
	return appendApp(append(k, kindTombstone), app)
}

func refusalKey(k []byte, kind byte, source postern.SourceID, id postern.RefusalID) []byte {
	k = append(append(k, kind), source[:]...)
	return append(k, id[:]...)
}

// halfDay is a bucket of dedupe records: 12 hours since the Unix epoch.
type halfDay uint32

const halfDayMillis = 12 * 60 * 60 * 1000

func halfDayOf(millis int64) halfDay { return halfDay(max(millis, 0) / halfDayMillis) }

// eventKey finds the record of an event's digest, bucketKey one that lives in
// half days.
func eventKey(k []byte, digest store.Digest) []byte {
	return append(append(k, kindEvent), digest[:]...)
}

func bucketKey(k []byte, kind byte, bucket halfDay, digest store.Digest) []byte {
	k = binary.BigEndian.AppendUint32(append(k, kind), uint32(bucket))
	return append(k, digest[:]...)
}

// The record kinds of the catalogue, in the order in which Load reads them:
// applications before what belongs to them.
const (
	recordApplication = 'a'
	recordEventType   = 'b'
	recordEndpoint    = 'c'
	recordSource      = 'd'
	recordKey         = 'e'
	recordReplay      = 'f'
)

// catalogueKey leads with the owner where there is one, so that everything of
// an application is one range; owner is 0 for what belongs to nobody.
func catalogueKey(k []byte, record byte, owner postern.ApplicationNumber, name []byte) []byte {
	return append(appendApp(append(k, kindCatalogue, record), owner), name...)
}

// dayOf is the bucket of an id: the day of its time.
func dayOf[T ~[20]byte](id T) store.Day { return store.Day(idMillis(id) / 86_400_000) }

// idMillis is the time of an id in Unix milliseconds.
func idMillis[T ~[20]byte](id T) int64 {
	return int64(binary.BigEndian.Uint64(id[:8]) >> 16)
}

// after is the smallest key behind all keys that begin with prefix, in a
// slice of its own.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

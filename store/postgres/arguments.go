package postgres

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// arguments are those of postern_commit, whose parameters the fields stand for
// in their order: migrations/ has the function. They belong to Commit, and their
// memory is kept between batches.
//
// The binary form is built by hand: a batch of 64 messages has 2,000 values, and
// a codec that finds the way to each of them by its type costs more than all the
// rest on this side.
type arguments struct {
	// journal has two bytes of its array; epoch is set for each try, and version is
	// the catalogue's. author tells what this process changes of the catalogue from
	// what others do; a store that another one adopts has the same.
	journal, epoch, version, author [8]byte
	head                            array

	messages struct {
		day, application, id, position, eventType, contentType, eventID, channels, tags, routes, size array
		source, providerEventType, causedBy, depth, payload, request                                  array
	}
	// dedupe are records of all scopes, in the order of their digests; application is
	// 0 for an answer's. Those of other messages count from since on.
	dedupe struct {
		scope, digest, application, message, at, status, answer, since array
	}
	// redacted are attempts that are taken out first, to be stored anew.
	redacted struct{ day, application, message, endpoint, n array }
	attempts struct {
		day, application, message, endpoint, n, id, state, reason, succeeded, permanent, redialed, trigger array
		code, failure, url, response, started, next, retryAfter, dns, connect, tls, firstByte, total       array
	}
	// deleted and rows are disjoint: what becomes of each delivery's row.
	deleted struct{ endpoint, message array }
	rows    struct {
		endpoint, message, application, generation, tries, attempts, next, wait, trigger, replay array
	}
	// rare is jsonb in its binary form; nil, which is NULL, for nothing.
	rare []byte

	// columns are all arrays in the order of the parameters, types those of all
	// parameters, values what is sent for them, and formats says that all is binary.
	columns []*array
	values  [][]byte
	types   []uint32
	formats []int16

	// What a batch touches twice counts once, with its last word.
	digests  map[scoped]int
	pending  []digested
	standing map[store.Placed]*postern.Row
	order    []store.Placed
}

// scoped is the key of a dedupe record.
type scoped struct {
	scope  store.Scope
	digest store.Digest
}

// digested is a dedupe record of an application's.
type digested struct {
	application postern.ApplicationNumber
	record      *store.DedupeRecord
}

func (d digested) compare(other digested) int {
	return cmp.Or(bytes.Compare(d.record.Digest[:], other.record.Digest[:]), cmp.Compare(d.record.Scope, other.record.Scope))
}

// newArguments puts the fields into the order of the function's parameters. What
// has none would be noticed at once: PostgreSQL finds no function of that many.
func newArguments() *arguments {
	a := &arguments{digests: map[scoped]int{}, standing: map[store.Placed]*postern.Row{}}
	binary.BigEndian.PutUint64(a.author[:], rand.Uint64()) //nolint:gosec // it is no secret
	a.types = append(a.types, typeInt2, typeInt8, typeInt8, typeInt8)
	bind := func(elem, list uint32, columns ...*array) {
		for _, c := range columns {
			c.elem = elem
			a.columns, a.types = append(a.columns, c), append(a.types, list)
		}
	}
	int2 := func(c ...*array) { bind(typeInt2, typeInt2s, c...) }
	int4 := func(c ...*array) { bind(typeInt4, typeInt4s, c...) }
	int8 := func(c ...*array) { bind(typeInt8, typeInt8s, c...) }
	text := func(c ...*array) { bind(typeText, typeTexts, c...) }
	blob := func(c ...*array) { bind(typeBytea, typeByteas, c...) }
	flag := func(c ...*array) { bind(typeBool, typeBools, c...) }

	int8(&a.head)
	m := &a.messages
	int4(&m.day)
	int8(&m.application)
	blob(&m.id)
	int8(&m.position)
	text(&m.eventType, &m.contentType, &m.eventID, &m.channels, &m.tags, &m.routes)
	int4(&m.size)
	blob(&m.source)
	text(&m.providerEventType)
	blob(&m.causedBy)
	int2(&m.depth)
	blob(&m.payload, &m.request)
	d := &a.dedupe
	text(&d.scope)
	bind(typeUUID, typeUUIDs, &d.digest)
	int8(&d.application)
	blob(&d.message)
	int8(&d.at)
	int2(&d.status)
	blob(&d.answer)
	int8(&d.since)
	z := &a.redacted
	int4(&z.day)
	int8(&z.application)
	blob(&z.message)
	int8(&z.endpoint)
	int4(&z.n)
	t := &a.attempts
	int4(&t.day)
	int8(&t.application)
	blob(&t.message)
	int8(&t.endpoint)
	int4(&t.n)
	blob(&t.id)
	int2(&t.state)
	text(&t.reason)
	flag(&t.succeeded, &t.permanent, &t.redialed)
	int2(&t.trigger)
	int4(&t.code)
	text(&t.failure, &t.url)
	blob(&t.response)
	int8(&t.started, &t.next, &t.retryAfter, &t.dns, &t.connect, &t.tls, &t.firstByte, &t.total)
	int8(&a.deleted.endpoint)
	blob(&a.deleted.message)
	r := &a.rows
	int8(&r.endpoint)
	blob(&r.message)
	int8(&r.application, &r.generation)
	int4(&r.tries, &r.attempts)
	int8(&r.next, &r.wait)
	int2(&r.trigger)
	blob(&r.replay)
	a.types = append(a.types, typeJSONB)
	a.formats = []int16{1} // one for all: binary
	return a
}

// statement calls the function with as many parameters as there are.
func (a *arguments) statement() string {
	parameters := make([]string, len(a.types))
	for i := range parameters {
		parameters[i] = "$" + strconv.Itoa(i+1)
	}
	return "SELECT postern_commit(" + strings.Join(parameters, ", ") + ")"
}

// fill takes a batch apart. Nothing of it is referred to afterwards. History of
// days up to dropped is left out: nobody would read it, and it has no table.
func (a *arguments) fill(journal uint16, b *store.Batch, dropped int64) error {
	for _, c := range a.columns {
		c.reset()
	}
	binary.BigEndian.PutUint16(a.journal[:], journal)
	binary.BigEndian.PutUint64(a.version[:], b.Version)
	dropped = max(dropped, int64(b.DropDay))
	a.fillHead(&b.Head)
	for i := range b.Accepts {
		if err := a.accept(&b.Accepts[i], dropped); err != nil {
			return err
		}
	}
	for i := range b.Answers {
		a.recognise(0, &b.Answers[i])
	}
	for i := range b.Records {
		a.recognise(b.Records[i].Application, &b.Records[i].DedupeRecord)
	}
	// All nodes lock records in one order, and so never wait for each other in turn.
	slices.SortFunc(a.pending, digested.compare)
	for _, d := range a.pending {
		a.addDedupe(d, dropped)
	}
	clear(a.digests)
	clear(a.pending)
	a.pending = a.pending[:0]
	a.fillAttempts(b, dropped)
	a.fillRows(b.Rows)
	rare, err := rareOf(b, dropped)
	if err != nil || rare == nil {
		a.rare = nil
		return err
	}
	text, err := json.Marshal(rare)
	a.rare = append([]byte{1}, text...) // the version of jsonb's binary form
	return err
}

// list is what is sent, under an epoch.
func (a *arguments) list(epoch int64) [][]byte {
	a.values = append(a.values[:0], a.journal[:2], a.under(epoch), a.version[:], a.author[:])
	for _, c := range a.columns {
		a.values = append(a.values, c.value())
	}
	a.values = append(a.values, a.rare)
	return a.values
}

// under is an epoch as it is sent.
func (a *arguments) under(epoch int64) []byte {
	binary.BigEndian.PutUint64(a.epoch[:], uint64(epoch))
	return a.epoch[:]
}

// fillHead is in the order in which the function reads it.
func (a *arguments) fillHead(h *store.Head) {
	for _, v := range [...]int64{
		int64(h.Batch), int64(h.Next), int64(h.Low), millis(h.LastTime), millis(h.Newest), micros(h.Dropped),
		h.Rows, int64(h.Applications), int64(h.Endpoints),
	} {
		a.head.int8(v)
	}
}

// accept adds a message with its content and the records that know its copies.
// These are added even where the message is not: they may replace older ones.
func (a *arguments) accept(in *store.Accept, dropped int64) error {
	for i := range in.Dedupe {
		a.recognise(in.Message.Application, &in.Dedupe[i])
	}
	msg, m := in.Message, &a.messages
	day := dayOf(msg.ID)
	if day <= dropped {
		return nil
	}
	m.day.int4(int32(day))
	m.application.int8(int64(msg.Application))
	m.id.bytes(msg.ID[:])
	m.position.int8(int64(msg.ID.Position()))
	m.eventType.text(msg.EventType)
	m.contentType.text(msg.ContentType)
	m.eventID.text(msg.EventID)
	m.channels.texts(msg.Channels)
	m.tags.texts(msg.Tags)
	// An array of arrays would be taken for one of two dimensions: lists go as text.
	m.routes.nested(func(b []byte) []byte {
		for i, e := range msg.Routes {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendUint(b, uint64(e), 10)
		}
		return b
	})
	m.size.int4(int32(msg.Size))
	m.source.id(msg.Source)
	m.providerEventType.text(msg.ProviderEventType)
	m.causedBy.id(msg.CausedBy)
	m.depth.int2(int16(msg.Depth))
	return a.content(in.Content)
}

// content is NULL for a message that was expunged.
func (a *arguments) content(c *postern.Content) error {
	m := &a.messages
	if c == nil {
		m.payload.null()
		m.request.null()
		return nil
	}
	m.payload.bytes(c.Payload)
	if c.Request == nil {
		m.request.null()
		return nil
	}
	request, err := encodeRequest(c.Request)
	m.request.bytes(request)
	return err
}

// recognise notes a dedupe record; of two with one digest the last counts.
func (a *arguments) recognise(app postern.ApplicationNumber, r *store.DedupeRecord) {
	key := scoped{r.Scope, r.Digest}
	if i, ok := a.digests[key]; ok {
		a.pending[i] = digested{app, r}
		return
	}
	a.digests[key] = len(a.pending)
	a.pending = append(a.pending, digested{app, r})
}

// addDedupe adds a record, with the id's time as its age. An event's that went with
// its day counts no more, however far back its publisher looks.
func (a *arguments) addDedupe(d digested, dropped int64) {
	c, r := &a.dedupe, d.record
	c.scope.text(string(rune(r.Scope)))
	c.digest.bytes(r.Digest[:])
	c.application.int8(int64(d.application))
	c.message.bytes(r.Message[:])
	c.at.int8(r.Message.Time().UnixMilli())
	c.status.int2(int16(r.Status))
	c.answer.optional(r.Answer)
	since := int64(math.MaxInt64)
	if !r.Since.IsZero() {
		since = r.Since.UnixMilli()
	}
	if r.Scope == store.ScopeEvent {
		since = max(since, store.Day(dropped+1).Start().UnixMilli())
	}
	c.since.int8(since)
}

// fillAttempts adds those that are new and those that are stored anew, of which
// the older copies go, in this batch and in the table.
func (a *arguments) fillAttempts(b *store.Batch, dropped int64) {
	type try struct {
		store.DeliveryKey
		n int
	}
	// Redacted attempts are few and attempts many: nothing is looked up for a batch
	// that has none.
	keyOf := func(t *postern.Attempt) try {
		return try{store.DeliveryKey{Application: t.Application, Endpoint: t.Endpoint, Message: t.Message}, t.N}
	}
	var anew map[try]*postern.Attempt
	for _, t := range b.Redacted {
		if anew == nil {
			anew = map[try]*postern.Attempt{}
		}
		anew[keyOf(t)] = t
	}
	for _, t := range b.Attempts {
		if anew != nil && anew[keyOf(t)] != nil {
			continue
		}
		a.attempt(t, dropped)
	}
	for _, t := range b.Redacted {
		// Of two copies the last counts.
		if anew[keyOf(t)] != t || dayOf(t.Message) <= dropped {
			continue
		}
		a.attempt(t, dropped)
		z := &a.redacted
		z.day.int4(int32(dayOf(t.Message)))
		z.application.int8(int64(t.Application))
		z.message.bytes(t.Message[:])
		z.endpoint.int8(int64(t.Endpoint))
		z.n.int4(int32(t.N))
	}
}

// attempt adds one, unless its message's day is gone.
func (a *arguments) attempt(t *postern.Attempt, dropped int64) {
	c, day := &a.attempts, dayOf(t.Message)
	if day <= dropped {
		return
	}
	c.day.int4(int32(day))
	c.application.int8(int64(t.Application))
	c.message.bytes(t.Message[:])
	c.endpoint.int8(int64(t.Endpoint))
	c.n.int4(int32(t.N))
	c.id.bytes(t.ID[:])
	c.state.int2(int16(t.State))
	c.reason.text(string(t.Reason))
	c.succeeded.bool(t.Succeeded)
	c.permanent.bool(t.Permanent)
	c.redialed.bool(t.Redialed)
	c.trigger.int2(int16(t.Trigger))
	c.code.int4(int32(t.Code))
	c.failure.text(t.Failure)
	c.url.text(t.URL)
	c.response.optional(t.Response)
	c.started.int8(micros(t.Started))
	c.next.int8(micros(t.Next))
	c.retryAfter.int8(int64(t.RetryAfter))
	c.dns.int8(int64(t.Timings.DNS))
	c.connect.int8(int64(t.Timings.Connect))
	c.tls.int8(int64(t.Timings.TLS))
	c.firstByte.int8(int64(t.Timings.FirstByte))
	c.total.int8(int64(t.Timings.Total))
}

// fillRows adds what becomes of each delivery's row in the end. A statement that
// works on sets has no order: of a row that is put, deleted and put again in one
// batch only the last is sent.
func (a *arguments) fillRows(changes []store.RowChange) {
	// order keeps the deliveries in the order in which they were first touched, so
	// that the same batch is always sent alike.
	note := func(of, put *postern.Row) {
		key := store.Placed{Endpoint: of.Endpoint, Message: of.Message}
		if _, ok := a.standing[key]; !ok {
			a.order = append(a.order, key)
		}
		a.standing[key] = put
	}
	for _, c := range changes {
		if c.Delete != nil {
			note(c.Delete, nil)
		}
		if c.Put != nil {
			note(c.Put, c.Put)
		}
	}
	for _, key := range a.order {
		row := a.standing[key]
		if row == nil {
			a.deleted.endpoint.int8(int64(key.Endpoint))
			a.deleted.message.bytes(key.Message[:])
			continue
		}
		r := &a.rows
		r.endpoint.int8(int64(row.Endpoint))
		r.message.bytes(row.Message[:])
		r.application.int8(int64(row.Application))
		r.generation.int8(int64(row.Generation))
		r.tries.int4(int32(row.Tries))
		r.attempts.int4(int32(row.Attempts))
		r.next.int8(millis(row.Next))
		r.wait.int8(int64(row.Wait))
		r.trigger.int2(int16(row.Trigger))
		r.replay.id(row.Replay)
	}
	clear(a.standing)
	a.order = a.order[:0]
}

// millis and micros write a time; 0 for none.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

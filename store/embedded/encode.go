package embedded

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Values of history are encoded by hand: a version byte, then varints, and
// strings with their length before them. Appending never allocates beyond the
// buffer's growth. A field is added at the end, under a new version; readers
// know all versions up to theirs.
const encodingVersion = 1

// errCorrupt is what a value that cannot be read comes to.
var errCorrupt = errors.New("embedded: stored value cannot be read")

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

func appendBytes(b, p []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(p))), p...)
}

// appendTime keeps microseconds; the zero time is 0.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	return binary.AppendVarint(b, t.UnixMicro())
}

func appendDuration(b []byte, d time.Duration) []byte {
	return binary.AppendVarint(b, int64(d))
}

// appendHeader encodes a message but for its id and application, which are its
// key. Routes come first, so that a scan can pass over a message that is none
// of its endpoint's without decoding it.
func appendHeader(b []byte, m *postern.Message) []byte {
	b = append(b, encodingVersion)
	// As distances to the one before, most of which take a byte.
	b = binary.AppendUvarint(b, uint64(len(m.Routes)))
	var last postern.EndpointNumber
	for _, route := range m.Routes {
		b = binary.AppendVarint(b, int64(route)-int64(last))
		last = route
	}
	b = appendString(b, m.EventType)
	b = appendString(b, m.ContentType)
	b = appendString(b, m.EventID)
	b = appendStrings(b, m.Channels)
	b = appendStrings(b, m.Tags)
	b = binary.AppendUvarint(b, uint64(m.Size))
	b = appendID(b, m.Source)
	b = appendString(b, m.ProviderEventType)
	b = appendID(b, m.CausedBy)
	if m.Depth > 0 { // few have one; the others end here, as all did before there was any
		b = binary.AppendUvarint(b, uint64(m.Depth))
	}
	return b
}

// appendID writes one byte for the zero id, which is the usual one: most messages
// have no source and no cause.
func appendID[T ~[20]byte](b []byte, id T) []byte {
	if id == (T{}) {
		return append(b, 0)
	}
	return append(append(b, 1), id[:]...)
}

// routesTo reports whether an encoded header lists the endpoint. It allocates
// nothing: a lane's scan asks it of every message of its application.
func routesTo(value []byte, endpoint postern.EndpointNumber) bool {
	d := newDecoder(value)
	var route int64
	for range d.count() {
		route += d.varint()
		if route == int64(endpoint) {
			return d.err == nil
		}
	}
	return false
}

func decodeHeader(app postern.ApplicationNumber, id postern.MessageID, value []byte) (*postern.Message, error) {
	d := newDecoder(value)
	m := &postern.Message{ID: id, Application: app}
	if n := d.count(); n > 0 {
		m.Routes = make([]postern.EndpointNumber, n)
		var last int64
		for i := range m.Routes {
			last += d.varint()
			m.Routes[i] = postern.EndpointNumber(last)
		}
	}
	m.EventType = d.string()
	m.ContentType = d.string()
	m.EventID = d.string()
	m.Channels = d.strings()
	m.Tags = d.strings()
	m.Size = int(d.uvarint())
	m.Source = decodeID[postern.SourceID](d)
	m.ProviderEventType = d.string()
	m.CausedBy = decodeID[postern.MessageID](d)
	if len(d.rest) > 0 {
		m.Depth = int(d.uvarint())
	}
	return m, d.err
}

// appendContentPrefix encodes a content but for its payload, which goes behind
// it as it is.
func appendContentPrefix(b []byte, c *postern.Content) []byte {
	b = append(b, encodingVersion)
	if c.Request == nil {
		return append(b, 0)
	}
	return appendRequest(append(b, 1), c.Request)
}

// appendRequest has headers as they came, in their order, repeats and all: a refusal
// that is released must verify like the request itself.
func appendRequest(b []byte, r *postern.InboundRequest) []byte {
	b = appendString(b, r.Method)
	b = appendString(b, r.Path)
	b = appendString(b, r.Query)
	b = binary.AppendUvarint(b, uint64(len(r.Headers)))
	for _, h := range r.Headers {
		b = appendString(appendString(b, h.Name), h.Value)
	}
	return appendString(appendString(b, r.RemoteAddr), r.URL)
}

// decodeContent copies the payload: the value's memory is the database's, and gone
// with the view that it was read in.
func decodeContent(value []byte) (*postern.Content, error) {
	d := newDecoder(value)
	c := &postern.Content{}
	if d.byte() == 1 {
		c.Request = &postern.InboundRequest{}
		d.request(c.Request)
	}
	c.Payload = append([]byte{}, d.rest...)
	return c, d.err
}

// The flags of an attempt.
const (
	attemptSucceeded = 1 << iota
	attemptPermanent
	attemptRedialed
	attemptManual
)

// appendAttempt encodes an attempt but for its delivery and number, which are
// its key. The state stands in the second byte, as in a final record.
func appendAttempt(b []byte, a *postern.Attempt) []byte {
	var flags byte
	for _, f := range [...]struct {
		set bool
		bit byte
	}{
		{a.Succeeded, attemptSucceeded},
		{a.Permanent, attemptPermanent},
		{a.Redialed, attemptRedialed},
		{a.Trigger == postern.Manual, attemptManual},
	} {
		if f.set {
			flags |= f.bit
		}
	}
	b = append(b, encodingVersion, byte(a.State), flags)
	b = append(b, a.ID[:]...)
	b = binary.AppendUvarint(b, uint64(a.N))
	b = appendString(b, string(a.Reason))
	b = appendTime(b, a.Next)
	b = appendTime(b, a.Started)
	b = binary.AppendUvarint(b, uint64(a.Code))
	b = appendDuration(b, a.RetryAfter)
	for _, t := range [...]time.Duration{a.Timings.DNS, a.Timings.Connect, a.Timings.TLS, a.Timings.FirstByte, a.Timings.Total} {
		b = appendDuration(b, t)
	}
	b = appendString(b, a.URL)
	b = appendString(b, a.Failure)
	return appendBytes(b, a.Response)
}

func decodeAttempt(k store.DeliveryKey, value []byte) (postern.Attempt, error) {
	d := newDecoder(value)
	a := postern.Attempt{Message: k.Message, Application: k.Application, Endpoint: k.Endpoint}
	a.State = postern.State(d.byte())
	flags := d.byte()
	a.Succeeded = flags&attemptSucceeded != 0
	a.Permanent = flags&attemptPermanent != 0
	a.Redialed = flags&attemptRedialed != 0
	if flags&attemptManual != 0 {
		a.Trigger = postern.Manual
	}
	copy(a.ID[:], d.take(len(a.ID)))
	a.N = int(d.uvarint())
	a.Reason = postern.Reason(d.string())
	a.Next, a.Started = d.time(), d.time()
	a.Code = int(d.uvarint())
	a.RetryAfter = d.duration()
	a.Timings = postern.Timings{DNS: d.duration(), Connect: d.duration(), TLS: d.duration(), FirstByte: d.duration(), Total: d.duration()}
	a.URL = d.string()
	a.Failure = d.string()
	a.Response = d.bytes()
	return a, d.err
}

// appendFinal has the state in the second byte, as an attempt has, for endsDelivery.
func appendFinal(b []byte, f *postern.Final) []byte {
	b = append(b, encodingVersion, byte(f.State))
	b = appendTime(appendString(b, string(f.Reason)), f.At)
	return binary.AppendUvarint(b, uint64(f.Attempts))
}

func decodeFinal(k store.DeliveryKey, value []byte) (postern.Final, error) {
	d := newDecoder(value)
	f := postern.Final{Message: k.Message, Application: k.Application, Endpoint: k.Endpoint}
	f.State = postern.State(d.byte())
	f.Reason = postern.Reason(d.string())
	f.At = d.time()
	f.Attempts = int(d.uvarint())
	return f, d.err
}

// endsDelivery reports whether an encoded attempt or final record ended its
// delivery. Recovery and scans ask it of every attempt that they pass, and decode none.
func endsDelivery(value []byte) bool {
	return len(value) > 1 && postern.State(value[1]).Final()
}

// outcome is the value of an attempt in its endpoint's list: enough to find it
// and to filter without reading it.
type outcome struct {
	succeeded bool
	class     int
	message   postern.MessageID
	n         int
	state     postern.State
	took      time.Duration
}

func appendOutcome(b []byte, a *postern.Attempt) []byte {
	var succeeded byte
	if a.Succeeded {
		succeeded = 1
	}
	b = append(b, encodingVersion, succeeded, byte(a.Code/100))
	b = append(b, a.Message[:]...)
	b = binary.AppendUvarint(b, uint64(a.N))
	return binary.AppendUvarint(append(b, byte(a.State)), uint64(max(a.Timings.Total.Microseconds(), 0)))
}

func decodeOutcome(value []byte) (outcome, error) {
	d := newDecoder(value)
	o := outcome{succeeded: d.byte() == 1, class: int(d.byte())}
	copy(o.message[:], d.take(len(o.message)))
	o.n = int(d.uvarint())
	switch { // the last two came later
	case d.more():
		o.state, o.took = postern.State(d.byte()), time.Duration(d.uvarint())*time.Microsecond
	case o.succeeded: // as far as it can be told of an older one
		o.state = postern.Delivered
	default:
		o.state = postern.Retrying
	}
	return o, d.err
}

// appendRow encodes a row but for its endpoint and message, which are in both its
// keys.
func appendRow(b []byte, r *postern.Row) []byte {
	b = append(b, encodingVersion)
	b = binary.AppendUvarint(b, uint64(r.Application))
	b = binary.AppendUvarint(b, r.Generation)
	b = binary.AppendUvarint(b, uint64(r.Tries))
	b = binary.AppendUvarint(b, uint64(r.Attempts))
	b = appendTime(b, r.Next)
	b = appendDuration(b, r.Wait)
	b = append(b, byte(r.Trigger))
	if r.Replay.IsZero() {
		return b
	}
	return append(b, r.Replay[:]...) // a row without one ends before it
}

func decodeRow(endpoint postern.EndpointNumber, id postern.MessageID, value []byte) (postern.Row, error) {
	d := newDecoder(value)
	r := postern.Row{Endpoint: endpoint, Message: id}
	r.Application = postern.ApplicationNumber(d.uvarint())
	r.Generation = d.uvarint()
	r.Tries, r.Attempts = int(d.uvarint()), int(d.uvarint())
	r.Next, r.Wait = d.time(), d.duration()
	r.Trigger = postern.Trigger(d.byte())
	if len(d.rest) > 0 {
		copy(r.Replay[:], d.take(len(r.Replay)))
	}
	return r, d.err
}

// appendHealth: an endpoint that does not fail has no value at all.
func appendHealth(b []byte, h postern.Health) []byte {
	b = appendTime(append(b, encodingVersion), h.FailingSince)
	b = appendTime(appendString(b, h.Disabled), h.DisabledAt)
	return binary.AppendUvarint(b, uint64(max(h.Failures, 0)))
}

func decodeHealth(value []byte) (postern.Health, error) {
	d := newDecoder(value)
	h := postern.Health{FailingSince: d.time(), Disabled: d.string(), DisabledAt: d.time()}
	if d.more() {
		h.Failures = int(d.uvarint())
	}
	return h, d.err
}

// appendHead is part of every batch. Rows are counted here, since to count them at a
// start would be to read them.
func appendHead(b []byte, h store.Head) []byte {
	b = append(b, encodingVersion)
	for _, v := range [...]uint64{h.Batch, h.Next, h.Low, uint64(h.Applications), uint64(h.Endpoints), uint64(max(h.Rows, 0))} {
		b = binary.AppendUvarint(b, v)
	}
	return appendTime(appendTime(appendTime(b, h.LastTime), h.Newest), h.Dropped)
}

func decodeHead(value []byte) (store.Head, error) {
	d := newDecoder(value)
	h := store.Head{Batch: d.uvarint(), Next: d.uvarint(), Low: d.uvarint()}
	h.Applications = postern.ApplicationNumber(d.uvarint())
	h.Endpoints = postern.EndpointNumber(d.uvarint())
	h.Rows = int64(d.uvarint())
	h.LastTime = d.time()
	h.Newest = d.time()
	if d.more() {
		h.Dropped = d.time()
	}
	return h, d.err
}

// dedupeValue is what lies behind a digest. A record ends before the answer where it
// has none, as all of messages do: their answer is rendered anew.
type dedupeValue struct {
	application postern.ApplicationNumber
	message     postern.MessageID
	status      int
	answer      []byte
}

func appendDedupe(b []byte, app postern.ApplicationNumber, r *store.DedupeRecord) []byte {
	b = binary.AppendUvarint(append(b, encodingVersion), uint64(app))
	b = binary.AppendUvarint(append(b, r.Message[:]...), uint64(r.Status))
	if r.Answer == nil {
		return b
	}
	return appendBytes(b, r.Answer)
}

func decodeDedupe(value []byte) (dedupeValue, error) {
	d := newDecoder(value)
	v := dedupeValue{application: postern.ApplicationNumber(d.uvarint())}
	copy(v.message[:], d.take(len(v.message)))
	v.status = int(d.uvarint())
	if d.more() {
		v.answer = d.bytes()
	}
	return v, d.err
}

// appendRefusal leaves the body out, which has a key of its own: lists do not show it.
func appendRefusal(b []byte, r *postern.Refusal) []byte {
	b = appendString(append(b, encodingVersion), r.Reason)
	b = appendRequest(appendString(b, r.Detail), &r.Request)
	b = appendString(b, r.ContentType)
	truncated := byte(0)
	if r.BodyTruncated {
		truncated = 1
	}
	return appendBytes(append(b, truncated), r.Credentials)
}

func decodeRefusal(source postern.SourceID, id postern.RefusalID, value []byte) (*postern.Refusal, error) {
	d := newDecoder(value)
	r := &postern.Refusal{ID: id, Source: source, Reason: d.string(), Detail: d.string()}
	d.request(&r.Request)
	r.ContentType = d.string()
	r.BodyTruncated = d.byte() == 1
	if d.more() { // added later
		r.Credentials = d.bytes()
	}
	return r, d.err
}

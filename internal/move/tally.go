package move

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"reflect"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// The parts of a store, in the order in which people are told of them. The numbers
// go into checksums: a new part comes last, or manifests from before differ.
const (
	applications = iota
	eventTypes
	endpoints
	sources
	keys
	replays
	tombstones
	messages
	attempts
	finals
	dead
	rows
	behind
	health
	refusals
	records
	parts
)

// partNames are what people read, and what a manifest calls them: parts are
// compared by name.
func partNames() [parts]string {
	return [parts]string{
		"applications", "event types", "endpoints", "sources", "keys", "replays", "deleted applications",
		"messages", "attempts", "ends without an attempt", "dead deliveries", "waiting deliveries",
		"endpoints behind", "failing endpoints", "refusals", "duplicate records",
	}
}

// Part is what a store holds of one kind.
type Part struct {
	// Name is one of a fixed set, such as "messages".
	Name string `json:"part"`
	// Count is of records. Checksum is a number in hexadecimal over all that is in
	// them, whatever their order; "" where only counted.
	Count    int64  `json:"count"`
	Checksum string `json:"checksum,omitempty"`
}

// Tally counts and sums up a store's parts. The zero value is an empty store's.
type Tally struct {
	counts [parts]int64
	// sums add up the halves of the records' hashes, so that their order is of no
	// account and a record that is there twice is found.
	sums [parts][2]uint64
	// summed is false while there are only counts.
	summed bool
}

// Parts lists all, in a fixed order.
func (t *Tally) Parts() []Part {
	list := make([]Part, parts)
	for i, name := range partNames() {
		list[i] = Part{Name: name, Count: t.counts[i]}
		if t.summed {
			list[i].Checksum = checksum(t.sums[i])
		}
	}
	return list
}

// checksum writes a sum as a manifest has it: 32 digits.
func checksum(sum [2]uint64) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], sum[0])
	binary.BigEndian.PutUint64(b[8:], sum[1])
	return hex.EncodeToString(b[:])
}

// Records counts all.
func (t *Tally) Records() (n int64) {
	for _, count := range t.counts {
		n += count
	}
	return n
}

// Differences says, a line for each part, in what two tallies differ; none when
// they are the same.
func (t *Tally) Differences(other *Tally) []string { return Differences(t.Parts(), other.Parts()) }

// Differences compares parts as they were with parts as they are. One that is
// missing on a side counts as empty.
func Differences(was, is []Part) []string {
	now := map[string]Part{} // those that were not there before remain in it
	for _, part := range is {
		now[part.Name] = part
	}
	var lines []string
	for _, before := range was {
		after := now[before.Name]
		delete(now, before.Name)
		switch {
		case before.Count != after.Count:
			lines = append(lines, fmt.Sprintf("%s: %d, and %d before", before.Name, after.Count, before.Count))
		case before.Checksum != after.Checksum:
			lines = append(lines, fmt.Sprintf("%s: %d as before, but not the same", before.Name, before.Count))
		}
	}
	for _, part := range is {
		if _, unknown := now[part.Name]; unknown && part.Count > 0 {
			lines = append(lines, fmt.Sprintf("%s: %d, and none before", part.Name, part.Count))
		}
	}
	return lines
}

// TakeOptions say how a store is tallied.
type TakeOptions struct {
	// Key makes the checksums worthless to who does not know it; nil for checksums
	// that anybody can compare.
	Key []byte
	// Open has secrets summed up as they are in the clear, and asks for a Key; nil
	// for as they rest.
	Open func(postern.Sealed) ([]byte, error)
	// Probe is shown every secret as it rests; nil for nobody.
	Probe func(postern.Sealed)
	// Told is called after each chunk; nil for nobody.
	Told func(*Tally)
}

// Take reads a store whole: every record is found, read and decoded.
func Take(ctx context.Context, s store.Mover, o TakeOptions) (Tally, error) {
	t := Tally{summed: true}
	// A small chunk keeps memory low; larger ones read no faster.
	h := hasher{open: o.Open, probe: o.Probe, key: o.Key}
	q := store.ExportQuery{Records: defaultCount, Bytes: defaultVolume}
	err := s.Export(ctx, q, func(b *store.Batch, next store.Cursor) error {
		if next == nil {
			return nil // the head alone, which differs between drivers in digits
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := t.add(&h, b); err != nil {
			return err
		}
		if o.Told != nil {
			o.Told(&t)
		}
		return nil
	})
	return t, err
}

// count adds a chunk without looking into it, and returns how many there are.
func (t *Tally) count(b *store.Batch) int64 {
	before := t.Records()
	_ = t.each(b, func(int, any) error { return nil }) // which never fails
	return t.Records() - before
}

// add counts and sums up a chunk.
func (t *Tally) add(h *hasher, b *store.Batch) error {
	return t.each(b, func(part int, record any) error {
		sum, err := h.sum(part, record)
		t.sums[part][0] += binary.BigEndian.Uint64(sum[:8])
		t.sums[part][1] += binary.BigEndian.Uint64(sum[8:16])
		return err
	})
}

// each counts every record of a chunk and calls fn with it, until it fails. What
// a batch has besides, such as what it drops, no export brings.
func (t *Tally) each(b *store.Batch, fn func(part int, record any) error) error {
	var failed error
	note := func(part int, record any) {
		t.counts[part]++
		if failed == nil {
			failed = fn(part, record)
		}
	}
	for _, c := range b.Changes {
		part, record := catalogued(c)
		note(part, record)
	}
	for i := range b.Accepts {
		note(messages, &b.Accepts[i])
	}
	for _, a := range b.Attempts {
		note(attempts, a)
	}
	for i := range b.Finals {
		note(finals, &b.Finals[i])
	}
	for i := range b.Dead {
		note(dead, &b.Dead[i])
	}
	for i := range b.Rows {
		note(rows, b.Rows[i].Put)
	}
	for i := range b.Behind {
		note(behind, &b.Behind[i])
	}
	for i := range b.Health {
		note(health, &b.Health[i])
	}
	for _, r := range b.Refusals {
		note(refusals, r)
	}
	for i := range b.Records {
		note(records, &b.Records[i])
	}
	return failed
}

// catalogued is the part that a change is of. What is deleted in an export is an
// application that left its tombstone.
func catalogued(c store.Change) (part int, record any) {
	switch c.Put.(type) {
	case *postern.Application:
		return applications, c.Put
	case *postern.EventType:
		return eventTypes, c.Put
	case *postern.Endpoint:
		return endpoints, c.Put
	case *postern.Source:
		return sources, c.Put
	case *postern.Key:
		return keys, c.Put
	case *postern.Replay:
		return replays, c.Put
	}
	return tombstones, c.Delete
}

// hasher sums up records one by one, in memory that it uses again. It belongs to
// one goroutine.
type hasher struct {
	key   []byte
	open  func(postern.Sealed) ([]byte, error)
	probe func(postern.Sealed)
	text  []byte
}

// sum is a record's hash. The part is in it, so that a record that turns up in
// another one is found by both.
func (h *hasher) sum(part int, record any) ([sha256.Size]byte, error) {
	w := writing{text: append(append(h.text[:0], h.key...), byte(part)), open: h.open, probe: h.probe}
	// A kept answer is a sealed value under a plain type.
	if r, ok := record.(*store.MovedRecord); ok {
		record = &movedRecord{r.Application, r.Scope, r.Digest, r.Message, r.Status, postern.Sealed(r.Answer)}
	}
	// Of the catalogue every driver keeps JSON, where nil and empty differ, as they
	// do in meaning.
	w.exact = part <= tombstones
	w.value(reflect.ValueOf(record))
	h.text = w.text
	return sha256.Sum256(w.text), w.err
}

// movedRecord is a store.MovedRecord, its answer under the type of what is sealed.
type movedRecord struct {
	Application postern.ApplicationNumber
	Scope       store.Scope
	Digest      store.Digest
	Message     postern.MessageID
	Status      int
	Answer      postern.Sealed
}

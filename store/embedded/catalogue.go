package embedded

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// Catalogue records are JSON: they are few, written by hand, and worth being
// read by eye in a broken store.

// recordName is where a record of the catalogue lies.
func recordName(k []byte, record any) ([]byte, error) {
	switch r := record.(type) {
	case *postern.Application:
		return catalogueKey(k, recordApplication, r.Number, nil), nil
	case *postern.EventType:
		return catalogueKey(k, recordEventType, 0, []byte(r.Name)), nil
	case *postern.Endpoint:
		return catalogueKey(k, recordEndpoint, r.Application, binary.BigEndian.AppendUint32(nil, uint32(r.Number))), nil
	case *postern.Source:
		return catalogueKey(k, recordSource, r.Application, r.ID[:]), nil
	case *postern.Key:
		return catalogueKey(k, recordKey, r.Application, r.ID[:]), nil
	case *postern.Replay:
		return catalogueKey(k, recordReplay, r.Application, r.ID[:]), nil
	}
	return nil, fmt.Errorf("embedded: no record of the catalogue: %T", record)
}

// change puts or deletes a record. What hangs on it goes with it.
func (s *Store) change(p *putter, c *store.Change) error {
	if c.Put != nil {
		key, err := recordName(nil, c.Put)
		if err != nil {
			return err
		}
		value, err := json.Marshal(c.Put)
		if err != nil {
			return err
		}
		p.put(key, value)
		return nil
	}
	key, err := recordName(nil, c.Delete)
	if err != nil {
		return err
	}
	p.delete(key)
	switch r := c.Delete.(type) {
	case *postern.Endpoint:
		p.delete(endpointKey(p.w.key[:0], kindHealth, r.Number))
	case *postern.Source:
		for _, kind := range [...]byte{kindRefusal, kindRefusalBody} {
			prefix := append([]byte{kind}, r.ID[:]...)
			p.deleteRange(prefix, after(prefix))
		}
	case *postern.Application:
		return s.deleteApplication(p, r.Number)
	}
	return nil
}

// deleteApplication removes what belongs to an application, in the catalogue
// and in the history of all days there are, and leaves a tombstone. Rows,
// behind rows and its endpoints' attempt lists stay: lanes meet the first two
// and end them, the last name attempts that are gone, and go with their day.
func (s *Store) deleteApplication(p *putter, app postern.ApplicationNumber) error {
	for _, record := range [...]byte{recordEndpoint, recordSource, recordKey, recordReplay} {
		if err := s.deleteOwned(p, catalogueKey(nil, record, app, nil)); err != nil {
			return err
		}
	}
	for _, part := range [...]struct {
		kind byte
		// bucket is the width of what stands between kind and application.
		bucket int
	}{{kindHeader, 4}, {kindDead, 4}, {kindContent, 8}, {kindAttempt, 8}} {
		if err := s.deleteHistory(p, part.kind, part.bucket, app); err != nil {
			return err
		}
	}
	p.put(tombstoneKey(p.w.key[:0], app), nil)
	return nil
}

// deleteOwned deletes all records of one kind that an application owns, one by
// one, each with what hangs on it.
func (s *Store) deleteOwned(p *putter, prefix []byte) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return err
	}
	for it.First(); it.Valid() && err == nil; it.Next() {
		var record any
		if record, err = decodeRecord(it.Key(), it.Value()); err == nil {
			err = s.change(p, &store.Change{Delete: record})
		}
	}
	if closing := it.Close(); err == nil {
		err = closing
	}
	return err
}

// deleteHistory deletes an application's part of each bucket that it has one
// in, leaping from bucket to bucket.
func (s *Store) deleteHistory(p *putter, kind byte, bucket int, app postern.ApplicationNumber) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; {
		key := it.Key()
		prefix := append([]byte(nil), key[:1+bucket]...)
		own := appendApp(prefix, app)
		switch owner := postern.ApplicationNumber(binary.BigEndian.Uint32(key[1+bucket:])); {
		case owner < app:
			ok = it.SeekGE(own)
			continue
		case owner == app:
			p.deleteRange(own, after(own))
		}
		ok = it.SeekGE(after(prefix))
	}
	return it.Close()
}

// Load implements store.Catalogue.
func (s *Store) Load(_ context.Context, fn func(record any) error) (err error) {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.close(&err)
	it, err := v.keys(kindCatalogue)
	if err != nil {
		return err
	}
	for it.First(); it.Valid(); it.Next() {
		record, err := decodeRecord(it.Key(), it.Value())
		if err != nil {
			return err
		}
		if err := fn(record); err != nil {
			return err
		}
	}
	return v.loadHealth(fn)
}

func (v *view) loadHealth(fn func(record any) error) error {
	it, err := v.keys(kindHealth)
	if err != nil {
		return err
	}
	for it.First(); it.Valid(); it.Next() {
		health, err := decodeHealth(it.Value())
		if err != nil {
			return err
		}
		endpoint := postern.EndpointNumber(binary.BigEndian.Uint32(it.Key()[1:]))
		if err := fn(store.HealthChange{Endpoint: endpoint, Health: health}); err != nil {
			return err
		}
	}
	return nil
}

func decodeRecord(key, value []byte) (any, error) {
	var record any
	switch key[1] {
	case recordApplication:
		record = &postern.Application{}
	case recordEventType:
		record = &postern.EventType{}
	case recordEndpoint:
		record = &postern.Endpoint{}
	case recordSource:
		record = &postern.Source{}
	case recordKey:
		record = &postern.Key{}
	case recordReplay:
		record = &postern.Replay{}
	default:
		return nil, fmt.Errorf("%w: record kind %q", errCorrupt, key[1])
	}
	if err := json.Unmarshal(value, record); err != nil {
		return nil, fmt.Errorf("embedded: catalogue record: %w", err)
	}
	return record, nil
}

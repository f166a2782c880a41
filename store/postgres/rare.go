package postgres

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// rare is what most batches have nothing of, as JSON for postern_commit_rare.
// Each list but the first names a key once: a statement that works on sets cannot
// tell which of two comes later. The names of the fields are those of the tables'
// columns, which the function reads them into.
type rare struct {
	// Routing: one of the changes decides where messages go, or who may do what.
	Routing      bool           `json:"routing,omitempty"`
	Changes      []jsonChange   `json:"changes,omitempty"`
	Revived      []jsonPlaced   `json:"revived,omitempty"`
	Dead         []jsonPlaced   `json:"dead,omitempty"`
	Finals       []jsonFinal    `json:"finals,omitempty"`
	Ahead        []jsonEndpoint `json:"ahead,omitempty"`
	Behind       []jsonBehind   `json:"behind,omitempty"`
	Healthy      []jsonEndpoint `json:"healthy,omitempty"`
	Health       []jsonHealth   `json:"health,omitempty"`
	Refusals     []jsonRefusal  `json:"refusals,omitempty"`
	Expunged     []jsonPlaced   `json:"expunged,omitempty"`
	Rewrite      []jsonRewrite  `json:"rewrite,omitempty"`
	DropRefusals []jsonRefused  `json:"drop_refusals,omitempty"`
	DropDay      store.Day      `json:"drop_day,omitempty"`
}

type (
	// jsonChange puts a record of the catalogue, or deletes it where Record is empty:
	// then Health names the endpoint, Refusals the source and History the
	// application that goes with it. Used: a key was, and nothing of it has changed.
	jsonChange struct {
		Kind        string `json:"kind"`
		Application uint32 `json:"application"`
		Name        octets `json:"name"`
		Record      octets `json:"record,omitempty"`
		Used        bool   `json:"used,omitempty"`
		Health      uint32 `json:"health,omitempty"`
		Refusals    octets `json:"refusals,omitempty"`
		History     uint32 `json:"history,omitempty"`
	}
	jsonEndpoint struct {
		Endpoint uint32 `json:"endpoint"`
	}
	// jsonPlaced names a delivery with its day, or a message where Endpoint is 0.
	jsonPlaced struct {
		Day         int64  `json:"day"`
		Application uint32 `json:"application"`
		Endpoint    uint32 `json:"endpoint"`
		Message     octets `json:"message"`
	}
	jsonFinal struct {
		jsonPlaced
		State    postern.State `json:"state"`
		Reason   string        `json:"reason"`
		Attempts int           `json:"attempts"`
		At       int64         `json:"at_us"`
	}
	// jsonBehind is a behind row; the function knows the journal.
	jsonBehind struct {
		jsonEndpoint
		Application uint32 `json:"application"`
		From        octets `json:"from_id"`
	}
	jsonHealth struct {
		jsonEndpoint
		FailingSince int64  `json:"failing_since_us"`
		Disabled     string `json:"disabled"`
		DisabledAt   int64  `json:"disabled_at_us"`
		Failures     int    `json:"failures"`
	}
	// jsonRefused names a refusal.
	jsonRefused struct {
		Source octets `json:"source"`
		ID     octets `json:"id"`
	}
	jsonRefusal struct {
		jsonRefused
		Reason      string `json:"reason"`
		Detail      string `json:"detail"`
		Request     octets `json:"request"`
		ContentType string `json:"content_type"`
		Truncated   bool   `json:"truncated"`
		Credentials octets `json:"credentials,omitempty"`
		Body        octets `json:"body"`
	}
	// jsonRewrite notes a day of which something was deleted for good.
	jsonRewrite struct {
		Day   int64 `json:"day"`
		First int64 `json:"first_ms"`
		Last  int64 `json:"last_ms"`
	}
)

// octets are bytes in the form that PostgreSQL reads a bytea from.
type octets []byte

// MarshalText implements encoding.TextMarshaler.
func (o octets) MarshalText() ([]byte, error) { return hex.AppendEncode([]byte(`\x`), o), nil }

// rareOf takes the rare parts of a batch; nil where there are none, as nearly
// always. What the lists name of days that are gone is left out.
func rareOf(b *store.Batch, dropped int64) (*rare, error) {
	if len(b.Changes)+len(b.Dead)+len(b.Finals)+len(b.Behind)+len(b.Health)+len(b.Refusals)+
		len(b.Expunged)+len(b.Redacted)+len(b.DropRefusals)+int(b.DropDay) == 0 {
		return nil, nil
	}
	r := &rare{DropDay: b.DropDay}
	// Changes alone keep their order, and what goes with a deleted record goes in it.
	for i := range b.Changes {
		c, err := changeOf(&b.Changes[i])
		if err != nil {
			return nil, err
		}
		if key, ok := b.Changes[i].Put.(*postern.Key); ok {
			// Keys do not change but for that. Where nothing is asked, there is no other node.
			c.Used = b.Version > 0 && !key.LastUsedAt.IsZero()
		}
		r.Routing = r.Routing || c.Kind != kindReplay && !c.Used
		r.Changes = append(r.Changes, c)
	}
	r.ended(b, dropped)
	for _, c := range last(b.Behind, func(c *store.BehindChange) postern.EndpointNumber { return c.Row.Endpoint }) {
		e := jsonEndpoint{uint32(c.Row.Endpoint)}
		if c.Delete {
			r.Ahead = append(r.Ahead, e)
			continue
		}
		r.Behind = append(r.Behind, jsonBehind{e, uint32(c.Row.Application), c.Row.From[:]})
	}
	for _, c := range last(b.Health, func(c *store.HealthChange) postern.EndpointNumber { return c.Endpoint }) {
		e, h := jsonEndpoint{uint32(c.Endpoint)}, c.Health
		if h == (postern.Health{}) {
			r.Healthy = append(r.Healthy, e)
			continue
		}
		r.Health = append(r.Health, jsonHealth{e, micros(h.FailingSince), clean(h.Disabled), micros(h.DisabledAt), h.Failures})
	}
	if err := r.refused(b); err != nil {
		return nil, err
	}
	r.expunged(b, dropped)
	return r, nil
}

// ended adds deliveries that ended without an attempt, and those dead.
func (r *rare) ended(b *store.Batch, dropped int64) {
	for _, c := range last(b.Dead, func(c *store.DeadChange) store.DeliveryKey { return c.Key }) {
		if dayOf(c.Key.Message) <= dropped {
			continue
		}
		if c.Delete {
			r.Revived = append(r.Revived, placedOf(c.Key))
			continue
		}
		r.Dead = append(r.Dead, placedOf(c.Key))
	}
	key := func(f *postern.Final) store.DeliveryKey {
		return store.DeliveryKey{Application: f.Application, Endpoint: f.Endpoint, Message: f.Message}
	}
	for _, f := range last(b.Finals, key) {
		if dayOf(f.Message) > dropped {
			r.Finals = append(r.Finals, jsonFinal{placedOf(key(f)), f.State, clean(string(f.Reason)), f.Attempts, micros(f.At)})
		}
	}
}

// refused adds refusals and those that go.
func (r *rare) refused(b *store.Batch) error {
	for _, in := range last(b.Refusals, func(r **postern.Refusal) [40]byte { return refusalKey(*r) }) {
		request, err := encodeRequest(&(*in).Request)
		if err != nil {
			return err
		}
		r.Refusals = append(r.Refusals, jsonRefusal{
			jsonRefused{(*in).Source[:], (*in).ID[:]}, clean((*in).Reason), clean((*in).Detail), request,
			clean((*in).ContentType), (*in).BodyTruncated, octets((*in).Credentials), (*in).Body,
		})
	}
	for _, in := range b.DropRefusals {
		r.DropRefusals = append(r.DropRefusals, jsonRefused{in.Source[:], in.ID[:]})
	}
	return nil
}

// expunged adds contents that go, and the days whose tables hold on to what was
// deleted.
func (r *rare) expunged(b *store.Batch, dropped int64) {
	days := map[int64]bool{}
	at := millis(b.Head.LastTime)
	note := func(day int64) {
		if !days[day] {
			days[day] = true
			r.Rewrite = append(r.Rewrite, jsonRewrite{day, at, at})
		}
	}
	for _, c := range b.Expunged {
		if day := dayOf(c.Message); day > dropped {
			r.Expunged = append(r.Expunged, jsonPlaced{day, uint32(c.Application), 0, c.Message[:]})
			note(day)
		}
	}
	for _, a := range b.Redacted {
		if day := dayOf(a.Message); day > dropped {
			note(day)
		}
	}
}

// last are the entries of a list that no later one of the same key replaces, in
// their order.
func last[T any, K comparable](list []T, key func(*T) K) []*T {
	if len(list) == 0 {
		return nil
	}
	at := make(map[K]int, len(list))
	kept := make([]*T, 0, len(list))
	for i := range list {
		k := key(&list[i])
		if n, ok := at[k]; ok {
			kept[n] = &list[i]
			continue
		}
		at[k] = len(kept)
		kept = append(kept, &list[i])
	}
	return kept
}

// placedOf adds the day, which is the message's.
func placedOf(d store.DeliveryKey) jsonPlaced {
	return jsonPlaced{dayOf(d.Message), uint32(d.Application), uint32(d.Endpoint), d.Message[:]}
}

// refusalKey tells refusals apart.
func refusalKey(r *postern.Refusal) (key [40]byte) {
	copy(key[:], r.Source[:])
	copy(key[20:], r.ID[:])
	return key
}

// changeOf writes a change of the catalogue, and what else goes with a record
// that is deleted.
func changeOf(c *store.Change) (jsonChange, error) {
	record := c.Put
	if record == nil {
		record = c.Delete
	}
	var out jsonChange
	switch r := record.(type) {
	case *postern.Application:
		out = jsonChange{Kind: kindApplication, Application: uint32(r.Number), History: uint32(r.Number)}
	case *postern.EventType:
		out = jsonChange{Kind: kindEventType, Name: octets(r.Name)}
	case *postern.Endpoint:
		out = jsonChange{Kind: kindEndpoint, Application: uint32(r.Application), Name: binary.BigEndian.AppendUint32(nil, uint32(r.Number)), Health: uint32(r.Number)}
	case *postern.Source:
		out = jsonChange{Kind: kindSource, Application: uint32(r.Application), Name: r.ID[:], Refusals: r.ID[:]}
	case *postern.Key:
		out = jsonChange{Kind: kindKey, Application: uint32(r.Application), Name: r.ID[:]}
	case *postern.Replay:
		out = jsonChange{Kind: kindReplay, Application: uint32(r.Application), Name: r.ID[:]}
	default:
		return out, fmt.Errorf("postgres: no record of the catalogue: %T", record)
	}
	if c.Put == nil {
		return out, nil
	}
	text, err := json.Marshal(c.Put)
	if err != nil {
		return out, err
	}
	// Nothing goes with a record that is put.
	out.Record, out.Health, out.Refusals, out.History = text, 0, nil, 0
	return out, nil
}

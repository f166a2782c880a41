package tail

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

const (
	// Settling is how old an id may be when what has it is stored, unless its node
	// stood still, or waited for a database that was away: a try of a batch lasts a
	// minute at most.
	Settling = 75 * time.Second
	// severalPrefix begins the text of a cursor of several journals.
	severalPrefix = "tail_"
	// maxPlaces bounds the journals that such a text may be of.
	maxPlaces = 1 << 10
)

// place is how far a client has come in one journal. Positions and batches tell
// that, and not the time in ids: what is stored late has an id that is older than
// what another node has stored meanwhile.
type place struct {
	journal uint16
	// message is the position of the last message; batch and index are those of
	// the last attempt.
	message, batch uint64
	index          uint16
	// since is a time of which, or later, all ids are that are still to come, in
	// Unix milliseconds: where to begin to look for them.
	since int64
}

// behind reports whether q has something that p has not.
func (p place) behind(q place) bool { return p.message < q.message || p.before(q) }

// before compares attempts alone.
func (p place) before(q place) bool {
	return cmp.Or(cmp.Compare(p.batch, q.batch), cmp.Compare(p.index, q.index)) < 0
}

// join is the later of two places in one journal.
func (p place) join(q place) place {
	p.message, p.since = max(p.message, q.message), max(p.since, q.since)
	if p.before(q) {
		p.batch, p.index = q.batch, q.index
	}
	return p
}

// Horizons is the cursor of who knows of everything up to the heads of several
// journals. open is until when, by the clock of ids, a journal's holder may have
// made an id that is not stored yet and can still be.
func Horizons(heads []store.Head, open func(journal uint16) time.Time) Cursor {
	c := Cursor{places: make([]place, 0, len(heads))}
	for _, head := range heads {
		since := max(open(head.Journal).Add(-Settling).UnixMilli(), 0)
		if !head.LastTime.IsZero() {
			since = max(since, head.LastTime.UnixMilli())
		}
		c.places = append(c.places, place{
			journal: head.Journal, message: max(head.Next, 1) - 1, batch: head.Batch, index: 0xffff, since: since,
		})
	}
	slices.SortFunc(c.places, byJournal)
	return c
}

// Like turns a cursor into one as a horizon is: of one journal or of several. It
// may be from before the store was shared, or after. What cannot be known is told
// again, from a little before the cursor on.
func (c Cursor) Like(horizon Cursor) Cursor {
	switch {
	case horizon.places != nil && c.places == nil:
		return Cursor{places: joined([]place{}, c.each())}
	case horizon.places == nil && c.places != nil:
		at := time.UnixMilli(max(c.latest()-Settling.Milliseconds(), 0))
		return Cursor{Message: postern.NewMessageID(at, 0, 0, 0), Attempt: postern.NewAttemptID(at, 0, 0, 0, 0)}
	}
	return c
}

// From is behind which ids of messages and of attempts there may be something that
// the cursor has not, up to a horizon; false for nothing.
func (c Cursor) From(horizon Cursor) (messages, attempts [20]byte, some bool) {
	if horizon.places == nil {
		return c.Message, c.Attempt, true
	}
	var from int64
	for _, to := range horizon.places {
		since, is := max(c.latest()-Settling.Milliseconds(), 0), to.batch > 0 // of a journal that was not there yet
		if p, ok := c.of(to.journal); ok {
			since, is = p.since, p.behind(to)
		}
		if is && (!some || since < from) {
			from, some = since, true
		}
	}
	id := postern.NewMessageID(time.UnixMilli(from), 0, 0, 0)
	return id, id, some
}

// Settle moves on where to begin to look for what is to come in journals of which
// there is nothing that the cursor has not, and reports whether that is now so
// recent as it is to be everywhere.
func (c *Cursor) Settle(horizon Cursor, recent time.Duration) bool {
	quiet := make([]place, 0, len(horizon.places))
	for _, to := range horizon.places {
		if p, ok := c.of(to.journal); ok && !p.behind(to) {
			quiet = append(quiet, to)
		}
	}
	c.places = joined(c.places, quiet)
	from, _, some := c.From(horizon)
	return !some || postern.MessageID(from).Time().UnixMilli() >= horizon.latest()-recent.Milliseconds()
}

// each is the cursor as places; of an event or a cursor of one journal those that
// its ids are.
func (c Cursor) each() []place {
	if c.places != nil {
		return c.places
	}
	var list []place
	if m := c.Message; !m.IsZero() {
		list = append(list, place{journal: m.Journal(), message: m.Position(), since: m.Time().UnixMilli()})
	}
	if a := c.Attempt; !a.IsZero() {
		p := place{journal: a.Journal(), batch: a.Position(), index: binary.BigEndian.Uint16(a[14:16]), since: a.Time().UnixMilli()}
		list = joined(list, []place{p})
	}
	return list
}

// behind reports whether a place is beyond the cursor.
func (c Cursor) behind(to place) bool {
	p, ok := c.of(to.journal)
	return !ok || p.behind(to)
}

// of is the cursor's place in a journal.
func (c Cursor) of(journal uint16) (place, bool) {
	at, ok := slices.BinarySearchFunc(c.places, place{journal: journal}, byJournal)
	if !ok {
		return place{}, false
	}
	return c.places[at], true
}

// latest is the newest time of all places.
func (c Cursor) latest() (ms int64) {
	for i := range c.places {
		ms = max(ms, c.places[i].since)
	}
	return ms
}

// joined is a new list of the later of two lists' places.
func joined(list, with []place) []place {
	list = slices.Clone(list)
	for _, p := range with {
		at, ok := slices.BinarySearchFunc(list, p, byJournal)
		if ok {
			list[at] = list[at].join(p)
		} else {
			list = slices.Insert(list, at, p)
		}
	}
	return list
}

func byJournal(p, q place) int { return cmp.Compare(p.journal, q.journal) }

// text packs the places: the latest time, and for each journal its number, the
// place, and how much earlier its time is; some fifteen bytes in base64.
func (c Cursor) text() string {
	latest := c.latest()
	b := binary.AppendUvarint(nil, uint64(latest))
	for _, p := range c.places {
		b = binary.AppendUvarint(b, uint64(p.journal))
		b = binary.AppendUvarint(b, p.message)
		b = binary.AppendUvarint(b, p.batch)
		b = binary.AppendUvarint(b, uint64(p.index+1)) // a horizon's is the last
		b = binary.AppendUvarint(b, uint64(latest-p.since))
	}
	return severalPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// parsePlaces reads what text writes, and nothing else.
func parsePlaces(text, packed string) (Cursor, error) {
	invalid := &postern.Error{Kind: postern.Invalid, Detail: "not a place in a tail"}
	b, err := base64.RawURLEncoding.DecodeString(packed)
	if err != nil {
		return Cursor{}, invalid
	}
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		b = b[max(n, 0):]
		if n <= 0 {
			b = nil
		}
		return v
	}
	latest := next()
	c := Cursor{places: []place{}}
	for len(b) > 0 && len(c.places) < maxPlaces {
		c.places = append(c.places, place{
			journal: uint16(next()), message: next(), batch: next(), index: uint16(next()) - 1, since: int64(latest - next()),
		})
	}
	if latest > 1<<48-1 || !c.sound() || c.text() != text {
		return Cursor{}, invalid
	}
	return c, nil
}

// sound reports whether the places are in order, and of times that there are.
func (c Cursor) sound() bool {
	for i, p := range c.places {
		if p.since < 0 || i > 0 && p.journal <= c.places[i-1].journal {
			return false
		}
	}
	return true
}

package engine

import (
	"encoding/json"
	"maps"
	"sync/atomic"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// shares divides the rate limits of endpoints over the journals that are held, in
// proportion to what each has to send. A journal uses what it has claimed: its
// lease says how much, and nobody else uses that. A smaller
// share holds at once, and is said later. For a larger one the claim is said first,
// as far as the others leave room; when the table of leases shows it, together with
// claims that come to no more than the whole, it is used, else taken back. Of two
// who claim the same room at the same time at least one sees both. So the sum never
// exceeds a limit, and who is gone keeps its own until its lease is over. Who comes
// back after that begins with nothing: it is others' by then.
//
// It has one user, but for of.
type shares struct {
	table atomic.Pointer[table]
	// own are those of the journals that are held here.
	own map[shareKey]share
	// said counts what the leases were to say.
	said uint64
}

// table is what is used, and until when what a journal uses is its own: the end of
// its lease, as others see it.
type table struct {
	used  map[shareKey]float64
	until map[uint16]time.Time
}

// rest stands for all endpoints that a word does not name.
const rest postern.EndpointNumber = 0

const (
	// evenPart is the part of a rate that is divided evenly, whatever the demand:
	// who has none yet can begin.
	evenPart = 0.1
	// leastGrowth is what a share has to grow by to be worth a claim.
	leastGrowth = 0.01
)

type shareKey struct {
	journal  uint16
	endpoint postern.EndpointNumber
}

// share is a part of a rate, from 0 to 1: what is used of it, and what is claimed.
type share struct {
	used, claimed float64
	// said is the number of the words that were the first with the claim.
	said uint64
}

// word is what a journal's lease says of an endpoint's rate.
type word struct {
	// Demand is in deliveries a second, Claim the share.
	Demand float64 `json:"d,omitempty"`
	Claim  float64 `json:"c"`
	// Said is the words' number, with rest alone. Those that the table shows can be
	// older than what is on its way to it.
	Said uint64 `json:"n,omitempty"`
}

// words are those of one lease.
type words map[postern.EndpointNumber]word

// claim is what the journal claims of an endpoint's rate.
func (w words) claim(n postern.EndpointNumber) float64 {
	if said, ok := w[n]; ok {
		return said.Claim
	}
	return w[rest].Claim
}

// parseWords reads what a lease says; nothing where nobody has said anything yet.
func parseWords(text []byte) words {
	var w words
	if json.Unmarshal(text, &w) != nil {
		return words{rest: {Claim: 1}} // of a version that says it otherwise: leave it alone
	}
	return w
}

// of is a journal's share of an endpoint's rate at a moment. It is safe for
// concurrent use.
func (s *shares) of(journal uint16, n postern.EndpointNumber, now time.Time) float64 {
	t := s.table.Load()
	if t == nil || !now.Before(t.until[journal]) {
		return 0
	}
	if used, ok := t.used[shareKey{journal, n}]; ok {
		return used
	}
	return t.used[shareKey{journal, rest}]
}

// divide follows the leases of all, and returns what each own journal is to say,
// given what it has to send.
func (s *shares) divide(leases []store.Lease, demand map[uint16]map[postern.EndpointNumber]float64, now time.Time) map[uint16]words {
	said := make(map[uint16]words, len(leases)) // of those that are held
	next := &table{used: make(map[shareKey]float64), until: make(map[uint16]time.Time, len(demand))}
	for i := range leases {
		if l := &leases[i]; l.Held(now) {
			said[l.Journal] = parseWords(l.Word)
			next.until[l.Journal] = l.Expires
		}
	}
	s.said++
	s.lapse(now)
	own := make(map[shareKey]share)
	for journal, wants := range demand {
		for n := range s.known(said, wants) {
			own[shareKey{journal, n}] = s.follow(journal, n, wants, said)
		}
	}
	s.own = own
	say := make(map[uint16]words, len(demand))
	for journal := range demand {
		say[journal] = make(words)
	}
	for key, share := range own {
		next.used[key] = share.used
		w := word{Demand: demand[key.journal][key.endpoint], Claim: share.claimed}
		if key.endpoint == rest {
			w.Said = s.said
		}
		say[key.journal][key.endpoint] = w
	}
	s.table.Store(next)
	return say
}

// lapse forgets the shares of journals whose lease may have run out since the last
// look, though it holds again.
func (s *shares) lapse(now time.Time) {
	last := s.table.Load()
	maps.DeleteFunc(s.own, func(key shareKey, _ share) bool { return !now.Before(last.until[key.journal]) })
}

// known are the endpoints of which there is something to say, and the rest. What
// stands for an endpoint as for the rest is not said of it: else nobody would ever
// forget one that is gone.
func (s *shares) known(said map[uint16]words, wants map[postern.EndpointNumber]float64) map[postern.EndpointNumber]struct{} {
	all := map[postern.EndpointNumber]struct{}{rest: {}}
	for _, w := range said {
		for n, of := range w {
			if of.Demand > 0 || of.Claim != w[rest].Claim {
				all[n] = struct{}{}
			}
		}
	}
	for n, wanted := range wants {
		if wanted > 0 {
			all[n] = struct{}{}
		}
	}
	for key, share := range s.own {
		if other := s.own[shareKey{key.journal, rest}]; share.used != other.used || share.claimed != other.claimed {
			all[key.endpoint] = struct{}{}
		}
	}
	return all
}

// follow is a share after a look at the table.
func (s *shares) follow(journal uint16, n postern.EndpointNumber, wants map[postern.EndpointNumber]float64, said map[uint16]words) share {
	own, ok := s.own[shareKey{journal, n}]
	if !ok {
		own = s.own[shareKey{journal, rest}]
		own.claimed = own.used
	}
	mine, held := said[journal]
	others, total := 0.0, wants[n]
	for other, w := range said {
		if other != journal {
			others += w.claim(n)
			total += w[n].Demand
		}
	}
	if own.claimed > own.used && held && mine[rest].Said >= own.said {
		if others+own.claimed > 1 {
			own.claimed = own.used // somebody claimed it at the same time
			return own
		}
		own.used = own.claimed
	}
	target, least := 1/float64(max(1, len(said))), leastGrowth
	switch {
	case total > 0:
		target = evenPart*target + (1-evenPart)*wants[n]/total
	case n != rest:
		target, least = s.own[shareKey{journal, rest}].used, 0 // to be forgotten
	}
	switch room := min(target, 1-others); {
	case target < own.used:
		own.used, own.claimed = target, target
	case own.claimed == own.used && room > own.used+least:
		own.claimed, own.said = room, s.said
	}
	return own
}

// claims sums up what is claimed: it changes with each claim, for all that matters.
func (w words) claims() (sum uint64) {
	for n, said := range w {
		sum += uint64(said.Claim*1e6) * uint64(n+1)
	}
	return sum
}

// Package route decides which endpoints a message goes to.
//
// A Table is an immutable picture of one application's endpoints. Making one
// is a matter of keeping a slice, because it happens at every change of an
// endpoint; what makes matching fast is built when the first message comes.
//
// The endpoints that match an event type depend only on the most specific
// filter entry that covers it: an exact name, else the longest pattern, else
// none. So there is one list of endpoints for each entry in use, worked out
// once, however many event types are published: publishing costs a few map
// lookups and allocates nothing.
//
// The package is pure: it reads no clock, writes no log and blocks on nothing.
package route

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/postern-dev/postern"
)

// Table matches messages against the endpoints of one application. It is safe
// for concurrent use. The nil Table matches nothing.
type Table struct {
	endpoints []*postern.EndpointView
	once      sync.Once
	index     index
}

// index holds the lists of endpoints by the entry that selects them.
type index struct {
	all *node
	// exact is keyed by event type, prefixes by a pattern without its "*".
	exact, prefixes nodes
}

// maxFew is how many nodes are searched one by one. Most applications have no
// more, and maps would be most of what their tables cost.
const maxFew = 8

// nodes finds a node by its key.
type nodes struct {
	few  []keyed
	many map[string]*node // all of them, once they are more than few
}

type keyed struct {
	key  string
	node *node
}

// node is the endpoints that one filter entry selects.
type node struct {
	// selected have the entry in their filter; in no particular order, and
	// twice if they name it twice.
	selected []*postern.EndpointView
	// wider is the longest pattern that covers whatever this entry covers; nil
	// above the endpoints without a filter.
	wider *node

	// What follows from both, worked out at first use.
	once sync.Once
	// open take messages of any channels; narrowed only those of their own.
	// Both ascend by number.
	open     []postern.EndpointNumber
	narrowed []*postern.EndpointView
}

// New makes a table of an application's endpoints in any order. Those that are
// not Enabled match nothing. The slice belongs to the table from now on.
func New(endpoints []*postern.EndpointView) *Table {
	return &Table{endpoints: endpoints}
}

// With is a table of one endpoint more; t may be nil. Both share memory, so that
// nothing is copied as a rule: With is called at most once for each table.
func (t *Table) With(endpoint *postern.EndpointView) *Table {
	if t == nil {
		return New([]*postern.EndpointView{endpoint})
	}
	return New(append(t.endpoints, endpoint))
}

// Match lists the endpoints that a message goes to, in ascending order. The
// slice may be shared: it must not be changed. The first call builds the index,
// and the first for a filter entry its list; others that come meanwhile wait
// for it rather than doing the same.
func (t *Table) Match(eventType string, channels []string) []postern.EndpointNumber {
	if t == nil || len(t.endpoints) == 0 {
		return nil
	}
	t.once.Do(func() { t.index = buildIndex(t.endpoints) })
	n := t.index.find(eventType)
	n.once.Do(n.resolve)
	if len(channels) == 0 || len(n.narrowed) == 0 {
		return n.open
	}
	return n.withChannels(channels)
}

// find returns the node of the most specific entry that covers an event type.
func (x *index) find(eventType string) *node {
	if n := x.exact.get(eventType); n != nil {
		return n
	}
	return x.widerThan(eventType)
}

// widerThan returns the node of the longest pattern that covers name and is
// not name itself. Applied to a prefix such as "invoice.paid." it finds
// "invoice.": a trailing dot has no part behind it.
func (x *index) widerThan(name string) *node {
	if len(x.prefixes.few) == 0 {
		return x.all
	}
	for end := len(name) - 1; end > 0; {
		dot := strings.LastIndexByte(name[:end], '.')
		if n := x.prefixes.get(name[:dot+1]); n != nil {
			return n
		}
		end = dot
	}
	if n := x.prefixes.get(""); n != nil && name != "" {
		return n
	}
	return x.all
}

// withChannels adds the narrowed endpoints that want one of the channels.
func (n *node) withChannels(channels []string) []postern.EndpointNumber {
	// Clipped, so that the first append copies and leaves the shared list alone.
	matched := slices.Clip(n.open)
	for _, e := range n.narrowed {
		if intersects(e.Channels, channels) {
			matched = append(matched, e.Number)
		}
	}
	if len(matched) > len(n.open) {
		slices.Sort(matched)
	}
	return matched
}

// resolve works out what the node and all wider ones select together.
func (n *node) resolve() {
	var all []*postern.EndpointView
	for from := n; from != nil; from = from.wider {
		all = append(all, from.selected...)
	}
	slices.SortFunc(all, func(a, b *postern.EndpointView) int { return cmp.Compare(a.Number, b.Number) })
	for _, e := range slices.Compact(all) {
		if len(e.Channels) == 0 {
			n.open = append(n.open, e.Number)
		} else {
			n.narrowed = append(n.narrowed, e)
		}
	}
}

func buildIndex(endpoints []*postern.EndpointView) index {
	x := index{all: &node{}}
	for _, e := range endpoints {
		if e.Enabled() {
			x.add(e)
		}
	}
	for name, n := range x.exact.each() {
		n.wider = x.widerThan(name)
	}
	for prefix, n := range x.prefixes.each() {
		n.wider = x.all
		if prefix != "" {
			n.wider = x.widerThan(prefix)
		}
	}
	return x
}

func (x *index) add(e *postern.EndpointView) {
	if len(e.EventTypes) == 0 {
		x.all.selected = append(x.all.selected, e)
	}
	for _, entry := range e.EventTypes {
		in := &x.exact
		prefix, pattern := cutWildcard(entry)
		if pattern {
			in = &x.prefixes
		}
		n := in.get(prefix)
		if n == nil {
			n = &node{}
			in.put(prefix, n)
		}
		n.selected = append(n.selected, e)
	}
}

func (s *nodes) get(key string) *node {
	if s.many != nil {
		return s.many[key]
	}
	for i := range s.few {
		if s.few[i].key == key {
			return s.few[i].node
		}
	}
	return nil
}

// put adds a node under a new key.
func (s *nodes) put(key string, n *node) {
	if s.many == nil && len(s.few) == maxFew {
		s.many = make(map[string]*node, 2*maxFew)
		for _, k := range s.few {
			s.many[k.key] = k.node
		}
	}
	if s.many != nil {
		s.many[key] = n
		return
	}
	s.few = append(s.few, keyed{key, n})
}

// each walks all nodes in no particular order.
func (s *nodes) each() iter.Seq2[string, *node] {
	if s.many != nil {
		return maps.All(s.many)
	}
	return func(yield func(string, *node) bool) {
		for _, k := range s.few {
			if !yield(k.key, k.node) {
				return
			}
		}
	}
}

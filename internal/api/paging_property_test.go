package api_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/internal/testkit"
)

// TestSoakPaging walks all lists at once, forth and back, page by page, while
// entries come and go and commits are held up. What was acknowledged before a
// walk began and stays is met exactly once, nothing is met twice, the order
// holds, and what is not durable is not shown. Who goes on from the end of a
// history meets everything that ever comes.
func TestSoakPaging(t *testing.T) {
	seed := testkit.Seed(t)
	for i := range testkit.Count(2, 200) {
		p := &paging{server: newServer(t), r: rand.New(rand.NewPCG(seed, uint64(i))), run: fmt.Sprintf("seed %d run %d", seed, i)}
		p.lists = p.server.lists()
		for _, l := range p.lists {
			p.begin(l)
		}
		for range 400 {
			p.step()
			if t.Failed() {
				t.Fatalf("%s: after %v", p.run, p.trace[max(0, len(p.trace)-20):])
			}
		}
		p.end()
		if t.Failed() {
			return
		}
	}
}

// TestEveryListIsWalked: a new operation that pages has to be among server.lists.
func TestEveryListIsWalked(t *testing.T) {
	s := newServer(t)
	lists := s.lists()
	paths, _ := s.do("GET", "/openapi.json", "")["paths"].(map[string]any)
	variable, paging := regexp.MustCompile(`\{\w+\}`), 0
	for path, item := range paths {
		methods, _ := item.(map[string]any)
		read, _ := methods["get"].(map[string]any)
		parameters, _ := read["parameters"].([]any)
		if !slices.ContainsFunc(parameters, func(p any) bool { return p.(map[string]any)["name"] == "iterator" }) {
			continue
		}
		paging++
		pattern := regexp.MustCompile("^" + variable.ReplaceAllString(strings.TrimPrefix(path, "/api/v1"), "[^/]+") + "$")
		if !slices.ContainsFunc(lists, func(l *list) bool { base, _, _ := strings.Cut(l.path, "?"); return pattern.MatchString(base) }) {
			t.Errorf("nobody walks %s", path)
		}
	}
	if paging < 15 {
		t.Errorf("the document has %d lists only", paging)
	}
}

// paging is one run.
type paging struct {
	*server
	r     *rand.Rand
	run   string
	lists []*list
	walks []*walk
	added map[*list][]string
	names int
	trace []string
}

// walk is one pass over a list, forth to its end and then back, or for ever.
type walk struct {
	p          *paging
	l          *list
	descending bool
	follows    bool
	back       bool
	// at is the iterator to go on with, first the one to turn back with.
	at, first string
	// must is what the walk has to meet still.
	must map[string]bool
	seen []string
}

// begin starts a walk: what is there now has to be met.
func (p *paging) begin(l *list) {
	w := &walk{p: p, l: l, descending: p.r.IntN(2) == 0, must: map[string]bool{}}
	if w.follows = l.follows && p.r.IntN(2) == 0; w.follows {
		w.descending = false
	}
	for _, key := range p.all(l, w.descending) {
		w.must[key] = true
	}
	p.walks = append(p.walks, w)
}

// all reads a list in one page.
func (p *paging) all(l *list, descending bool) []string {
	keys, page := p.page(l, descending, 250, "")
	if page["done"] != true {
		p.t.Fatalf("%s: %s does not fit one page", p.run, l.path)
	}
	return keys
}

// page reads a page and the keys in it.
func (p *paging) page(l *list, descending bool, limit int, iterator string) ([]string, map[string]any) {
	separator, order := "?", "ascending"
	if strings.Contains(l.path, "?") {
		separator = "&"
	}
	if descending {
		order = "descending"
	}
	page := p.do("GET", fmt.Sprintf("%s%sorder=%s&limit=%d&iterator=%s", l.path, separator, order, limit, iterator), "")
	entries, _ := page["data"].([]any)
	keys := make([]string, 0, len(entries))
	for _, entry := range entries {
		fields, _ := entry.(map[string]any)
		if l.key != nil {
			keys = append(keys, l.key(fields))
		} else {
			keys = append(keys, text(fields, "id"))
		}
	}
	return keys, page
}

// step does one thing.
func (p *paging) step() {
	l := anyOf(p.r, p.lists)
	switch n := p.r.IntN(20); {
	case n < 4 && l.insert != nil:
		p.trace = append(p.trace, "insert "+l.path)
		p.acknowledge(l, l.insert(p.name()))
	case n < 7 && l.remove != nil:
		p.remove(l)
	case n < 8 && l.insert != nil:
		p.trace = append(p.trace, "delayed "+l.path)
		p.delayed(l)
	default:
		w := anyOf(p.r, p.walks)
		p.trace = append(p.trace, fmt.Sprintf("page %s%s back %v", w.l.path, w.at, w.back))
		w.take()
	}
}

// name is one that nothing has yet, anywhere in the order.
func (p *paging) name() string {
	p.names++
	return fmt.Sprintf("%c%d", 'a'+rune(p.r.IntN(26)), p.names)
}

// acknowledge notes what was added.
func (p *paging) acknowledge(l *list, key string) {
	if key == "" {
		return
	}
	if !slices.Contains(p.all(l, true), key) {
		p.t.Errorf("%s: %s is acknowledged and not in %s", p.run, key, l.path)
	}
	if p.added == nil {
		p.added = map[*list][]string{}
	}
	p.added[l] = append(p.added[l], key)
}

// remove deletes something; from then on nobody has to meet it.
func (p *paging) remove(l *list) {
	var key string
	switch added := p.added[l]; {
	case len(l.removable) > 0:
		key = anyOf(p.r, slices.Sorted(maps.Keys(l.removable)))
		delete(l.removable, key)
	case len(added) > 0:
		at := p.r.IntN(len(added))
		for _, w := range p.walks { // best what a walk goes on from
			if last := len(w.seen) - 1; w.l == l && last >= 0 && slices.Contains(added, w.seen[last]) {
				at = slices.Index(added, w.seen[last])
			}
		}
		key = added[at]
		p.added[l] = slices.Delete(added, at, at+1)
	default:
		return
	}
	p.trace = append(p.trace, "delete "+key)
	for _, w := range p.walks {
		for due := range w.must {
			if due == key || strings.HasSuffix(due, "."+key) { // with an endpoint go its deliveries
				delete(w.must, due)
			}
		}
	}
	l.remove(key)
}

// delayed has two writers add to a list whose commits are held up while its
// walks go on. Until they are let go, nobody may be shown anything new.
func (p *paging) delayed(l *list) {
	known := p.all(l, true)
	reached, release := p.disk.hold()
	var writers, readers sync.WaitGroup
	keys := make([]string, 2)
	for i := range keys {
		name := p.name()
		writers.Go(func() { keys[i] = l.insert(name) })
	}
	written := make(chan struct{})
	go func() { writers.Wait(); close(written) }()
	select {
	case <-reached:
	case <-written:
		p.t.Errorf("%s: two were added to %s without a sync", p.run, l.path)
	}
	var released atomic.Bool
	for range 2 {
		descending, limit := p.r.IntN(2) == 0, 1+p.r.IntN(250)
		readers.Go(func() {
			shown, _ := p.page(l, descending, limit, "")
			early := !released.Load()
			for _, key := range shown {
				if early && !slices.Contains(known, key) {
					p.t.Errorf("%s: %s shows %s, which is not durable", p.run, l.path, key)
				}
			}
		})
	}
	for _, w := range p.walks {
		if w.l == l && l.memory { // others wait for the commit
			w.take()
		}
	}
	if l.memory {
		readers.Wait()
	}
	for range 2000 { // time enough for who does not wait, as those should
		runtime.Gosched()
	}
	released.Store(true)
	release()
	<-written
	readers.Wait()
	for _, key := range keys {
		p.acknowledge(l, key)
	}
}

// take reads the walk's next page.
func (w *walk) take() {
	keys, page := w.p.page(w.l, w.descending, 1+w.p.r.IntN(4), w.at)
	if w.back {
		slices.Reverse(keys)
	}
	for _, key := range keys {
		w.meet(key)
	}
	next := "iterator"
	if w.back {
		next = "prevIterator"
	}
	if len(keys) > 0 || page["done"] != true {
		w.at = text(page, next)
		w.first = text(page, "prevIterator")
		if w.at == "" {
			w.p.t.Errorf("%s: a page of %s leads nowhere: %v", w.p.run, w.l.path, page)
		}
	}
	if page["done"] == true && !w.follows {
		w.finish()
	}
}

// meet checks an entry against what was met before.
func (w *walk) meet(key string) {
	if slices.Contains(w.seen, key) {
		w.p.t.Errorf("%s: %s meets %s twice: %v", w.p.run, w.l.path, key, w.seen)
	}
	if last := len(w.seen) - 1; last >= 0 && !w.l.unsorted && (w.seen[last] < key) == (w.descending != w.back) {
		w.p.t.Errorf("%s: %s has %s behind %s, descending %v back %v", w.p.run, w.l.path, key, w.seen[last], w.descending, w.back)
	}
	delete(w.must, key)
	w.seen = append(w.seen, key)
}

// finish ends a pass; the one that went forth is followed by one back from the
// last page it had, and that by a new one.
func (w *walk) finish() {
	for key := range w.must {
		w.p.t.Errorf("%s: %s missed %s, descending %v back %v: %v", w.p.run, w.l.path, key, w.descending, w.back, w.seen)
	}
	if w.back || w.first == "" || w.l.unsorted {
		w.p.walks = slices.DeleteFunc(w.p.walks, func(other *walk) bool { return other == w })
		w.p.begin(w.l)
		return
	}
	// first is where that page began, and the entry at it is not met again.
	start, _, _ := strings.Cut(strings.TrimPrefix(w.first, "-"), " ")
	w.back, w.at, w.seen = true, w.first, nil
	for _, key := range w.p.all(w.l, w.descending) {
		if key != start && (key < start) != w.descending {
			w.must[key] = true
		}
	}
}

// end goes on to where nothing comes any more. Who has followed a history from
// its start has met all of it, in its order.
func (p *paging) end() {
	for _, w := range slices.Clone(p.walks) {
		if !w.follows {
			continue
		}
		for range 3 * len(p.all(w.l, false)) {
			w.take()
		}
		want := p.all(w.l, false)
		met := slices.DeleteFunc(slices.Clone(w.seen), func(key string) bool { return !slices.Contains(want, key) })
		if diff := cmp.Diff(want, met); diff != "" {
			p.t.Errorf("%s: who followed %s met something else: %s", p.run, w.l.path, diff)
		}
	}
}

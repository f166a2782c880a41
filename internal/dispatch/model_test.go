package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/store"
	"github.com/postern-dev/postern/store/embedded"
	"github.com/postern-dev/postern/store/storetest"
)

// TestSoakModel takes the dispatcher through random steps: what publishers,
// endpoints, their owners, the clock, the disk and the scheduler may do, in any
// order, with the power gone at any point between two of them. An oracle knows
// what was promised.
func TestSoakModel(t *testing.T) {
	seed := testkit.Seed(t)
	for i := range testkit.Count(40, 3000) {
		if !runModel(t, seed, uint64(i)) {
			return
		}
	}
}

func runModel(t *testing.T, seed, run uint64) bool {
	synctest.Test(t, func(t *testing.T) {
		m := newModel(rand.New(rand.NewPCG(seed, run)), newCatalogue())
		defer func() {
			if t.Failed() {
				t.Logf("seed %d run %d:\n%s", seed, run, m.last(400))
			}
		}()
		m.run(t)
	})
	return !t.Failed()
}

// model is one run, or one journal's part in it.
type model struct {
	*rig
	r       *rand.Rand
	fs      *vfs.MemFS
	oracle  *oracle
	other   *model // of another journal of the node; nil for none
	batch   *batch // the one under way; nil between two
	stage   int    // how far it is
	told    int    // parts of it that were told
	refused bool   // it is to be amended
	held    lease
	ready   []Part // accepts that wait for a batch
	expiry  *expiry
	trace   []string
}

func newModel(r *rand.Rand, cat *catalogue) *model {
	m := &model{r: r, oracle: newOracle(), fs: vfs.NewCrashableMem(), rig: &rig{cat: cat}}
	m.cfg = Config{Places: 6, QueueLength: 4, MaxClaims: 9, Leased: m.held.end}
	return m
}

// last are so many lines of the trace, without those before.
func (m *model) last(lines int) string {
	return strings.Join(m.trace[max(0, len(m.trace)-lines):], "\n")
}

func (m *model) note(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
}

func (m *model) run(t *testing.T) {
	defer m.begin(t)()
	m.endpoints()
	for range 250 {
		m.step()
		m.watch()
		if t.Failed() {
			return
		}
	}
	m.heal()
	m.judge()
}

// begin starts the dispatcher on an empty store; end closes both.
func (m *model) begin(t *testing.T) (end func()) {
	m.t, m.st, m.head = t, &heldStore{Store: m.open(t)}, store.Head{Next: 1, Low: 1}
	m.held.renew(time.Hour)
	if m.byHand = m.r.IntN(2) == 0; m.byHand {
		m.cfg.Slice = 1
	}
	m.start()
	return func() {
		m.rig.end()
		if err := m.st.Close(); err != nil {
			t.Error(err)
		}
	}
}

// start makes a dispatcher, beside that of the other journal if there is one.
func (m *model) start() {
	m.cfg.Beside = nil
	if m.other != nil {
		m.cfg.Beside = m.other.d
	}
	m.rig.start()
}

// endpoints makes some of two applications.
func (m *model) endpoints() {
	for i := range 4 {
		m.endpoint(postern.ApplicationNumber(1+i%2), func(v *postern.EndpointView) {
			if i == 3 {
				v.Rate = 5
			}
		})
	}
}

func (m *model) open(t *testing.T) store.Store {
	st, err := embedded.Open(t.Context(), "file:data", embedded.Options{FS: m.fs, ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// step does one thing, chosen by weight.
func (m *model) step() {
	steps := []struct {
		weight int
		do     func()
	}{
		{8, m.accepted}, {30, m.advance}, {20, m.answer}, {6, m.wait},
		{6, m.hold}, {8, m.st.release}, {5, m.resend}, {5, m.cancel}, {3, m.replay},
		{3, m.configure}, {1, m.setClock}, {2, m.expire}, {1, m.crash}, {4, m.lease}, {25, func() { m.spread() }},
	}
	sum := 0
	for _, s := range steps {
		sum += s.weight
	}
	at := m.r.IntN(sum)
	for _, s := range steps {
		if at -= s.weight; at < 0 {
			s.do()
			break
		}
	}
	synctest.Wait()
}

// accepted has a message wait for the next batch.
func (m *model) accepted() {
	owner := postern.ApplicationNumber(1 + m.r.IntN(2))
	a := m.accept(m.routes(owner)...)
	a.m.Application = owner
	m.ready = append(m.ready, a)
}

// routes are some endpoints of an application.
func (m *model) routes(owner postern.ApplicationNumber) (routes []postern.EndpointNumber) {
	for _, n := range m.cat.numbers() {
		v := m.cat.EndpointByNumber(n)
		if v.Application == owner && v.Enabled() && m.r.IntN(4) > 0 {
			routes = append(routes, n)
		}
	}
	return routes
}

// advance takes the batch under way one stage on: built, stored, each part
// told, and ended.
func (m *model) advance() {
	switch {
	case m.batch == nil:
		m.takeParts()
	case m.refused:
		m.amend()
	case m.stage == 0 && m.r.IntN(6) == 0:
		m.note("batch %d is refused", m.batch.Head.Batch)
		m.batch.reopen()
		m.refused = true
	case m.stage == 0:
		m.batch.store()
		m.note("batch %d is stored", m.head.Batch)
		m.oracle.stored(m.t, m.batch.Batch)
		m.stage = 1
	case m.told < len(m.batch.parts):
		p := m.batch.parts[m.told]
		m.told++
		m.visit(p, func() { p.Done(nil) })
		m.oracle.acknowledged(p)
	default:
		m.d.Synced()
		m.note("batch %d ends, low %d next %d", m.head.Batch, m.head.Low, m.head.Next)
		m.batch = nil
	}
}

// takeParts builds a batch of some of what waits.
func (m *model) takeParts() {
	m.watch()
	m.mu.Lock()
	commands, settles := m.commands, m.settles
	some := m.r.IntN(len(settles) + 1)
	m.commands, m.settles = nil, settles[some:]
	m.mu.Unlock()
	n := m.r.IntN(len(m.ready) + 1)
	parts := slices.Concat(commands, settles[:some], m.ready[:n])
	if m.r.IntN(3) == 0 { // the order of classes is the committer's choice
		parts = slices.Concat(settles[:some], m.ready[:n], commands)
	}
	m.ready = slices.Clone(m.ready[n:])
	if len(parts) == 0 {
		return
	}
	m.batch, m.stage, m.told = m.buildOf(parts...), 0, 0
	m.oracle.built(m.batch)
	m.note("batch %d: %d parts, low %d%s", m.batch.Head.Batch, len(parts), m.batch.Head.Low, contents(m.batch.Batch))
}

// amend has the accepts of a refused batch leave it, or go elsewhere.
func (m *model) amend() {
	for _, p := range slices.Clone(m.batch.parts) {
		a, ok := p.(*accepting)
		switch {
		case !ok:
		case m.r.IntN(5) == 0:
			m.batch.withdraw(a)
		case m.r.IntN(2) == 0:
			m.batch.reroute(a, m.routes(a.m.Application)...)
		}
	}
	m.batch.close()
	m.refused = false
	m.note("batch %d is amended: low %d%s", m.batch.Head.Batch, m.batch.Head.Low, contents(m.batch.Batch))
}

// lease ends the lease, or renews it.
func (m *model) lease() {
	if m.d.leased() {
		m.note("no lease")
		m.held.without()
		return
	}
	m.note("lease")
	m.held.renew(time.Hour)
	m.d.Renewed()
}

// contents is a batch in the words of the trace.
func contents(b *store.Batch) string {
	var s strings.Builder
	for _, a := range b.Accepts {
		fmt.Fprintf(&s, ", accept %d %v", a.Message.ID.Position(), a.Message.Routes)
	}
	for _, a := range b.Attempts {
		fmt.Fprintf(&s, ", attempt %v#%d %v", delivery{a.Message, a.Endpoint}, a.N, a.State)
	}
	for _, f := range b.Finals {
		fmt.Fprintf(&s, ", final %v %v", delivery{f.Message, f.Endpoint}, f.State)
	}
	for _, c := range b.Rows {
		if c.Delete != nil {
			fmt.Fprintf(&s, ", no row %v of %d", delivery{c.Delete.Message, c.Delete.Endpoint}, c.Delete.Generation)
		}
		if c.Put != nil {
			fmt.Fprintf(&s, ", row %v of %d after %d", delivery{c.Put.Message, c.Put.Endpoint}, c.Put.Generation, c.Put.Attempts)
		}
	}
	for _, c := range b.Behind {
		fmt.Fprintf(&s, ", behind %d from %d", c.Row.Endpoint, c.Row.From.Position())
	}
	return s.String()
}

// answer ends a try.
func (m *model) answer() {
	tries := m.under()
	if len(tries) == 0 {
		return
	}
	y := tries[m.r.IntN(len(tries))]
	a := answer{code: 200}
	switch m.r.IntN(10) {
	case 0, 1, 2:
		a.code = []int{500, 503}[m.r.IntN(2)]
	case 3, 4:
		a.fault = true
	case 5:
		a = answer{code: 500, edit: func(a *postern.Attempt) { a.Permanent = true }}
	}
	m.note("%v answers %d %v", delivery{y.message, y.endpoint}, a.code, a.fault)
	m.oracle.answered(y, a)
	m.say(a, y)
}

func (m *model) wait() {
	m.pass([]time.Duration{time.Millisecond, 200 * time.Millisecond, 3 * time.Second, 15 * time.Second}[m.r.IntN(4)])
}

func (m *model) hold() {
	if m.r.IntN(2) == 0 {
		m.st.hold()
	}
}

func (m *model) resend() { m.command("resend", m.d.Resend) }
func (m *model) cancel() { m.command("cancel", m.d.Cancel) }

func (m *model) command(name string, do func(context.Context, store.DeliveryKey) error) {
	if len(m.oracle.acked) == 0 {
		return
	}
	msg := m.oracle.acked[m.r.IntN(len(m.oracle.acked))]
	if len(msg.Routes) == 0 {
		return
	}
	n := msg.Routes[m.r.IntN(len(msg.Routes))]
	m.note("%s %v", name, delivery{msg.ID, n})
	m.order(do, m.key(msg, n))
}

// replay has a slice wait for the next batch: of some messages, to an endpoint
// of their application that they need not have been routed to.
func (m *model) replay() {
	n := m.cat.numbers()[m.r.IntN(len(m.cat.numbers()))]
	part := &slice{d: m.d, done: make(chan error, 1), Slice: Slice{
		Replay: postern.ReplayID{1}, Application: m.cat.EndpointByNumber(n).Application, Endpoint: n,
		Wants:  func(s store.Standing) bool { return s.State != postern.Sending },
		Record: func(int, int) *postern.Replay { return &postern.Replay{ID: postern.ReplayID{1}, Application: 1} },
	}}
	for _, msg := range m.oracle.acked {
		if msg.Application == part.Application && m.r.IntN(4) == 0 {
			part.Messages = append(part.Messages, msg.ID)
		}
	}
	m.note("replay %d messages to %d", len(part.Messages), n)
	m.mu.Lock()
	m.commands = append(m.commands, part)
	m.mu.Unlock()
}

// configure pauses, resumes or deletes an endpoint.
func (m *model) configure() {
	n := m.cat.numbers()[m.r.IntN(len(m.cat.numbers()))]
	if m.cat.EndpointByNumber(n).Deleted {
		return
	}
	switch what := m.r.IntN(14); {
	case what == 0 && m.other == nil: // two stores cannot delete it at once
		m.note("delete %d", n)
		m.ready = append(m.ready, &partFunc{build: func(b *store.Batch) {
			b.Changes = append(b.Changes, store.Change{Delete: &postern.Endpoint{ID: postern.EndpointID{byte(n)}, Number: n, Application: m.cat.EndpointByNumber(n).Application}})
		}, done: func() { m.cat.edit(n, deleted) }})
	case what < 6:
		m.note("pause %d", n)
		m.edit(n, paused)
	default:
		m.note("resume %d", n)
		m.edit(n, resumed)
	}
}

func (m *model) setClock() {
	by := []time.Duration{-time.Hour, -20 * time.Second, 20 * time.Second, time.Hour}[m.r.IntN(4)]
	m.note("clock %v", by)
	m.jump(by)
	if m.other != nil {
		m.other.jump(by)
	}
}

// expire begins to drop all days, or has the store refuse what it began.
func (m *model) expire() {
	if m.expiry == nil {
		m.note("expire")
		m.expiry = m.d.holdLanes(store.DayOf(m.now()))
		return
	}
	m.note("expire fails")
	m.d.letLanesGo(m.expiry, false)
	m.expiry = nil
}

// crash cuts the power, and starts again on what is left.
func (m *model) crash() {
	clone := m.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[m.r.IntN(3)], RNG: m.r})
	m.note("crash")
	m.oracle.crashed()
	if m.batch != nil {
		for _, p := range m.batch.parts[m.told:] {
			if settle, ok := p.(*claim); ok {
				m.settles = append(m.settles, settle)
			}
		}
	}
	old := m.st
	m.rig.end()
	if err := old.Close(); err != nil {
		m.t.Error(err)
	}
	m.fs, m.batch, m.refused, m.ready, m.expiry = clone, nil, false, nil, nil
	m.st = &heldStore{Store: m.open(m.t)}
	var err error
	if m.head, err = m.st.Head(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
	m.head.Next, m.head.Low = max(m.head.Next, 1), max(m.head.Low, 1)
	m.oracle.reopened(m.t, m.st, m.cat)
	if err := storetest.CheckCover(m.t.Context(), m.st); err != nil {
		m.t.Errorf("after a crash: %v", err)
	}
	m.start()
}

// watch looks at what started since the last step.
func (m *model) watch() {
	for _, y := range m.under() {
		if m.oracle.started(m.t, y) {
			if !m.d.leased() {
				m.t.Errorf("%v starts without a lease", delivery{y.message, y.endpoint})
			}
			m.note("start %v attempt %d", delivery{y.message, y.endpoint}, y.attempt.N)
		}
	}
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	if u := m.d.used; u.places > m.d.most.places || m.d.slow > u.places || u.places < 0 || u.claims < 0 || u.bytes < 0 {
		m.t.Errorf("%+v, of the places %d slow", u, m.d.slow)
	}
	for p := m.d.cover.low; p < m.d.cover.next; p++ {
		if n := m.d.cover.counts[p%uint64(len(m.d.cover.counts))]; n < 0 {
			m.t.Errorf("position %d counts %d", p, n)
		}
	}
}

// heal lets everything succeed, and time pass, until nothing happens any more.
// Batches come only of what happens: a quiet system makes none.
func (m *model) heal() {
	m.mend()
	for quiet := 0; quiet < 12; quiet++ {
		if m.goOn() {
			quiet = 0
		}
		m.pass(time.Minute)
		m.watch()
	}
}

// mend ends all that keeps deliveries back.
func (m *model) mend() {
	m.note("--- heal")
	m.held.renew(1000 * time.Hour)
	m.d.Renewed()
	m.st.release()
	if m.expiry != nil {
		m.expire()
	}
	for _, n := range m.cat.numbers() {
		if v := m.cat.EndpointByNumber(n); !v.Deleted {
			m.edit(n, func(v *postern.EndpointView) { v.Paused, v.Health = false, postern.Health{} })
		}
	}
}

// goOn commits what there is and answers what is under way, and reports whether
// there was something.
func (m *model) goOn() (busy bool) {
	for m.spread() {
	}
	for m.batch != nil || len(m.commands)+len(m.settles)+len(m.ready) > 0 {
		m.advance()
		synctest.Wait()
		m.watch()
		busy = true
	}
	m.watch()
	for _, y := range m.under() {
		m.oracle.answered(y, answer{code: 200})
		m.say(answer{code: 200}, y)
		busy = true
	}
	return busy
}

// judge compares the end with what was promised.
func (m *model) judge() {
	m.t.Helper()
	if err := storetest.CheckCover(m.t.Context(), m.st); err != nil {
		m.t.Errorf("in the end: %v", err)
	}
	m.oracle.judge(m.t, m.cat)
	for range 3 { // rows of the past go with batches that come anyway
		m.pass(patience)
		m.commit(m.accept())
	}
	for _, n := range m.cat.numbers() {
		rows, err := m.st.Store.Due(m.t.Context(), n, store.DueCursor{}, 10)
		if err != nil || m.cat.EndpointByNumber(n).Deleted {
			continue
		}
		if len(rows) > 0 || m.row(n) != nil {
			m.t.Errorf("endpoint %d keeps rows %+v, behind %v", n, rows, m.row(n))
		}
	}
	if m.head.Low != m.head.Next || m.head.Rows != 0 && !m.anyDeleted() {
		m.t.Errorf("low %d of %d, %d rows", m.head.Low, m.head.Next, m.head.Rows)
	}
	m.jump(24 * time.Hour) // past all that is set by a clock that was ahead
	m.pass(3 * time.Minute)
	if s := m.d.Stats(); s.InFlight+s.Queued+s.Bytes+s.Lanes > 0 {
		m.t.Errorf("left in memory: %+v", s)
	}
}

func (m *model) anyDeleted() bool {
	return slices.ContainsFunc(m.cat.numbers(), func(n postern.EndpointNumber) bool { return m.cat.EndpointByNumber(n).Deleted })
}

// delivery is one message on its way to one endpoint.
type delivery struct {
	message  postern.MessageID
	endpoint postern.EndpointNumber
}

func (d delivery) String() string { return fmt.Sprintf("%d->%d", d.message.Position(), d.endpoint) }

// oracle knows what was promised.
type oracle struct {
	acked []*postern.Message
	of    map[delivery]*promise
	tries map[*try]bool // those known
}

// promise is what is known of a delivery.
type promise struct {
	received int
	excused  int  // times it may arrive again
	sending  bool // from its start until its settle is told
	answered bool // while sending: it was received
	canceled bool // by the last command that was built
	dead     bool
	resent   bool // and not tried since
	sure     bool // the last command that was built was acknowledged
	recorded map[int]bool
}

func newOracle() *oracle {
	return &oracle{of: map[delivery]*promise{}, tries: map[*try]bool{}}
}

func (o *oracle) at(m postern.MessageID, n postern.EndpointNumber) *promise {
	d := delivery{m, n}
	if o.of[d] == nil {
		o.of[d] = &promise{recorded: map[int]bool{}}
	}
	return o.of[d]
}

// acknowledged notes what a part that was told has promised.
func (o *oracle) acknowledged(p Part) {
	switch p := p.(type) {
	case *accepting:
		o.acked = append(o.acked, p.m)
	case *command:
		if p.err == nil {
			promise := o.at(p.key.Message, p.key.Endpoint)
			promise.sure = promise.canceled == (p.row == nil)
		}
	case *slice:
		for _, cmd := range p.resends {
			promise := o.at(cmd.key.Message, cmd.key.Endpoint)
			promise.sure = !promise.canceled
		}
	}
}

// built notes the commands of a batch, in their order.
func (o *oracle) built(b *batch) {
	var commands []*command
	for _, p := range b.parts {
		switch p := p.(type) {
		case *command:
			commands = append(commands, p)
		case *slice:
			commands = append(commands, p.resends...)
		}
	}
	for _, cmd := range commands {
		if cmd.err != nil {
			continue
		}
		promise := o.at(cmd.key.Message, cmd.key.Endpoint)
		promise.canceled, promise.sure = cmd.row == nil, false
		if promise.resent = cmd.row != nil; promise.resent {
			promise.excused++
			promise.dead = false
		}
	}
}

// stored notes what is history from now on.
func (o *oracle) stored(t *testing.T, b *store.Batch) {
	t.Helper()
	for _, a := range b.Attempts {
		p := o.at(a.Message, a.Endpoint)
		if p.recorded[a.N] {
			t.Errorf("attempt %d of %v is written twice", a.N, delivery{a.Message, a.Endpoint})
		}
		p.recorded[a.N] = true
		p.sending = false
		if a.State == postern.Dead && !p.resent {
			p.dead = true
		}
	}
}

// started judges a try, once; it reports whether the try is new.
func (o *oracle) started(t *testing.T, y *try) bool {
	t.Helper()
	if o.tries[y] {
		return false
	}
	o.tries[y] = true
	p := o.at(y.message, y.endpoint)
	if p.sending {
		t.Errorf("%v is tried twice at once", delivery{y.message, y.endpoint})
	}
	if p.canceled {
		t.Errorf("%v is tried after it was canceled", delivery{y.message, y.endpoint})
	}
	p.sending, p.resent, p.answered = true, false, false
	return true
}

func (o *oracle) answered(y *try, a answer) {
	p := o.at(y.message, y.endpoint)
	if a.fault {
		p.sending = false
		return
	}
	if a.code == 200 {
		p.received++
		p.answered = true
	}
}

// crashed excuses what was under way.
func (o *oracle) crashed() {
	for _, p := range o.of {
		if p.sending && p.answered {
			p.excused++
		}
		p.sending = false
	}
}

// reopened asks the store for what it had promised, and takes from it what was
// under way: a crash answers nobody.
func (o *oracle) reopened(t *testing.T, st store.Store, cat *catalogue) {
	t.Helper()
	for _, m := range o.acked {
		for _, n := range o.endpoints(m, cat) {
			p := o.at(m.ID, n)
			s, err := st.Standing(t.Context(), store.DeliveryKey{Application: m.Application, Endpoint: n, Message: m.ID})
			switch {
			case cat.EndpointByNumber(n).Deleted:
			case err != nil || !s.Message:
				t.Errorf("%v was acknowledged and is missing: %v", delivery{m.ID, n}, err)
			case p.sure && p.canceled && (!s.Final || s.Row != nil), p.sure && p.resent && s.Row == nil:
				t.Errorf("a command for %v was acknowledged; after a crash it is %v", delivery{m.ID, n}, s.State)
			}
			p.canceled, p.dead, p.resent, p.sure = s.State == postern.Canceled, s.State == postern.Dead, false, false
		}
	}
}

// endpoints are those that a message was routed or replayed to.
func (o *oracle) endpoints(m *postern.Message, cat *catalogue) []postern.EndpointNumber {
	numbers := slices.Clone(m.Routes)
	for _, n := range cat.numbers() {
		if _, known := o.of[delivery{m.ID, n}]; known && !slices.Contains(numbers, n) {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

func (o *oracle) judge(t *testing.T, cat *catalogue) {
	t.Helper()
	var errs []error
	for _, m := range o.acked {
		for _, n := range o.endpoints(m, cat) {
			p := o.at(m.ID, n)
			routed := slices.Contains(m.Routes, n)
			if !routed {
				p.excused-- // there is no first time
			}
			switch {
			case p.received > 1+p.excused:
				errs = append(errs, fmt.Errorf("%v arrived %d times, %d excused", delivery{m.ID, n}, p.received, p.excused))
			case cat.EndpointByNumber(n).Deleted || p.canceled || p.dead:
			case p.resent:
				errs = append(errs, fmt.Errorf("%v was resent and never tried", delivery{m.ID, n}))
			case p.received == 0 && routed:
				errs = append(errs, fmt.Errorf("%v never arrived", delivery{m.ID, n}))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

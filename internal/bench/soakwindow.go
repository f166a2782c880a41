package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	// soakWindow is what one look at a soak covers, and soakWarmUp what is left out
	// when its beginning is held against its end.
	soakWindow = 10 * time.Second
	soakWarmUp = time.Minute
	// aftermath is how long after a crash the loads' backlog may show.
	aftermath = 5 * time.Second
	// soakLines is how many lines the chart of a soak has at most.
	soakLines = 30
)

// Window is what a soak was like for a while.
type Window struct {
	AtSeconds float64 `json:"atSeconds"` // its end, since the beginning
	// Disturbed is a window in which the server was killed, or just before.
	Disturbed  bool    `json:"disturbed,omitempty"`
	Crashes    int     `json:"crashes,omitempty"`
	ResidentMB float64 `json:"residentMB"` // at its end
	Deliveries int     `json:"deliveries"`
	PerSecond  float64 `json:"deliveriesPerSecond"`
	CPU        float64 `json:"cpuUsPerDelivery"` // of all processes that were the server; 0 if the system does not tell
	AckP99Ms   float64 `json:"ackP99Ms"`
	StoreMB    float64 `json:"storeMB"`
}

// meter looks at a server from time to time, through crashes of it.
type meter struct {
	windows []Window
	past    time.Duration // CPU time of the processes that were killed
	peak    int64         // of the resident sizes of all processes, in bytes
	crashes int           // since the last look
	crashed time.Time     // the last time
	from    struct {      // the last look
		at      time.Time
		cpu     time.Duration
		arrived int
	}
	first, last struct {
		at  time.Time
		cpu time.Duration
	}
}

// windowOf is how long the windows of a soak are.
func windowOf(lasts time.Duration) time.Duration {
	return max(time.Second/2, min(soakWindow, lasts/12))
}

// start begins the first window.
func (m *meter) start(ctx context.Context, s *session) error {
	var err error
	if m.from.arrived, err = arrived(ctx, s); err != nil {
		return err
	}
	m.from.at = time.Now()
	m.from.cpu, err = m.cpu(s)
	m.first.at, m.first.cpu = m.from.at, m.from.cpu
	return err
}

// look ends a window and begins the next.
func (m *meter) look(ctx context.Context, s *session, since time.Duration) error {
	now := time.Now()
	count, err := arrived(ctx, s)
	if err != nil {
		return err
	}
	cpu, err := m.cpu(s)
	if err != nil {
		return err
	}
	size, err := s.options.storeSize(ctx, s.dir)
	if err != nil {
		return err
	}
	w := Window{
		AtSeconds: since.Seconds(), Crashes: m.crashes, Disturbed: m.crashes > 0 || m.from.at.Sub(m.crashed) < aftermath,
		ResidentMB: float64(processResident(s.subject.pid())) / megabyte,
		Deliveries: count - m.from.arrived,
		PerSecond:  float64(count-m.from.arrived) / now.Sub(m.from.at).Seconds(),
		StoreMB:    float64(size) / megabyte,
	}
	if w.Deliveries > 0 {
		w.CPU = (cpu - m.from.cpu).Seconds() * 1e6 / float64(w.Deliveries)
	}
	m.windows = append(m.windows, w)
	m.crashes = 0
	m.from.at, m.from.cpu, m.from.arrived = now, cpu, count
	m.last.at, m.last.cpu = now, cpu
	return nil
}

// end notes the figures of a process that is about to be killed.
func (m *meter) end(s *session) error {
	cpu, err := m.cpu(s)
	m.past = cpu
	m.notePeak(s)
	m.crashes++
	m.crashed = time.Now()
	return err
}

// cpu is the time of all processes that were the server so far.
func (m *meter) cpu(s *session) (time.Duration, error) {
	own, err := processCPU(s.subject.pid())
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return 0, err
	}
	return m.past + own, nil
}

func (m *meter) notePeak(s *session) { m.peak = max(m.peak, processPeak(s.subject.pid())) }

// finish fills the sample's windows and the figures that come from them.
func (m *meter) finish(s *session, sample *Sample, streams []*stream) {
	m.notePeak(s)
	quiet := &Histogram{}
	for i := range m.windows {
		acks := &Histogram{}
		for _, st := range streams {
			if i < len(st.sent.Windows) {
				acks.Merge(st.sent.Windows[i])
			}
		}
		m.windows[i].AckP99Ms = millis(acks.Quantile(0.99))
		if !m.windows[i].Disturbed {
			quiet.Merge(acks)
		}
	}
	sample.Windows = m.windows
	figures := sample.Figures
	figures[figurePeak] = float64(m.peak) / megabyte
	figures[figureAckP50], figures[figureAckP99] = millis(quiet.Quantile(0.50)), millis(quiet.Quantile(0.99))
	figures[figureE2EP50], figures[figureE2EP99] = millis(sample.EndToEnd.Quantile(0.50)), millis(sample.EndToEnd.Quantile(0.99))
	total := 0
	for _, w := range m.windows {
		total += w.Deliveries
	}
	figures[figureDeliveries] = float64(total) / m.last.at.Sub(m.first.at).Seconds()
	if cpu := m.last.cpu - m.first.cpu; cpu > 0 {
		figures[figureCPU] = cpu.Seconds() * 1e6 / float64(total)
	}
	if n := len(m.windows); n > 0 {
		figures[figureStore] = m.windows[n-1].StoreMB
	}
	figures[figureResidentGrowth] = growth(m.windows, func(w Window) float64 { return w.ResidentMB })
	figures[figureCPUGrowth] = growth(calm(m.windows), func(w Window) float64 { return w.CPU })
	known(figures)
}

// calm are the windows that no crash disturbed, or all if that leaves none.
func calm(windows []Window) []Window {
	kept := slices.DeleteFunc(slices.Clone(windows), func(w Window) bool { return w.Disturbed })
	if len(kept) == 0 {
		return windows
	}
	return kept
}

// growth is the median over the last quarter of the windows as a multiple of that over
// the first quarter after the warm-up; NaN when there is nothing to compare.
func growth(windows []Window, value func(Window) float64) float64 {
	if len(windows) == 0 {
		return math.NaN()
	}
	end := windows[len(windows)-1].AtSeconds
	warm := min(soakWarmUp.Seconds(), end/10)
	var first, last []float64
	for _, w := range windows {
		switch at := (w.AtSeconds - warm) / (end - warm); {
		case at > 0.75:
			last = append(last, value(w))
		case at > 0 && at <= 0.25:
			first = append(first, value(w))
		}
	}
	before, ok := summarise(first)
	after, also := summarise(last)
	if !ok || !also {
		return math.NaN()
	}
	return after.Median / before.Median
}

// arrived is how many deliveries the receiver has seen, copies left out.
func arrived(ctx context.Context, s *session) (int, error) {
	var p progress
	err := s.receiver.do(ctx, "progress", nil, &p)
	return sum(p.Unique), err
}

// windowRows is the chart of a soak, a heading first: a line for so many windows, most
// figures of which are medians over those that no crash disturbed.
func (s Sample) windowRows() [][]string {
	rows := [][]string{{
		fmt.Sprintf("%s, round %d: minute", s.Run, s.Round), "crashes", "deliveries/s", "CPU us/delivery",
		"accept p99 ms", "resident MB", "store MB", "CPU",
	}}
	var most float64
	var lines []Window
	for part := range slices.Chunk(s.Windows, max(1, (len(s.Windows)+soakLines-1)/soakLines)) {
		line := summary(part)
		most = max(most, line.CPU)
		lines = append(lines, line)
	}
	for _, w := range lines {
		rows = append(rows, []string{
			fmt.Sprintf("%.1f", w.AtSeconds/60), fmt.Sprint(w.Crashes), fmt.Sprintf("%.0f", w.PerSecond), fmt.Sprintf("%.1f", w.CPU),
			fmt.Sprintf("%.2f", w.AckP99Ms), fmt.Sprintf("%.0f", w.ResidentMB), fmt.Sprintf("%.0f", w.StoreMB), plotBar(w.CPU, most),
		})
	}
	return rows
}

// summary is one window for several in a row.
func summary(part []Window) Window {
	median := func(windows []Window, value func(Window) float64) float64 {
		var values []float64
		for _, w := range windows {
			values = append(values, value(w))
		}
		stat, _ := summarise(values)
		return stat.Median
	}
	last := part[len(part)-1]
	out := Window{AtSeconds: last.AtSeconds, StoreMB: last.StoreMB}
	for _, w := range part {
		out.Crashes += w.Crashes
		out.Deliveries += w.Deliveries
		out.PerSecond += w.PerSecond / float64(len(part))
	}
	out.ResidentMB = median(part, func(w Window) float64 { return w.ResidentMB })
	out.CPU = median(calm(part), func(w Window) float64 { return w.CPU })
	out.AckP99Ms = median(calm(part), func(w Window) float64 { return w.AckP99Ms })
	return out
}

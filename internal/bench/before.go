package bench

import "slices"

// subjectBefore is another build's server, measured with this one's load and
// receiver.
const subjectBefore = "before"

// noLoss is how much more than before a change may cost, and how much slower it may
// be: what two measurements of one build differ by.
const noLoss = 1.05

// besideBefore has every run measured with the other build as well, and holds this
// one's cost, rate and latency against it.
func besideBefore(runs []run, before string) []run {
	if before == "" {
		return runs
	}
	out := slices.Clone(runs)
	for i, r := range out {
		bars := []bar{
			{figure: figureCPU, against: subjectBefore, limit: times(noLoss), ifMeasured: true},
			{figure: figureAckP99, against: subjectBefore, limit: unharmed, ifMeasured: true},
		}
		if r.rate == 0 {
			bars = append(bars, bar{figure: figureDeliveries, against: subjectBefore, atLeast: true, limit: times(2 - noLoss), ifMeasured: true})
		}
		out[i].against = append(slices.Clip(r.against), subjectBefore)
		out[i].bars = append(slices.Clip(r.bars), bars...)
	}
	return out
}

// serverOptions are the options of the subject's server.
func (s *session) serverOptions() Options {
	o := s.options
	if s.as == subjectBefore {
		o.Exe = o.Before
	}
	return o
}

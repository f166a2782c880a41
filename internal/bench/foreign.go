package bench

import (
	"os"
	"time"
)

// figureForeign is what the cores did for somebody else while they were measured, as a
// share of their time: the kernel's own work, other programs, and what the machine's
// host took. Beyond a tenth no latency of the sample means much.
const figureForeign = "foreignCPUPercent"

// occupancy is what the cores have done up to an instant.
type occupancy struct {
	at   time.Time
	busy time.Duration // of all the cores, for anybody
	own  time.Duration // of the processes of this measurement
}

// occupancy is zero where the system does not tell.
func (s *session) occupancy() occupancy {
	busy, err := coresBusy(s.options.CPUs)
	if err != nil {
		return occupancy{}
	}
	o := occupancy{at: time.Now(), busy: busy}
	for _, pid := range append(s.pids(), os.Getpid(), s.load.pid(), s.receiver.pid()) {
		cpu, err := processCPU(pid)
		if err != nil {
			return occupancy{} // one that has ended shows as the measurement's error
		}
		o.own += cpu
	}
	if d := s.options.database; d != nil {
		cpu, err := d.cpu()
		if err != nil {
			return occupancy{}
		}
		o.own += cpu
	}
	return o
}

// foreign is the share in percent of so many cores that others used since then; false
// when that is not known.
func (o occupancy) foreign(since occupancy, cores int) (float64, bool) {
	if o.at.IsZero() || since.at.IsZero() || cores == 0 || !o.at.After(since.at) {
		return 0, false
	}
	used := (o.busy - since.busy) - (o.own - since.own)
	return 100 * float64(max(0, used)) / float64(o.at.Sub(since.at)) / float64(cores), true
}

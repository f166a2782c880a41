package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// machineNanos reads CLOCK_MONOTONIC, which all processes of the machine share.
func machineNanos() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return time.Now().UnixNano()
	}
	return ts.Nano()
}

// ticksPerSecond is USER_HZ, which Linux fixes at 100 for user space on every
// architecture that Go supports. The kernel rounds exact run time down to it.
const ticksPerSecond = 100

// processCPU is the user and system time of a running process, to 10 ms.
func processCPU(pid int) (time.Duration, error) {
	stat, err := readStat(pid)
	return stat.used, err
}

// processStat is what the kernel tells about a process.
type processStat struct {
	program string // the name of its program, at most 15 bytes
	parent  int
	used    time.Duration // user and system time
	reaped  time.Duration // that of its children which have ended
}

func readStat(pid int) (processStat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return processStat{}, fmt.Errorf("read cpu time: %w", err)
	}
	stat, err := parseStat(text)
	if err != nil {
		return processStat{}, fmt.Errorf("read cpu time: %w", err)
	}
	return stat, nil
}

// parseStat takes ppid and utime to cstime (fields 4 and 14 to 17) of /proc/PID/stat.
// The second field is the program's name, which may hold spaces and parentheses.
func parseStat(stat []byte) (processStat, error) {
	begin, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))
	if begin < 0 || end < begin || len(fields) < 15 {
		return processStat{}, errors.New("short stat line")
	}
	s := processStat{program: string(stat[begin+1 : end])}
	var err error
	if s.parent, err = strconv.Atoi(fields[1]); err != nil {
		return processStat{}, err
	}
	for i, sum := range [...]*time.Duration{&s.used, &s.used, &s.reaped, &s.reaped} {
		ticks, err := strconv.ParseInt(fields[11+i], 10, 64)
		if err != nil {
			return processStat{}, err
		}
		*sum += time.Duration(ticks) * (time.Second / ticksPerSecond)
	}
	return s, nil
}

// processPeak is the largest resident size that the process has had, in bytes, and
// processResident the present one; 0 when the kernel does not say.
func processPeak(pid int) int64     { return processSize(pid, "VmHWM:") }
func processResident(pid int) int64 { return processSize(pid, "VmRSS:") }

func processSize(pid int, key string) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0 // a figure beside the point: its absence shows as 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}

// coresBusy is how long the cores have worked since the system started, for whomever:
// the host that took a core away counts, waiting for a disk does not.
func coresBusy(cpus []int) (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read cores: %w", err)
	}
	return parseCores(stat, cpus)
}

// parseCores adds up user, nice, system, irq, softirq and steal of the lines "cpuN";
// guest time is part of user already.
func parseCores(stat []byte, cpus []int) (time.Duration, error) {
	var ticks int64
	for line := range strings.Lines(string(stat)) {
		fields := strings.Fields(line)
		if len(fields) < 9 || !strings.HasPrefix(fields[0], "cpu") {
			continue
		}
		cpu, err := strconv.Atoi(fields[0][len("cpu"):])
		if err != nil || !slices.Contains(cpus, cpu) {
			continue // the sum of all, or none of ours
		}
		for _, i := range []int{1, 2, 3, 6, 7, 8} {
			n, err := strconv.ParseInt(fields[i], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read cores: %w", err)
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * (time.Second / ticksPerSecond), nil
}

// allowedCPUs lists the cores this process may use.
func allowedCPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("read affinity: %w", err)
	}
	var cpus []int
	for cpu := 0; len(cpus) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// startPinned starts cmd on the given cores. Affinity belongs to a thread and is
// inherited over fork, so it is set on a locked thread and put back afterwards;
// in that way a child that knows nothing of it sees just these cores from its first
// instruction, and derives GOMAXPROCS from them.
func startPinned(cmd *exec.Cmd, cpus []int) error {
	if len(cpus) == 0 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	var before, want unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("read affinity: %w", err)
	}
	for _, cpu := range cpus {
		want.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &want); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("pin to cores %v: %w", cpus, err)
	}
	startErr := cmd.Start()
	if err := unix.SchedSetaffinity(0, &before); err == nil {
		// Otherwise the thread stays locked and Go discards it with the goroutine.
		runtime.UnlockOSThread()
	}
	return startErr
}

// syncData is fdatasync: contents and length, not the times.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err != unix.EINTR {
			return err
		}
	}
}

// stopSignal asks a child to end in good order.
func stopSignal(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

// fileSystem names the file system that holds dir, with its device and options.
func fileSystem(dir string) string {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "unknown"
	}
	best, found := "", "unknown"
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 4 || len(f[1]) < len(best) || !within(dir, f[1]) {
			continue
		}
		best, found = f[1], fmt.Sprintf("%s (%s, %s)", f[2], f[0], f[3])
	}
	return found
}

// within reports whether path is mount or lies below it.
func within(path, mount string) bool {
	return mount == "/" || path == mount || strings.HasPrefix(path, mount+"/")
}

// kernel is the running kernel's release.
func kernel() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(release))
}

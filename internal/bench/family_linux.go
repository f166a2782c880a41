package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// PostgreSQL is a family: a parent, the postmaster, and a child for each connection
// and each kind of background work, none of which has children of its own.

// postmasterOf finds the parent of a server by one of its children.
func postmasterOf(backend int) (int, error) {
	const unseen = "its processes are not to be seen from here: measure in the same container, on the same machine"
	child, err := readStat(backend)
	if errors.Is(err, os.ErrNotExist) {
		return 0, errors.New(unseen)
	}
	if err != nil {
		return 0, err
	}
	parent, err := readStat(child.parent)
	if err != nil || parent.program != child.program {
		return 0, errors.New(unseen) // another process has that number here
	}
	return child.parent, nil
}

// familyCPU is the user and system time of a parent, of its children and of those
// that have ended.
func familyCPU(parent int) (time.Duration, error) {
	for {
		before, err := readStat(parent)
		if err != nil {
			return 0, err
		}
		total := before.used + before.reaped
		children, err := childrenOf(parent)
		if err != nil {
			return 0, err
		}
		for _, child := range children {
			total += child.used
		}
		after, err := readStat(parent)
		if err != nil {
			return 0, err
		}
		if after.reaped == before.reaped {
			return total, nil
		}
		// A child ended meanwhile, and may have been missed or counted twice.
	}
}

// pinFamily has a parent, its children and those to come run on these cores alone;
// undo puts all of them back to where the parent ran.
func pinFamily(parent int, cpus []int) (undo func() error, err error) {
	undo = func() error { return nil }
	var before, want unix.CPUSet
	if err := unix.SchedGetaffinity(parent, &before); err != nil {
		return undo, fmt.Errorf("read affinity: %w", err)
	}
	for _, cpu := range cpus {
		want.Set(cpu)
	}
	if err := moveFamily(parent, &want); err != nil {
		return undo, errors.Join(fmt.Errorf("pin the processes of the database to cores %v, which its own user and root may: %w", cpus, err), moveFamily(parent, &before))
	}
	return func() error { return moveFamily(parent, &before) }, nil
}

// moveFamily begins with the parent, so that whoever is born meanwhile inherits.
func moveFamily(parent int, to *unix.CPUSet) error {
	if err := unix.SchedSetaffinity(parent, to); err != nil {
		return err
	}
	children, err := childrenOf(parent)
	if err != nil {
		return err
	}
	for pid := range children {
		if err := unix.SchedSetaffinity(pid, to); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// childrenOf are the living children of a process, by number.
func childrenOf(parent int) (map[int]processStat, error) {
	paths, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	children := map[int]processStat{}
	for _, path := range paths {
		pid, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			continue
		}
		if stat, err := readStat(pid); err == nil && stat.parent == parent {
			children[pid] = stat // one that has ended since the list was made is none
		}
	}
	return children, nil
}

package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTicks is the unit of CPU time in /proc, which Linux has fixed at 100 a
// second for programs whatever the kernel uses itself.
const clockTicks = 100

// processSample is what /proc says of a process at one moment. Figures that this
// system does not have stay 0.
type processSample struct {
	cpu          time.Duration // user and system
	rssPeakBytes int64
	wroteBytes   int64 // to the block layer
}

// sampleProcess reads /proc/PID. Linux only.
func sampleProcess(pid int) (processSample, error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return processSample{}, fmt.Errorf("bench: server process: %w", err)
	}
	var s processSample
	if s.cpu, err = cpuOfStat(stat); err != nil {
		return processSample{}, err
	}
	if status, err := os.ReadFile(dir + "status"); err == nil {
		s.rssPeakBytes = fieldOf(status, "VmHWM:") << 10
	}
	// Another user's io file cannot be read; the figure is left out then.
	if io, err := os.ReadFile(dir + "io"); err == nil {
		s.wroteBytes = fieldOf(io, "write_bytes:")
	}
	return s, nil
}

// ownCPU returns the CPU time of this process, 0 where the system does not tell.
func ownCPU() time.Duration {
	s, err := sampleProcess(os.Getpid())
	if err != nil {
		return 0
	}
	return s.cpu
}

// preciseCPU returns the CPU time of a process as the scheduler counts it, in ns,
// where /proc/PID/stat counts in ticks of 10 ms: a fast query takes less than that.
// Threads that have ended are left out, and Go servers hardly end any.
func preciseCPU(pid int) (time.Duration, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, fmt.Errorf("bench: server process: %w", err)
	}
	var total time.Duration
	for _, name := range tasks {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		if words := strings.Fields(string(text)); len(words) > 0 {
			ns, _ := strconv.ParseInt(words[0], 10, 64)
			total += time.Duration(ns)
		}
	}
	if total == 0 {
		s, err := sampleProcess(pid)
		return s.cpu, err
	}
	return total, nil
}

// cpuOfStat takes utime and stime, fields 14 and 15, out of /proc/PID/stat. The
// second field is the command in parentheses and may hold spaces.
func cpuOfStat(stat []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))
	if end < 0 || len(fields) < 13 {
		return 0, errors.New("bench: /proc/PID/stat is not in the form of Linux")
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("bench: /proc/PID/stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / clockTicks, nil
}

// fieldOf returns the number after a name at the start of a line, 0 without one.
func fieldOf(text []byte, name string) int64 {
	for line := range bytes.Lines(text) {
		rest, ok := bytes.CutPrefix(line, []byte(name))
		if !ok {
			continue
		}
		if words := strings.Fields(string(rest)); len(words) > 0 {
			n, _ := strconv.ParseInt(words[0], 10, 64)
			return n
		}
	}
	return 0
}

// resetPeak makes the kernel measure the peak of the resident memory anew. It is
// allowed to the process's own user only, and the peak is then one since the
// process began.
func resetPeak(pid int) bool {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0) == nil
}

// sizeOfDir returns how much room the files below a directory take.
func sizeOfDir(dir string) (int64, error) {
	parts, err := sizeOfParts(dir)
	var total int64
	for _, n := range parts {
		total += n
	}
	return total, err
}

// sizeOfParts returns how much room the files below a directory take, holes left
// out where the system says so, by the first two directories of each file's path.
// Files that vanish meanwhile do not count.
func sizeOfParts(dir string) (map[string]int64, error) {
	parts := map[string]int64{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name != dir {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil // the file has gone
		}
		below, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		names := strings.Split(filepath.ToSlash(below), "/")
		names = names[:min(len(names)-1, 2)]
		part := strings.Join(names, "/")
		if part == "" {
			part = "."
		}
		parts[part] += allocatedBytes(info)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("bench: data directory: %w", err)
	}
	return parts, nil
}

// settleCalm is for how long a server must have been quiet. It is a second more than
// VictoriaMetrics holds points in memory before it writes them down.
const settleCalm = 6 * time.Second

// settle waits until the process has used less than 2 % of one core in each second
// for as long as calm, or longestWait, or ctx is done, and returns how long it
// waited.
func settle(ctx context.Context, pid int, calm, longestWait time.Duration) (time.Duration, error) {
	if pid == 0 {
		return 0, nil
	}
	const step, quiet = time.Second, 20 * time.Millisecond
	begin := time.Now()
	last, err := sampleProcess(pid)
	if err != nil {
		return 0, err
	}
	for quietFor := time.Duration(0); quietFor < calm && time.Since(begin) < longestWait && ctx.Err() == nil; {
		pause(ctx, step)
		now, err := sampleProcess(pid)
		if err != nil {
			return 0, err
		}
		if now.cpu-last.cpu <= quiet {
			quietFor += step
		} else {
			quietFor = 0
		}
		last = now
	}
	return time.Since(begin), nil
}

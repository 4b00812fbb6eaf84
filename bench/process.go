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

// sizeOfDir returns how much room the files below a directory take, holes left
// out where the system says so. Files that vanish meanwhile do not count.
func sizeOfDir(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if info, err := d.Info(); err == nil {
			total += allocatedBytes(info)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("bench: data directory: %w", err)
	}
	return total, nil
}

// settle waits until the process has used less than 2 % of one core for six
// seconds, or longestWait, or ctx is done, and returns how long it waited. Six is
// one more than VictoriaMetrics holds points in memory before it writes them down.
func settle(ctx context.Context, pid int, longestWait time.Duration) (time.Duration, error) {
	if pid == 0 {
		return 0, nil
	}
	const step, quiet, calmSteps = time.Second, 20 * time.Millisecond, 6
	begin := time.Now()
	last, err := sampleProcess(pid)
	if err != nil {
		return 0, err
	}
	for calm := 0; calm < calmSteps && time.Since(begin) < longestWait && ctx.Err() == nil; {
		pause(ctx, step)
		now, err := sampleProcess(pid)
		if err != nil {
			return 0, err
		}
		if now.cpu-last.cpu <= quiet {
			calm++
		} else {
			calm = 0
		}
		last = now
	}
	return time.Since(begin), nil
}

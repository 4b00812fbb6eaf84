package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

const (
	// replayBytesMax bounds a file to replay, which is held in memory whole.
	replayBytesMax = 1 << 30
	// replayGapMax is the longest time between two neighbouring timestamps that is
	// replayed; a longer one is cut, or a file with a few points a year would be
	// through with the range of timestamps after a few hundred times round.
	replayGapMax = time.Minute
)

// replayFile is the line protocol of a file, read once and shared by all
// connections. Immutable.
type replayFile struct {
	lines  []replayLine
	series int
}

type replayLine struct {
	// text is the line up to its timestamp, with the space before it.
	text []byte
	// ns is since the earliest line.
	ns     int64
	series int
	values int
}

// readReplayFile reads a .lp file, or a .lp.gz one, for replay with a precision.
func readReplayFile(name string, p Precision) (*replayFile, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("bench: replay: %w", err)
	}
	defer func() { _ = f.Close() }()
	var r io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return nil, fmt.Errorf("bench: replay %s: %w", name, err)
		}
	}
	text, err := io.ReadAll(io.LimitReader(r, replayBytesMax+1))
	if err == nil && len(text) > replayBytesMax {
		err = fmt.Errorf("the file is over %d MiB", replayBytesMax>>20)
	}
	var file *replayFile
	if err == nil {
		file, err = parseReplay(text, p)
	}
	if err != nil {
		return nil, fmt.Errorf("bench: replay %s: %w", name, err)
	}
	return file, nil
}

// parseReplay cuts line protocol into lines. Timestamps are taken for seconds,
// milliseconds, microseconds or nanoseconds by their number of digits; a line
// without one comes a millisecond after the line before. It looks at lines no
// closer than that: what the server thinks of them is to be seen.
func parseReplay(text []byte, p Precision) (*replayFile, error) {
	file := &replayFile{}
	series := map[string]int{}
	last := int64(0)
	for n := 1; len(text) > 0; n++ {
		if c := text[0]; c == '\n' || c == '\r' || c == ' ' {
			text = text[1:]
			n -= 1
			continue
		} else if c == '#' {
			_, text, _ = bytes.Cut(text, []byte{'\n'})
			continue
		}
		seriesEnd, fieldsEnd, values := scanReplayLine(text)
		if values == 0 {
			return nil, fmt.Errorf("line %d (comments and empty ones not counted) has no fields: %.60q", n, text)
		}
		stamp, rest, _ := bytes.Cut(text[fieldsEnd:], []byte{'\n'})
		last += int64(time.Millisecond)
		if stamp = bytes.TrimSpace(stamp); len(stamp) > 0 {
			var err error
			if last, err = replayTime(stamp); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
		}
		key := string(text[:seriesEnd])
		if _, ok := series[key]; !ok {
			series[key] = len(series)
		}
		line := append(text[:fieldsEnd:fieldsEnd], ' ')
		file.lines = append(file.lines, replayLine{text: line, ns: last, series: series[key], values: values})
		text = rest
	}
	if len(file.lines) == 0 {
		return nil, errors.New("the file has no lines")
	}
	file.series = len(series)
	file.rebase(p)
	return file, nil
}

// scanReplayLine returns where the series and the fields of the first line end,
// and how many fields there are.
func scanReplayLine(text []byte) (seriesEnd, fieldsEnd, values int) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case seriesEnd == 0:
			if c == '\n' {
				return i, i, 0
			}
			if c == ' ' {
				seriesEnd = i
			}
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '=':
			values++
		case c == '\n' || c == '\r' || c == ' ' && values > 0:
			return seriesEnd, i, values
		}
	}
	return seriesEnd, len(text), values
}

func replayTime(stamp []byte) (int64, error) {
	v, err := strconv.ParseInt(string(stamp), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("timestamp %.60q is not a number of 64 bits", stamp)
	}
	switch n := len(bytes.TrimPrefix(stamp, []byte{'-'})); {
	case n <= 11:
		return v * int64(time.Second), nil
	case n <= 14:
		return v * int64(time.Millisecond), nil
	case n <= 17:
		return v * int64(time.Microsecond), nil
	}
	return v, nil
}

// rebase makes times count from the earliest one, in whole ticks of the precision.
// Times that differed still differ, and stay in their order.
func (f *replayFile) rebase(p Precision) {
	unit, _ := p.unit()
	times := make([]int64, 0, len(f.lines))
	for i := range f.lines {
		times = append(times, f.lines[i].ns)
	}
	slices.Sort(times)
	times = slices.Compact(times)
	at := make([]int64, len(times))
	for i := 1; i < len(times); i++ {
		gap := times[i] - times[i-1]
		if gap < 0 || gap > int64(replayGapMax) { // below 0 it overflowed
			gap = int64(replayGapMax)
		}
		at[i] = at[i-1] + max(gap/unit*unit, unit)
	}
	for i := range f.lines {
		n, _ := slices.BinarySearch(times, f.lines[i].ns)
		f.lines[i].ns = at[n]
	}
}

// replaySource sends one connection's series of a file again and again, each time
// later by what the file spans.
type replaySource struct {
	lines      []replayLine
	prefix     string
	next       int
	now, span  int64
	seriesHere int
}

func newReplaySource(o sourceOptions) (*replaySource, error) {
	f := o.file
	if f.series < o.conns {
		return nil, fmt.Errorf("bench: the file to replay has %d series, too few for LoadOptions.Conns %d: each is sent by one connection", f.series, o.conns)
	}
	s := &replaySource{prefix: o.replayPrefix, now: o.start.UnixNano(), seriesHere: (f.series + o.conns - 1 - o.conn) / o.conns}
	for _, l := range f.lines {
		s.span = max(s.span, l.ns)
		if l.series%o.conns == o.conn {
			s.lines = append(s.lines, l)
		}
	}
	s.span += int64(reportStep)
	return s, nil
}

func (s *replaySource) round() int { return s.seriesHere }

func (s *replaySource) appendLine(b *Body) {
	l := &s.lines[s.next]
	b.text = append(b.text, s.prefix...)
	b.text = append(b.text, l.text...)
	b.appendTime(s.now + l.ns)
	b.text = append(b.text, '\n')
	b.Points++
	b.Values += l.values
	if s.next++; s.next == len(s.lines) {
		s.next = 0
		s.now += s.span
	}
}

package bench

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"headgate/engine/testkit"
)

func testRing(t *testing.T, lines int, change func(*ringOptions)) *Ring {
	t.Helper()
	o := ringOptions{
		sourceOptions: sourceOptions{
			workload: CPU, seed: 3, hosts: 7, conns: 1, precision: "ns", start: time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC),
		},
		lines: lines, bytesMax: 1, bodiesMax: 4, compression: None, target: Target{host: "h"}, head: head{method: "POST", path: "/w"},
	}
	change(&o)
	r, err := newRing(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// lineForm is line protocol as the workloads use it: no escapes outside strings.
var lineForm = regexp.MustCompile(`^[a-z_]+(,[a-z_]+=(\\ |[^ ,=])+)* ([a-z_0-9]+=(-?[0-9]+i|-?[0-9.]+|true|false|t|"(\\"|[^"])*")(,|[ ]))+([0-9]{19}|[0-9]{16}|[0-9]{13}|[0-9]{10})$`)

// replayText has escapes, strings with everything in them, a comment, an empty
// line, a line without a time, and gaps of two years.
const replayText = `# a file
cpu,host=a\ b value=1i,text="x, y=z \"n\" " 1568756160

mem,host=a free=2.5 1568756160000
mem,host=b free=2.5,used=t
cpu,host=c value=3i 1631828160000000000
`

// sent is what several connections of a workload sent in some bodies each.
type sent struct {
	points, values int
	// times counts each series' timestamps, backwards the points that are older
	// than one before them in the same series, again those that were there.
	times            map[string]map[string]int
	backwards, again int
}

func readRings(t *testing.T, conns, bodies int, change func(*ringOptions)) *sent {
	t.Helper()
	s := &sent{times: map[string]map[string]int{}}
	newest := map[string]string{}
	for conn := range conns {
		ring := testRing(t, 50, func(o *ringOptions) {
			o.conn, o.conns = conn, conns
			change(o)
		})
		for range bodies {
			b := ring.Next()
			lines := strings.Split(strings.TrimSuffix(string(b.Text()), "\n"), "\n")
			if len(lines) != 50 || b.Points != 50 || b.lineBytes != len(b.Text()) {
				t.Fatalf("%d lines, %d points, %d bytes of %d", len(lines), b.Points, b.lineBytes, len(b.Text()))
			}
			for _, line := range lines {
				if !lineForm.MatchString(line) {
					t.Fatalf("not a line: %s", line)
				}
				series := line
				if end, _, _ := scanReplayLine([]byte(line)); end > 0 {
					series = line[:end]
				}
				at := line[len(line)-b.timeWidth:]
				if s.times[series] == nil {
					s.times[series] = map[string]int{}
				}
				if s.times[series][at]++; s.times[series][at] > 1 {
					s.again++
				} else if at <= newest[series] {
					s.backwards++
				}
				newest[series] = max(newest[series], at)
			}
			s.points += b.Points
			s.values += b.Values
		}
		if ring.Repeats() {
			t.Error("the ring says it repeats points")
		}
		if ns, _ := ring.end(); ns%int64(time.Second) != 0 && ring.bodies[0].timeWidth == timeDigits-9 {
			t.Errorf("the end %d is no whole second", ns)
		}
	}
	return s
}

func TestWorkloads(t *testing.T) {
	file, err := parseReplay([]byte(replayText), "ns")
	if err != nil {
		t.Fatal(err)
	}
	want := map[Workload]struct {
		values float64
		series int // 0 for as many as points
	}{CPU: {10, 7}, Single: {10, 7}, Devops: {11.2, 7 * 9}, Wide: {200, 7}, Floats: {10, 7}, HighCard: {1, 0}, Real: {1.5, 4}}
	for _, w := range Workloads() {
		t.Run(string(w), func(t *testing.T) {
			// Bodies enough to go several times round.
			s := readRings(t, 2, 9, func(o *ringOptions) { o.workload, o.file = w, file })
			if s.again > 0 || s.backwards > 0 {
				t.Errorf("%d points sent again, %d out of order", s.again, s.backwards)
			}
			if w == Mixed {
				if got := float64(s.values) / float64(s.points); got < 40 || got > 50 {
					t.Errorf("%.2f values a point", got)
				}
				return
			}
			want := want[w]
			if mean := float64(s.values) / float64(s.points); mean < want.values-0.5 || mean > want.values+0.5 {
				t.Errorf("%.2f values a point, want about %.1f", mean, want.values)
			}
			if want.series == 0 {
				want.series = s.points
			}
			if len(s.times) != want.series {
				t.Errorf("%d series in %d points, want %d", len(s.times), s.points, want.series)
			}
		})
	}
}

// TestDisorder counts what the options that make data worse do to it.
func TestDisorder(t *testing.T) {
	const conns, bodies = 2, 40
	points := conns * bodies * 50
	near := func(got int, share float64) bool {
		want := share * float64(points)
		return float64(got) > 0.7*want && float64(got) < 1.3*want
	}
	for _, p := range Precisions() {
		s := readRings(t, conns, bodies, func(o *ringOptions) { o.precision = p })
		if s.points != points || s.again > 0 || s.backwards > 0 {
			t.Errorf("precision %s: %d points sent again, %d out of order", p, s.again, s.backwards)
		}
	}
	s := readRings(t, conns, bodies, func(o *ringOptions) { o.bodiesMax, o.bytesMax, o.outOfOrder = 100, 1<<20, 0.2 })
	if s.again > 0 || !near(s.backwards, 0.15) { // some come late within one report only
		t.Errorf("out of order: %d of %d points, %d again", s.backwards, points, s.again)
	}
	s = readRings(t, conns, bodies, func(o *ringOptions) { o.bodiesMax, o.bytesMax, o.duplicates = 100, 1<<20, 0.1 })
	if s.backwards > 0 || !near(s.again, 0.1/1.1) {
		t.Errorf("duplicates: %d of %d points, %d out of order", s.again, points, s.backwards)
	}
	s = readRings(t, conns, bodies, func(o *ringOptions) { o.churn, o.firstSeries = 0.5, 100 })
	rounds := points / 7
	if s.again > 0 || s.backwards > 0 || !near(len(s.times)*points/(rounds*7/2), 1) {
		t.Errorf("churn: %d series in %d rounds of 7 hosts, %d again, %d out of order", len(s.times), rounds, s.again, s.backwards)
	}
	// All at once, in all workloads at once.
	file, err := parseReplay([]byte(replayText), "s")
	if err != nil {
		t.Fatal(err)
	}
	s = readRings(t, conns, bodies, func(o *ringOptions) {
		o.bodiesMax, o.bytesMax = 100, 1<<22
		o.workload, o.file, o.precision, o.churn, o.outOfOrder = Mixed, file, "s", 0.1, 0.1
	})
	if s.again > 0 || s.backwards == 0 {
		t.Errorf("mixed: %d again, %d out of order", s.again, s.backwards)
	}
}

func TestRingEnd(t *testing.T) {
	r := testRing(t, 50, func(o *ringOptions) { o.workload = HighCard })
	for range 9 {
		r.Next()
	}
	start, series := r.end()
	again := testRing(t, 50, func(o *ringOptions) {
		o.workload, o.start, o.firstSeries = HighCard, time.Unix(0, start), series
	})
	if series < 9*50 || start <= r.newest {
		t.Errorf("the ring ends at %d with series %d", start, series)
	}
	if text := string(again.Next().Text()); !strings.HasPrefix(text, fmt.Sprintf("hc,id=%010d,", series)) {
		t.Errorf("the next ring begins with %.40s", text)
	}
}

func TestParseReplay(t *testing.T) {
	file, err := parseReplay([]byte(replayText), "us")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, l := range file.lines {
		fmt.Fprintf(&got, "%s| series %d, %d values, after %s\n", l.text, l.series, l.values, time.Duration(l.ns))
	}
	want := `cpu,host=a\ b value=1i,text="x, y=z \"n\" " | series 0, 2 values, after 0s
mem,host=a free=2.5 | series 1, 1 values, after 0s
mem,host=b free=2.5,used=t | series 2, 2 values, after 1ms
cpu,host=c value=3i | series 3, 1 values, after 1m0.001s
`
	if got.String() != want || file.series != 4 {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
	for _, bad := range []string{"", "# only\n", "cpu\n", "cpu,host=a\n", "cpu value=1 soon\n"} {
		if _, err := parseReplay([]byte(bad), "ns"); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, err := newLineSource(sourceOptions{workload: Real, file: file, conns: 5, precision: "ns"}); err == nil || !strings.Contains(err.Error(), "Conns") {
		t.Errorf("five connections share four series: %v", err)
	}
}

// FuzzParseReplay shows that no file makes the parser panic or lose a line's end.
func FuzzParseReplay(f *testing.F) {
	f.Add(replayText)
	f.Fuzz(func(t *testing.T, text string) {
		file, err := parseReplay([]byte(text), "s")
		if err != nil {
			return
		}
		for _, l := range file.lines {
			if l.values < 1 || l.ns < 0 || l.series >= file.series || len(l.text) < 3 {
				t.Fatalf("%+v", l)
			}
		}
	})
}

func TestCPULineLength(t *testing.T) {
	r := testRing(t, 1000, func(*ringOptions) {})
	if n := len(r.Next().Text()) / 1000; n < 330 || n > 360 {
		t.Errorf("a line has %d bytes on average", n)
	}
}

func TestSeedMakesTheSameBodies(t *testing.T) {
	one := func(o *ringOptions) {
		o.workload, o.conn, o.conns, o.churn, o.outOfOrder, o.duplicates = Devops, 1, 3, 0.1, 0.1, 0.1
	}
	a, b := testRing(t, 100, one), testRing(t, 100, one)
	for range 5 {
		if !bytes.Equal(a.Next().Text(), b.Next().Text()) {
			t.Fatal("the same seed made different bodies")
		}
	}
}

// inflate undoes each compression with the format's own reader.
func inflate(c Compression, wire []byte) ([]byte, error) {
	var r io.Reader = bytes.NewReader(wire)
	switch c {
	case Snappy:
		return snappy.Decode(nil, wire)
	case S2:
		r = s2.NewReader(r)
	case Gzip:
		zr, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		r = zr
	case Zstd:
		zr, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer zr.Close()
		return io.ReadAll(zr)
	}
	return io.ReadAll(r)
}

func TestCompressedRing(t *testing.T) {
	for _, c := range Compressions()[1:] {
		t.Run(string(c), func(t *testing.T) {
			testkit.CheckLeaks(t)
			plain := testRing(t, 100, func(*ringOptions) {})
			packed := testRing(t, 100, func(o *ringOptions) { o.compression = c })
			for i := range len(packed.bodies) {
				b := packed.Next()
				text, err := inflate(c, b.Wire())
				if err != nil {
					t.Fatal(err)
				}
				if want := plain.Next().Text(); !bytes.Equal(text, want) || b.lineBytes != len(want) {
					t.Errorf("body %d inflates to something else", i)
				}
				if packed.Repeats() {
					t.Errorf("the ring says it repeats after %d of %d bodies", i+1, len(packed.bodies))
				}
			}
			packed.Next()
			if !packed.Repeats() {
				t.Error("the ring does not say that it repeats")
			}
		})
	}
}

func TestShiftAllocatesNothing(t *testing.T) {
	r := testRing(t, 1000, func(*ringOptions) {})
	if n := testing.AllocsPerRun(20, func() { r.Next() }); n != 0 {
		t.Errorf("%v allocations a body", n)
	}
}

func BenchmarkRingNext(b *testing.B) {
	for _, w := range []Workload{CPU, HighCard} {
		b.Run("workload="+string(w)+"/points=5000", func(b *testing.B) {
			r, err := newRing(ringOptions{
				sourceOptions: sourceOptions{
					workload: w, seed: 3, hosts: 1000, conns: 1, precision: "ns", start: time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC),
				},
				lines: 5000, bytesMax: 1, bodiesMax: 2, compression: None, head: head{method: "POST", path: "/w"},
			})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(r.bodies[0].text)))
			b.ReportAllocs()
			for b.Loop() {
				r.Next()
			}
		})
	}
}

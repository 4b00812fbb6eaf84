package block

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"headgate/engine/point"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/format.txt anew")

const formatFile = "testdata/format.txt"

// formatCase is small rows of one kind, made without random numbers.
type formatCase struct {
	name string
	rows *Rows
}

func formatCases() []formatCase {
	state := uint64(1)
	next := func(n uint64) uint64 { // a linear congruential generator, so that nothing changes it
		state = state*6364136223846793005 + 1442695040888963407
		return state >> 33 % n
	}
	var cases []formatCase
	add := func(name string, series, each int, t point.FieldType, value func(i int) uint64) {
		r := grid(series, each)
		r.Columns = []*point.Column{column(2, t, r.Len(), value)}
		cases = append(cases, formatCase{name, r})
	}
	add("one row", 1, 1, point.Integer, func(int) uint64 { return 58 })
	add("constant", 2, 4, point.Unsigned, func(int) uint64 { return math.MaxUint64 })
	add("plain", 1, 40, point.Integer, func(int) uint64 { return next(1 << 20) })
	add("scaled", 1, 40, point.Integer, func(int) uint64 { return 7 - 1000*next(90) })
	add("delta", 3, 20, point.Integer, func(i int) uint64 { return uint64(i*1000) + next(10) })
	add("patched", 1, 200, point.Integer, func(i int) uint64 { return next(4) + uint64(i%50/49)<<40 })
	add("chunked", 1, 384, point.Integer, func(i int) uint64 { return next(2 << (i / 128 * 12)) })
	add("runs", 1, 300, point.Integer, func(i int) uint64 { return uint64(i*i/8000) << 20 })
	add("dictionary", 1, 400, point.Integer, func(int) uint64 { return []uint64{0, 1 << 40, 1<<41 + 1}[next(3)] })
	add("symbols", 1, 600, point.Integer, func(int) uint64 { return next(next(next(9)+1) + 1) })
	add("buckets", 1, 600, point.Integer, func(int) uint64 { return next(1 << next(next(20)+1)) })
	add("few symbols", 1, 600, point.Boolean, func(i int) uint64 { return next(next(30)+1) / 20 })
	add("decimals", 1, 30, point.Float, func(int) uint64 { return bitsOf(float64(next(1000)) / 100) })
	add("exceptions", 1, 60, point.Float, func(i int) uint64 {
		if i%25 == 3 {
			return bitsOf([]float64{math.NaN(), math.Inf(-1), math.Copysign(0, -1)}[i%3])
		}
		return bitsOf(float64(next(1000)))
	})
	add("bits", 1, 20, point.Float, func(i int) uint64 { return bitsOf(1 / float64(1+next(1000)) * (1 - 2*float64(i%2))) })
	add("booleans", 1, 20, point.Boolean, func(int) uint64 { return next(2) })

	text := func(name string, n int, value func(i int) string) {
		r := grid(1, n)
		r.Columns = []*point.Column{textColumn(3, n, value)}
		cases = append(cases, formatCase{name, r})
	}
	text("text", 5, func(i int) string { return strings.Repeat("x", i) + fmt.Sprint(next(1000)) })
	text("compressed text", 20, func(i int) string { return fmt.Sprintf("line %d of something long", i) })
	text("words", 20, func(int) string { return []string{"up", "down", ""}[next(3)] })

	timed := func(name string, series int, step func(i int) int64) {
		r := &Rows{}
		for s := range series {
			at := testStart
			for i := range 20 + s {
				r.Times = append(r.Times, at)
				at += step(i)
			}
			r.Series, r.Ends = append(r.Series, point.SeriesID(3+9*s)), append(r.Ends, uint32(len(r.Times)))
		}
		cases = append(cases, formatCase{name, r})
	}
	timed("regular times", 3, func(int) int64 { return 10 * sec })
	timed("irregular times", 2, func(int) int64 { return 1 + int64(next(60e9)) })
	r := &Rows{Series: []point.SeriesID{1}, Ends: []uint32{300}}
	for i := range 300 {
		r.Times = append(r.Times, testStart+int64(i)*10*sec+int64(next(1000))*1e6)
	}
	cases = append(cases, formatCase{"jittered times", r})

	sparse := func(name string, keep func(i int) bool) {
		r := grid(2, 50)
		value := func(int) uint64 { return next(100) }
		r.Columns = []*point.Column{
			thin(column(1, point.Integer, 100, value), keep), column(200, point.Unsigned, 100, value), thin(column(300, point.Integer, 100, value), keep),
		}
		cases = append(cases, formatCase{name, r})
	}
	sparse("listed rows", func(i int) bool { return i%40 == 3 })
	sparse("runs of rows", func(i int) bool { return i%60 < 30 })
	sparse("bitmap of rows", func(int) bool { return next(2) == 0 })
	return cases
}

// TestFormat holds the bytes of version 1 still: disks are full of them. What the
// file has must be readable for ever. If only what is written differs, and on
// purpose (a better choice, another release of the compression library), write
// the file anew with -rewrite, under new names if the old cases are not covered.
func TestFormat(t *testing.T) {
	levels := []string{Fast: "fast", Best: "best"}
	if *rewrite {
		var out bytes.Buffer
		for _, c := range formatCases() {
			for level, name := range levels {
				data, err := new(Encoder).Encode(nil, 7, c.rows, Level(level))
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&out, "%s/%s %x\n", c.name, name, data)
			}
		}
		if err := os.WriteFile(formatFile, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(formatFile)
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string][]byte{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		if stored[line[:i]], err = hex.DecodeString(line[i+1:]); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range formatCases() {
		for level, name := range levels {
			name = c.name + "/" + name
			want := stored[name]
			b, err := Parse(want)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if err := equalRows(b, c.rows); err != nil {
				t.Errorf("%s: read: %v", name, err)
			}
			if err := b.Verify(); err != nil {
				t.Errorf("%s: verify: %v", name, err)
			}
			got, err := new(Encoder).Encode(nil, 7, c.rows, Level(level))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: written otherwise (%v):\ngot  %x\nwant %x", name, err, got, want)
			}
		}
	}
}

// TestFormatCodings sees to it that every coding is held still.
func TestFormatCodings(t *testing.T) {
	var all strings.Builder
	for _, c := range formatCases() {
		for _, l := range []Level{Fast, Best} {
			data, err := new(Encoder).Encode(nil, 7, c.rows, l)
			if err != nil {
				t.Fatal(err)
			}
			b, err := Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			infos, err := b.Describe()
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range infos {
				fmt.Fprintln(&all, c.name, l, s)
			}
		}
	}
	text := all.String()
	t.Log(text)
	var names []string
	names = append(names, intsNames[:]...)
	names = append(names, residualNames[:]...)
	names = append(names, symbolNames[symbolsHuffman:]...)
	names = append(names, "shared", "bits", "decimal", "text", "zstd", "patches", "*")
	names = append(names, rowSetNames[:]...)
	for _, name := range names {
		if !strings.Contains(text, name) {
			t.Errorf("no case has %q", name)
		}
	}
}

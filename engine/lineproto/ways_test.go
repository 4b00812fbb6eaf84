package lineproto

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headgate/engine/point"
	"headgate/engine/testkit"
)

// ways parses bodies in every way that there is and compares.
type ways struct {
	reference Parser // general way only
	noFree    Parser
	warm      Parser // has an index, knows the series from the second time on
	fresh     Parser // no index, no series
	index     *Index
	store     testStore
	epoch     uint64
}

func newWays() *ways {
	w := &ways{index: NewIndex(1 << 20)}
	w.reference.noFast = true
	w.noFree.noFree = true
	return w
}

// parse returns what all ways agree on: the batch as text, or the message.
func (w *ways) parse(t testing.TB, body []byte, o Options) string {
	t.Helper()
	before := bytes.Clone(body)
	run := func(name string, p *Parser, o Options) string {
		b := new(point.Batch)
		if err := p.Parse(b, body, o); err != nil {
			if b.Points() != 0 || len(b.NewSeries) != 0 || len(b.Tables) != 0 {
				t.Fatalf("%s: batch not empty after %v", name, err)
			}
			se := err.(*SyntaxError)
			return fmt.Sprintf("%d %d %v", se.Line, se.Malformed, err)
		}
		if !bytes.Equal(body, before) {
			t.Fatalf("%s changed the body", name)
		}
		text := dump(b, w.store.key)
		if o.Series != nil {
			w.store.define(b)
		}
		return text
	}
	want := run("general", &w.reference, o)
	known := o
	known.Index, known.Series, known.Epoch = w.index, &w.store, w.epoch
	for _, try := range []struct {
		name string
		p    *Parser
		o    Options
	}{{"fresh", &w.fresh, o}, {"warm 1", &w.warm, known}, {"warm 2", &w.warm, known}, {"warm 3", &w.warm, known}, {"warm, no free", &w.noFree, known}} {
		if got := run(try.name, try.p, try.o); got != want {
			t.Fatalf("%s: body %.2000q\n%s", try.name, body, firstDifference(got, want))
		}
	}
	return want
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf(" got %.2000s\nwant %.2000s", g[i], strings.Join(w[i:min(i+1, len(w))], ""))
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}

// realBodies are the lines that agents send, if they are at hand, and some of ours.
func realBodies(t testing.TB) [][]byte {
	rng := rand.New(rand.NewPCG(7, 7))
	bodies := [][]byte{cpuBody(rng, 20, 100), devopsBody(rng, 5, 200), wideBody(rng, 3)}
	files, _ := filepath.Glob(filepath.Join("..", "..", "..", "shared", "data", "real", "*.lp*"))
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		var r io.Reader = f
		if strings.HasSuffix(name, ".gz") {
			if r, err = gzip.NewReader(f); err != nil {
				t.Fatal(err)
			}
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		bodies = append(bodies, body)
	}
	return bodies
}

func TestWaysAgreeOnRealBodies(t *testing.T) {
	for _, body := range realBodies(t) {
		w := newWays()
		got := w.parse(t, body, Options{Now: 12345678901234567})
		if !strings.HasSuffix(got, "time=false") {
			t.Errorf("body %.100q: %.300s", body, got)
		}
		if c := w.warm.counts; c.general > (c.predicted+c.free)/10 {
			t.Errorf("body %.60q: ways %+v", body, c)
		}
	}
}

// pieces are what random lines are made of: the odd sides of the grammar.
var pieces = []string{" ", " ", " ", ",", ",", "=", "=", "=", "\"", "\"", "\\", "\\", "\n", "\n", "\n", "\r\n", "\r", "\t", "\x00", "#", "m", "cpu", "a", "b", "time", "_field",
	"t=a", "host=x", ",t=a", ",host=b", "f=1", "g=2i", "h=3u", "b=t", "b=false", "b=T", "s=\"x y\"", "s=\"a,b=c\"", "s=\"\\\"\"", "s=\"l1\nl2\"", "f=1.5,g=2i", "=1", "=-1.5e3", "1e400", "NaN", "-", "+", "i", "u", "e", ".", "0",
	"1", "1234567890123456789", "99999999999999999999", " 1700000000000000000", " -5", " 9223372036854775807", "\\ ", "\\,", "\\=", "\\\\", "\\\"", "é", "\xff", "m f=1 1\n", "m,t=a f=1,g=2i 5\n", "cpu,host=x f=2,g=2i 5\n", "m s=\"x\",b=true 7\n",
	"m,t=a g=1i,f=2 3\n", "cpu,host=x f=2i\n", "t==x", "m\\ n", "a\\,b=", "a\\\\=", "'"}

func randomBody(rng *rand.Rand) []byte {
	var b []byte
	for range 1 + rng.IntN(40) {
		b = append(b, pieces[rng.IntN(len(pieces))]...)
	}
	return b
}

func TestWaysAgreeOnRandomBodies(t *testing.T) {
	rng := newRand(t)
	n := testkit.Rounds(10000)
	w := newWays()
	good := 0
	for i := range n {
		if i%50 == 0 {
			w = newWays()
		}
		if i%7 == 0 {
			w.epoch++
		}
		o := Options{Now: rng.Int64(), Precision: []point.Precision{0, point.Nanosecond, point.Microsecond, point.Millisecond, point.Second, point.Minute, point.Hour, point.AutoPrecision}[rng.IntN(8)]}
		if got := w.parse(t, randomBody(rng), o); !strings.Contains(got, "unable to parse") {
			good++
		}
	}
	t.Logf("%d of %d bodies are good", good, n)
}

// mutated changes a few bytes, or moves a few pieces around.
func mutated(rng *rand.Rand, body []byte) []byte {
	b := append([]byte("m"), body...)[min(1, len(body)):]
	for range 1 + rng.IntN(3) {
		i := rng.IntN(len(b))
		switch rng.IntN(6) {
		case 0:
			b[i] = byte(rng.Uint32())
		case 1:
			b = append(b[:i], b[min(i+1+rng.IntN(4), len(b)):]...)
		case 2, 3:
			piece := pieces[rng.IntN(len(pieces))]
			b = append(b[:i], append([]byte(piece), b[i:]...)...)
		case 4:
			j := rng.IntN(len(b))
			i, j = min(i, j), min(max(i, j), min(i, j)+200)
			b = append(b, b[i:j]...)
		case 5:
			b = b[:i]
		}
		if len(b) == 0 {
			b = []byte{'m'}
		}
	}
	return b
}

func TestWaysAgreeOnMutatedBodies(t *testing.T) {
	rng := newRand(t)
	n := testkit.Rounds(1000)
	bodies := realBodies(t)
	var w *ways
	good := 0
	for i := range n {
		if i%20 == 0 {
			w = newWays()
		}
		lines := bytes.SplitAfter(bodies[rng.IntN(len(bodies))], []byte("\n"))
		from := rng.IntN(len(lines))
		to := min(from+1+rng.IntN(30), len(lines))
		if got := w.parse(t, mutated(rng, bytes.Join(lines[from:to], nil)), Options{Now: 1}); !strings.Contains(got, "unable to parse") {
			good++
		}
	}
	t.Logf("%d of %d bodies are good", good, n)
}

// FuzzParse parses two bodies one after the other, so that the second meets what was
// learned from the first.
func FuzzParse(f *testing.F) {
	for i, s := range pieces {
		f.Add([]byte("m,t=a "+s+"f=1 1\n"+s), []byte("m,t=a f=1 1\n"+pieces[(i+7)%len(pieces)]+s), uint8(i))
	}
	f.Add([]byte("s=\"2222=true f=1\n s=\"2222=true 7\nf=1,g=\"\""), []byte("s=\"2222=true 7\nf=1,g=\"\"\n"), uint8(0))
	f.Add([]byte("cpu,host=a,region=b usage=1.5,n=2i,u=3u,b=true,s=\"x\\\"y\" 1700000000000000000\n# c\n\ncpu,host=a f=1"), []byte("cpu,host=a,region=b usage=2.5,n=-2i,u=4u,b=f,s=\"x\" 1700000000000000000\n"), uint8(0))
	f.Fuzz(func(t *testing.T, first, second []byte, precision uint8) {
		o := Options{Now: 1700000000123456789, Precision: []point.Precision{point.Nanosecond, point.Microsecond, point.Millisecond, point.Second, point.AutoPrecision}[precision%5]}
		w := newWays()
		w.parse(t, first, o)
		w.parse(t, second, o)
		// Long bodies are read from where they are, short ones from a copy.
		w.parse(t, append(append(append([]byte(nil), second...), '\n'), bytes.Repeat([]byte("m,t=a f=1 1\n"), 20)...), o)
	})
}

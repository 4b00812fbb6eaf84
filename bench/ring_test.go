package bench

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

func testRing(t *testing.T, w Workload, conn, conns, lines int, gz bool) *Ring {
	t.Helper()
	r, err := newRing(ringOptions{
		workload: w, seed: 3, hosts: 7, conn: conn, conns: conns, lines: lines, bytesMax: 1, bodiesMax: 4, gzip: gz,
		start: time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC), target: Target{host: "h"}, head: head{method: "POST", path: "/w"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// lineForm is line protocol as the workloads use it: no escapes outside strings.
var lineForm = regexp.MustCompile(`^[a-z]+(,[a-z_]+=[^ ,=]+)* ([a-z_0-9]+=(-?[0-9]+i|-?[0-9.]+|true|false|"[a-z ]*")(,|[ ]))+[0-9]{19}$`)

func TestWorkloads(t *testing.T) {
	wantValues := map[Workload]float64{CPU: 10, Single: 10, Devops: 11.2, Wide: 200, HighCard: 1}
	for _, w := range Workloads() {
		t.Run(string(w), func(t *testing.T) {
			const conns = 2
			points, values := 0, 0
			seen := map[string]int{}      // series and time -> connection
			newest := map[string]string{} // series -> time
			for conn := range conns {
				ring := testRing(t, w, conn, conns, 50, false)
				for range 9 { // several times round
					b := ring.Next()
					lines := strings.Split(strings.TrimSuffix(string(b.Text()), "\n"), "\n")
					if len(lines) != 50 || b.Points != 50 || b.lineBytes != len(b.Text()) {
						t.Fatalf("%d lines, %d points, %d bytes of %d", len(lines), b.Points, b.lineBytes, len(b.Text()))
					}
					for _, line := range lines {
						if !lineForm.MatchString(line) {
							t.Fatalf("not a line: %s", line)
						}
						series, _, _ := strings.Cut(line, " ")
						at := line[len(line)-timeDigits:]
						if other, ok := seen[series+" "+at]; ok {
							t.Fatalf("connection %d sends again what connection %d sent: %s at %s", conn, other, series, at)
						}
						seen[series+" "+at] = conn
						if at <= newest[series] {
							t.Fatalf("%s goes back in time, from %s to %s", series, newest[series], at)
						}
						newest[series] = at
					}
					points += b.Points
					values += b.Values
				}
				if ring.Repeats() {
					t.Error("the ring says it repeats points")
				}
			}
			if mean := float64(values) / float64(points); mean < wantValues[w]-0.5 || mean > wantValues[w]+0.5 {
				t.Errorf("%.2f values a point, want about %.1f", mean, wantValues[w])
			}
			switch w {
			case HighCard:
				if len(newest) != points {
					t.Errorf("%d series in %d points", len(newest), points)
				}
			case Devops:
				if len(newest) != 7*9 {
					t.Errorf("%d series", len(newest))
				}
			default:
				if len(newest) != 7 {
					t.Errorf("%d series", len(newest))
				}
			}
		})
	}
}

func TestCPULineLength(t *testing.T) {
	r := testRing(t, CPU, 0, 1, 1000, false)
	if n := len(r.Next().Text()) / 1000; n < 330 || n > 360 {
		t.Errorf("a line has %d bytes on average", n)
	}
}

func TestSeedMakesTheSameBodies(t *testing.T) {
	a, b := testRing(t, Devops, 1, 3, 100, false), testRing(t, Devops, 1, 3, 100, false)
	for range 5 {
		if !bytes.Equal(a.Next().Text(), b.Next().Text()) {
			t.Fatal("the same seed made different bodies")
		}
	}
}

func TestGzipRing(t *testing.T) {
	plain, packed := testRing(t, CPU, 0, 1, 100, false), testRing(t, CPU, 0, 1, 100, true)
	for i := range len(packed.bodies) {
		b := packed.Next()
		zr, err := gzip.NewReader(bytes.NewReader(b.Wire()))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(zr)
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
}

func TestShiftAllocatesNothing(t *testing.T) {
	r := testRing(t, CPU, 0, 1, 1000, false)
	if n := testing.AllocsPerRun(20, func() { r.Next() }); n != 0 {
		t.Errorf("%v allocations a body", n)
	}
}

func BenchmarkRingNext(b *testing.B) {
	for _, w := range []Workload{CPU, HighCard} {
		b.Run("workload="+string(w)+"/points=5000", func(b *testing.B) {
			r, err := newRing(ringOptions{
				workload: w, seed: 3, hosts: 1000, conns: 1, lines: 5000, bytesMax: 1, bodiesMax: 2,
				start: time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC), head: head{method: "POST", path: "/w"},
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

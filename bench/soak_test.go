package bench

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/engine/testkit"
)

// TestSoak is `headgate bench soak`, much shorter: it shows that the run can be made
// and what it reads back, and no more about what grows.
func TestSoak(t *testing.T) {
	binary := serverBinary(t)
	testkit.CheckLeaks(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var progress bytes.Buffer
	report, err := Soak(ctx, SoakOptions{
		Server: binary, Duration: 1500 * time.Millisecond, Share: 30, Writers: 3, Lines: 50, Hosts: 5, Generations: 4, Backups: 1,
		Dir: t.TempDir(), Progress: &progress,
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	var text strings.Builder
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if !report.Passed() {
		t.Fatal(text.String())
	}
	if report.Points == 0 || report.Verified == 0 || report.Queries == 0 || report.Deletes == 0 || report.Backups != 1 {
		t.Errorf("the run shows nothing:\n%s", text.String())
	}
	if len(report.Samples) == 0 || report.Samples[0].Goroutines == 0 || report.Samples[0].HeapBytes == 0 || report.Samples[0].LogBytes == 0 {
		t.Errorf("samples %+v", report.Samples)
	}
	file := filepath.Join(t.TempDir(), "soak.json")
	var json, page bytes.Buffer
	if err := report.WriteJSON(&json); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, json.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteHTML(&page, file); err != nil || !strings.Contains(page.String(), "goroutines and descriptors") {
		t.Errorf("page of %d bytes, %v", page.Len(), err)
	}
	t.Log(text.String())
}

// TestSoakFault walks through what can be wrong with what was read.
func TestSoakFault(t *testing.T) {
	k := soakKey{0, 3}
	ledger := func(current int, acked, unsure soakSum, deleted bool) *soakLedger {
		l := newSoakLedger(1)
		l.current[0], l.acked[k], l.unsure[k] = current, acked, unsure
		if deleted {
			l.deleted[k] = true
		}
		return l
	}
	over, now := ledger(4, soakSum{10, 55}, soakSum{}, false), ledger(3, soakSum{10, 55}, soakSum{}, false)
	later, unsure := ledger(3, soakSum{30, 99}, soakSum{}, false), ledger(4, soakSum{10, 55}, soakSum{2, 7}, false)
	gone := ledger(4, soakSum{10, 55}, soakSum{}, true)
	for _, c := range []struct {
		name        string
		got         soakSum
		least, most *soakLedger
		deleting    bool
		want        string
	}{
		{"as it was", soakSum{10, 55}, over, over, false, ""},
		{"one is missing", soakSum{9, 54}, over, over, false, "lost"},
		{"another value", soakSum{10, 56}, over, over, false, "with the sum 56"},
		{"one too many", soakSum{11, 55}, over, over, false, "11 points"},
		{"a batch under way", soakSum{15, 60}, now, now, false, ""},
		{"more than was sent", soakSum{16, 60}, now, now, false, "invented"},
		{"between two moments", soakSum{20, 80}, now, later, false, ""},
		{"before both", soakSum{9, 80}, now, later, false, "lost"},
		{"without the unanswered", soakSum{10, 55}, unsure, unsure, false, ""},
		{"with the unanswered", soakSum{12, 62}, unsure, unsure, false, ""},
		{"deleted", soakSum{}, gone, gone, true, ""},
		{"deleted and back", soakSum{1, 1}, gone, gone, true, "back"},
		{"being deleted", soakSum{3, 3}, over, over, true, ""},
	} {
		got := soakFault(c.got, k, c.least, c.most, 5, c.deleting)
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestSoakTrends(t *testing.T) {
	samples := func(n int, rss func(second int) float64) []SoakSample {
		var all []SoakSample
		for i := range n {
			all = append(all, SoakSample{Seconds: float64(i), RSSBytes: rss(i), Goroutines: 50})
		}
		return all
	}
	const mib = 1 << 20
	sawtooth := func(i int) float64 { return float64(300+i%40) * mib }
	for _, c := range []struct {
		name         string
		n            int
		rss          func(int) float64
		judged, flat bool
	}{
		{"flat", 600, sawtooth, true, true},
		{"grows at the beginning only", 600, func(i int) float64 { return float64(300+min(i, 300)) * mib }, true, true},
		{"leaks", 600, func(i int) float64 { return sawtooth(i) + float64(i)*mib/2 }, true, false},
		{"too short", 50, func(i int) float64 { return float64(i*100) * mib }, false, true},
	} {
		trends := soakTrends(samples(c.n, c.rss))
		if got := trends[0]; got.Judged != c.judged || got.Flat != c.flat {
			t.Errorf("%s: %+v", c.name, got)
		}
		if got := trends[2]; c.judged && (got.Mean != 50 || got.PerHour != 0) {
			t.Errorf("%s: goroutines %+v", c.name, got)
		}
	}
	if slope, mean := regression([]float64{1, 2, 3}, []float64{5, 7, 9}); slope != 2 || mean != 7 {
		t.Errorf("slope %v, mean %v", slope, mean)
	}
}

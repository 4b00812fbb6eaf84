package lineproto

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"headgate/engine/point"
)

// benchStore knows every series that has been written to it.
type benchStore struct {
	series       map[string]point.SeriesID
	measurements map[string]point.MeasurementID
	ids          []point.MeasurementID
}

func (s *benchStore) LookupSeries(key []byte) (point.SeriesID, point.MeasurementID, bool) {
	id, ok := s.series[string(key)]
	if !ok {
		return 0, 0, false
	}
	return id, s.ids[id-1], true
}

// define gives every new series of a batch an id.
func (s *benchStore) define(b *point.Batch) {
	if s.series == nil {
		s.series, s.measurements = map[string]point.SeriesID{}, map[string]point.MeasurementID{}
	}
	for i := range b.NewSeries {
		n := &b.NewSeries[i]
		t := b.Tables[n.Table]
		m, ok := s.measurements[string(t.Name)]
		if !ok {
			m = point.MeasurementID(len(s.measurements) + 1)
			s.measurements[string(t.Name)] = m
		}
		t.ID = m
		n.ID = point.SeriesID(len(s.series) + 1)
		s.series[string(n.Key)] = n.ID
		s.ids = append(s.ids, m)
	}
	for _, t := range b.Tables {
		for i, ref := range t.Series {
			if ref.IsNew() {
				t.Series[i] = point.SeriesRef(b.NewSeries[ref.NewIndex()].ID)
			}
		}
	}
}

var cpuFields = []string{"usage_user", "usage_system", "usage_idle", "usage_nice", "usage_iowait", "usage_irq", "usage_softirq", "usage_steal", "usage_guest", "usage_guest_nice"}

func hostTags(rng *rand.Rand, host int) string {
	regions := []string{"us-east-1", "eu-central-1", "ap-southeast-2", "sa-east-1"}
	region := regions[rng.IntN(len(regions))]
	return fmt.Sprintf("hostname=host_%d,region=%s,datacenter=%s%c,rack=%d,os=Ubuntu16.04LTS,arch=x86,team=%s,service=%d,service_version=%d,service_environment=%s",
		host, region, region, 'a'+rng.IntN(3), rng.IntN(100), []string{"SF", "NYC", "LON", "CHI"}[rng.IntN(4)], rng.IntN(20), rng.IntN(2), []string{"test", "staging", "production"}[rng.IntN(3)])
}

// cpuBody is lines of ten tags and ten integer fields, as TSBS makes them.
func cpuBody(rng *rand.Rand, hosts, lines int) []byte {
	tags := make([]string, hosts)
	for i := range tags {
		tags[i] = hostTags(rng, i)
	}
	var b strings.Builder
	for i := range lines {
		b.WriteString("cpu," + tags[i%hosts] + " ")
		for j, f := range cpuFields {
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "%s=%di", f, rng.IntN(101))
		}
		fmt.Fprintf(&b, " %d\n", 1451606400000000000+int64(i/hosts)*10_000_000_000)
	}
	return []byte(b.String())
}

// devopsBody is nine measurements with floats and integers, interleaved.
func devopsBody(rng *rand.Rand, hosts, lines int) []byte {
	tags := make([]string, hosts)
	for i := range tags {
		tags[i] = hostTags(rng, i)
	}
	kinds := []string{"cpu", "diskio", "disk", "kernel", "mem", "net", "nginx", "postgresl", "redis"}
	var b strings.Builder
	for i := range lines {
		kind, host := i%len(kinds), i/len(kinds)
		fmt.Fprintf(&b, "%s,%s ", kinds[kind], tags[host%hosts])
		for j := range 5 + 3*kind%11 {
			if j > 0 {
				b.WriteByte(',')
			}
			if (kind+j)%3 == 0 {
				fmt.Fprintf(&b, "%s_field_%d=%v", kinds[kind], j, rng.Float64()*100)
			} else {
				fmt.Fprintf(&b, "%s_field_%d=%di", kinds[kind], j, rng.Int64N(1<<(5+3*(j%10))))
			}
		}
		fmt.Fprintf(&b, " %d\n", 1451606400000000000+int64(host/hosts)*10_000_000_000)
	}
	return []byte(b.String())
}

// wideBody is lines of 200 fields of all types.
func wideBody(rng *rand.Rand, lines int) []byte {
	var b strings.Builder
	for i := range lines {
		fmt.Fprintf(&b, "machine,id=%d,line=a ", i%50)
		for j := range 200 {
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "sensor_%d_value=", j)
			switch j % 5 {
			case 0:
				fmt.Fprintf(&b, "%.3f", rng.NormFloat64()*50)
			case 1:
				fmt.Fprintf(&b, "%di", rng.IntN(100000)-50000)
			case 2:
				fmt.Fprintf(&b, "%t", rng.IntN(2) == 0)
			case 3:
				fmt.Fprintf(&b, `"state %d"`, rng.IntN(10))
			case 4:
				fmt.Fprintf(&b, "%v", rng.Float64())
			}
		}
		fmt.Fprintf(&b, " %d\n", 1700000000000+int64(i))
	}
	return []byte(b.String())
}

// sparseBody is lines with a random choice of the cpu fields each.
func sparseBody(rng *rand.Rand, lines int) []byte {
	var b strings.Builder
	for i := range lines {
		fmt.Fprintf(&b, "cpu,host=host_%d usage_user=%di", i%100, rng.IntN(100))
		for _, f := range cpuFields[1:] {
			if rng.IntN(2) == 0 {
				fmt.Fprintf(&b, ",%s=%.2f", f, rng.Float64()*100)
			}
		}
		fmt.Fprintf(&b, " %d\n", 1451606400000000000+int64(i))
	}
	return []byte(b.String())
}

// shuffled is body's lines in random order.
func shuffled(rng *rand.Rand, body []byte) []byte {
	lines := strings.SplitAfter(string(body), "\n")
	rng.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	return []byte(strings.Join(lines, ""))
}

// cpuTime is what the process has used. On a busy machine it says more than the clock.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkParse(b *testing.B) {
	rng := rand.New(rand.NewPCG(42, 1))
	many := cpuBody(rng, 100_000, 100_000)
	for _, bm := range []struct {
		name string
		body []byte
		o    Options
		cold bool // nothing is known before
	}{
		{name: "cpu", body: cpuBody(rng, 4000, 10_000)},
		{name: "cpu/shuffled", body: shuffled(rng, cpuBody(rng, 4000, 10_000))},
		{name: "devops", body: devopsBody(rng, 1000, 10_000)},
		{name: "wide", body: wideBody(rng, 200)},
		{name: "highcard", body: many},
		{name: "highcard/shuffled", body: shuffled(rng, many)},
		{name: "single", body: cpuBody(rng, 1, 1)},
		{name: "cold", body: cpuBody(rng, 10_000, 10_000), cold: true},
		{name: "unpredictable", body: sparseBody(rng, 10_000)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			lines := strings.Count(string(bm.body), "\n")
			o := bm.o
			var store benchStore
			o.Index, o.Series = NewIndex(256<<20), &store
			var p Parser
			for range 3 {
				batch := new(point.Batch)
				if err := p.Parse(batch, bm.body, o); err != nil {
					b.Fatal(err)
				}
				store.define(batch)
			}
			if bm.cold {
				o = bm.o
			}
			batch := new(point.Batch)
			b.SetBytes(int64(len(bm.body)))
			b.ReportAllocs()
			cpu := cpuTime()
			for b.Loop() {
				if err := p.Parse(batch, bm.body, o); err != nil {
					b.Fatal(err)
				}
				batch.Reset()
			}
			total := float64(b.N) * float64(lines)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/total, "ns/line")
			b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/total, "cpu-ns/line")
		})
	}
}

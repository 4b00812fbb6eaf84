package bench

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Workload names a kind of data to write.
type Workload string

// The workloads. All but HighCard are fleets of hosts that report every 10 s, as
// the Time Series Benchmark Suite draws them.
const (
	// CPU is TSBS cpu-only: one measurement, 10 tags, 10 integer fields, about 346
	// bytes a line.
	CPU Workload = "cpu"
	// Single is CPU with one line per request.
	Single Workload = "single"
	// Devops is TSBS devops: nine measurements a host, 11 fields a line on average.
	Devops Workload = "devops"
	// Wide is one measurement with 200 fields of all types, about 4 KB a line.
	Wide Workload = "wide"
	// HighCard has one float field and 3 tags, and every line is a new series.
	HighCard Workload = "highcard"
)

// Workloads lists every workload.
func Workloads() []Workload { return []Workload{CPU, Single, Devops, Wide, HighCard} }

// ParseWorkload checks a workload's name.
func ParseWorkload(name string) (Workload, error) {
	if w := Workload(name); slices.Contains(Workloads(), w) {
		return w, nil
	}
	return "", fmt.Errorf("bench: unknown workload %q; there are %s", name, workloadNames())
}

func workloadNames() string {
	var b strings.Builder
	for i, w := range Workloads() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}

// reportStep is the time between two reports of one host.
const reportStep = 10 * time.Second

// lineSource makes line protocol, a line at a time, for ever.
type lineSource interface {
	appendLine(b *Body)
}

// newLineSource makes connection conn's share of a workload: the hosts, or the
// series, are dealt out among conns connections, so that each series is written
// by one connection only and its points arrive in order of time.
func newLineSource(w Workload, seed uint64, hosts, conn, conns int, start time.Time) lineSource {
	if w == HighCard {
		return newSeriesSource(seed, conn, conns, start)
	}
	return newFleetSource(w, seed, hosts, conn, conns, start)
}

// rngFor returns the generator of random numbers of one thing of a workload, so
// that what a host reports does not depend on how hosts are dealt out.
func rngFor(seed uint64, thing int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(thing)))
}

// fleetSource reports on hosts in turn; when each has reported the time moves on.
type fleetSource struct {
	hosts []*fleetHost
	// next is the host and the measurement of it that come next.
	nextHost, nextPart int
	now                int64 // ns
}

// fleetHost is one host with the state of its fields.
type fleetHost struct {
	parts []fleetPart
}

// fleetPart is one measurement of one host: a series.
type fleetPart struct {
	// prefix is the measurement and the tags, with the space after them.
	prefix []byte
	fields []fieldState
}

func newFleetSource(w Workload, seed uint64, hosts, conn, conns int, start time.Time) *fleetSource {
	s := &fleetSource{now: start.UnixNano()}
	shapes := shapesOf(w)
	for id := conn; id < max(hosts, conns); id += conns {
		rng := rngFor(seed, id)
		tags := appendHostTags(nil, id, rng)
		h := &fleetHost{}
		for _, shape := range shapes {
			prefix := append([]byte(shape.name), tags...)
			prefix = append(shape.appendTags(prefix, rng), ' ')
			part := fleetPart{prefix: prefix}
			for _, f := range shape.fields {
				part.fields = append(part.fields, newFieldState(f, rng))
			}
			h.parts = append(h.parts, part)
		}
		s.hosts = append(s.hosts, h)
	}
	return s
}

func (s *fleetSource) appendLine(b *Body) {
	h := s.hosts[s.nextHost]
	part := &h.parts[s.nextPart]
	b.text = append(b.text, part.prefix...)
	for i := range part.fields {
		if i > 0 {
			b.text = append(b.text, ',')
		}
		b.text = part.fields[i].appendNext(b.text)
	}
	b.text = append(b.text, ' ')
	b.appendTime(s.now)
	b.text = append(b.text, '\n')
	b.Points++
	b.Values += len(part.fields)

	if s.nextPart++; s.nextPart == len(h.parts) {
		s.nextPart = 0
		if s.nextHost++; s.nextHost == len(s.hosts) {
			s.nextHost = 0
			s.now += int64(reportStep)
		}
	}
}

var regions = []struct {
	name  string
	zones string
}{
	{"us-east-1", "abce"}, {"us-west-1", "ab"}, {"us-west-2", "abc"}, {"eu-west-1", "abc"}, {"eu-central-1", "ab"},
	{"ap-southeast-1", "ab"}, {"ap-southeast-2", "ab"}, {"ap-northeast-1", "ac"}, {"sa-east-1", "abc"},
}

// appendHostTags appends the ten tags of a host, each with the comma before it.
func appendHostTags(dst []byte, id int, rng *rand.Rand) []byte {
	region := regions[rng.IntN(len(regions))]
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	return fmt.Appendf(dst,
		",hostname=host_%d,region=%s,datacenter=%s%c,rack=%d,os=%s,arch=%s,team=%s,service=%d,service_version=%d,service_environment=%s",
		id, region.name, region.name, region.zones[rng.IntN(len(region.zones))], rng.IntN(100),
		pick("Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"), pick("x64", "x86"), pick("SF", "NYC", "LON", "CHI"),
		rng.IntN(20), rng.IntN(2), pick("production", "staging", "test"))
}

// seriesSource makes every line a new series.
type seriesSource struct {
	rng         *rand.Rand
	next, step  int64
	now         int64
	linesPerNow int
	left        int
}

func newSeriesSource(seed uint64, conn, conns int, start time.Time) *seriesSource {
	const linesPerNow = 1000
	return &seriesSource{
		rng: rngFor(seed, conn), next: int64(conn), step: int64(conns),
		now: start.UnixNano(), linesPerNow: linesPerNow, left: linesPerNow,
	}
}

func (s *seriesSource) appendLine(b *Body) {
	b.text = append(b.text, "hc,id="...)
	b.appendSeriesID(s.next)
	b.text = append(b.text, ",region="...)
	b.text = append(b.text, regions[s.next%int64(len(regions))].name...)
	b.text = append(b.text, ",service="...)
	b.text = strconv.AppendInt(b.text, s.next%20, 10)
	b.text = append(b.text, " value="...)
	b.text = strconv.AppendFloat(b.text, float64(s.rng.IntN(100_000))/100, 'f', -1, 64)
	b.text = append(b.text, ' ')
	b.appendTime(s.now)
	b.text = append(b.text, '\n')
	b.Points++
	b.Values++
	s.next += s.step
	if s.left--; s.left == 0 {
		s.left = s.linesPerNow
		s.now += int64(reportStep)
	}
}

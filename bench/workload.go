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

// The workloads. CPU, Single, Devops, Wide and Floats are fleets of hosts that report
// every 10 s, as the Time Series Benchmark Suite draws them.
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
	// Floats is CPU with ten float fields whose digits are all random: what cannot be
	// compressed.
	Floats Workload = "floats"
	// HighCard has one float field and 3 tags, and every line is a new series.
	HighCard Workload = "highcard"
	// Mixed is lines of CPU, Devops, Wide, HighCard and, with a file, Real in turn.
	// The file's measurements get real_ before their names, since their fields may
	// have other types.
	Mixed Workload = "mixed"
	// Real replays a file of line protocol; see LoadOptions.File.
	Real Workload = "real"
)

// Workloads lists every workload.
func Workloads() []Workload {
	return []Workload{CPU, Single, Devops, Wide, Floats, HighCard, Mixed, Real}
}

// ParseWorkload checks a workload's name.
func ParseWorkload(name string) (Workload, error) {
	if w := Workload(name); slices.Contains(Workloads(), w) {
		return w, nil
	}
	return "", fmt.Errorf("bench: unknown workload %q; there are %s", name, namesOf(Workloads()))
}

func namesOf[T ~string](of []T) string {
	var b strings.Builder
	for i, w := range of {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}

// reportStep is the time between two reports of one host unless another is asked for.
const reportStep = 10 * time.Second

// lineSource makes line protocol, a line at a time, for ever.
type lineSource interface {
	appendLine(b *Body)
	// round is how many lines it takes until every series has reported again.
	round() int
}

// sourceOptions says what one connection sends.
type sourceOptions struct {
	workload     Workload
	seed         uint64
	hosts        int
	conn, conns  int
	start        time.Time
	interval     time.Duration // between two reports of a host; 0 is reportStep
	firstSeries  int64
	seriesPerNow int // lines of HighCard with the same time; 0 is seriesLinesPerNow
	churn        float64
	outOfOrder   float64
	duplicates   float64
	precision    Precision
	file         *replayFile // nil without one
	firstHost    int         // of this part of Mixed
	hostsOfParts int         // of all parts together
	replayPrefix string      // of measurements in file
}

// newLineSource makes connection conn's share of a workload: the hosts, or the
// series, are dealt out among conns connections, so that each series is written
// by one connection only and, but for outOfOrder and duplicates, its points arrive
// in order of time.
func newLineSource(o sourceOptions) (lineSource, error) {
	o.hosts = max(o.hosts, o.conns)
	setDefault(&o.interval, reportStep)
	setDefault(&o.seriesPerNow, seriesLinesPerNow)
	o.hostsOfParts = o.hosts
	src, err := newOrderedSource(o)
	if err != nil || o.outOfOrder == 0 && o.duplicates == 0 {
		return src, err
	}
	return newDisorderSource(src, o), nil
}

func newOrderedSource(o sourceOptions) (lineSource, error) {
	switch o.workload {
	case HighCard:
		return newSeriesSource(o), nil
	case Real:
		return newReplaySource(o)
	case Mixed:
		return newMixedSource(o)
	}
	return newFleetSource(o), nil
}

// mixedSource takes a line from each of several sources in turn.
type mixedSource struct {
	sources []lineSource
	next    int
}

func newMixedSource(o sourceOptions) (*mixedSource, error) {
	parts := []Workload{CPU, Devops, Wide, HighCard}
	if o.file != nil {
		parts = append(parts, Real)
	}
	s := &mixedSource{}
	o.hostsOfParts = len(parts) * o.hosts
	for i, w := range parts {
		// Devops has CPU's measurement: the hosts of one must not be the other's.
		o.workload, o.firstHost, o.replayPrefix = w, i*o.hosts, "real_"
		src, err := newOrderedSource(o)
		if err != nil {
			return nil, err
		}
		s.sources = append(s.sources, src)
	}
	return s, nil
}

func (s *mixedSource) round() int {
	longest := 0
	for _, src := range s.sources {
		longest = max(longest, src.round())
	}
	return longest * len(s.sources)
}

func (s *mixedSource) appendLine(b *Body) {
	s.sources[s.next].appendLine(b)
	s.next = (s.next + 1) % len(s.sources)
}

// rngFor returns the generator of random numbers of one thing of a workload, so
// that what a host reports does not depend on how hosts are dealt out.
func rngFor(seed uint64, thing int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(thing)))
}

// fleetSource reports on hosts in turn; when each has reported the time moves on,
// and a share of the hosts is replaced by new ones.
type fleetSource struct {
	hosts []*fleetHost
	// next is the host and the measurement of it that come next.
	nextHost, nextPart int
	now                int64 // ns
	interval           time.Duration

	// churn is the share of hosts to replace in each round, due what is left of
	// it, nextReplaced the host to go first.
	churn, due   float64
	nextReplaced int
	// hostsOfParts is how far apart a host's number is from its replacement's.
	hostsOfParts int64
}

// fleetHost is one host with the state of its fields.
type fleetHost struct {
	parts []fleetPart
	// id is the number in its name. With churn it is patched; numbers counts on.
	id      int64
	numbers *seriesCounter
}

// fleetPart is one measurement of one host: a series.
type fleetPart struct {
	// prefix is the measurement and the tags, with the space after them.
	prefix []byte
	// idAt is where the host's number begins in prefix.
	idAt   int
	fields []fieldState
}

const hostTag = ",hostname=host_"

func newFleetSource(o sourceOptions) *fleetSource {
	s := &fleetSource{now: o.start.UnixNano(), interval: o.interval, churn: o.churn, hostsOfParts: int64(o.hostsOfParts)}
	shapes := shapesOf(o.workload)
	for slot := o.firstHost + o.conn; slot < o.firstHost+o.hosts; slot += o.conns {
		rng := rngFor(o.seed, slot)
		h := &fleetHost{id: int64(slot)}
		number := strconv.Itoa(slot)
		if o.churn > 0 {
			h.id += o.firstSeries
			h.numbers = &seriesCounter{}
			number = fmt.Sprintf("%0*d", seriesIDDigits, h.id)
		}
		tags := appendHostTags(nil, number, rng)
		for _, shape := range shapes {
			prefix := append([]byte(shape.name), tags...)
			prefix = append(shape.appendTags(prefix, rng), ' ')
			part := fleetPart{prefix: prefix, idAt: len(shape.name) + len(hostTag)}
			for _, f := range shape.fields {
				part.fields = append(part.fields, newFieldState(f, rng))
			}
			h.parts = append(h.parts, part)
		}
		s.hosts = append(s.hosts, h)
	}
	return s
}

func (s *fleetSource) round() int { return len(s.hosts) * len(s.hosts[0].parts) }

func (s *fleetSource) appendLine(b *Body) {
	h := s.hosts[s.nextHost]
	part := &h.parts[s.nextPart]
	b.text = append(b.text, part.prefix...)
	if h.numbers != nil {
		b.stampSeriesID(len(b.text)-len(part.prefix)+part.idAt, h.id, h.numbers)
	}
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
			s.now += int64(s.interval)
			s.replaceHosts()
		}
	}
}

// replaceHosts puts new hosts in the place of those that have been there longest.
func (s *fleetSource) replaceHosts() {
	for s.due += s.churn * float64(len(s.hosts)); s.due >= 1; s.due-- {
		h := s.hosts[s.nextReplaced]
		h.id += s.hostsOfParts
		h.numbers.step += s.hostsOfParts
		s.nextReplaced = (s.nextReplaced + 1) % len(s.hosts)
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
func appendHostTags(dst []byte, number string, rng *rand.Rand) []byte {
	region := regions[rng.IntN(len(regions))]
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	return fmt.Appendf(dst,
		hostTag+"%s,region=%s,datacenter=%s%c,rack=%d,os=%s,arch=%s,team=%s,service=%d,service_version=%d,service_environment=%s",
		number, region.name, region.name, region.zones[rng.IntN(len(region.zones))], rng.IntN(100),
		pick("Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"), pick("x64", "x86"), pick("SF", "NYC", "LON", "CHI"),
		rng.IntN(20), rng.IntN(2), pick("production", "staging", "test"))
}

// seriesSource makes every line a new series.
type seriesSource struct {
	rng        *rand.Rand
	next, step int64
	numbers    *seriesCounter
	now        int64
	interval   time.Duration
	// left is how many of perNow lines still come with this time.
	left, perNow int
}

// seriesLinesPerNow is how many lines of seriesSource have the same time unless
// another number is asked for.
const seriesLinesPerNow = 1000

func newSeriesSource(o sourceOptions) *seriesSource {
	return &seriesSource{
		rng: rngFor(o.seed, o.conn), next: o.firstSeries + int64(o.conn), step: int64(o.conns), numbers: &seriesCounter{},
		now: o.start.UnixNano(), interval: o.interval, left: o.seriesPerNow, perNow: o.seriesPerNow,
	}
}

func (s *seriesSource) round() int { return s.perNow }

func (s *seriesSource) appendLine(b *Body) {
	b.text = append(b.text, "hc,id="...)
	b.appendSeriesID(s.next, s.numbers)
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
	s.numbers.step += s.step
	if s.left--; s.left == 0 {
		s.left = s.perNow
		s.now += int64(s.interval)
	}
}

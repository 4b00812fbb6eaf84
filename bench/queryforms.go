package bench

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// queryForm is one kind of query of the devops use case of the Time Series Benchmark
// Suite. The statements are those that the suite sends to InfluxDB.
type queryForm struct {
	name string
	// draw makes one statement with random hosts and times.
	draw func(d *queryDraw) string
}

// The time ranges of the forms that do not have theirs in the name.
const (
	doubleGroupByRange = 12 * time.Hour
	maxAllRange        = 8 * time.Hour
	highCPURange       = 12 * time.Hour
)

var queryForms = []queryForm{
	// The numbers are those of fields, hosts and hours.
	{"single-groupby-1-1-1", func(d *queryDraw) string { return d.singleGroupBy(1, 1, time.Hour) }},
	{"single-groupby-1-1-12", func(d *queryDraw) string { return d.singleGroupBy(1, 1, 12*time.Hour) }},
	{"single-groupby-1-8-1", func(d *queryDraw) string { return d.singleGroupBy(1, 8, time.Hour) }},
	{"single-groupby-5-1-1", func(d *queryDraw) string { return d.singleGroupBy(5, 1, time.Hour) }},
	{"single-groupby-5-1-12", func(d *queryDraw) string { return d.singleGroupBy(5, 1, 12*time.Hour) }},
	{"single-groupby-5-8-1", func(d *queryDraw) string { return d.singleGroupBy(5, 8, time.Hour) }},
	{"double-groupby-1", func(d *queryDraw) string { return d.doubleGroupBy(1) }},
	{"double-groupby-5", func(d *queryDraw) string { return d.doubleGroupBy(5) }},
	{"double-groupby-all", func(d *queryDraw) string { return d.doubleGroupBy(len(cpuFields())) }},
	{"cpu-max-all-1", func(d *queryDraw) string { return d.maxAll(1) }},
	{"cpu-max-all-8", func(d *queryDraw) string { return d.maxAll(8) }},
	{"lastpoint", func(*queryDraw) string { return `SELECT * from cpu group by "hostname" order by time desc limit 1` }},
	{"high-cpu-1", func(d *queryDraw) string { return d.highCPU(1) }},
	{"high-cpu-all", func(d *queryDraw) string { return d.highCPU(0) }},
	{"groupby-orderby-limit", func(d *queryDraw) string {
		// There is no ORDER BY in the suite's statement: the limit cuts at the
		// oldest minutes.
		_, end := d.window(time.Hour)
		return fmt.Sprintf("SELECT max(usage_user) from cpu WHERE time < '%s' group by time(1m) limit 5", end)
	}},
}

// QueryForms lists the names of the queries.
func QueryForms() []string {
	var names []string
	for _, f := range queryForms {
		names = append(names, f.name)
	}
	return names
}

// cpuFields are the fields of measurement cpu, in the order in which queries take
// them.
func cpuFields() []string {
	var names []string
	for _, f := range cpuShape().fields {
		names = append(names, f.name)
	}
	return names
}

// queryDraw draws what is random in statements. One form has one of its own: leaving
// other forms out changes nothing.
type queryDraw struct {
	rng   *rand.Rand
	start time.Time
	span  time.Duration
	hosts int
}

func newQueryDraw(o *FillOptions, form string) *queryDraw {
	// The name, not the place in the list, makes the numbers.
	var h uint64
	for _, c := range []byte(form) {
		h = h*31 + uint64(c)
	}
	return &queryDraw{rand.New(rand.NewPCG(o.Seed, h)), o.Start.UTC(), o.Span, o.Hosts}
}

// window draws a range of time inside the data, in whole seconds. Data that is
// shorter is taken whole.
func (d *queryDraw) window(length time.Duration) (start, end string) {
	from := d.start
	if room := int64((d.span - length) / time.Second); room > 0 {
		from = from.Add(time.Duration(d.rng.Int64N(room)) * time.Second)
	}
	length = min(length, d.span)
	return from.Format(time.RFC3339), from.Add(length).Format(time.RFC3339)
}

func (d *queryDraw) between(length time.Duration) string {
	start, end := d.window(length)
	return fmt.Sprintf("time >= '%s' and time < '%s'", start, end)
}

// anyOf draws hosts, all of them when there are fewer.
func (d *queryDraw) anyOf(hosts int) string {
	var clauses []string
	for _, n := range d.rng.Perm(d.hosts)[:min(hosts, d.hosts)] {
		clauses = append(clauses, "hostname = 'host_"+strconv.Itoa(n)+"'")
	}
	return "(" + strings.Join(clauses, " or ") + ")"
}

func callsOf(function string, fields int) string {
	var calls []string
	for _, f := range cpuFields()[:fields] {
		calls = append(calls, function+"("+f+")")
	}
	return strings.Join(calls, ", ")
}

func (d *queryDraw) singleGroupBy(fields, hosts int, length time.Duration) string {
	where := d.anyOf(hosts)
	return fmt.Sprintf("SELECT %s from cpu where %s and %s group by time(1m)", callsOf("max", fields), where, d.between(length))
}

func (d *queryDraw) doubleGroupBy(fields int) string {
	return fmt.Sprintf("SELECT %s from cpu where %s group by time(1h),hostname", callsOf("mean", fields), d.between(doubleGroupByRange))
}

func (d *queryDraw) maxAll(hosts int) string {
	where := d.anyOf(hosts)
	return fmt.Sprintf("SELECT %s from cpu where %s and %s group by time(1h)", callsOf("max", len(cpuFields())), where, d.between(maxAllRange))
}

// highCPU takes all hosts for 0.
func (d *queryDraw) highCPU(hosts int) string {
	where := ""
	if hosts > 0 {
		where = "and " + d.anyOf(hosts) + " "
	}
	return fmt.Sprintf("SELECT * from cpu where usage_user > 90.0 %sand %s", where, d.between(highCPURange))
}

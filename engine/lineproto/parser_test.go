package lineproto

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"headgate/engine/point"
	"headgate/engine/testkit"
)

// TestGrammar is the wire contract, part 2, sections 4 and 5: what a body of one or a few
// lines says, or why it is malformed. want is a batch as dump writes it, without its last
// line, or a message without "unable to parse '<body>': ".
func TestGrammar(t *testing.T) {
	long := strings.Repeat("x", 65535)
	for _, c := range []struct{ body, want string }{
		// Nothing to write.
		{"", ""}, {"\n\n", ""}, {"  \t\x00", ""}, {"# c", ""}, {"  # \"\n", ""}, {"\r\n\r\n", ""}, {"\t\r\n", ""},

		// Every reason.
		{",t=a f=1", "missing measurement"}, {"m", "missing fields"}, {"m,t=a", "missing fields"}, {"m,=a f=1", "missing tag key"}, {"m, f=1", "missing tag key"}, {"m,,t=a f=1", "missing tag key"},
		{"m,t f=1", "missing tag value"}, {"m,t= f=1", "missing tag value"}, {"m,t=,u=b f=1", "missing tag value"}, {"m,t=a=b f=1", "invalid tag format"}, {"m,t=a\\ f=1", "invalid tag format"},
		{"m,t=a,t=b f=1", "duplicate tags"}, {"m,t=a,b=1,t=a f=1", "duplicate tags"}, {"m,_field=a f=1", `cannot use reserved tag key "_field"`}, {"m,_measurement=a f=1", `cannot use reserved tag key "_measurement"`},
		{"m,time=a f=1", `cannot use reserved tag key "time"`}, {"m,\x00=a f=1", `cannot use reserved tag key "\x00"`}, {"m,\xff=a f=1", `cannot use reserved tag key "\xff"`},
		{"m =1", "missing field key"}, {"m a=1,=2", "missing field key"}, {"m \t=1", "missing field key"}, {"m f=", "missing field value"}, {"m f= 1", "missing field value"}, {"m f=,g=1", "missing field value"},
		{"m ", "invalid field format"}, {"m 1", "invalid field format"}, {"m f=1,g", "invalid field format"}, {"m f=1,", "invalid field format"}, {"m f=1,,g=2", "invalid field format"}, {"m\tf=1 1", "invalid field format"},
		{"m f\\=1", "invalid field format"}, {"m a,b=1", "invalid field format"}, {`m f="a"x`, "invalid field format"}, {`m f="a""b"`, "invalid field format"}, {`m f="a"` + "\r", "invalid field format"},
		{"m f=1.2.3", "invalid number"}, {"m f=NaN", "invalid number"}, {"m f=-Inf", "invalid number"}, {"m f=1.0i", "invalid number"}, {"m f=-1u", "invalid number"}, {"m f=-", "invalid number"}, {"m f=.", "invalid number"}, {"m f=1\r", "invalid number"}, {"m f=0x10", "invalid number"},
		{"m f=1e", "invalid float"}, {"m f=1e400", "invalid float"}, {"m f=.e5", "invalid float"}, {"m f=" + strings.Repeat("9", 400), "invalid float"},
		{"m f=abc", "invalid boolean"}, {"m f=+1", "invalid boolean"}, {"m f=tRUE", "invalid boolean"}, {"m f=i", "invalid boolean"}, {"m f=Inf", "invalid boolean"}, {"m f='a'", "invalid boolean"},
		{"m f=9223372036854775808i", `unable to parse integer 9223372036854775808: strconv.ParseInt: parsing "9223372036854775808": value out of range`},
		{"m f=18446744073709551616u", `unable to parse unsigned 18446744073709551616: strconv.ParseUint: parsing "18446744073709551616": value out of range`},
		{`m f="abc 1`, "unbalanced quotes"}, {"m f=\"abc 1\nm f=\"x\" 2", "unbalanced quotes"}, {`m f="a\" 1`, "unbalanced quotes"},
		{"m f=1 1x", "bad timestamp"}, {"m f=1 +1", "bad timestamp"}, {"m f=1 1.5", "bad timestamp"}, {"m f=1 1\x00", "bad timestamp"}, {"m f=1 1\r", "bad timestamp"},
		{"m f=1 9223372036854775808", `strconv.ParseInt: parsing "9223372036854775808": value out of range`}, {"m f=1 -", `strconv.ParseInt: parsing "-": invalid syntax`},
		{"m f=1 9223372036854775807", "time outside range -9223372036854775806 - 9223372036854775806"}, {"m f=1 -9223372036854775807", "time outside range -9223372036854775806 - 9223372036854775806"},
		{"m f=1 1 2", "point is invalid"}, {"m f=1 1 \t", "point is invalid"},
		{"m f\\\\=1 1", `invalid value: field-key=f\\=1`},

		// One reason a line, the first in the order of the checks.
		{"m,time=a,t=b,t=b f=x y", `cannot use reserved tag key "time"`}, {"m,t=b,t=b f=x y", "duplicate tags"}, {"m f=x y", "invalid boolean"}, {"m f=1,g y", "invalid field format"}, {"m f=1 y z", "bad timestamp"},

		// Measurement, tags, keys.
		{`a\ b\,c f=1 1`, `1 "a\\ b\\,c" "f":1 1`}, {`a\=b f=1 1`, `1 "a=b" "f":1 1`}, {`a\b f=1 1`, `1 "a\\b" "f":1 1`}, {`a\\,t=v f=1 1`, `1 "a\\\\,t=v" "f":1 1`}, {`"m" f=1 1`, `1 "\"m\"" "f":1 1`},
		{"=a f=1 1", `1 "=a" "f":1 1`}, {"m,z=1,a=2 f=1 1", `1 "m,a=2,z=1" "f":1 1`}, {`m,a\ b=c\,d\=e f=1 1`, `1 "m,a\\ b=c\\,d\\=e" "f":1 1`}, {"m,t==a f=1 1", `1 "m,t=\\=a" "f":1 1`},
		{"m,t=a\\\nb f=1 1", `1 "m,t=a\\\nb" "f":1 1`}, {`m a\ b\,c\=d=1 1`, `1 "m" "a b,c=d":1 1`}, {`m a\b=1 1`, `1 "m" "a\\b":1 1`}, {`m f"x=1 1`, `1 "m" "f\"x":1 1`}, {`m f\"x=1 1`, `1 "m" "f\"x":1 1`},
		{"\x00 \tm  f=1  \t\x001  ", `1 "m" "f":1 1`}, {"m#x,t=#a f=1 1", `1 "m#x,t=#a" "f":1 1`}, {"m \xfe=1 1", `1 "m" "\xfe":1 1`}, {"time f=1 1", `1 "time" "f":1 1`},

		// Values.
		{"m a=1,b=.5,c=5.,d=-1.5e3,e=1.e5,f=007 1", `1 "m" "a":1,"b":0.5,"c":5,"d":-1500,"e":100000,"f":7 1`}, {"m f=-0,g=1e-400,h=123456789012345678901234567890 1", `1 "m" "f":-0,"g":0,"h":1.2345678901234568e+29 1`},
		{"m a=007i,b=-9223372036854775808i,c=18446744073709551615u 1", `1 "m" "a":7i,"b":-9223372036854775808i,"c":18446744073709551615u 1`},
		{"m a=t,b=T,c=true,d=True,e=TRUE,f=f,g=F,h=false,i=False,j=FALSE 1", `1 "m" "a":true,"b":true,"c":true,"d":true,"e":true,"f":false,"g":false,"h":false,"i":false,"j":false 1`},
		{`m a="",b="a, b=c",c="\"",d="\\",e="\n",f="#" 1`, `1 "m" "a":"","b":"a, b=c","c":"\"","d":"\\","e":"\\n","f":"#" 1`},
		{"m f=1,f=2 1", `1 "m" "f":2 1`}, {`m f="a",f="b" 1`, `1 "m" "f":"b" 1`}, {"m f=1,f=2i,f=3 1", `1 "m" "f":2i,"f":3 1`},

		// Time.
		{"m f=1", `1 "m" "f":1 1700000000123456789`}, {"m f=1 -0001", `1 "m" "f":1 -1`}, {"m f=1 -9223372036854775806", `1 "m" "f":1 -9223372036854775806`}, {"m f=1 9223372036854775806", `1 "m" "f":1 9223372036854775806`},

		// Lines.
		{"m f=1 1\r\nm f=\"a\r\nb\" 2\r\nm f=3", "1 \"m\" \"f\":1 1\n2 \"m\" \"f\":\"a\\r\\nb\" 2\n4 \"m\" \"f\":3 1700000000123456789"},
		{"# \"\n\nm f=1 1\n#\\\nm f=2 2", "3 \"m\" \"f\":1 1\n5 \"m\" \"f\":2 2"},

		// Lengths.
		{"m,t=" + long[:65521] + " fffffff=1 1", "max key length exceeded: 65536 > 65535"}, {long + "x f=1 1", "max key length exceeded: 65536 > 65535"}, {long[:65530] + " ff=1 1", "max key length exceeded: 65536 > 65535"}, {"m " + long + "=1 1", "max key length exceeded: 65540 > 65535"},
	} {
		w := newWays()
		got := w.parse(t, []byte(c.body), Options{Now: 1700000000123456789})
		got = strings.TrimPrefix(strings.TrimSuffix(strings.TrimSuffix(got, "long=false time=false"), "\n"), "1 1 unable to parse '")
		text := []byte(strings.TrimLeft(c.body, " \t\x00"))
		got = strings.TrimPrefix(got, string(cut(text))+"': ")
		if got != c.want {
			t.Errorf("%.100q\n got %s\nwant %s", c.body, got, c.want)
		}
	}
}

func TestPrecision(t *testing.T) {
	for _, c := range []struct {
		p    point.Precision
		body string
		want string
	}{
		{point.Nanosecond, "m f=1", "1700000000123456789"}, {point.Microsecond, "m f=1", "1700000000123456000"}, {point.Millisecond, "m f=1", "1700000000123000000"}, {point.Second, "m f=1", "1700000000000000000"},
		{point.Minute, "m f=1", "1699999980000000000"}, {point.Hour, "m f=1", "1699999200000000000"},
		{point.Second, "m f=1 1700000000", "1700000000000000000"}, {point.Hour, "m f=1 -2", "-7200000000000"}, {point.Minute, "m f=1 3", "180000000000"}, {point.Second, "m f=1 9223372036", "9223372036000000000"},
	} {
		got := newWays().parse(t, []byte(c.body), Options{Now: 1700000000123456789, Precision: c.p})
		if want := `1 "m" "f":1 ` + c.want + "\n"; !strings.HasPrefix(got, want) {
			t.Errorf("%s in %d: got %s, want %s", c.body, c.p, got, want)
		}
	}
	got := newWays().parse(t, []byte("m f=1 9223372037"), Options{Precision: point.Second})
	if !strings.HasSuffix(got, timeOutsideRange) {
		t.Error(got)
	}
}

func TestSyntaxError(t *testing.T) {
	var p Parser
	var body strings.Builder
	body.WriteString("m f=1 1\n\nm s=\"two\nlines\" 1\n")
	for i := range 250 {
		fmt.Fprintf(&body, "m%d f=x\nm f=1 1\n", i)
	}
	err := p.Parse(point.GetBatch(), []byte(body.String()), Options{})
	var se *SyntaxError
	if !errors.As(err, &se) || se.Line != 5 || se.Malformed != 250 {
		t.Fatalf("%+v", err)
	}
	if n := len(se.Lines); n != malformedLinesMax || se.Lines[99] != (MalformedLine{5 + 2*99, "m99 f=x", invalidBoolean}) {
		t.Errorf("%d lines, the last %+v", n, se.Lines[n-1])
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 101 || lines[0] != "unable to parse 'm0 f=x': invalid boolean" || lines[99] != "unable to parse 'm99 f=x': invalid boolean" || lines[100] != "(150 more malformed lines)" {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}

	// A line is cut at 1 KiB, but not inside a rune.
	err = p.Parse(point.GetBatch(), []byte("x"+strings.Repeat("é", 5000)), Options{})
	if want := "unable to parse 'x" + strings.Repeat("é", 511) + "': missing fields"; err.Error() != want {
		t.Errorf("got %q", err)
	}
	err = p.Parse(point.GetBatch(), []byte("m f="+strings.Repeat("9", 5000)+"i"), Options{})
	if len(err.Error()) > 4<<10 {
		t.Errorf("message of %d bytes", len(err.Error()))
	}
}

func TestFlags(t *testing.T) {
	long := strings.Repeat("s", point.StringBytesMax)
	for _, c := range []struct {
		body       string
		long, time bool
	}{
		{`m f="` + long + `" 1`, false, false}, {`m f="` + long + `s" 1`, true, false}, {`m f="` + long + `\"" 1`, true, false}, {`m f="` + long[1:] + `\\" 1`, false, false},
		{"m time=1 1", false, true}, {"m Time=1 1", false, false}, {"m f=1,time=\"x\" 1", false, true}, {"time f=1 1", false, false},
	} {
		got := newWays().parse(t, []byte(c.body), Options{})
		if want := fmt.Sprintf("long=%v time=%v", c.long, c.time); !strings.HasSuffix(got, want) {
			t.Errorf("%.30s: got %s, want %s", c.body, got[max(0, len(got)-30):], want)
		}
	}
}

// TestNewSeries: each new series is listed once, however its tags are shuffled.
func TestNewSeries(t *testing.T) {
	body := "m,a=1,b=2 f=1 1\nm,b=2,a=1 f=2 2\n m,a=1,b=2 f=3 3\nm,a=1,b=2 f=4 4\nn f=5\nm\\=x f=1\nm=x f=1\nm,t==a f=1\nm,t=\\=a f=1\n"
	for _, noFast := range []bool{false, true} {
		p := Parser{noFast: noFast}
		b := new(point.Batch)
		if err := p.Parse(b, []byte(body), Options{Epoch: 3}); err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, s := range b.NewSeries {
			keys = append(keys, string(s.Key))
		}
		if want := `m,a=1,b=2 n m=x m,t=\=a`; strings.Join(keys, " ") != want {
			t.Errorf("got %q, want %q", keys, want)
		}
		if len(b.Tables) != 3 || b.Tables[0].Rows() != 6 || b.Epoch != 3 {
			t.Errorf("%d tables", len(b.Tables))
		}
	}
}

// TestSteadyState: nothing is allocated per point. What is allocated belongs to the batch: a
// few pieces of memory for each table, however many rows it has.
func TestSteadyState(t *testing.T) {
	rng := newRand(t)
	for _, make := range []func(lines int) []byte{
		func(n int) []byte { return cpuBody(rng, 100, n) },
		func(n int) []byte { return devopsBody(rng, 10, n) },
		func(n int) []byte { return wideBody(rng, n/10) },
	} {
		var allocs [2]float64
		for i, lines := range []int{1000, 4000} {
			body := make(lines)
			var p Parser
			var store benchStore
			o := Options{Index: NewIndex(64 << 20), Series: &store}
			b := new(point.Batch)
			parse := func() {
				if err := p.Parse(b, body, o); err != nil {
					t.Fatal(err)
				}
				store.define(b)
				b.Reset()
			}
			for range 3 {
				parse()
			}
			allocs[i] = testing.AllocsPerRun(5, parse)
		}
		// Strings grow by doubling: that is a few allocations more for each such column.
		if perPoint := (allocs[1] - allocs[0]) / 3000; perPoint > 0.05 {
			t.Errorf("%v allocations for 1000 lines, %v for 4000", allocs[0], allocs[1])
		}
	}
	var p Parser
	b := new(point.Batch)
	body := cpuBody(rng, 10, 1000)
	var store benchStore
	o := Options{Index: NewIndex(1 << 20), Series: &store}
	for range 2 {
		b.Reset()
		if err := p.Parse(b, body, o); err != nil {
			t.Fatal(err)
		}
		store.define(b)
	}
	// The lines themselves: a predicted line allocates nothing at all.
	buf := append(bytes.Clone(body), slack...)
	b.Reset()
	o.Precision = point.Nanosecond
	p.begin(b, body, o)
	p.quick(buf, len(body), len(body), 0, 1)
	l := p.current[0].layouts[0]
	i := bytes.IndexByte(buf, ' ') + 1
	if n := testing.AllocsPerRun(100, func() {
		if next, _ := p.predicted(buf, i, len(body), len(body), l.fields, l.block); next == 0 {
			t.Fatal("not predicted")
		}
		p.series(buf[:i], 0)
		p.free(buf, i, len(body), len(body), i-1)
	}); n != 0 {
		t.Errorf("%v allocations a line", n)
	}
	p.finish()
}

// hostile are bodies that cost most in relation to their size.
func hostile(n int) map[string]string {
	var measurements, fields, series, wide, sparse, spaces strings.Builder
	for i := range n {
		fmt.Fprintf(&measurements, "%x a=1\n", i)
		fmt.Fprintf(&fields, "m %x=1\n", i)
		fmt.Fprintf(&series, "m,a=%x a=1\n", i)
		if i > 0 {
			wide.WriteByte(',')
		}
		fmt.Fprintf(&wide, "%x=1", i)
		fmt.Fprintf(&sparse, "m %x=1,%x=2\n", i%5000, (i*7)%5000)
		spaces.WriteString("x\n")
	}
	half := strings.Repeat(`a\ `, n)
	return map[string]string{
		"measurements": measurements.String(),
		"fields":       fields.String(),
		"series":       series.String(),
		"wide":         "m " + wide.String(),
		"wide twice":   "m " + wide.String() + "\nm " + wide.String() + "\n",
		"sparse":       sparse.String(),
		"malformed":    spaces.String(),
		"escapes":      spaces.String() + half,
		"quote":        "m f=\"" + strings.Repeat("\n", n),
		"quotes":       strings.Repeat("m f=\"\n", n),
		"no fields":    "m " + strings.Repeat(",", n),
		"tags":         "m" + strings.Repeat(",a=b", n) + " f=1",
		"tags sorted":  "m" + tagsDescending(min(n, 9000)) + " f=1",
		"digits":       "m f=" + strings.Repeat("1", n),
		"commas":       strings.Repeat(",", n),
		"blank":        strings.Repeat(" ", n),
		"comments":     strings.Repeat("#\n", n),
		"backslashes":  strings.Repeat("\\", n),
		"minimal":      strings.Repeat("a b=1\n", n),
		"strings":      strings.Repeat("a b=\"\"\n", n),
	}
}

func tagsDescending(n int) string {
	var sb strings.Builder
	for i := range n {
		fmt.Fprintf(&sb, ",%04x=v", n-i)
	}
	return sb.String()
}

// TestMemory states what hostile bodies cost: the batch, and all that is allocated on the way.
func TestMemory(t *testing.T) {
	for name, body := range hostile(20000) {
		var p Parser
		b := new(point.Batch)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := p.Parse(b, []byte(body), Options{})
		runtime.ReadMemStats(&after)
		allocated := float64(after.TotalAlloc-before.TotalAlloc) / float64(len(body))
		t.Logf("%-13s %8d bytes: batch %.1f times, %.1f times allocated, error %v", name, len(body), float64(b.MemoryBytes())/float64(len(body)), allocated, err != nil)
		limit := 20.0
		switch name {
		case "measurements", "fields", "series", "wide", "wide twice":
			limit = 150 // with MemoryBytesMax they are refused instead, see below
		}
		if allocated > limit && len(body) > 1000 {
			t.Errorf("%s: %.1f times the body", name, allocated)
		}

		max := int64(8*len(body) + 1<<20)
		runtime.ReadMemStats(&before)
		err = p.Parse(new(point.Batch), []byte(body), Options{MemoryBytesMax: max})
		runtime.ReadMemStats(&after)
		if got := int64(after.TotalAlloc - before.TotalAlloc); got > 4*max {
			t.Errorf("%s: %d bytes allocated with a limit of %d", name, got, max)
		}
		if err != nil && !errors.Is(err, ErrMemory) && !errors.As(err, new(*SyntaxError)) {
			t.Error(err)
		}
	}
}

// TestLinear: a body twice as long takes about twice as long, whatever it is. What
// is compared is processor time, the least of several runs.
func TestLinear(t *testing.T) {
	if testing.Short() || testkit.RaceEnabled {
		t.Skip("measures times")
	}
	took := func(body string) time.Duration {
		best := time.Duration(math.MaxInt64)
		for range 5 {
			var p Parser
			start := cpuTime()
			p.Parse(new(point.Batch), []byte(body), Options{})
			best = min(best, cpuTime()-start)
		}
		return best
	}
	small, large := hostile(2000), hostile(32000)
	for name := range small {
		if len(small[name]) == len(large[name]) || name == "tags sorted" {
			continue
		}
		// 16 times the size; 160 times the time is far from what quadratic would be, 256.
		if s, l := took(small[name]), took(large[name]); l > 160*max(s, 50*time.Microsecond) {
			t.Errorf("%s: %v, and 16 times as much takes %v", name, s, l)
		}
	}
}

// TestManyFields: thousands of fields, dense and sparse, end up where they belong.
func TestManyFields(t *testing.T) {
	var body strings.Builder
	for line := range 6 {
		body.WriteString("m ")
		for f := range 5000 {
			if f > 0 {
				body.WriteByte(',')
			}
			fmt.Fprintf(&body, "f%d=%di", (f*(line+1))%5003, f)
		}
		fmt.Fprintf(&body, " %d\n", line)
	}
	newWays().parse(t, []byte(body.String()), Options{})
}

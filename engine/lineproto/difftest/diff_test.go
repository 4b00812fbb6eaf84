package difftest

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/influxdb/v2/models"

	"headgate/engine/lineproto"
	"headgate/engine/point"
)

const now = 1700000000123456789

var precisions = map[string]point.Precision{"ns": point.Nanosecond, "us": point.Microsecond, "ms": point.Millisecond, "s": point.Second}

func parseTheirs(body []byte, precision string) (v verdict, panicked any) {
	defer func() { panicked = recover() }()
	points, err := models.ParsePointsWithPrecision(bytes.Clone(body), time.Unix(0, now).UTC(), precision)
	if err != nil {
		v.message = err.Error()
		return v, nil
	}
	for _, p := range points {
		fields := map[string]string{}
		for it := p.FieldIterator(); it.Next(); {
			key, value := string(it.FieldKey()), ""
			var err error
			switch it.Type() {
			case models.Float:
				var f float64
				f, err = it.FloatValue()
				value = strconv.FormatFloat(f, 'g', -1, 64)
			case models.Integer:
				var n int64
				n, err = it.IntegerValue()
				value = strconv.FormatInt(n, 10) + "i"
			case models.Unsigned:
				var n uint64
				n, err = it.UnsignedValue()
				value = strconv.FormatUint(n, 10) + "u"
			case models.Boolean:
				var b bool
				b, err = it.BooleanValue()
				value = strconv.FormatBool(b)
			case models.String:
				value = strconv.Quote(it.StringValue())
			}
			if err != nil {
				value = "error: " + err.Error()
			}
			fields[fmt.Sprintf("%q/%d", key, it.Type())] = value // the last of one type wins
		}
		tags := []string{}
		for _, t := range p.Tags() {
			tags = append(tags, fmt.Sprintf("%q=%q", t.Key, t.Value))
		}
		v.points = append(v.points, pointText(string(p.Name()), tags, fields, p.UnixNano()))
	}
	return v, nil
}

var typeCodes = map[point.FieldType]models.FieldType{point.Float: models.Float, point.Integer: models.Integer, point.Unsigned: models.Unsigned, point.Boolean: models.Boolean, point.String: models.String}

func parseOurs(t testing.TB, p *lineproto.Parser, body []byte, precision string) (v verdict) {
	b := new(point.Batch)
	err := p.Parse(b, body, lineproto.Options{Precision: precisions[precision], Now: now})
	if err != nil {
		v.message = err.Error()
		return v
	}
	type row struct {
		line uint32
		text string
	}
	var rows []row
	for _, table := range b.Tables {
		fields := make([]map[string]string, table.Rows())
		for i := range fields {
			fields[i] = map[string]string{}
		}
		for _, c := range table.Columns {
			for i := range c.Len() {
				fields[c.Row(i)][fmt.Sprintf("%q/%d", c.Name, typeCodes[c.Type])] = valueText(c, i)
			}
		}
		for i, ref := range table.Series {
			name, tagSet := point.ParseSeriesKey(b.NewSeries[ref.NewIndex()].Key)
			if name != string(table.Name) {
				t.Fatalf("series %q in table %q", name, table.Name)
			}
			tags := []string{}
			for _, tag := range tagSet {
				tags = append(tags, fmt.Sprintf("%q=%q", tag.Key, tag.Value))
			}
			rows = append(rows, row{table.Lines[i], pointText(name, tags, fields[i], table.Times[i])})
		}
	}
	sort.SliceStable(rows, func(i, j int) bool { return rows[i].line < rows[j].line })
	for _, r := range rows {
		v.points = append(v.points, r.text)
	}
	return v
}

func pointText(name string, tags []string, fields map[string]string, t int64) string {
	list := []string{}
	for k, v := range fields {
		list = append(list, k+":"+v)
	}
	sort.Strings(list)
	return fmt.Sprintf("%q %s %s %d", name, strings.Join(tags, ","), strings.Join(list, ","), t)
}

// compare returns the names of the deliberate differences, if there are any.
func compare(t testing.TB, p *lineproto.Parser, body []byte, precision string) []string {
	t.Helper()
	ours := parseOurs(t, p, body, precision)
	theirs, panicked := parseTheirs(body, precision)
	if panicked != nil {
		return []string{"InfluxDB panics"} // row 29
	}
	if equal(theirs, ours) {
		return nil
	}
	names, ok := explain(body, theirs, ours)
	if !ok {
		t.Fatalf("body %.3000q, %s\ntheirs %.3000q %.1000q\n  ours %.3000q %.1000q", body, precision, theirs.points, theirs.message, ours.points, ours.message)
	}
	return names
}

func equal(a, b verdict) bool {
	return a.message == b.message && fmt.Sprint(a.points) == fmt.Sprint(b.points)
}

func valueText(c *point.Column, i int) string {
	switch c.Type {
	case point.Float:
		return strconv.FormatFloat(math.Float64frombits(c.Nums[i]), 'g', -1, 64)
	case point.Integer:
		return strconv.FormatInt(int64(c.Nums[i]), 10) + "i"
	case point.Unsigned:
		return strconv.FormatUint(c.Nums[i], 10) + "u"
	case point.Boolean:
		return strconv.FormatBool(c.Nums[i] == 1)
	}
	return strconv.Quote(string(c.StringAt(i)))
}

// pieces are what random lines are made of: the odd sides of the grammar.
var pieces = []string{" ", " ", " ", ",", ",", "=", "=", "=", "\"", "\"", "\\", "\\", "\n", "\n", "\n", "\r", "\t", "\x00", "#", "m", "cpu", "a", "b", "time", "_field", "_measurement",
	"t=a", "host=x", ",t=a", ",host=b", "f=1", "g=2i", "h=3u", "b=t", "b=false", "b=T", "s=\"x y\"", "s=\"a,b=c\"", "s=\"\\\"\"", "s=\"l1\nl2\"", "f=1.5,g=2i", "=1", "=-1.5e3", "1e400", "NaN", "-", "+", "i", "u", "e", ".", "0",
	"1", "1234567890123456789", "99999999999999999999", " 1700000000000000000", " -5", " 9223372036854775807", "\\ ", "\\,", "\\=", "\\\\", "\\\"", "é", "\xff", "m f=1 1\n", "m,t=a f=1,g=2i 5\n", "cpu,host=x f=2,g=2i 5\n", "m s=\"x\",b=true 7\n",
	"m,t=a g=1i,f=2 3\n", "cpu,host=x f=2i\n", "t==x", "m\\ n", "a\\,b=", "a\\\\=", "'"}

func TestRandomBodies(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	n := 100000
	if testing.Short() {
		n = 10000
	}
	var p lineproto.Parser
	counts := map[string]int{}
	for range n {
		var body []byte
		for range 1 + rng.IntN(20) {
			body = append(body, pieces[rng.IntN(len(pieces))]...)
		}
		for _, name := range compare(t, &p, body, []string{"ns", "us", "ms", "s"}[rng.IntN(4)]) {
			counts[name]++
		}
	}
	for name, count := range counts {
		t.Logf("%7d %q", count, name)
	}
}

func TestRealBodies(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join("..", "..", "..", "..", "shared", "data", "real", "*.lp"))
	if len(files) == 0 {
		t.Skip("no real bodies at hand")
	}
	var p lineproto.Parser
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if d := compare(t, &p, body, "ns"); d != nil {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func FuzzParse(f *testing.F) {
	for i, s := range pieces {
		f.Add([]byte("m,t=a "+s+"f=1 1\n"+s), uint8(i))
	}
	f.Add([]byte("cpu,host=a,region=b usage=1.5,n=2i,u=3u,b=true,s=\"x\\\"y\" 1700000000000000000\n# c\n\ncpu,host=a f=1"), uint8(0))
	var p lineproto.Parser
	f.Fuzz(func(t *testing.T, body []byte, precision uint8) {
		compare(t, &p, body, []string{"ns", "us", "ms", "s"}[precision%4])
	})
}

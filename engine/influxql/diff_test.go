package influxql

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/influxdb/models"

	"headgate/engine/point"
	"headgate/engine/testkit"
)

var diffSeed = flag.Uint64("influxql.seed", 0, "seed of TestDifferential; 0 draws one")

// chunkReader reads a fakeBucket as freely as the contract lets it: in chunks of
// any size, from either end, heeding hints or not, and using its memory again once
// yield has returned.
type chunkReader struct {
	*fakeBucket
	rnd *rand.Rand
}

func (b chunkReader) Read(ctx context.Context, r point.ReadRequest, yield func(point.SeriesRows) error) error {
	heedRows, heedWhere, heedSkip := b.rnd.IntN(2) == 0, b.rnd.IntN(2) == 0, b.rnd.IntN(2) == 0
	for _, bound := range r.Where {
		if !slices.Contains(r.Fields, bound.Field) {
			return fmt.Errorf("bound of %q, which is not read", bound.Field)
		}
	}
	for _, s := range b.readOrder(r) {
		times := s.read(r).Times
		var chunks []point.SeriesRows
		for len(times) > 0 {
			n := 1 + b.rnd.IntN(len(times))
			part := r
			part.Min, part.Max = times[0], times[n-1]
			rows := s.read(part)
			times = times[n:]
			if !heedWhere || !outside(&rows, r) {
				chunks = append(chunks, rows)
			}
		}
		if r.Descending {
			slices.Reverse(chunks)
		}
		sum := 0
		for _, rows := range chunks {
			if r.Meter != nil {
				if err := r.Meter.Hold(1000); err != nil {
					return err
				}
			}
			err := yield(rows)
			poison(&rows)
			if r.Meter != nil {
				r.Meter.Release(1000)
			}
			if err == point.ErrSkipSeries {
				if heedSkip {
					break
				}
			} else if err != nil {
				return err
			}
			if sum += len(rows.Times); heedRows && r.RowsMax > 0 && sum >= r.RowsMax {
				break
			}
		}
	}
	return ctx.Err()
}

// outside reports whether no row meets every bound.
func outside(rows *point.SeriesRows, r point.ReadRequest) bool {
	for row := range rows.Times {
		meets := true
		for _, bound := range r.Where {
			c := rows.Columns[slices.Index(r.Fields, bound.Field)]
			value := math.NaN()
			found := false
			for k := 0; c != nil && k < c.Len(); k++ {
				if c.Row(k) != row {
					continue
				}
				found = true
				switch c.Type {
				case point.Float:
					value = math.Float64frombits(c.Nums[k])
				case point.Integer:
					value = float64(int64(c.Nums[k]))
				case point.Unsigned:
					value = float64(c.Nums[k])
				}
			}
			meets = meets && found && !(value < bound.Min) && !(value > bound.Max)
		}
		if meets {
			return false
		}
	}
	return true
}

// poison is what a reader does that uses its memory again.
func poison(rows *point.SeriesRows) {
	for i := range rows.Times {
		rows.Times[i] = -1
	}
	for _, c := range rows.Columns {
		if c == nil {
			continue
		}
		for i := range c.Nums {
			c.Nums[i] = 0xaaaaaaaaaaaaaaaa
		}
		for i := range c.Bytes {
			c.Bytes[i] = '#'
		}
		for i := range c.Rows {
			c.Rows[i] = 0
		}
	}
}

func pick[T any](rnd *rand.Rand, choices ...T) T { return choices[rnd.IntN(len(choices))] }

// randomBucket has series that share times, values that tie, and fields that are
// missing here and there.
func randomBucket(rnd *rand.Rand) *fakeBucket {
	b := newFakeBucket()
	for range 1 + rnd.IntN(12) {
		tags := map[string]string{"h": pick(rnd, "a", "b", "c", "d")}
		if rnd.IntN(3) > 0 {
			tags["r"] = pick(rnd, "x", "y")
		}
		dense := rnd.IntN(2) == 0
		at := int64(rnd.IntN(100)) * int64(time.Second)
		for range 1 + rnd.IntN(80) {
			fields := models.Fields{}
			if dense || rnd.IntN(3) > 0 {
				fields["f"] = pick(rnd, rnd.NormFloat64()*1e3, float64(rnd.IntN(5)), rnd.Float64())
			}
			if dense || rnd.IntN(2) > 0 {
				fields["i"] = int64(rnd.IntN(9) - 4)
			}
			if rnd.IntN(2) > 0 {
				fields["u"] = uint64(rnd.IntN(5))
			}
			if rnd.IntN(2) > 0 {
				fields["s"] = pick(rnd, "", "x", "y", "zz")
			}
			if dense || rnd.IntN(2) > 0 {
				fields["b"] = rnd.IntN(2) == 0
			}
			if rnd.IntN(20) == 0 {
				fields["rare"] = rnd.Float64()
			}
			if len(fields) > 0 {
				b.add("m", models.NewTags(tags), at, fields)
			}
			at += int64(rnd.IntN(4)) * pick(rnd, int64(time.Second), int64(time.Second), int64(10*time.Second), int64(1))
		}
	}
	return b
}

func randomCall(rnd *rand.Rand) string {
	fn := pick(rnd, "count", "sum", "mean", "min", "max", "first", "last")
	field := pick(rnd, "f", "f", "i", "u", "rare", "f::integer", "i::float", "u::integer", "i::unsigned", "*", "nosuch")
	if rnd.IntN(4) == 0 {
		fn, field = pick(rnd, "count", "first", "last"), pick(rnd, "s", "b")
	} else if rnd.IntN(8) == 0 {
		fn, field = pick(rnd, "min", "max"), "b"
	}
	return fn + "(" + field + ")"
}

func randomTerm(rnd *rand.Rand, depth int) string {
	if depth > 0 && rnd.IntN(3) == 0 {
		return "(" + randomTerm(rnd, depth-1) + pick(rnd, " AND ", " OR ") + randomTerm(rnd, depth-1) + ")"
	}
	op := pick(rnd, "=", "!=", "<", "<=", ">", ">=")
	switch rnd.IntN(12) {
	case 0:
		return "h " + pick(rnd, "=", "!=") + " " + pick(rnd, "'a'", "'b'", "''", "'q'")
	case 1:
		return "r " + pick(rnd, "=", "!=") + " " + pick(rnd, "'x'", "''")
	case 2:
		return pick(rnd, "h", "r") + " " + pick(rnd, "=~", "!~") + " " + pick(rnd, "/a|b/", "/^$/", "/x/", "/.*/")
	case 3:
		return "f " + op + " " + pick(rnd, "0.5", "2", "100.25", "i", "-1")
	case 4:
		return pick(rnd, "0.5", "2", "1") + " " + op + " " + pick(rnd, "f", "i", "u")
	case 5:
		return "i " + op + " " + pick(rnd, "0", "2", "-1", "1.5", "u")
	case 6:
		return "u " + op + " " + pick(rnd, "0", "2", "1.5", "-1")
	case 7:
		return pick(rnd, "f::integer", "i::float", "u::float", "i::unsigned", "f::unsigned") + " " + op + " " + pick(rnd, "1", "2.5")
	case 8:
		return "s " + pick(rnd, "=", "!=") + " " + pick(rnd, "'x'", "''")
	case 9:
		return "b " + pick(rnd, "=", "!=") + " " + pick(rnd, "true", "false")
	case 10:
		return pick(rnd, "rare > 0.5", "nosuch > 1", "f + i > 2", "i % 2 = 0", "true", "false", "h = r", "rare != 0.1")
	}
	return "f " + op + " " + fmt.Sprint(rnd.Float64())
}

func randomSelect(rnd *rand.Rand) string {
	var q strings.Builder
	q.WriteString("SELECT ")
	kind := rnd.IntN(6)
	switch {
	case kind < 3:
		calls := []string{randomCall(rnd)}
		for rnd.IntN(2) == 0 {
			calls = append(calls, randomCall(rnd))
		}
		q.WriteString(strings.Join(calls, ", "))
	case kind == 3:
		q.WriteString(pick(rnd, "max(f), h", "first(i), s, r", "last(u), b", "min(i), f", "median(f)", "percentile(i, 50)",
			"spread(f)", "distinct(i)", "difference(max(f))", "cumulative_sum(count(i))", "mean(f) + max(i)", "top(f, 2)",
			"moving_average(sum(f), 2)", "derivative(mean(f), 1m)", "count(distinct(i))", "first(f), last(f), h", "stddev(f)"))
	default:
		q.WriteString(pick(rnd, "*", "f", "f, h", "i, s", "s", "f::integer, u", "b, rare", "h, f", "f + i", "*::field", "rare", "r, rare, s",
			"f AS x, h AS f", "f AS i, i AS f, /s/", "*, f", "f, f::integer", "time, f", "h", "f, f"))
	}
	q.WriteString(" FROM m")
	var where []string
	timed := kind < 4 && rnd.IntN(2) == 0
	if timed || rnd.IntN(2) == 0 {
		where = append(where, fmt.Sprintf("time >= %ds AND time < %ds", rnd.IntN(200), 100+rnd.IntN(300)))
	}
	for rnd.IntN(2) == 0 {
		where = append(where, randomTerm(rnd, 2))
	}
	if len(where) > 0 {
		q.WriteString(" WHERE " + strings.Join(where, " AND "))
	}
	var group []string
	if timed {
		group = append(group, pick(rnd, "time(10s)", "time(1m)", "time(37s, 11s)", "time(7s, -3s)", "time(1h)"))
	}
	if rnd.IntN(2) == 0 {
		group = append(group, pick(rnd, "h", "r", "h, r", "*", "nosuch"))
	}
	if len(group) > 0 {
		q.WriteString(" GROUP BY " + strings.Join(group, ", "))
	}
	if timed {
		q.WriteString(pick(rnd, "", " fill(none)", " fill(none)", " fill(previous)", " fill(0)", " fill(linear)"))
	}
	if rnd.IntN(3) == 0 {
		q.WriteString(" ORDER BY time DESC")
	}
	if rnd.IntN(3) == 0 {
		fmt.Fprintf(&q, " LIMIT %d", 1+rnd.IntN(5))
	}
	if rnd.IntN(6) == 0 {
		fmt.Fprintf(&q, " OFFSET %d", rnd.IntN(4))
	}
	if rnd.IntN(8) == 0 {
		fmt.Fprintf(&q, " SLIMIT %d", 1+rnd.IntN(3))
	}
	if rnd.IntN(6) == 0 {
		q.WriteString(" tz('Europe/Berlin')")
	}
	text := q.String()
	if rnd.IntN(10) == 0 {
		text = pick(rnd, "SELECT mean(x) FROM (", "SELECT max(x) FROM (", "SELECT * FROM (", "SELECT x, h FROM (") +
			strings.Replace(text, " FROM m", " AS x FROM m", 1) + ")" + pick(rnd, "", " GROUP BY h")
	}
	return text
}

// TestDifferential: what is computed from columns is what is computed from points,
// bit for bit, however the rows arrive.
func TestDifferential(t *testing.T) {
	seed := *diffSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-influxql.seed=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	answers := make(map[bool]int) // by whether they have rows
	for range testkit.Rounds(20) {
		b := randomBucket(rnd)
		slow, fast := newFakeHost(), newFakeHost()
		slow.add("db", "autogen", true, b)
		fast.add("db", "autogen", true, chunkReader{b, rnd})
		for range 60 {
			text := randomSelect(rnd)
			if testing.Verbose() {
				t.Log(text)
			}
			now := func() time.Time { return clock }
			chunk, epoch := pick(rnd, 0, 0, 1, 3), rnd.IntN(2) == 0
			want := answer(t, slow, Query{Text: text, Database: "db", Now: now, ChunkSize: chunk, slow: true}, epoch)
			got := answer(t, fast, Query{Text: text, Database: "db", Now: now, ChunkSize: chunk}, epoch)
			if got != want {
				t.Fatalf("%s\n got %s\nwant %s", text, got, want)
			}
			answers[strings.Contains(got, "values")]++
		}
	}
	// Of 120 answers, as under the race detector, 38 to 78 % had rows with 300 seeds.
	if 4*answers[true] < answers[true]+answers[false] {
		t.Errorf("%d answers with rows, %d without", answers[true], answers[false])
	}
}

// TestDamageIsNoAnswer has a chunk that cannot be read, or the query cancelled there:
// whatever the statement, its last result is that error.
func TestDamageIsNoAnswer(t *testing.T) {
	seed := *diffSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-influxql.seed=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	met := 0
	for range testkit.Rounds(10) {
		b := randomBucket(rnd)
		for range 40 {
			q := Query{Text: randomSelect(rnd), Database: "db", Now: func() time.Time { return clock }, ChunkSize: pick(rnd, 0, 0, 1, 3), slow: rnd.IntN(2) == 0}
			ctx, cancel := context.WithCancelCause(t.Context())
			bad := errors.New("unreadable")
			at, cancelled := 1+rnd.IntN(12), rnd.IntN(2) == 0
			r := &damagedReader{Reader: b, at: at, damage: func() error {
				if cancelled {
					cancel(bad)
					return nil
				}
				return bad
			}}
			host := newFakeHost()
			host.add("db", "autogen", true, r)
			var last Result
			err := Run(ctx, host, q, func(r Result) error { last = r; return nil })
			cancel(nil)
			if r.n < at {
				continue // it needs less
			}
			met++
			if !errors.Is(last.Err, bad) || cancelled != (err != nil) {
				t.Fatalf("%s: chunk %d, cancelled %t: last result %+v, error %v", q.Text, at, cancelled, last, err)
			}
		}
	}
	if met == 0 {
		t.Error("no statement met the damage")
	}
}

// damagedReader has a chunk that is like none.
type damagedReader struct {
	point.Reader
	at, n  int
	damage func() error
}

func (r *damagedReader) Read(ctx context.Context, req point.ReadRequest, yield func(point.SeriesRows) error) error {
	return r.Reader.Read(ctx, req, func(sr point.SeriesRows) error {
		if r.n++; r.n == r.at {
			if err := r.damage(); err != nil {
				return err
			}
		}
		return yield(sr)
	})
}

// TestSlices: rows that are read in slices of time are the same rows. No two share
// a time, for their order could be another one.
func TestSlices(t *testing.T) {
	seed := *diffSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-influxql.seed=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	b := newFakeBucket()
	at := int64(0)
	for i := range 600 {
		if at += 1 + rnd.Int64N(1000); rnd.IntN(100) == 0 {
			at += 1e12
		}
		tags := models.NewTags(map[string]string{"h": pick(rnd, "a", "b", "c")})
		b.add("m", tags, at, models.Fields{"f": rnd.Float64(), "i": int64(i), "s": strings.Repeat("x", rnd.IntN(5))})
	}
	slow, fast := newFakeHost(), newFakeHost()
	slow.add("db", "autogen", true, b)
	fast.add("db", "autogen", true, chunkReader{b, rnd})
	for range testkit.Rounds(120) {
		text := "SELECT " + pick(rnd, "f", "*", "i, s", "f + i", "top(f, 3)", "distinct(s)", "median(f)", "difference(i)") + " FROM m" +
			pick(rnd, "", " WHERE f > 0.9", " WHERE h = 'a'", fmt.Sprintf(" WHERE time > %d", rnd.Int64N(at)))
		group := pick(rnd, "", " GROUP BY h")
		text += group + pick(rnd, "", " ORDER BY time DESC") + pick(rnd, "", " LIMIT 7", " LIMIT 300 OFFSET 20", " OFFSET 5")
		chunk := pick(rnd, 0, 1, 10, 1000)
		want := answer(t, slow, Query{Text: text, Database: "db", ChunkSize: chunk, slow: true}, true)
		got := answer(t, fast, Query{Text: text, Database: "db", ChunkSize: chunk, spillBytes: 2000 + rnd.Int64N(20_000)}, true)
		if got != want {
			t.Fatalf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

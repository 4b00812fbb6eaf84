package flux

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/engine/point"
	"headgate/engine/testkit"
)

var seed = flag.Uint64("flux.seed", 1, "seed of the random queries")

// TestPushDownAgrees compares random queries with themselves, without what may be
// pushed down.
func TestPushDownAgrees(t *testing.T) {
	rng := rand.New(rand.NewPCG(*seed, 2))
	t.Logf("-flux.seed=%d", *seed)
	b := newFakeBucket()
	for range 150 {
		var tags string
		for _, key := range []string{"dc", "host"} {
			if rng.IntN(4) > 0 {
				tags += "," + key + "=" + string('a'+rune(rng.IntN(3)))
			}
		}
		fields := []string{fmt.Sprintf("v=%d", rng.IntN(20)-10), fmt.Sprintf("i=%di", rng.IntN(9)-4), fmt.Sprintf("u=%du", rng.IntN(9)), fmt.Sprintf("s=\"%c\"", 'x'+rune(rng.IntN(3)))}
		rng.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
		line := fmt.Sprintf("%s%s %s %d", []string{"cpu", "mem"}[rng.IntN(2)], tags, strings.Join(fields[:1+rng.IntN(4)], ","), rng.IntN(300))
		if err := b.write(line); err != nil {
			t.Fatal(err)
		}
	}
	host := fakeHost{"b": b}
	rounds := testkit.Rounds(40)
	fewer := 0
	for range rounds {
		b.chunkRows = 1 + rng.IntN(5)
		text := randomQuery(rng)
		q := Query{Text: text, Now: testNow}
		b.rowsRead.Store(0)
		with := sortedAnswer(host, q)
		n := b.rowsRead.Load()
		q.pushDownOff = true
		b.rowsRead.Store(0)
		without := sortedAnswer(host, q)
		if with != without && !(strings.Contains(with, "error: ") && strings.Contains(without, "error: ")) {
			t.Fatalf("%s\npushed down:\n%s\nnot:\n%s", text, with, without)
		}
		if n < b.rowsRead.Load() {
			fewer++
		}
	}
	if fewer < rounds/2 {
		t.Errorf("%d of %d queries read less when they push down", fewer, rounds)
	}
}

// randomQuery makes a query with filters and what may follow them.
func randomQuery(rng *rand.Rand) string {
	start := rng.IntN(200)
	q := fmt.Sprintf("h = \"a\"\nfrom(bucket: \"b\") |> range(start: %d, stop: %d)", start, start+1+rng.IntN(200))
	field := []string{"v", "i", "u", "s"}[rng.IntN(4)]
	// One field, since columns have one type.
	q += fmt.Sprintf(" |> filter(fn: (r) => r._field == %q)", field)
	for range rng.IntN(3) {
		q += " |> filter(fn: (r) => " + randomCondition(rng, field, 2) + ")"
	}
	return q + []string{"", " |> first()", " |> last()", " |> count()", " |> sum()", " |> mean()", " |> min()", " |> max()",
		" |> window(every: 1m) |> count()", " |> aggregateWindow(every: 50s, fn: last, createEmpty: false)", " |> aggregateWindow(every: 1m, fn: sum)",
		" |> aggregateWindow(every: 50s, fn: mean, createEmpty: false)", " |> aggregateWindow(every: 1m, fn: count)", " |> aggregateWindow(every: 1m, fn: max, timeSrc: \"_start\")",
		" |> group(columns: [\"host\"]) |> count()", " |> limit(n: 2)", " |> keep(columns: [\"_value\", \"host\"])"}[rng.IntN(17)]
}

func randomCondition(rng *rand.Rand, field string, depth int) string {
	if depth > 0 && rng.IntN(2) == 0 {
		return "(" + randomCondition(rng, field, depth-1) + []string{" and ", " or "}[rng.IntN(2)] + randomCondition(rng, field, depth-1) + ")"
	}
	column := []string{"dc", "host", "_measurement", "_field", "none"}[rng.IntN(5)]
	value := []string{"a", "b", "cpu", "v", ""}[rng.IntN(5)]
	switch rng.IntN(7) {
	case 0:
		return fmt.Sprintf("r.%s != %q", column, value)
	case 1:
		return fmt.Sprintf("r.%s =~ /[ac]/", column)
	case 2:
		return fmt.Sprintf("r.%s !~ /^a|u$/", column)
	case 3:
		return fmt.Sprintf("r[%q] == h", column)
	case 4:
		if field != "s" {
			return "r._value > " + map[string]string{"v": "0.0", "i": "0", "u": "uint(v: 3)"}[field]
		}
		return "r._value != \"x\""
	case 5:
		return "exists r." + column
	}
	return fmt.Sprintf("r.%s == %q", column, value)
}

// sortedAnswer is the answer without the order and the numbers of its tables.
func sortedAnswer(host Host, q Query) string {
	lines := strings.Split(answer(host, q), "\n")
	for i, line := range lines {
		if rest, ok := strings.CutPrefix(line, ",_result,"); ok {
			_, lines[i], _ = strings.Cut(rest, ",")
		}
	}
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), "\n")
}

// TestMemoryIsBounded shows that a query that holds more than it may ends, and
// that one which only passes much through does not.
func TestMemoryIsBounded(t *testing.T) {
	b := newFakeBucket()
	b.chunkRows = 500
	var sb strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&sb, "m,t=%d v=%d %d\n", i%200, i, i)
	}
	if err := b.write(sb.String()); err != nil {
		t.Fatal(err)
	}
	host := fakeHost{"b": b}
	q := Query{Text: `from(bucket: "b") |> range(start: 0, stop: 100000)`, BytesMax: 1 << 20}
	if err := Run(t.Context(), host, q, io.Discard); err != nil {
		t.Errorf("passing through: %v", err)
	}
	q.Text += ` |> group() |> sort(columns: ["_value"])`
	err := Run(t.Context(), host, q, io.Discard)
	var e *Error
	if !errors.As(err, &e) || !e.TooLarge || !strings.Contains(e.Message, "--max-query-memory") {
		t.Errorf("holding all: %v", err)
	}
	b.holdBytes = 2 << 20
	q.Text = `from(bucket: "b") |> range(start: 0, stop: 100000) |> count()`
	if err := Run(t.Context(), host, q, io.Discard); !errors.As(err, &e) || !e.TooLarge || !strings.Contains(e.Message, "--max-query-memory") {
		t.Errorf("a reader that holds much: %v", err)
	}
}

// TestCancel shows that a query ends with its context, and leaves nothing behind.
func TestCancel(t *testing.T) {
	testkit.CheckLeaks(t)
	b := newFakeBucket()
	for i := range 300 {
		if err := b.write(fmt.Sprintf("m,t=%d v=1 1", i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, rest := range []string{"", " |> map(fn: (r) => ({r with _value: r._value + 1.0}))", " |> yield(name: \"a\") |> group() |> count() |> yield(name: \"b\")"} {
		cause := errors.New("the client has gone")
		ctx, cancel := context.WithCancelCause(context.Background())
		w := writerFunc(func(p []byte) (int, error) {
			cancel(cause)
			return len(p), nil
		})
		err := Run(ctx, fakeHost{"b": b}, Query{Text: `from(bucket: "b") |> range(start: 0, stop: 10)` + rest}, w)
		if !errors.Is(err, cause) && !errors.Is(err, context.Canceled) && err != nil {
			t.Errorf("%q: %v", rest, err)
		}
		cancel(nil)
	}
	// Windows without end, before anything has been written.
	for _, rest := range []string{" |> aggregateWindow(every: 1ns, fn: count)", " |> window(every: 1ns, createEmpty: true) |> count() |> group() |> sum()"} {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
		err := Run(ctx, fakeHost{"b": b}, Query{Text: `from(bucket: "b") |> range(start: 0, stop: 2200-01-01T00:00:00Z)` + rest}, io.Discard)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q: %v", rest, err)
		}
		cancel()
	}
	failing := errors.New("no room")
	err := Run(context.Background(), fakeHost{"b": b}, Query{Text: `from(bucket: "b") |> range(start: 0, stop: 10)`},
		writerFunc(func([]byte) (int, error) { return 0, failing }))
	if !errors.Is(err, failing) && (err == nil || !strings.Contains(err.Error(), failing.Error())) {
		t.Errorf("failing writer: %v", err)
	}
}

// goneHost ends the query when its data is asked for.
type goneHost struct {
	fakeHost
	cancel func()
}

func (h goneHost) Snapshot(ctx context.Context, name, id string) (point.Reader, error) {
	h.cancel()
	return h.fakeHost.Snapshot(ctx, name, id)
}

// TestCancelledIsNoAnswer ends queries at a moment when the engine may take what is
// left out for all there is.
func TestCancelledIsNoAnswer(t *testing.T) {
	testkit.CheckLeaks(t)
	b := newFakeBucket()
	for i := range 50 {
		if err := b.write(fmt.Sprintf("m,t=%d v=1 1", i)); err != nil {
			t.Fatal(err)
		}
	}
	const from = `from(bucket: "b") |> range(start: 0, stop: 10)`
	for _, text := range []string{from, from + " |> aggregateWindow(every: 1ns, fn: count)", from + ` |> yield(name: "a") |> group() |> count() |> yield(name: "b")`} {
		for range 30 {
			cause := errors.New("the client has gone")
			ctx, cancel := context.WithCancelCause(context.Background())
			err := Run(ctx, goneHost{fakeHost{"b": b}, func() { cancel(cause) }}, Query{Text: text}, io.Discard)
			if !errors.Is(err, cause) {
				t.Fatalf("%q: error %v, want %v", text, err, cause)
			}
		}
	}
}

// TestDamageIsNoAnswer has a chunk of data that cannot be read, or the query cancelled
// there: whatever follows in the script, there is an error.
func TestDamageIsNoAnswer(t *testing.T) {
	testkit.CheckLeaks(t)
	rng := rand.New(rand.NewPCG(*seed, 5))
	b := newFakeBucket()
	for i := range 60 {
		if err := b.write(fmt.Sprintf("cpu,host=%c,dc=%c v=%d,i=%di,u=1u,s=\"x\" %d", 'a'+i%3, 'a'+i%2, i, i, i*5)); err != nil {
			t.Fatal(err)
		}
	}
	failed := 0
	for range testkit.Rounds(60) {
		text := randomQuery(rng)
		switch rng.IntN(4) {
		case 0:
			text += " |> yield(name: \"a\") |> limit(n: 1) |> yield(name: \"b\")"
		case 1:
			text = strings.Replace(text, "from(", "t = from(", 1) + "\nunion(tables: [t, t]) |> limit(n: 1)"
		case 2:
			text += " |> map(fn: (r) => ({r with x: 1})) |> limit(n: 1)"
		}
		q := Query{Text: text, Now: testNow, pushDownOff: rng.IntN(2) == 0}
		b.damage = nil
		b.chunksRead.Store(0)
		if err := Run(t.Context(), fakeHost{"b": b}, q, io.Discard); err != nil {
			continue
		}
		n := b.chunksRead.Load()
		if n == 0 {
			continue
		}
		at, cause := 1+rng.Int64N(n), errors.New("unreadable")
		ctx, cancel := context.WithCancelCause(t.Context())
		if rng.IntN(2) == 0 {
			b.damage = func(chunk int64) error {
				if chunk == at {
					return cause
				}
				return nil
			}
		} else {
			b.damage = func(chunk int64) error {
				if chunk == at {
					cancel(cause)
				}
				return nil
			}
		}
		b.chunksRead.Store(0)
		err := Run(ctx, fakeHost{"b": b}, q, io.Discard)
		if !errors.Is(err, cause) {
			t.Fatalf("chunk %d of %d cannot be read: error %v\n%s", at, n, err, text)
		}
		cancel(nil)
		failed++
	}
	if failed == 0 {
		t.Error("nothing was read")
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestConcurrentQueries runs queries side by side, for the race detector.
func TestConcurrentQueries(t *testing.T) {
	b := newFakeBucket()
	if err := b.write("m,t=a v=1 1\nm,t=b v=2 2"); err != nil {
		t.Fatal(err)
	}
	q := Query{Text: `import "influxdata/influxdb/schema"
a = from(bucket: "b") |> range(start: 0, stop: 10) |> aggregateWindow(every: 5s, fn: mean, createEmpty: false) |> map(fn: (r) => ({r with _value: r._value * 2.0}))
a |> yield(name: "a")
schema.tagValues(bucket: "b", tag: "t", start: 0) |> yield(name: "b")`, Now: time.Unix(10, 0)}
	want := answer(fakeHost{"b": b}, q)
	if !strings.Contains(want, ",b,0,a") {
		t.Fatal(want)
	}
	var wg sync.WaitGroup
	for range 4 {
		copied := &fakeBucket{measurements: b.measurements, series: b.series}
		wg.Go(func() {
			for range 3 {
				if got := answer(fakeHost{"b": copied}, q); got != want {
					t.Errorf("got %s want %s", got, want)
				}
			}
		})
	}
	wg.Wait()
}

// FuzzQuery looks for scripts that panic or hang.
func FuzzQuery(f *testing.F) {
	b := newFakeBucket()
	if err := b.write("cpu,host=a v=1,i=1i,s=\"x\" 10\ncpu,host=b v=2 20\nmem v=3 30"); err != nil {
		f.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		f.Add(randomQuery(rng))
	}
	f.Add(`import "strings"
from(bucket: "b") |> range(start: 0) |> map(fn: (r) => ({_value: strings.toUpper(v: r._field)})) |> yield(name: "x")`)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<10 {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		err := Run(ctx, fakeHost{"b": b}, Query{Text: text, Now: testNow, BytesMax: 8 << 20}, io.Discard)
		if ctx.Err() != nil {
			t.Fatalf("%q took too long", text)
		}
		var e *Error
		if errors.As(err, &e) && e.Internal && strings.Contains(e.Message, "library") {
			t.Fatalf("%q: %v", text, err)
		}
	})
}

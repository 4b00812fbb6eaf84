package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// writeDry is a write that is not meant.
func (e *testEngine) writeDry(lines string, p Precision) error {
	e.t.Helper()
	a, err := e.Admit(e.t.Context(), e.bucket.ID, int64(len(lines)))
	if err != nil {
		e.t.Fatal(err)
	}
	defer a.Release()
	return e.WriteAdmitted(e.t.Context(), a, []byte(lines), WriteOptions{Precision: p, DryRun: true})
}

// answerOf is all that a caller gets to see of a write's outcome.
func answerOf(err error) any {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	seen := *e
	seen.Err = nil
	return seen
}

// traces is what a write leaves behind somewhere.
func (e *testEngine) traces() string {
	seen := e.query("SHOW SERIES; SHOW FIELD KEYS") // first, since it makes what is counted below
	st := e.Engine.bucket(e.bucket.ID).State()
	return fmt.Sprintf("%+v\nrecords %d, %d bytes, index %d\nschema %p of %d\nrejected %+v\n%s", st.Store.Stats(), e.shard.Log().Stats().Records, e.shard.Log().Stats().RecordBytes,
		st.Index.MemoryBytes(), st.Store.Schema(), st.Store.Schema().Len(), e.RejectedStats(), seen)
}

// randomLines is line protocol of few names, so that bodies meet what others have defined,
// with a good part that is wrong in each way that there is.
func randomLines(rng *rand.Rand, now time.Time) string {
	var sb strings.Builder
	values := []string{"1", "2.5", "3i", "4u", "t", `"x"`, "1", "1", "1", "1"}
	if rng.IntN(6) == 0 {
		values = append(values, "x", "")
	}
	for range rng.IntN(12) {
		fmt.Fprintf(&sb, "m%d", rng.IntN(5))
		for i := range rng.IntN(3) {
			fmt.Fprintf(&sb, ",t%d=%d", i, rng.IntN(3))
		}
		if rng.IntN(12) == 0 {
			sb.WriteString(",a=1,b=2,c=3,d=4")
		}
		sb.WriteByte(' ')
		for i := range 1 + rng.IntN(2) {
			if i > 0 {
				sb.WriteByte(',')
			}
			fmt.Fprintf(&sb, "%s=%s", []string{"f", "g", "h", "i", "j", "time", "longer-than-allowed"}[min(rng.IntN(20), rng.IntN(7))], values[rng.IntN(len(values))])
		}
		switch rng.IntN(8) {
		case 0:
			fmt.Fprintf(&sb, " %d", now.Add(-2*time.Hour).UnixNano())
		case 1:
			fmt.Fprintf(&sb, " %d", now.Unix()) // long ago, or now with AutoPrecision
		case 2:
		default:
			fmt.Fprintf(&sb, " %d", now.UnixNano()-rng.Int64N(1000))
		}
		sb.WriteByte('\n')
	}
	return sb.String()
}

// TestDryRun compares what dry runs of random batches say with what writes of them say right
// after, and looks for traces of the dry runs.
func TestDryRun(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	kinds := make(map[string]int)
	for round := range 12 { // also under the race detector: fewer do not meet every limit
		series := 9 + round
		if round%2 == 1 {
			series = 1000 // else their limit is met before that of measurements
		}
		e := openTest(t, t.TempDir(), func(o *Options) {
			o.Now = func() time.Time { return now }
			o.SeriesPerBucketMax, o.MeasurementsPerBucketMax, o.FieldsPerMeasurementMax, o.TagsPerPointMax, o.NameBytesMax = series, 4, 4, 4, 12
		})
		e.create("b", time.Hour)
		for range 40 {
			lines, precision := randomLines(rng, now), Nanosecond
			if rng.IntN(3) == 0 {
				precision = AutoPrecision
			}
			before := e.traces()
			dry := answerOf(e.writeDry(lines, precision))
			if after := e.traces(); after != before {
				t.Fatalf("seed %d: a dry run of\n%sleft traces: before\n%s\nafter\n%s", seed, lines, before, after)
			}
			write := answerOf(e.Write(t.Context(), e.bucket.ID, []byte(lines), precision))
			if !reflect.DeepEqual(dry, write) {
				t.Fatalf("seed %d: a dry run of\n%ssaid\n%+v\nand the write\n%+v", seed, lines, dry, write)
			}
			kind := "ok"
			if w, ok := write.(Error); ok {
				kind = w.Kind.String()
				if w.Partial != nil {
					for _, p := range w.Partial.Points {
						kinds[p.Code]++
					}
				}
			}
			kinds[kind]++
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Log(kinds)
	for _, kind := range []string{"ok", "invalid", "unprocessable entity", "field_type_conflict", "beyond_retention", "series_limit", "measurement_limit", "field_limit", "tag_limit", "name_too_long", "invalid_field_name"} {
		if kinds[kind] == 0 {
			t.Errorf("no write was %s", kind)
		}
	}
}

package engine

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestLimits writes batches that go over one limit each, and looks at what is
// dropped, why, and what is there afterwards.
func TestLimits(t *testing.T) {
	long := strings.Repeat("x", 21)
	for _, c := range []struct {
		name          string
		first, second string // lines; first fits
		code          string
		dropped       []int // lines of second
		knob          string
		query, want   string
	}{
		{
			name: "series: those that fit are taken", first: "m,t=1 f=1 1\nm,t=2 f=1 1",
			second: "m,t=3 f=1 2\nm,t=4 f=1 2\nm,t=3 f=2 3\nm,t=1 f=2 2\nm,t=5 f=1 1",
			code:   "series_limit", dropped: []int{2, 5}, knob: "Options.SeriesPerBucketMax (--max-series-per-bucket) allows, 3",
			query: "SELECT f FROM m GROUP BY t", want: "m time=1 f=1\nm time=2 f=2\nm time=1 f=1\nm time=2 f=1\nm time=3 f=2\n",
		},
		{
			name: "series: a dropped point decides no type", first: "m,t=1 f=1 1\nm,t=2 f=1 1\nm,t=3 f=1 1",
			second: "m,t=4 h=1 2\nm,t=1 h=\"x\" 2",
			code:   "series_limit", dropped: []int{1}, knob: "SeriesPerBucketMax", query: "SELECT h FROM m", want: "m time=2 h=x\n",
		},
		{
			name: "measurements", first: "m1 f=1 1\nm2 f=1 1",
			second: "m3 f=1 1\nm4 f=1 1\nm1 f=2 2\nm4 f=1 2",
			code:   "measurement_limit", dropped: []int{2, 4}, knob: `measurement "m4" is one more than Options.MeasurementsPerBucketMax (--max-measurements-per-bucket) allows, 3`,
			query: "SHOW MEASUREMENTS", want: "measurements name=m1\nmeasurements name=m2\nmeasurements name=m3\n",
		},
		{
			name: "measurements: one whose points are all dropped is none", first: "m1 f=1 1\nm2 f=1 1",
			second: "m3,a=1,b=2,c=3,d=4,e=5 f=1 1\nm4 f=1 1",
			code:   "tag_limit", dropped: []int{1}, knob: "point has 5 tags, over Options.TagsPerPointMax (--max-tags-per-point) 4",
			query: "SHOW MEASUREMENTS", want: "measurements name=m1\nmeasurements name=m2\nmeasurements name=m4\n",
		},
		{
			name: "fields", first: "m a=1,b=1,c=1 1",
			second: "m d=1 2\nm a=2,e=1 3\nm c=2 4\nm d=2,e=2,a=3 5\nm d=3 6",
			code:   "field_limit", dropped: []int{2, 4}, knob: `input field "e" on measurement "m" is one more than Options.FieldsPerMeasurementMax (--max-fields-per-measurement) allows, 4`,
			query: "SHOW FIELD KEYS", want: "m fieldKey=a fieldType=float\nm fieldKey=b fieldType=float\nm fieldKey=c fieldType=float\nm fieldKey=d fieldType=float\n",
		},
		{
			name: "fields: a point takes all its new ones or none", first: "m a=1,b=1,c=1 1",
			second: "m d=1,e=1 2\nm e=2 3",
			code:   "field_limit", dropped: []int{1}, knob: "FieldsPerMeasurementMax", query: "SELECT e FROM m", want: "m time=3 e=2\n",
		},
		{
			name: "fields: of a new measurement", first: "m a=1 1",
			second: "n a=1,b=1 1\nn c=1,d=1,e=1 2\nn c=1 3",
			code:   "field_limit", dropped: []int{2}, knob: "FieldsPerMeasurementMax", query: "SELECT * FROM n", want: "n time=1 a=1 b=1 c=<nil>\nn time=3 a=<nil> b=<nil> c=1\n",
		},
		{
			name: "fields: one whose points are all dropped takes no room", first: "m a=1,b=1,c=1 1",
			second: "m a=\"text\",d=1 2\nm e=2 3",
			code:   "field_type_conflict", dropped: []int{1}, knob: "", query: "SELECT e FROM m", want: "m time=3 e=2\n",
		},
		{
			name: "measurement name", first: "m f=1 1", second: long + " f=1 1\nm f=2 2",
			code: "name_too_long", dropped: []int{1}, knob: "measurement is 21 bytes long, over Options.NameBytesMax (--max-name-length) 20",
			query: "SHOW MEASUREMENTS", want: "measurements name=m\n",
		},
		{
			name: "tag key", first: "m f=1 1", second: "m," + long + "=1 f=1 1\nm,t=" + long[1:] + " f=2 2",
			code: "name_too_long", dropped: []int{1}, knob: `tag key "` + long + `" is 21 bytes`, query: "SHOW TAG KEYS", want: "m tagKey=t\n",
		},
		{
			name: "field key", first: "m f=1 1", second: "m " + long + "=1 1\nm " + long[1:] + "=2 2\nm f=2," + long + "=1 2",
			code: "name_too_long", dropped: []int{1, 3}, knob: `field key "` + long + `" is 21 bytes`, query: "SHOW FIELD KEYS", want: "m fieldKey=f fieldType=float\nm fieldKey=" + long[1:] + " fieldType=float\n",
		},
		{
			// Escapes do not count: the value is 30 bytes long.
			name: "tag value", first: "m f=1 1", second: "m,t=" + strings.Repeat(`\ `, 30) + " f=1 1\nm,t=" + strings.Repeat("v", 31) + " f=1 1",
			code: "tag_value_too_long", dropped: []int{2}, knob: `value of tag "t" is 31 bytes long, over Options.TagValueBytesMax (--max-tag-value-length) 30`,
			query: "SELECT count(f) FROM m", want: "m time=0 count=2\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := openTest(t, t.TempDir(), func(o *Options) {
				o.SeriesPerBucketMax, o.MeasurementsPerBucketMax, o.FieldsPerMeasurementMax = 3, 3, 4
				o.TagsPerPointMax, o.NameBytesMax, o.TagValueBytesMax = 4, 20, 30
			}).create("b", 0)
			if err := e.write(c.first); err != nil {
				t.Fatal(err)
			}
			for round := range 2 { // again: the same lines are dropped, now that all else is known
				err, kind := kindOf(e.write(c.second))
				if kind != Unprocessable || err.Partial == nil {
					t.Fatal(err)
				}
				var lines []int
				for _, p := range err.Partial.Points {
					lines = append(lines, p.Line)
					if round == 0 && (p.Code != c.code || !strings.Contains(p.Message, c.knob)) {
						t.Errorf("line %d: %s: %s", p.Line, p.Code, p.Message)
					}
				}
				if total := strings.Count(c.second, "\n") + 1; fmt.Sprint(lines) != fmt.Sprint(c.dropped) || err.Partial.Written != total-len(lines) {
					t.Errorf("dropped lines %v, wrote %d of %d, want %v dropped", lines, err.Partial.Written, total, c.dropped)
				}
				if round == 0 && (!strings.Contains(err.Message, "partial write: ") || !strings.Contains(err.Message, c.knob)) {
					t.Errorf("message %q", err.Message)
				}
			}
			e.expect(c.query, c.want)
		})
	}
}

// TestLimitLowered: what a bucket has already it keeps taking.
func TestLimitLowered(t *testing.T) {
	dir := t.TempDir()
	lines := "m1,a=1,b=2 longfieldkey=1,g=1 %[1]d\nm2,a=1,longtagkey=long\\ tag\\ value longfieldkey=1,g=1 %[1]d"
	t.Run("before", func(t *testing.T) {
		if err := openTest(t, dir, nil).create("b", 0).write(fmt.Sprintf(lines, 1)); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("after", func(t *testing.T) {
		e := openTest(t, dir, func(o *Options) {
			o.SeriesPerBucketMax, o.MeasurementsPerBucketMax, o.FieldsPerMeasurementMax = 1, 1, 1
			o.TagsPerPointMax, o.NameBytesMax, o.TagValueBytesMax = 1, 1, 1
		})
		e.find("b")
		if err := e.write(fmt.Sprintf(lines, 2)); err != nil {
			t.Fatal(err)
		}
		for code, line := range map[string]string{"series_limit": "m1 g=1 3", "measurement_limit": "m g=1 3", "field_limit": "m1,a=1,b=2 h=1 3"} {
			err, kind := kindOf(e.write(line))
			if kind != Unprocessable || err.Partial.Points[0].Code != code {
				t.Errorf("%s: %v", line, err)
			}
		}
	})
}

// TestLimitRaces: writers that bring new fields, measurements and series at once
// never take the bucket over a limit, and fill it exactly.
func TestLimitRaces(t *testing.T) {
	e := openTest(t, t.TempDir(), func(o *Options) {
		o.SeriesPerBucketMax, o.MeasurementsPerBucketMax, o.FieldsPerMeasurementMax = 50, 20, 30
	}).create("b", 0)
	if err := e.write("m f=1 1"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var dropped atomic.Int64
	for w := range 4 {
		wg.Go(func() {
			for i := range 20 {
				lines := fmt.Sprintf("m f%d_%d=1 1\nm%d_%d f=1 1\nm,t=%d_%d f=1 1", w, i, w, i, w, i)
				if err, kind := kindOf(e.write(lines)); kind == Unprocessable && err.Partial != nil {
					dropped.Add(int64(err.Partial.Dropped))
				} else if kind != kinds {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for query, want := range map[string]int{"SHOW SERIES": 50, "SHOW MEASUREMENTS": 20, "SHOW FIELD KEYS FROM m": 30} {
		if got := strings.Count(e.query(query), "\n"); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	// One field, one measurement and one series were there; each point that was
	// written made one field, or one series that in some cases was a measurement's first.
	if got, want := dropped.Load(), int64(3*80-(30-1)-(50-1)); got != want {
		t.Errorf("%d points dropped, want %d", got, want)
	}
}

func TestOptionsRefuseLimits(t *testing.T) {
	for knob, set := range map[string]func(*Options, int){
		"MeasurementsPerBucketMax (--max-measurements-per-bucket)": func(o *Options, n int) { o.MeasurementsPerBucketMax = n },
		"FieldsPerMeasurementMax (--max-fields-per-measurement)":   func(o *Options, n int) { o.FieldsPerMeasurementMax = n },
		"TagsPerPointMax (--max-tags-per-point)":                   func(o *Options, n int) { o.TagsPerPointMax = n },
		"NameBytesMax (--max-name-length)":                         func(o *Options, n int) { o.NameBytesMax = n },
		"TagValueBytesMax (--max-tag-value-length)":                func(o *Options, n int) { o.TagValueBytesMax = n },
	} {
		for _, n := range []int{-1, 1 << 24} {
			o := Options{Dir: "d"}
			set(&o, n)
			o.EnsureDefaults()
			if err := o.Validate(); err == nil || !strings.Contains(err.Error(), knob) {
				t.Errorf("%s = %d: %v", knob, n, err)
			}
		}
	}
}

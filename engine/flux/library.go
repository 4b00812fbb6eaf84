package flux

import (
	"context"
	"fmt"

	"github.com/influxdata/flux/execute"
	"github.com/influxdata/flux/memory"
	"github.com/influxdata/flux/semantic"
	"github.com/influxdata/flux/values"
	"github.com/influxdata/flux/values/objects"

	// The packages register their functions; allowed says which of them exist.
	_ "github.com/influxdata/flux/stdlib/date"
	_ "github.com/influxdata/flux/stdlib/experimental"
	_ "github.com/influxdata/flux/stdlib/json"
	_ "github.com/influxdata/flux/stdlib/math"
	_ "github.com/influxdata/flux/stdlib/regexp"
	_ "github.com/influxdata/flux/stdlib/strings"
	_ "github.com/influxdata/flux/stdlib/system"
	_ "github.com/influxdata/flux/stdlib/universe"
)

// everything allows all of a package.
var everything []string

// libraryPackages are the packages of Flux's own library that a script may import,
// with the names in them that it sees. None of them can reach anything outside
// the process.
var libraryPackages = map[string][]string{
	"date":         everything,
	"json":         everything,
	"math":         everything,
	"regexp":       everything,
	"strings":      everything,
	"experimental": {"addDuration", "subDuration", "group", "join", "objectKeys", "set"},
}

// refused are names that InfluxDB has and that are refused by name, with the
// reason.
var refused = map[string]string{
	"to":    "to() is not supported: write points with POST /api/v2/write",
	"sleep": "sleep() is not supported",
}

// ownPackages are the packages that are written in Flux, here.
var ownPackages = map[string]map[string]string{
	"influxdata/influxdb/schema": schemaSources,
	"influxdata/influxdb/v1":     schemaSources,
	"influxdata/influxdb":        {},
}

// schemaSources are functions on what is in a bucket. They read one point of each
// table, by first.
var schemaSources = map[string]string{
	"fieldsAsCols": `(tables=<-) => tables |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")`,
	"tagValues": `(bucket, tag, predicate=(r) => true, start=-30d) => from(bucket: bucket) |> range(start: start) |> filter(fn: predicate) |> first()
		|> keep(columns: [tag]) |> group() |> distinct(column: tag) |> sort()`,
	"tagKeys": `(bucket, predicate=(r) => true, start=-30d) => from(bucket: bucket) |> range(start: start) |> filter(fn: predicate) |> first()
		|> keys() |> keep(columns: ["_value"]) |> group() |> distinct() |> sort()`,
	"measurements": `(bucket, start=-30d) => from(bucket: bucket) |> range(start: start) |> first()
		|> keep(columns: ["_measurement"]) |> group() |> distinct(column: "_measurement") |> sort()`,
	"fieldKeys": `(bucket, predicate=(r) => true, start=-30d) => from(bucket: bucket) |> range(start: start) |> filter(fn: predicate) |> first()
		|> keep(columns: ["_field"]) |> group() |> distinct(column: "_field") |> sort()`,
	"measurementTagValues": `(bucket, measurement, tag, start=-30d) => from(bucket: bucket) |> range(start: start) |> filter(fn: (r) => r._measurement == measurement) |> first()
		|> keep(columns: [tag]) |> group() |> distinct(column: tag) |> sort()`,
	"measurementTagKeys": `(bucket, measurement, start=-30d) => from(bucket: bucket) |> range(start: start) |> filter(fn: (r) => r._measurement == measurement) |> first()
		|> keys() |> keep(columns: ["_value"]) |> group() |> distinct() |> sort()`,
	"measurementFieldKeys": `(bucket, measurement, start=-30d) => from(bucket: bucket) |> range(start: start) |> filter(fn: (r) => r._measurement == measurement) |> first()
		|> keep(columns: ["_field"]) |> group() |> distinct(column: "_field") |> sort()`,
}

// preludeSources are the functions of the prelude that are written in Flux. The
// others are Go: all that the package universe registers.
var preludeSources = map[string]string{
	"aggregateWindow": `(every, fn, period=0s, offset=0s, column="_value", timeSrc="_stop", timeDst="_time", createEmpty=true, tables=<-) =>
		tables |> window(every: every, period: period, offset: offset, createEmpty: createEmpty) |> fn(column: column) |> duplicate(column: timeSrc, as: timeDst) |> window(every: inf, timeColumn: timeDst)`,
	"increase":           `(tables=<-, columns=["_value"]) => tables |> difference(nonNegative: true, columns: columns) |> cumulativeSum(columns: columns)`,
	"median":             `(method="estimate_tdigest", compression=0.0, column="_value", tables=<-) => tables |> quantile(q: 0.5, method: method, compression: compression, column: column)`,
	"cov":                `(x, y, on, pearsonr=false) => join(tables: {x: x, y: y}, on: on) |> covariance(pearsonr: pearsonr, columns: ["_value_x", "_value_y"])`,
	"pearsonr":           `(x, y, on) => cov(x: x, y: y, on: on, pearsonr: true)`,
	"stateCount":         `(fn, column="stateCount", tables=<-) => tables |> stateTracking(countColumn: column, fn: fn)`,
	"stateDuration":      `(fn, column="stateDuration", timeColumn="_time", unit=1s, tables=<-) => tables |> stateTracking(durationColumn: column, timeColumn: timeColumn, fn: fn, durationUnit: unit)`,
	"top":                `(n, columns=["_value"], tables=<-) => tables |> sort(columns: columns, desc: true) |> limit(n: n)`,
	"bottom":             `(n, columns=["_value"], tables=<-) => tables |> sort(columns: columns, desc: false) |> limit(n: n)`,
	"highestMax":         `(n, column="_value", groupColumns=[], tables=<-) => tables |> group(columns: groupColumns) |> max(column: column) |> group() |> sort(columns: [column], desc: true) |> limit(n: n)`,
	"highestAverage":     `(n, column="_value", groupColumns=[], tables=<-) => tables |> group(columns: groupColumns) |> mean(column: column) |> group() |> sort(columns: [column], desc: true) |> limit(n: n)`,
	"highestCurrent":     `(n, column="_value", groupColumns=[], tables=<-) => tables |> group(columns: groupColumns) |> last(column: column) |> group() |> sort(columns: [column], desc: true) |> limit(n: n)`,
	"lowestMin":          `(n, column="_value", groupColumns=[], tables=<-) => tables |> group(columns: groupColumns) |> min(column: column) |> group() |> sort(columns: [column]) |> limit(n: n)`,
	"lowestAverage":      `(n, column="_value", groupColumns=[], tables=<-) => tables |> group(columns: groupColumns) |> mean(column: column) |> group() |> sort(columns: [column]) |> limit(n: n)`,
	"lowestCurrent":      `(n, column="_value", groupColumns=[], tables=<-) => tables |> group(columns: groupColumns) |> last(column: column) |> group() |> sort(columns: [column]) |> limit(n: n)`,
	"timedMovingAverage": `(every, period, column="_value", tables=<-) => tables |> window(every: every, period: period) |> mean(column: column) |> duplicate(column: "_stop", as: "_time") |> window(every: inf)`,
	"doubleEMA": `(n, tables=<-) => tables |> exponentialMovingAverage(n: n) |> duplicate(column: "_value", as: "__ema") |> exponentialMovingAverage(n: n)
		|> map(fn: (r) => ({r with _value: 2.0 * r.__ema - r._value})) |> drop(columns: ["__ema"])`,
	"tripleEMA": `(n, tables=<-) => tables |> exponentialMovingAverage(n: n) |> duplicate(column: "_value", as: "__ema1") |> exponentialMovingAverage(n: n)
		|> duplicate(column: "_value", as: "__ema2") |> exponentialMovingAverage(n: n)
		|> map(fn: (r) => ({r with _value: 3.0 * r.__ema1 - 3.0 * r.__ema2 + r._value})) |> drop(columns: ["__ema1", "__ema2"])`,
	"kaufmansER":         `(n, tables=<-) => tables |> chandeMomentumOscillator(n: n) |> map(fn: (r) => ({r with _value: math.abs(x: r._value) / 100.0}))`,
	"truncateTimeColumn": `(timeColumn="_time", unit, tables=<-) => tables |> map(fn: (r) => ({r with _time: date.truncate(t: r._time, unit: unit)}))`,
	"toString":           `(tables=<-) => tables |> map(fn: (r) => ({r with _value: string(v: r._value)}))`,
	"toInt":              `(tables=<-) => tables |> map(fn: (r) => ({r with _value: int(v: r._value)}))`,
	"toUInt":             `(tables=<-) => tables |> map(fn: (r) => ({r with _value: uint(v: r._value)}))`,
	"toFloat":            `(tables=<-) => tables |> map(fn: (r) => ({r with _value: float(v: r._value)}))`,
	"toBool":             `(tables=<-) => tables |> map(fn: (r) => ({r with _value: bool(v: r._value)}))`,
	"toTime":             `(tables=<-) => tables |> map(fn: (r) => ({r with _value: time(v: r._value)}))`,
	"findColumn":         `(fn, column, tables=<-) => tables |> tableFind(fn: fn) |> getColumn(column: column)`,
	"findRecord":         `(fn, idx, tables=<-) => tables |> tableFind(fn: fn) |> getRecord(idx: idx)`,
}

// The most that one call may make: functions with these arguments would otherwise
// take any amount of memory.
const (
	binsMax        = 100_000
	repeatBytesMax = 1 << 20
)

// bounded wraps the functions whose result is as large as an argument says, and
// those that want mending.
func bounded(name string, v values.Value) values.Value {
	var check func(args values.Object) error
	f := v
	call := func(ctx context.Context, args values.Object) (values.Value, error) {
		return f.Function().Call(ctx, args)
	}
	switch name {
	case "quantile":
		// InfluxDB's default, which this release of Flux leaves to its prelude.
		return wrapped(name, v, func(ctx context.Context, args values.Object) (values.Value, error) {
			if method, ok := args.Get("method"); ok && method.Type().Nature() == semantic.String && method.Str() == "exact_selector" {
				// This release forgets the column.
				if c, ok := args.Get("column"); ok && c.Type().Nature() == semantic.String && c.Str() != colValue {
					return nil, fmt.Errorf("quantile: method exact_selector is for the column %q alone: rename %q first", colValue, c.Str())
				}
			} else if !ok {
				all := values.NewObject()
				args.Range(all.Set)
				all.Set("method", values.NewString("estimate_tdigest"))
				args = all
			}
			return call(ctx, args)
		})
	case "window":
		// InfluxDB's default period is no time, and stands for every.
		return wrapped(name, v, func(ctx context.Context, args values.Object) (values.Value, error) {
			if period, ok := args.Get("period"); ok && period.Type().Nature() == semantic.Duration && period.Duration().IsZero() {
				all := values.NewObject()
				args.Range(func(name string, v values.Value) {
					if name != "period" {
						all.Set(name, v)
					}
				})
				args = all
			}
			return call(ctx, args)
		})
	case "tableFind":
		return wrapped(name, v, func(ctx context.Context, args values.Object) (values.Value, error) {
			found, err := call(ctx, args)
			if t, ok := found.(*objects.Table); err == nil && ok {
				err = oneBuffer(t)
			}
			return found, err
		})
	case "linearBins", "logarithmicBins":
		check = func(args values.Object) error {
			if n, ok := args.Get("count"); ok && n.Type().Nature() == semantic.Int && (n.Int() > binsMax || n.Int() < 0) {
				return fmt.Errorf("%s: count is %d, over %d", name, n.Int(), binsMax)
			}
			return nil
		}
	case "histogram":
		check = func(args values.Object) error {
			if bins, ok := args.Get("bins"); ok && bins.Type().Nature() == semantic.Array && bins.Array().Len() == 0 {
				return fmt.Errorf("%s: there are no bins", name)
			}
			return nil
		}
	case "holtWinters":
		check = func(args values.Object) error {
			if every, ok := args.Get("interval"); ok && every.Type().Nature() == semantic.Duration && !every.Duration().IsPositive() {
				return fmt.Errorf("%s: interval must be positive", name)
			}
			return nil
		}
	case "repeat":
		check = func(args values.Object) error {
			text, ok1 := args.Get("v")
			n, ok2 := args.Get("i")
			if ok1 && ok2 && text.Type().Nature() == semantic.String && n.Type().Nature() == semantic.Int &&
				(n.Int() < 0 || n.Int() > repeatBytesMax || n.Int()*int64(len(text.Str())) > repeatBytesMax) {
				return fmt.Errorf("repeat: the result is over %d bytes", repeatBytesMax)
			}
			return nil
		}
	default:
		return v
	}
	return wrapped(name, v, func(ctx context.Context, args values.Object) (values.Value, error) {
		if err := check(args); err != nil {
			return nil, err
		}
		return call(ctx, args)
	})
}

// wrapped is the function v with another body.
func wrapped(name string, v values.Value, call func(ctx context.Context, args values.Object) (values.Value, error)) values.Value {
	return values.NewFunction(name, v.PolyType(), call, v.Function().HasSideEffect())
}

// oneBuffer joins the buffers of a table: getColumn and getRecord see only the
// last.
func oneBuffer(t *objects.Table) error {
	if t.BufferN() <= 1 {
		return nil
	}
	b := execute.NewColListTableBuilder(t.Key(), new(memory.Allocator))
	if err := execute.AddTableCols(t.BufferedTable, b); err != nil {
		return err
	}
	if err := execute.AppendTable(t.BufferedTable, nullBuilder{b}); err != nil {
		return err
	}
	whole, err := b.Table()
	if err != nil {
		return err
	}
	t.BufferedTable, err = execute.CopyTable(whole)
	return err
}

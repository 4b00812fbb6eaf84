package influxql

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/influxdata/influxdb/query"
	"github.com/influxdata/influxql"

	"headgate/engine/point"
)

// TestWindows: windows are those of the query package wherever they are regular.
func TestWindows(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	regular := 0
	for range 2000 {
		var opt query.IteratorOptions
		opt.Interval.Duration = pick(rnd, time.Second, 37*time.Second, time.Hour, 24*time.Hour, 7*24*time.Hour, 0)
		opt.Interval.Offset = pick(rnd, 0, 11*time.Second, -3*time.Hour)
		opt.Location = pick(rnd, nil, time.UTC, berlin)
		switch rnd.IntN(3) {
		case 0:
			opt.StartTime, opt.EndTime = influxql.MinTime, influxql.MaxTime
		case 1:
			opt.StartTime = rnd.Int64N(2e18) - 1e18
			opt.EndTime = opt.StartTime + rnd.Int64N(1e17)
		default:
			opt.StartTime = rnd.Int64N(2e18) - 1e18
			opt.EndTime = opt.StartTime + rnd.Int64N(1e14)
		}
		w, ok := newWindows(&opt)
		if !ok {
			if opt.Location != berlin {
				t.Fatalf("windows of %v in %v are not regular", opt.Interval, opt.Location)
			}
			continue
		}
		regular++
		for range 20 {
			at := opt.StartTime
			switch span := uint64(opt.EndTime) - uint64(opt.StartTime); rnd.IntN(4) {
			case 0:
				at = opt.EndTime
			case 1, 2:
				at += int64(rnd.Uint64N(span + 1))
			}
			at = min(max(at, point.TimeMin), point.TimeMax)
			start, end := w.at(at)
			if wantStart, wantEnd := opt.Window(at); start != wantStart || end != wantEnd {
				t.Fatalf("%+v in %v at %d: got [%d,%d), want [%d,%d)", opt.Interval, opt.Location, at, start, end, wantStart, wantEnd)
			}
		}
	}
	if regular < 1000 {
		t.Errorf("only %d were regular", regular)
	}
}

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"headgate/engine/testkit"
)

func TestCompare(t *testing.T) {
	testkit.CheckLeaks(t)
	a, urlA := startCounting(t)
	b, urlB := startCounting(t)
	o := CompareOptions{
		Load: LoadOptions{
			Database: "d", Workload: HighCard, Lines: 100, Conns: 2, Duration: 60 * time.Millisecond, RingBytes: 1, SettleMax: time.Nanosecond,
		},
		Targets: []CompareTarget{{Name: "a", URL: urlA, PID: os.Getpid()}, {Name: "b", URL: urlB}},
		Rounds:  3,
	}
	r, err := Compare(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range []*countingServer{a, b} {
		var points int64
		end := int64(0)
		for round, l := range r.Targets[i].Rounds {
			points += l.Points
			if l.NextSeries <= end {
				t.Errorf("round %d of %s ends with series %d, after %d", round, r.Targets[i].Name, l.NextSeries, end)
			}
			end = l.NextSeries
		}
		if len(r.Targets[i].Rounds) != 3 || points != s.lines || points == 0 {
			t.Errorf("%d points in %d rounds, the server took %d", points, len(r.Targets[i].Rounds), s.lines)
		}
		if len(s.again) > 0 {
			t.Errorf("target %s got %d lines twice, such as %s", r.Targets[i].Name, len(s.again), s.again[0])
		}
	}
	var table, object bytes.Buffer
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"points/s", "x", "204: ", "peak RSS MiB", "3, interleaved"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in\n%s", want, table.String())
		}
	}
	if strings.Contains(table.String(), "data directory") {
		t.Errorf("a figure that was not measured is in\n%s", table.String())
	}
	var back CompareReport
	if err := r.WriteJSON(&object); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(object.Bytes(), &back); err != nil || len(back.Targets) != 2 || len(back.Metrics) != len(r.Metrics) {
		t.Errorf("JSON: %v", err)
	}
}

func TestCompareFigures(t *testing.T) {
	load := func(points float64) *LoadReport { return &LoadReport{PointsPerSecond: points} }
	r := &CompareReport{Targets: []TargetReport{
		{Name: "a", Rounds: []*LoadReport{load(100), load(400), load(200), load(100)}},
		{Name: "b", Rounds: []*LoadReport{load(50), load(100), load(0), load(75)}},
	}}
	r.compare()
	if len(r.Metrics) != 1 || r.Metrics[0].Name != "points/s" {
		t.Fatalf("metrics %+v", r.Metrics)
	}
	want := []MetricStat{
		{Rounds: 4, Median: 150, Min: 100, Max: 400, Ratio: 1, RatioMin: 1, RatioMax: 1},
		{Rounds: 3, Median: 75, Min: 50, Max: 100, Ratio: 0.5, RatioMin: 0.25, RatioMax: 0.75},
	}
	for i, s := range r.Metrics[0].Targets {
		if s != want[i] {
			t.Errorf("target %d: %+v, want %+v", i, s, want[i])
		}
	}
	if got := r.Metrics[0].Targets[1].text(true); got != "75.0 [50.0-100] x0.5 [0.25-0.75]" {
		t.Errorf("text %q", got)
	}
	if got := (MetricStat{}).text(true); got != "-" {
		t.Errorf("text of nothing %q", got)
	}
}

func TestCompareOptions(t *testing.T) {
	one := []CompareTarget{{Name: "a", URL: "http://127.0.0.1:1"}}
	for _, tt := range []struct {
		o    CompareOptions
		want string
	}{
		{CompareOptions{}, "Targets is empty"},
		{CompareOptions{Targets: append(one, one...)}, "two targets"},
		{CompareOptions{Targets: one, Rounds: -1}, "Rounds"},
		{CompareOptions{Targets: one}, "neither LoadOptions.Database"},
		{CompareOptions{Targets: one, Load: LoadOptions{Database: "d", RingBytes: 1}}, "target a: "},
	} {
		if _, err := Compare(context.Background(), tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want one with %q", err, tt.want)
		}
	}
	for _, tt := range []struct {
		in   string
		want CompareTarget
		err  string
	}{
		{"a=http://h:1", CompareTarget{Name: "a", URL: "http://h:1"}, ""},
		{"a=http://h:1,7", CompareTarget{Name: "a", URL: "http://h:1", PID: 7}, ""},
		{"a=unix:///s,7,/d,e", CompareTarget{Name: "a", URL: "unix:///s", PID: 7, DataDir: "/d,e"}, ""},
		{"a=http://h:1,,/d", CompareTarget{Name: "a", URL: "http://h:1", DataDir: "/d"}, ""},
		{"a=http://h:1,", CompareTarget{}, "process id"},
		{"http://h:1", CompareTarget{}, "NAME=URL"},
		{"=http://h:1", CompareTarget{}, "NAME=URL"},
		{"a=h:1", CompareTarget{}, "bench:"},
		{"a=http://h:1,x", CompareTarget{}, "process id"},
		{"a=http://h:1,0", CompareTarget{}, "process id"},
	} {
		got, err := ParseCompareTarget(tt.in)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: error %v, want one with %q", tt.in, err, tt.err)
			}
		} else if err != nil || got != tt.want {
			t.Errorf("%q: %+v, %v", tt.in, got, err)
		}
	}
}

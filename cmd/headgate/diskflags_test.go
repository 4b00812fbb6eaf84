package main

import (
	"testing"
	"time"

	"headgate/engine"
)

func TestDiskFlags(t *testing.T) {
	for _, c := range []struct {
		args []string
		want engine.Options
	}{
		{nil, engine.Options{HealthTimeout: 5 * time.Second, StallTimeout: time.Minute}},
		{[]string{"--disk-free-min=1GiB", "--ballast=3MiB", "--health-timeout=1s", "--stall-timeout=2s"},
			engine.Options{DiskFreeMin: 1 << 30, BallastBytes: 3 << 20, HealthTimeout: time.Second, StallTimeout: 2 * time.Second}},
		{[]string{"--disk-free-min=off", "--ballast=OFF"}, engine.Options{DiskFreeMin: -1, BallastBytes: -1, HealthTimeout: 5 * time.Second, StallTimeout: time.Minute}},
	} {
		f, fs := newServeFlags()
		if err := parseFlags(fs, c.args, func(string) (string, bool) { return "", false }); err != nil {
			t.Fatal(err)
		}
		var got engine.Options
		f.disk.apply(&got)
		if err := f.disk.check(); err != nil || got.DiskFreeMin != c.want.DiskFreeMin || got.BallastBytes != c.want.BallastBytes ||
			got.HealthTimeout != c.want.HealthTimeout || got.StallTimeout != c.want.StallTimeout {
			t.Errorf("%v: %+v, %v", c.args, got, err)
		}
	}
	f, fs := newServeFlags()
	none := func(string) (string, bool) { return "", false }
	if err := parseFlags(fs, []string{"--ballast=much"}, none); err == nil {
		t.Error("--ballast=much is taken")
	}
	if err := parseFlags(fs, []string{"--stall-timeout=0s"}, none); err != nil || f.disk.check() == nil {
		t.Error("--stall-timeout=0s is taken")
	}
}

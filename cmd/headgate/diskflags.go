package main

import (
	"flag"
	"fmt"
	"strings"
	"time"

	"headgate/engine"
)

// sizeOrOff is a size, or the word off, which is -1. 0 is the default.
type sizeOrOff size

func (s *sizeOrOff) Set(v string) error {
	if strings.EqualFold(v, "off") {
		*s = -1
		return nil
	}
	if err := (*size)(s).Set(v); err != nil {
		return fmt.Errorf("%w, or off", err)
	}
	return nil
}

func (s *sizeOrOff) String() string {
	if *s < 0 {
		return "off"
	}
	return (*size)(s).String()
}

// diskFlags is the flags that say how much of the disk is left alone, and how long
// what hangs is waited for.
type diskFlags struct {
	freeMin, ballast sizeOrOff
	health, stall    duration
}

// register adds the flags, with the defaults of o.
func (f *diskFlags) register(fs *flag.FlagSet, o engine.Options) {
	f.health, f.stall = duration(o.HealthTimeout), duration(o.StallTimeout)
	fs.Var(&f.freeMin, "disk-free-min", "how much of the disk must stay free, a `size`: below it writes get 503, while reads and deletes\ngo on, and compactions that fit; writes are taken again when a quarter more than that is free; off takes writes until the disk is full")
	fs.Lookup("disk-free-min").DefValue = "a twentieth of the disk, from 8MiB to 256MiB, but at most an eighth"
	fs.Var(&f.ballast, "ballast", "how much of the disk a file takes, a `size`, that is given up when the disk is full and a delete\nor the log needs room; off for none")
	fs.Lookup("ballast").DefValue = "a hundredth of the disk, at most 64MiB"
	fs.Var(&f.health, "health-timeout", "how long /health waits for log, catalogue and buckets to answer before it fails, a `duration`")
	fs.Var(&f.stall, "stall-timeout", "how long a flush or a compaction may write nothing before /health fails, a `duration`")
}

// check refuses values that the engine would take for its defaults.
func (f *diskFlags) check() error {
	if f.health <= 0 || f.stall <= 0 {
		return fmt.Errorf("--health-timeout and --stall-timeout must be more than 0")
	}
	return nil
}

func (f *diskFlags) apply(o *engine.Options) {
	o.DiskFreeMin, o.BallastBytes = int64(f.freeMin), int64(f.ballast)
	o.HealthTimeout, o.StallTimeout = time.Duration(f.health), time.Duration(f.stall)
}

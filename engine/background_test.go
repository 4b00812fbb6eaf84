package engine

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestDeleteReachesExpiredPoints: what has expired and is still on disk is deleted
// with the rest, so that a longer retention period does not bring it back.
func TestDeleteReachesExpiredPoints(t *testing.T) {
	var clock atomic.Int64
	clock.Store(1_700_000_000e9)
	e := openTest(t, t.TempDir(), func(o *Options) { o.Now = func() time.Time { return time.Unix(0, clock.Load()) } }).create("b", time.Hour)
	if err := e.write(fmt.Sprintf("m,h=a f=1 %d\nm,h=b f=1 %d", clock.Load(), clock.Load())); err != nil {
		t.Fatal(err)
	}
	if err := e.shard.Flush(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	clock.Add(int64(2 * time.Hour))
	e.expect("SELECT f FROM m", "")
	if err := e.delete(0, forever, "h=a"); err != nil {
		t.Fatal(err)
	}
	long := time.Duration(0)
	if _, err := e.UpdateBucket(t.Context(), e.Operator(), e.bucket.ID, BucketUpdate{RetentionPeriod: &long}); err != nil {
		t.Fatal(err)
	}
	e.expect("SELECT f, h FROM m", fmt.Sprintf("m time=%d f=1 h=b\n", int64(1_700_000_000e9)))
}

// TestDeleteMakesRoom: when series have spent the memory budget, deleting them is not
// refused, and writes are taken again.
func TestDeleteMakesRoom(t *testing.T) {
	e := openTest(t, t.TempDir(), func(o *Options) { o.MemoryBytesMax = 32 << 20 }).create("b", 0)
	long := strings.Repeat("x", 60)
	for i := 0; ; i++ {
		var sb strings.Builder
		for k := range 10000 {
			fmt.Fprintf(&sb, "m,t=%s%d f=1 1\n", long, i*10000+k)
		}
		err, kind := kindOf(e.write(sb.String()))
		if kind == Overloaded {
			break
		} else if kind != kinds {
			t.Fatal(err)
		}
		if i > 100 {
			t.Fatal("a million series taken with a budget of 32 MiB")
		}
	}
	if err := e.delete(0, forever); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); ; runtime.Gosched() {
		err := e.write("m,t=new f=1 1")
		if err == nil {
			break
		}
		if time.Since(start) > 20*time.Second {
			t.Fatalf("still refused after everything was deleted: %v", err)
		}
	}
	e.expect("SELECT f, t FROM m", "m time=1 f=1 t=new\n")
}

package pebblewal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"headgate/engine/testkit"
	"headgate/wal/waltest"
)

// The queue hands out what was pushed, in order, in groups within the limit.
func TestEntryQueue(t *testing.T) {
	seed := waltest.Seed(t)
	r := rand.New(rand.NewPCG(seed, 0))
	var q entryQueue
	var pushed, taken uint64
	var dst []entry
	for range 5000 {
		for range r.IntN(8) {
			pushed++
			q.push(entry{seq: pushed, record: make([]byte, r.IntN(3)*r.IntN(1000))})
		}
		if r.IntN(2) == 0 {
			continue
		}
		limit := 1 + r.IntN(3000)
		dst = q.take(dst[:0], limit)
		if len(dst) == 0 && taken != pushed {
			t.Fatalf("took nothing, %d of %d left", pushed-taken, pushed)
		}
		bytes := 0
		for _, e := range dst {
			taken++
			bytes += e.bytes()
			if e.seq != taken {
				t.Fatalf("took %d, want %d", e.seq, taken)
			}
		}
		if bytes > limit && len(dst) > 1 {
			t.Fatalf("took %d entries of %d bytes over a limit of %d", len(dst), bytes, limit)
		}
		if q.empty() != (taken == pushed) {
			t.Fatalf("empty %t after %d of %d", q.empty(), taken, pushed)
		}
	}
	for _, e := range q.entries[:q.head] {
		if e.record != nil {
			t.Fatal("the queue holds on to a record that was taken")
		}
	}
}

func TestNotes(t *testing.T) {
	a, b, c := newTold(), newTold(), newTold()
	entries := []entry{
		{bucket: 1, seq: 5, notifier: a},
		{bucket: 1, seq: 6, notifier: a},
		{bucket: 2, seq: 1, notifier: b},
		{kind: dropBucket, bucket: 3},
		{bucket: 1, seq: 7, notifier: a},
		{bucket: 1, seq: 8, notifier: c}, // another notifier from here on
		{bucket: 2, seq: 2, notifier: b},
		{bucket: 1, seq: 9, notifier: c},
	}
	var n notes
	for range 2 { // used again
		n.of(entries)
		want := []note{{1, 7, a}, {2, 2, b}, {1, 9, c}}
		if !slices.Equal(n.list, want) {
			t.Errorf("got %v, want %v", n.list, want)
		}
	}
	n.of(nil)
	if len(n.list) != 0 {
		t.Errorf("no entries make %v", n.list)
	}
}

// heldSyncs is a file system whose next sync of a log waits, once armed, until release
// is closed.
type heldSyncs struct {
	vfs.FS
	armed         atomic.Bool
	held, release chan struct{}
}

func newHeldSyncs() *heldSyncs {
	h := &heldSyncs{held: make(chan struct{}), release: make(chan struct{})}
	h.FS = errorfs.Wrap(vfs.NewCrashableMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData && strings.HasSuffix(op.Path, ".log") && h.armed.CompareAndSwap(true, false) {
			close(h.held)
			<-h.release
		}
		return nil
	}))
	return h
}

// What comes while a group syncs is one group, which begins after it if it is small,
// and beside it if it is large.
func TestGroupBesideSync(t *testing.T) {
	for _, tc := range []struct {
		name       string
		records    int
		bytes      int
		begunEarly bool
	}{
		{"small", 40, 100, false},
		{"large", 1, overlapBytesMin, true},
		{"many", overlapBytesMin / entryOverheadBytes, 0, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			testkit.CheckLeaks(t)
			fs := newHeldSyncs()
			l := mustOpen(t, Options{Dir: "log", FS: fs})
			mustAppend(t, l, 1, 1, []byte("before"))
			before := l.Stats().Groups
			fs.armed.Store(true)
			n := newTold()
			seq := uint64(2)
			appendOne := func(bytes int) {
				if err := l.Append(1, seq, make([]byte, bytes), n); err != nil {
					t.Fatal(err)
				}
				seq++
			}
			appendOne(100)
			<-fs.held
			for range tc.records {
				appendOne(tc.bytes)
			}
			groups, called := l.underWay()
			if !tc.begunEarly && (groups != 1 || called) {
				t.Errorf("%d groups are under way, called %t, while the first one syncs", groups, called)
			}
			for tc.begunEarly && groups < 2 {
				runtime.Gosched()
				groups, _ = l.underWay()
			}
			close(fs.release)
			if err := n.wait(seq - 1); err != nil {
				t.Error(err)
			}
			mustSync(t, l)
			if got := l.Stats().Groups - before; got != 3 {
				t.Errorf("%d groups, want 3 with that of Sync", got)
			}
			mustClose(t, l)
		})
	}
}

// A group whose sync ended after the fence had failed is not durable, whatever Pebble
// says, even if the log has not been told yet.
func TestPretendedSyncIsNotAnswered(t *testing.T) {
	testkit.CheckLeaks(t)
	for range testkit.Rounds(20) {
		fs := newHeldSyncs()
		l := mustOpen(t, Options{Dir: "log", FS: fs})
		mustAppend(t, l, 1, 1, []byte("before"))
		fs.armed.Store(true)
		n := newTold()
		if err := l.Append(1, 2, []byte("lost"), n); err != nil {
			t.Fatal(err)
		}
		<-fs.held
		awaitStack("pebble/v2.(*Batch).SyncWait")
		l.mu.Lock() // neither the answer nor the failure gets through
		close(fs.release)
		awaitStack("pebblewal.(*Log).answer")
		go l.fence.Fail(syscall.EIO)
		awaitStack("pebblewal.(*Log).fail")
		l.mu.Unlock() // the answer is first in line
		if err := n.wait(2); !errors.Is(err, syscall.EIO) {
			t.Fatalf("answered with %v", err)
		}
		_ = l.Close()
	}
}

// awaitStack returns when a goroutine is in a function.
func awaitStack(function string) {
	buf := make([]byte, 1<<20)
	for !bytes.Contains(buf[:runtime.Stack(buf, true)], []byte(function+"(")) {
		runtime.Gosched()
	}
}

// underWay is how many groups are not answered, and whether another was called for.
func (l *Log) underWay() (groups int, called bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.inflight), l.called
}

// In the steady state a record costs no allocation, and a group few.
func TestAppendAllocs(t *testing.T) {
	testkit.CheckLeaks(t)
	l := mustOpen(t, Options{Dir: t.TempDir() + "/log"})
	record := bytes.Repeat([]byte("x"), 100)
	n := newTold()
	var seq uint64
	const batch = 2000
	run := func() {
		for range batch {
			seq++
			if err := l.Append(1, seq, record, n); err != nil {
				t.Fatal(err)
			}
		}
		if err := n.wait(seq); err != nil {
			t.Fatal(err)
		}
	}
	run()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 5 {
		run()
	}
	runtime.ReadMemStats(&after)
	if per := float64(after.Mallocs-before.Mallocs) / (5 * batch); per > 0.1 {
		t.Errorf("%.2f allocations a record", per)
	}
	mustClose(t, l)
}

// credit is a notifier that lets producers have so many records in flight.
type credit struct {
	ch   chan struct{}
	last uint64
	fail atomic.Pointer[error]
}

func (c *credit) Committed(upto uint64, err error) {
	if err != nil {
		c.fail.Store(&err)
	}
	for range upto - c.last {
		<-c.ch
	}
	c.last = upto
}

// BenchmarkAppend measures producers, each with a bucket of its own and a few
// records in flight, on a real disk.
func BenchmarkAppend(b *testing.B) {
	for _, bc := range []struct{ bytes, producers, inFlight int }{
		{100, 64, 1}, {100, 64, 16}, {100 << 10, 4, 4},
	} {
		b.Run(fmt.Sprintf("bytes=%d/producers=%d/inFlight=%d", bc.bytes, bc.producers, bc.inFlight), func(b *testing.B) {
			l := mustOpen(b, Options{Dir: b.TempDir() + "/log"})
			record := bytes.Repeat([]byte("0123456789"), bc.bytes/10)
			b.SetBytes(int64(len(record)))
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for p := range bc.producers {
				wg.Go(func() {
					c := &credit{ch: make(chan struct{}, bc.inFlight)}
					for seq := uint64(1); seq <= uint64((b.N+bc.producers-1)/bc.producers); seq++ {
						c.ch <- struct{}{}
						if err := l.Append(uint64(p), seq, record, c); err != nil {
							b.Error(err)
							return
						}
					}
					for range bc.inFlight {
						c.ch <- struct{}{} // all home
					}
					if err := c.fail.Load(); err != nil {
						b.Error(*err)
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			s := l.Stats()
			b.ReportMetric(float64(s.Records)/float64(s.Groups), "records/group")
			b.ReportMetric(float64(s.SyncLatency.Sum.Microseconds())/float64(s.Groups), "us/group")
			mustClose(b, l)
		})
	}
}

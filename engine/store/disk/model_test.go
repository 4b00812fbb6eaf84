package disk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"headgate/engine/point"
	"headgate/engine/testkit"
)

// memDisk is Pebble's crashable memory file system with errors on demand.
type memDisk struct {
	mem *vfs.MemFS
	fs  vfs.FS

	linking sync.Mutex
	mu      sync.Mutex
	watch   func()
	failAt  int    // -1: never
	only    string // fail nothing but names with this prefix
	sticky  bool
	fired   bool
	ops     int
}

func newMemDisk(mem *vfs.MemFS) *memDisk {
	d := &memDisk{mem: mem, failAt: -1}
	d.fs = errorfs.Wrap(linkFS{mem, &d.linking}, errorfs.InjectorFunc(d.inject))
	return d
}

// linkFS links under a lock that crash takes, too: MemFS takes its own for reading
// twice there, which hangs when CrashClone wants it for writing in between.
type linkFS struct {
	*vfs.MemFS
	mu *sync.Mutex
}

func (f linkFS) Link(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.MemFS.Link(from, to)
}

func (d *memDisk) options() Options {
	return Options{Dir: "data", FS: d.fs, MemTableBytes: 256 << 10, CacheBytes: 1 << 20}
}

// inject is called before every operation.
func (d *memDisk) inject(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFilePreallocate, errorfs.OpFileClose, errorfs.OpOpenDir, errorfs.OpRemove, errorfs.OpRemoveAll:
		return nil // nobody relies on these
	}
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	d.mu.Lock()
	watch := d.watch
	n := d.ops
	if strings.HasPrefix(op.Path, d.only) {
		d.ops++
	} else {
		n = -1
	}
	fail := d.failAt >= 0 && (n == d.failAt || n > d.failAt && d.sticky)
	d.fired = d.fired || fail
	d.mu.Unlock()
	if watch != nil {
		watch()
	}
	if fail {
		return syscall.ENOSPC
	}
	return nil
}

func (d *memDisk) crash(unsyncedPercent int, seed uint64) *memDisk {
	d.linking.Lock()
	defer d.linking.Unlock()
	return newMemDisk(d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsyncedPercent, RNG: rand.New(rand.NewPCG(seed, 6))}))
}

func (d *memDisk) setWatch(fn func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watch = fn
}

func (d *memDisk) fail(n int, sticky bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ops, d.failAt, d.sticky, d.fired = 0, n, sticky, false
}

func (d *memDisk) heal() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failAt = -1
	return d.fired
}

// seedOf returns HEADGATE_SEED, or the time, and prints it.
func seedOf(t testing.TB) uint64 {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("HEADGATE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("HEADGATE_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("HEADGATE_SEED=%d", seed)
	return seed
}

// content is what a bucket has.
type content struct {
	flushed uint64
	defs    string
	parts   map[uint64]string // the numbers of the blocks
}

func (c content) clone() content {
	c.parts = maps.Clone(c.parts)
	return c
}

func (c content) String() string {
	return fmt.Sprintf("flushed %d, defs %q, parts %v", c.flushed, c.defs, c.parts)
}

func numbers(p *Part) string {
	var s strings.Builder
	for _, m := range p.Measurements {
		for _, b := range m.Blocks {
			fmt.Fprintf(&s, "%d ", b.Number)
		}
	}
	return s.String()
}

// contentOf reads a whole bucket.
func contentOf(b *Bucket) (content, error) {
	c := content{parts: make(map[uint64]string)}
	v := b.Acquire()
	defer v.Release()
	c.flushed = v.Flushed()
	for _, p := range v.Parts() {
		c.parts[p.ID] = numbers(p)
	}
	if err := b.Definitions(func(chunk []byte) error { c.defs += string(chunk); return nil }); err != nil {
		return c, err
	}
	return c, readAll(v)
}

const modelBuckets = 2

// model is what the buckets must have after a crash: what they had before the edit
// that is under way, or after it.
type model struct {
	r *rand.Rand

	mu            sync.Mutex
	before, after [modelBuckets]content
	seq           uint64
	held          []*Version
}

func newModel(seed uint64) *model {
	m := &model{r: rand.New(rand.NewPCG(seed, 1))}
	for i := range m.before {
		m.before[i] = content{parts: map[uint64]string{}}
		m.after[i] = m.before[i].clone()
	}
	return m
}

func (m *model) span() (before, after [modelBuckets]content) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.before, m.after
}

// begin says what bucket i will have, end that it has it.
func (m *model) begin(i int, c content) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.after[i] = c
}

func (m *model) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before = m.after
}

// took makes what is found after an edit of unknown outcome the truth.
func (m *model) took(i int, c content) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before[i], m.after[i] = c, c
}

// step makes one random edit.
func (m *model) step(s *Store) error {
	i := m.r.IntN(modelBuckets)
	b, err := s.Bucket(point.BucketID(i))
	if err != nil {
		return err
	}
	m.seq++
	if m.r.IntN(40) == 0 {
		m.begin(i, content{parts: map[uint64]string{}})
		if err := s.DropBucket(b.ID()); err != nil {
			return err
		}
		m.end()
		return nil
	}
	c := m.before[i].clone()
	var e Edit
	if m.r.IntN(4) > 0 {
		e.Flushed, c.flushed = m.seq, m.seq
	}
	if m.r.IntN(10) == 0 {
		e.ReplaceDefinitions, c.defs = true, ""
	}
	for range m.r.IntN(3) {
		chunk := fmt.Sprint(m.seq, " ")
		e.Definitions = append(e.Definitions, []byte(chunk))
		c.defs += chunk
	}
	for range m.r.IntN(3) {
		p, err := newPart(b, m.seq, 1+m.r.IntN(6), 50+m.r.IntN(800))
		if err != nil {
			e.discard()
			return err
		}
		e.Add = append(e.Add, p)
		c.parts[p.ID] = numbers(p)
	}
	v := b.Acquire()
	for _, p := range v.Parts() {
		switch {
		case m.r.IntN(6) == 0:
			e.Remove = append(e.Remove, p)
			delete(c.parts, p.ID)
		case m.r.IntN(6) == 0 && p.blocks > 1:
			t := trimHalf(p, m.r)
			e.Trim = append(e.Trim, t)
			q := Part{Measurements: t.Measurements}
			c.parts[p.ID] = numbers(&q)
		}
	}
	if m.r.IntN(3) == 0 {
		m.held = append(m.held, v)
	} else {
		v.Release()
	}
	m.begin(i, c)
	if err := b.Commit(context.Background(), &e); err != nil {
		return err
	}
	m.end()
	if len(m.held) > 3 {
		return m.releaseOne()
	}
	return nil
}

// releaseOne reads a version that is held and releases it.
func (m *model) releaseOne() error {
	i := m.r.IntN(len(m.held))
	v := m.held[i]
	m.held = slices.Delete(m.held, i, i+1)
	defer v.Release()
	if err := readAll(v); err != nil {
		return fmt.Errorf("held version: %w", err)
	}
	return nil
}

func (m *model) release() (err error) {
	for len(m.held) > 0 {
		err = errors.Join(err, m.releaseOne())
	}
	return err
}

// trimHalf keeps some of a part's blocks.
func trimHalf(p *Part, r *rand.Rand) Trim {
	t := Trim{Part: p}
	for _, m := range p.Measurements {
		kept := Measurement{ID: m.ID, Fields: m.Fields, Series: roaring.New()}
		blocks := slices.Clone(m.Blocks)
		for range 1 + r.IntN(len(blocks)-1) {
			i := r.IntN(len(blocks))
			blocks = slices.Delete(blocks, i, i+1)
		}
		for _, b := range blocks {
			kept.Series.AddRange(uint64(b.SeriesMin), uint64(b.SeriesMax)+1)
		}
		kept.Blocks = blocks
		t.Measurements = append(t.Measurements, kept)
	}
	return t
}

// verify compares a store with what it may have; what it has becomes the truth.
func (m *model) verify(s *Store, before, after [modelBuckets]content) error {
	for i := range before {
		b, err := s.Bucket(point.BucketID(i))
		if err != nil {
			return err
		}
		got, err := contentOf(b)
		if err != nil {
			return err
		}
		if g := got.String(); g != before[i].String() && g != after[i].String() {
			return fmt.Errorf("bucket %d: got %v\nwant %v\nor   %v", i, got, before[i], after[i])
		}
		m.took(i, got)
	}
	return nil
}

// verifyDisk opens a disk, compares, closes, and looks for what is left over.
func verifyDisk(d *memDisk, before, after [modelBuckets]content) error {
	s, err := Open(d.options())
	if err != nil {
		return err
	}
	if err := newModel(0).verify(s, before, after); err != nil {
		return errors.Join(err, s.Close())
	}
	if err := s.Close(); err != nil {
		return err
	}
	return verifyClean(d)
}

// verifyClean checks that a closed store has no damage and nothing left over.
func verifyClean(d *memDisk) error {
	o := d.options()
	o.ReadOnly = true
	s, err := Open(o)
	if err != nil {
		return err
	}
	var problems []error
	err = s.Check(context.Background(), Checks{Problem: func(p Problem) { problems = append(problems, errors.New(p.String())) }})
	if names, lerr := d.fs.List("data/staging"); lerr != nil || len(names) > 0 {
		problems = append(problems, fmt.Errorf("left in staging: %v, %w", names, lerr))
	}
	return errors.Join(err, errors.Join(problems...), s.Close())
}

// Whatever the moment of a crash, the edit under way is there or not, and nothing
// else has changed.
func TestCrashPoints(t *testing.T) {
	testkit.CheckLeaks(t)
	seed := seedOf(t)
	d := newMemDisk(vfs.NewCrashableMem())
	m := newModel(seed)
	type crash struct {
		disk          *memDisk
		before, after [modelBuckets]content
	}
	var mu sync.Mutex
	var crashes []crash
	point := 0
	d.setWatch(func() {
		mu.Lock()
		defer mu.Unlock()
		point++
		percent := 0
		if point%3 == 0 {
			percent = 50
		}
		// The sweeper works while edits begin and end.
		m.mu.Lock()
		defer m.mu.Unlock()
		crashes = append(crashes, crash{d.crash(percent, seed+uint64(point)), m.before, m.after})
	})
	steps := 20 // each is ended at every operation
	if testkit.RaceEnabled {
		steps = 5
	}
	for range 2 {
		s, err := Open(d.options())
		if err != nil {
			t.Fatal(err)
		}
		before, after := m.span()
		if err := m.verify(s, before, after); err != nil {
			t.Fatal(err)
		}
		for range steps {
			if err := m.step(s); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.release(); err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
	}
	d.setWatch(nil)
	if err := verifyClean(d); err != nil {
		t.Error(err)
	}
	t.Logf("%d crashes", len(crashes))
	for i, c := range crashes {
		if err := verifyDisk(c.disk, c.before, c.after); err != nil {
			t.Fatalf("crash %d of %d: %v", i, len(crashes), err)
		}
	}
}

// An error of any one operation, or of all from some moment on, loses nothing that
// was committed, hinders no reader, and is over after Reopen.
func TestFaults(t *testing.T) {
	testkit.CheckLeaks(t)
	seed := seedOf(t)
	for _, sticky := range []bool{false, true} {
		n, step := 0, 1
		if testkit.RaceEnabled {
			step = 13
		}
		for ; ; n += step {
			fired, err := fault(seed, n, sticky)
			if err != nil {
				t.Fatalf("operation %d failing, sticky %t: %v", n, sticky, err)
			}
			if !fired {
				break
			}
			if sticky {
				step = max(step, 3)
			}
		}
		t.Logf("%d operations, sticky %t", n, sticky)
	}
}

func fault(seed uint64, n int, sticky bool) (fired bool, err error) {
	d := newMemDisk(vfs.NewCrashableMem())
	m := newModel(seed)
	s, err := Open(d.options())
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, ignoreClosed(s.Close())) }()
	for range 5 {
		if err := m.step(s); err != nil {
			return false, err
		}
	}
	d.fail(n, sticky)
	var failed error
	for range 12 {
		if failed = m.step(s); failed != nil {
			break
		}
	}
	before, after := m.span()
	if failed != nil {
		// A part that could not be written is no failure of the store.
		if was := s.Failed(); was != nil && !errors.Is(was, ErrFailed) {
			return true, fmt.Errorf("failed with %w", was)
		} else if was == nil && !errors.Is(failed, syscall.ENOSPC) {
			return true, fmt.Errorf("without a failure: %w", failed)
		}
		for i := range modelBuckets {
			b, err := s.Bucket(point.BucketID(i))
			if err != nil {
				return true, err
			}
			v := b.Acquire()
			err = readAll(v)
			v.Release()
			if err != nil {
				return true, fmt.Errorf("reading what is there: %w", err)
			}
		}
		for _, v := range m.held {
			if err := readAll(v); err != nil {
				return true, fmt.Errorf("reading what is held: %w", err)
			}
		}
		if s.Failed() != nil {
			b, err := s.Bucket(0)
			if err != nil {
				return true, err
			}
			if err := b.Commit(context.Background(), &Edit{}); !errors.Is(err, ErrFailed) {
				return true, fmt.Errorf("commit to a failed store: %w", err)
			}
		}
	}
	fired = d.heal()
	if failed != nil && !fired {
		return fired, fmt.Errorf("failed without a reason: %w", failed)
	}
	if err := verifyDisk(d.crash(0, seed), before, after); err != nil {
		return fired, fmt.Errorf("crashed: %w", err)
	}
	if err := s.Reopen(context.Background()); err != nil {
		return fired, fmt.Errorf("reopen: %w", err)
	}
	if err := s.Failed(); err != nil {
		return fired, fmt.Errorf("after reopen: %w", err)
	}
	if err := m.verify(s, before, after); err != nil {
		return fired, fmt.Errorf("reopened: %w", err)
	}
	// What a reopened store shows must not be lost any more either.
	before, after = m.span()
	if err := verifyDisk(d.crash(0, seed), before, after); err != nil {
		return fired, fmt.Errorf("reopened, crashed: %w", err)
	}
	for range 3 {
		if err := m.step(s); err != nil {
			return fired, fmt.Errorf("after reopen: %w", err)
		}
	}
	if err := m.release(); err != nil {
		return fired, err
	}
	if err := s.Close(); err != nil {
		return fired, err
	}
	before, after = m.span()
	if err := verifyDisk(d, before, after); err != nil {
		return fired, fmt.Errorf("closed: %w", err)
	}
	return fired, nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}

// An error while a store is opened is returned, and the next attempt works.
func TestFaultsOpening(t *testing.T) {
	testkit.CheckLeaks(t)
	seed := seedOf(t)
	step := 1
	if testkit.RaceEnabled {
		step = 7 // odd: n says where and how
	}
	for n := 0; ; n += step {
		d := newMemDisk(vfs.NewCrashableMem())
		m := newModel(seed)
		s := mustOpen(t, d.options())
		for range 6 {
			if err := m.step(s); err != nil {
				t.Fatal(err)
			}
		}
		d2 := d.crash(0, seed)
		if err := m.release(); err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
		d2.fail(n/2, n%2 == 0)
		s, err := Open(d2.options())
		if err == nil {
			_ = s.Close()
		}
		fired := d2.heal()
		if err != nil && !fired {
			t.Fatalf("operation %d: %v", n/2, err)
		}
		before, after := m.span()
		if err := verifyDisk(d2, before, after); err != nil {
			t.Fatalf("operation %d: %v", n/2, err)
		}
		if !fired {
			t.Logf("%d operations", n/2)
			break
		}
	}
}

// A long run of edits, crashes and failures.
func TestModel(t *testing.T) {
	testkit.CheckLeaks(t)
	seed := seedOf(t)
	r := rand.New(rand.NewPCG(seed, 2))
	steps := testkit.Rounds(400)
	if s := os.Getenv("HEADGATE_STEPS"); s != "" {
		var err error
		if steps, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	d := newMemDisk(vfs.NewCrashableMem())
	m := newModel(seed)
	s := mustOpen(t, d.options())
	crashes, failures := 0, 0
	for range steps {
		if r.IntN(20) == 0 {
			d.fail(r.IntN(30), r.IntN(2) == 0)
		}
		err := m.step(s)
		if err == nil && r.IntN(30) > 0 {
			continue
		}
		before, after := m.span()
		if err != nil && r.IntN(2) == 0 {
			failures++
			d.heal()
			if err := s.Reopen(context.Background()); err != nil {
				t.Fatal(err)
			}
		} else {
			crashes++
			d.heal()
			next := d.crash(r.IntN(2)*50, r.Uint64())
			if err := m.release(); err != nil {
				t.Fatal(err)
			}
			_ = s.Close()
			d = next
			s = mustOpen(t, d.options())
		}
		if err := m.verify(s, before, after); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d steps, %d crashes, %d failures", steps, crashes, failures)
	if err := m.release(); err != nil {
		t.Fatal(err)
	}
	d.heal()
	if err := s.Reopen(context.Background()); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	if err := verifyClean(d); err != nil {
		t.Error(err)
	}
}

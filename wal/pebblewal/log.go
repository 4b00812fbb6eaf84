package pebblewal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/wal"
	"headgate/wal/fence"
)

// Log is a wal.Log in a Pebble store.
//
// Two committers do the work. One takes what is queued, makes it one Pebble batch,
// applies it, waits for its sync and tells the notifiers, and meanwhile everything
// else queues up for the next group, so that groups grow with the load. The other
// applies a group beside it only when enough waits to be worth that: overlapBytesMin.
//
// A failure may come from any goroutine of Pebble's. It starts a third one,
// abandon, which answers whatever is unanswered even if the committers are stuck
// inside Pebble.
type Log struct {
	o     Options
	fence *fence.FS
	db    *pebble.DB

	// notifying is held while notifiers are called, so that a notifier hears of
	// success and failure in order. It is taken before mu.
	notifying sync.Mutex

	mu    sync.Mutex
	work  sync.Cond // of mu: a committer has something to do
	order sync.Cond // of mu: the oldest group has been answered, or the log has failed
	quiet sync.Cond // of mu: users have changed
	// All guarded by mu.
	queue      entryQueue
	inflight   []*group // taken and not answered, oldest first
	last       map[uint64]uint64
	failure    error // ErrFailed and its cause
	running    bool  // Open has started the goroutines
	called     bool  // a committer was woken and has not looked at the queue yet
	applying   bool  // a committer is between take and the end of apply
	committers int   // that have not ended
	closing    bool
	users      int // calls that are using db
	stats      wal.Stats

	ordinal uint64        // of the last group made; owned by the committer that applies
	synced  atomic.Uint64 // ordinal of the last group synced

	idle   chan struct{} // closed when the committers have ended
	failed chan struct{} // closed on failure
	// released is closed when the directory may be opened again, with closeErr set.
	released  chan struct{}
	closeErr  error
	tearOnce  sync.Once
	freedOnce sync.Once
	torn      chan struct{} // closed when the store is closed
}

// committersMax is how many groups are under way: one that syncs and, if there is much
// to write, one that is applied meanwhile. A third would only make groups smaller.
const committersMax = fence.GroupsInFlight

// Open opens the log in Options.Dir, and creates it if there is none. What an
// unclean end has left in Pebble's own log is read back and synced before Open
// returns. A directory that is open, in this or another process, is refused, and
// so is one with damage that cannot be confined to a bucket: wal.ErrCorrupt.
func Open(o Options) (*Log, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	start := time.Now()
	l := &Log{
		o:        o,
		last:     make(map[uint64]uint64),
		idle:     make(chan struct{}),
		failed:   make(chan struct{}),
		released: make(chan struct{}),
		torn:     make(chan struct{}),
	}
	l.work.L, l.order.L, l.quiet.L = &l.mu, &l.mu, &l.mu
	l.fence = fence.New(o.FS, o.Dir, l.fail)
	if err := l.openStore(); err != nil {
		return nil, fmt.Errorf("pebblewal: open log %s: %w", o.Dir, err)
	}
	l.committers = committersMax
	for range committersMax {
		go l.commit(newGroup(l))
	}
	l.mu.Lock()
	l.running = true
	failed := l.failure != nil // in Pebble's background, since openStore looked
	l.mu.Unlock()
	if failed {
		close(l.failed)
		go l.abandon()
	}
	// The first mark vouches for what opening has done to the manifest.
	if err := l.Sync(context.Background()); err != nil {
		return nil, errors.Join(fmt.Errorf("pebblewal: open log %s: %w", o.Dir, err), l.Close())
	}
	l.o.Logger.Info("log opened", slog.String("dir", o.Dir), slog.Int64("diskBytes", l.Stats().DiskBytes), slog.Duration("took", time.Since(start)))
	return l, nil
}

// openStore opens Pebble, or leaves nothing behind.
func (l *Log) openStore() error {
	if err := checkFiles(l.o.FS, l.o.Dir); err != nil {
		return err
	}
	if l.o.MustExist {
		if err := fence.CheckPresent(l.o.FS, l.o.Dir); err != nil {
			return fmt.Errorf("%w: %w", wal.ErrCorrupt, err)
		}
	}
	err := l.protect(func() (err error) {
		l.db, err = pebble.Open(l.o.Dir, l.pebbleOptions())
		return err
	})
	// The fence hides a failure from Pebble, whatever Open says.
	if cause := l.fence.Failed(); cause != nil {
		err = cause
	}
	if err == nil {
		return nil
	}
	if fence.IsDamage(err) {
		err = fmt.Errorf("%w: %w", wal.ErrCorrupt, err)
	}
	l.fence.Fail(err)
	l.fence.Drain()
	if l.db != nil {
		_ = l.protect(l.db.Close)
	}
	return errors.Join(err, l.fence.Unlock())
}

// checkFiles refuses a directory in which Pebble would lose something in silence.
func checkFiles(fs vfs.FS, dir string) error {
	err := fence.CheckFiles(fs, dir)
	if damage := (*fence.DamageError)(nil); errors.As(err, &damage) {
		return fmt.Errorf("%w: %w", wal.ErrCorrupt, err)
	}
	return err
}

func (l *Log) pebbleOptions() *pebble.Options {
	compactions := fence.NewScheduler()
	o := &pebble.Options{
		FS:                          l.fence,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                uint64(l.o.MemTableBytes),
		MemTableStopWritesThreshold: 4,
		Logger:                      &fence.Logger{Slog: l.o.Logger.With("component", "pebble"), Fence: l.fence},
		EventListener:               l.listener(compactions),
		// They have compactions find sstables of which all has been truncated. But of one
		// that cannot be read Pebble collects them again and again, without a pause.
		DisableTableStats: l.damagedTable(),
	}
	o.Experimental.CompactionScheduler = compactions
	if l.o.SyncIntervalMin > 0 {
		o.WALMinSyncInterval = func() time.Duration { return l.o.SyncIntervalMin }
	}
	return o
}

// damagedTable reports whether Pebble could not open one of the log's sstables, of which
// there are few.
func (l *Log) damagedTable() bool {
	names, err := l.o.FS.List(l.o.Dir)
	if err != nil {
		return false // Pebble says so
	}
	return slices.ContainsFunc(names, func(name string) bool {
		if !strings.HasSuffix(name, ".sst") {
			return false
		}
		damage := (*fence.DamageError)(nil)
		return errors.As(fence.CheckTable(l.o.FS, l.o.FS.PathJoin(l.o.Dir, name)), &damage)
	})
}

// fail is called once, by the fence, from any goroutine.
func (l *Log) fail(err error) {
	l.mu.Lock()
	l.failure = fmt.Errorf("%w: %w", wal.ErrFailed, err)
	running := l.running
	l.work.Broadcast()
	l.order.Broadcast()
	l.mu.Unlock()
	if !running {
		return // Open notices by itself
	}
	l.o.Logger.Error("log failed", slog.String("dir", l.o.Dir), slog.Any("error", err))
	close(l.failed)
	go l.abandon()
}

// abandon answers everything, releases the directory and then shuts Pebble down.
func (l *Log) abandon() {
	l.notifying.Lock()
	l.mu.Lock()
	err := l.failure
	var entries []entry
	for _, g := range l.inflight {
		entries = append(entries, g.entries...)
	}
	l.inflight = nil
	entries = l.queue.take(entries, maxInt)
	l.stats.PendingRecords, l.stats.PendingBytes = 0, 0
	l.mu.Unlock()
	var notes notes
	notes.of(entries)
	notes.tell(err)
	for i := range entries {
		entries[i].answer(err)
	}
	l.notifying.Unlock()

	l.fence.Drain()
	l.release(l.fence.Unlock())
	l.tear()
}

// release says that the directory may be opened again.
func (l *Log) release(err error) {
	l.freedOnce.Do(func() {
		l.closeErr = err
		close(l.released)
	})
}

// tear closes the store once nobody uses it any more.
func (l *Log) tear() {
	l.tearOnce.Do(func() {
		<-l.idle
		l.mu.Lock()
		for l.users > 0 {
			l.quiet.Wait()
		}
		l.mu.Unlock()
		err := l.protect(l.db.Close)
		if l.Failed() == nil {
			l.release(errors.Join(err, l.fence.Unlock()))
		}
		close(l.torn)
	})
}

// enter must be called before db is used, and exit after it.
func (l *Log) enter() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	l.users++
	return nil
}

func (l *Log) exit() {
	l.mu.Lock()
	l.users--
	l.quiet.Broadcast()
	l.mu.Unlock()
}

// usable says why the log cannot be used. The caller holds mu.
func (l *Log) usable() error {
	switch {
	case l.failure != nil:
		return l.failure
	case l.closing:
		return wal.ErrClosed
	}
	return nil
}

// Failed implements wal.Log.
func (l *Log) Failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// Close implements wal.Log. Of a failed log it waits at most
// Options.CloseTimeout for the disk.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closing = true
	l.work.Broadcast()
	l.mu.Unlock()
	go l.tear()
	select {
	case <-l.torn:
	case <-l.failed:
	}
	timeout := time.NewTimer(l.o.CloseTimeout)
	defer timeout.Stop()
	select {
	case <-l.released:
	case <-timeout.C:
		return fmt.Errorf("pebblewal: close failed log %s: the disk still holds an operation after %s", l.o.Dir, l.o.CloseTimeout)
	}
	// The store has nothing to write any more; if it hangs, that is its own affair.
	timeout.Reset(min(l.o.CloseTimeout, time.Second))
	select {
	case <-l.torn:
	case <-timeout.C:
		l.o.Logger.Error("pebble does not shut down; its memory is lost until the process ends", slog.String("dir", l.o.Dir))
	}
	return l.closeErr
}

// Stats implements wal.Log.
func (l *Log) Stats() wal.Stats {
	disk, again := l.diskBytes()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.DiskBytes, s.RewrittenBytes = disk, again
	return s
}

// diskBytes is what the log occupies, and what Pebble has written to sstables.
func (l *Log) diskBytes() (n int64, again uint64) {
	if l.enter() != nil {
		return 0, 0
	}
	defer l.exit()
	_ = l.protect(func() error {
		m := l.db.Metrics()
		n = int64(m.DiskSpaceUsage())
		for i := range m.Levels {
			again += m.Levels[i].TableBytesFlushed + m.Levels[i].TableBytesCompacted
		}
		return nil
	})
	return n, again
}

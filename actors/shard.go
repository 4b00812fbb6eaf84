package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"headgate/engine/point"
	"headgate/engine/store"
	"headgate/engine/store/disk"
	"headgate/wal"
)

// Options configures a Shard.
type Options struct {
	// OpenLog opens the shard's log. It is called at start, and again after the
	// log has failed and been closed. Required.
	OpenLog func() (wal.Log, error)
	// Gate limits what is in flight.
	Gate GateOptions
	// Store configures every bucket's store.
	Store store.Options
	// Data is where the buckets' points go from memory; the shard closes it. Nil:
	// they stay in memory and in the log.
	Data *disk.Store
	// MemtableBytesMax is how much the buckets' memtables may hold together before
	// the largest is flushed. It may be exceeded while flushing goes on; the gate
	// has the last word. Default 64 MiB.
	MemtableBytesMax int64
	// LogBytesMax is how much of the log may be in memtables together before the
	// bucket with the most is flushed. Default 24 MiB: well below the size of the
	// log's own memtable, so that most records are truncated before they would be
	// written a second time.
	LogBytesMax int64
	// FlushAge is how old a memtable's oldest point may become. Default 10 min.
	FlushAge time.Duration
	// ExpirePeriod is how often expired points are looked for. Default 1 min.
	ExpirePeriod time.Duration
	// Disk says which file systems to watch.
	Disk DiskOptions
	// Flushed is called after each flush. It must not block.
	Flushed func(id point.BucketID, took time.Duration, s store.IOStats)
	// IndexBytesMax bounds each bucket's index of raw series prefixes.
	// Default 64 MiB.
	IndexBytesMax int64
	// PanicsMax panics within PanicWindow quarantine a bucket. Defaults 5, 1 min.
	PanicsMax   int
	PanicWindow time.Duration
	// CloseGrace is how long Close waits for the disk after its context has ended.
	// Default 5 s.
	CloseGrace time.Duration
	// ReplaysMax is how many buckets are recovered side by side. Default: the processors, or GOMAXPROCS if that is less.
	ReplaysMax int
	// BucketFailed is called when a bucket goes out of service. It must not block.
	BucketFailed func(id point.BucketID, r Reason, err error)
	// Logger gets what an operator should know. Default: discards.
	Logger *slog.Logger

	// testHook is called at the top of Define and Append; it may panic.
	testHook func(id point.BucketID, message string)
}

// EnsureDefaults fills in the zero fields.
func (o *Options) EnsureDefaults() {
	o.Gate.EnsureDefaults()
	if o.IndexBytesMax == 0 {
		o.IndexBytesMax = 64 << 20
	}
	if o.PanicsMax == 0 {
		o.PanicsMax = 5
	}
	if o.PanicWindow == 0 {
		o.PanicWindow = time.Minute
	}
	if o.CloseGrace == 0 {
		o.CloseGrace = 5 * time.Second
	}
	if o.ReplaysMax == 0 {
		o.ReplaysMax = min(runtime.GOMAXPROCS(0), runtime.NumCPU())
	}
	o.Store.EnsureDefaults()
	o.Disk.EnsureDefaults()
	if o.MemtableBytesMax == 0 {
		o.MemtableBytesMax = 64 << 20
	}
	if o.LogBytesMax == 0 {
		o.LogBytesMax = 24 << 20
	}
	if o.FlushAge == 0 {
		o.FlushAge = 10 * time.Minute
	}
	if o.ExpirePeriod == 0 {
		o.ExpirePeriod = time.Minute
	}
	if o.Flushed == nil {
		o.Flushed = func(point.BucketID, time.Duration, store.IOStats) {}
	}
	if o.BucketFailed == nil {
		o.BucketFailed = func(point.BucketID, Reason, error) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Shard is a set of buckets under one supervisor, one gate and one log.
type Shard struct {
	o          Options
	gate       *Gate
	turns      *Gate // of parsing large bodies
	system     *actor.ActorSystem
	supervisor *actor.PID
	dispatcher dispatcher // of the buckets' mailboxes
	// log is the log in use. Atomic; written under mu while the shard is open,
	// read by anyone.
	log atomic.Pointer[wal.Log]
	// replays has room for ReplaysMax recoveries.
	replays chan struct{}
	// ctx ends when the shard closes; recovery and reopening stop with it.
	ctx    context.Context
	cancel context.CancelFunc
	// stopped is closed when the supervisor has stopped, and with it its buckets.
	stopped chan struct{}
	// keeper looks after the data store; nil without one.
	keeper *keeper
	// disk watches the free space; nil if nothing is to be watched.
	disk *diskWatch
	// retries has room for one: what failed for want of space may work now.
	retries chan struct{}
	// reopens is the goroutines that open the log again; only the supervisor adds.
	reopens sync.WaitGroup

	mu      sync.Mutex
	buckets map[point.BucketID]*Bucket // guarded by mu
	drops   map[point.BucketID]*drop   // those that have not succeeded; guarded by mu
	closed  bool                       // guarded by mu
	// dropping is the goroutines of drops; added to under mu while the shard is open.
	dropping sync.WaitGroup
}

// OpenShard opens the log and starts a shard without buckets. Its gate is open.
func OpenShard(o Options) (*Shard, error) {
	o.EnsureDefaults()
	if o.OpenLog == nil {
		return nil, errors.New("actors: Options.OpenLog is nil")
	}
	log, err := o.OpenLog()
	if err != nil {
		return nil, fmt.Errorf("open shard: %w", err)
	}
	s := &Shard{o: o, gate: NewGate(o.Gate), turns: newTurns(), buckets: make(map[point.BucketID]*Bucket), drops: make(map[point.BucketID]*drop), replays: make(chan struct{}, o.ReplaysMax), retries: make(chan struct{}, 1), stopped: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.log.Store(&log)
	s.system = actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return o.Logger.With("component", "protoactor")
	}))
	v := &supervisor{s: s, children: make(map[*Bucket]struct{})}
	s.supervisor = s.system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return v }))
	if o.Data != nil {
		s.keeper = newKeeper(s)
		s.o.Store.CompactionRoom = s.keeper.compactionFits
	}
	if len(o.Disk.Dirs) > 0 {
		s.disk = startDiskWatch(s)
	}
	if s.keeper != nil {
		s.keeper.start()
	}
	return s, nil
}

// retryNow has what has failed for want of space tried again at once.
func (s *Shard) retryNow() {
	poke(s.retries)
	s.keeper.retryNow()
}

// dataError says why the data store cannot be written, nil if it can.
func (s *Shard) dataError() error {
	if s.o.Data == nil {
		return nil
	}
	if err := s.o.Data.Failed(); err != nil {
		return err
	}
	_, err := s.DataFailures()
	return err
}

// Flush flushes everything that is in memory, and, with compact set, merges what
// can be merged. It is for tests, backups and measurements: the shard does what
// is needed by itself.
func (s *Shard) Flush(ctx context.Context, compact bool) error {
	if s.keeper == nil {
		return nil
	}
	return s.keeper.settle(ctx, compact)
}

// Gate is the shard's gate.
func (s *Shard) Gate() *Gate { return s.gate }

// Log is the log in use now. It may fail and be replaced at any time.
func (s *Shard) Log() wal.Log { return s.currentLog() }

// Probe writes to the log and waits for the disk. A log that turns out to have
// failed is opened again, as when a write finds it so.
func (s *Shard) Probe(ctx context.Context) error {
	log := s.currentLog()
	err := log.Sync(ctx)
	s.notice(log)
	return err
}

// notice tells the supervisor if a log has failed. Any goroutine.
func (s *Shard) notice(log wal.Log) {
	if cause := log.Failed(); cause != nil {
		s.system.Root.Send(s.supervisor, &logFailed{log: log, err: cause})
	}
}

func (s *Shard) currentLog() wal.Log { return *s.log.Load() }

// OpenBucket starts the actor of a bucket, which recovers from the log on its
// own; use WaitOpen to wait for that. A bucket that is open already is returned.
func (s *Shard) OpenBucket(id point.BucketID) (*Bucket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosing
	}
	if b, ok := s.buckets[id]; ok {
		return b, nil
	}
	if s.drops[id] != nil {
		return nil, fmt.Errorf("open bucket %s: %w", id, ErrDropped)
	}
	b := &Bucket{id: id, shard: s, share: s.gate.NewShare(), turn: s.turns.NewShare(), opened: make(chan struct{}), stopped: make(chan struct{}), drained: make(chan struct{})}
	b.state.Store(&State{Unavailable: &UnavailableError{Bucket: id, Reason: Recovering}})
	spawned := make(chan struct{})
	s.system.Root.Send(s.supervisor, &spawnBucket{b: b, spawned: spawned})
	<-spawned // without a bound: the supervisor never waits for anything
	s.buckets[id] = b
	return b, nil
}

// Buckets lists the open buckets, in no order.
func (s *Shard) Buckets() []*Bucket {
	s.mu.Lock()
	defer s.mu.Unlock()
	bs := make([]*Bucket, 0, len(s.buckets))
	for _, b := range s.buckets {
		bs = append(bs, b)
	}
	return bs
}

// Close drains the shard from the outside in: it shuts the gate, waits until
// every credit has come home or ctx ends, stops the bucket actors, then the
// supervisor, and closes the log. Calls that are still unanswered then get
// ErrIndeterminate. What a disk holds up for longer than Options.CloseGrace after ctx
// has ended is left behind, and the error names it.
func (s *Shard) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	buckets := make([]*Bucket, 0, len(s.buckets)+len(s.drops))
	for _, b := range s.buckets {
		buckets = append(buckets, b)
	}
	for _, d := range s.drops {
		if d.b != nil {
			buckets = append(buckets, d.b)
		}
	}
	s.mu.Unlock()

	s.gate.Shut(Closing)
	var errs []error
	select {
	case <-s.gate.Idle():
	case <-ctx.Done():
		errs = append(errs, fmt.Errorf("close shard: writes still in flight, %d: %w", s.gate.Stats().Requests, ctx.Err()))
	}
	s.cancel()
	grace, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		t := time.AfterFunc(s.o.CloseGrace, cancel)
		context.AfterFunc(grace, func() { t.Stop() })
	})()
	step := func(what string, do func() error) {
		done := make(chan error, 1)
		go func() { done <- do() }()
		select {
		case err := <-done:
			errs = append(errs, err)
		case <-grace.Done():
			errs = append(errs, fmt.Errorf("close shard: the %s did not end in time: %w", what, context.DeadlineExceeded))
		}
	}
	step("work on disk", func() error {
		s.keeper.wait()
		s.disk.wait()
		return nil
	})
	step("buckets' actors", func() error {
		for _, b := range buckets {
			s.system.Root.Poison(b.pid)
		}
		for _, b := range buckets {
			<-b.stopped
		}
		s.system.Root.Stop(s.supervisor)
		<-s.stopped
		return nil
	})
	// The directory is free only when no other log is being opened in it.
	step("opening of the log", func() error {
		s.reopens.Wait()
		return nil
	})
	step("log", func() error { return s.currentLog().Close() })
	if s.o.Data != nil {
		step("data store", s.o.Data.Close)
	}
	step("removal of buckets", func() error {
		s.dropping.Wait()
		return nil
	})
	s.system.Shutdown()
	s.dispatcher.close()
	return errors.Join(errs...)
}
